//! The configuration in force: checked, with every default filled in. A [`Config`] cannot be wrong.
//!
//! [`Config::read`] reads it from TOML and reports every mistake it finds; nothing else builds one from text.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroUsize;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use equipoise_balancer::{BalancerSettings, MemberSettings};
use http::uri::Authority;
use http::{HeaderName, Version};
use ipnet::IpNet;
use regex::bytes::Regex;

mod access_log;
mod admin;
mod balancer;
mod check;
mod collector;
mod compiler;
mod diagnostic;
mod explain;
mod heartbeat;
mod limits;
mod listener;
mod manager;
mod member;
mod method;
mod name;
mod outlier;
mod plugin;
mod read;
mod reference;
mod resolver;
mod route;
pub mod source;
mod sticky;
mod table;
mod tls;
mod toml_recovery;
mod traces;
mod unsupported_apache;
mod upgrade;
mod url;
mod value;

#[cfg(test)]
mod tests;

pub use diagnostic::member_of_key;
pub use diagnostic::{Diagnostic, Diagnostics};
pub use member::MemberLocation;
pub use route::{
    Action, Body, BodyFile, Content, ErrorPage, ErrorPages, HeaderRules, HostPattern, PathPattern,
    PathRegex, Piece, Redirect, Respond, Template, Variable,
};
pub use source::Source;
pub use tls::{ClientAuth, ClientTls, Identity, ServerTls, TlsVersion, Trust};

/// Everything a configuration file says.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Worker threads. Default: the cores the process may use.
    pub workers: NonZeroUsize,
    /// What a start does about plugins that have to be compiled first.
    pub start: Start,
    /// How long requests in flight may take to end once the program is told to stop. Default 30 s.
    pub shutdown_timeout: Duration,
    /// Where requests are logged. Default: nowhere.
    pub access_log: Option<AccessLog>,
    /// Bounds on what clients may do.
    pub limits: Limits,
    /// Where clients connect to; at least one.
    pub listeners: Vec<Listener>,
    /// Where heartbeats come from. Default: none are received.
    pub heartbeat: Option<Heartbeat>,
    /// The listener for operators. Default: none.
    pub admin: Option<Admin>,
    /// How members' names become addresses.
    pub resolver: Resolver,
    /// Which decisions are kept to be explained. Default: none.
    pub explain: Explain,
    /// How requests are traced. Default: `traceparent` passes as it is.
    pub traces: Option<Traces>,
    /// Where clients' listeners serve the balancer-manager. Default: nowhere.
    pub manager: Option<Manager>,
    /// Which requests go to which balancer; the first that matches wins.
    pub routes: Vec<Route>,
    /// The plugins, in the order of the file; some may not be used by any balancer.
    pub plugins: Vec<Plugin>,
    /// How plugins are compiled.
    pub compiler: Compiler,
    /// The balancers, in the order of the file.
    pub balancers: Vec<Balancer>,
}

/// `start`: what a start does about plugins whose code is not in the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Start {
    /// It serves at once; the fallbacks decide until the plugins are compiled.
    #[default]
    AtOnce,
    /// It waits until each plugin is compiled or refused before it accepts connections.
    Wait,
}

/// `access-log`: one line a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessLog {
    /// Where the lines go.
    pub sink: Sink,
    /// What a line looks like. Default `combined`.
    pub format: LogFormat,
}

/// Where log lines go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sink {
    /// `file = "stdout"`.
    Stdout,
    /// Appended to a file; relative to the configuration file.
    File(PathBuf),
}

/// What an access log line looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// Apache's combined format with the balancer's fields behind it.
    #[default]
    Combined,
    /// One JSON object a line.
    Json,
    /// Who was chosen and why, for people to read: what the demo shows. Not for configuration files.
    Decision,
}

