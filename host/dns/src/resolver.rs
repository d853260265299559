//! Asks for names: the hosts file first, name servers then.

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

use super::candidates::candidates;
use super::known::{Answer, Family, Found, Rank};
use super::system::{Fresh, ResolvConf, parse_hosts, static_addresses};
use equipoise_config as config;

/// How long what the hosts file says counts, within the bounds of the configuration.
const HOSTS_TTL: Duration = Duration::from_secs(5);

/// The most questions that are open at once, over all names.
const MOST_QUESTIONS: usize = 16;

/// The most targets of a service, and how many are asked for at once.
const MOST_TARGETS: usize = 64;
const TARGETS_AT_ONCE: usize = 8;

/// Asks for names, as a configuration has it.
pub struct Resolver {
    settings: config::Resolver,
    resolv_conf: Fresh<ResolvConf>,
    hosts: Fresh<Hosts>,
    /// What asks, and what it was made of.
    client: RefCell<Option<(Rc<ResolvConf>, TokioResolver)>>,
    permits: Semaphore,
}

/// Why there is no answer.
enum Trouble {
    /// There is no such name, or it has not what was asked for.
    Absent(String),
    /// Nobody knows whether there is.
    Failed(String),
}

/// Addresses of one kind or both.
#[derive(Default)]
struct Hosted {
    addresses: Vec<IpAddr>,
    ttl: Option<Duration>,
    unanswered: Option<Family>,
}

impl Resolver {
    /// Asks by these settings, of the servers that `/etc/resolv.conf` names.
    pub fn new(settings: config::Resolver) -> Self {
        Self {
            settings,
            resolv_conf: Fresh::new("/etc/resolv.conf", ResolvConf::parse),
            hosts: Fresh::new("/etc/hosts", parse_hosts),
            client: RefCell::default(),
            permits: Semaphore::new(MOST_QUESTIONS),
        }
    }

    /// What it goes by.
    pub fn settings(&self) -> &config::Resolver {
        &self.settings
    }

    /// Asks what a name stands for now.
    ///
    /// # Errors
    /// Why there is no answer, in words.
    pub(super) async fn resolve(&self, host: &str) -> Result<Answer, String> {
        if let Some(answer) = self.in_hosts(host) {
            return Ok(answer);
        }
        let (conf, client) = self.client()?;
        let mut absent = String::new();
        for name in candidates(host, &conf.search, conf.ndots) {
            let answer = match host.starts_with('_') {
                true => self.service(&client, &name).await,
                false => self.server(&client, &name).await,
            };
            match answer {
                Ok(answer) => return Ok(answer),
                // Whether the next name is meant can be told only where this one is known not to exist.
                Err(Trouble::Failed(why)) => return Err(why),
                Err(Trouble::Absent(why)) => absent = why,
            }
        }
        Err(absent)
    }

    fn in_hosts(&self, host: &str) -> Option<Answer> {
        let addresses = static_addresses(&self.hosts.now(), &Name::from_ascii(host).ok()?);
        if addresses.is_empty() {
            return None;
        }
        Some(Answer {
            targets: vec![Found::only(host, addresses, None)],
            ttl: HOSTS_TTL,
        })
    }

