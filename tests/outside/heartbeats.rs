//! Heartbeats of real Apaches, by their mod_heartbeat.
//!
//! It sends no port, so that every Apache has an address of its own here, in a [`network`](crate::network) made for it.

use std::io::Write;
use std::net::{IpAddr, SocketAddr, SocketAddrV6, TcpStream, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use equipoise_harness::WAIT_TIMEOUT;

use crate::apache::Apache;
use crate::client::Request;
use crate::equipoise::Equipoise;
use crate::network::{CARD, IPV4, IPV6, alone};

/// The port that heartbeats go to.
const PORT: u16 = 27999;

/// An Apache with so many workers that answers every request with 204 and its name, which is `b1` or `b2`.
fn member(name: &str, host: IpAddr, workers: usize, directives: &str) -> Apache {
    let answers = format!("Redirect 204 /\nHeader always set Served-By {name}\n");
    Apache::start_at(host, workers, &format!("{answers}{directives}"))
}

/// Equipoise before these members, which hears heartbeats there and logs them.
fn balancer(members: &[Apache], listen: &str) -> Equipoise {
    let mut configuration = format!(
        "[heartbeat]\nlisten = \"{listen}\"\n[[route]]\npath = \"/\"\nbalancer = \"cluster\"\n\
         [balancer.cluster]\nlbmethod = \"heartbeat\"\n"
    );
    for member in members {
        let url = format!("http://{}", member.address);
        configuration.push_str(&format!("[[balancer.cluster.member]]\nurl = \"{url}\"\n"));
    }
    let directory = tempfile::tempdir().expect("a temporary directory");
    Equipoise::start_in(
        directory,
        &configuration,
        "equipoise::background::heartbeat=debug",
    )
}

/// Keeps so many workers busy until they are dropped: each of these connections has sent half a request.
fn occupy(member: &Apache, workers: usize) -> Vec<TcpStream> {
    let half = |_| {
        let mut stream = TcpStream::connect(member.address).expect("Apache accepts connections");
        let begun = stream.write_all(b"GET / HTTP/1.1\r\nHost: lb.test\r\n");
        begun.expect("a connection takes a few bytes");
        stream
    };
    (0..workers).map(half).collect()
}

/// Waits until the last heartbeat that was heard from there says this, such as `ready=15 busy=1`.
#[track_caller]
fn await_heard(equipoise: &Equipoise, from: IpAddr, says: &str) {
    let heard = format!("heartbeat accepted from={from} ");
    let start = Instant::now();
    loop {
        let log = equipoise.log();
        let last = log.lines().rfind(|line| line.contains(&heard));
        if last.is_some_and(|line| line.ends_with(says)) {
            return;
        }
        assert!(start.elapsed() < WAIT_TIMEOUT, "{heard}{says}: {log}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// How many of so many requests each member serves.
#[track_caller]
fn shares(equipoise: &Equipoise, requests: usize) -> [usize; 2] {
    let mut shares = [0; 2];
    for _ in 0..requests {
        let answer = Request::get("/").send(equipoise.address);
        match answer.served_by() {
            Some("b1") => shares[0] += 1,
            Some("b2") => shares[1] += 1,
            _ => panic!("no member served it: {answer:?}"),
        }
    }
    shares
}

/// Goal: Apache's own counts decide, and follow what happens there. Method: 16 workers against 4; each has one that is kept
/// busy, so that none counts as just started. 15 and 3 are idle then, so 5 of 6 requests go to the first; the odds of
/// leaving the bounds by chance are below one in a hundred million. Then the rest of the 16 are kept busy for a while.
#[test]
fn traffic_follows_apaches_ready_counts() {
    alone("heartbeats::traffic_follows_apaches_ready_counts", || {
        let [first, second] = IPV4;
        // What a host sends to its own address comes from there.
        let to = |host| format!("HeartbeatAddress {host}:{PORT}\n");
        let members = [
            member("b1", first, 16, &to(first)),
            member("b2", second, 4, &to(second)),
        ];
        let _busy = members.each_ref().map(|member| occupy(member, 1));
        let equipoise = balancer(&members, &format!("0.0.0.0:{PORT}"));
        await_heard(&equipoise, second, "ready=3 busy=1");
        for _ in 0..2 {
            await_heard(&equipoise, first, "ready=15 busy=1");
            let shares_by_ready = shares(&equipoise, 300);
            assert!(
                (205..=296).contains(&shares_by_ready[0]),
                "{shares_by_ready:?} is far from 5 to 1"
            );
            let _busy = occupy(&members[0], 15);
            await_heard(&equipoise, first, "ready=0 busy=16");
            assert_eq!(shares(&equipoise, 100), [0, 100]);
        }
    });
}

/// As Apache's documentation sets it up. A member without heartbeats has no idle slots.
#[test]
fn apaches_are_heard_in_a_multicast_group() {
    alone("heartbeats::apaches_are_heard_in_a_multicast_group", || {
        let group = format!("239.0.0.1:{PORT}");
        let members = [
            member("b1", IPV4[0], 4, &format!("HeartbeatAddress {group}\n")),
            member("b2", IPV4[1], 16, ""),
        ];
        let _busy = occupy(&members[0], 1);
        let equipoise = balancer(&members, &group);
        await_heard(&equipoise, IPV4[0], "ready=3 busy=1");
        assert_eq!(shares(&equipoise, 50), [50, 0]);
    });
}

/// Apache's own heartbeats go to IPv4 only; others may be sent as they like.
#[test]
fn groups_of_ipv6_are_heard() {
    alone("heartbeats::groups_of_ipv6_are_heard", || {
        let members = [member("b1", IPV6[0], 4, ""), member("b2", IPV6[1], 4, "")];
        let link = format!("[ff02::4321%{CARD}]:{PORT}");
        for group in [link, format!("[ff05::4321]:{PORT}")] {
            for (position, host) in IPV6.into_iter().enumerate() {
                let equipoise = balancer(&members, &group);
                let group: SocketAddrV6 = group.parse().expect("an address");
                let sender = UdpSocket::bind(SocketAddr::new(host, 0)).expect("a free port");
                let sent = sender.send_to(b"v=1&ready=3&busy=1", group);
                sent.expect("a datagram can be sent");
                await_heard(&equipoise, host, "ready=3 busy=1");
                assert_eq!(shares(&equipoise, 20)[position], 20);
            }
        }
    });
}
