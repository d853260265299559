//! The balancer-manager in a real browser: what it changes, and what no other page can make it do.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::thread;

use equipoise_harness::program;
use serde_json::Value;

use crate::browser::{Browser, DESK, Look};
use crate::client::Request;
use crate::equipoise::Equipoise;
use crate::members::MEMBERS;

/// A balancer, a browser that shows its page, and what there is to be clicked in it.
struct Desk {
    equipoise: Equipoise,
    admin: SocketAddr,
    browser: Browser,
}

const ADMIN: &str = "[admin]\naddress = \"127.0.0.1:0\"\n";

/// The name of a balancer that is markup where it is not escaped, and would show.
const MARKUP: &str =
    "<img/src=x/onerror=\"document.title='pwned'\"><script>document.title='pwned'</script>";

/// The same in a route, which cannot have quotes.
const ROUTE: &str = "<img/src=x/onerror=document.title='pwned'>";

/// The program with two members, `more` in its file, and the page in a browser.
fn start(more: &str) -> Desk {
    let mut desk = start_unseen(&format!("{ADMIN}{more}"), |_| {});
    desk.browser.await_text(&url(0));
    desk
}

/// The same, without waiting until the page shows the members. `prepare` makes files in the program's folder.
fn start_unseen(more: &str, prepare: impl FnOnce(&std::path::Path)) -> Desk {
    let directory = tempfile::tempdir().expect("a temporary directory");
    prepare(directory.path());
    let balancer = if more.contains("[balancer.cluster]") {
        ""
    } else {
        "[balancer.cluster]\n"
    };
    let members: String = (0..2)
        .map(|position| format!("[[balancer.cluster.member]]\nurl = \"{}\"\n", url(position)))
        .collect();
    let configuration =
        format!("[[route]]\npath = \"/\"\nbalancer = \"cluster\"\n{more}\n{balancer}{members}");
    let equipoise = Equipoise::start_in(directory, &configuration, "info");
    let admin = admin_address(&equipoise);
    let mut browser = Browser::start();
    browser.open(&format!("http://{admin}/balancer-manager"));
    Desk {
        equipoise,
        admin,
        browser,
    }
}

fn admin_address(equipoise: &Equipoise) -> SocketAddr {
    equipoise.await_line("the admin listener's address", |line| {
        let (_, address) = line.split_once("the admin listener is open address=")?;
        address.trim().parse().ok()
    })
}

fn url(position: usize) -> String {
    format!("http://{}", MEMBERS.live(position))
}

impl Desk {
    /// A member of the first balancer, as the API tells of it.
    fn member(&self, position: usize) -> Value {
        self.told("/api/v1/balancers")["balancers"][0]["members"][position].clone()
    }

    fn told(&self, path: &str) -> Value {
        let answer = Request::get(path)
            .with("Host", "localhost")
            .send(self.admin);
        assert_eq!(answer.status, Some(200), "{path}: {}", answer.body);
        serde_json::from_str(&answer.body).expect("JSON")
    }

    /// Who serves so many requests.
    fn served(&self, requests: usize) -> Vec<String> {
        let ask = |_| Request::get("/").send(self.equipoise.address).to_string();
        (0..requests).map(ask).collect()
    }

    /// Only this listener was requested from, and nothing went wrong.
    fn assert_clean(&mut self) {
        let origin = format!("http://{}/", self.admin);
        for url in self.browser.asked() {
            assert!(
                url.starts_with(&origin) || url.starts_with("data:"),
                "{url}"
            );
        }
        assert_eq!(self.browser.complaints(), Vec::<String>::new());
    }
}

#[test]
fn factor_that_is_edited_in_place_is_what_the_balancer_goes_by() {
    let mut desk = start("");
    let factor = format!("Factor of {}: 1. Edit", url(0));
    desk.browser.click("button", &factor);
    desk.browser.write("700");
    desk.browser.press("Enter");
    desk.browser.await_text("must be a number from 1 to 100");
    assert_eq!(desk.member(0)["loadfactor"], 1.0);

    desk.browser.evaluate("document.activeElement.select()");
    desk.browser.write("3");
    desk.browser.press("Enter");
    desk.browser
        .await_text(&format!("Factor of {} is 3.", url(0)));
    assert_eq!(desk.member(0)["loadfactor"], 3.0);
    let served = desk.served(8);
    assert_eq!(
        served.iter().filter(|name| *name == "b1").count(),
        6,
        "{served:?}"
    );
    desk.assert_clean();
}

