//! The example plugins: one policy in three languages, which must not differ in a single decision.
//!
//! `examples/plugins/build` builds them, and says what it needs for that.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use crate::client::{Connection, Request};
use crate::compare::{Step, drive};
use crate::equipoise::Equipoise;
use crate::members::MEMBERS;

/// How long a component may take until it serves: compiling QuickJS takes a while where no core is to spare.
const WAIT_TIMEOUT: Duration = Duration::from_secs(120);

/// How many members there are to choose from.
const MEMBERS_CHOSEN_FROM: usize = 3;

/// A component, built.
struct Plugin {
    path: PathBuf,
    /// What the log calls it: the first digits of its SHA-256.
    version: String,
}

/// The policy in every language.
struct Plugins {
    rust: Plugin,
    c: Plugin,
    javascript: Plugin,
}

/// The folder of the examples, all of them built.
pub(crate) static BUILT: LazyLock<PathBuf> = LazyLock::new(|| {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/plugins");
    let build = Command::new(directory.join("build"))
        .stdin(Stdio::null())
        .output()
        .expect("examples/plugins/build is a program");
    assert!(
        build.status.success(),
        "examples/plugins/build: {}",
        String::from_utf8_lossy(&build.stderr)
    );
    directory.join("target")
});

static PLUGINS: LazyLock<Plugins> = LazyLock::new(|| {
    let plugin = |language| {
        let path = BUILT.join(format!("hash-or-least-busy-{language}.wasm"));
        let digest = Sha256::digest(fs::read(&path).expect("it was just built"));
        let digits: String = digest[..6].iter().map(|it| format!("{it:02x}")).collect();
        Plugin {
            path,
            version: digits,
        }
    };
    Plugins {
        rust: plugin("rust"),
        c: plugin("c"),
        javascript: plugin("javascript"),
    }
});

/// Equipoise in front of three members, with a plugin to choose among them.
struct Balancer {
    equipoise: Equipoise,
}

impl Balancer {
    /// Starts with this plugin. Only users named by this header field have a member of their own.
    fn start(plugin: &Plugin, header: &str) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        fs::copy(&plugin.path, directory.path().join("policy.wasm")).expect("copying a file");
        let members: String = (0..MEMBERS_CHOSEN_FROM)
            .map(|position| MEMBERS.live(position))
            .map(|address| format!("[[balancer.cluster.member]]\nurl = \"http://{address}\"\n"))
            .collect();
        // QuickJS is slow in the host of a debug build: the usual deadline and budget are none to it.
        let configuration = format!(
            "[[route]]\npath = \"/\"\nbalancer = \"cluster\"\n\
             [plugin.policy]\nfile = \"policy.wasm\"\nmemory = \"64MiB\"\ndeadline = \"1s\"\ncpu-budget = \"100%\"\n\
             settings = {{ header = \"{header}\" }}\n\
             [balancer.cluster]\nlbmethod = {{ plugin = \"policy\", fallback = \"byrequests\" }}\n{members}"
        );
        let equipoise = Equipoise::start_in(directory, &configuration, "info");
        let balancer = Self { equipoise };
        balancer.await_serving(plugin, 1);
        balancer
    }

    fn address(&self) -> SocketAddr {
        self.equipoise.address
    }

    /// Renames another plugin over the one that serves, and waits until it serves instead.
    fn swap(&self, plugin: &Plugin) {
        let before = self.times_served(plugin);
        let directory = self.equipoise.directory();
        let new = directory.join("policy.wasm.new");
        fs::copy(&plugin.path, &new).expect("copying a file");
        fs::rename(new, directory.join("policy.wasm")).expect("renaming a file");
        self.await_serving(plugin, before + 1);
    }

    /// Waits until the log has told so many times that this plugin serves.
    fn await_serving(&self, plugin: &Plugin, times: usize) {
        let start = Instant::now();
        while self.times_served(plugin) < times {
            let Plugin { path, version } = plugin;
            let log = || self.equipoise.log();
            assert!(
                start.elapsed() < WAIT_TIMEOUT,
                "{} ({version}) does not serve; the log:\n{}",
                path.display(),
                log()
            );
            thread::sleep(Duration::from_millis(5));
        }
    }

    fn times_served(&self, plugin: &Plugin) -> usize {
        let words = ["plugin policy", "serves", &plugin.version];
        let log = self.equipoise.log();
        log.lines()
            .filter(|line| words.iter().all(|word| line.contains(word)))
            .count()
    }
}

