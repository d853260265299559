//! An address where connections are neither accepted nor refused.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use socket2::{Domain, Socket, Type};

/// A listener that accepts nothing, with a backlog that is full: the system leaves further attempts without an answer.
pub struct Blackhole {
    address: SocketAddr,
    _listener: Socket,
    _waiting: Vec<TcpStream>,
}

impl Blackhole {
    /// Fills the backlog.
    pub fn open() -> Self {
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        listener.bind(&any.into()).expect("a free port");
        listener.listen(0).expect("a bound socket can listen");
        let address = listener
            .local_addr()
            .ok()
            .and_then(|address| address.as_socket());
        let address = address.expect("a bound socket has an address");
        let connect = || TcpStream::connect_timeout(&address, Duration::from_millis(500)).ok();
        Self {
            address,
            _waiting: std::iter::from_fn(connect).take(100).collect(),
            _listener: listener,
        }
    }

    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL of a member there.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}
