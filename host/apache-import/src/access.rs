//! Who may: `Require`, and `Order`, `Allow` and `Deny`, as far as they come to networks.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::{IpNet, Ipv4Net};

use super::directive::Directive;

/// Which clients may.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Access {
    /// All.
    All,
    /// None.
    Denied,
    /// Those of one of these networks.
    Networks(Vec<IpNet>),
    /// Some, by a rule that there is no key for: why.
    Unknown(String),
}

/// What `Order`, `Allow` and `Deny` say.
#[derive(Debug, Clone, Default)]
pub(crate) struct HostRules {
    /// `Order Allow,Deny`: who is not allowed may not. Default: who is not denied may.
    is_allow_first: bool,
    allowed: Vec<Access>,
    denied: Vec<Access>,
}

impl Access {
    /// Those whom one of these lets in.
    pub(crate) fn any(rules: Vec<Self>) -> Self {
        let mut networks = Vec::new();
        let mut unknown = None;
        for rule in rules {
            match rule {
                Self::All => return Self::All,
                Self::Denied => {}
                Self::Networks(more) => networks.extend(more),
                Self::Unknown(reason) => unknown = unknown.or(Some(reason)),
            }
        }
        match unknown {
            Some(reason) => Self::Unknown(reason),
            None if networks.is_empty() => Self::Denied,
            None => Self::Networks(networks),
        }
    }

    /// Those whom both let in.
    pub(crate) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Denied, _) | (_, Self::Denied) => Self::Denied,
            (Self::All, rule) | (rule, Self::All) => rule,
            (Self::Unknown(reason), _) | (_, Self::Unknown(reason)) => Self::Unknown(reason),
            (Self::Networks(one), Self::Networks(other)) => {
                let shared = |a: IpNet| {
                    let both = other.iter().filter_map(move |b| match () {
                        () if b.contains(&a) => Some(a),
                        () if a.contains(b) => Some(*b),
                        () => None,
                    });
                    both.collect::<Vec<_>>()
                };
                let networks: Vec<_> = one.into_iter().flat_map(shared).collect();
                match networks.is_empty() {
                    true => Self::Denied,
                    false => Self::Networks(networks),
                }
            }
        }
    }

    /// What a `Require`, or a section of several, says.
    pub(crate) fn of(directive: &Directive) -> Self {
        let rules = || directive.children.iter().filter(|it| is_requirement(it));
        match &*directive.key {
            "<requireall>" | "<requireall" => rules().map(Self::of).fold(Self::All, Self::and),
            "<requireany" => Self::any(rules().map(Self::of).collect()),
            "<requirenone" => Self::Unknown("<RequireNone> shuts out".to_owned()),
            _ => require(&directive.words),
        }
    }
}

/// Whether the directive says who may, in Apache 2.4's words.
pub(crate) fn is_requirement(directive: &Directive) -> bool {
    matches!(
        &*directive.key,
        "require" | "<requireall" | "<requireany" | "<requirenone"
    )
}

fn require(words: &[String]) -> Access {
    let (provider, rest) = match words {
        [provider, rest @ ..] => (provider.to_ascii_lowercase(), rest),
        [] => return Access::Unknown("says nothing".to_owned()),
    };
    match &*provider {
        "all" => match rest.first().map(|word| word.to_ascii_lowercase()) {
            Some(granted) if granted == "granted" => Access::All,
            _ => Access::Denied,
        },
        "ip" => Access::any(rest.iter().map(|word| network(word)).collect()),
        "local" => local(),
        "host" => Access::any(rest.iter().map(|word| host(word)).collect()),
        "not" => Access::Unknown("`not` shuts out".to_owned()),
        "valid-user" | "user" | "group" | "file-owner" | "file-group" => {
            Access::Unknown("asks for users, who are not known here".to_owned())
        }
        other => Access::Unknown(format!("`{other}` is not known here")),
    }
}

/// Clients of this machine.
fn local() -> Access {
    let networks = ["127.0.0.0/8", "::1/128"];
    let networks = networks.iter().filter_map(|it| it.parse().ok());
    Access::Networks(networks.collect())
}

fn host(name: &str) -> Access {
    match name {
        local_host if local_host.eq_ignore_ascii_case("localhost") => local(),
        other => Access::Unknown(format!(
            "`{other}` would have to be looked up for each client"
        )),
    }
}

/// `10.1.2.3`, `10.1`, `10.0.0.0/8`, `10.0.0.0/255.0.0.0`, `::1` or `fd00::/8`.
fn network(word: &str) -> Access {
    let unknown = || Access::Unknown(format!("`{word}` is no address"));
    parse_network(word).map_or_else(unknown, |network| Access::Networks(vec![network]))
}

fn parse_network(word: &str) -> Option<IpNet> {
    if let Ok(network) = word.parse::<IpNet>() {
        return Some(network.trunc());
    }
    if let Ok(address) = word.parse::<IpAddr>() {
        return Some(address.into());
    }
    if let Some((address, mask)) = word.split_once('/') {
        let (address, mask) = (address.parse().ok()?, mask.parse::<Ipv4Addr>().ok()?);
        let network = Ipv4Net::with_netmask(address, mask).ok()?;
        return Some(IpNet::V4(network.trunc()));
    }
    // The beginning of an address, such as `10.1` or `10.1.`.
    let parts: Vec<&str> = word.trim_end_matches('.').split('.').collect();
    let mut bytes = [0; 4];
    if parts.len() > 3 {
        return None;
    }
    for (byte, part) in bytes.iter_mut().zip(&parts) {
        *byte = part.parse().ok()?;
    }
    let bits = u8::try_from(8 * parts.len()).ok()?;
    Ipv4Net::new(bytes.into(), bits).ok().map(IpNet::V4)
}

