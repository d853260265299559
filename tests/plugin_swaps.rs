//! Plugins that are exchanged while requests are served: however a file changes, its last content serves, every request sees
//! one version, and nothing is lost or left behind.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::component::{Component, answer, with_text};
use crate::harness::fixtures::{answering, answering_none, counting, large};
use crate::harness::plugin::version;
use crate::harness::proxy::{Start, server};
use crate::harness::{Client, Gate, MEGABYTE, Origin, Proxy, Response, Signal, eventually};

const CHOOSES: &str = "lbmethod = { plugin = \"p\" }";

/// A proxy in front of b1 and b2, whose plugin is at `mount/p.wasm` beside the configuration, put there by `prepare`.
fn mounted(origins: &[Origin; 2], prepare: impl FnOnce(&Path) + 'static) -> Start {
    Proxy::with(&format!(
        "workers = 2\n[[listen]]\naddress = \"127.0.0.1:0\"\n\
         [[route]]\npath = \"/\"\nbalancer = \"cluster\"\n\
         [plugin.p]\nfile = \"mount/p.wasm\"\ncpu-budget = \"100%\"\n\
         [balancer.cluster]\n{CHOOSES}\n\
         [[balancer.cluster.member]]\nurl = \"{}\"\n\
         [[balancer.cluster.member]]\nurl = \"{}\"\n",
        origins[0].url(),
        origins[1].url()
    ))
    .preparing(|directory| {
        let mount = directory.join("mount");
        fs::create_dir(&mount).expect("a folder");
        prepare(&mount);
    })
}

/// A client that asks one request after another until it is told to stop.
struct Asking {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Vec<Response>>,
}

impl Asking {
    fn begin(proxy: &Proxy) -> Self {
        let mut client = Client::connect(proxy.address());
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let ask = move || {
            let mut responses = Vec::new();
            // The last request begins after the end was wanted, so that it sees what serves then.
            loop {
                let is_last = stopped.load(Ordering::Relaxed);
                responses.push(client.get("/"));
                if is_last {
                    return responses;
                }
            }
        };
        Self {
            stop,
            thread: thread::spawn(ask),
        }
    }

    /// Everything it was answered; every request was.
    fn end(self) -> Vec<Response> {
        self.stop.store(true, Ordering::Relaxed);
        let responses = self.thread.join().expect("every request is answered");
        for response in &responses {
            assert_eq!(response.status(), 200);
        }
        responses
    }

    /// Who served its requests, the same in a row once.
    fn servers(self) -> Vec<String> {
        let mut servers: Vec<_> = self.end().iter().map(server).collect();
        servers.dedup();
        servers
    }
}

/// Checks that the first version serves until `change` brings the second into the file, and the second from then on.
#[track_caller]
fn assert_swaps(prepare: fn(&Path, &[u8]), change: impl FnOnce(&Path, &[u8])) {
    let [first, second] = [0, 1].map(|position| answering(position).build());
    let origins = Origin::some();
    let start = mounted(&origins, move |mount| prepare(mount, &first));
    let proxy = start.start();
    let asking = Asking::begin(&proxy);
    assert_eq!(proxy.served(2), ["b1"; 2]);
    proxy.await_serving("p", &second, || change(&proxy.path("mount"), &second));
    assert_eq!(proxy.served(2), ["b2"; 2]);
    assert_eq!(asking.servers(), ["b1", "b2"]);
}

fn write(path: impl AsRef<Path>, content: &[u8]) {
    fs::write(path, content).expect("a file can be written");
}

fn link(target: &str, path: PathBuf) {
    symlink(target, path).expect("a link can be made");
}

fn rename(folder: &Path, from: &str, to: &str) {
    fs::rename(folder.join(from), folder.join(to)).expect("what is there can be renamed");
}

fn write_plainly(mount: &Path, content: &[u8]) {
    write(mount.join("p.wasm"), content);
}

