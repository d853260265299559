//! The program as it is called: its arguments, what it prints and how it exits.

use std::fs;
use std::net::TcpListener;
use std::process::Output;

use tempfile::TempDir;

use crate::harness::proxy::{server, write_config};
use crate::harness::{Origin, Proxy, program};

/// Runs the program to its end; exit code, standard output and standard error.
#[track_caller]
fn run(arguments: &[&str]) -> (Option<i32>, String, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = program(arguments).output().expect("the program starts");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    (status.code(), text(stdout), text(stderr))
}

/// Runs the program with a command and a configuration.
#[track_caller]
fn run_with(command: &str, toml: &str) -> (Option<i32>, String, String) {
    let directory = TempDir::new().expect("a directory");
    let path = write_config(directory.path(), toml);
    run(&[command, path.to_str().expect("UTF-8")])
}

const GOOD: &str = r#"
[[listen]]
address = "127.0.0.1:0"

[[route]]
path = "/"
balancer = "mycluster"

[balancer.mycluster]
lbmethod = "byrequests"
stickysession = "JSESSIONID|jsessionid"

[[balancer.mycluster.member]]
url = "http://127.0.0.1:9001"
route = "1"
loadfactor = 2

[[balancer.mycluster.member]]
url = "http://127.0.0.1:9002"
route = "2"
status = "+H"
"#;

#[test]
fn help_names_the_commands() {
    for argument in ["--help", "-h", "help"] {
        let (code, stdout, _) = run(&[argument]);
        assert_eq!(code, Some(0), "{argument}");
        for command in ["run", "check", "demo", "plugin"] {
            assert!(stdout.contains(command), "{argument}: {stdout}");
        }
    }
}

#[test]
fn version_is_the_packages() {
    for argument in ["--version", "-V"] {
        let (code, stdout, _) = run(&[argument]);
        assert_eq!(
            (code, stdout.trim()),
            (Some(0), concat!("equipoise ", env!("CARGO_PKG_VERSION")))
        );
    }
}

#[test]
fn wrong_arguments_are_explained() {
    for arguments in [
        &[][..],
        &["serve"],
        &["run"],
        &["check"],
        &["run", "a", "b"],
        &["--port=1"],
    ] {
        let (code, stdout, stderr) = run(arguments);
        assert_eq!((code, stdout.as_str()), (Some(2), ""), "{arguments:?}");
        assert!(stderr.contains("Usage"), "{arguments:?}: {stderr}");
    }
}

#[test]
fn check_accepts_what_is_right() {
    let (code, _, stderr) = run_with("check", GOOD);
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
}

#[test]
fn check_accepts_the_examples() {
    let examples = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples");
    let mut checked = 0;
    for entry in fs::read_dir(examples).expect("the examples") {
        let path = entry.expect("an entry").path();
        if path
            .extension()
            .is_some_and(|extension| extension == "toml")
        {
            let (code, _, stderr) = run(&["check", path.to_str().expect("UTF-8")]);
            assert_eq!((code, stderr.as_str()), (Some(0), ""), "{}", path.display());
            checked += 1;
        }
    }
    assert!(checked > 0);
}

/// Each mistake is named with line, key, what is written, and what would be right; a later one is found, too.
#[test]
fn check_reports_every_mistake() {
    let bad = GOOD
        .replace("loadfactor = 2", "loadfactr = 2")
        .replace("byrequests", "byrequest")
        .replace("+H", "+X")
        .replace("balancer = \"mycluster\"", "balancer = \"mycluser\"")
        + "retry = 60\n";
    for command in ["check", "run"] {
        let (code, stdout, stderr) = run_with(command, &bad);
        assert_eq!((code, stdout.as_str()), (Some(1), ""), "{command}");
        let mistakes = [
            (7, "balancer", "mycluser", "mycluster"),
            (10, "lbmethod", "byrequest", "byrequests"),
            (16, "loadfactr", "2", "loadfactor"),
            (21, "status", "+X", "D"),
            (22, "retry", "60", "60s"),
        ];
        for (line, key, value, right) in mistakes {
            let place = format!("equipoise.toml:{line}:");
            let report = stderr.lines().find(|report| report.contains(&place));
            let report = report.unwrap_or_else(|| panic!("line {line} is missing: {stderr}"));
            for part in [key, value, right] {
                assert!(report.contains(part), "{part} is missing: {report}");
            }
        }
        assert_eq!(
            stderr.matches("equipoise.toml:").count(),
            mistakes.len(),
            "{stderr}"
        );
    }
}

#[test]
fn a_file_that_is_not_there_is_named() {
    for command in ["check", "run"] {
        let (code, _, stderr) = run(&[command, "/nonexistent/equipoise.toml"]);
        assert_eq!(code, Some(1), "{command}");
        assert!(stderr.contains("/nonexistent/equipoise.toml"), "{stderr}");
    }
}

#[test]
fn a_file_that_is_not_toml_is_refused_with_its_line() {
    for command in ["check", "run"] {
        let (code, _, stderr) = run_with(command, "workers = 1\n[[listen\n");
        assert_eq!(code, Some(1), "{command}");
        assert!(stderr.contains("equipoise.toml:2:"), "{stderr}");
    }
}

#[test]
fn a_port_that_is_taken_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("an address").to_string();
    let (code, stdout, stderr) = run_with("run", &GOOD.replace("127.0.0.1:0", &address));
    assert_eq!((code, stdout.as_str()), (Some(1), ""));
    assert!(stderr.contains(&address), "{stderr}");
}

#[test]
fn run_prints_one_line_for_each_listener_and_nothing_else() {
    let [b1] = Origin::some();
    let proxy = Proxy::before(&[&b1]).start();
    assert_eq!(proxy.served(3), ["b1"; 3]);
    assert_eq!(
        proxy.stdout.text(),
        format!("listening on http://{}\n", proxy.address())
    );
    assert_eq!(proxy.stderr.text(), "");
}

#[test]
fn rust_log_says_how_much_is_logged() {
    let dead = Origin::dead();
    let log = |level: &str| {
        let directory = TempDir::new().expect("a directory");
        let toml = GOOD.replace("127.0.0.1:9001", &dead.address().to_string());
        let path = write_config(directory.path(), &toml.replace("+H", "+D"));
        let mut command = program(&["run", path.to_str().expect("UTF-8")]);
        command.env("RUST_LOG", level);
        let mut proxy = Proxy::run(command, 1, directory);
        assert_eq!(server(&proxy.get("/")), "503");
        proxy.signal(crate::harness::Signal::TERM);
        proxy.wait();
        proxy.stderr.whole()
    };
    assert_eq!(log("off"), "");
    let debug = log("debug");
    assert!(debug.contains(&dead.address().to_string()), "{debug}");
}
