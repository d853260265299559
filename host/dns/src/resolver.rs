//! Looks up names: the hosts file first, name servers then.

use std::cell::RefCell;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::rdata::SRV;
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use hickory_resolver::{Hosts, TokioResolver};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::records::{Family, Resolution, ResolvedTarget, SrvPriority};
use super::search_list::search_list;
use super::system_files::{CachedFile, ResolvConf, parse_hosts, static_addresses};
use equipoise_config as config;

/// How long an entry of the hosts file is valid, within the bounds of the configuration.
const HOSTS_TTL: Duration = Duration::from_secs(5);

/// The most queries in flight at once, over all names.
const MAX_QUERIES: usize = 16;

/// The most targets of a service, and how many are looked up at once.
const MAX_TARGETS: usize = 64;
const CONCURRENT_TARGETS: usize = 8;

/// Looks up names, as `[resolver]` configures it.
pub struct Resolver {
    settings: config::Resolver,
    resolv_conf: CachedFile<ResolvConf>,
    hosts: CachedFile<Hosts>,
    /// The client, and the file that it was made of.
    client: RefCell<Option<(Rc<ResolvConf>, TokioResolver)>>,
    permits: Semaphore,
}

/// Why a lookup failed.
enum LookupError {
    /// The name does not exist, or has no such record.
    Absent(String),
    /// The name servers could not tell.
    Failed(String),
}

/// Addresses of one family or both.
#[derive(Default)]
struct HostAddresses {
    addresses: Vec<IpAddr>,
    ttl: Option<Duration>,
    missing_family: Option<Family>,
}

impl Resolver {
    /// Uses these settings, and the servers of `/etc/resolv.conf` where they name none.
    pub fn new(settings: config::Resolver) -> Self {
        Self {
            settings,
            resolv_conf: CachedFile::new("/etc/resolv.conf", ResolvConf::parse),
            hosts: CachedFile::new("/etc/hosts", parse_hosts),
            client: RefCell::default(),
            permits: Semaphore::new(MAX_QUERIES),
        }
    }

    /// Its settings.
    pub fn settings(&self) -> &config::Resolver {
        &self.settings
    }

    /// Looks up a name.
    ///
    /// # Errors
    /// Why the lookup failed, in words.
    pub(super) async fn resolve(&self, host: &str) -> Result<Resolution, String> {
        if let Some(answer) = self.in_hosts_file(host) {
            return Ok(answer);
        }
        let (conf, client) = self.client()?;
        let mut absent = String::new();
        for name in search_list(host, &conf.search, conf.ndots) {
            let answer = match host.starts_with('_') {
                true => self.service(&client, &name).await,
                false => self.server(&client, &name).await,
            };
            match answer {
                Ok(answer) => return Ok(answer),
                // Whether the next name is meant can be told only where this one is known not to exist.
                Err(LookupError::Failed(why)) => return Err(why),
                Err(LookupError::Absent(why)) => absent = why,
            }
        }
        Err(absent)
    }

    fn in_hosts_file(&self, host: &str) -> Option<Resolution> {
        let addresses = static_addresses(&self.hosts.now(), &Name::from_ascii(host).ok()?);
        if addresses.is_empty() {
            return None;
        }
        Some(Resolution {
            targets: vec![ResolvedTarget::only(host, addresses, None)],
            ttl: HOSTS_TTL,
        })
    }

    /// The client, made anew when `resolv.conf` has changed.
    fn client(&self) -> Result<(Rc<ResolvConf>, TokioResolver), String> {
        let conf = self.resolv_conf.now();
        let mut client = self.client.borrow_mut();
        if let Some((of, client)) = &*client
            && Rc::ptr_eq(of, &conf)
        {
            return Ok((conf, client.clone()));
        }
        let made = self.make_client(&conf)?;
        *client = Some((conf.clone(), made.clone()));
        Ok((conf, made))
    }

    fn make_client(&self, conf: &ResolvConf) -> Result<TokioResolver, String> {
        let own: Vec<_> = self.settings.nameservers.iter().map(name_server).collect();
        let servers = if own.is_empty() {
            if let Some(error) = &conf.error {
                tracing::warn!(
                    "no usable name server in /etc/resolv.conf ({error}): members' names are those of /etc/hosts, unless [resolver] has nameservers"
                );
            }
            conf.servers.clone()
        } else {
            own
        };
        let config = ResolverConfig::from_parts(None, Vec::new(), servers);
        let builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        let made = builder.with_options(self.options()).build();
        made.map_err(|error| error.to_string())
    }