fn replace(mount: &Path, content: &[u8]) {
    write(mount.join("new"), content);
    rename(mount, "new", "p.wasm");
}

#[test]
fn a_file_that_is_changed_in_place_is_swapped() {
    assert_swaps(write_plainly, write_plainly);
}

/// As `touch -r` or `rsync --times` leaves it: neither size nor time tell.
#[test]
fn a_file_that_keeps_its_size_and_time_is_swapped() {
    assert_swaps(write_plainly, |mount, content| {
        let path = mount.join("p.wasm");
        let before = fs::metadata(&path).expect("it is there");
        assert_eq!(before.len(), content.len() as u64);
        write(&path, content);
        let file = File::options()
            .write(true)
            .open(&path)
            .expect("it is there");
        let modified = before.modified().expect("files have times");
        file.set_modified(modified).expect("it is ours");
    });
}

#[test]
fn a_file_that_is_replaced_by_another_is_swapped() {
    assert_swaps(write_plainly, replace);
}

#[test]
fn a_link_that_is_made_to_lead_elsewhere_is_swapped() {
    let prepare = |mount: &Path, content: &[u8]| {
        write(mount.join("one"), content);
        link("one", mount.join("p.wasm"));
    };
    assert_swaps(prepare, |mount, content| {
        write(mount.join("other"), content);
        link("other", mount.join("new"));
        rename(mount, "new", "p.wasm");
    });
}

/// `p.wasm` leads through `..data` to a folder that is exchanged as a whole, and the old one goes.
#[test]
fn a_mount_of_kubernetes_is_swapped() {
    let prepare = |mount: &Path, content: &[u8]| {
        fs::create_dir(mount.join("..one")).expect("a folder");
        write(mount.join("..one/p.wasm"), content);
        link("..one", mount.join("..data"));
        link("..data/p.wasm", mount.join("p.wasm"));
    };
    assert_swaps(prepare, |mount, content| {
        fs::create_dir(mount.join("..other")).expect("a folder");
        write(mount.join("..other/p.wasm"), content);
        link("..other", mount.join("..data_tmp"));
        rename(mount, "..data_tmp", "..data");
        fs::remove_dir_all(mount.join("..one")).expect("it is there");
    });
}

/// Nothing changes while there is no file, and that is said.
#[test]
fn a_file_that_is_deleted_and_made_again_is_swapped() {
    let [first, second] = [0, 1].map(|position| answering(position).build());
    let hash = version(&first);
    let origins = Origin::some();
    let proxy = mounted(&origins, move |mount| write_plainly(mount, &first)).start();
    let asking = Asking::begin(&proxy);
    let mount = proxy.path("mount");
    fs::remove_dir_all(&mount).expect("it is there");
    let line = proxy.stderr.line_with("cannot be read");
    assert!(
        line.ends_with(&format!("; version {hash} serves on")),
        "{line}"
    );
    assert_eq!(proxy.served(2), ["b1"; 2]);
    proxy.await_serving("p", &second, || {
        fs::create_dir(&mount).expect("a folder");
        write_plainly(&mount, &second);
    });
    assert_eq!(asking.servers(), ["b1", "b2"]);
}

/// The same content again is no other version.
#[test]
fn a_file_that_comes_back_as_it_was_serves_on() {
    let origins = Origin::some();
    let content = counting().build();
    let prepared = content.clone();
    let proxy = mounted(&origins, move |mount| write_plainly(mount, &prepared)).start();
    // Not its fallback, while it is compiled.
    proxy.stderr.line_with(" serves (");
    assert_eq!(proxy.served(1), ["b1"]);
    let mount = proxy.path("mount");
    fs::remove_file(mount.join("p.wasm")).expect("it is there");
    proxy.stderr.line_with("cannot be read");
    replace(&mount, &content);
    // A change that is seen afterwards tells that this one was.
    write(mount.join("p.wasm"), b"");
    proxy.stderr.line_with("the file is empty");
    assert_eq!(proxy.served(2), ["b2", "b1"], "it is the same instance");
    assert_eq!(proxy.stderr.count(" serves ("), 1);
}

