//! Who may, redirects, error pages and rules for header fields: what routes say besides where requests go.

use super::{alone, of, plain, told};
use crate::{Fate, Import};

/// The keys of the route that is at a path or expression.
#[track_caller]
fn route(import: &Import, place: &str) -> String {
    let toml = plain(import);
    let blocks = toml.split("[[route]]\n").skip(1);
    let is_it = |block: &&str| {
        let wanted = [
            format!("path = \"{place}\"\n"),
            format!("match = \"{place}\"\n"),
            format!("match = '{place}'\n"),
        ];
        wanted.iter().any(|it| block.contains(it))
    };
    let block = blocks.into_iter().find(is_it);
    let block = block.unwrap_or_else(|| panic!("no route at {place}:\n{toml}"));
    let end = block.find("\n[").unwrap_or(block.len());
    block[..end].to_owned()
}

/// A section with rules about who may, below a path that is proxied, in the words of both Apaches.
#[test]
fn rules_about_who_may_are_kept_or_close_the_path() {
    for (rules, expected, is_refused) in [
        ("Require all granted", "balancer", false),
        ("Require ip 10.0.0.0/8", "require = [\"10.0.0.0/8\"]", false),
        (
            "Require local",
            "require = [\"127.0.0.0/8\", \"::1/128\"]",
            false,
        ),
        ("Require all denied", "respond = { status = 403 }", false),
        (
            "Order deny,allow\nDeny from all\nAllow from 10",
            "require = [\"10.0.0.0/8\"]",
            false,
        ),
        ("Order allow,deny\nAllow from all", "balancer", false),
        (
            "<RequireAll>\nRequire ip 10\nRequire ip 10.1 192.168\n</RequireAll>",
            "require = [\"10.1.0.0/16\"]",
            false,
        ),
        (
            "Deny from all\nSatisfy Any\nRequire ip 10",
            "require = [\"10.0.0.0/8\"]",
            false,
        ),
        ("SSLRequireSSL", "respond = { status = 403 }", false),
        // What there is no key for closes the path until it is said in our words.
        (
            "AuthType Basic\nRequire valid-user",
            "respond = { status = 403 }",
            true,
        ),
        (
            "Require host example.com",
            "respond = { status = 403 }",
            true,
        ),
        ("Require not ip 10", "respond = { status = 403 }", true),
        (
            "Require expr %{HTTPS} == 'on'",
            "respond = { status = 403 }",
            true,
        ),
        (
            "Order allow,deny\nAllow from all\nDeny from 10",
            "respond = { status = 403 }",
            true,
        ),
        (
            "<Limit POST>\nRequire valid-user\n</Limit>",
            "respond = { status = 403 }",
            true,
        ),
        (
            "<If \"true\">\nRequire all denied\n</If>",
            "respond = { status = 403 }",
            true,
        ),
        ("SSLRequire true", "respond = { status = 403 }", true),
        (
            "SSLVerifyClient require",
            "respond = { status = 403 }",
            true,
        ),
    ] {
        let text = format!(
            "ProxyPass / http://127.0.0.1:1/\n<Location /x>\n{rules}\nProxyPreserveHost On\n</Location>"
        );
        let import = of(&text);
        let found = route(&import, "/x");
        assert!(found.contains(expected), "{rules}: {found}");
        assert_eq!(
            import.report.is_refused(),
            is_refused,
            "{rules}: {}",
            import.report
        );
        let open = route(&import, "/");
        assert!(
            !open.contains("require") && !open.contains("respond"),
            "{rules}: {open}"
        );
    }
}

#[test]
fn rules_of_proxies_and_of_all_locations_hold_for_what_is_proxied() {
    let pass =
        "ProxyPass /x balancer://a/x\n<Proxy balancer://a>\nBalancerMember http://127.0.0.1:1\n";
    for (rest, expected) in [
        ("Require ip 10.1\n</Proxy>", "require = [\"10.1.0.0/16\"]"),
        (
            "</Proxy>\n<Proxy *>\nDeny from all\n</Proxy>",
            "status = 403",
        ),
        (
            "</Proxy>\n<Proxy http://other>\nDeny from all\n</Proxy>",
            "balancer",
        ),
        (
            "</Proxy>\n<ProxyMatch ^balancer>\nRequire ip 10.1\n</ProxyMatch>",
            "require",
        ),
        (
            "</Proxy>\n<Location />\nRequire ip 10.1\n</Location>",
            "require",
        ),
        // What a location requires counts in place of what a proxy does; hosts are asked besides.
        (
            "Require all denied\n</Proxy>\n<Location />\nRequire all granted\n</Location>",
            "balancer",
        ),
        (
            "Deny from all\n</Proxy>\n<Location />\nRequire all granted\n</Location>",
            "status = 403",
        ),
        // Files are another matter.
        (
            "</Proxy>\n<Directory />\nRequire all denied\n</Directory>",
            "balancer",
        ),
    ] {
        let import = of(&format!("{pass}{rest}"));
        let found = route(&import, "/x");
        assert!(found.contains(expected), "{rest}: {found}");
        assert!(!import.report.is_refused(), "{rest}: {}", import.report);
    }
}

