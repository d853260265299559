//! A soak: everything that may happen to a running program happens at once, for minutes, under load, and costs nothing.
//!
//! The built program has balancers of every kind, a listener with TLS and one without, and clients that know the answer to each of
//! their requests ([`clients`]). Meanwhile ([`steps`]) its configuration changes each second, its plugins each two seconds,
//! most of them for hostile or slow ones ([`plugins`]); members are killed and come back ([`members`]), certificates are
//! renewed, operators change members, and the reader of the program's output stalls for a while ([`output`]).
//!
//! What is demanded in the end:
//!
//! - **No unexpected answer.** Every request is answered with 200, by a member of its balancer, with its own id, method, path and
//!   the hash of its body. Only a POST that was at a member when that was killed may be answered with 502 instead, since it
//!   must not be repeated ([`ledger`]). `/healthz` is 200 whenever it is asked, and every change of an operator is taken, or
//!   refused where it has to be.
//! - **No growth.** Memory, file descriptors and threads are at the end what they were after the beginning ([`gauge`]).
//! - **No panic** in the log, and a proper end: SIGTERM while requests are in flight costs none of them, and the exit code is 0.
//! - **It was a soak.** Each kind of trouble has happened.

mod clients;
mod configuration;
mod gauge;
mod ledger;
mod members;
mod output;
mod plugins;
mod site;
mod steps;

use std::env;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use equipoise_harness::{component, fixtures};

use clients::Clients;
use gauge::Gauge;
use ledger::Ledger;
use members::Members;
use plugins::Plugin;
use site::Site;
use steps::Steps;

/// How many seconds it lasts, if not two minutes.
const SECONDS: &str = "EQUIPOISE_SOAK_SECONDS";

/// Kinds of trouble to leave out, by the names in [`steps`], with commas between them: to find out which one does harm.
const WITHOUT: &str = "EQUIPOISE_SOAK_WITHOUT";

/// How long a response is waited for: a program that is still at it then has stopped serving, even on a busy machine.
const WAIT_TIMEOUT: Duration = Duration::from_secs(10);

/// Less than this tells nothing.
const MIN_DURATION: Duration = Duration::from_secs(20);

/// What all threads of the soak share.
struct Soak {
    site: Site,
    members: Members,
    plugins: [Plugin; 4],
    ledger: Arc<Ledger>,
    /// When the trouble ends.
    deadline: Instant,
    /// Set when something is so wrong that going on makes no sense.
    is_over: AtomicBool,
}

impl Soak {
    /// Waits until it is time for the next thing, or for the end; whether to go on.
    fn goes_on_after(&self, pause: Duration) -> bool {
        let until = (Instant::now() + pause).min(self.deadline);
        while Instant::now() < until && !self.is_over.load(SeqCst) {
            thread::sleep(Duration::from_millis(20));
        }
        Instant::now() < self.deadline && !self.is_over.load(SeqCst)
    }
}

#[test]
fn nothing_is_lost_while_everything_goes_wrong_at_once() {
    let length = length();
    let without = env::var(WITHOUT).unwrap_or_default();
    let steps = Steps::without(&without.split(',').collect::<Vec<_>>());
    let ledger = Arc::new(Ledger::new());
    let members = Members::start(&ledger);
    let site = Site::open(&members);
    let clients = Clients::come_to(&site, &ledger);
    let mut soak = Soak {
        site,
        members,
        plugins: plugins::all(),
        ledger,
        deadline: Instant::now() + length,
        is_over: AtomicBool::new(false),
    };
    let gauge = thread::scope(|scope| {
        steps.run(scope, &soak);
        Gauge::watch(&soak)
    });
    soak.members.revive_all();
    let mut wrong = gauge.growth();
    wrong.extend(steps.idle(&soak.site.metrics(), &clients));
    clients.leave();
    wrong.extend(soak.site.end_with_requests_in_flight(&soak.members));
    wrong.extend(soak.ledger.wrong());
    wrong.extend(soak.site.output.panics());
    let told = format!("{}; {gauge}", soak.ledger);
    assert!(
        wrong.is_empty(),
        "{}\n{told}\nthe end of the log:\n{}",
        wrong.join("\n"),
        soak.site.output.end()
    );
    tell(&told);
}

fn length() -> Duration {
    let seconds = env::var(SECONDS).unwrap_or_else(|_| "120".to_owned());
    let seconds = seconds.parse().map(Duration::from_secs);
    let seconds = seconds.unwrap_or_else(|_| panic!("{SECONDS} must be a whole number"));
    assert!(seconds >= MIN_DURATION, "{SECONDS} must be 20 at least");
    seconds
}

#[expect(
    clippy::print_stderr,
    reason = "shown with --nocapture: what the soak came to"
)]
fn tell(told: &str) {
    eprintln!("soak: {told}");
}
