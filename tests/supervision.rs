//! What systemd does with the program: it hands over sockets, and is told how the program fares.

use std::net::TcpListener;
use std::os::unix::net::UnixDatagram;
use std::process::Command;

use command_fds::{CommandFdExt as _, FdMapping};
use tempfile::TempDir;

use crate::harness::proxy::{server, write_config};
use crate::harness::{Client, Origin, Proxy, Signal, WAIT_TIMEOUT, program};

fn config(address: &str, member: &Origin) -> String {
    format!(
        "[[listen]]\naddress = \"{address}\"\n[[route]]\npath = \"/\"\nbalancer = \"b\"\n\
         [[balancer.b.member]]\nurl = \"{}\"\n",
        member.url()
    )
}

/// The program with a configuration in `directory`, not started yet.
fn command(directory: &TempDir, toml: &str) -> Command {
    let path = write_config(directory.path(), toml);
    program(&["run", path.to_str().expect("UTF-8")])
}

/// The program, started as systemd does that listens itself.
fn activated(listeners: &[&TcpListener], toml: &str) -> Proxy {
    let directory = TempDir::new().expect("a directory");
    let mut command = command(&directory, toml);
    let mappings = (3..).zip(listeners).map(|(child_fd, listener)| FdMapping {
        parent_fd: listener.try_clone().expect("a clone").into(),
        child_fd,
    });
    let mapped = command.fd_mappings(mappings.collect());
    mapped
        .expect("no number twice")
        .env("LISTEN_FDS", listeners.len().to_string());
    Proxy::run(command, 1, directory)
}

/// Goal: a client that connects while the program does not run is served when it does. Method: the test listens, as systemd would,
/// and starts the program several times.
#[test]
fn sockets_that_others_opened_are_served() {
    let [b1] = Origin::some();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address");
    for _ in 0..2 {
        let mut waiting = Client::connect(address);
        waiting.ask("GET /", &[]);
        let toml = config(&address.to_string(), &b1);
        let mut proxy = activated(&[&listener], &toml);
        assert_eq!(proxy.address(), address);
        assert_eq!(server(&waiting.response()), "b1");
        drop(waiting);
        assert_eq!(proxy.served(10), ["b1"; 10]);
        let first = proxy.process();
        proxy.restart();
        Proxy::wait_for(first);
        assert_eq!(proxy.served(10), ["b1"; 10]);
        let second = proxy.process();
        proxy.signal(Signal::TERM);
        Proxy::wait_for(second);
    }
}

#[test]
fn a_socket_that_nothing_is_configured_for_is_complained_of() {
    let [b1] = Origin::some();
    let listeners = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").expect("a free port"));
    let addresses = listeners
        .each_ref()
        .map(|listener| listener.local_addr().expect("an address"));
    let toml = config(&addresses[1].to_string(), &b1);
    let proxy = activated(&[&listeners[0], &listeners[1]], &toml);
    assert_eq!(proxy.served(3), ["b1"; 3]);
    let line = proxy.stderr.line_with("unused socket from systemd");
    assert!(line.contains(&addresses[0].to_string()), "{line}");
}

#[test]
fn sockets_for_another_process_are_left_alone() {
    let [b1] = Origin::some();
    let directory = TempDir::new().expect("a directory");
    let mut command = command(&directory, &config("127.0.0.1:0", &b1));
    command.env("LISTEN_FDS", "7").env("LISTEN_PID", "1");
    let proxy = Proxy::run(command, 1, directory);
    assert_eq!(proxy.served(3), ["b1"; 3]);
}

/// What systemd would hear.
struct Supervisor {
    socket: UnixDatagram,
    directory: TempDir,
}

impl Supervisor {
    fn new() -> Self {
        let directory = TempDir::new().expect("a directory");
        let socket = UnixDatagram::bind(directory.path().join("notify")).expect("a socket");
        socket
            .set_read_timeout(Some(WAIT_TIMEOUT))
            .expect("a socket takes options");
        Self { socket, directory }
    }

    /// Starts the program, which is watched.
    fn start(&self, toml: &str, variables: &[(&str, &str)]) -> Proxy {
        let directory = TempDir::new().expect("a directory");
        let mut command = command(&directory, toml);
        command.env("NOTIFY_SOCKET", self.directory.path().join("notify"));
        command.envs(variables.iter().copied());
        Proxy::run(command, 1, directory)
    }

    /// What comes next.
    #[track_caller]
    fn hear(&self) -> String {
        let mut message = [0; 1000];
        let length = self.socket.recv(&mut message).expect("a message");
        String::from_utf8_lossy(&message[..length]).into_owned()
    }
}

#[test]
fn the_supervisor_is_told_of_beginning_reload_and_end() {
    let [b1] = Origin::some();
    let supervisor = Supervisor::new();
    let mut proxy = supervisor.start(&config("127.0.0.1:0", &b1), &[]);
    assert_eq!(supervisor.hear(), "READY=1");
    assert_eq!(server(&proxy.get("/")), "b1");
    proxy.signal(Signal::HUP);
    let reloading = supervisor.hear();
    let since_boot = reloading
        .strip_prefix("RELOADING=1\nMONOTONIC_USEC=")
        .and_then(|time| time.parse::<u64>().ok());
    assert!(since_boot.is_some_and(|time| time > 0), "{reloading}");
    assert_eq!(supervisor.hear(), "READY=1");
    assert_eq!(server(&proxy.get("/")), "b1");
    proxy.signal(Signal::TERM);
    assert_eq!(supervisor.hear(), "STOPPING=1");
    assert_eq!(proxy.wait().code(), Some(0));
}

/// The new program says that it serves, and the old one which process is the program: in either order.
#[test]
fn the_supervisor_is_told_who_takes_over() {
    let [b1] = Origin::some();
    let supervisor = Supervisor::new();
    let mut proxy = supervisor.start(&config("127.0.0.1:0", &b1), &[]);
    assert_eq!(supervisor.hear(), "READY=1");
    proxy.restart();
    let mut heard = [supervisor.hear(), supervisor.hear()];
    heard.sort();
    let process = format!("MAINPID={}", proxy.process());
    assert_eq!(heard, [process.as_str(), "READY=1"]);
    assert_eq!(proxy.wait().code(), Some(0));
    proxy.signal(Signal::TERM);
    assert_eq!(supervisor.hear(), "STOPPING=1");
}

#[test]
fn the_watchdog_hears_that_the_program_lives() {
    let [b1] = Origin::some();
    let supervisor = Supervisor::new();
    let _proxy = supervisor.start(&config("127.0.0.1:0", &b1), &[("WATCHDOG_USEC", "100000")]);
    assert_eq!(supervisor.hear(), "READY=1");
    for _ in 0..3 {
        assert_eq!(supervisor.hear(), "WATCHDOG=1");
    }
}

/// It is meant for who started the program, then.
#[test]
fn a_watchdog_for_another_process_hears_nothing() {
    let [b1] = Origin::some();
    let supervisor = Supervisor::new();
    let proxy = supervisor.start(
        &config("127.0.0.1:0", &b1),
        &[("WATCHDOG_USEC", "1000"), ("WATCHDOG_PID", "1")],
    );
    assert_eq!(supervisor.hear(), "READY=1");
    assert_eq!(proxy.served(10), ["b1"; 10]);
    proxy.signal(Signal::TERM);
    assert_eq!(supervisor.hear(), "STOPPING=1");
}
