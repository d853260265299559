//! What happens to the program, each kind on a thread of its own.

use std::fs::File;
use std::thread::{Scope, ScopedJoinHandle};
use std::time::{Duration, SystemTime};

use equipoise_harness::Signal;

use super::Soak;
use super::clients::Clients;
use super::members::NAMES;
use super::output::{Output, STALL};
use super::site::HOST;

/// The JSON of API calls.
const JSON: &str = "application/json";

/// A kind of trouble.
struct Step {
    /// By which it is left out.
    name: &'static str,
    /// From one time to the next.
    every: Duration,
    /// What happens the time of this number.
    happens: fn(&Soak, usize),
}

const STEPS: [Step; 7] = [
    Step {
        name: "reloads",
        every: Duration::from_secs(1),
        happens: reload,
    },
    Step {
        name: "swaps",
        every: Duration::from_secs(2),
        happens: swap,
    },
    Step {
        name: "kills",
        every: Duration::from_millis(3100),
        happens: kill,
    },
    Step {
        name: "certificates",
        every: Duration::from_secs(5),
        happens: renew,
    },
    Step {
        name: "orders",
        every: Duration::from_millis(1300),
        happens: order,
    },
    Step {
        name: "log-stalls",
        every: Duration::from_secs(5),
        happens: |soak, _| stall(soak, "the log", &soak.site.output),
    },
    Step {
        name: "access-log-stalls",
        every: Duration::from_secs(7),
        happens: |soak, _| stall(soak, "the access log", &soak.site.access_log),
    },
];

/// The kinds of trouble that there are in this soak.
pub(super) struct Steps(Vec<&'static Step>);

impl Steps {
    /// All but those of these names.
    pub(super) fn without(names: &[&str]) -> Self {
        let known = |name: &&&str| STEPS.iter().any(|step| step.name == **name);
        let unknown = names.iter().find(|name| !name.is_empty() && !known(name));
        assert!(unknown.is_none(), "there is no {unknown:?} to leave out");
        let steps = STEPS.iter().filter(|step| !names.contains(&step.name));
        Self(steps.collect())
    }

    /// Begins all of it.
    pub(super) fn run<'scope>(&self, scope: &'scope Scope<'scope, '_>, soak: &'scope Soak) {
        for step in &self.0 {
            let step: &'static Step = step;
            let _: ScopedJoinHandle<'_, ()> = scope.spawn(move || {
                let mut number = 0;
                while soak.goes_on_after(step.every) {
                    (step.happens)(soak, number);
                    number += 1;
                }
            });
        }
    }

    /// What should have happened and has not, by the program's own account.
    pub(super) fn idle(&self, metrics: &str, clients: &Clients) -> Vec<String> {
        let table: [(&str, &str, u64); 6] = [
            (
                "reloads",
                "a configuration was applied",
                sum(
                    metrics,
                    "equipoise_config_reloads_total{result=\"applied\"}",
                ),
            ),
            (
                "reloads",
                "a configuration was refused",
                sum(
                    metrics,
                    "equipoise_config_reloads_total{result=\"refused\"}",
                ),
            ),
            (
                "swaps",
                "a plugin was swapped",
                sum(metrics, "equipoise_plugin_swaps_total{"),
            ),
            (
                "swaps",
                "a plugin made a fault",
                sum(metrics, "equipoise_plugin_faults_total{"),
            ),
            (
                "kills",
                "a request was retried",
                sum(metrics, "equipoise_retries_total{"),
            ),
            (
                "certificates",
                "a certificate was renewed",
                (clients.certificates() as u64).saturating_sub(1),
            ),
        ];
        let happens = |name: &str| self.0.iter().any(|step| step.name == name);
        let idle = table
            .iter()
            .filter(|(name, _, count)| happens(name) && *count == 0);
        idle.map(|(_, what, _)| format!("it was no soak: not once was it so that {what}"))
            .collect()
    }
}

/// The sum of the metrics whose lines begin so.
fn sum(metrics: &str, beginning: &str) -> u64 {
    let lines = metrics.lines().filter(|line| line.starts_with(beginning));
    let numbers = lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
    numbers.sum::<f64>() as u64
}