    fn options(&self) -> ResolverOpts {
        let mut options = ResolverOpts::default();
        // A query that is lost is sent again.
        options.timeout = self.settings.timeout / 2;
        options.attempts = 1;
        // Responses are cached here, and the hosts file is read here.
        options.cache_size = 0;
        options.use_hosts_file = ResolveHosts::Never;
        options
    }

    /// The addresses of a server.
    async fn server(&self, client: &TokioResolver, name: &str) -> Result<Resolution, LookupError> {
        let hosted = self.addresses(client, name).await?;
        Ok(Resolution {
            ttl: hosted.ttl.unwrap_or_default(),
            targets: vec![ResolvedTarget::only(
                name,
                hosted.addresses,
                hosted.missing_family,
            )],
        })
    }

    /// The servers of a service, with their addresses.
    async fn service(&self, client: &TokioResolver, name: &str) -> Result<Resolution, LookupError> {
        let lookup = self.query(client, name, RecordType::SRV).await?;
        let records: Vec<_> = lookup.answers().iter().filter_map(service_record).collect();
        let ttl = ttl(lookup.answers(), RecordType::SRV);
        // A lone root says that the service is decidedly not available.
        let targets = records.iter().filter(|record| !record.target.is_root());
        let targets: Vec<_> = targets.take(MAX_TARGETS).collect();
        if targets.is_empty() {
            let ttl = ttl.unwrap_or_default();
            return Ok(Resolution {
                targets: Vec::new(),
                ttl,
            });
        }
        let hosted = targets
            .iter()
            .map(|record| self.target(client, &lookup, record));
        let hosted: Vec<_> = stream::iter(hosted)
            .buffered(CONCURRENT_TARGETS)
            .collect()
            .await;
        collect_targets(&targets, hosted, ttl)
    }

    /// The addresses of a target: those that came with its record, or looked up.
    async fn target(
        &self,
        client: &TokioResolver,
        lookup: &Lookup,
        record: &SRV,
    ) -> Result<HostAddresses, LookupError> {
        let additional = lookup.additionals().iter();
        let additional: Vec<_> = additional.filter(|it| it.name == record.target).collect();
        let addresses = additional.iter().filter_map(|it| it.data.ip_addr());
        let addresses: Vec<_> = addresses.collect();
        if addresses.is_empty() {
            return self.addresses(client, &record.target.to_ascii()).await;
        }
        let ttl = additional.iter().map(|it| it.ttl).min();
        Ok(HostAddresses {
            addresses,
            ttl: ttl.map(|ttl| Duration::from_secs(ttl.into())),
            missing_family: None,
        })
    }

    /// The addresses of a name, of both families.
    async fn addresses(
        &self,
        client: &TokioResolver,
        name: &str,
    ) -> Result<HostAddresses, LookupError> {
        let (v4, v6) = tokio::join!(
            self.query(client, name, RecordType::A),
            self.query(client, name, RecordType::AAAA)
        );
        let mut hosted = HostAddresses::default();
        let (v4, v6) = (
            hosted.add(v4, RecordType::A, Family::V4),
            hosted.add(v6, RecordType::AAAA, Family::V6),
        );
        if !hosted.addresses.is_empty() {
            return Ok(hosted);
        }
        match (v4, v6) {
            (Some(LookupError::Failed(why)), _) | (_, Some(LookupError::Failed(why))) => {
                Err(LookupError::Failed(why))
            }
            (Some(absent), _) | (None, Some(absent)) => Err(absent),
            (None, None) => Err(LookupError::Absent("it has no address".to_owned())),
        }
    }