/// `[limits]`: bounds on what clients may do, for all listeners together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// `connections`: open client connections in all; more wait in the kernel's backlog. Default 10 000.
    pub connections: usize,
    /// `header-size`: bytes of a request's or response's head. Default 64 KiB; 8 KiB to 1 MiB.
    pub header_size: usize,
    /// `headers`: header fields of a request or response. Default 100; 1 to 1 000.
    pub headers: usize,
    /// `header-timeout`: time from the first byte of a request head to its last. Default 10 s.
    pub header_timeout: Duration,
    /// `keepalive-timeout`: how long a connection may wait for its next request. Default 60 s.
    pub keepalive_timeout: Duration,
    /// `client-timeout`: how long a client may stall within a body it sends or receives. Default 60 s.
    pub client_timeout: Duration,
    /// `client-rate`: bytes a second that a client has to send of a body, or take of a response, on average over the time that
    /// we wait for it; the first 10 s are not looked at. 0 for off. Default 240.
    pub client_rate: usize,
    /// `half-close`: how long a client that has closed its sending side still gets its response. Default 10 s; 0 for not at all.
    pub half_close: Duration,
    /// `handshake-timeout`: how long a client may take for its PROXY header and its TLS handshake. Default 10 s.
    pub handshake_timeout: Duration,
    /// `streams`: requests that are under way at once on one connection of HTTP/2. Default 100; 1 to 10 000.
    pub streams: u32,
}

impl Config {
    /// The files that bodies of responses are in.
    pub fn body_files(&self) -> impl Iterator<Item = BodyFile<'_>> {
        self.routes.iter().enumerate().flat_map(|(number, route)| {
            let content = match &route.action {
                Action::Respond(respond) => respond.content.as_ref(),
                Action::Balancer(_) | Action::Redirect(_) => None,
            };
            let file = content.and_then(|it| it.file(|| format!("route[{number}].respond")));
            let pages = route.error_pages.iter().flat_map(|pages| pages.iter());
            let pages = pages.filter_map(move |(status, page)| match page {
                ErrorPage::Content(content) => {
                    content.file(|| format!("route[{number}].error-pages.{status}"))
                }
                ErrorPage::Redirect(_) => None,
            });
            file.into_iter().chain(pages)
        })
    }
}

impl Limits {
    /// The limits of messages, of clients and of members.
    pub fn message_limits(&self) -> equipoise_http::Limits {
        let bytes = u32::try_from(self.header_size).unwrap_or(u32::MAX);
        let fields = u16::try_from(self.headers).unwrap_or(u16::MAX);
        equipoise_http::Limits {
            head: equipoise_http::Section::new(bytes, fields),
            target: bytes,
            ..equipoise_http::Limits::default()
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 10_000,
            header_size: 64 * 1024,
            headers: 100,
            header_timeout: Duration::from_secs(10),
            keepalive_timeout: Duration::from_secs(60),
            client_timeout: Duration::from_secs(60),
            client_rate: 240,
            half_close: Duration::from_secs(10),
            handshake_timeout: Duration::from_secs(10),
            streams: 100,
        }
    }
}

/// `[[listen]]`: where clients connect to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// Address and port; port 0 takes a free one.
    pub address: SocketAddr,
    /// `tls`: clients come by TLS. Default: they do not.
    pub tls: Option<ServerTls>,
    /// `proxy-protocol`: the networks whose connections begin with a PROXY header, version 1 or 2, which says where the client
    /// is. Other clients must not send one. Default: none.
    pub proxy_from: Vec<IpNet>,
    /// `https-redirect`: every request is redirected to the same URL at `https` and this port. Default: none is.
    pub https_redirect: Option<u16>,
}

/// `[resolver]`: how members' names become addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolver {
    /// `nameservers`: the name servers. Default: those of the system.
    pub nameservers: Vec<SocketAddr>,
    /// `timeout`: how long a query may take. Default 5 s.
    pub timeout: Duration,
    /// `min-ttl`: how long a record is cached at least. Default 1 s.
    pub min_ttl: Duration,
    /// `max-ttl`: how long a record is cached at most. Default 1 h.
    pub max_ttl: Duration,
}

impl Default for Resolver {
    fn default() -> Self {
        Self {
            nameservers: Vec::new(),
            timeout: Duration::from_secs(5),
            min_ttl: Duration::from_secs(1),
            max_ttl: Duration::from_secs(3600),
        }
    }
}

/// `[heartbeat]`: how members report their idle slots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heartbeat {
    /// `listen`: where datagrams come to, a multicast group or an address of this machine; port 0 takes a free one.
    /// Default: none come. Without it there is an [`Admin`].
    pub listen: Option<SocketAddr>,
    /// `from`: the networks that may send. Default: the members' own addresses, where their URLs have such.
    pub from: Option<Vec<IpNet>>,
    /// `path`: where the admin listener takes them, if there is one. Default `/heartbeat`; of the form of a route's.
    pub path: String,
}