#[test]
fn rules_that_expressions_cut_are_kept_or_close_all() {
    let section = "<LocationMatch \"\\.jsp$\">\nRequire ip 10\n</LocationMatch>";
    let kept = of(&format!("ProxyPass / http://127.0.0.1:1/\n{section}"));
    assert!(route(&kept, "\\.jsp$").contains("require = [\"10.0.0.0/8\"]"));
    assert!(!kept.report.is_refused());
    // Its path is another at the member, which an expression without captures cannot say.
    let closed = of(&format!("ProxyPass / http://127.0.0.1:1/base\n{section}"));
    assert!(route(&closed, "/").contains("status = 403") && closed.report.is_refused());
    let behind = of(
        "RewriteEngine On\nRewriteRule ^/(a|b)/(.*)$ http://127.0.0.1:1/$2 [P]\n<Location /a>\nRequire ip 10\n</Location>",
    );
    assert!(route(&behind, "^/(a|b)/(.*)$").contains("status = 403") && behind.report.is_refused());
    let shut = of(
        "RewriteEngine On\nRewriteRule ^/(a|b)/(.*)$ http://127.0.0.1:1/$2 [P]\n<Location /a/x>\nRequire all denied\n</Location>",
    );
    assert!(route(&shut, "/a/x").contains("403") && !shut.report.is_refused());
    assert!(!route(&shut, "^/(a|b)/(.*)$").contains("403"));
    let apart = of(
        "RewriteEngine On\nRewriteRule ^/(a|b)/(.*)$ http://127.0.0.1:1/$2 [P]\n<Location /c>\nRequire ip 10\n</Location>",
    );
    assert!(!route(&apart, "^/(a|b)/(.*)$").contains("403") && !apart.report.is_refused());
}

/// `Require ip` is about what a proxy tells there, and `require` about who connects here.
#[test]
fn networks_behind_a_proxy_are_refused() {
    let text = "RemoteIPHeader X-Forwarded-For\nRemoteIPInternalProxy 10.0.0.0/8\nProxyPass /x http://127.0.0.1:1/x\n";
    let import = of(text);
    assert!(route(&import, "/x").contains("x-forwarded = { trust = [\"10.0.0.0/8\"] }"));
    let closed = of(&(text.to_owned() + "<Location /x>\nRequire ip 192.168.0.0/16\n</Location>"));
    assert!(route(&closed, "/x").contains("status = 403") && closed.report.is_refused());
}

/// A path with what URLs cannot hold as it stands.
#[test]
fn rules_for_odd_paths_are_kept() {
    let import =
        of("ProxyPass / http://127.0.0.1:1/\n<Location \"/a b\">\nRequire ip 10\n</Location>");
    assert!(route(&import, "/a%20b").contains("require = [\"10.0.0.0/8\"]"));
}

/// Rules of rewriting that shut out by what there is no key for shut out all.
#[test]
fn rewriting_that_shuts_out_is_kept_or_refused() {
    let text = "RewriteEngine On\nRewriteCond %{REMOTE_ADDR} !^10\\.\nRewriteRule ^/admin - [F]\nProxyPass / http://127.0.0.1:1/";
    let import = of(text);
    assert!(route(&import, "^/admin").contains("status = 403"));
    assert!(import.report.is_refused());
}

#[test]
fn fields_that_clients_must_not_send_are_removed_or_it_is_refused() {
    let pass = "ProxyPass /x http://127.0.0.1:1/x\n";
    let httpoxy = of(&format!(
        "{pass}RequestHeader unset Proxy early\nRequestHeader unset X-User"
    ));
    assert!(route(&httpoxy, "/x").contains("request-headers = { unset = [\"X-User\"] }"));
    assert_eq!(httpoxy.report.worst(), Fate::CarriedOver);
    let conditional = of(&format!("{pass}RequestHeader unset X-User env=outside"));
    assert!(conditional.report.is_refused());
}