#[test]
fn member_is_drained_with_one_click_and_back_with_another() {
    let mut desk = start("");
    desk.browser.click("button", &format!("Drain {}", url(0)));
    desk.browser.await_text(&format!("{} drains.", url(0)));
    assert_eq!(desk.member(0)["status"], "N");
    assert_eq!(desk.served(3), ["b2", "b2", "b2"]);
    desk.browser.click("button", "Undo");
    desk.browser.await_text("is as it was.");
    assert_eq!(desk.member(0)["status"], "-");
    assert!(desk.served(4).contains(&"b1".to_owned()));
    desk.assert_clean();
}

#[test]
fn member_is_drained_by_keys_alone() {
    let mut desk = start("");
    let drain = format!("Drain {}", url(0));
    desk.browser.tab_to(&drain);
    desk.browser.press("Enter");
    desk.browser.await_text(&format!("{} drains.", url(0)));
    assert_eq!(desk.member(0)["status"], "N");
    // The focus is where it was, so that the next key does what it is expected to do.
    desk.browser.tab_to(&drain);
    desk.browser.tab_to("Undo");
    desk.browser.press("Enter");
    desk.browser.await_text("is as it was.");
    assert_eq!(desk.member(0)["status"], "-");
}

#[test]
fn members_come_and_go() {
    let mut desk = start("");
    desk.browser.click("button", "Add a member to cluster");
    desk.browser.click("textbox", "Worker URL");
    desk.browser.write("gopher://nowhere");
    desk.browser.press("Enter");
    desk.browser.await_text("http://host[:port]");
    desk.browser.click("textbox", "Worker URL");
    desk.browser.evaluate("document.activeElement.select()");
    desk.browser.write(&url(2));
    desk.browser.press("Enter");
    desk.browser
        .await_text(&format!("{} is a member of cluster.", url(2)));
    assert!(desk.served(3).contains(&"b3".to_owned()));

    desk.browser
        .click("button", &format!("{}: details and settings", url(2)));
    desk.browser.click("button", "Remove this member…");
    desk.browser.click("button", "Remove");
    desk.browser.await_text("is removed from cluster.");
    assert!(!desk.served(4).contains(&"b3".to_owned()));
    desk.assert_clean();
}

/// A built-in method as a plugin, in a file.
fn exported(name: &str, file: PathBuf) -> PathBuf {
    let status = program(&["plugin", "export", name]).arg(&file).status();
    assert!(status.is_ok_and(|status| status.success()), "{name}");
    file
}

#[test]
fn plugin_is_exchanged_by_a_file_and_a_broken_one_is_refused_with_the_reason() {
    let plugin = "[plugin.policy]\nfile = \"policy.wasm\"\n[balancer.cluster]\nlbmethod = { plugin = \"policy\" }\n";
    let mut desk = start_unseen(&format!("{ADMIN}{plugin}"), |folder| {
        exported("byrequests", folder.join("policy.wasm"));
    });
    desk.browser.click("link", "Plugins");
    desk.browser.await_text("serving");
    let before = desk.told("/api/v1/plugins/policy")["version"].clone();

    let broken = desk.equipoise.directory().join("broken.wasm");
    fs::write(&broken, "no component").expect("writing a file");
    desk.browser.give_file(&broken);
    desk.browser
        .await_text("broken.wasm was refused; nothing changed.");
    desk.browser.await_text("component");
    assert_eq!(desk.told("/api/v1/plugins/policy")["version"], before);

    let other = exported("bybusyness", desk.equipoise.directory().join("other.wasm"));
    desk.browser.give_file(&other);
    desk.browser.await_text("policy serves by other.wasm");
    let after = desk.told("/api/v1/plugins/policy");
    assert_ne!(after["version"], before);
    assert_eq!(after["state"], "serving");
    let version = before.as_str().expect("a version");
    desk.browser
        .click("button", &format!("Roll back to version {version}"));
    desk.browser.click("button", "Roll back");
    desk.browser
        .await_text(&format!("policy is rolled back to version {version}."));
    assert_eq!(desk.told("/api/v1/plugins/policy")["version"], before);
    desk.assert_clean();
}