/// `[admin]`: the listener for operators.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admin {
    /// Where they connect to.
    pub address: AdminAddress,
    /// The bearer token: the content of `token-file`. Required unless the address is loopback.
    pub token: Option<Token>,
    /// `hosts`: names that requests may have in `Host`, besides addresses and `localhost`; in lower case.
    pub hosts: Vec<String>,
    /// `persist`: the file that keeps run-time changes over restarts; relative to the configuration file. Default: they last
    /// until the program ends.
    pub persist: Option<PathBuf>,
}

/// Where the admin listener is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AdminAddress {
    /// Address and port; port 0 takes a free one.
    Tcp(SocketAddr),
    /// `unix:PATH`: a socket file, which only its owner may open. Relative to the configuration file.
    Unix(PathBuf),
}

impl std::fmt::Display for AdminAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// `[explain]`: why requests went where they went.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Explain {
    /// `decisions`: so many are kept, the last ones. Default 0: none; up to 100 000.
    pub decisions: usize,
    /// `header`: the field of responses that has the decision's id. Default: none.
    pub header: Option<HeaderName>,
}

/// `[traces]`: requests are traced, as W3C Trace Context and OpenTelemetry have it.
#[derive(Debug, Clone, PartialEq)]
pub struct Traces {
    /// `endpoint`: the collector that spans are exported to. Default: none, `traceparent` alone is passed on.
    pub endpoint: Option<TraceEndpoint>,
    /// `sample`: the part of the traces that begin here that is exported. Default 0.1; 0 to 1.
    pub sample: f64,
    /// `service`: the service name in spans. Default `equipoise`.
    pub service: String,
}

/// A collector that takes OTLP over HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceEndpoint {
    /// Host and port as they go into `Host`.
    pub authority: Authority,
    /// Host name or address to connect to, an IPv6 address without its brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    /// Where spans are sent to.
    pub path: String,
}

/// `[manager]`: the balancer-manager on the listeners for clients, as in Apache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manager {
    /// `path`: where it is, before any route. Default `/balancer-manager`.
    pub path: String,
    /// `hosts`: names that requests may have in `Host`, besides addresses and `localhost`; in lower case.
    pub hosts: Vec<String>,
    /// `require`: whether clients of this machine may, whose requests no proxy has forwarded. Default: they alone.
    pub local: bool,
    /// `require`: networks that clients may come from; where there are none, and not `local`, they may from anywhere.
    pub networks: Vec<IpNet>,
    /// `require`: whether they have to know the token of [`Admin`].
    pub requires_token: bool,
}

/// A secret, which is not shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// The secret.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// The secret.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(…)")
    }
}

