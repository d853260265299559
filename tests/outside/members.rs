//! The members behind both servers: six that live and six that are dead, for all tests together.
//!
//! A member keeps nothing from one request to the next, so that tests can share it. What it does with a request, the request
//! itself says, in header fields that both servers pass on:
//!
//! | field | meaning |
//! |---|---|
//! | `Answer: b1=503 b2=500` | the named members answer with these statuses, others with 200 |
//! | `Answer: b1=nothing` | the named member closes the connection instead |
//! | `Length: 1000` | the answer's body has so many bytes; without it the body is the request's head |
//! | `Say: Location: /x | ETag: y` | the answer has these fields, too |
//! | `Hold: KEY` | the answer waits until [`Members::release`] is called with the key |
//!
//! `@MEMBER@` in `Say` stands for the member's own address.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Condvar, LazyLock, Mutex, MutexGuard, PoisonError};

use equipoise_harness::wire::Head;
use equipoise_harness::{Exchange, Origin, WAIT_TIMEOUT};

/// How many members there are of each kind.
pub(crate) const COUNT: usize = 6;

/// All members of this test run.
pub(crate) static MEMBERS: LazyLock<Members> = LazyLock::new(Members::start);

/// Members that live, named `b1` to `b6`, and as many that are dead.
pub(crate) struct Members {
    live: Vec<Origin>,
    /// Connections are refused, and no other process can take the port.
    dead: Vec<Origin>,
    held: Mutex<HashMap<String, Held>>,
    changed: Condvar,
}

/// A request that waits at a member.
#[derive(Default)]
struct Held {
    at: Option<String>,
    is_released: bool,
}

impl Members {
    fn start() -> Self {
        Self {
            live: (1..=COUNT).map(live).collect(),
            dead: (1..=COUNT).map(|_| Origin::dead()).collect(),
            held: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    /// The address of the live member at this position, counted from 0.
    pub(crate) fn live(&self, position: usize) -> SocketAddr {
        self.live[position].address()
    }

    /// The address of a dead member: connections to it are refused.
    pub(crate) fn dead(&self, position: usize) -> SocketAddr {
        self.dead[position].address()
    }

    /// Waits until a request with this key is held; the name of the member it is at.
    pub(crate) fn await_held(&self, key: &str) -> String {
        let at = |held: &HashMap<String, Held>| held.get(key).and_then(|held| held.at.clone());
        let held = self.wait_while(|held| at(held).is_none());
        at(&held).expect("a member has got the request that is to be held")
    }

    /// Lets the answer to the request with this key go.
    pub(crate) fn release(&self, key: &str) {
        self.held().entry(key.to_owned()).or_default().is_released = true;
        self.changed.notify_all();
    }

    fn hold(&self, key: &str, name: &str) {
        self.held().entry(key.to_owned()).or_default().at = Some(name.to_owned());
        self.changed.notify_all();
        drop(self.wait_while(|held| !held[key].is_released));
    }

    fn held(&self) -> MutexGuard<'_, HashMap<String, Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_while(
        &self,
        condition: impl Fn(&HashMap<String, Held>) -> bool,
    ) -> MutexGuard<'_, HashMap<String, Held>> {
        self.changed
            .wait_timeout_while(self.held(), WAIT_TIMEOUT, |held| condition(held))
            .unwrap_or_else(PoisonError::into_inner)
            .0
    }
}

/// Answers as each request says.
fn live(number: usize) -> Origin {
    let name = format!("b{number}");
    Origin::named(&name).forgetting().answering(answer).start()
}

fn answer(exchange: &mut Exchange) {
    exchange.read_body();
    if let Some(key) = exchange.head.first("hold") {
        MEMBERS.hold(key, exchange.name());
    }
    let status = status(&exchange.head, exchange.name()).to_owned();
    if status == "nothing" {
        return exchange.close();
    }
    let mut head = format!(
        "HTTP/1.1 {status} Said\r\nServed-By: {}\r\n",
        exchange.name()
    );
    let own = exchange.address().to_string();
    for said in exchange
        .head
        .first("say")
        .iter()
        .flat_map(|said| said.split(" | "))
    {
        head.push_str(&said.replace("@MEMBER@", &own));
        head.push_str("\r\n");
    }
    if matches!(&*status, "204" | "304") {
        return exchange.send(head + "\r\n");
    }
    let body = match exchange.head.first("length").map(str::parse) {
        Some(Ok(length)) => "x".repeat(length),
        _ => exchange.head.to_string(),
    };
    exchange.send(format!(
        "{head}Content-Length: {}\r\n\r\n{body}",
        body.len()
    ));
}

/// What this member is to answer with.
fn status<'head>(head: &'head Head, name: &str) -> &'head str {
    let answers = head.first("answer");
    let mut answers = answers.iter().flat_map(|answers| answers.split(' '));
    answers
        .find_map(|answer| answer.strip_prefix(name)?.strip_prefix('='))
        .unwrap_or("200")
}