    /// Sends one query.
    async fn query(
        &self,
        client: &TokioResolver,
        name: &str,
        kind: RecordType,
    ) -> Result<Lookup, LookupError> {
        let mut name = Name::from_ascii(name)
            .map_err(|error| LookupError::Failed(format!("not a valid DNS name: {error}")))?;
        name.set_fqdn(true);
        // It is never closed.
        let _permit = self.permits.acquire().await;
        let limit = self.settings.timeout;
        match timeout(limit, client.lookup(name, kind)).await {
            Ok(answer) => answer.map_err(|error| lookup_error(&error, limit)),
            Err(_) => Err(lookup_error(&NetError::Timeout, limit)),
        }
    }
}

impl HostAddresses {
    /// Adds the addresses of one family; returns why there are none.
    fn add(
        &mut self,
        answer: Result<Lookup, LookupError>,
        kind: RecordType,
        family: Family,
    ) -> Option<LookupError> {
        match answer {
            Ok(lookup) => {
                let addresses = lookup.answers().iter();
                let addresses = addresses.filter_map(|record| record.data.ip_addr());
                self.addresses.extend(addresses);
                self.ttl = [self.ttl, ttl(lookup.answers(), kind)]
                    .into_iter()
                    .flatten()
                    .min();
                None
            }
            Err(error) => {
                if let LookupError::Failed(_) = error {
                    self.missing_family = Some(family);
                }
                Some(error)
            }
        }
    }
}

impl ResolvedTarget {
    /// The only server that a name stands for.
    fn only(name: &str, addresses: Vec<IpAddr>, missing_family: Option<Family>) -> Self {
        Self {
            name: name.to_owned(),
            srv: SrvPriority::default(),
            port: None,
            addresses,
            missing_family,
        }
    }
}

/// The resolution of a service, if there is at least one address in it.
fn collect_targets(
    records: &[&&SRV],
    hosted: Vec<Result<HostAddresses, LookupError>>,
    ttl: Option<Duration>,
) -> Result<Resolution, LookupError> {
    let (mut ttl, mut error) = (ttl, None);
    let mut targets = Vec::new();
    for (record, hosted) in records.iter().zip(hosted) {
        let hosted = hosted.unwrap_or_else(|why| {
            let missing_family = matches!(why, LookupError::Failed(_)).then_some(Family::Any);
            error = Some(why);
            HostAddresses {
                missing_family,
                ..HostAddresses::default()
            }
        });
        ttl = [ttl, hosted.ttl].into_iter().flatten().min();
        targets.push(ResolvedTarget {
            name: record.target.to_ascii(),
            srv: SrvPriority {
                priority: record.priority,
                weight: record.weight,
            },
            port: Some(record.port),
            addresses: hosted.addresses,
            missing_family: hosted.missing_family,
        });
    }
    match error {
        Some(error) if targets.iter().all(|it| it.addresses.is_empty()) => Err(error),
        _ => Ok(Resolution {
            targets,
            ttl: ttl.unwrap_or_default(),
        }),
    }
}

fn service_record(record: &Record) -> Option<&SRV> {
    match &record.data {
        RData::SRV(service) => Some(service),
        _ => None,
    }
}

/// The shortest TTL of the records of one kind, and of the names that led to them.
fn ttl(records: &[Record], kind: RecordType) -> Option<Duration> {
    let kinds = [kind, RecordType::CNAME];
    let records = records
        .iter()
        .filter(|it| kinds.contains(&it.record_type()));
    let ttl = records.map(|record| record.ttl).min();
    ttl.map(|ttl| Duration::from_secs(ttl.into()))
}

/// A name server at this address, by UDP, and by TCP what does not fit.
fn name_server(address: &SocketAddr) -> NameServerConfig {
    let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()];
    let connections = connections.map(|mut connection| {
        connection.port = address.port();
        connection
    });
    NameServerConfig::new(address.ip(), true, connections.into())
}

fn lookup_error(error: &NetError, limit: Duration) -> LookupError {
    match error {
        NetError::Dns(DnsError::NoRecordsFound(none)) => {
            LookupError::Absent(match none.response_code {
                ResponseCode::NXDomain => "there is no such name".to_owned(),
                _ => "it has no address".to_owned(),
            })
        }
        NetError::Dns(DnsError::ResponseCode(code)) => {
            LookupError::Failed(format!("the name server responded {code}"))
        }
        NetError::Timeout => LookupError::Failed(format!("no response within {limit:?}")),
        error => LookupError::Failed(error.to_string()),
    }
}
