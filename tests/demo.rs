//! `equipoise demo`: what it prints can be pasted and works.

use std::fs;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use tempfile::TempDir;

use crate::harness::client::request;
use crate::harness::{Client, Proxy, Signal, fixtures, program};

/// What a `curl` line asks for, as far as the demo uses curl.
#[derive(Debug, Default)]
struct Curl {
    url: String,
    fields: Vec<String>,
    body: String,
}

/// The words of a shell line: single quotes hold words together, a comment ends it.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quoted) = (Vec::new(), String::new(), false);
    for character in line.chars().chain([' ']) {
        match character {
            '\'' => quoted = !quoted,
            ' ' if !quoted => {
                words.extend(Some(std::mem::take(&mut word)).filter(|word| !word.is_empty()))
            }
            _ => word.push(character),
        }
    }
    words.into_iter().take_while(|word| word != "#").collect()
}

fn curl(line: &str) -> Option<Curl> {
    let mut words = words(line).into_iter();
    (words.next()? == "curl").then_some(())?;
    let mut curl = Curl::default();
    while let Some(word) = words.next() {
        match word.as_str() {
            "-H" => curl.fields.extend(words.next()),
            "-d" => curl.body = words.next()?,
            "-c" | "-b" | "-o" => drop(words.next()),
            "-s" | "-i" | "-v" => {}
            _ => curl.url = word,
        }
    }
    Some(curl)
}

/// The demo, with its scratch folder in a folder that is cleaned up. One starts at a time: each looks whether its favourite
/// port is free before it takes it.
fn start() -> Proxy {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let directory = TempDir::new().expect("a directory");
    let mut demo = program(&["demo"]);
    demo.env("TMPDIR", directory.path());
    Proxy::run(demo, 1, directory)
}

/// What it says before the first request.
fn introduction(demo: &Proxy) -> Vec<String> {
    demo.stdout.when("how to end it", |lines| {
        let is_over = lines.iter().any(|line| line.contains("Ctrl-C"));
        is_over.then(|| lines.to_vec())
    })
}

/// Goal: a changed plugin of the demo decides the next request. Method: put another component where a build would
/// put it; that the source builds is shown by the second test command.
#[test]
fn the_demos_plugin_is_exchanged_while_it_serves() {
    let demo = start();
    let intro = introduction(&demo);
    let build = intro.iter().find_map(|line| {
        let folder = line.trim().strip_prefix("cd ")?;
        folder.strip_suffix(" && cargo build --release --target wasm32-wasip2")
    });
    let folder = Path::new(build.expect("how to build it"));
    let source = fs::read_to_string(folder.join("src/lib.rs")).expect("the source");
    assert!(source.contains("CHANGE THIS LINE"), "{source}");

    let user = |name: &str| demo.exchange("GET /", &[&format!("x-user: {name}")]).text();
    assert_eq!(user("alice"), user("alice"));

    let component = folder.join("target/wasm32-wasip2/release/demo_plugin.wasm");
    fs::write(component, fixtures::answering(2).build()).expect("the component");
    demo.stderr.when("the new version", |lines| {
        let serves = lines
            .iter()
            .filter(|line| line.contains("serves (selector)"));
        (serves.count() == 2).then_some(())
    });
    for name in ["alice", "bob", "carol"] {
        assert!(user(name).contains("member 3"));
    }
}

/// Goal: a newcomer can paste each line and sees what happens. Method: ask as each line does; each is answered, and the
/// decision is shown.
#[test]
fn the_demo_does_what_it_says() {
    let mut demo = start();
    let intro = introduction(&demo);
    let commands: Vec<_> = intro.iter().filter_map(|line| curl(line.trim())).collect();
    assert!(commands.len() >= 3, "{intro:?}");

    for (index, command) in commands.iter().enumerate() {
        let (address, path) = command
            .url
            .strip_prefix("http://")
            .and_then(|url| url.split_once('/'))
            .expect("a URL");
        let method = if command.body.is_empty() {
            "GET"
        } else {
            "POST"
        };
        let fields: Vec<_> = command.fields.iter().map(String::as_str).collect();
        let mut client = Client::connect(address.parse().expect("an address"));
        client.send(request(
            &format!("{method} /{path}"),
            &fields,
            &command.body,
        ));
        let response = client.response();
        assert_eq!(response.status(), 200, "{command:?}: {response:?}");
        let shown = demo.stdout.when("a decision", |lines| {
            let decisions = lines
                .iter()
                .skip(intro.len())
                .filter(|line| !line.trim().is_empty());
            decisions.clone().nth(index).cloned()
        });
        assert!(shown.contains(&format!("/{path}")), "{command:?}: {shown}");
    }

    demo.signal(Signal::INT);
    assert_eq!(demo.wait().code(), Some(0));
}

#[test]
fn curl_lines_are_understood() {
    let line =
        curl("curl -H 'Cookie: a=b' -d x 'http://127.0.0.1:1/?q' # why").expect("a curl line");
    assert_eq!(
        (line.url.as_str(), line.body.as_str()),
        ("http://127.0.0.1:1/?q", "x")
    );
    assert_eq!(line.fields, ["Cookie: a=b"]);
    assert!(curl("listening on http://127.0.0.1:1").is_none());
}
