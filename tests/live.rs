//! The configuration changes while the program serves: by its file, by a signal, by an operator.

use std::fs;
use std::net::TcpStream;
use std::path::Path;

use serde_json::{Value, json};

use crate::admin::{ask, client, member, start};
use crate::harness::component::{Component, answer, none};
use crate::harness::fixtures::{answering, answering_none};
use crate::harness::{Client, Lines, Load, Origin, Proxy, Response, Signal, eventually, program};

/// What the log says when the file is in force.
const APPLIED: &str = "the configuration is read again and in force";

/// The configuration file of a running proxy.
fn text(proxy: &Proxy) -> String {
    fs::read_to_string(proxy.path("equipoise.toml")).expect("the configuration")
}

/// Changes the configuration file, and waits until that is in force.
#[track_caller]
fn rewrite(proxy: &Proxy, change: impl FnOnce(String) -> String) {
    write(proxy, &change(text(proxy)));
}

#[track_caller]
fn write(proxy: &Proxy, text: &str) {
    let before = proxy.stderr.count(APPLIED);
    fs::write(proxy.path("equipoise.toml"), text).expect("a file can be written");
    await_count(&proxy.stderr, APPLIED, before + 1);
}

/// Waits until a line that has this was written so often.
#[track_caller]
fn await_count(lines: &Lines, what: &str, count: usize) {
    lines.when(what, |lines| {
        let found = lines.iter().filter(|line| line.contains(what)).count();
        (found >= count).then_some(())
    });
}

