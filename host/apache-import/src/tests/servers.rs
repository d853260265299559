//! Which server takes a request, and what holds for it: virtual hosts, sections and the order of directives.

use super::{alone, of, plain, told};
use crate::{Fate, Import};

/// The routes in short: hosts, listeners, path and balancer (with its path), one a line.
fn routes(import: &Import) -> Vec<String> {
    let toml = plain(import);
    let blocks = toml.split("[[route]]\n").skip(1);
    let short = |block: &str| {
        let end = block.find("\n[").map_or(block.len(), |at| at + 1);
        let keys = block[..end]
            .lines()
            .filter_map(|line| line.split_once(" = "));
        let value = |wanted: &str| keys.clone().find(|(key, _)| *key == wanted).map(|it| it.1);
        let mut parts = Vec::new();
        for key in [
            "host",
            "listener",
            "path",
            "match",
            "exclude",
            "balancer",
            "member-path",
        ] {
            parts.extend(value(key).map(|it| it.replace(['"', '\''], "")));
        }
        parts.join(" ")
    };
    blocks.map(short).collect()
}

/// Balancers `a` to `d`, each with a member.
fn with_balancers(rest: &str) -> String {
    let balancer = |name: char| {
        let port = u32::from(name);
        format!("<Proxy balancer://{name}>\nBalancerMember http://127.0.0.1:{port}\n</Proxy>\n")
    };
    ('a'..='d').map(balancer).collect::<String>() + rest
}

#[test]
fn routes_stand_in_the_order_in_which_apache_asks() {
    for (text, expected) in [
        // The first that matches, as with us.
        (
            "ProxyPass /x/y balancer://a/x/y\nProxyPass /x balancer://b/x\nProxyPass / balancer://c/",
            &["/x/y a", "/x b", "/ c"][..],
        ),
        // Slashes at the end mean nothing, and the path of the URL is the member's.
        ("ProxyPass /x/ balancer://a/", &["/x a /"]),
        ("ProxyPass /x balancer://a/y/z/", &["/x a /y/z"]),
        ("ProxyPass / balancer://a", &["/ a"]),
        // What no one gets, no later one gets.
        (
            "ProxyPass /x/s !\nProxyPass /x balancer://a/x\nProxyPass /y !\nProxyPass / balancer://b/",
            &["/x [/x/s] a", "/ [/x/s, /y] b"],
        ),
        (
            "ProxyPass /x !\nProxyPass /x/y balancer://a/x/y\nProxyPass / balancer://b/",
            &["/ [/x] b"],
        ),
        // Of locations the last that matches, before all outside of them.
        (
            "ProxyPass / balancer://d/\n<Location /x>\nProxyPass balancer://a/x\n</Location>\n<Location /x/y>\nProxyPass balancer://b/\n</Location>",
            &["/x/y b /", "/x a", "/ d"],
        ),
        (
            "<Location /x>\nProxyPass !\n</Location>\nProxyPass / balancer://a/",
            &["/ [/x] a"],
        ),
        // Expressions.
        (
            "ProxyPassMatch ^/(api|rest)/(.*)$ balancer://a/$1/$2\nProxyPass / balancer://b/",
            &["^/(api|rest)/(.*)$ a /$1/$2", "/ b"],
        ),
        (
            "ProxyPassMatch ^/i/.*\\.gif$ balancer://a",
            &["^/i/.*\\.gif$ a"],
        ),
        (
            "ProxyPassMatch ^/i/.*\\.gif$ balancer://a/pre",
            &["^(/i/.*\\.gif)$ a /pre$1"],
        ),
        ("ProxyPassMatch ^/(.*)$ balancer://a/b/$1", &["/ a /b"]),
        (
            "<LocationMatch ^/l/(.*)$>\nProxyPassMatch balancer://a/$1\n</LocationMatch>",
            &["^/l/(.*)$ a /$1"],
        ),
        (
            "RewriteEngine On\nRewriteRule ^/r/(.*)$ balancer://a/$1 [P]\nProxyPass / balancer://b/",
            &["^/r/(.*)$ a /$1", "/ b"],
        ),
    ] {
        let import = of(&with_balancers(text));
        assert_eq!(routes(&import), expected, "{text}");
        assert_eq!(told(&import, Fate::LeftOut), [""; 0], "{text}");
    }
}

