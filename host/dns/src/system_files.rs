//! `/etc/resolv.conf` and `/etc/hosts`, read again when they change.

use std::cell::RefCell;
use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::rc::Rc;
use std::time::SystemTime;

use hickory_resolver::Hosts;
use hickory_resolver::config::NameServerConfig;
use hickory_resolver::proto::op::Query;
use hickory_resolver::proto::rr::{Name, RecordType};
use hickory_resolver::system_conf::parse_resolv_conf;

use equipoise_file_watch as file_watch;

/// The largest file that is read, in bytes.
const MAX_FILE: u64 = 64 * 1024 * 1024;

/// Makes a configuration without servers one that can be read.
const PLACEHOLDER_SERVER: &[u8] = b"\nnameserver 127.0.0.1\n";

/// `resolv.conf`, as far as it matters here.
#[derive(Debug)]
pub(super) struct ResolvConf {
    pub(super) servers: Vec<NameServerConfig>,
    /// The domains below which names are looked for.
    pub(super) search: Vec<String>,
    /// A name with so many dots is looked up as it stands first.
    pub(super) ndots: usize,
    /// Why there are no servers.
    pub(super) error: Option<String>,
}

impl ResolvConf {
    /// Reads the content of the file.
    pub(super) fn parse(content: io::Result<Vec<u8>>) -> Self {
        let content = content.map_err(|error| error.to_string());
        let whole = content.as_ref().map_err(String::clone).and_then(|content| {
            let parsed = parse_resolv_conf(content);
            parsed.map_err(|error| error.to_string())
        });
        let error = whole.as_ref().err().cloned();
        // The rest counts even where there are no servers in it.
        let rest =
            || parse_resolv_conf([&content.unwrap_or_default(), PLACEHOLDER_SERVER].concat()).ok();
        let servers = whole
            .as_ref()
            .map_or_else(|_| Vec::new(), |(config, _)| config.name_servers().to_vec());
        let parsed = whole.ok().or_else(rest);
        let (search, ndots) = parsed.map_or_else(
            || (Vec::new(), 1),
            |(config, options)| {
                let domains = match config.search() {
                    [] => config.domain().into_iter().collect(),
                    search => search.iter().collect::<Vec<_>>(),
                };
                let search = domains.into_iter().map(Name::to_ascii);
                (search.collect(), options.ndots)
            },
        );
        Self {
            servers,
            search,
            ndots,
            error,
        }
    }
}

/// Reads the content of `/etc/hosts`; what cannot be read is empty.
pub(super) fn parse_hosts(content: io::Result<Vec<u8>>) -> Hosts {
    let mut hosts = Hosts::default();
    if let Err(error) = content.and_then(|content| hosts.read_hosts_conf(&*content)) {
        tracing::debug!(%error, "the hosts file cannot be read");
    }
    hosts
}

/// The addresses that the hosts file has for a name.
pub(super) fn static_addresses(hosts: &Hosts, name: &Name) -> Vec<IpAddr> {
    let kinds = [RecordType::A, RecordType::AAAA];
    let found = kinds.map(|kind| hosts.lookup_static_host(&Query::query(name.clone(), kind)));
    let records = found.iter().flatten().flat_map(|lookup| lookup.answers());
    records.filter_map(|record| record.data.ip_addr()).collect()
}

/// A file that is read again when it changes.
pub(super) struct CachedFile<T> {
    path: &'static str,
    parse: fn(io::Result<Vec<u8>>) -> T,
    last: RefCell<Option<(Option<Signature>, Rc<T>)>>,
}

/// When it was changed, and how large it is.
type Signature = (SystemTime, u64);

impl<T> CachedFile<T> {
    pub(super) fn new(path: &'static str, parse: fn(io::Result<Vec<u8>>) -> T) -> Self {
        Self {
            path,
            parse,
            last: RefCell::default(),
        }
    }

    /// What is in it now; the same as before where it has not changed.
    pub(super) fn now(&self) -> Rc<T> {
        let signature = fs::metadata(self.path).ok();
        let signature = signature.and_then(|it| Some((it.modified().ok()?, it.len())));
        let mut last = self.last.borrow_mut();
        if let Some((same, content)) = &*last
            && *same == signature
        {
            return content.clone();
        }
        let read = file_watch::read_once(Path::new(self.path), MAX_FILE);
        let read = read.map(|content| content.bytes).map_err(Into::into);
        let content = Rc::new((self.parse)(read));
        *last = Some((signature, content.clone()));
        content
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conf(text: &str) -> ResolvConf {
        ResolvConf::parse(Ok(text.into()))
    }

    #[test]
    fn resolv_conf_names_servers_and_domains() {
        let conf = conf(
            "nameserver 10.0.0.2\nnameserver ::1\nsearch shop.internal internal\noptions ndots:3\n",
        );
        let servers: Vec<_> = conf.servers.iter().map(|it| it.ip.to_string()).collect();
        assert_eq!(servers, ["10.0.0.2", "::1"]);
        assert_eq!((conf.ndots, conf.error), (3, None));
        let search = conf.search.iter().map(|it| it.trim_end_matches('.'));
        assert_eq!(search.collect::<Vec<_>>(), ["shop.internal", "internal"]);
    }

    #[test]
    fn resolv_conf_without_servers_still_has_domains() {
        let conf = conf("search internal\n");
        assert_eq!(conf.servers.len(), 0);
        assert!(conf.error.is_some());
        assert_eq!(conf.search.len(), 1);
        let missing = ResolvConf::parse(Err(io::ErrorKind::NotFound.into()));
        assert!(missing.error.is_some() && missing.servers.is_empty());
    }

    #[test]
    fn hosts_have_several_addresses() {
        let hosts = parse_hosts(Ok(
            b"10.0.0.1 app app.internal\n10.0.0.2 app # twice\n::1 app\n".into(),
        ));
        let of = |name: &str| {
            let name = Name::from_ascii(name).expect("a name");
            let addresses = static_addresses(&hosts, &name);
            addresses
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
        };
        assert_eq!(of("app"), ["10.0.0.1", "10.0.0.2", "::1"]);
        assert_eq!(of("APP.internal."), ["10.0.0.1"]);
        assert_eq!(of("other"), [""; 0]);
    }
}
