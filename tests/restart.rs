//! Hot restart: a new program takes over from a running one without a failed request.

use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::harness::proxy::{server, write_config};
use crate::harness::{Client, Gate, Load, Origin, Proxy, Signal, eventually, program};

/// The configuration of a proxy that is running, with another number of workers and one line more at the top.
fn rewrite(proxy: &Proxy, workers: usize) {
    let path = proxy.path("equipoise.toml");
    let toml = fs::read_to_string(&path).expect("the configuration");
    let rest = toml.split_once('\n').expect("several lines").1;
    fs::write(&path, format!("workers = {workers}\n{rest}")).expect("a file can be written");
}

/// Goal: no request fails while one program after the other takes over, with more workers, fewer, and as many. Method:
/// clients ask all the time; each program is waited for until it has ended.
#[test]
fn programs_take_over_without_a_failed_request() {
    let [b1] = Origin::some();
    let mut proxy = Proxy::before(&[&b1]).top("workers = 2").start();
    let load = Load::on(proxy.address());
    load.await_more(100);
    for workers in [4, 1, 3] {
        let before = proxy.process();
        rewrite(&proxy, workers);
        proxy.restart();
        load.await_more(100);
        Proxy::wait_for(before);
        load.await_more(100);
    }
    assert_eq!(proxy.wait().code(), Some(0), "the first has ended well");
    load.expect_all_served();
}

#[test]
fn what_is_in_flight_stays_with_the_old_program() {
    let gate = Gate::closed();
    let held = gate.clone();
    let b1 = Origin::named("b1").answering(move |exchange| match exchange.target() {
        "/slow" => {
            held.wait();
            exchange.answer("slow");
        }
        _ => exchange.answer("b1"),
    });
    let b1 = b1.start();
    let mut proxy = Proxy::before(&[&b1]).top("workers = 1").start();
    let mut quick = proxy.client();
    assert_eq!(quick.get("/").text(), "b1");
    let mut slow = proxy.client();
    slow.ask("GET /slow", &[]);
    b1.await_hits(2);
    proxy.restart();
    // The worker learns a moment later than the log that connections are to end.
    eventually("a response says that it is the last", || {
        let response = quick.get("/");
        (response.field("connection") == Some("close")).then_some(())
    });
    assert_eq!(proxy.served(3), ["b1"; 3]);
    assert!(proxy.is_running(), "a request is in flight");
    gate.open();
    let response = slow.response();
    assert_eq!(response.text(), "slow");
    assert_eq!(response.field("connection"), Some("close"));
    assert_eq!(proxy.wait().code(), Some(0));
    assert_eq!(proxy.served(3), ["b1"; 3]);
}

/// And it can still be started anew when the configuration is right again.
#[test]
fn a_configuration_that_is_wrong_keeps_the_old_program() {
    let [b1] = Origin::some();
    let mut proxy = Proxy::before(&[&b1]).start();
    let load = Load::on(proxy.address());
    let path = proxy.path("equipoise.toml");
    let right = fs::read_to_string(&path).expect("the configuration");
    fs::write(&path, right.replace("path =", "pfad =")).expect("a file can be written");
    proxy.signal(Signal::USR2);
    proxy.stderr.line_with("pfad");
    let told = "hot restart failed, this process goes on: it ended with exit status: 1";
    proxy.stderr.line_with(told);
    load.await_more(100);
    assert!(proxy.is_running());
    fs::write(&path, right).expect("a file can be written");
    proxy.restart();
    load.await_more(100);
    load.expect_all_served();
    assert_eq!(proxy.wait().code(), Some(0));
}

/// A port that cannot be had is found out before the old program ends.
#[test]
fn a_listener_that_cannot_be_bound_keeps_the_old_program() {
    let [b1] = Origin::some();
    let mut proxy = Proxy::before(&[&b1]).start();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let taken = taken.local_addr().map(|address| (taken, address));
    let (_taken, address) = taken.expect("an address");
    let path = proxy.path("equipoise.toml");
    let toml = fs::read_to_string(&path).expect("the configuration");
    let more = format!("{toml}\n[[listen]]\naddress = \"{address}\"\n");
    fs::write(&path, more).expect("a file can be written");
    proxy.signal(Signal::USR2);
    proxy
        .stderr
        .line_with(&format!("cannot listen on {address}"));
    proxy.stderr.line_with("this process goes on");
    assert_eq!(proxy.served(3), ["b1"; 3]);
    assert!(proxy.is_running());
}

/// The program, called by a link that can be made to lead elsewhere.
struct Linked {
    proxy: Proxy,
    real: String,
}

