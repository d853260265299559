//! Connecting to a member: name lookup, TCP, PROXY header, TLS handshake.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::AsyncWriteExt as _;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::client::TlsStream;

use super::dial::{Dialled, Socket, dial, local_address};
use super::{Endpoint, MemberStream};
use crate::error::ConnectError;
use crate::proxy_protocol;
use equipoise_config::Protocol;
use equipoise_dns::Address;

/// What differs from one connection to the next.
#[derive(Debug, Clone, Copy, Default)]
pub struct ConnectOptions<'request> {
    /// Where the client is, for the PROXY header. Default: our own end of the connection.
    pub client: Option<SocketAddr>,
    /// `Host`, where the route preserves the client's: the member has to be this host then, unless its `server-name` says
    /// otherwise. Default: the host of the member's URL.
    pub sent_host: Option<&'request str>,
    /// A port other than the member's own.
    pub port: Option<u16>,
    /// Whether HTTP/2 must not be spoken where there is a choice.
    pub only_http1: bool,
}

/// A connection over which HTTP may be spoken.
pub struct Connected {
    /// Open, and through its handshakes.
    pub stream: MemberStream,
    /// What was agreed, or is known beforehand.
    pub speaks_http2: bool,
    /// Where it goes to, of the addresses of the member's name; `None` where it has no name.
    pub address: Option<Arc<Address>>,
}

/// Connects to a member, until a deadline that is one for all steps: its `connectiontimeout` after it was begun to wait for.
///
/// Logs a failed TLS handshake: once, until one succeeds.
///
/// # Errors
/// See [`ConnectError`]; of several addresses, the last one's failure.
pub(crate) async fn connect(
    endpoint: &Endpoint,
    options: ConnectOptions<'_>,
    deadline: Instant,
) -> Result<Connected, ConnectError> {
    let limit = endpoint.config.connection_timeout;
    let connected = timeout_at(deadline, establish(endpoint, options, deadline)).await;
    let connected = connected.unwrap_or(Err(ConnectError::TimedOut(limit)));
    endpoint.log_tls_error(connected.as_ref().err());
    connected
}

/// Connects to a member without a bound on the time: the caller gives up at `deadline` or later, so that an address that does
/// not answer leaves time for the next one.
///
/// # Errors
/// As [`connect`], but for the deadline.
pub async fn establish(
    endpoint: &Endpoint,
    options: ConnectOptions<'_>,
    deadline: Instant,
) -> Result<Connected, ConnectError> {
    let name = endpoint
        .tls
        .as_ref()
        .map(|tls| tls.server_name(options.sent_host));
    let name = name.transpose()?;
    let Dialled {
        mut socket,
        address,
    } = dial(endpoint, options.port, deadline).await?;
    if let Some(version) = endpoint.config.proxy_header {
        let local = local_address(&socket);
        let header = proxy_protocol::encode(version, options.client.unwrap_or(local), local);
        socket.write_all(&header).await?;
    }
    let protocol = endpoint.config.protocol;
    let (stream, speaks_http2) = match endpoint.tls.as_ref().zip(name) {
        Some((tls, name)) => {
            let connector = if options.only_http1 {
                &tls.upgrades
            } else {
                &tls.requests
            };
            let stream = connector.connect(name, socket).await;
            let stream = Box::new(stream.map_err(ConnectError::Tls)?);
            let speaks_http2 = speaks_http2(protocol, &stream);
            (MemberStream::Right(stream), speaks_http2)
        }
        None => (MemberStream::Left(socket), protocol == Protocol::Http2),
    };
    Ok(Connected {
        stream,
        speaks_http2,
        address,
    })
}

