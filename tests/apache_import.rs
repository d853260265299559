//! Apache's configuration as it is: imported, checked and run.

use std::fs;
use std::path::Path;
use std::process::Output;

use tempfile::TempDir;

use crate::harness::client::request_with_host;
use crate::harness::{Origin, Proxy, eventually, program};

/// What `check` and others print: exit code, standard output and standard error.
#[track_caller]
fn said(arguments: &[&str], file: &Path) -> (Option<i32>, String, String) {
    let mut command = program(arguments);
    let Output {
        status,
        stdout,
        stderr,
    } = command.arg(file).output().expect("the program starts");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    (status.code(), text(stdout), text(stderr))
}

/// A folder with these files.
fn folder(files: &[(&str, &str)]) -> TempDir {
    let directory = TempDir::new().expect("a directory");
    for (name, text) in files {
        let path = directory.path().join(name);
        let parent = path.parent().expect("a folder");
        fs::create_dir_all(parent).expect("a folder can be made");
        fs::write(&path, text).expect("a file can be written");
    }
    directory
}

/// Runs `httpd.conf` in a folder, as it stands there.
#[track_caller]
fn run(directory: TempDir) -> Proxy {
    let file = directory.path().join("httpd.conf");
    let mut command = program(&["run", "--listen", "127.0.0.1:0"]);
    command.arg(file);
    Proxy::run(command, 1, directory)
}

#[track_caller]
fn run_text(text: &str) -> Proxy {
    run(folder(&[("httpd.conf", text)]))
}

/// The example of Apache's manual, with members at names of this machine.
fn mycluster(members: [&Origin; 2], keys: [&str; 2], set: &str, pass: &str) -> String {
    let urls = members.map(|it| format!("http://localhost:{}", it.address().port()));
    let [first, second] = urls;
    let [of_first, of_second] = keys;
    format!(
        "<Proxy \"balancer://mycluster\">\n    BalancerMember \"{first}\" {of_first}\n    BalancerMember \"{second}\" {of_second}\n    \
         {set}\n</Proxy>\nProxyPass \"/test\" \"balancer://mycluster\" {pass}\nProxyPassReverse \"/test\" \"balancer://mycluster\"\n"
    )
}

#[test]
fn the_example_of_the_manual_runs_as_it_is() {
    let [b1, b2] = Origin::some();
    let text = mycluster([&b1, &b2], [""; 2], "ProxySet lbmethod=byrequests", "");
    let proxy = run_text(&text);
    assert_eq!(
        proxy.served_to(4, "GET /test/x", &[]),
        ["b1", "b2", "b1", "b2"]
    );
    assert_eq!(b1.request(0).target(), "/x");
    assert_eq!(proxy.served(1), ["404"]);
}

#[test]
fn sessions_stay_where_their_route_says() {
    let [b1, b2] = Origin::some();
    let sticky = "stickysession=JSESSIONID|jsessionid";
    let text = mycluster(
        [&b1, &b2],
        ["route=1", "route=2"],
        &format!("ProxySet {sticky}"),
        sticky,
    );
    let proxy = run_text(&text);
    let cookie = ["Cookie: JSESSIONID=abc.2"];
    assert_eq!(proxy.served_to(3, "GET /test", &cookie), ["b2"; 3]);
    assert_eq!(
        proxy.served_to(3, "GET /test;jsessionid=abc.1", &[]),
        ["b1"; 3]
    );
}

#[test]
fn hot_standbys_alone_serve_and_are_explained() {
    let [b1, b2] = Origin::some();
    let text = mycluster(
        [&b1, &b2],
        ["status=+H"; 2],
        "ProxySet lbmethod=byrequests",
        "",
    );
    let proxy = run_text(&text);
    assert_eq!(
        proxy.served_to(4, "GET /test", &[]),
        ["b1", "b2", "b1", "b2"]
    );
    let line = proxy.stderr.line_with("hot standby");
    assert!(line.contains("hcmethod=GET"), "{line}");
}

#[test]
fn the_manager_is_at_its_location() {
    let [b1, b2] = Origin::some();
    let text = mycluster([&b1, &b2], [""; 2], "", "")
        + "<Location \"/balancer-manager\">\n    SetHandler balancer-manager\n    Require host localhost\n</Location>\n";
    let proxy = run_text(&text);
    for path in ["", "/api/v1/balancers"] {
        let mut client = proxy.client();
        let line = format!("GET /balancer-manager{path}");
        client.send(request_with_host(&line, &["Host: localhost"], ""));
        let answer = client.response();
        assert_eq!(answer.status(), 200, "{path}");
        assert!(path.is_empty() || answer.text().contains("mycluster"));
    }
}