/// A component that is not like any other of these: with a section that means nothing but its number.
fn numbered(component: &[u8], number: u32) -> Vec<u8> {
    let section = [0, 6, 1, b'n'];
    [component, &section, &number.to_le_bytes()].concat()
}

#[test]
fn a_file_that_is_rewritten_a_thousand_times_ends_with_its_last_content() {
    let origins = Origin::some();
    let [one, other] = [0, 1].map(|position| answering(position).build());
    let prepared = one.clone();
    let proxy = mounted(&origins, move |mount| write_plainly(mount, &prepared)).start();
    let asking = [Asking::begin(&proxy), Asking::begin(&proxy)];
    let mount = proxy.path("mount");
    let last = numbered(&other, 1000);
    proxy.await_serving("p", &last, || {
        for number in 1..1000 {
            let content = numbered([&one, &other][number as usize % 2], number);
            match number % 3 {
                0 => write_plainly(&mount, &content),
                _ => replace(&mount, &content),
            }
        }
        write_plainly(&mount, &last);
    });
    assert_eq!(proxy.served(4), ["b2"; 4]);
    for client in asking {
        let served = client.servers();
        assert_eq!(served.last().map(String::as_str), Some("b2"));
    }
}

/// A plugin that shows its version everywhere: its session has the route `name`, which no member carries, it chooses the
/// member at `position`, and its cookie has `name` as well.
fn showing(name: &str, position: u32) -> Component {
    let cookie = format!("V={name}");
    Component::exporting(&["selector", "session", "session-cookie"])
        .function("selector#select", &answer(position))
        .function("session#read", &with_text(name.as_bytes(), "call $route"))
        .function(
            "session-cookie#issue",
            &with_text(cookie.as_bytes(), "call $issued"),
        )
}

const SHOWS: &str = "lbmethod = { plugin = \"p\" }\nstickysession = { plugin = \"p\" }";

/// Who served, and the version that the cookie shows.
fn shown(response: &Response) -> (String, String) {
    let cookie = response.field("set-cookie").unwrap_or_default();
    (server(response), cookie.to_owned())
}

/// Goal: no request sees two versions. Method: two versions alternate while two clients ask. Each shows its version in the
/// session's route (which is in the access log), in the member, and in the cookie, which come about one after the other.
#[test]
fn every_request_sees_one_version() {
    let [b1, b2] = Origin::some();
    let versions = [showing("one", 0).build(), showing("other", 1).build()];
    let proxy = Proxy::before(&[])
        .top("workers = 2\naccess-log = { file = \"access.log\", format = \"json\" }")
        .balancer(SHOWS)
        .plugin("p", "")
        .file("p.wasm", versions[1].clone())
        .member(&b1, "route = \"r1\"")
        .member(&b2, "route = \"r2\"")
        .start();
    let clients: Vec<_> = (0..2).map(|_| Asking::begin(&proxy)).collect();
    for swap in 0..8 {
        proxy.install("p", &numbered(&versions[swap % 2], swap as u32));
    }
    let mut changes = 0;
    for client in clients {
        let mut seen: Vec<_> = client.end().iter().map(shown).collect();
        for it in &seen {
            let it = (&*it.0, &*it.1);
            assert!(it == ("b1", "V=one") || it == ("b2", "V=other"), "{it:?}");
        }
        seen.dedup();
        changes += seen.len() - 1;
    }
    assert!(changes > 4, "{changes} changes were seen");
    assert_log_agrees(&proxy, [("one", &b1), ("other", &b2)]);
}

