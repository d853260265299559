//! Plugins are compiled beside everything else: in a process of its own with bounds, and once.
//!
//! Most tests stop the compiler in its tracks by SIGSTOP, so that what goes on meanwhile does not depend on how fast it is.

use std::fs;
use std::process::Stdio;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::admin::{ask, client, start};
use crate::harness::component::Component;
use crate::harness::fixtures::{answering, large, nested_bomb};
use crate::harness::plugin::version;
use crate::harness::proxy::{Pid, Start, compilers_of, send, server, write_config};
use crate::harness::{MEGABYTE, Origin, Proxy, Response, Signal, eventually, program};

const CHOOSES: &str = "lbmethod = { plugin = \"p\" }";

/// Keeps compiled plugins beside the configuration, where there are none at first.
const COLD: &str = "[compiler]\ncache = \"cache\"";

/// Keeps none.
const NO_CACHE: &str = "[compiler]\ncache = \"off\"";

/// A component that takes long enough to compile to be stopped in the midst of it.
fn slow() -> Component {
    large(0, 500)
}

/// b1, which the plugin chooses, and b2, which the fallback prefers.
struct Members([Origin; 2]);

impl Members {
    fn new() -> Self {
        Self(Origin::some())
    }

    /// A balancer with the plugin `p` and an admin listener.
    fn before(&self, component: &Component, keys: &str) -> Start {
        let [b1, b2] = &self.0;
        start(&[])
            .balancer(CHOOSES)
            .member(b1, "")
            .member(b2, "loadfactor = 100")
            .component("p", component, keys)
    }
}

/// A compiler that stands still.
struct Held(Pid);

impl Held {
    #[track_caller]
    fn of(proxy: &Proxy) -> Self {
        Self::of_process(proxy.process())
    }

    #[track_caller]
    fn of_process(process: Pid) -> Self {
        let held = eventually("a plugin is being compiled", || {
            let held = Self(compilers_of(process).pop()?);
            // It has its last bound.
            let limits = fs::read_to_string(format!("/proc/{}/limits", held.0)).ok()?;
            let is_bound = |line: &str| line.starts_with("Max open files            16 ");
            limits.lines().any(is_bound).then_some(held)
        });
        send(held.0, Signal::STOP);
        held
    }

    fn go_on(self) {
        send(self.0, Signal::CONT);
    }

    /// What the system tells of it.
    fn file(&self, name: &str) -> String {
        fs::read_to_string(format!("/proc/{}/{name}", self.0)).expect("it is there")
    }
}

fn api(proxy: &Proxy, path: &str) -> Value {
    serde_json::from_str(&ask(proxy, &format!("GET {path}"), &[]).text()).expect("JSON")
}

fn patch(proxy: &Proxy, path: &str, body: &Value) -> Response {
    request(
        proxy,
        "PATCH",
        path,
        "application/json",
        body.to_string().as_bytes(),
    )
}

fn request(proxy: &Proxy, method: &str, path: &str, kind: &str, body: &[u8]) -> Response {
    let mut client = client(proxy);
    send_request(&mut client, method, path, kind, body);
    client.response_to(method)
}

fn send_request(
    client: &mut crate::harness::Client,
    method: &str,
    path: &str,
    kind: &str,
    body: &[u8],
) {
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    client.send([head.as_bytes(), body].concat());
}

/// As [`nested_bomb`] without nesting: each component instantiates the one before it twice.
fn flat_bomb(levels: u32) -> Vec<u8> {
    let mut text = "(component $c0 (core module $m) (core instance (instantiate $m)))".to_owned();
    for (before, level) in (1..levels).enumerate() {
        text += &format!(
            "(component $c{level} (alias outer 1 $c{before} (component $b)) \
             (instance (instantiate $b)) (instance (instantiate $b)))"
        );
    }
    wat::parse_str(format!("(component {text})")).expect("a component")
}