/// Sends a request with a JSON body to the admin listener.
#[track_caller]
fn order(proxy: &Proxy, line: &str, body: &Value) -> Response {
    let body = body.to_string();
    let mut client = client(proxy);
    client.send(format!(
        "{line} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    ));
    client.response()
}

#[track_caller]
fn configuration(proxy: &Proxy) -> Value {
    let response = ask(proxy, "GET /api/v1/configuration", &[]);
    assert_eq!(response.status(), 200);
    serde_json::from_str(&response.text()).expect("JSON")
}

fn section(origin: &Origin, keys: &str) -> String {
    format!(
        "[[balancer.cluster.member]]\nurl = \"{}\"\n{keys}\n",
        origin.url()
    )
}

#[test]
fn a_changed_file_is_in_force_at_once_and_counters_go_on() {
    let [b1, b2, b3] = Origin::some();
    let proxy = start(&[&b1, &b2]).start();
    assert_eq!(proxy.served(4), ["b1", "b2", "b1", "b2"]);
    rewrite(&proxy, |text| text.replace(&*b1.url(), &b3.url()));
    assert_eq!(proxy.served(4).iter().filter(|it| *it == "b1").count(), 0);
    // The second member is the one it was; the first is new.
    assert_eq!(member(&proxy, 1)["id"], 1);
    assert_eq!(member(&proxy, 1)["elected"], 4);
    assert_eq!(
        (&member(&proxy, 0)["id"], &member(&proxy, 0)["elected"]),
        (&json!(2), &json!(2))
    );
}

#[test]
fn sighup_reads_the_file_again() {
    let [b1, b2] = Origin::some();
    let proxy = start(&[&b1]).start();
    rewrite(&proxy, |text| text + &section(&b2, ""));
    let before = proxy.stderr.count(APPLIED);
    proxy.signal(Signal::HUP);
    await_count(&proxy.stderr, APPLIED, before + 1);
    assert_eq!(proxy.served(2), ["b1", "b2"]);
}

#[test]
fn a_file_with_mistakes_changes_nothing_and_is_told_in_the_words_of_check() {
    let [b1] = Origin::some();
    let proxy = start(&[&b1]).start();
    let good = text(&proxy);
    let bad = good.replace("path = \"/\"", "pfad = \"/\"") + "loadfactor = 700\n";
    fs::write(proxy.path("equipoise.toml"), bad).expect("a file can be written");
    proxy
        .stderr
        .line_with("the configuration before stays in force");
    let path = proxy.path("equipoise.toml");
    let check = program(&["check", path.to_str().expect("UTF-8")]).output();
    let check = String::from_utf8(check.expect("the program runs").stderr).expect("UTF-8");
    assert_eq!(check.lines().count(), 3, "{check}");
    for line in check.lines() {
        proxy.stderr.line_with(line);
    }
    assert_eq!(proxy.served(1), ["b1"]);
    let refused = &configuration(&proxy)["refused"];
    assert_eq!(refused["detail"], check.trim_end());
    assert_eq!(refused["mistakes"].as_array().expect("a list").len(), 3);
    let metrics = ask(&proxy, "GET /metrics", &[]).text();
    assert!(
        metrics.contains("equipoise_config_last_reload_successful 0"),
        "{metrics}"
    );
    write(&proxy, &(good + "# put right\n"));
    assert_eq!(configuration(&proxy)["refused"], Value::Null);
}

#[test]
fn a_file_that_is_gone_changes_nothing() {
    let [b1] = Origin::some();
    let proxy = start(&[&b1]).start();
    let before = text(&proxy);
    fs::remove_file(proxy.path("equipoise.toml")).expect("a file");
    proxy.stderr.line_with("equipoise.toml: cannot be read: ");
    assert_eq!(proxy.served(1), ["b1"]);
    assert_ne!(configuration(&proxy)["refused"], Value::Null);
    // It is back as it was.
    write(&proxy, &before);
    assert_eq!(configuration(&proxy)["refused"], Value::Null);
}

#[test]
fn error_states_and_sessions_live_on() {
    let (dead, b2) = (Origin::dead(), Origin::live("b2"));
    let proxy = start(&[])
        .balancer("stickysession = \"SID\"")
        .member(&dead, "route = \"r1\"")
        .member(&b2, "route = \"r2\"")
        .start();
    assert_eq!(proxy.served(2), ["b2"; 2]);
    assert_eq!(member(&proxy, 0)["state"], "error");
    let b3 = Origin::live("b3");
    rewrite(&proxy, |text| text + &section(&b3, "route = \"r3\""));
    assert_eq!(member(&proxy, 0)["state"], "error");
    assert_eq!(
        proxy.served_to(3, "GET /", &["Cookie: SID=x.r3"]),
        ["b3"; 3]
    );
    assert_eq!(
        proxy.served_to(3, "GET /", &["Cookie: SID=x.r2"]),
        ["b2"; 3]
    );
    // A session whose member is gone goes on elsewhere.
    rewrite(&proxy, |text| {
        text.replace(&section(&b3, "route = \"r3\""), "")
    });
    assert_eq!(proxy.served_to(1, "GET /", &["Cookie: SID=x.r3"]), ["b2"]);
}

#[test]
fn routes_and_balancers_come_and_go() {
    let [b1, b2] = Origin::some();
    let proxy = start(&[&b1]).start();
    assert_eq!(proxy.get("/other").text(), "b1");
    let before = text(&proxy);
    let added = format!(
        "[[route]]\npath = \"/other\"\nbalancer = \"other\"\n[[balancer.other.member]]\nurl = \"{}\"\n",
        b2.url()
    );
    write(
        &proxy,
        &before.replace("[[route]]", &format!("{added}\n[[route]]")),
    );
    assert_eq!(proxy.get("/other").text(), "b2");
    assert_eq!(proxy.get("/").text(), "b1");
    write(&proxy, &before);
    assert_eq!(proxy.get("/other").text(), "b1");
}

#[test]
fn listeners_come_and_go_without_losing_those_who_are_connected() {
    let [b1] = Origin::some();
    let proxy = start(&[&b1]).start();
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = free.local_addr().expect("an address");
    // Taken by another process: nothing changes, and the log names it.
    let with = |text: String| text + &format!("[[listen]]\naddress = \"{address}\"\n");
    let before = text(&proxy);
    fs::write(proxy.path("equipoise.toml"), with(before.clone())).expect("a file");
    proxy
        .stderr
        .line_with(&format!("cannot listen on {address}"));
    drop(free);
    proxy.signal(Signal::HUP);
    proxy.stderr.line_with(APPLIED);
    let mut connected = Client::connect(address);
    assert_eq!(connected.get("/").text(), "b1");
    write(&proxy, &before);
    assert_eq!(connected.get("/").text(), "b1");
    eventually("the port is closed", || TcpStream::connect(address).err());
    assert_eq!(proxy.served(1), ["b1"]);
}

#[test]
fn what_needs_a_new_start_is_said() {
    let [b1] = Origin::some();
    let proxy = start(&[&b1]).start();
    rewrite(&proxy, |text| format!("workers = 7\n{text}"));
    proxy
        .stderr
        .line_with("workers changes when the program is started again");
    assert_eq!(proxy.served(1), ["b1"]);
}

#[test]
fn plugins_come_and_go_with_the_file() {
    let [b1, b2] = Origin::some();
    let proxy = start(&[&b1, &b2])
        .file("p.wasm", answering(1).build())
        .file("broken.wasm", "no component")
        .file("session.wasm", Component::session(&none()).build())
        .start();
    let before = text(&proxy);
    let with = |plugin: &str, keys: &str| {
        let named = before.replace(
            "[balancer.cluster]",
            "[balancer.cluster]\nlbmethod = { plugin = \"p\" }",
        );
        format!("{named}\n[plugin.p]\nfile = \"{plugin}\"\ncpu-budget = \"100%\"\n{keys}\n")
    };
    write(&proxy, &with("p.wasm", ""));
    assert_eq!(proxy.served(3), ["b2"; 3]);
    // What cannot serve is refused as `check` refuses it, and what serves goes on.
    fs::write(proxy.path("equipoise.toml"), with("broken.wasm", "")).expect("a file");
    let said = proxy
        .stderr
        .line_with("broken.wasm cannot serve: it is no WebAssembly");
    assert!(said.contains("plugin.p: "), "{said}");
    fs::write(proxy.path("equipoise.toml"), with("session.wasm", "")).expect("a file");
    let said = proxy
        .stderr
        .line_with("session.wasm cannot serve: balancer cluster cannot use it");
    assert!(said.contains("plugin.p: "), "{said}");
    assert_eq!(proxy.served(1), ["b2"]);
    write(&proxy, &before);
    assert_eq!(proxy.served(2).len(), 2);
    // It can be exchanged as if it had been there from the start.
    write(&proxy, &with("p.wasm", "deadline = \"20ms\""));
    proxy.install("p", &answering(0).build());
    assert_eq!(proxy.served(2), ["b1"; 2]);
}

#[test]
fn what_a_plugin_sees_changes_with_the_file() {
    let [b1, b2] = Origin::some();
    let component = answering(0).when_header("Authorization", "Bearer x", &answer(1));
    let proxy = start(&[&b1, &b2])
        .balancer("lbmethod = { plugin = \"p\" }")
        .component("p", &component, "hide-headers = []")
        .start();
    let asked = |proxy: &Proxy| proxy.served_to(1, "GET /", &["Authorization: Bearer x"]);
    assert_eq!(asked(&proxy), ["b2"]);
    rewrite(&proxy, |text| text.replace("hide-headers = []", ""));
    assert_eq!(asked(&proxy), ["b1"]);
    rewrite(&proxy, |text| format!("{text}\nhide-headers = [\"x\"]"));
    assert_eq!(asked(&proxy), ["b2"]);
}

/// What a plugin remembers goes on when the members change: they are told to it anew.
#[test]
fn a_plugin_is_told_of_members_that_come() {
    let [b1, b2] = Origin::some();
    let proxy = start(&[&b1])
        .balancer("lbmethod = { plugin = \"p\" }")
        .component("p", &answering_none(), "")
        .start();
    assert_eq!(proxy.served(1), ["b1"]);
    rewrite(&proxy, |text| {
        let (head, tail) = text.split_once("[plugin").expect("a plugin");
        format!("{head}{}[plugin{tail}", section(&b2, ""))
    });
    assert_eq!(proxy.served(4).iter().filter(|it| *it == "b2").count(), 2);
}

/// A proxy whose changes are kept in a file.
fn keeping(members: &[&Origin]) -> Proxy {
    Proxy::before(members)
        .routes(
            "[admin]\naddress = \"127.0.0.1:0\"\npersist = \"state.json\"\n\
             [[route]]\npath = \"/\"\nbalancer = \"cluster\"",
        )
        .start()
}

/// The same configuration, with the state that was left, in another program.
fn again(proxy: &Proxy, change: impl FnOnce(&Path)) -> Proxy {
    let (toml, state) = (text(proxy), fs::read(proxy.path("state.json")));
    let directory = tempfile::tempdir().expect("a folder");
    if let Ok(state) = state {
        fs::write(directory.path().join("state.json"), state).expect("a file");
    }
    let path = crate::harness::proxy::write_config(directory.path(), &toml);
    change(directory.path());
    let mut command = program(&["run"]);
    command.arg(path);
    Proxy::run(command, 1, directory)
}

#[test]
fn what_operators_change_outlives_the_program() {
    let [b1, b2, b3] = Origin::some();
    let proxy = keeping(&[&b1, &b2]);
    let members = "/api/v1/balancers/cluster/members";
    let answer = order(
        &proxy,
        &format!("PATCH {members}/0"),
        &json!({ "status": "+D" }),
    );
    assert_eq!(answer.status(), 200, "{}", answer.text());
    let answer = order(
        &proxy,
        &format!("POST {members}"),
        &json!({ "url": *b3.url(), "lbset": 0 }),
    );
    assert_eq!(answer.status(), 201, "{}", answer.text());
    assert_eq!(proxy.served(4), ["b2", "b3", "b2", "b3"]);
    let proxy = again(&proxy, |_| ());
    assert_eq!(proxy.served(4), ["b2", "b3", "b2", "b3"]);
    let told = configuration(&proxy);
    let keys: Vec<_> = told["changes"].as_array().expect("a list").iter().collect();
    assert_eq!(keys.len(), 2, "{told}");
    assert_eq!(
        (&keys[0]["file"], &keys[0]["running"]),
        (&Value::Null, &json!("D"))
    );
    // Taken back, the file's word holds.
    let answer = ask(&proxy, "DELETE /api/v1/configuration/changes", &[]);
    assert_eq!(answer.status(), 200, "{}", answer.text());
    assert_eq!(proxy.served(2), ["b1", "b2"]);
    let proxy = again(&proxy, |_| ());
    assert_eq!(proxy.served(2), ["b1", "b2"]);
}

/// What was changed before there was a file to keep it in is kept from when there is.
#[test]
fn changes_are_kept_from_when_the_file_says_where() {
    let [b1, b2] = Origin::some();
    let proxy = start(&[&b1, &b2]).start();
    let line = "PATCH /api/v1/balancers/cluster/members/0";
    let answer = order(&proxy, line, &json!({ "status": "D" }));
    assert_eq!(answer.status(), 200, "{}", answer.text());
    rewrite(&proxy, |text| {
        text.replace("[admin]", "[admin]\npersist = \"state.json\"")
    });
    let proxy = again(&proxy, |_| ());
    assert_eq!(proxy.served(2), ["b2"; 2]);
}

#[test]
fn a_state_that_is_of_no_use_is_set_aside() {
    let [b1, b2] = Origin::some();
    let proxy = keeping(&[&b1, &b2]);
    let line = "PATCH /api/v1/balancers/cluster/members/0";
    assert_eq!(
        order(&proxy, line, &json!({ "redirect": null, "status": "D" })).status(),
        200
    );
    let corrupt = again(&proxy, |folder| {
        fs::write(folder.join("state.json"), "{\"version\": 1, \"chan").expect("a file");
    });
    corrupt.stderr.line_with("it was set aside as");
    assert_eq!(corrupt.served(2), ["b1", "b2"]);
    assert!(!corrupt.path("state.json").exists());
    // Changes of what the file has no longer are dropped, and that is said.
    let other = again(&proxy, |folder| {
        let path = folder.join("equipoise.toml");
        let text = fs::read_to_string(&path).expect("the configuration");
        fs::write(path, text.replace(&section(&b1, ""), "")).expect("a file");
    });
    let said = other
        .stderr
        .line_with("not in the configuration file any more");
    assert!(said.contains(&*b1.url()), "{said}");
    assert_eq!(other.served(2), ["b2"; 2]);
}

#[test]
fn a_change_that_cannot_be_kept_is_not_made() {
    let [b1, b2] = Origin::some();
    let proxy = Proxy::before(&[&b1, &b2])
        .routes(
            "[admin]\naddress = \"127.0.0.1:0\"\npersist = \"missing/state.json\"\n\
             [[route]]\npath = \"/\"\nbalancer = \"cluster\"",
        )
        .start();
    let line = "PATCH /api/v1/balancers/cluster/members/0";
    let answer = order(&proxy, line, &json!({ "status": "+D" }));
    assert_eq!(answer.status(), 500, "{}", answer.text());
    assert!(
        answer.text().contains("nothing has changed"),
        "{}",
        answer.text()
    );
    assert_eq!(proxy.served(2), ["b1", "b2"]);
}

#[test]
fn what_operators_changed_stays_over_a_change_of_the_file() {
    let [b1, b2] = Origin::some();
    let proxy = start(&[&b1, &b2]).start();
    let line = "PATCH /api/v1/balancers/cluster/members/0";
    assert_eq!(
        order(&proxy, line, &json!({ "status": "+D" })).status(),
        200
    );
    rewrite(&proxy, |text| text + "loadfactor = 2\n");
    assert_eq!(proxy.served(2), ["b2"; 2]);
    assert_eq!(member(&proxy, 1)["loadfactor"], 2.0);
}

/// Goal: a thousand reloads under load cost no request and no memory. Method: clients ask all the time, on new connections
/// and on kept ones, while members, weights, routes, methods, listeners and a plugin's settings change with every reload.
/// What the program has after the first quarter is what it has at the end, but for noise.
#[test]
fn a_thousand_reloads_under_load_cost_nothing() {
    let [b1, b2, b3] = Origin::some();
    let proxy = start(&[&b1, &b2])
        .balancer("lbmethod = { plugin = \"p\" }")
        .component("p", &answering_none(), "")
        .start();
    let first = text(&proxy);
    let texts = [
        first.replace("lbmethod = { plugin = \"p\" }", "lbmethod = \"bybusyness\""),
        first.replace("[plugin.p]", &format!("{}[plugin.p]\nsettings = {{ a = \"1\" }}", section(&b3, "loadfactor = 3"))),
        first.replace("[limits]", "[limits]\nheaders = 99"),
        first.replace("[[route]]", "[[listen]]\naddress = \"127.0.0.1:0\"\n[[route]]\npath = \"/x\"\nbalancer = \"cluster\"\n[[route]]"),
        first.clone(),
    ];
    let load = Load::on(proxy.address());
    let reload = |number: usize| {
        fs::write(proxy.path("equipoise.toml"), &texts[number % texts.len()]).expect("a file");
        let answer = order(&proxy, "POST /api/v1/configuration/reload", &json!({}));
        assert_eq!(answer.status(), 200, "{}", answer.text());
    };
    load.await_more(100);
    (0..250).for_each(reload);
    let before = (proxy.memory(), proxy.mappings());
    (250..1000).for_each(reload);
    load.await_more(100);
    load.expect_all_served();
    let after = (proxy.memory(), proxy.mappings());
    assert!(
        after.0 < before.0 + 8_000_000,
        "{before:?} became {after:?}"
    );
    assert!(after.1 < before.1 + 100, "{before:?} became {after:?}");
}