/// Checks that the access log has requests of each route and member, and of no other pair.
#[track_caller]
fn assert_log_agrees(proxy: &Proxy, pairs: [(&str, &Origin); 2]) {
    let log = fs::read_to_string(proxy.path("access.log")).expect("a log");
    let mut found = [0, 0];
    let (lines, _half) = log.rsplit_once('\n').expect("lines");
    for line in lines.lines() {
        let record: Value = serde_json::from_str(line).expect("JSON");
        let is_it = |(route, member): &(&str, &Origin)| {
            record["session_route"] == *route && record["member"] == member.url()
        };
        let pair = pairs.iter().position(is_it);
        found[pair.unwrap_or_else(|| panic!("two versions: {line}"))] += 1;
    }
    assert!(found.iter().all(|&count| count > 0), "{found:?}");
}

/// The version that reads the session also decides after a failure and issues the cookie, though another serves by then.
#[test]
fn a_request_in_flight_ends_on_the_version_it_began_with() {
    let gate = Gate::closed();
    let passed = gate.clone();
    let b1 = Origin::named("b1").answering(move |exchange| {
        assert!(passed.wait(), "the gate is opened");
        exchange.close();
    });
    let (b1, b2, b3) = (b1.start(), Origin::live("b2"), Origin::live("b3"));
    let proxy = Proxy::before(&[])
        .balancer(SHOWS)
        .component("p", &showing("one", 0), "")
        .member(&b1, "route = \"r1\"")
        .member(&b2, "route = \"r2\"")
        .member(&b3, "route = \"r3\"")
        .start();
    let mut client = proxy.client();
    client.ask("GET /", &[]);
    b1.await_hits(1);
    proxy.install("p", &showing("other", 1).build());
    assert_eq!(shown(&proxy.get("/")), ("b2".into(), "V=other".into()));
    gate.open();
    // Of b2 and b3, which are left, the second version would choose b3.
    assert_eq!(shown(&client.response()), ("b2".into(), "V=one".into()));
}

// State.

#[test]
fn a_version_goes_on_where_the_one_before_was() {
    let [b1, b2, b3] = Origin::some();
    let proxy = Proxy::before(&[&b1, &b2, &b3])
        .top("workers = 2")
        .balancer(CHOOSES)
        .component("p", &counting(), "")
        .start();
    let mut served = proxy.served(2);
    for padding in 1..=4 {
        proxy.install("p", &counting().padded(padding).build());
        served.extend(proxy.served(2));
    }
    assert_eq!(served, ["b1", "b2", "b3"].repeat(4)[..10]);

    // What is refused in between leaves no trace.
    proxy.write("p", b"");
    proxy.stderr.line_with("is refused");
    assert_eq!(proxy.served(2), ["b2", "b3"]);
}

/// The fallback's schedule belongs to the balancer, not to the plugin.
#[test]
fn the_fallback_goes_on_where_it_was() {
    let [b1, b2, b3] = Origin::some();
    let proxy = Proxy::before(&[&b1, &b2, &b3])
        .balancer(CHOOSES)
        .component("p", &answering_none(), "")
        .start();
    assert_eq!(proxy.served(2), ["b1", "b2"]);
    proxy.install("p", &answering_none().padded(1).build());
    assert_eq!(proxy.served(2), ["b3", "b1"]);
}

#[test]
fn members_keep_their_counts_and_errors_over_a_swap() {
    let (b1, b2) = (Origin::dead(), Origin::live("b2"));
    let proxy = Proxy::before(&[&b1, &b2])
        .balancer(CHOOSES)
        .component("p", &answering(0), "")
        .start();
    assert_eq!(proxy.served(1), ["b2"]);
    // b1 is in error and no candidate, so that there is no position 1: a version that answers it is at fault.
    let version = proxy.install("p", &answering(1).build());
    assert_eq!(proxy.served(1), ["b2"]);
    let line = proxy.await_fault("p", &version, "position");
    assert!(line.contains("position 1 of 1 candidates"), "{line}");
}

