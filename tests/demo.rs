//! `equipoise demo`: what it prints can be pasted and works.

use tempfile::TempDir;

use crate::harness::client::request;
use crate::harness::{Client, Proxy, Signal, program};

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

/// Goal: a newcomer can paste each line and sees what happens. Method: ask as each line does; each is answered, and the
/// decision is shown.
#[test]
fn the_demo_does_what_it_says() {
    let directory = TempDir::new().expect("a directory");
    let mut demo = Proxy::run(program(&["demo"]), 1, directory);
    let intro = demo.stdout.when("how to end it", |lines| {
        lines
            .iter()
            .any(|line| line.contains("Ctrl-C"))
            .then(|| lines.to_vec())
    });
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