/// Another variant of the configuration comes into force; every seventh is none.
fn reload(soak: &Soak, number: usize) {
    let broken = [
        "[",
        "\nworkers = true",
        "[plugin.none]\nfile = \"none.wasm\"\n",
    ];
    if number % 7 == 6 {
        let broken = broken[number / 7 % broken.len()];
        soak.ledger
            .note(&format!("a broken configuration: {broken:?}"));
        return soak.site.configure(number, broken);
    }
    soak.ledger.note(&format!("configuration {}", number % 2));
    soak.site.configure(number, "");
    match number % 5 {
        3 => soak.site.signal(Signal::HUP),
        // It is refused while the file of a plugin that has to be made anew holds none.
        4 => expect(soak, "POST", "/configuration/reload", b"", &[200, 422]),
        _ => {}
    }
}

/// Two plugins' files are replaced.
fn swap(soak: &Soak, number: usize) {
    let [chooser, others @ ..] = &soak.plugins;
    for (name, contents) in [chooser, &others[number % others.len()]] {
        // Those that have their turn less often begin elsewhere each time.
        let at = if *name == "chooser" {
            number
        } else {
            number / others.len()
        };
        let (what, content) = &contents[at % contents.len()];
        soak.ledger.note(&format!("{name} becomes {what}"));
        if number % 5 == 4 {
            // Uploaded: it is for the program to refuse what is no good.
            let path = format!("/plugins/{name}");
            expect_of(soak, "PUT", &path, "application/wasm", content, &[200, 422]);
        } else {
            soak.site.replace(&format!("{name}.wasm"), content);
        }
    }
}

/// A member dies and comes back after a while, one at a time.
fn kill(soak: &Soak, number: usize) {
    let position = number % NAMES.len();
    soak.members.kill(position);
    soak.goes_on_after(Duration::from_millis(1500));
    soak.members.revive(position);
}

/// The certificate is renewed, or only touched.
fn renew(soak: &Soak, number: usize) {
    if number % 3 == 2 {
        soak.ledger.note("the certificate is touched");
        let file = File::options()
            .append(true)
            .open(soak.site.path("soak.pem"));
        let touched = file.and_then(|file| file.set_modified(SystemTime::now()));
        touched.expect("a file");
    } else {
        soak.ledger.note("the certificate is renewed");
        soak.site.certificates.vouch("soak", &[HOST]);
    }
}

/// An operator changes something, and takes it back.
fn order(soak: &Soak, number: usize) {
    const ORDERS: [(&str, &str); 6] = [
        ("native/members/1", "{\"status\": \"+N\"}"),
        ("chosen/members/0", "{\"loadfactor\": 7}"),
        ("native/members/1", "{\"status\": \"-N\"}"),
        ("spread/members/2", "{\"status\": \"+D\"}"),
        ("spread/members/2", "{\"status\": \"-D\"}"),
        ("sticky", "{\"maxattempts\": 5}"),
    ];
    match number % (ORDERS.len() + 2) {
        place if place < ORDERS.len() => {
            let (what, change) = ORDERS[place];
            soak.ledger.note(&format!("{what} {change}"));
            let path = format!("/balancers/{what}");
            expect(soak, "PATCH", &path, change.as_bytes(), &[200]);
        }
        6 => expect(soak, "DELETE", "/configuration/changes", b"", &[200, 204]),
        _ => expect(soak, "GET", "/balancers", b"", &[200]),
    }
}

/// The reader of the program's output stalls for a while.
fn stall(soak: &Soak, what: &str, output: &Output) {
    soak.ledger.note(&format!("the reader of {what} stalls"));
    output.stall(true);
    soak.goes_on_after(STALL);
    output.stall(false);
    soak.ledger.note(&format!("the reader of {what} goes on"));
}

/// Asks the API, which must answer with one of these.
fn expect(soak: &Soak, method: &str, path: &str, body: &[u8], statuses: &[u16]) {
    expect_of(soak, method, path, JSON, body, statuses);
}

fn expect_of(soak: &Soak, method: &str, path: &str, kind: &str, body: &[u8], statuses: &[u16]) {
    let answer = soak
        .site
        .order(method, &format!("/api/v1{path}"), kind, body);
    match answer {
        Ok((status, _)) if statuses.contains(&status) => {}
        Ok((status, said)) => soak
            .ledger
            .bad(&format!("API: {method} {path}: {status} {said}")),
        Err(error) => soak.ledger.bad(&format!("API: {method} {path}: {error}")),
    }
}