/// Goal: a thousand versions that are gone leave nothing behind. Method: ten plugins are swapped time and again for content
/// that was never there before, so that the cache of compiled code is no help. What the program has after the first quarter is
/// what it has at the end, but for noise.
#[test]
fn memory_is_flat_over_a_thousand_swaps() {
    const ROUNDS: u32 = 100;
    let b1 = Origin::live("b1");
    let proxy = Proxy::with(&ten_plugins(&b1)).start();
    let component = answering(0).build();
    let mut client = proxy.client();
    let mut swap_all = |round: u32| {
        let contents: Vec<_> = (0..10)
            .map(|plugin| numbered(&component, round * 10 + plugin))
            .collect();
        for (plugin, content) in contents.iter().enumerate() {
            proxy.write(&format!("p{plugin}"), content);
        }
        for (plugin, content) in contents.iter().enumerate() {
            let version = version(content);
            let line = format!("plugin p{plugin}: version {version} serves (");
            proxy.stderr.line_with(&line);
            assert_eq!(server(&client.get(&format!("/p{plugin}"))), "b1");
        }
    };
    (0..ROUNDS / 4).for_each(&mut swap_all);
    let (memory, mappings) = (proxy.memory(), proxy.mappings());
    (ROUNDS / 4..ROUNDS).for_each(&mut swap_all);
    let (memory_then, mappings_then) = (proxy.memory(), proxy.mappings());
    assert!(
        memory_then < memory + 12 * MEGABYTE,
        "{memory} bytes became {memory_then} in {ROUNDS} rounds"
    );
    assert!(
        mappings_then < mappings + 50,
        "{mappings} mappings became {mappings_then} in {ROUNDS} rounds"
    );
}

/// A balancer for each plugin, at the path that is the plugin's name.
fn ten_plugins(member: &Origin) -> String {
    let url = member.url();
    let plugin = |plugin| {
        format!(
            "[[route]]\npath = \"/p{plugin}\"\nbalancer = \"p{plugin}\"\n\
             [plugin.p{plugin}]\nfile = \"p{plugin}.wasm\"\ncpu-budget = \"100%\"\n\
             [balancer.p{plugin}]\nlbmethod = {{ plugin = \"p{plugin}\" }}\n\
             [[balancer.p{plugin}.member]]\nurl = \"{url}\"\n"
        )
    };
    let plugins: String = (0..10).map(plugin).collect();
    format!("workers = 2\n[[listen]]\naddress = \"127.0.0.1:0\"\n{plugins}")
}

/// Goal: a component that takes long to compile delays no request. Method: no request takes half as long as it takes until
/// that serves.
#[test]
fn a_large_component_is_compiled_while_the_one_before_serves() {
    let large = large(1, 1000).build();
    let origins = Origin::some();
    let small = answering(0).build();
    let proxy = mounted(&origins, move |mount| write_plainly(mount, &small)).start();
    let mut client = proxy.client();
    assert_eq!(server(&client.get("/")), "b1");
    let start = Instant::now();
    let mut longest = Duration::ZERO;
    proxy.await_serving("p", &large, || {
        write_plainly(&proxy.path("mount"), &large);
        while proxy.stderr.count(" serves (") < 2 {
            let asked = Instant::now();
            assert_eq!(client.get("/").status(), 200);
            longest = longest.max(asked.elapsed());
        }
    });
    let all = start.elapsed();
    assert!(longest < all / 2, "{longest:?} of {all:?}");
    assert_eq!(server(&client.get("/")), "b2");
}

#[test]
fn a_component_that_is_being_compiled_does_not_put_the_end_off() {
    let b1 = Origin::live("b1");
    let large = large(1, 1000).build();
    let mut proxy = Proxy::before(&[&b1])
        .balancer(CHOOSES)
        .component("p", &answering(0), "")
        .start();
    assert_eq!(proxy.served(1), ["b1"]);
    proxy.write("p", &large);
    let compiler = eventually("it is being compiled", || proxy.compilers().pop());
    proxy.signal(Signal::TERM);
    assert!(proxy.wait().success());
    Proxy::wait_for(compiler);
    let version = version(&large);
    assert!(
        !proxy.stderr.whole().contains(&version),
        "it was compiled to its end"
    );
}