/// Another site: every request gets this page.
fn other_site(page: String) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("binding a port");
    let address = listener.local_addr().expect("it is bound");
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let page = page.clone();
            thread::spawn(move || {
                let _ = stream.read(&mut [0; 4096]);
                let length = page.len();
                let head = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close";
                let _ = write!(stream, "{head}\r\nContent-Length: {length}\r\n\r\n{page}");
            });
        }
    });
    address
}

#[test]
fn page_of_another_site_changes_nothing() {
    let mut desk = start("");
    let place = format!("http://{}/api/v1/balancers/cluster/members/0", desk.admin);
    let reload = format!("http://{}/api/v1/configuration/reload", desk.admin);
    let site = other_site(format!(
        "<form id=form method=post enctype=text/plain action='{reload}'><input name=a value=b></form>"
    ));
    let loaded = desk.told("/api/v1/configuration")["loaded"].clone();
    desk.browser.open(&format!("http://{site}/"));
    let tries = format!(
        "Promise.all([
            ['PATCH', {{ 'Content-Type': 'application/json' }}, 'cors'],
            ['PATCH', {{ 'Content-Type': 'application/json', 'X-CSRF-Token': 'guessed' }}, 'cors'],
            ['DELETE', {{}}, 'cors'],
            ['POST', {{ 'Content-Type': 'text/plain' }}, 'no-cors'],
            ['GET', {{}}, 'cors'],
        ].map(([method, headers, mode]) =>
            fetch('{place}', {{ method, headers, mode, body: method === 'GET' ? undefined : '{{\"status\":\"+D\"}}' }})
                .then((answer) => answer.type, () => 'refused')
        )).then((outcomes) => outcomes.join(' '))"
    );
    assert_eq!(
        desk.browser.evaluate(&tries),
        "refused refused refused opaque refused"
    );
    assert_eq!(desk.member(0)["status"], "-");

    // A form needs no leave of CORS: it is the origin that gives it away. The answer becomes the page.
    desk.browser
        .evaluate("document.getElementById('form').submit()");
    desk.browser.eventually("the form is answered", |browser| {
        let here = browser.evaluate("location.href");
        (here == reload.as_str()).then_some(())
    });
    let status = "performance.getEntriesByType('navigation')[0].responseStatus";
    // What a form can send is no JSON, besides.
    let status = desk.browser.evaluate(status);
    assert!(status == 403 || status == 415, "{status}");
    assert_eq!(desk.told("/api/v1/configuration")["loaded"], loaded);
}

/// What a script of the page's own origin gets for a change of the first member, with a CSRF token or not.
fn change_by_script(browser: &mut Browser, body: &str, token: &str) -> Value {
    browser.evaluate(&format!(
        "fetch('/api/v1/balancers/cluster/members/0', {{
            method: 'PATCH', body: '{body}',
            headers: {{ 'Content-Type': 'application/json', 'X-CSRF-Token': {token} }},
        }}).then((answer) => answer.status)"
    ))
}

/// What the page sends as its token.
const TOKEN_OF_PAGE: &str = "document.querySelector('meta[name=csrf-token]').content";

#[test]
fn page_sends_a_token_without_which_browsers_change_nothing() {
    let mut desk = start("");
    let body = "{\"status\":\"+D\"}";
    for token in ["''", "'guessed'"] {
        assert_eq!(change_by_script(&mut desk.browser, body, token), 403);
    }
    assert_eq!(desk.member(0)["status"], "-");
    assert_eq!(
        change_by_script(&mut desk.browser, body, TOKEN_OF_PAGE),
        200
    );
    assert_eq!(desk.member(0)["status"], "D");
}