/// Whether HTTP/2 follows TLS.
fn speaks_http2(protocol: Protocol, stream: &TlsStream<Socket>) -> bool {
    match protocol {
        Protocol::Http1 | Protocol::Ajp => false,
        Protocol::Http2 => true,
        Protocol::Negotiated => stream.get_ref().1.alpn_protocol() == Some(b"h2"),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::future::pending;
    use std::io;
    use std::net::{IpAddr, Ipv4Addr};
    use std::path::Path;
    use std::time::Duration;

    use tokio::net::TcpListener;
    use tokio::time::sleep;

    use super::*;
    use equipoise_config::{Config, Member};
    use equipoise_tls::{Connector, FileContents};
    use rustix::io::Errno;

    const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    /// The timers of the tests' clock are late by this at the most.
    const TICK: Duration = Duration::from_millis(2);

    pub(crate) fn endpoint(url: &str, lines: &str) -> Endpoint {
        let text = format!(
            "[[listen]]\naddress = \"127.0.0.1:0\"\n[[route]]\npath = \"/\"\nbalancer = \"b\"\n\
             [[balancer.b.member]]\nurl = \"{url}\"\n{lines}\n"
        );
        let config = Config::parse(&text, Path::new("test.toml"));
        let config = config.unwrap_or_else(|mistakes| panic!("{mistakes}"));
        let member = &config.balancers[0].members[0];
        Endpoint::new(member, tls(member), None)
    }

    fn tls(member: &Member) -> Option<Connector> {
        let contents = FileContents::read(std::collections::BTreeSet::new());
        Connector::new(member, &contents, None).unwrap()
    }

    /// A member that accepts connections and says nothing.
    pub(crate) async fn mute() -> (TcpListener, u16) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        (listener, port)
    }

    /// How long it takes to find out that there is no connection, with a name whose address is known after `lookup`.
    async fn gives_up(endpoint: &Endpoint, lookup: Duration) -> Duration {
        let begun = Instant::now();
        let deadline = begun + endpoint.config.connection_timeout;
        let lookup = async {
            sleep(lookup).await;
            if let Some(addresses) = &endpoint.addresses {
                addresses.set(&[LOCALHOST]);
            }
            pending::<()>().await;
        };
        let error = tokio::select! {
            connected = connect(endpoint, ConnectOptions::default(), deadline) => connected.err().unwrap(),
            () = lookup => unreachable!("it never ends"),
        };
        assert!(matches!(error, ConnectError::TimedOut(_)), "{error}");
        begun.elapsed()
    }

    /// Each of the steps alone may take the whole of `connectiontimeout`; together they may take no more.
    #[tokio::test(start_paused = true)]
    async fn all_steps_together_take_connectiontimeout_once() {
        let (_listener, port) = mute().await;
        let limit = Duration::from_secs(1);
        let by_tls =
            "tls = { verify = false }\nproxy-protocol = \"v2\"\nconnectiontimeout = \"1s\"";
        let table = [
            (format!("https://127.0.0.1:{port}"), 0),
            (format!("https://app.test:{port}"), 0),
            (format!("https://app.test:{port}"), 400),
            (format!("https://app.test:{port}"), 999),
            (format!("https://app.test:{port}"), 60_000),
        ];
        for (url, lookup) in table {
            let endpoint = endpoint(&url, by_tls);
            let took = gives_up(&endpoint, Duration::from_millis(lookup)).await;
            assert!(
                (limit..=limit + TICK).contains(&took),
                "{url} {lookup} ms: {took:?}"
            );
        }
    }

    #[test]
    fn what_we_have_run_out_of_says_nothing_about_the_member() {
        let io = |errno: Errno| ConnectError::Io(errno.into());
        let table = [
            (io(Errno::CONNREFUSED), true),
            (io(Errno::HOSTUNREACH), true),
            (ConnectError::Io(io::ErrorKind::NotFound.into()), true),
            (ConnectError::TimedOut(Duration::ZERO), true),
            (ConnectError::Tls(io::ErrorKind::InvalidData.into()), true),
            (io(Errno::MFILE), false),
            (io(Errno::ADDRNOTAVAIL), false),
        ];
        for (error, expected) in table {
            assert_eq!(error.is_member_error(), expected, "{error:?}");
        }
    }

    #[tokio::test]
    async fn a_host_that_no_certificate_can_be_for_is_said_before_anything_is_sent() {
        let (listener, port) = mute().await;
        let endpoint = endpoint(
            &format!("https://127.0.0.1:{port}"),
            "tls = { verify = false }",
        );
        let options = ConnectOptions {
            sent_host: Some("a..b:80"),
            ..ConnectOptions::default()
        };
        let error = connect(&endpoint, options, Instant::now() + TICK * 500)
            .await
            .err()
            .unwrap();
        assert!(!error.is_member_error());
        assert!(
            error
                .to_string()
                .starts_with("`a..b:80` is not a valid TLS server name"),
            "{error}"
        );
        let connected = std::future::poll_fn(|context| {
            std::task::Poll::Ready(listener.poll_accept(context).is_ready())
        });
        assert!(!connected.await);
    }
}