#[test]
fn virtual_hosts_are_found_by_name_and_the_first_is_for_all_others() {
    let host = |names: &str, balancer: &str| {
        format!("<VirtualHost *:80>\n{names}\nProxyPass / balancer://{balancer}/\n</VirtualHost>\n")
    };
    for (hosts, expected) in [
        (
            vec![
                host("ServerName A.example.com:80", "a"),
                host(
                    "ServerName b.example.com\nServerAlias www.b.example.com *.b.test",
                    "b",
                ),
            ],
            &["[b.example.com, www.b.example.com, *.b.test] / b", "/ a"][..],
        ),
        // The first has a name that a later one would take.
        (
            vec![
                host("ServerName a.example.com", "a"),
                host("ServerAlias *.example.com", "b"),
            ],
            &["a.example.com / a", "*.example.com / b", "/ a"],
        ),
        (
            vec![host("", "a"), host("ServerName b.test", "b")],
            &["b.test / b", "/ a"],
        ),
        (
            vec![
                host("ServerName a.test\nServerAlias *", "a"),
                host("ServerName b.test", "b"),
            ],
            &["/ a"],
        ),
    ] {
        let text = with_balancers(&format!("Listen 80\n{}", hosts.concat()));
        assert_eq!(routes(&alone(&text)), expected, "{hosts:?}");
    }
}

#[test]
fn virtual_hosts_are_found_by_address() {
    let text = with_balancers(
        "Listen 80\nListen 8080\nListen 127.0.0.1:90\nProxyPass /m balancer://d/m\n\
         <VirtualHost *:80>\nProxyPass /x balancer://a/x\n</VirtualHost>\n\
         <VirtualHost 10.0.0.1:80>\nProxyPass /x balancer://b/x\n</VirtualHost>\n\
         <VirtualHost *:90>\nProxyPass /x balancer://c/x\n</VirtualHost>\n\
         <VirtualHost *:91>\nProxyPass /x balancer://c/x\n</VirtualHost>",
    );
    let import = alone(&text);
    assert_eq!(
        routes(&import),
        [
            // The main server's come first, and where no virtual host is, alone.
            "[10.0.0.1:80] /m d",
            "[10.0.0.1:80] /x b",
            "[[::]:80] /m d",
            "[[::]:80] /x a",
            "[[::]:8080] /m d",
            "[127.0.0.1:90] /m d",
            "[127.0.0.1:90] /x c",
        ]
    );
    let lost = told(&import, Fate::LeftOut);
    assert!(
        lost.len() == 1 && lost[0].contains("no Listen is for it"),
        "{lost:?}"
    );
}

#[test]
fn balancers_of_one_name_are_one_where_the_main_server_has_it_and_several_where_not() {
    let host = |name: &str, port: u16| {
        format!(
            "<VirtualHost *:80>\nServerName {name}\n<Proxy balancer://x>\nBalancerMember http://127.0.0.1:{port}\n</Proxy>\nProxyPass / balancer://x/\n</VirtualHost>\n"
        )
    };
    let hosts = host("a.test", 1) + &host("b.test", 2);
    let own = alone(&format!("Listen 80\n{hosts}"));
    assert_eq!(routes(&own), ["b.test / x-b.test", "/ x"]);
    let main = "<Proxy balancer://x>\nBalancerMember http://127.0.0.1:3\n</Proxy>\n";
    let shared = alone(&format!("Listen 80\n{main}{hosts}"));
    assert_eq!(routes(&shared), ["b.test / x", "/ x"]);
    let off = alone(&format!("Listen 80\nBalancerInherit Off\n{main}{hosts}"));
    assert_eq!(routes(&off), ["b.test / x-b.test", "/ x-a.test"]);
}

#[test]
fn sections_cut_what_they_say_something_about_out() {
    let text = with_balancers(
        "ProxyPreserveHost On\nProxyVia Block\nProxyPass / balancer://a/base\n\
         <Location /x>\nProxyAddHeaders Off\n</Location>\n\
         <Location /x/y>\nProxyPreserveHost Off\n</Location>\n\
         <Location /other/>\n</Location>",
    );
    let import = of(&text);
    assert_eq!(
        routes(&import),
        ["/x/y a /base/x/y", "/x a /base/x", "/ a /base"]
    );
    let toml = plain(&import);
    let blocks: Vec<_> = toml.split("[[route]]\n").skip(1).collect();
    for (block, has_host, is_off) in [(0, false, true), (1, true, true), (2, true, false)] {
        assert_eq!(
            blocks[block].contains("preserve-host = true"),
            has_host,
            "{toml}"
        );
        assert_eq!(
            blocks[block].contains("x-forwarded = \"off\""),
            is_off,
            "{toml}"
        );
        assert!(blocks[block].contains("via = \"block\""), "{toml}");
    }
}