    /// What asks, made anew when `resolv.conf` has changed.
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
        let own: Vec<_> = self.settings.nameservers.iter().map(server_at).collect();
        let servers = if own.is_empty() {
            if let Some(trouble) = &conf.trouble {
                tracing::warn!(
                    "/etc/resolv.conf names no server that could be asked ({trouble}): members' names are those of /etc/hosts, unless [resolver] has nameservers"
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
        // A question that is lost is asked again.
        options.timeout = self.settings.timeout / 2;
        options.attempts = 1;
        // Answers are kept here, and the hosts file is read here.
        options.cache_size = 0;
        options.use_hosts_file = ResolveHosts::Never;
        options
    }

    /// The addresses of a server.
    async fn server(&self, client: &TokioResolver, name: &str) -> Result<Answer, Trouble> {
        let hosted = self.addresses(client, name).await?;
        Ok(Answer {
            ttl: hosted.ttl.unwrap_or_default(),
            targets: vec![Found::only(name, hosted.addresses, hosted.unanswered)],
        })
    }

    /// The servers of a service, with their addresses.
    async fn service(&self, client: &TokioResolver, name: &str) -> Result<Answer, Trouble> {
        let lookup = self.ask(client, name, RecordType::SRV).await?;
        let records: Vec<_> = lookup.answers().iter().filter_map(service_record).collect();
        let ttl = ttl(lookup.answers(), RecordType::SRV);
        // A lone root says that the service is decidedly not available.
        let targets = records.iter().filter(|record| !record.target.is_root());
        let targets: Vec<_> = targets.take(MOST_TARGETS).collect();
        if targets.is_empty() {
            let ttl = ttl.unwrap_or_default();
            return Ok(Answer {
                targets: Vec::new(),
                ttl,
            });
        }
        let hosted = targets
            .iter()
            .map(|record| self.target(client, &lookup, record));
        let hosted: Vec<_> = stream::iter(hosted)
            .buffered(TARGETS_AT_ONCE)
            .collect()
            .await;
        gather(&targets, hosted, ttl)
    }

    /// The addresses of a target: those that came with its record, or asked for.
    async fn target(
        &self,
        client: &TokioResolver,
        lookup: &Lookup,
        record: &SRV,
    ) -> Result<Hosted, Trouble> {
        let additional = lookup.additionals().iter();
        let additional: Vec<_> = additional.filter(|it| it.name == record.target).collect();
        let addresses = additional.iter().filter_map(|it| it.data.ip_addr());
        let addresses: Vec<_> = addresses.collect();
        if addresses.is_empty() {
            return self.addresses(client, &record.target.to_ascii()).await;
        }
        let ttl = additional.iter().map(|it| it.ttl).min();
        Ok(Hosted {
            addresses,
            ttl: ttl.map(|ttl| Duration::from_secs(ttl.into())),
            unanswered: None,
        })
    }

    /// The addresses of a name, of both kinds.
    async fn addresses(&self, client: &TokioResolver, name: &str) -> Result<Hosted, Trouble> {
        let (v4, v6) = tokio::join!(
            self.ask(client, name, RecordType::A),
            self.ask(client, name, RecordType::AAAA)
        );
        let mut hosted = Hosted::default();
        let (v4, v6) = (
            hosted.add(v4, RecordType::A, Family::V4),
            hosted.add(v6, RecordType::AAAA, Family::V6),
        );
        if !hosted.addresses.is_empty() {
            return Ok(hosted);
        }
        match (v4, v6) {
            (Some(Trouble::Failed(why)), _) | (_, Some(Trouble::Failed(why))) => {
                Err(Trouble::Failed(why))
            }
            (Some(absent), _) | (None, Some(absent)) => Err(absent),
            (None, None) => Err(Trouble::Absent("it has no address".to_owned())),
        }
    }

    /// Asks one question.
    async fn ask(
        &self,
        client: &TokioResolver,
        name: &str,
        kind: RecordType,
    ) -> Result<Lookup, Trouble> {
        let mut name = Name::from_ascii(name)
            .map_err(|error| Trouble::Failed(format!("it is no name for DNS: {error}")))?;
        name.set_fqdn(true);
        // It is never closed.
        let _permit = self.permits.acquire().await;
        let limit = self.settings.timeout;
        match timeout(limit, client.lookup(name, kind)).await {
            Ok(answer) => answer.map_err(|error| trouble(&error, limit)),
            Err(_) => Err(trouble(&NetError::Timeout, limit)),
        }
    }
}

impl Hosted {
    /// Adds what was answered about addresses of one kind; tells why there are none.
    fn add(
        &mut self,
        answer: Result<Lookup, Trouble>,
        kind: RecordType,
        family: Family,
    ) -> Option<Trouble> {
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
            Err(trouble) => {
                if let Trouble::Failed(_) = trouble {
                    self.unanswered = Some(family);
                }
                Some(trouble)
            }
        }
    }
}

impl Found {
    /// The only server that a name stands for.
    fn only(name: &str, addresses: Vec<IpAddr>, unanswered: Option<Family>) -> Self {
        Self {
            name: name.to_owned(),
            rank: Rank::default(),
            port: None,
            addresses,
            unanswered,
        }
    }
}

/// The answer about a service, if there is at least one address in it.
fn gather(
    records: &[&&SRV],
    hosted: Vec<Result<Hosted, Trouble>>,
    ttl: Option<Duration>,
) -> Result<Answer, Trouble> {
    let (mut ttl, mut trouble) = (ttl, None);
    let mut targets = Vec::new();
    for (record, hosted) in records.iter().zip(hosted) {
        let hosted = hosted.unwrap_or_else(|why| {
            let unanswered = matches!(why, Trouble::Failed(_)).then_some(Family::Any);
            trouble = Some(why);
            Hosted {
                unanswered,
                ..Hosted::default()
            }
        });
        ttl = [ttl, hosted.ttl].into_iter().flatten().min();
        targets.push(Found {
            name: record.target.to_ascii(),
            rank: Rank {
                priority: record.priority,
                weight: record.weight,
            },
            port: Some(record.port),
            addresses: hosted.addresses,
            unanswered: hosted.unanswered,
        });
    }
    match trouble {
        Some(trouble) if targets.iter().all(|it| it.addresses.is_empty()) => Err(trouble),
        _ => Ok(Answer {
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

/// Who answers there, by UDP, and by TCP what does not fit.
fn server_at(address: &SocketAddr) -> NameServerConfig {
    let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()];
    let connections = connections.map(|mut connection| {
        connection.port = address.port();
        connection
    });
    NameServerConfig::new(address.ip(), true, connections.into())
}

fn trouble(error: &NetError, limit: Duration) -> Trouble {
    match error {
        NetError::Dns(DnsError::NoRecordsFound(none)) => {
            Trouble::Absent(match none.response_code {
                ResponseCode::NXDomain => "there is no such name".to_owned(),
                _ => "it has no address".to_owned(),
            })
        }
        NetError::Dns(DnsError::ResponseCode(code)) => {
            Trouble::Failed(format!("the name server said: {code}"))
        }
        NetError::Timeout => Trouble::Failed(format!("no answer within {limit:?}")),
        error => Trouble::Failed(error.to_string()),
    }
}