/// `[[route]]`: which requests go where, and how they look there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// `host`: which hosts the route is for; empty for all, which is the default.
    pub hosts: Vec<HostPattern>,
    /// `listener`: the addresses of the listeners that it is for; empty for all, which is the default.
    pub listeners: Vec<SocketAddr>,
    /// A path prefix that ends at a segment boundary. Starts with `/`, ends with none but in `/` itself. With a `pattern` it is `/`.
    pub path: String,
    /// `match`: what the path has to match besides. Default: nothing.
    pub pattern: Option<Box<PathPattern>>,
    /// `exclude`: prefixes, of the same form as `path`, that this route does not take.
    pub exclude: Vec<String>,
    /// `require`: networks that clients have to be in; empty for all clients, which is the default.
    pub require: Vec<IpNet>,
    /// `balancer`, `redirect` or `respond`: what answers its requests.
    pub action: Action,
    /// `error-pages`: what clients get in place of the proxy's own words for an error. Default: those.
    pub error_pages: Option<Box<ErrorPages>>,
    /// `replace-member-errors`: responses of members with statuses from 400 on are replaced as well. Default false.
    pub replace_member_errors: bool,
    /// `member-path`: what replaces `path` on the way to the member. Default: `path` itself. Same form as `path`.
    pub member_path: String,
    /// `preserve-host`: send the client's `Host` to the member instead of the member's own. Default false.
    pub preserve_host: bool,
    /// `x-forwarded`: what becomes of X-Forwarded-For, -Host and -Proto, and of other fields beginning with X that tell of the
    /// client. Default append, as Apache.
    pub x_forwarded: Forwarding,
    /// `forwarded`: what becomes of RFC 7239's `Forwarded`. Default off.
    pub forwarded: Forwarding,
    /// `via`: what becomes of `Via`. Default off, as Apache.
    pub via: Via,
    /// `request-headers`: what becomes of fields of requests. Default: nothing more.
    pub request_headers: Option<Box<HeaderRules>>,
    /// `response-headers`: what becomes of fields of members' responses. Default: nothing more.
    pub response_headers: Option<Box<HeaderRules>>,
    /// `rewrite-location`: turn members' addresses in Location, Content-Location, URI, Link and Refresh into the proxy's. Default true.
    pub rewrite_location: bool,
    /// `cookie-domain`: domains of members' cookies and what replaces them, besides the members' own host names.
    pub cookie_domain: Vec<(String, String)>,
    /// `cookie-path`: path prefixes of members' cookies and what replaces them, besides the member path itself.
    pub cookie_path: Vec<(String, String)>,
    /// `options-asterisk`: `OPTIONS *` for this route's hosts goes to its balancer. Only with path `/`. Default false: it is
    /// answered by the proxy itself.
    pub options_asterisk: bool,
    /// `timeout`: how long a member may take to respond to requests of this route, and stall within a body. Default: the member's.
    pub timeout: Option<Duration>,
    /// `max-body`: the most bytes of payload that a request's body may have. Default: no bound.
    pub max_body: Option<usize>,
}

impl Route {
    /// What the route is called: its hosts, none where it is for all, its path or `~` and its pattern, and behind ` on ` its
    /// listeners, where it is not for all.
    pub fn label(&self) -> String {
        let mut label = comma_separated(&self.hosts);
        label.push_str(&self.path_label());
        if !self.listeners.is_empty() {
            label.push_str(" on ");
            label.push_str(&comma_separated(&self.listeners));
        }
        label
    }

    /// The balancer that its requests go to, as an index into [`Config::balancers`]; none where the proxy answers itself.
    #[inline]
    pub fn balancer(&self) -> Option<usize> {
        match self.action {
            Action::Balancer(balancer) => Some(balancer),
            Action::Redirect(_) | Action::Respond(_) => None,
        }
    }

    /// Its path, or `~` and its pattern.
    pub fn path_label(&self) -> Cow<'_, str> {
        match &self.pattern {
            None => Cow::Borrowed(&self.path),
            Some(pattern) => Cow::Owned(format!("~{}", pattern.regex.as_str())),
        }
    }
}

fn comma_separated(parts: &[impl ToString]) -> String {
    let parts: Vec<_> = parts.iter().map(ToString::to_string).collect();
    parts.join(",")
}

/// What becomes of header fields that tell members about the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Forwarding {
    /// The proxy's part is added behind what the client sent.
    Append,
    /// What the client sent is dropped and the proxy's part sent.
    Replace,
    /// What the client sent passes as it is.
    Off,
    /// `{ trust = […] }`: append for clients in these networks, replace for all others.
    Trust(Vec<IpNet>),
}

/// What becomes of the fields of one client that tell about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ForwardingAction {
    /// The proxy's part is added behind what the client sent.
    Append,
    /// What the client sent is removed and the proxy's part sent.
    Replace,
    /// What the client sent is removed.
    Remove,
    /// What the client sent passes as it is.
    Pass,
}

impl Forwarding {
    fn trusts(&self, client: IpAddr) -> bool {
        match self {
            Self::Trust(networks) => {
                let client = client.to_canonical();
                networks.iter().any(|network| network.contains(&client))
            }
            Self::Append | Self::Replace | Self::Off => true,
        }
    }
}

impl Route {
    /// Whether a client at this address may use the route.
    #[inline]
    pub fn admits(&self, client: IpAddr) -> bool {
        self.require.is_empty() || {
            let client = client.to_canonical();
            self.require.iter().any(|network| network.contains(&client))
        }
    }

    /// What becomes of `X-Forwarded-*` and `X-Real-IP` of a client at this address.
    #[inline]
    pub fn x_forwarded_action(&self, client: IpAddr) -> ForwardingAction {
        self.forwarding_action(&self.x_forwarded, client)
    }

