//! Configurations of the program: variants with the same listeners and balancers, which differ in much of the rest.

use super::members::NAMES;

/// The balancers. Requests to `/NAME/…` go to the one of that name.
pub(super) const BALANCERS: [&str; 5] = ["native", "chosen", "spread", "sticky", "judged"];

const TOP: &str = r#"workers = 2
access-log = { file = "stdout", format = "json" }
[[listen]]
address = "127.0.0.1:0"
[[listen]]
address = "127.0.0.1:0"
tls = { certificates = [{ cert = "soak.pem", key = "soak.key" }] }
[admin]
address = "127.0.0.1:0"
token-file = "token"
"#;

const CHECKS: &str = r#"hcmethod = "GET11"
hcinterval = "500ms"
hctimeout = "2s"
hcfails = 3
"#;

/// The configuration of this number, with members at these URLs.
pub(super) fn variant(number: usize, urls: &[String]) -> String {
    let is_odd = number % 2 == 1;
    let balancers = BALANCERS.map(|name| balancer(name, is_odd, urls));
    let timeout = if is_odd { "20s" } else { "10s" };
    format!(
        "{TOP}[limits]\nheader-timeout = \"{timeout}\"\n{}{}",
        plugins(number),
        balancers.concat()
    )
}

fn plugins(number: usize) -> String {
    let mood = number % 2;
    // Its versions are made anew for this, which cannot be while the file holds none: so it is rare.
    let hidden = if number / 8 % 2 == 1 {
        "[]"
    } else {
        "[\"cookie\"]"
    };
    format!(
        "[plugin.chooser]\nfile = \"chooser.wasm\"\nhide-headers = {hidden}
[plugin.spread]\nfile = \"spread.wasm\"\ninstances = \"per-worker\"
[plugin.reader]\nfile = \"reader.wasm\"\nsettings = {{ mood = \"{mood}\" }}
[plugin.judge]\nfile = \"judge.wasm\"\n"
    )
}

fn balancer(name: &str, is_odd: bool, urls: &[String]) -> String {
    let keys = match name {
        "native" if is_odd => "lbmethod = \"bybusyness\"\n",
        "chosen" => "lbmethod = { plugin = \"chooser\" }\n",
        "spread" => "lbmethod = { plugin = \"spread\", fallback = \"bybusyness\" }\n",
        "sticky" => "stickysession = { plugin = \"reader\" }\n",
        "judged" => "health = { plugin = \"judge\" }\n",
        _ => "",
    };
    let checks = if name == "judged" { CHECKS } else { "" };
    let factor = if is_odd { 1 } else { 2 };
    // The last member comes and goes with the variant.
    let count = urls.len() - usize::from(is_odd);
    let members = urls.iter().zip(NAMES).take(count).map(|(url, member)| {
        let route = member.replace('b', "r");
        format!(
            "[[balancer.{name}.member]]\nurl = \"{url}\"\nroute = \"{route}\"\nretry = \"1s\"\nloadfactor = {factor}\n"
        )
    });
    let members: String = members.collect();
    format!(
        "[[route]]\npath = \"/{name}\"\nbalancer = \"{name}\"\n[balancer.{name}]\n{keys}{checks}{members}"
    )
}