impl Linked {
    fn start(member: &Origin) -> Self {
        let directory = TempDir::new().expect("a directory");
        let real = program(&[]).get_program().to_owned();
        let real = real.into_string().expect("UTF-8");
        let link = directory.path().join("equipoise");
        symlink(&real, &link).expect("a link");
        let toml = format!(
            "[[listen]]\naddress = \"127.0.0.1:0\"\n[[route]]\npath = \"/\"\nbalancer = \"b\"\n\
             [[balancer.b.member]]\nurl = \"{}\"\n",
            member.url()
        );
        let mut command = Command::new(&link);
        command
            .arg("run")
            .arg(write_config(directory.path(), &toml))
            .stdin(Stdio::null());
        let proxy = Proxy::run(command, 1, directory);
        Self { proxy, real }
    }

    /// Has the link lead to a script that does this and becomes the program.
    fn replace(&self, script: &str) {
        let [new, other] = ["new", "other"].map(|name| self.proxy.path(name));
        let text = format!("#!/bin/sh\n{script}\nexec {} \"$@\"\n", self.real);
        fs::write(&new, text).expect("a file can be written");
        fs::set_permissions(&new, fs::Permissions::from_mode(0o755)).expect("it is ours");
        symlink(&new, &other).expect("a link");
        fs::rename(&other, self.proxy.path("equipoise")).expect("they are beside each other");
    }
}

/// Goal: a new version comes to serve. Method: the link leads elsewhere then.
#[test]
fn the_program_that_is_there_now_takes_over() {
    let [b1] = Origin::some();
    let mut linked = Linked::start(&b1);
    linked.replace("echo the new version starts >&2");
    let proxy = &mut linked.proxy;
    proxy.restart();
    proxy.stderr.line_with("the new version starts");
    assert_eq!(proxy.served(3), ["b1"; 3]);
    assert_eq!(proxy.wait().code(), Some(0));
    assert_eq!(proxy.served(3), ["b1"; 3]);
}

/// A signal to end the program ends the new one, too, which does not serve yet. A second signal to start it anew meanwhile
/// changes nothing.
#[test]
fn a_program_that_is_ended_is_not_taken_over_from() {
    let [b1] = Origin::some();
    let mut linked = Linked::start(&b1);
    linked.replace(
        "echo the new version waits >&2\ncount=0\n\
         while [ ! -e \"${0%/*}/go\" ] && [ $count -lt 3000 ]; do sleep 0.01; count=$((count + 1)); done",
    );
    let proxy = &mut linked.proxy;
    proxy.signal(Signal::USR2);
    proxy.stderr.line_with("the new version waits");
    proxy.signal(Signal::USR2);
    proxy.stderr.line_with("hot restart: already under way");
    assert_eq!(proxy.served(3), ["b1"; 3]);
    proxy.signal(Signal::TERM);
    assert_eq!(proxy.wait().code(), Some(0));
    fs::write(proxy.path("go"), "").expect("a file can be written");
    proxy
        .stderr
        .line_with("the old process does not hand over any more");
    eventually("the port is closed", || {
        TcpStream::connect(proxy.address()).is_err().then_some(())
    });
}

#[test]
fn several_listeners_at_free_ports_stay_where_they_are() {
    let [b1] = Origin::some();
    let toml = format!(
        "[[listen]]\naddress = \"127.0.0.1:0\"\n[[listen]]\naddress = \"127.0.0.1:0\"\n\
         [[listen]]\naddress = \"[::1]:0\"\n\
         [[route]]\npath = \"/\"\nbalancer = \"b\"\n[[balancer.b.member]]\nurl = \"{}\"\n",
        b1.url()
    );
    let mut proxy = Proxy::with(&toml).start();
    let before = proxy.process();
    proxy.restart();
    Proxy::wait_for(before);
    for &address in proxy.addresses() {
        assert_eq!(server(&Client::connect(address).get("/")), "b1");
    }
}

/// What beats and who asks reach the new program where they reached the old one.
#[test]
fn heartbeats_and_the_admin_listener_stay_where_they_are() {
    let [b1] = Origin::some();
    let toml = format!(
        "[heartbeat]\nlisten = \"127.0.0.1:0\"\n[admin]\naddress = \"127.0.0.1:0\"\n\
         [[listen]]\naddress = \"127.0.0.1:0\"\n[[route]]\npath = \"/\"\nbalancer = \"b\"\n\
         [[balancer.b.member]]\nurl = \"{}\"\n",
        b1.url()
    );
    let mut proxy = Proxy::with(&toml).start();
    proxy.restart();
    for what in ["listening for heartbeats", "the admin listener is open"] {
        let [first, second] = proxy.stderr.when(what, |lines| {
            let told = lines.iter().filter(|line| line.contains(what));
            let places = told.filter_map(|line| line.rsplit("address=").next());
            let places: Vec<String> = places.map(str::to_owned).collect();
            places.try_into().ok()
        });
        assert_eq!(first, second, "{what}");
    }
}
