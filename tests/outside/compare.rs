//! Sending both servers the same, and comparing.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use crate::answer::Answer;
use crate::apache::Apache;
use crate::client::Request;
use crate::cluster::Cluster;
use crate::equipoise::Equipoise;
use crate::members::MEMBERS;

/// One thing to do. What is held at the end is let go.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    /// Send a request and wait for the answer.
    Ask(Request),
    /// Send a request that stays at its member.
    Hold(Request),
    /// Let the request go that is held for the longest time, and wait for its answer.
    Release,
    /// Let time pass, for what only time brings about.
    Wait(Duration),
}

/// Both servers, started from one description.
#[derive(Debug)]
pub(crate) struct Pair {
    apache: Apache,
    equipoise: Equipoise,
}

/// What both did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Both<T> {
    pub(crate) apache: T,
    pub(crate) equipoise: T,
}

impl Pair {
    /// Starts both.
    pub(crate) fn start(cluster: &Cluster) -> Self {
        Self {
            apache: Apache::start(cluster),
            equipoise: Equipoise::start(cluster),
        }
    }

    /// Sends both a request.
    pub(crate) fn ask(&self, request: &Request) -> Both<Answer> {
        Both {
            apache: request.send(self.apache.address),
            equipoise: request.send(self.equipoise.address),
        }
    }

    /// Sends both two requests on one connection; the answer to the second.
    pub(crate) fn ask_behind(&self, first: &Request, second: &Request) -> Both<Answer> {
        Both {
            apache: second.send_behind(first, self.apache.address),
            equipoise: second.send_behind(first, self.equipoise.address),
        }
    }

    /// Takes both through the steps; a word for each.
    pub(crate) fn drive(&self, steps: &[Step]) -> Both<String> {
        Both {
            apache: drive(self.apache.address, steps),
            equipoise: drive(self.equipoise.address, steps),
        }
    }
}

impl Both<String> {
    /// The words, after checking that they are the same for both; `steps` is shown where they are not.
    #[track_caller]
    pub(crate) fn agreed(self, cluster: &Cluster, steps: &str) -> String {
        assert!(
            self.apache == self.equipoise,
            "\napache:    {}\nequipoise: {}\nin apache's words:\n{}in our words:\n{}{steps}",
            self.apache,
            self.equipoise,
            cluster.in_apaches_words(),
            cluster.in_our_words(),
        );
        self.equipoise
    }
}

/// Starts both servers and takes them through the steps; what both did, which must be the same.
#[track_caller]
pub(crate) fn agree(cluster: &Cluster, steps: &[Step]) -> String {
    let both = Pair::start(cluster).drive(steps);
    both.agreed(cluster, &format!("{steps:?}"))
}

/// As [`agree`], for requests that follow each other.
#[track_caller]
pub(crate) fn agree_on(cluster: &Cluster, requests: impl IntoIterator<Item = Request>) -> String {
    let steps: Vec<Step> = requests.into_iter().map(Step::Ask).collect();
    agree(cluster, &steps)
}

/// As many plain requests.
pub(crate) fn gets(count: usize) -> Vec<Request> {
    vec![Request::get("/"); count]
}

/// Takes a server through the steps; a word for each.
pub(crate) fn drive(server: SocketAddr, steps: &[Step]) -> String {
    let mut held = VecDeque::new();
    let mut words = Vec::new();
    for step in steps {
        match step {
            Step::Ask(request) => words.push(request.send(server).to_string()),
            Step::Hold(request) => {
                let key = new_key();
                let pending = request.clone().with("Hold", &key).begin(server);
                words.push(format!("({}", MEMBERS.await_held(&key)));
                held.push_back((key, pending));
            }
            Step::Release => {
                let (key, pending) = held.pop_front().expect("something is held");
                MEMBERS.release(&key);
                words.push(format!("{})", pending.finish()));
            }
            Step::Wait(time) => thread::sleep(*time),
        }
    }
    for (key, _) in held {
        MEMBERS.release(&key);
    }
    words.join(" ")
}

fn new_key() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed).to_string()
}
