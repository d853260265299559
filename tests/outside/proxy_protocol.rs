//! PROXY headers, to and from HAProxy and nginx.
//!
//! All are at 127.0.0.1; the client is the one at 127.0.0.5.

use crate::equipoise::Equipoise;
use crate::members::MEMBERS;
use crate::server::Server;
use crate::tool::Tool;

/// Where the client comes from.
const CLIENT: &str = "127.0.0.5";

/// Asks at this URL.
#[track_caller]
fn ask(url: &str, arguments: &[&str]) -> String {
    let from = ["--interface", CLIENT, "-i"];
    Tool::curl().with(from).with(arguments).with([url]).says()
}

fn equipoise(listener: &str, member: &str) -> Equipoise {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let configuration = format!(
        "[[listen]]\naddress = \"127.0.0.1:0\"\n{listener}[[route]]\npath = \"/\"\nbalancer = \"cluster\"\n\
         [[balancer.cluster.member]]\n{member}"
    );
    Equipoise::serve(directory, &configuration, "error")
}

#[test]
fn haproxy_in_front_tells_who_the_client_is_in_both_versions() {
    let member = format!("url = \"http://{}\"\n", MEMBERS.live(0));
    let trusting = "proxy-protocol = { from = [\"127.0.0.1\"] }\n";
    let equipoise = equipoise(trusting, &member);
    for version in ["send-proxy", "send-proxy-v2"] {
        let haproxy = Server::haproxy(&format!(
            "listen front\nmode tcp\nbind 127.0.0.1:@PORT_0@\nserver equipoise {} {version}\n",
            equipoise.address
        ));
        let url = format!("http://{}/", haproxy.addresses[0]);
        for arguments in [&["--http1.1"][..], &["--http2-prior-knowledge"]] {
            let head = ask(&url, arguments);
            let told = format!("x-forwarded-for: {CLIENT}\r\n");
            assert!(head.to_lowercase().contains(&told), "{version}: {head}");
        }
    }
}

#[test]
fn a_proxy_header_from_who_is_not_trusted_is_refused() {
    let member = format!("url = \"http://{}\"\n", MEMBERS.live(0));
    for listener in ["", "proxy-protocol = { from = [\"192.0.2.0/24\"] }\n"] {
        let equipoise = equipoise(listener, &member);
        for version in ["send-proxy", "send-proxy-v2"] {
            let haproxy = Server::haproxy(&format!(
                "listen front\nmode tcp\nbind 127.0.0.1:@PORT_0@\nserver equipoise {} {version}\n",
                equipoise.address
            ));
            let url = format!("http://{}/", haproxy.addresses[0]);
            let said = Tool::curl().with(["-i", &url]).run();
            assert!(
                !said.output.contains(" 200"),
                "{listener}{version}: {said:?}"
            );
        }
    }
}

#[test]
fn nginx_behind_learns_who_the_client_is_in_both_versions() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let nginx = Server::nginx(
        directory,
        1,
        "server { listen 127.0.0.1:@PORT_0@ proxy_protocol; location / { return 200 \"from $proxy_protocol_addr.\"; } }",
    );
    for version in ["v1", "v2"] {
        let member = format!(
            "url = \"http://{}\"\nproxy-protocol = \"{version}\"\n",
            nginx.addresses[0]
        );
        let equipoise = equipoise("", &member);
        let answer = ask(&format!("http://{}/", equipoise.address), &[]);
        assert!(answer.contains("from 127.0.0.5."), "{version}: {answer}");
    }
}

#[test]
fn haproxy_behind_learns_who_the_client_is_in_both_versions() {
    let haproxy = Server::haproxy(
        "frontend behind\nmode http\nbind 127.0.0.1:@PORT_0@ accept-proxy\n\
         http-request return status 200 content-type text/plain lf-string \"from %[src].\"\n",
    );
    for version in ["v1", "v2"] {
        let member = format!(
            "url = \"http://{}\"\nproxy-protocol = \"{version}\"\n",
            haproxy.addresses[0]
        );
        let equipoise = equipoise("", &member);
        let url = format!("http://{}/", equipoise.address);
        let answer = ask(&url, &[]);
        assert!(answer.contains("from 127.0.0.5."), "{version}: {answer}");
        // The next client is another one.
        let answer = Tool::curl().with([url]).says();
        assert!(answer.contains("from 127.0.0.1."), "{version}: {answer}");
    }
}
