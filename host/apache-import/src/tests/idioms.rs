//! What people write, as they write it.

use super::{of, plain, told};
use crate::Fate;

/// A balancer of two members, and what stands before and behind.
fn cluster(of_members: [&str; 2], set: &str, rest: &str) -> String {
    let [first, second] = of_members;
    format!(
        "<Proxy \"balancer://mycluster\">\n  BalancerMember \"http://192.168.1.50:80\" {first}\n  \
         BalancerMember \"http://192.168.1.51:80\" {second}\n  {set}\n</Proxy>\n\
         ProxyPass \"/test\" \"balancer://mycluster\" {rest}\n\
         ProxyPassReverse \"/test\" \"balancer://mycluster\"\n"
    )
}

#[test]
fn two_members_are_two_members() {
    let import = of(&cluster([""; 2], "ProxySet lbmethod=byrequests", ""));
    assert_eq!(
        plain(&import),
        r#"[[listen]]
address = "127.0.0.1:8080"
[[route]]
path = "/test"
balancer = "mycluster"
member-path = "/"
[balancer.mycluster]
lbmethod = "byrequests"
[[balancer.mycluster.member]]
url = "http://192.168.1.50:80"
[[balancer.mycluster.member]]
url = "http://192.168.1.51:80""#
    );
    assert_eq!(import.report.to_string(), "carried over: 6 directives\n");
}

#[test]
fn each_part_says_where_it_comes_from() {
    let import = of(&cluster([""; 2], "", ""));
    let toml = import.toml.expect("a configuration");
    for line in [
        "# Imported from httpd.conf",
        "# ProxyPass \"/test\" \"balancer://mycluster\" (httpd.conf:6)\n[[route]]",
        "# BalancerMember \"http://192.168.1.51:80\" (httpd.conf:3)\n[[balancer.mycluster.member]]",
    ] {
        assert!(toml.contains(line), "{line} is missing:\n{toml}");
    }
}

#[test]
fn sessions_are_read_as_either_directive_says() {
    let sticky = "stickysession=JSESSIONID|jsessionid";
    let routes = ["route=1", "route=2"];
    for text in [
        cluster(routes, &format!("ProxySet {sticky}"), sticky),
        cluster(routes, &format!("ProxySet {sticky}"), ""),
        cluster(routes, "", sticky),
    ] {
        let import = of(&text);
        let toml = plain(&import);
        assert!(
            toml.contains("stickysession = \"JSESSIONID|jsessionid\"\n"),
            "{toml}"
        );
        assert!(
            toml.contains("url = \"http://192.168.1.51:80\"\nroute = \"2\""),
            "{toml}"
        );
        assert_eq!(import.report.worst(), Fate::CarriedOver);
    }
}

#[test]
fn hot_standbys_alone_are_explained() {
    let import = of(&cluster(
        ["status=+H"; 2],
        "ProxySet lbmethod=byrequests",
        "",
    ));
    assert_eq!(plain(&import).matches("status = \"+H\"").count(), 2);
    let differs = told(&import, Fate::Differs);
    let [told] = &differs[..] else {
        panic!("{differs:?}");
    };
    for words in [
        "httpd.conf:2",
        "hot standby",
        "hcmethod=GET hcuri=/health",
        "docs/health.md",
    ] {
        assert!(told.contains(words), "{words} is missing: {told}");
    }
    let one = of(&cluster(["", "status=+H"], "", ""));
    assert_eq!(one.report.worst(), Fate::CarriedOver);
}

#[test]
fn the_manager_is_where_its_location_is() {
    let text = cluster([""; 2], "", "")
        + "<Location \"/balancer-manager\">\n SetHandler balancer-manager\n Require host localhost\n</Location>";
    let import = of(&text);
    let toml = plain(&import);
    assert!(
        toml.contains("[manager]\npath = \"/balancer-manager\"\nrequire = [\"local\"]"),
        "{toml}"
    );
    assert_eq!(import.report.worst(), Fate::CarriedOver);
}

/// Who may use the manager, by the words of both Apaches; what cannot be said leaves it out.
#[test]
fn the_manager_keeps_its_rules() {
    for (rules, expected) in [
        ("Require local", Some("[\"local\"]")),
        (
            "Require ip 10.0.0.0/8 192.168.1",
            Some("[\"10.0.0.0/8\", \"192.168.1.0/24\"]"),
        ),
        (
            "Order deny,allow\nDeny from all\nAllow from 127.0.0.1",
            Some("[\"local\"]"),
        ),
        (
            "<RequireAny>\nRequire local\nRequire ip 10.0.0.1\n</RequireAny>",
            Some("[\"127.0.0.0/8\", \"::1/128\", \"10.0.0.1/32\"]"),
        ),
        ("Require all denied", None),
        ("Require valid-user", None),
        ("Require host example.com", None),
    ] {
        let location = format!("<Location /bm>\nSetHandler balancer-manager\n{rules}\n</Location>");
        let import = of(&(cluster([""; 2], "", "") + &location));
        let toml = plain(&import);
        let require = expected.map(|it| format!("[manager]\npath = \"/bm\"\nrequire = {it}\n"));
        match require {
            Some(require) => assert!(toml.contains(&require), "{rules}: {toml}"),
            None => assert!(!toml.contains("manager"), "{rules}: {toml}"),
        }
        let is_refused = rules.contains("valid-user") || rules.contains("example.com");
        assert_eq!(import.report.is_refused(), is_refused, "{rules}");
    }
}

