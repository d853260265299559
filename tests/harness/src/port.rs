//! Ports for programs that cannot be told to take any free one.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use super::{Process, WAIT_TIMEOUT};

/// A free address of this machine.
pub fn free() -> SocketAddr {
    free_at(Ipv4Addr::LOCALHOST.into())
}

/// A free address at this host, at a port below those that systems give out by themselves: between now and the program's start
/// one of those could be given to another test's server, or to our own connection to it, and either would look like the program.
pub fn free_at(host: IpAddr) -> SocketAddr {
    let mut ports = (0..1_000).map(|_| fastrand::u16(16_384..32_768));
    let address = ports.find_map(|port| {
        let listener = TcpListener::bind((host, port)).ok()?;
        listener.local_addr().ok()
    });
    address.expect("a free port")
}

/// Waits until something listens at all of these addresses; whether that is so before the process ends.
pub fn await_listening(process: &mut Process, addresses: &[SocketAddr]) -> bool {
    let deadline = Instant::now() + WAIT_TIMEOUT;
    while addresses.iter().any(|it| TcpStream::connect(it).is_err()) {
        if process.has_ended() || Instant::now() > deadline {
            return false;
        }
        thread::sleep(Duration::from_millis(5));
    }
    true
}
