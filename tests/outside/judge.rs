//! The example `ready-and-fast`: members are judged by a field of their health answer and by their latency.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use crate::client::Request;
use crate::equipoise::Equipoise;
use crate::plugins::BUILT;

/// How long a change may take to show.
const WAIT_TIMEOUT: Duration = Duration::from_secs(60);

/// How long a slow member takes; the plugin's bound is half of it. Far beyond what a busy machine makes of the others.
const SLOWNESS: Duration = Duration::from_millis(700);

/// A member that says in JSON whether it is ready.
struct Member {
    address: SocketAddr,
    mood: Arc<Mood>,
}

#[derive(Default)]
struct Mood {
    is_down: AtomicBool,
    is_slow: AtomicBool,
    /// How often it was checked.
    checks: AtomicUsize,
}

impl Member {
    fn start(name: &'static str) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let mood = Arc::<Mood>::default();
        let shared = mood.clone();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let mood = shared.clone();
                thread::spawn(move || answer(stream, name, &mood));
            }
        });
        Self { address, mood }
    }
}

/// One request a connection: the answer to `/health`, or the member's name.
fn answer(mut stream: std::net::TcpStream, name: &str, mood: &Mood) {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        if !matches!(stream.read(&mut byte), Ok(1)) {
            return;
        }
        head.push(byte[0]);
    }
    let body = if head.starts_with(b"GET /health ") {
        mood.checks.fetch_add(1, Relaxed);
        let status = if mood.is_down.load(Relaxed) {
            "down"
        } else {
            "up"
        };
        format!("{{\"queue\": 3, \"status\": \"{status}\"}}")
    } else {
        if mood.is_slow.load(Relaxed) {
            thread::sleep(SLOWNESS);
        }
        name.to_owned()
    };
    let length = body.len();
    let _ = write!(
        stream,
        "HTTP/1.1 200 OK\r\nServed-By: {name}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    );
}

/// Equipoise in front of two members, judged by the example.
fn judged(members: [&Member; 2], interval: &str) -> Equipoise {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let component = BUILT.join("ready-and-fast.wasm");
    fs::copy(component, directory.path().join("judge.wasm")).expect("copying a file");
    let members: String = members
        .iter()
        .map(|member| {
            format!(
                "[[balancer.cluster.member]]\nurl = \"http://{}\"\n",
                member.address
            )
        })
        .collect();
    let configuration = format!(
        "[[route]]\npath = \"/\"\nbalancer = \"cluster\"\n\
         [plugin.judge]\nfile = \"judge.wasm\"\ndeadline = \"1s\"\ncpu-budget = \"100%\"\n\
         settings = {{ field = \"status\", value = \"up\", p99-ms = \"350\" }}\n\
         [balancer.cluster]\nhealth = {{ plugin = \"judge\" }}\n\
         hcmethod = \"GET\"\nhcuri = \"/health\"\nhcinterval = \"{interval}\"\n{members}"
    );
    Equipoise::start_in(directory, &configuration, "info")
}

#[track_caller]
fn await_line(equipoise: &Equipoise, says: &str) {
    await_that(says, || equipoise.log().contains(says));
}

#[track_caller]
fn await_that(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < WAIT_TIMEOUT, "waited in vain: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

fn served(equipoise: &Equipoise) -> Vec<String> {
    let ask = |_| Request::get("/").send(equipoise.address).to_string();
    (0..6).map(ask).collect()
}

#[test]
fn member_whose_answer_says_that_it_is_down_is_left_out() {
    let members = ["m1", "m2"].map(Member::start);
    let equipoise = judged([&members[0], &members[1]], "100ms");
    members[0].mood.is_down.store(true, Relaxed);
    let name = format!("member http://{}", members[0].address);
    await_line(&equipoise, &format!("{name} is unhealthy: status is down"));
    assert_eq!(served(&equipoise), ["m2"; 6]);
    members[0].mood.is_down.store(false, Relaxed);
    await_line(&equipoise, &format!("{name} is healthy: passed its check"));
    assert!(served(&equipoise).contains(&"m1".to_owned()));
}

#[test]
fn member_that_is_too_slow_for_one_in_a_hundred_is_left_out() {
    let members = ["m1", "m2"].map(Member::start);
    let equipoise = judged([&members[0], &members[1]], "1h");
    // No check comes behind the first to forgive it.
    await_that("both are checked", || {
        let mut moods = members.iter().map(|member| &member.mood);
        moods.all(|mood| mood.checks.load(Relaxed) > 0)
    });
    members[0].mood.is_slow.store(true, Relaxed);
    thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| {
                for _ in 0..12 {
                    Request::get("/").send(equipoise.address);
                }
            });
        }
    });
    let name = format!("member http://{}", members[0].address);
    await_line(
        &equipoise,
        &format!("{name} is unhealthy: 99th percentile of latency is"),
    );
    assert_eq!(served(&equipoise), ["m2"; 6]);
}
