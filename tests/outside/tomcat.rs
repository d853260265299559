//! AJP with the real Tomcat, each with a directory and a process of its own. The pages that they serve are in `scripts/tomcat`.

use std::fs;
use std::thread;

use equipoise_harness::certificates::CertificateFiles;
use equipoise_harness::{Client, MEGABYTE};

use crate::equipoise::Equipoise;
use crate::server::Server;
use crate::tool::Tool;

/// What every container here has to hear.
const SECRET: &str = "s3cret";

/// A container with this `jvmRoute`, and pages of these names.
#[track_caller]
fn tomcat(route: &str) -> Server {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let pages = directory.path().join("webapps/ROOT");
    fs::create_dir_all(pages.join("WEB-INF")).expect("making a directory");
    for (name, text) in [
        ("WEB-INF/web.xml", include_str!("scripts/tomcat/web.xml")),
        ("count.jsp", include_str!("scripts/tomcat/count.jsp")),
        ("echo.jsp", include_str!("scripts/tomcat/echo.jsp")),
        ("endless.jsp", include_str!("scripts/tomcat/endless.jsp")),
        ("fail.jsp", include_str!("scripts/tomcat/fail.jsp")),
        ("told.jsp", include_str!("scripts/tomcat/told.jsp")),
    ] {
        fs::write(pages.join(name), text).expect("writing a file");
    }
    Server::tomcat(directory, route, SECRET)
}

/// A member's table.
fn member(tomcat: &Server, keys: &str) -> String {
    let address = tomcat.addresses[0];
    format!("[[balancer.cluster.member]]\nurl = \"ajp://{address}\"\n{keys}\n")
}

fn equipoise(balancer: &str, members: &str) -> Equipoise {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let configuration = format!(
        "[[route]]\npath = \"/\"\nbalancer = \"cluster\"\npreserve-host = true\n\
         [balancer.cluster]\n{balancer}\n{members}"
    );
    Equipoise::start_in(directory, &configuration, "error")
}

fn one(keys: &str) -> (Server, Equipoise) {
    let tomcat = tomcat("jvm1");
    let keys = format!("route = \"jvm1\"\nsecret = \"{SECRET}\"\n{keys}");
    let equipoise = equipoise("", &member(&tomcat, &keys));
    (tomcat, equipoise)
}

#[test]
fn sessions_stay_with_their_container() {
    let tomcats = [tomcat("jvm1"), tomcat("jvm2")];
    let members = ["jvm1", "jvm2"]
        .iter()
        .zip(&tomcats)
        .map(|(route, tomcat)| {
            member(
                tomcat,
                &format!("route = \"{route}\"\nsecret = \"{SECRET}\""),
            )
        });
    let members: String = members.collect();
    let equipoise = equipoise("stickysession = \"JSESSIONID|jsessionid\"", &members);
    for _ in 0..4 {
        let mut client = Client::connect(equipoise.address);
        let first = client.get("/count.jsp");
        assert_eq!(first.text().trim(), "1");
        let cookie = first.field("set-cookie").expect("a session");
        let cookie = cookie.split(';').next().unwrap_or_default().to_owned();
        assert!(
            cookie.ends_with(".jvm1") || cookie.ends_with(".jvm2"),
            "{cookie}"
        );
        for count in 2..6 {
            let next = client.exchange("GET /count.jsp", &[&format!("Cookie: {cookie}")]);
            assert_eq!(next.text().trim(), count.to_string(), "{cookie}");
        }
    }
}

#[test]
fn bodies_of_100_megabytes_pass_both_ways_in_either_framing() {
    const SIZE: u64 = 100 * MEGABYTE;
    let (_tomcat, equipoise) = one("");
    let mut client = Client::connect(equipoise.address);
    client.send(format!(
        "POST /echo.jsp HTTP/1.1\r\nHost: lb.test\r\nContent-Length: {SIZE}\r\n\r\n"
    ));
    let mut sender = Client::on(client.sender());
    let sending = thread::spawn(move || sender.send_pattern(SIZE, |_| {}));
    let response = client.response();
    assert_eq!(response.status(), 200);
    assert_eq!(
        (response.body.length, response.body.patterned),
        (SIZE, true)
    );
    sending.join().expect("no panic").expect("it was taken");

    // In chunks, by a client that others have written.
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    fs::write(file.path(), vec![b'x'; 10 * MEGABYTE as usize]).expect("writing a file");
    let length = Tool::curl()
        .with([
            "--header",
            "Transfer-Encoding: chunked",
            "--output",
            "/dev/null",
        ])
        .with([
            "--write-out",
            "%{http_code} %{size_download}",
            "--data-binary",
        ])
        .with([format!("@{}", file.path().display())])
        .with([format!("http://{}/echo.jsp", equipoise.address)])
        .says();
    assert_eq!(length, format!("200 {}", 10 * MEGABYTE));
}