    /// What becomes of `Forwarded` of a client at this address.
    #[inline]
    pub fn forwarded_action(&self, client: IpAddr) -> ForwardingAction {
        self.forwarding_action(&self.forwarded, client)
    }

    /// Where either of the two names trusted networks, other clients' fields of both kinds are removed.
    #[inline]
    fn forwarding_action(&self, forwarding: &Forwarding, client: IpAddr) -> ForwardingAction {
        let is_trusted = || self.x_forwarded.trusts(client) && self.forwarded.trusts(client);
        match forwarding {
            Forwarding::Append => ForwardingAction::Append,
            Forwarding::Replace => ForwardingAction::Replace,
            Forwarding::Off if is_trusted() => ForwardingAction::Pass,
            Forwarding::Off => ForwardingAction::Remove,
            Forwarding::Trust(_) if forwarding.trusts(client) => ForwardingAction::Append,
            Forwarding::Trust(_) => ForwardingAction::Replace,
        }
    }
}

/// What becomes of `Via`, with Apache's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Via {
    /// It passes as it is.
    Off,
    /// The proxy's hop is added to requests and responses.
    On,
    /// It is removed from requests.
    Block,
}

/// `[plugin.NAME]`: a WebAssembly component that balancers name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plugin {
    /// What balancers and logs call it: printable ASCII without spaces.
    pub name: String,
    /// `file`: the component; relative to the configuration file.
    pub file: PathBuf,
    /// `settings`: what it is configured with, by name. At most 64 of up to 4096 bytes. Default: none.
    pub settings: BTreeMap<String, String>,
    /// `memory`: bytes of linear memory that one instance may have. Default 16 MiB; 1 MiB to 256 MiB, or to 1 GiB with
    /// `memory-unlimited`.
    pub memory: usize,
    /// `deadline`: processor time that one call may take. Default 5 ms; 1 ms to 1 s.
    pub deadline: Duration,
    /// `cpu-budget`: percent of one processor that its calls may take in sum. Default 10; 1 to 100, which is no bound.
    pub cpu_budget: u8,
    /// `max-faults`: so many faults within 10 s put the version out of service. Default 5; 1 to 1000.
    pub max_faults: usize,
    /// `instances`: who shares an instance. Default: all workers, one for each balancer.
    pub instances: Instances,
    /// `hide-headers`: header fields of requests that the plugin does not see, in lower case. At most 64. Default:
    /// `authorization` and `proxy-authorization`.
    pub hide_headers: Vec<String>,
}

/// `[compiler]`: how plugins are compiled, in a process of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compiler {
    /// `cache`: where compiled plugins are kept; relative to the configuration file.
    pub cache: CacheFolder,
    /// `memory`: bytes of memory that compiling one may take. Default 2 GiB; 256 MiB to 64 GiB.
    pub memory: usize,
    /// `time`: processor time that compiling one may take. Default 5 min; 1 s to 24 h.
    pub time: Duration,
}

impl Default for Compiler {
    fn default() -> Self {
        Self {
            cache: CacheFolder::default(),
            memory: 2 << 30,
            time: Duration::from_secs(300),
        }
    }
}

/// `cache`: where compiled plugins are kept.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum CacheFolder {
    /// `$CACHE_DIRECTORY`, `$XDG_CACHE_HOME/equipoise` or `$HOME/.cache/equipoise`; nowhere if none of them is set.
    #[default]
    Default,
    /// `cache = "off"`: nowhere.
    Off,
    /// A folder.
    At(PathBuf),
}

/// `instances`: how many instances of a plugin a balancer has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Instances {
    /// One, which all workers share in turn: it sees every request of the balancer, in order.
    #[default]
    PerBalancer,
    /// One for each worker, side by side: each sees the requests of its worker only.
    PerWorker,
}

