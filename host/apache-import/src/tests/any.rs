//! Any lines: nothing panics, and what is written is a configuration.

use std::path::Path;

use equipoise_config::Config;
use proptest::prelude::*;

use super::of;

/// Names of directives and sections, and words, as they may stand side by side.
const NAMES: &[&str] = &[
    "ProxyPass",
    "ProxyPassMatch",
    "ProxyPassReverse",
    "BalancerMember",
    "ProxySet",
    "<Proxy",
    "</Proxy>",
    "<Location",
    "</Location>",
    "<LocationMatch",
    "</LocationMatch>",
    "<VirtualHost",
    "</VirtualHost>",
    "Require",
    "Order",
    "Allow",
    "Deny",
    "<RequireAll>",
    "</RequireAll>",
    "Redirect",
    "RedirectMatch",
    "RewriteEngine",
    "RewriteCond",
    "RewriteRule",
    "Header",
    "RequestHeader",
    "ErrorDocument",
    "SetHandler",
    "ServerName",
    "ServerAlias",
    "ProxyTimeout",
    "LimitRequestBody",
    "Define",
    "<IfDefine",
    "</IfDefine>",
    "<Macro",
    "</Macro>",
    "Use",
    "SSLEngine",
    "SSLCertificateFile",
    "ProxyPreserveHost",
    "CustomLog",
    "ProxyHCTemplate",
    "ProxyPassReverseCookiePath",
    "RemoteIPHeader",
    "HeartbeatListen",
    "DocumentRoot",
];

const WORDS: &[&str] = &[
    "/",
    "/a",
    "/a/b",
    "/a b",
    "!",
    "balancer://x",
    "balancer://x/$1",
    "http://127.0.0.1:1",
    "http://m/p",
    "https://m",
    "ws://127.0.0.1:1/$1",
    "ajp://m:8009",
    "unix:/run/a|http://b/",
    "http://",
    "://",
    "route=1",
    "loadfactor=0",
    "loadfactor=2",
    "status=+H",
    "status=x",
    "timeout=5",
    "timeout=0",
    "retry=99999999",
    "stickysession=a|b",
    "stickysession=|",
    "stickysessionsep=--",
    "hcmethod=GET",
    "hcmethod=TCP",
    "hcuri=x",
    "secret=s",
    "ping=1ms",
    "upgrade=h2c",
    "max=0",
    "ttl=1",
    "lbset=100",
    "maxattempts=500",
    "*:80>",
    "*:443>",
    "10.0.0.1:80>",
    "/a>",
    "^/(a|b)/(.*)$>",
    "^/(a|b)/(.*)$",
    "(",
    "$1",
    "x>",
    "all granted",
    "all denied",
    "ip 10.0.0.0/8",
    "valid-user",
    "from all",
    "allow,deny",
    "301",
    "gone",
    "https://%{HTTP_HOST}%{REQUEST_URI}",
    "[P,L]",
    "[R=301]",
    "%{HTTPS}",
    "off",
    "On",
    "set",
    "unset",
    "X-A",
    "\"%{REMOTE_ADDR}s\"",
    "503",
    "\"sorry",
    "a.example.com",
    "*.example.com",
    "*",
    "balancer-manager",
    "\u{1b}[0m",
    "\u{fffd}",
    "é",
    "\\",
    "'",
    "${x}",
    "name=a;path=/",
    "Set-Cookie",
    "\"R=.%{BALANCER_WORKER_ROUTE}e\"",
    "999999999999999999999",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_directives_come_to_a_configuration_or_are_told(
        lines in prop::collection::vec(
            (prop::sample::select(NAMES), prop::collection::vec(prop::sample::select(WORDS), 0..5)),
            0..12,
        ),
    ) {
        let lines = lines.iter().map(|(name, words)| format!("{name} {}\n", words.join(" ")));
        check(&lines.collect::<String>())?;
    }

    #[test]
    fn any_text_comes_to_a_configuration_or_is_told(text in "(?s).{0,200}") {
        check(&text)?;
    }
}

fn check(text: &str) -> Result<(), TestCaseError> {
    let import = of(text);
    match &import.toml {
        Some(toml) => prop_assert!(Config::parse(toml, Path::new("a")).is_ok(), "{}", toml),
        None => prop_assert!(import.report.is_refused()),
    }
    let has_escape = import.report.to_string().contains('\u{1b}');
    prop_assert!(!has_escape);
    Ok(())
}