/// Goal: a few bytes cannot ask for any amount of work. Method: components of 2 KB with up to 2^28 instances; the memory of the
/// program, and whether it compiles.
#[test]
fn component_that_multiplies_is_refused_before_it_is_compiled() {
    let members = Members::new();
    let proxy = members.before(&answering(0), COLD).start();
    for (bomb, reason) in [
        (nested_bomb(14), "core instances; 100 are the most"),
        (nested_bomb(28), "nested in more than 16 levels"),
        (flat_bomb(28), "core instances; 100 are the most"),
    ] {
        assert!(bomb.len() < 4000, "{} bytes", bomb.len());
        proxy.write("p", &bomb);
        let line = proxy
            .stderr
            .line_with(&format!("version {} is refused", version(&bomb)));
        assert!(line.contains(reason), "{line}");
        let uploaded = request(
            &proxy,
            "PUT",
            "/api/v1/plugins/p",
            "application/wasm",
            &bomb,
        );
        assert_eq!(uploaded.status(), 422);
        assert!(uploaded.text().contains(reason), "{}", uploaded.text());
    }
    assert_eq!(proxy.served(3), ["b1"; 3]);
    assert!(
        proxy.peak_memory() < 150 * MEGABYTE,
        "{}",
        proxy.peak_memory()
    );
}

/// A component with one function of so many steps.
fn component_of_steps(steps: usize) -> Vec<u8> {
    fn number(mut number: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        while number > 0x7f {
            bytes.push(number as u8 | 0x80);
            number >>= 7;
        }
        bytes.push(number as u8);
        bytes
    }
    let section = |id: u8, content: &[u8]| [&[id], &*number(content.len()), content].concat();
    // (local.set 0 (i32.mul (i32.add (local.get 0) (i32.const 7)) (local.get 0)))
    let step = b"\x20\0\x41\x07\x6a\x20\0\x6c\x21\0";
    let body = [b"\0", &*step.repeat(steps), b"\x20\0\x0b"].concat();
    let module = [
        &b"\0asm\x01\0\0\0"[..],
        &section(1, b"\x01\x60\x01\x7f\x01\x7f"),
        &section(3, b"\x01\0"),
        &section(10, &[b"\x01", &*number(body.len()), &body].concat()),
    ];
    [b"\0asm\x0d\0\x01\0", &*section(1, &module.concat())].concat()
}

/// Goal: what compiling takes is bounded, and the program loses nothing when a bound is met. Method: bounds that a component
/// exceeds; the one before serves on.
#[test]
fn component_that_takes_too_much_to_compile_is_refused() {
    for (bounds, steps, reason) in [
        (
            "time = \"1s\"",
            300_000,
            "compiling it takes more than 1s of processor time",
        ),
        (
            "memory = \"256MiB\"",
            500_000,
            "compiling it takes more than 256 MiB of memory",
        ),
    ] {
        let members = Members::new();
        let keys = format!("{NO_CACHE}\n{bounds}");
        let proxy = members.before(&answering(0), &keys).start();
        let large = component_of_steps(steps);
        proxy.write("p", &large);
        let line = proxy
            .stderr
            .line_with(&format!("version {} is refused", version(&large)));
        assert!(line.contains(reason), "{line}");
        assert_eq!(proxy.served(3), ["b1"; 3]);
    }
}

#[test]
fn compiler_that_is_killed_costs_the_new_version_only() {
    let members = Members::new();
    let proxy = members.before(&answering(0), NO_CACHE).start();
    proxy.write("p", &slow().build());
    let held = Held::of(&proxy);
    send(held.0, Signal::KILL);
    let line = proxy.stderr.line_with("is refused");
    assert!(line.contains("its compiler was killed"), "{line}");
    assert!(line.contains("serves on"), "{line}");
    assert_eq!(proxy.served(3), ["b1"; 3]);
    proxy.install("p", &answering(1).build());
    assert_eq!(proxy.served(3), ["b2"; 3]);
}