#[test]
fn the_cookie_of_a_header_is_the_sticky_cookie() {
    let header = "Header add Set-Cookie \"ROUTEID=.%{BALANCER_WORKER_ROUTE}e; path=/\" env=BALANCER_ROUTE_CHANGED\n";
    let routes = ["route=1", "route=2"];
    let text = header.to_owned() + &cluster(routes, "ProxySet stickysession=ROUTEID", "");
    let import = of(&text);
    let toml = plain(&import);
    assert!(
        toml.contains("sticky-cookie = { name = \"ROUTEID\" }"),
        "{toml}"
    );
    assert_eq!(told(&import, Fate::LeftOut), [""; 0]);
    for (header, set, routes, why) in [
        (
            header,
            "ProxySet stickysession=OTHER",
            routes,
            "reads another cookie",
        ),
        (
            header,
            "ProxySet stickysession=ROUTEID",
            ["route=1", ""],
            "not every member",
        ),
        (
            &*header.replace("=.%", "=-%"),
            "ProxySet stickysession=ROUTEID",
            routes,
            "before the route",
        ),
    ] {
        let import = of(&(header.to_owned() + &cluster(routes, set, "")));
        assert!(!plain(&import).contains("sticky-cookie"));
        let told = told(&import, Fate::LeftOut).concat();
        assert!(told.contains(why), "{why}: {told}");
    }
}

#[test]
fn websockets_of_a_rewrite_rule_go_where_all_requests_go() {
    let rule = "RewriteEngine On\nRewriteCond %{HTTP:Upgrade} =websocket [NC]\nRewriteRule /(.*) ws://127.0.0.1:3000/$1 [P,L]\n";
    let complement = "RewriteCond %{HTTP:Upgrade} !=websocket [NC]\nRewriteRule /(.*) http://127.0.0.1:3000/$1 [P,L]\n";
    let pass = "ProxyPass / http://127.0.0.1:3000/\nProxyPassReverse / http://127.0.0.1:3000/\n";
    for text in [rule.to_owned() + pass, rule.to_owned() + complement] {
        let import = of(&text);
        let toml = plain(&import);
        assert_eq!(toml.matches("[[route]]").count(), 1, "{toml}");
        assert!(
            toml.contains("url = \"http://127.0.0.1:3000\"\nupgrade = \"websocket\""),
            "{toml}"
        );
        assert_eq!(told(&import, Fate::LeftOut), [""; 0]);
    }
    let elsewhere = rule.to_owned() + "ProxyPass / http://127.0.0.1:4000/\n";
    let import = of(&elsewhere);
    assert!(!plain(&import).contains("upgrade"));
    assert!(
        told(&import, Fate::LeftOut)
            .concat()
            .contains("other members")
    );
    // Alone, it is a way for all requests.
    assert!(plain(&of(rule)).contains("url = \"ws://127.0.0.1:3000\""));
}

#[test]
fn a_listener_that_sends_all_to_https_is_one() {
    for rule in [
        "RewriteCond %{HTTPS} off\nRewriteRule ^ https://%{HTTP_HOST}%{REQUEST_URI} [R=301,L]",
        "RewriteCond %{HTTPS} !=on\nRewriteRule ^/?(.*) https://%{HTTP_HOST}/$1 [R=308,L]",
        "RewriteCond %{SERVER_PORT} !^443$\nRewriteRule (.*) https://%{HTTP_HOST}$1 [R,L]",
        "RewriteRule ^(.*)$ https://%{HTTP_HOST}$1 [R=permanent]",
    ] {
        let text = format!(
            "Listen 80\nListen 443\n<VirtualHost *:80>\nRewriteEngine On\n{rule}\n</VirtualHost>\n\
             <VirtualHost *:443>\nSSLEngine on\nSSLCertificateFile a.pem\nSSLCertificateKeyFile a.key\n\
             ProxyPass / http://127.0.0.1:3000/\n</VirtualHost>"
        );
        let import = super::alone(&text);
        assert_eq!(
            plain(&import),
            r#"[[listen]]
address = "[::]:80"
https-redirect = 443
[[listen]]
address = "[::]:443"
tls = { certificates = [{ cert = "/etc/a.pem", key = "/etc/a.key" }] }
[[route]]
path = "/"
balancer = "127-0-0-1-3000"
rewrite-location = false
[balancer.127-0-0-1-3000]
[[balancer.127-0-0-1-3000.member]]
url = "http://127.0.0.1:3000""#,
            "{rule}"
        );
    }
}

#[test]
fn health_checks_have_their_templates_and_expressions() {
    let text = "ProxyHCExpr ok234 {%{REQUEST_STATUS} =~ /^[234]/}\n\
                ProxyHCTemplate tpl hcmethod=GET hcexpr=ok234 hcuri=/status hcinterval=5\n"
        .to_owned()
        + &cluster(
            [
                "hctemplate=tpl",
                "hctemplate=tpl hcinterval=250ms hcfails=3",
            ],
            "",
            "",
        );
    let toml = plain(&of(&text));
    for part in [
        "hcmethod = \"GET\"\nhcuri = \"/status\"\nhcinterval = \"5s\"\nhcexpect = { status = \"200-299,300-399,400-499\" }",
        "hcinterval = \"250ms\"\nhcfails = 3\n",
    ] {
        assert!(toml.contains(part), "{part} is missing:\n{toml}");
    }
}