#[test]
fn edit_of_what_somebody_else_changed_meanwhile_tells_it_first() {
    let mut desk = start("");
    let factor = format!("Factor of {}: 1. Edit", url(0));
    desk.browser.click("button", &factor);
    desk.browser.write("3");
    let theirs = "{\"loadfactor\":5}";
    assert_eq!(
        change_by_script(&mut desk.browser, theirs, TOKEN_OF_PAGE),
        200
    );
    desk.browser.press("Enter");
    desk.browser
        .await_text("another operator changed this member (it is 5 now)");
    assert_eq!(desk.member(0)["loadfactor"], 5.0);
    desk.browser.press("Enter");
    desk.browser
        .await_text(&format!("Factor of {} is 3.", url(0)));
    assert_eq!(desk.member(0)["loadfactor"], 3.0);
    desk.browser.click("button", "Undo");
    desk.browser.await_text("is as it was.");
    assert_eq!(desk.member(0)["loadfactor"], 5.0);
}

#[test]
fn names_that_are_markup_are_only_text() {
    let quoted = MARKUP.replace('"', "\\\"");
    let markup = format!(
        "[balancer.\"{quoted}\"]\n[[balancer.\"{quoted}\".member]]\nurl = \"{}\"\nroute = \"{ROUTE}\"\n",
        url(3)
    );
    let mut desk = start(&markup);
    desk.browser.await_text(MARKUP);
    desk.browser.await_text(ROUTE);
    desk.browser
        .click("button", &format!("{}: details and settings", url(3)));
    desk.browser.await_text(&format!("{} in {MARKUP}", url(3)));
    let images = desk.browser.evaluate("document.images.length");
    assert_eq!(images, 0);
    desk.browser.press("Escape");
    for view in ["Decisions", "Configuration"] {
        desk.browser.click("link", view);
        desk.browser
            .eventually(view, |browser| browser.has("heading", view).then_some(()));
    }
    desk.browser.await_text("onerror");
    let title = desk.browser.evaluate("document.title");
    assert_eq!(title, "configuration · balancer-manager · Equipoise");
    desk.assert_clean();
}

#[test]
fn token_is_asked_for_and_kept() {
    let token = "correct-horse-battery-staple";
    let more = format!("{ADMIN}token-file = \"token\"\n");
    let mut desk = start_unseen(&more, |folder| {
        fs::write(folder.join("token"), token).expect("writing a file");
    });
    desk.browser.click("textbox", "Token");
    desk.browser.write("not-the-right-one-at-all");
    desk.browser.press("Enter");
    desk.browser
        .await_text("The listener does not know this token.");
    desk.browser.write(token);
    desk.browser.press("Enter");
    desk.browser.await_text(&url(0));
    desk.browser.click("button", &format!("Disable {}", url(0)));
    desk.browser.await_text("is disabled.");
    assert_eq!(desk.served(2), ["b2", "b2"]);
    let page = format!("http://{}/balancer-manager", desk.admin);
    desk.browser.open(&page);
    desk.browser.await_text(&url(0));
    desk.assert_clean();
}

#[test]
fn page_tells_when_the_program_is_away() {
    let mut desk = start("");
    drop(desk.equipoise);
    desk.browser.await_text("What is shown may be old");
    // What was there last is there still.
    desk.browser.await_text(&url(0));
    assert_eq!(desk.browser.complaints(), Vec::<String>::new());
}

#[test]
fn page_fits_a_desk_and_a_phone_by_day_and_by_night() {
    let mut desk = start(
        "[[balancer.cluster.member]]\nurl = \"http://127.0.0.1:9\"\nroute = \"three\"\nstatus = \"+H\"\n",
    );
    let phone = Look {
        width: 390,
        height: 844,
        is_dark: false,
    };
    let looks = [
        ("light", DESK),
        (
            "dark",
            Look {
                is_dark: true,
                ..DESK
            },
        ),
        ("phone", phone),
    ];
    desk.served(20);
    for (name, look) in looks {
        desk.browser.look(look);
        let wide = desk
            .browser
            .evaluate("document.documentElement.scrollWidth");
        assert!(wide.as_u64() <= Some(look.width.into()), "{name}: {wide}");
        desk.browser.keep_picture(&format!("manager-{name}"));
    }
    desk.assert_clean();
}