/// Goal: a component has nothing to attack in the process that compiles it. Method: what the system tells of that process.
#[test]
fn compiler_has_bounds_and_inherits_nothing() {
    let members = Members::new();
    let proxy = members
        .before(
            &answering(0),
            &format!("{COLD}\nmemory = \"1GiB\"\ntime = \"30s\""),
        )
        .start();
    // Connections of clients and members, and those of the admin listener, are open meanwhile.
    let mut client = proxy.client();
    assert_eq!(server(&client.get("/")), "b1");
    proxy.write("p", &slow().build());
    let held = Held::of(&proxy);

    let files = fs::read_dir(format!("/proc/{}/fd", held.0)).expect("it is there");
    let mut files: Vec<_> = files
        .map(|file| {
            let file = file.expect("a file").path();
            let number = file
                .file_name()
                .expect("a number")
                .to_string_lossy()
                .into_owned();
            let target = fs::read_link(&file)
                .expect("open")
                .to_string_lossy()
                .into_owned();
            (number, target)
        })
        .collect();
    files.sort();
    let memory = "/memfd:component (deleted)";
    let expected = ["0", "1", "2"].map(|number| (number.to_owned(), memory.to_owned()));
    assert_eq!(files, expected);
    assert_eq!(held.file("environ"), "MIMALLOC_ARENA_RESERVE=0\0");

    let limits = held.file("limits");
    let soft = |name: &str| {
        let line = limits.lines().find(|line| line.starts_with(name));
        let mut words = line.expect(name)[name.len()..].split_whitespace();
        words.next().expect("a limit").to_owned()
    };
    // Beside what the program itself takes.
    let memory: u64 = soft("Max address space").parse().expect("a number");
    assert!(
        (1 << 30..(1 << 30) + 500 * MEGABYTE).contains(&memory),
        "{memory}"
    );
    for (name, expected) in [
        ("Max cpu time", "30"),
        ("Max core file size", "0"),
        ("Max open files", "16"),
    ] {
        assert_eq!(soft(name), expected, "{limits}");
    }
    let status = held.file("status");
    assert!(status.contains("NoNewPrivs:\t1"), "{status}");
    let stat = held.file("stat");
    let niceness = stat
        .rsplit(')')
        .next()
        .and_then(|rest| rest.split_whitespace().nth(16));
    assert_eq!(niceness, Some("10"));

    held.go_on();
    proxy
        .stderr
        .line_with(&format!("version {} serves", version(&slow().build())));
}

/// Goal: nothing waits for a compiler but what needs its code. Method: it stands still; meanwhile members are disabled, other
/// plugins swapped, the configuration is read again, and the program ends in time.
#[test]
fn everything_goes_on_while_a_plugin_is_compiled() {
    let members = Members::new();
    let mut proxy = members
        .before(&answering(0), "")
        .component("q", &answering(0), COLD)
        .start();
    proxy.write("p", &slow().build());
    let held = Held::of(&proxy);

    let path = "/api/v1/balancers/cluster/members/0";
    let drained = patch(&proxy, path, &json!({"status": "N"}));
    assert_eq!(
        (drained.status(), proxy.served(1)),
        (200, vec!["b2".to_owned()])
    );
    let enabled = patch(&proxy, path, &json!({"status": ""}));
    assert_eq!(
        (enabled.status(), proxy.served(1)),
        (200, vec!["b1".to_owned()])
    );

    proxy.install("q", &answering(1).build());

    let file = proxy.path("equipoise.toml");
    let toml = fs::read_to_string(&file).expect("the configuration");
    fs::write(&file, toml.replace("loadfactor = 100", "loadfactor = 99")).expect("written");
    proxy.signal(Signal::HUP);
    proxy
        .stderr
        .line_with("the configuration is read again and in force");
    assert_eq!(member_weight(&proxy), 99.0);

    // A newer content of the same file does not wait for the older one, and that is not compiled to its end.
    proxy.install("p", &answering(1).build());
    Proxy::wait_for(held.0);
    assert_eq!(proxy.served(3), ["b2"; 3]);

    proxy.write("p", &slow().build());
    let held = Held::of(&proxy);
    proxy.signal(Signal::TERM);
    assert!(proxy.wait().success());
    Proxy::wait_for(held.0);
}

fn member_weight(proxy: &Proxy) -> f64 {
    let told = crate::admin::member(proxy, 1);
    told["loadfactor"].as_f64().expect("a number")
}

/// Goal: a change that needs a plugin is all or nothing, and waits beside others. Method: a file with a plugin that is not
/// compiled yet; while its compiler stands still, what was in force serves and can be changed.
#[test]
fn reload_with_a_new_plugin_is_in_force_when_that_is_compiled() {
    let [b1, b2] = Origin::some();
    let proxy = start(&[])
        .balancer("lbmethod = \"byrequests\"")
        .member(&b1, "")
        .member(&b2, "status = \"D\"")
        .plugin("p", COLD)
        .file("p.wasm", answering(0).build())
        .start();
    assert_eq!(proxy.served(1), ["b1"]);
    fs::write(proxy.path("new.wasm"), large(1, 500).build()).expect("written");
    let file = proxy.path("equipoise.toml");
    let toml = fs::read_to_string(&file).expect("the configuration");
    let toml = toml
        .replace(
            "lbmethod = \"byrequests\"",
            "lbmethod = { plugin = \"new\" }",
        )
        .replace("status = \"D\"", "")
        + "\n[plugin.new]\nfile = \"new.wasm\"\n";
    fs::write(&file, toml).expect("written");
    let held = Held::of(&proxy);
    assert_eq!(proxy.served(2), ["b1"; 2]);
    let changed = patch(
        &proxy,
        "/api/v1/balancers/cluster/members/0",
        &json!({"loadfactor": 3}),
    );
    assert_eq!(changed.status(), 200);
    held.go_on();
    proxy
        .stderr
        .line_with("the configuration is read again and in force");
    assert_eq!(proxy.served(3), ["b2"; 3]);
    let told = crate::admin::member(&proxy, 0);
    assert_eq!(
        told["loadfactor"], 3.0,
        "the change is laid over the new file"
    );
}