/// `[balancer.NAME]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Balancer {
    /// Name, `nofailover`, `forcerecovery`, `failonstatus` and `failontimeout`.
    pub settings: BalancerSettings,
    /// `lbmethod`. Default byrequests.
    pub method: Method,
    /// How sessions are found in requests: `stickysession` with `stickysessionsep` and `scolonpathdelim`.
    pub sticky: Option<Sticky>,
    /// `sticky-cookie`: a cookie that the proxy sets to keep the session at its member.
    pub sticky_cookie: Option<StickyCookie>,
    /// `maxattempts`: how often a request is tried again after its first try. Default: members − 1.
    pub max_attempts: usize,
    /// `timeout`: how long a request waits for an eligible member. Default zero: not at all.
    pub timeout: Duration,
    /// `retry-on`: responses and failures after which a request with an idempotent method goes to another member.
    pub retry_on: RetryOn,
    /// `request-timeout`: time from a request's head to the head of its response, over all tries. Default: no bound.
    pub request_timeout: Option<Duration>,
    /// `retry-budget`: retries as a part of requests, in percent. Default 20 %; `None` for no bound.
    pub retry_budget: Option<u8>,
    /// `replay-buffer`: how many bytes of a request body are kept to send again. Default 64 KiB; up to 16 MiB.
    pub replay_buffer: usize,
    /// `outlier`: when members whose live requests fail are left out. Default: never.
    pub outlier: Option<Outlier>,
    /// `health`: the plugin that decides which members are healthy, as an index into [`Config::plugins`]. Default: the built-in rule.
    pub health_plugin: Option<usize>,
    /// The members in the order of the file; at least one.
    pub members: Vec<Member>,
}

/// `outlier`: members whose live requests fail are left out for a while.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outlier {
    /// `consecutive-failures`: so many in a row; 0 for off. Default 5.
    pub consecutive_failures: u32,
    /// `failure-rate`: so large a part of the requests within `window`, in percent; 0 for off. Default 50 %.
    pub failure_rate: u8,
    /// `min-requests`: with fewer in the window there is no rate. Default 20.
    pub min_requests: u32,
    /// `window`: what the rate is taken over. Default 10 s.
    pub window: Duration,
    /// `statuses`: responses that count as failures, besides no response at all. Default 500 to 599.
    pub statuses: Vec<RangeInclusive<u16>>,
    /// `eject`: how long a member is left out the first time; twice as long each time after that. Default 30 s.
    pub eject: Duration,
    /// `max-eject`: the longest. Default 5 min.
    pub max_eject: Duration,
    /// `max-ejected`: so large a part of the members is left out at most, in percent. Default 50 %.
    pub max_ejected: u8,
}

/// `lbmethod`: how a member is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// `"byrequests"`: one of the built-in methods.
    Builtin(BuiltinMethod),
    /// `{ plugin = "NAME" }`: a plugin, with a method for the requests it does not decide.
    Plugin {
        /// Index into [`Config::plugins`].
        plugin: usize,
        /// `fallback`: decides where the plugin does not: when it leaves it so, and on any fault. Default byrequests.
        fallback: BuiltinMethod,
    },
}

/// The built-in load balancing methods.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BuiltinMethod {
    /// By the number of requests.
    Byrequests,
    /// By the bytes sent and received.
    Bytraffic,
    /// By the requests in flight.
    Bybusyness,
    /// By the idle slots members report.
    Heartbeat,
}

impl BuiltinMethod {
    /// The word for it in configurations.
    pub fn word(self) -> &'static str {
        match self {
            Self::Byrequests => "byrequests",
            Self::Bytraffic => "bytraffic",
            Self::Bybusyness => "bybusyness",
            Self::Heartbeat => "heartbeat",
        }
    }
}

/// How sticky sessions work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sticky {
    /// `stickysession`: how the session of a request is found.
    pub source: SessionSource,
    /// `stickysessionsep`: what stands before the route, in sessions found by their names and in `sticky-cookie`;
    /// `None` (`"Off"`): the whole value is the route. Default `.`.
    pub separator: Option<char>,
}

/// `stickysession`: how the session of a request is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SessionSource {
    /// `"COOKIE|parameter"`: it stands in a cookie or a URL parameter.
    Names {
        /// The cookie's name.
        cookie: String,
        /// The URL parameter's name.
        parameter: String,
        /// `scolonpathdelim`: whether `;` ends the URL parameter's value. Default false.
        semicolon_ends: bool,
    },
    /// `{ plugin = "NAME" }`: a plugin reads it. Index into [`Config::plugins`].
    Plugin(usize),
}