/// Some users, one of them without a name.
fn users() -> impl Iterator<Item = String> + Clone {
    let numbered = (0..20).map(|number| format!("user{number}"));
    [String::new(), "ada".to_owned()]
        .into_iter()
        .chain(numbered)
}

/// The member that the policy chooses for a user while all are eligible.
fn member_of(user: &str) -> String {
    let hash = equipoise_sdk::hash::bytes(user.as_bytes());
    format!("b{}", hash as usize % MEMBERS_CHOSEN_FROM + 1)
}

/// Takes the plugin through everything the policy says.
fn follow_the_policy(plugin: &Plugin) {
    let balancer = Balancer::start(plugin, "x-user");
    for user in users() {
        let answer = Request::get("/")
            .with("X-User", &user)
            .send(balancer.address());
        assert_eq!(answer.to_string(), member_of(&user), "{user}");
    }
    let hold = || Step::Hold(Request::get("/"));
    let ask = || Step::Ask(Request::get("/"));
    let ada = Step::Ask(Request::get("/").with("X-User", "ada"));
    let steps = [
        ask(),
        ask(),
        hold(),
        ask(),
        hold(),
        ask(),
        ada,
        hold(),
        ask(),
        Step::Release,
        ask(),
        hold(),
        Step::Release,
        ask(),
    ];
    let expected = format!(
        "b1 b1 (b1 b2 (b2 b3 {} (b3 b1 b1) b1 (b1 b2) b2",
        member_of("ada")
    );
    assert_eq!(drive(balancer.address(), &steps), expected);

    let balancer = Balancer::start(plugin, "x-tenant");
    for tenant in users() {
        let request = Request::get("/").with("X-User", "ada");
        let answer = request.with("X-Tenant", &tenant).send(balancer.address());
        assert_eq!(answer.to_string(), member_of(&tenant), "{tenant}");
    }
    let nobody = Request::get("/").with("X-User", "ada");
    assert_eq!(nobody.send(balancer.address()).to_string(), "b1");
}

#[test]
fn the_policy_in_rust_is_followed() {
    follow_the_policy(&PLUGINS.rust);
}

#[test]
fn the_policy_in_c_is_followed() {
    follow_the_policy(&PLUGINS.c);
}

#[test]
fn the_policy_in_javascript_is_followed() {
    follow_the_policy(&PLUGINS.javascript);
}

/// Since all decide alike, every single answer under load is known, whichever language it came from; the fallback,
/// which takes turns, would show.
#[test]
fn languages_are_swapped_under_load_without_a_request_that_notices() {
    let Plugins {
        rust,
        c,
        javascript,
    } = &*PLUGINS;
    let balancer = Balancer::start(rust, "x-user");
    let (is_over, answers) = (AtomicBool::new(false), AtomicUsize::new(0));
    let load = || {
        let mut connection = Connection::open(balancer.address());
        for user in users().cycle() {
            if is_over.load(Ordering::Relaxed) {
                break;
            }
            let answer = connection.ask(&Request::get("/").with("X-User", &user));
            assert_eq!(answer.to_string(), member_of(&user), "{user}");
            answers.fetch_add(1, Ordering::Relaxed);
        }
    };
    thread::scope(|scope| {
        let clients: Vec<_> = (0..4).map(|_| scope.spawn(load)).collect();
        let _over = SetWhenDropped(&is_over);
        for plugin in [c, javascript, rust, javascript, c, rust] {
            balancer.swap(plugin);
            await_more(&answers, 100, || clients.iter().all(|it| !it.is_finished()));
        }
    });
}

/// Ends the load also when the test fails, so that it fails at once.
struct SetWhenDropped<'a>(&'a AtomicBool);

impl Drop for SetWhenDropped<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Waits until there are so many more answers.
#[track_caller]
fn await_more(answers: &AtomicUsize, count: usize, is_going_on: impl Fn() -> bool) {
    let (start, before) = (Instant::now(), answers.load(Ordering::Relaxed));
    while answers.load(Ordering::Relaxed) < before + count {
        assert!(is_going_on(), "a client has given up");
        assert!(start.elapsed() < WAIT_TIMEOUT, "no answers come");
        thread::sleep(Duration::from_millis(5));
    }
}