/// Goal: an upload waits for its compiler, and other requests do not. Method: the compiler stands still.
#[test]
fn upload_is_answered_when_it_serves() {
    let members = Members::new();
    let proxy = members.before(&answering(1), COLD).start();
    let mut upload = client(&proxy);
    let slow = slow().build();
    send_request(
        &mut upload,
        "PUT",
        "/api/v1/plugins/p",
        "application/wasm",
        &slow,
    );
    let held = Held::of(&proxy);
    assert_eq!(ask(&proxy, "GET /healthz", &[]).status(), 200);
    let path = "/api/v1/balancers/cluster/members/0";
    assert_eq!(patch(&proxy, path, &json!({"loadfactor": 2})).status(), 200);
    assert_eq!(proxy.served(1), ["b2"]);
    held.go_on();
    assert_eq!(upload.response_to("PUT").status(), 200);
    assert_eq!(proxy.served(1), ["b1"]);
}

/// Goal: a start with a cold cache serves at once, and says that it is not ready. Method: its compiler stands still.
#[test]
fn start_serves_by_the_fallback_until_plugins_are_compiled() {
    let members = Members::new();
    let proxy = members
        .before(&slow(), COLD)
        .top("start = \"at-once\"")
        .start();
    let held = Held::of(&proxy);
    assert_eq!(proxy.served(3), ["b2"; 3]);
    let ready = ask(&proxy, "GET /readyz", &[]);
    assert_eq!(ready.status(), 503);
    assert_eq!(ready.text(), "plugin p is being compiled\n");
    let plugin = api(&proxy, "/api/v1/plugins/p");
    assert_eq!(plugin["state"], "compiling");
    assert_eq!(plugin["compiling"], *version(&slow().build()));
    let line = proxy.stderr.line_with("does not wait");
    assert!(line.contains("(p)"), "{line}");

    held.go_on();
    proxy.stderr.line_with("serves (selector)");
    assert_eq!(proxy.served(3), ["b1"; 3]);
    assert_eq!(ask(&proxy, "GET /readyz", &[]).status(), 200);
    eventually("it is told", || {
        let plugin = api(&proxy, "/api/v1/plugins/p");
        (plugin["compiling"] == Value::Null).then_some(())
    });
}

/// A program that waits for its plugin before it listens, in this folder, with its compiler.
fn waiting(folder: &TempDir) -> (std::process::Child, Held) {
    let toml = format!(
        "start = \"wait\"\n[[listen]]\naddress = \"127.0.0.1:0\"\n\
         [[route]]\npath = \"/\"\nbalancer = \"b\"\n\
         [balancer.b]\nlbmethod = {{ plugin = \"p\" }}\n[[balancer.b.member]]\nurl = \"http://127.0.0.1:9\"\n\
         [plugin.p]\nfile = \"p.wasm\"\n{COLD}\n"
    );
    fs::write(folder.path().join("p.wasm"), slow().build()).expect("written");
    let child = program(&["run"])
        .arg(write_config(folder.path(), &toml))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let held = Held::of_process(Pid::from_child(&child));
    (child, held)
}

#[test]
fn start_that_waits_can_be_stopped() {
    let folder = TempDir::new().expect("a folder");
    let (mut child, held) = waiting(&folder);
    send(Pid::from_child(&child), Signal::TERM);
    eventually("the program ends", || child.try_wait().expect("a child"));
    let output = child.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("SIGTERM: stopped while starting"), "{said}");
    assert_eq!(output.stdout, b"", "it listened on nothing");
    Proxy::wait_for(held.0);
}