/// `sticky-cookie`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StickyCookie {
    /// The cookie's name; required.
    pub name: String,
    /// `path`. Default `/`.
    pub path: String,
    /// `domain`. Default: none, the cookie is for the host alone.
    pub domain: Option<String>,
    /// `http-only`. Default true.
    pub http_only: bool,
    /// `same-site`. Default lax.
    pub same_site: SameSite,
    /// `secure`. Default auto.
    pub secure: Secure,
    /// `max-age`, whole seconds. Default: none, the cookie lives as long as the browser session.
    pub max_age: Option<Duration>,
}

/// The `SameSite` attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SameSite {
    /// `Lax`.
    Lax,
    /// `Strict`.
    Strict,
    /// `None`; browsers take it with `secure` only.
    None,
}

/// When the `Secure` attribute is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Secure {
    /// When the client came by TLS.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// `retry-on`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RetryOn {
    /// Response statuses.
    pub statuses: Vec<u16>,
    /// `"timeout"`: the member did not respond in time.
    pub timeout: bool,
}

/// `[[balancer.NAME.member]]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Member {
    /// What the balancing rules need: weight, set, route, redirect, status, retry, slow start.
    pub settings: MemberSettings,
    /// `metadata`: what plugins are told of the member, by name. At most 32 of up to 1024 bytes. Default: none.
    pub metadata: BTreeMap<String, String>,
    /// Host and port as they go into `Host`: without the port where it is the scheme's own.
    pub authority: Authority,
    /// Host name or address to connect to (an IPv6 address without its brackets) and the port.
    pub host: String,
    /// See `host`.
    pub port: u16,
    /// The URL's path, without a slash at its end: `""` or `/base`.
    pub path: String,
    /// `timeout`: how long the member may take to respond, and stall within a body. Default 60 s.
    pub timeout: Duration,
    /// `connectiontimeout`. Default 1 s.
    pub connection_timeout: Duration,
    /// `acquire`: how long a request waits while `max` requests are in flight. Default 10 s.
    pub acquire: Duration,
    /// `max`: requests in flight at the member, over all workers. Default: no bound.
    pub max: Option<NonZeroUsize>,
    /// `ttl`: how long an idle connection is kept. Default 4 s, below the 5 s that Apache and Node.js keep theirs.
    pub ttl: Duration,
    /// `drain-timeout`: how long a draining member keeps its sticky sessions. Default: for as long as it drains.
    pub drain_timeout: Option<Duration>,
    /// `ping`: requests with a body ask `Expect: 100-continue` and wait this long for the go-ahead; by HTTP/2 and AJP, each request
    /// waits this long for the answer to a ping. Default: off.
    pub ping: Option<Duration>,
    /// `disablereuse`: a new connection for every request. Default false.
    pub disable_reuse: bool,
    /// `keepalive`: TCP keep-alive probes on connections to the member. Default false.
    pub keepalive: bool,
    /// The URL's scheme: what is spoken with the member.
    pub protocol: Protocol,
    /// `secret`: what a container of AJP has to hear before it takes a request. Default: nothing is said.
    pub secret: Option<Token>,
    /// `ajp-packet-size`: the largest packet of AJP, in bytes, as the container has it, too. Default 8 KiB; up to 64 KiB.
    pub ajp_packet_size: usize,
    /// `tls`, where the URL's scheme is one of TLS: `https`, `h2`, `wss`.
    pub tls: Option<ClientTls>,
    /// `unix:PATH|` before the URL: the socket file that the member listens at, instead of host and port.
    pub socket: Option<PathBuf>,
    /// `upgrade`: what connections may become. Default: nothing, and `websocket` with `ws` and `wss`.
    pub upgrade: Upgrade,
    /// `tunnel-timeout`: how long nothing may pass through a connection that has become something else. Default 1 h.
    pub tunnel_timeout: Duration,
    /// `proxy-protocol`: connections begin with a PROXY header of this version, which says where the client is. Then each
    /// request has a connection of its own. Default: they do not.
    pub proxy_header: Option<ProxyVersion>,
    /// `hcmethod` and the keys that go with it: active checks. Default: none.
    pub check: Option<Check>,
}