#[test]
fn responses_without_a_body_and_errors_keep_the_connection() {
    let (_tomcat, equipoise) = one("ping = \"5s\"\nhcmethod = \"CPING\"\nhcinterval = \"100ms\"");
    let mut client = Client::connect(equipoise.address);
    for (line, status) in [
        ("GET /told.jsp?a", 200),
        ("HEAD /told.jsp?a", 200),
        ("GET /none.jsp", 404),
        ("GET /fail.jsp", 500),
        ("HEAD /none.jsp", 404),
        ("DELETE /told.jsp?a", 405),
        ("GET /told.jsp?a", 200),
    ] {
        assert_eq!(client.exchange(line, &[]).status(), status, "{line}");
    }
}

#[test]
fn a_container_is_told_what_is_known_of_the_client() {
    let tomcat = tomcat("jvm1");
    let directory = tempfile::tempdir().expect("a temporary directory");
    CertificateFiles::in_directory(directory.path()).vouch("shop", &["shop.example"]);
    let authority = directory.path().join("ca.pem");
    let configuration = format!(
        "[[listen]]\naddress = \"127.0.0.1:0\"\n[[listen]]\naddress = \"127.0.0.1:0\"\n\
         tls = {{ certificates = [{{ cert = \"shop.pem\", key = \"shop.key\" }}] }}\n\
         [[route]]\npath = \"/\"\nbalancer = \"cluster\"\npreserve-host = true\n{}",
        member(&tomcat, &format!("secret = \"{SECRET}\""))
    );
    let equipoise = Equipoise::serve(directory, &configuration, "error");
    let [plain, secure] = equipoise.addresses[..] else {
        panic!("there are two listeners");
    };
    let told = Client::connect(plain).get("/told.jsp?a=b").text();
    let expected =
        "GET /told.jsp a=b http lb.test 80 127.0.0.1 127.0.0.1 true false null null null";
    assert_eq!(told.trim(), expected);
    let port = secure.port();
    let told = Tool::curl()
        .with([
            "--tls-max",
            "1.2",
            "--ciphers",
            "ECDHE-ECDSA-AES256-GCM-SHA384",
        ])
        .with([
            "--resolve",
            &format!("shop.example:{port}:127.0.0.1"),
            "--cacert",
        ])
        .with([&authority])
        .with([format!("https://shop.example:{port}/told.jsp?a=b")])
        .says();
    let expected = format!(
        "GET /told.jsp a=b https shop.example {port} 127.0.0.1 127.0.0.1 true true \
         TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384 256 TLSv1.2"
    );
    assert_eq!(told.trim(), expected);
}

#[test]
fn a_container_refuses_another_secret() {
    let tomcat = tomcat("jvm1");
    for keys in ["", "secret = \"wrong\""] {
        let equipoise = equipoise("", &member(&tomcat, keys));
        let response = Client::connect(equipoise.address).get("/told.jsp?a");
        assert_eq!(response.status(), 403);
    }
}

/// The container ends in the middle of a response: it is cut off at the client, too, and others go to another member.
#[test]
fn what_breaks_off_in_the_middle_breaks_off_for_the_client() {
    let (ends, stays) = (tomcat("jvm1"), tomcat("jvm2"));
    let secret = format!("secret = \"{SECRET}\"");
    let members = member(&ends, &format!("{secret}\nroute = \"jvm1\""))
        + &member(&stays, &format!("{secret}\nroute = \"jvm2\""));
    let equipoise = equipoise("stickysession = \"JSESSIONID\"", &members);
    let mut client = Client::connect(equipoise.address);
    client.ask("GET /endless.jsp", &["Cookie: JSESSIONID=a.jvm1"]);
    client.take(1_000_000).expect("a beginning");
    drop(ends);
    client.try_response("GET /").expect_err("no end");
    for _ in 0..3 {
        let response = Client::connect(equipoise.address)
            .exchange("GET /count.jsp", &["Cookie: JSESSIONID=a.jvm1"]);
        assert_eq!(response.status(), 200);
    }
}

/// The client resets its connection in the middle of what it sends: the container serves others.
#[test]
fn a_client_that_breaks_off_leaves_the_container_whole() {
    let (_tomcat, equipoise) = one("");
    for _ in 0..10 {
        let mut client = Client::connect(equipoise.address);
        client
            .send("POST /echo.jsp HTTP/1.1\r\nHost: lb.test\r\nContent-Length: 100000000\r\n\r\n");
        client.send_pattern(100_000, |_| {}).expect("it is taken");
        client.reset();
        let response = Client::connect(equipoise.address).get("/told.jsp?a");
        assert_eq!(response.status(), 200);
    }
}