/// A file that is included, one that comes, and one that goes.
#[test]
fn changes_of_the_file_and_of_what_it_includes_are_followed() {
    let [b1, b2] = Origin::some();
    let site = |name: &str, path: &str, member: &Origin| {
        format!("# {name}\nProxyPass {path} {}/\n", member.url())
    };
    let directory = folder(&[
        ("httpd.conf", "IncludeOptional sites/*.conf\n"),
        ("sites/a.conf", &site("a", "/a", &b1)),
    ]);
    let proxy = run(directory);
    assert_eq!(proxy.served_to(1, "GET /a", &[]), ["b1"]);
    let write = |name: &str, text: &str| {
        fs::write(proxy.path(name), text).expect("a file can be written");
    };
    let await_served = |path: &str, by: &str| {
        eventually("the change is in force", || {
            (proxy.served_to(1, &format!("GET {path}"), &[]) == [by]).then_some(())
        });
    };
    write("sites/a.conf", &site("a", "/a", &b2));
    await_served("/a", "b2");
    write("sites/b.conf", &site("b", "/b", &b1));
    await_served("/b", "b1");
    fs::remove_file(proxy.path("sites/b.conf")).expect("it was there");
    await_served("/b", "404");
    write("httpd.conf", &site("whole", "/c", &b1));
    await_served("/c", "b1");
    // What cannot be carried over is refused, and what served before goes on.
    let closed = "<Location /c>\nRequire valid-user\n</Location>\n";
    write("httpd.conf", &(site("whole", "/c", &b1) + closed));
    let line = proxy.stderr.line_with("would be lost");
    assert!(line.contains("httpd.conf:4"), "{line}");
    assert_eq!(proxy.served_to(1, "GET /c", &[]), ["b1"]);
}

#[test]
fn import_writes_what_can_be_run() {
    let [b1, b2] = Origin::some();
    let text = "Listen 127.0.0.1:1\n".to_owned() + &mycluster([&b1, &b2], [""; 2], "", "");
    let directory = folder(&[("httpd.conf", &text)]);
    let file = directory.path().join("httpd.conf");
    let (code, toml, stderr) = said(&["import", "apache"], &file);
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stderr.starts_with("carried over: "), "{stderr}");
    let proxy = Proxy::with(&toml.replace("127.0.0.1:1\"", "127.0.0.1:0\"")).start();
    assert_eq!(proxy.served_to(2, "GET /test", &[]), ["b1", "b2"]);
    let output = directory.path().join("made.toml");
    let to = output.to_str().expect("UTF-8");
    let (code, stdout, _) = said(&["import", "apache", "-o", to], &file);
    assert_eq!((code, &*stdout), (Some(0), ""));
    assert_eq!(fs::read_to_string(&output).expect("it is written"), toml);
}

/// 0 where something differs, 1 where something is refused, 2 where something is left out and nothing may be.
#[test]
fn exit_codes_say_how_much_is_lost() {
    const PASS: &str = "Listen 127.0.0.1:8080\nProxyPass /a http://127.0.0.1:9001/a\n";
    for (more, code, strict) in [
        ("", 0, 0),
        ("ErrorLog logs/error_log\n", 0, 0),
        ("ServerTokens Prod\n", 0, 0),
        ("DocumentRoot /var/www\n", 0, 2),
        ("<Location /a>\nRequire valid-user\n</Location>\n", 1, 1),
        ("ProxyRequests On\n", 1, 1),
        ("Include missing.conf\n", 1, 1),
        ("JkMount /x worker1\n", 1, 1),
    ] {
        let directory = folder(&[("httpd.conf", &(PASS.to_owned() + more))]);
        let file = directory.path().join("httpd.conf");
        let (import, ..) = said(&["import", "apache"], &file);
        let (import_strict, _, told) = said(&["import", "apache", "--strict"], &file);
        assert_eq!(
            (import, import_strict),
            (Some(code), Some(strict)),
            "{more}: {told}"
        );
        let (check, stdout, stderr) = said(&["check"], &file);
        assert_eq!(check, Some(i32::from(code == 1)), "{more}: {stderr}");
        assert!(stderr.starts_with("carried over: "), "{more}: {stderr}");
        assert_eq!(stdout.contains("is fine"), code == 0, "{more}");
        if code == 1 {
            let (run, _, stderr) = said(&["run"], &file);
            assert_eq!(run, Some(1), "{more}");
            assert!(stderr.contains("refused:"), "{more}: {stderr}");
        }
    }
}

#[test]
fn options_for_apache_are_for_apache() {
    let directory = folder(&[
        ("equipoise.toml", "workers = 1\n"),
        (
            "httpd.conf",
            "<IfDefine LB>\nProxyPass /a http://${HOST}/\n</IfDefine>\n",
        ),
        ("listening.conf", "Listen 127.0.0.1:1\n"),
    ]);
    let at = |name: &str| directory.path().join(name);
    for option in [
        &["check", "-DX"][..],
        &["check", "--listen", "127.0.0.1:80"],
    ] {
        let (code, _, stderr) = said(option, &at("equipoise.toml"));
        assert_eq!(code, Some(1));
        assert!(stderr.contains("configurations of Apache"), "{stderr}");
    }
    let listen = ["import", "apache", "--listen", "127.0.0.1:80"];
    let defined = [&listen[..], &["-DLB", "-D", "HOST=127.0.0.1:9001"]].concat();
    let (_, toml, stderr) = said(&defined, &at("httpd.conf"));
    assert!(
        toml.contains("url = \"http://127.0.0.1:9001\""),
        "{toml}{stderr}"
    );
    let (code, _, stderr) = said(&listen, &at("listening.conf"));
    assert_eq!(code, Some(1));
    assert!(stderr.contains("without Listen"), "{stderr}");
    let (code, _, stderr) = said(&["import", "apache"], &at("httpd.conf"));
    assert_eq!(code, Some(1));
    assert!(stderr.contains("--listen"), "{stderr}");
}