/// What is spoken with a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// `http`, `ws`, `wss`: HTTP/1.1.
    Http1,
    /// `h2`, `h2c`: HTTP/2, from the first byte on.
    Http2,
    /// `https`: HTTP/2 where the member takes it (ALPN), HTTP/1.1 where not.
    Negotiated,
    /// `ajp`: AJP/1.3.
    Ajp,
}

/// `upgrade`: what a client's connection may become at a member's word (101).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Upgrade {
    /// Nothing: what clients say of it is not passed on.
    Never,
    /// One of these protocols, in lower case, such as `websocket`.
    To(Vec<String>),
    /// `"ANY"`: whatever client and member agree on.
    Any,
}

/// The version of a PROXY header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyVersion {
    /// `"v1"`: a line of text.
    V1,
    /// `"v2"`: binary.
    V2,
}

/// Active checks of a member.
#[derive(Debug, Clone, PartialEq)]
pub struct Check {
    /// `hcmethod`: what a check is.
    pub kind: CheckKind,
    /// `hcinterval`: the longest time from the start of a check to the start of the next. Default 30 s; at least 100 ms.
    pub interval: Duration,
    /// `hctimeout`: how long a whole check may take. Default 5 s, or the interval if that is less.
    pub timeout: Duration,
    /// `hcfails`: so many failed checks in a row make a member ill. Default 1; 1 to 100.
    pub fails: u32,
    /// `hcpasses`: so many passed checks in a row make it well again. Default 1; 1 to 100.
    pub passes: u32,
    /// `hcport`: where to connect to. Default: where requests go.
    pub port: Option<u16>,
}

/// What a check is.
#[derive(Debug, Clone, PartialEq)]
pub enum CheckKind {
    /// A connection that is made.
    Tcp,
    /// A request whose response is as expected.
    Http(HttpCheck),
    /// A service of gRPC that says that it serves.
    Grpc(GrpcCheck),
    /// A container of AJP that answers CPING.
    Cping,
}

/// The call of a check: of `grpc.health.v1.Health/Check`. The member speaks HTTP/2, or ALPN says whether it does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrpcCheck {
    /// `hcservice`: the service. Default: the empty name, which stands for the server as a whole.
    pub service: String,
    /// `hchost`: the authority. Default: the member's.
    pub host: String,
    /// `hcheaders`: the call's metadata. At most 32; default none.
    pub headers: Vec<(String, String)>,
}

/// The request of a check, and what its response must be.
#[derive(Debug, Clone, PartialEq)]
pub struct HttpCheck {
    /// The method without its version.
    pub method: CheckMethod,
    /// HTTP/1.0, or HTTP/1.1 with the methods that end in `11`.
    pub version: Version,
    /// The request target: the member's path and `hcuri`, or `*`.
    pub target: String,
    /// `hchost`: what goes into `Host`. Default: the member's authority.
    pub host: String,
    /// `hcheaders`: more fields of the request. At most 32; default none.
    pub headers: Vec<(String, String)>,
    /// `hcexpect`: what the response must be.
    pub expect: Expect,
    /// `hcreport`: names, in lower case, of the response's fields that health plugins get. At most 16; default none.
    pub report: Vec<String>,
}

/// The method of a check's request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckMethod {
    /// `OPTIONS`.
    Options,
    /// `HEAD`.
    Head,
    /// `GET`.
    Get,
}

/// `hcexpect`: what a response must be; all of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Expect {
    /// `status`: one of these. Default 200 to 399.
    pub statuses: Vec<RangeInclusive<u16>>,
    /// `header`: fields that must be there, with the value they must have, without blanks around it. Default none.
    pub headers: Vec<(String, String)>,
    /// `body`: what the first 64 KiB of the body must match. Default anything.
    pub body: Option<Pattern>,
}

impl Default for Expect {
    fn default() -> Self {
        Self {
            statuses: vec![200..=399],
            headers: Vec::new(),
            body: None,
        }
    }
}

/// A regular expression; two are equal if they are written alike.
#[derive(Debug, Clone)]
pub struct Pattern(Regex);

impl Pattern {
    /// A compiled one.
    pub fn new(regex: Regex) -> Self {
        Self(regex)
    }

    /// Whether any part of `bytes` matches.
    pub fn matches(&self, bytes: &[u8]) -> bool {
        self.0.is_match(bytes)
    }

    /// As it is written.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}