#[test]
fn compiler_ends_with_a_program_that_is_killed() {
    let folder = TempDir::new().expect("a folder");
    let (mut child, held) = waiting(&folder);
    child.kill().expect("it runs");
    child.wait().expect("it ends");
    Proxy::wait_for(held.0);
}

/// Goal: what was compiled once is not compiled again by the next program, of the same version and on the same machine. Method:
/// the log tells of each plugin that is compiled.
#[test]
fn start_with_a_warm_cache_compiles_nothing() {
    let cache = TempDir::new().expect("a folder");
    let members = Members::new();
    let compiled = |expected: usize, component: &Component| {
        let keys = format!("[compiler]\ncache = {:?}", cache.path().join("cache"));
        let proxy = members
            .before(component, &keys)
            .environment("RUST_LOG", "info,equipoise_wasm=debug")
            .start();
        assert_eq!(proxy.served(1), ["b1"]);
        assert_eq!(proxy.stderr.count("is being compiled"), expected);
        proxy
    };
    compiled(1, &answering(0));
    let mut proxy = compiled(0, &answering(0));
    // A program that takes over finds it, too.
    proxy.restart();
    assert_eq!(proxy.served(1), ["b1"]);
    assert_eq!(proxy.stderr.count("is being compiled"), 0);
    compiled(1, &answering(0).also("session"));
}

/// Goal: code that others put into the cache is not run. Method: each file in the cache is replaced by one of another program, cut off
/// or changed.
#[test]
fn code_that_the_program_did_not_write_is_not_run() {
    let cache = TempDir::new().expect("a folder");
    let folder = cache.path().join("cache");
    let keys = format!("[compiler]\ncache = {folder:?}");
    let members = Members::new();
    drop(members.before(&answering(0), &keys).start());
    let entries = || {
        let files = fs::read_dir(&folder).expect("a folder").flatten();
        let paths = files.map(|file| file.path());
        paths
            .filter(|path| path.extension().is_some_and(|it| it == "component"))
            .collect::<Vec<_>>()
    };
    let [entry] = &*entries() else {
        panic!("one plugin is compiled: {:?}", entries());
    };
    let good = fs::read(entry).expect("an entry");
    let mut changed = good.clone();
    changed[good.len() / 2] ^= 1;
    for bad in [changed, good[..good.len() / 2].to_vec(), Vec::new()] {
        fs::write(entry, bad).expect("written");
        let proxy = members.before(&answering(0), &keys).start();
        proxy
            .stderr
            .line_with("it was not written by this program; it is compiled again");
        assert_eq!(proxy.served(1), ["b1"]);
        assert_eq!(fs::read(entry).expect("an entry").len(), good.len());
    }
}

#[test]
fn cache_that_others_can_write_to_is_not_used() {
    use std::os::unix::fs::PermissionsExt as _;
    let cache = TempDir::new().expect("a folder");
    fs::set_permissions(cache.path(), fs::Permissions::from_mode(0o777)).expect("ours");
    let keys = format!("[compiler]\ncache = {:?}", cache.path());
    let members = Members::new();
    let proxy = members.before(&answering(0), &keys).start();
    let line = proxy.stderr.line_with("plugin cache: not used");
    assert!(line.contains("writable for no other"), "{line}");
    assert_eq!(proxy.served(1), ["b1"]);
    assert_eq!(fs::read_dir(cache.path()).expect("a folder").count(), 0);
}

#[test]
fn check_fills_the_cache() {
    let folder = TempDir::new().expect("a folder");
    let toml = format!(
        "[[listen]]\naddress = \"127.0.0.1:0\"\n[[route]]\npath = \"/\"\nbalancer = \"b\"\n\
         [balancer.b]\nlbmethod = {{ plugin = \"p\" }}\n[[balancer.b.member]]\nurl = \"http://127.0.0.1:9\"\n\
         [plugin.p]\nfile = \"p.wasm\"\n{COLD}\n"
    );
    fs::write(folder.path().join("p.wasm"), answering(0).build()).expect("written");
    let config = write_config(folder.path(), &toml);
    let status = program(&["check"])
        .arg(config)
        .stdout(Stdio::null())
        .status();
    assert!(status.expect("it runs").success());
    let entries = fs::read_dir(folder.path().join("cache")).expect("a folder");
    assert_eq!(entries.count(), 2, "a key and an entry");
}