#[test]
fn members_have_their_parameters_with_units() {
    let member = |parameters: &str| {
        let text = format!(
            "Timeout 60\n<Proxy balancer://x>\nBalancerMember http://127.0.0.1:1 {parameters}\n</Proxy>\nProxyPass / balancer://x/\n"
        );
        let import = of(&text);
        let toml = plain(&import);
        let (_, member) = toml
            .split_once("url = \"http://127.0.0.1:1\"")
            .expect("a member");
        member.trim().replace('\n', "; ")
    };
    for (parameters, expected) in [
        ("loadfactor=1.5 lbset=2", "loadfactor = 1.5; lbset = 2"),
        (
            "retry=0 timeout=30 ttl=5",
            "retry = \"0s\"; timeout = \"30s\"; ttl = \"5s\"",
        ),
        ("retry=1ms", "retry = \"1s\""),
        (
            "connectiontimeout=250ms ping=1 acquire=100",
            "connectiontimeout = \"250ms\"; ping = \"1s\"; acquire = \"100ms\"",
        ),
        (
            "max=20 keepalive=On disablereuse=On",
            "max = 20; keepalive = true; disablereuse = true",
        ),
        (
            "enablereuse=Off min=1 smax=2 flushpackets=on iobuffersize=8192",
            "disablereuse = true",
        ),
        (
            "upgrade=websocket status=+D",
            "upgrade = \"websocket\"; status = \"+D\"",
        ),
        ("ROUTE=r1 route=r2", "route = \"r2\""),
        (
            "hcmethod=TCP hcinterval=5 hcuri=/x",
            "hcmethod = \"TCP\"; hcinterval = \"5s\"",
        ),
        ("hcuri=/x", ""),
    ] {
        assert_eq!(member(parameters), expected, "{parameters}");
    }
}

#[test]
fn what_is_read_is_followed() {
    let text = "Define PORT 81\n<IfModule mod_proxy.c>\n<IfModule !mod_nothing.c>\n<IfVersion >= 2.4>\n\
                <Macro Way $path $port>\nProxyPass $path http://127.0.0.1:$port$path\n</Macro>\n\
                Use Way /a ${PORT}\nUse Way /b 82\n</IfVersion>\n</IfModule>\n</IfModule>\n\
                <IfDefine NOTHING>\nnonsense\n</IfDefine>\n<IfModule mod_nothing.c>\n<Location /x>\nnonsense\n</Location>\n</IfModule>\n\
                ProxyPass \\\n  /c \\\n  http://127.0.0.1:83/c\n";
    let import = of(text);
    assert_eq!(
        routes(&import),
        ["/a 127-0-0-1-81", "/b 127-0-0-1-82", "/c 127-0-0-1-83"]
    );
    let toml = import.toml.as_deref().expect("a configuration");
    assert!(
        toml.contains("(httpd.conf:6)") && toml.contains("(httpd.conf:21)"),
        "{toml}"
    );
}

#[test]
fn what_cannot_be_read_is_refused() {
    let pass = "ProxyPass /a http://127.0.0.1:1/a\n";
    for (text, why) in [
        ("Include none.conf", "there is no such file"),
        ("Include none*.conf", "no file fits"),
        ("Include httpd.conf", "it includes itself"),
        ("<Location /a>", "is not ended"),
        ("</Location>", "ends nothing"),
        ("Use Nothing", "no such macro"),
        (
            "<Macro A $a>\n</Macro>\nUse A",
            "has 1 parameters, and here are 0",
        ),
        ("<Macro A>\nUse A\n</Macro>\nUse A", "use each other"),
        ("Error \"not here\"", "says so itself"),
        (
            "<VirtualHost www.example.com:80>\n</VirtualHost>",
            "would have to be looked up",
        ),
        ("SSLCARevocationFile a.crl", "revoked"),
        ("JkMount /x w", "ajp://"),
    ] {
        let import = of(&format!("{pass}{text}\n"));
        let told = told(&import, Fate::Refused).join("\n");
        assert!(told.contains(why), "{text}: {told}");
    }
}
