//! What others see while an instance is renewed. Each instance says so when it is configured, in the log of the thread that makes it: a
//! test that has that log can hold the making up for as long as it likes.

use std::io;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, LazyLock, Mutex};
use std::thread;
use std::time::Duration;

use equipoise_balancer::{
    Balancer, BalancerSettings, Member, MemberSettings, PickArgs, PickReason, SelectorWithFallback,
};
use equipoise_byrequests::ByRequests;
use equipoise_harness::component::{Component, answer, trap, with_text};
use equipoise_harness::fixtures::{FAULT, answering, leak};
use equipoise_sdk::testing::{FakeEnv, FakeRequest};
use equipoise_sdk::{MemberConfig, PolicyConfig};
use sha2::{Digest as _, Sha256};
use tracing::subscriber::with_default;

use super::super::compiler::{Cancel, Compiler};
use super::super::engine::Sandbox;
use super::super::version::Version;
use equipoise_balancer::PluginVersion as _;
use equipoise_config::Plugin;
use equipoise_file_watch::Content;

/// Nothing here takes so long, unless it waits for what does not come.
const FOR_EVER: Duration = Duration::from_secs(30);

static SANDBOX: LazyLock<Arc<Sandbox>> =
    LazyLock::new(|| Sandbox::new(Compiler::Here, None).expect("a sandbox"));

/// Chooses the first member, or traps if it is asked to; says when it is configured.
fn trapping() -> Component {
    let says = with_text(b"configured", "call $log");
    answering(0)
        .when_header(FAULT, "trap", &format!("{} {}", trap(), answer(0)))
        .configure(&format!("(i32.const 2) {says} call $ok"))
}

/// Needs another page of memory with every call.
fn leaking() -> Component {
    let says = with_text(b"configured", "call $log");
    leak().configure(&format!("(i32.const 2) {says} call $ok"))
}

/// A balancer of two members whose method is this component.
fn balancer(component: &Component, memory: usize) -> Balancer {
    let bytes = component.build();
    let content = Content {
        hash: Sha256::digest(&bytes).into(),
        bytes,
    };
    let plugin = Plugin {
        deadline: Duration::from_secs(1),
        memory,
        ..Plugin::new("p", "p.wasm")
    };
    let on_quarantine: Arc<dyn Fn() + Send + Sync> = Arc::new(|| {});
    let code = SANDBOX.compile(&content, &Cancel::default());
    let code = code.expect("it compiles");
    let version = Version::load(&SANDBOX, &Arc::new(plugin), &content, &code, &on_quarantine);
    let version = Arc::new(version.expect("it loads"));
    let ids = 0..2;
    let config = |id| MemberConfig {
        id,
        ..MemberConfig::default()
    };
    let config_of_all = PolicyConfig {
        members: ids.clone().map(config).collect(),
        ..PolicyConfig::default()
    };
    let plugin = version
        .selector(&Arc::new(config_of_all), 0)
        .expect("it is fit");
    let member = |id| Member {
        id,
        settings: MemberSettings::named(format!("m{id}")),
        counters: Arc::default(),
    };
    let settings = BalancerSettings {
        name: "b".to_owned(),
        nofailover: false,
        forcerecovery: true,
        failonstatus: Vec::new(),
        failontimeout: false,
        panic_threshold: 0,
    };
    let selectors = SelectorWithFallback {
        selector: plugin.selector,
        fallback: Box::<ByRequests>::default(),
        renewal: Some(plugin.renewal),
    };
    Balancer::new(settings, ids.map(member).collect(), None, [selectors])
}

/// Who decides a request, which may ask for a fault.
fn decided(balancer: &Balancer, fault: &str) -> PickReason {
    let request = FakeRequest::get("/").with_header(FAULT, fault);
    let args = PickArgs {
        worker: 0,
        request: &request,
        session: None,
        tried: &[],
        now: Duration::ZERO,
        host: &FakeEnv::default(),
    };
    balancer.choose(&args).expect("there are members").reason
}

/// A log that tells of each line, and is done with it when it is told so.
#[derive(Clone)]
struct Gate {
    line: Sender<String>,
    go_on: Arc<Mutex<Receiver<()>>>,
}

impl io::Write for Gate {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let line = String::from_utf8_lossy(bytes).into_owned();
        let is_configured = line.contains("configured");
        self.line.send(line).expect("the test listens");
        if is_configured {
            let go_on = self.go_on.lock().expect("the lock");
            go_on.recv_timeout(FOR_EVER).expect("the test goes on");
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Decides a request on a thread of its own, which is held up when it makes an instance, and decides others meanwhile.
#[track_caller]
fn assert_others_decide_meanwhile(balancer: &Balancer, fault: &str, first: PickReason) {
    let (line, lines) = channel();
    let (go_on, waits) = channel();
    let gate = Gate {
        line,
        go_on: Arc::new(Mutex::new(waits)),
    };
    let log = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(move || gate.clone())
        .finish();
    thread::scope(|scope| {
        let renewing = scope.spawn(|| with_default(log, || decided(balancer, fault)));
        let mut lines = lines.iter();
        let configured = lines.find(|line| line.contains("configured"));
        assert!(configured.is_some(), "no instance is made");
        let (tell, told) = channel();
        let other = scope.spawn(move || tell.send(decided(balancer, "none")));
        let meanwhile = told.recv_timeout(FOR_EVER);
        go_on.send(()).expect("it waits");
        assert_eq!(
            meanwhile,
            Ok(PickReason::Fallback),
            "it waits for the instance"
        );
        other.join().expect("it decides").expect("it tells");
        assert_eq!(renewing.join().expect("it decides"), first);
    });
    assert_eq!(
        decided(balancer, "none"),
        PickReason::Method,
        "it is renewed"
    );
}

#[test]
fn a_decision_waits_for_no_instance_that_is_made_after_a_fault() {
    let balancer = balancer(&trapping(), 1 << 20);
    assert_eq!(decided(&balancer, "none"), PickReason::Method);
    assert_others_decide_meanwhile(&balancer, "trap", PickReason::Fallback);
}

#[test]
fn a_decision_waits_for_no_instance_that_is_made_since_memory_runs_out() {
    // It has two pages at first, and is full when it has taken three quarters of the rest.
    let balancer = balancer(&leaking(), 10 << 16);
    for call in 0..5 {
        assert_eq!(
            decided(&balancer, "none"),
            PickReason::Method,
            "call {call}"
        );
    }
    assert_others_decide_meanwhile(&balancer, "none", PickReason::Method);
}