#[test]
fn redirects_lead_where_they_led() {
    for (directive, place, expected) in [
        (
            "Redirect /old http://x.test/new",
            "^/old(/.*)?$",
            "redirect = { to = \"http://x.test/new$1${?query}\", status = 302 }",
        ),
        (
            "Redirect /old http://x.test",
            "^/old(?:/(.*))?$",
            "redirect = { to = \"http://x.test/$1${?query}\", status = 302 }",
        ),
        (
            "Redirect permanent / https://x.test/",
            "/",
            "redirect = { to = \"https://x.test${path}${?query}\", status = 301 }",
        ),
        (
            "RedirectPermanent /a /b",
            "^/a(/.*)?$",
            "redirect = { to = \"/b$1${?query}\", status = 301 }",
        ),
        (
            "RedirectMatch 307 ^/m/(.*)$ http://x.test/$1",
            "^/m/(.*)$",
            "redirect = { to = \"http://x.test/$1${?query}\", status = 307 }",
        ),
        ("Redirect gone /g", "/g", "respond = { status = 410 }"),
        ("Redirect 404 /n", "/n", "respond = { status = 404 }"),
        (
            "<Location /l>\nRedirect 303 http://x.test/\n</Location>",
            "/l",
            "redirect = { to = \"http://x.test/${?query}\", status = 303 }",
        ),
        (
            "RewriteEngine On\nRewriteRule ^/r/(.*)$ https://x.test/$1 [R=301,L]",
            "^/r/(.*)$",
            "redirect = { to = \"https://x.test/$1${?query}\", status = 301 }",
        ),
        (
            "RewriteEngine On\nRewriteRule ^/f - [F]",
            "^/f",
            "respond = { status = 403 }",
        ),
        (
            "RewriteEngine On\nRewriteCond %{HTTP_HOST} ^a\\.test$ [NC]\nRewriteRule ^(.*)$ https://www.a.test$1 [R=301,L]",
            "/",
            "redirect = { to = \"https://www.a.test${path}${?query}\", status = 301 }",
        ),
    ] {
        let import = of(directive);
        let found = route(&import, place);
        assert!(found.contains(expected), "{directive}: {found}");
        assert_eq!(told(&import, Fate::LeftOut), [""; 0], "{directive}");
    }
    let certbot = "RewriteEngine on\nRewriteCond %{SERVER_NAME} =a.test [OR]\nRewriteCond %{SERVER_NAME} =www.a.test\n\
                   RewriteRule ^ https://%{SERVER_NAME}%{REQUEST_URI} [END,NE,R=permanent]";
    let found = route(&of(certbot), "/");
    assert!(
        found.contains("host = [\"a.test\", \"www.a.test\"]"),
        "{found}"
    );
}

#[test]
fn fields_have_rules_in_our_words() {
    let text = "RequestHeader set X-A \"%{REMOTE_ADDR}s\"\nRequestHeader append X-B b\nRequestHeader unset X-C early\n\
                RequestHeader set X-Forwarded-Proto http\nHeader always set Strict-Transport-Security \"max-age=1\"\n\
                Header unset Server\nHeader edit Location a b\nHeader set X-D d env=D\nProxyPass /x http://127.0.0.1:1/x";
    let import = of(text);
    let found = route(&import, "/x");
    for line in [
        "request-headers = { set = { X-A = \"${client-address}\" }, append = { X-B = \"b\" }, unset = [\"X-C\"] }",
        "response-headers = { set = { Strict-Transport-Security = \"max-age=1\" }, unset = [\"Server\"] }",
    ] {
        assert!(found.contains(line), "{line} is missing:\n{found}");
    }
    let lost = told(&import, Fate::LeftOut);
    assert_eq!(lost.len(), 2, "{lost:?}");
    let redirect = of("Header always set X-A a\nHeader set X-B b\nRedirect / http://x.test/");
    assert!(route(&redirect, "/").contains("response-headers = { set = { X-A = \"a\" } }"));
}

#[test]
fn errors_have_pages() {
    let text = "ErrorDocument 503 \"<h1>sorry</h1>\"\nErrorDocument 502 https://x.test/down\nErrorDocument 404 default\n\
                ProxyErrorOverride On\nLimitRequestBody 10485760\nProxyPass /x http://127.0.0.1:1/x";
    let import = of(text);
    let found = route(&import, "/x");
    for line in [
        "\"502\" = { redirect = \"https://x.test/down\" }",
        "\"503\" = { body = \"<h1>sorry</h1>\", content-type = \"text/html; charset=utf-8\" }",
        "replace-member-errors = true",
        "max-body = \"10MiB\"",
    ] {
        assert!(found.contains(line), "{line} is missing:\n{found}");
    }
    assert_eq!(told(&import, Fate::LeftOut), [""; 0]);
}

/// Without a route of its own for the rest, requests for the first would go by the second, which is for all hosts.
#[test]
fn what_a_host_does_not_take_no_other_takes() {
    let text = "Listen 80\n<VirtualHost *:80>\nProxyPass / http://127.0.0.1:1/\n</VirtualHost>\n\
                <VirtualHost *:80>\nServerName b.test\nProxyPass /x http://127.0.0.1:2/x\n</VirtualHost>";
    let toml = plain(&alone(text));
    let rest = "host = \"b.test\"\npath = \"/\"\nrespond = { status = 404 }";
    assert!(toml.contains(rest), "{toml}");
}

#[test]
fn a_configuration_that_proxies_nothing_answers_so() {
    let import = of("DocumentRoot /var/www\n");
    assert!(plain(&import).contains("path = \"/\"\nrespond = { status = 404 }"));
}
