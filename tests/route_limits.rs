//! What routes hold clients and members to: `require`, `max-body` and `timeout`.

use crate::harness::peers::{Message, Peer, Reply, Version};
use crate::harness::{Origin, Proxy, State, eventually};
use crate::matrix::{Between, over_all};

fn ok() -> Message {
    Message::of("200").body("ok")
}

#[test]
fn clients_outside_of_the_required_networks_get_403() {
    over_all(|cell| {
        let keys = "require = [\"192.0.2.0/24\", \"::1\"]";
        let mut between = Between::of(cell, keys, |_| Reply::Whole(ok()));
        assert_eq!(between.get("/").start, "403");
        let answer = between.ask(&Message::of("POST /").body("some"));
        assert_eq!(answer.start, "403");
        assert!(
            answer.text().contains("not from this address"),
            "{answer:?}"
        );
        assert_eq!(between.member.whole_requests(), 0);
        let keys = "require = [\"192.0.2.0/24\", \"127.0.0.1\"]";
        let mut between = Between::of(cell, keys, |_| Reply::Whole(ok()));
        assert_eq!(between.get("/").start, "200");
    });
}

/// Another route does not take what one refuses, and the access log tells why.
#[test]
fn a_refused_client_is_counted_and_logged() {
    let [b1] = Origin::some();
    let proxy = Proxy::before(&[&b1])
        .top("access-log = { file = \"stdout\", format = \"json\" }\n[admin]\naddress = \"127.0.0.1:0\"")
        .routes(
            "[[route]]\npath = \"/private\"\nbalancer = \"cluster\"\nrequire = [\"192.0.2.1\"]\n\
             [[route]]\npath = \"/\"\nbalancer = \"cluster\"\n",
        )
        .start();
    assert_eq!(proxy.get("/private").status(), 403);
    assert_eq!(proxy.get("/").status(), 200);
    let line = proxy.stdout.line_with("\"status\":403");
    assert!(
        line.contains("the client's address is not in the route's require"),
        "{line}"
    );
    assert_eq!(b1.hits(), 1);
}

#[test]
fn a_body_that_is_too_large_gets_413() {
    over_all(|cell| {
        let mut between = Between::of(cell, "max-body = \"1KiB\"", |_| Reply::Whole(ok()));
        let fits = Message::of("POST /").body(vec![b'x'; 1024]);
        assert_eq!(between.ask(&fits).start, "200");
        assert_eq!(between.ask(&fits.untold()).start, "200");
        let large = Message::of("POST /").body(vec![b'x'; 1025]);
        let answer = between.ask(&large);
        assert_eq!(answer.start, "413");
        assert!(
            answer.text().contains("the request body is too large"),
            "{answer:?}"
        );
        assert_eq!(between.member.whole_requests(), 2, "it is not asked");
        assert_eq!(between.ask(&large.untold()).start, "413");
        assert_eq!(between.ask(&fits_untold(1024)).start, "200");
        assert_eq!(between.member.whole_requests(), 3);
    });
}

fn fits_untold(bytes: usize) -> Message {
    Message::of("POST /").body(vec![b'x'; bytes]).untold()
}

/// The member has begun to take it, and hears no more of it; it is not blamed, and no other is asked.
#[test]
fn a_chunked_body_is_refused_in_its_middle() {
    let members: [Origin; 2] = Origin::some();
    let proxy = Proxy::before(&[&members[0], &members[1]])
        .route("max-body = \"100KiB\"")
        .balancer("retry-on = [\"timeout\"]")
        .start();
    let mut client = proxy.client();
    client.send("PUT / HTTP/1.1\r\nHost: lb.test\r\nTransfer-Encoding: chunked\r\n\r\n");
    let chunk = format!("8000\r\n{}\r\n", "x".repeat(0x8000));
    for _ in 0..3 {
        client.send(&chunk);
    }
    let asked = eventually("a member is asked", || {
        members.iter().position(|it| it.hits() == 1)
    });
    client.send(&chunk);
    let response = client.response();
    assert_eq!(response.status(), 413);
    assert_eq!(response.field("connection"), Some("close"));
    let request = members[asked].request(0);
    assert_ne!(request.state, State::Complete);
    assert_eq!(members[1 - asked].hits(), 0);
    let mut served = proxy.served(2);
    served.sort();
    assert_eq!(served, ["b1", "b2"], "neither is in error");
}

#[test]
fn a_route_may_give_members_less_time() {
    let stalling = Origin::named("b1").answering(|exchange| match exchange.target() {
        "/slow" => exchange.stall(),
        _ => exchange.answer("b1"),
    });
    let stalling = stalling.start();
    let proxy = Proxy::before(&[&stalling])
        .routes(
            "[[route]]\npath = \"/slow\"\nbalancer = \"cluster\"\ntimeout = \"200ms\"\n\
             [[route]]\npath = \"/\"\nbalancer = \"cluster\"\n",
        )
        .start();
    for version in [Version::Http1, Version::Http2] {
        let mut client = Peer::connect(version, proxy.address());
        for (target, status) in [("/slow", "504"), ("/", "200")] {
            let answer = client.exchange(&Message::of(&format!("GET {target}")));
            assert_eq!(
                answer.expect("an answer").start,
                status,
                "{version} {target}"
            );
        }
    }
}

/// What was sent may have been carried out: only what is idempotent goes to another member, and where `retry-on` says so.
#[test]
fn a_request_that_timed_out_by_its_route_is_tried_again_by_the_same_rules() {
    let slow = Origin::named("slow")
        .answering(|exchange| exchange.stall())
        .start();
    let [b2] = Origin::some();
    let proxy = Proxy::before(&[])
        .member(&slow, "lbset = 0")
        .member(&b2, "lbset = 1")
        .balancer("retry-on = [\"timeout\"]")
        .routes(
            "[[route]]\npath = \"/quick\"\nbalancer = \"cluster\"\ntimeout = \"300ms\"\n\
             [[route]]\npath = \"/\"\nbalancer = \"cluster\"\n",
        )
        .start();
    let response = proxy.client().exchange_body("PUT /quick", &[], "body");
    assert_eq!((response.status(), &*response.text()), (200, "b1"));
    assert_eq!(b2.only_request().body.text(), "body");
    let response = proxy.client().exchange_body("POST /quick", &[], "body");
    assert_eq!(response.status(), 504);
    assert_eq!(b2.hits(), 1);
    assert_eq!(slow.hits(), 2);
}