impl HostRules {
    /// Reads `Order`, `Allow` or `Deny`.
    pub(crate) fn read(&mut self, directive: &Directive) {
        match &*directive.key {
            "order" => {
                let order = directive.words.concat().to_ascii_lowercase();
                self.is_allow_first = order != "deny,allow";
            }
            key => {
                let skipped = usize::from(directive.word(0).eq_ignore_ascii_case("from"));
                let words = directive.words.iter().skip(skipped);
                let rules = words.map(|word| from(word));
                match key {
                    "allow" => self.allowed.extend(rules),
                    _ => self.denied.extend(rules),
                }
            }
        }
    }

    /// Which clients these let in.
    pub(crate) fn access(&self) -> Access {
        let allowed = Access::any(self.allowed.clone());
        let denied = Access::any(self.denied.clone());
        match (self.is_allow_first, denied) {
            (true, Access::Denied) => allowed,
            (true, Access::All) => Access::Denied,
            (false, Access::Denied) => Access::All,
            (false, Access::All) => allowed,
            (true, _) if allowed == Access::Denied => Access::Denied,
            (false, _) if allowed == Access::All => Access::All,
            _ => Access::Unknown("`Deny` shuts out some".to_owned()),
        }
    }
}

/// A word behind `Allow from`.
fn from(word: &str) -> Access {
    match word.to_ascii_lowercase() {
        all if all == "all" => Access::All,
        variable if variable.starts_with("env=") => {
            Access::Unknown(format!("`{word}` asks for a variable"))
        }
        _ => match network(word) {
            Access::Unknown(_) => host(word),
            network => network,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lexer;

    fn shown(access: &Access) -> String {
        match access {
            Access::All => "all".to_owned(),
            Access::Denied => "denied".to_owned(),
            Access::Networks(networks) => {
                let networks: Vec<_> = networks.iter().map(ToString::to_string).collect();
                networks.join(" ")
            }
            Access::Unknown(_) => "?".to_owned(),
        }
    }

    #[test]
    fn require_is_read() {
        for (text, expected) in [
            ("all granted", "all"),
            ("all denied", "denied"),
            ("local", "127.0.0.0/8 ::1/128"),
            ("host localhost", "127.0.0.0/8 ::1/128"),
            ("host example.com", "?"),
            ("host localhost example.com", "?"),
            ("ip 10.1 192.168.2.7", "10.1.0.0/16 192.168.2.7/32"),
            ("ip 10. ::1", "10.0.0.0/8 ::1/128"),
            ("ip 10.1.2.3/8", "10.0.0.0/8"),
            ("ip 172.16.0.0/255.240.0.0", "172.16.0.0/12"),
            ("ip 10.x", "?"),
            ("ip", "denied"),
            ("not ip 10.0.0.1", "?"),
            ("valid-user", "?"),
            ("expr %{HTTPS} == 'on'", "?"),
            ("", "?"),
        ] {
            assert_eq!(shown(&require(&lexer::words(text))), expected, "{text}");
        }
    }

    #[test]
    fn order_allow_and_deny_are_read() {
        for (lines, expected) in [
            ("Order deny,allow|Allow from all", "all"),
            ("Order deny,allow", "all"),
            ("Order allow,deny", "denied"),
            ("Order allow,deny|Allow from all", "all"),
            ("Order Deny,Allow|Deny from all|Allow from 10", "10.0.0.0/8"),
            ("Deny from all", "denied"),
            (
                "Order deny,allow|Deny from all|Allow from localhost ::1",
                "127.0.0.0/8 ::1/128 ::1/128",
            ),
            ("Order allow,deny|Allow from all|Deny from 10.0.0.1", "?"),
            (
                "Order deny,allow|Deny from all|Allow from .example.com",
                "?",
            ),
            ("Order deny,allow|Deny from all|Allow from env=x", "?"),
        ] {
            let mut rules = HostRules::default();
            for line in lines.split('|') {
                let mut rest = line;
                let name = lexer::word(&mut rest).expect("a name");
                let place = crate::place::Place {
                    file: "a".into(),
                    line: 1,
                };
                rules.read(&Directive {
                    id: 0,
                    place,
                    key: name.to_ascii_lowercase(),
                    name,
                    text: rest.to_owned(),
                    words: lexer::words(rest),
                    children: Vec::new(),
                });
            }
            assert_eq!(shown(&rules.access()), expected, "{lines}");
        }
    }

    #[test]
    fn networks_that_both_allow_are_those_within_each_other() {
        let networks = |text: &str| require(&lexer::words(&format!("ip {text}")));
        for (one, other, expected) in [
            ("10.0.0.0/8", "10.1.0.0/16 192.168.0.0/16", "10.1.0.0/16"),
            ("10.1.0.0/16", "10.0.0.0/8", "10.1.0.0/16"),
            ("10.0.0.0/8", "11.0.0.0/8", "denied"),
        ] {
            assert_eq!(shown(&networks(one).and(networks(other))), expected);
        }
    }
}
