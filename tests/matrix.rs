//! What is so whichever version of HTTP is spoken: each behaviour between clients and members of HTTP/1 and HTTP/2.

use std::fmt;
use std::thread;

use crate::harness::peers::{Member, Message, Peer, Reply, Version};
use crate::harness::{Origin, Proxy};

/// Who speaks what.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cell {
    client: Version,
    member: Version,
}

impl fmt::Display for Cell {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { client, member } = self;
        write!(formatter, "a client of {client}, a member of {member}")
    }
}

impl Cell {
    const fn of(client: Version, member: Version) -> Self {
        Self { client, member }
    }
}

const CELLS: [Cell; 4] = [
    Cell::of(Version::Http1, Version::Http1),
    Cell::of(Version::Http1, Version::Http2),
    Cell::of(Version::Http2, Version::Http1),
    Cell::of(Version::Http2, Version::Http2),
];

/// Checks a behaviour in all of them; those in which it is otherwise are told.
#[track_caller]
pub(crate) fn over_all(check: impl Fn(Cell) + Sync) {
    let failed = thread::scope(|scope| {
        let check = &check;
        let started = CELLS.map(|cell| {
            let thread = thread::Builder::new().name(cell.to_string());
            let started = thread.spawn_scoped(scope, move || check(cell));
            (cell, started.expect("a thread"))
        });
        let ended = started.map(|(cell, thread)| (cell, thread.join().is_err()));
        let failed = ended.into_iter().filter(|(_, is_failed)| *is_failed);
        failed.map(|(cell, _)| cell.to_string()).collect::<Vec<_>>()
    });
    assert!(failed.is_empty(), "otherwise with {failed:?}");
}

/// A client and a member, with the program between them.
pub(crate) struct Between {
    pub(crate) client: Peer,
    pub(crate) member: Member,
    pub(crate) proxy: Proxy,
}

impl Between {
    /// One route for all, with these keys, to a member that treats its requests so.
    #[track_caller]
    pub(crate) fn of(
        cell: Cell,
        keys: &str,
        handler: impl Fn(&Message) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let member = Member::start(cell.member, handler);
        let proxy = Proxy::before(&[])
            .route(keys)
            .member_at(&member.url(), "timeout = \"10s\"")
            .start();
        Self {
            client: Peer::connect(cell.client, proxy.address()),
            member,
            proxy,
        }
    }

    /// A member that gives all requests this answer.
    #[track_caller]
    fn answering(cell: Cell, answer: Message) -> Self {
        Self::of(cell, "", move |_| Reply::Whole(answer.clone()))
    }

    /// The whole answer to a request.
    #[track_caller]
    pub(crate) fn ask(&mut self, request: &Message) -> Message {
        let answer = self.client.exchange(request).expect("an answer");
        assert!(answer.is_whole, "it breaks off: {answer:?}");
        answer
    }

    /// The whole answer to a `GET`.
    #[track_caller]
    pub(crate) fn get(&mut self, target: &str) -> Message {
        self.ask(&Message::of(&format!("GET {target}")))
    }
}

fn ok() -> Message {
    Message::of("200").body("ok")
}

/// Bytes in which nothing that is shifted looks right.
fn pattern(length: u32) -> Vec<u8> {
    (0..length)
        .map(|index| index.wrapping_mul(0x9e37_79b9).to_le_bytes()[3])
        .collect()
}

const LARGE: u32 = 1_500_000;

#[test]
fn a_request_reaches_the_member_and_its_answer_the_client() {
    over_all(|cell| {
        let mut between = Between::answering(cell, Message::of("200").body("hello"));
        for number in 0..3 {
            let answer = between.get("/a/b?c=d&e");
            assert_eq!((&*answer.start, &*answer.text()), ("200", "hello"));
            assert_eq!(answer.value("content-length"), Some("5"));
            let request = between.member.request(number);
            assert_eq!(request.start, "GET /a/b?c=d&e");
            assert_eq!(request.value("host"), Some(&*between.member.authority()));
            assert_eq!(request.value("content-length"), None);
            assert_eq!(request.value("transfer-encoding"), None);
            assert!(request.is_whole && request.body.is_empty());
        }
    });
}

#[test]
fn the_clients_host_passes_where_it_is_to() {
    over_all(|cell| {
        let keys = "preserve-host = true";
        let mut between = Between::of(cell, keys, |_| Reply::Whole(ok()));
        between.get("/");
        assert_eq!(between.member.request(0).value("host"), Some("lb.test"));
    });
}

#[test]
fn head_tells_the_length_and_sends_nothing() {
    over_all(|cell| {
        let mut between = Between::answering(cell, Message::of("200").body("hello"));
        for _ in 0..2 {
            let answer = between.ask(&Message::of("HEAD /"));
            assert_eq!(answer.value("content-length"), Some("5"));
            assert!(answer.body.is_empty());
        }
        assert_eq!(between.get("/").text(), "hello", "nothing is left over");
    });
}

#[test]
fn answers_that_have_no_body_have_none() {
    over_all(|cell| {
        let mut between = Between::of(cell, "", |request| {
            let (_, status) = request.start.rsplit_once('/').expect("a path");
            let answer = Message::of(status).field("ETag", "\"x\"");
            Reply::Whole(if status == "200" {
                answer.body("ok")
            } else {
                answer
            })
        });
        for status in ["204", "200", "304", "200"] {
            let answer = between.get(&format!("/{status}"));
            assert_eq!(answer.start, status);
            assert_eq!(answer.value("etag"), Some("\"x\""));
            assert_eq!(answer.text(), if status == "200" { "ok" } else { "" });
            assert_eq!(answer.value("transfer-encoding"), None);
        }
    });
}

#[test]
fn statuses_pass() {
    over_all(|cell| {
        let mut between = Between::of(cell, "", |request| {
            let (_, status) = request.start.rsplit_once('/').expect("a path");
            Reply::Whole(Message::of(status).body("it is so"))
        });
        for status in ["201", "299", "301", "404", "418", "500", "503", "599"] {
            let answer = between.get(&format!("/{status}"));
            assert_eq!((&*answer.start, &*answer.text()), (status, "it is so"));
        }
    });
}

#[test]
fn a_body_whose_length_is_told_passes_with_its_length() {
    over_all(|cell| {
        let mut between = Between::answering(cell, ok());
        for (number, method) in ["POST", "PUT", "PATCH", "DELETE", "GET", "BREW"]
            .into_iter()
            .enumerate()
        {
            let request = Message::of(&format!("{method} /")).body("order");
            assert_eq!(between.ask(&request).text(), "ok");
            let request = between.member.request(number);
            assert_eq!(request.start, format!("{method} /"));
            assert_eq!((&*request.text(), request.is_whole), ("order", true));
            assert_eq!(request.value("content-length"), Some("5"));
            assert_eq!(request.value("transfer-encoding"), None);
        }
    });
}

#[test]
fn a_body_whose_length_is_not_told_passes_without() {
    over_all(|cell| {
        let mut between = Between::answering(cell, ok().untold());
        let request = Message::of("POST /").body("order").untold();
        for number in 0..2 {
            let answer = between.ask(&request);
            assert_eq!(answer.text(), "ok");
            assert_eq!(answer.value("content-length"), None);
            let request = between.member.request(number);
            assert_eq!((&*request.text(), request.is_whole), ("order", true));
            assert_eq!(request.value("content-length"), None);
        }
    });
}

#[test]
fn large_bodies_pass_both_ways() {
    over_all(|cell| {
        let body = pattern(LARGE);
        for is_told in [true, false] {
            let framed = |mut message: Message| {
                message.is_told = is_told;
                message
            };
            let answer = framed(Message::of("200").body(body.clone()));
            let mut between = Between::answering(cell, answer);
            let request = framed(Message::of("POST /").body(body.clone()));
            for number in 0..2 {
                let answer = between.ask(&request);
                assert!(answer.body == body, "{} bytes", answer.body.len());
                assert_eq!(answer.is_told, is_told);
                let request = between.member.request(number);
                assert!(request.body == body, "{} bytes", request.body.len());
                assert_eq!(request.is_told, is_told);
            }
        }
    });
}

/// A request that takes trailers, and has this one.
fn with_trailer(cell: Cell, name: &str, value: &str) -> Message {
    let request = Message::of("POST /").body("order");
    let request = request.trailer(name, value).field("TE", "trailers");
    match cell.client {
        Version::Http1 => request.field("Connection", "TE"),
        Version::Http2 => request,
    }
}

/// Whether `Trailer` tells of them before is up to the sender (RFC 9110, 6.6.2).
#[test]
fn trailers_pass_both_ways() {
    over_all(|cell| {
        for is_announced in [true, false] {
            let announcing = |message: Message, names: &str| match is_announced {
                true => message.field("Trailer", names),
                false => message,
            };
            let answer = ok().trailer("X-Sum", "294").trailer("grpc-status", "0");
            let answer = announcing(answer, "X-Sum, grpc-status");
            let mut between = Between::answering(cell, answer);
            let request = announcing(with_trailer(cell, "X-Count", "3"), "X-Count");
            for number in 0..2 {
                let answer = between.ask(&request);
                assert_eq!(answer.text(), "ok");
                let expected = [("x-sum", "294"), ("grpc-status", "0")];
                let expected = expected.map(|(name, value)| (name.to_owned(), value));
                assert_eq!(answer.lower_trailers(), expected, "told: {is_announced}");
                let request = between.member.request(number);
                assert_eq!(request.value("te"), Some("trailers"));
                let expected = [("x-count".to_owned(), "3")];
                assert_eq!(request.lower_trailers(), expected, "told: {is_announced}");
            }
        }
    });
}

/// HTTP/1 has no place for them there.
#[test]
fn trailers_behind_a_body_whose_length_is_told_pass_by_http2() {
    let cell = Cell::of(Version::Http2, Version::Http2);
    let told = |message: Message| Message {
        is_told: true,
        ..message
    };
    let answer = told(ok().trailer("x-sum", "294"));
    let mut between = Between::answering(cell, answer);
    let request = Message::of("POST /").body("one").trailer("x-count", "1");
    for number in 0..2 {
        let answer = between.ask(&told(request.clone()));
        assert_eq!(answer.value("content-length"), Some("2"));
        let expected = [("x-sum".to_owned(), "294")];
        assert_eq!(
            (answer.lower_trailers(), answer.text()),
            (expected.into(), "ok".into())
        );
        let request = between.member.request(number);
        assert_eq!(request.value("content-length"), Some("3"));
        let expected = [("x-count".to_owned(), "1")];
        assert_eq!(request.lower_trailers(), expected);
    }
}

/// What must not be in a trailer section, but says nothing of framing, which the h2 crate would not send.
const FORBIDDEN: [&str; 16] = [
    "Host",
    "X-Forwarded-For",
    "X-Forwarded-Proto",
    "X_Forwarded_Host",
    "X-Real-IP",
    "Forwarded",
    "Client-Cert",
    "Client-Cert-Chain",
    "Via",
    "Authorization",
    "Cookie",
    "Set-Cookie",
    "Cache-Control",
    "Content-Type",
    "Content-Encoding",
    "Location",
];

#[test]
fn trailers_that_must_not_pass_are_left_out_of_answers() {
    over_all(|cell| {
        let trailers = FORBIDDEN.iter();
        let answer = trailers.fold(ok(), |answer, name| answer.trailer(name, "evil"));
        let mut between = Between::answering(cell, answer.trailer("X-Sum", "294"));
        let answer = between.ask(&with_trailer(cell, "X-Count", "3"));
        assert_eq!(answer.text(), "ok");
        assert_eq!(answer.lower_trailers(), [("x-sum".to_owned(), "294")]);
        let evil = answer.fields.iter().filter(|(_, value)| value == "evil");
        assert_eq!(evil.count(), 0, "nor do they become fields: {answer:?}");
    });
}

#[test]
fn requests_with_trailers_that_must_not_pass_are_refused() {
    over_all(|cell| {
        let mut between = Between::answering(cell, ok());
        let mut passed = Vec::new();
        for name in FORBIDDEN {
            let answer = between.client.exchange(&with_trailer(cell, name, "evil"));
            // The client of HTTP/2 may have its stream reset.
            if answer.is_ok_and(|answer| answer.start != "400") {
                passed.push(name);
            }
        }
        assert_eq!(passed, [""; 0], "not refused");
        assert_eq!(between.member.whole_requests(), 0);
        let mut client = Peer::connect(cell.client, between.proxy.address());
        let answer = client.exchange(&Message::of("GET /")).expect("an answer");
        assert_eq!(answer.text(), "ok", "others are served");
    });
}

#[test]
fn an_answer_with_a_length_among_its_trailers_is_broken() {
    over_all(|cell| {
        let answer = ok().trailer("Content-Length", "2");
        let mut between = Between::answering(cell, answer);
        let answer = between.client.exchange(&with_trailer(cell, "X", "1"));
        let is_whole = |it: &Message| it.start == "200" && it.is_whole;
        assert!(!answer.as_ref().is_ok_and(is_whole), "{answer:?}");
    });
}

#[test]
fn fields_pass_both_ways_in_their_order() {
    let fields = [
        ("X-CaSe", "One"),
        ("X-Empty", ""),
        ("Accept", "text/html"),
        ("X-Spaces", "a  b"),
        ("Accept", "text/plain"),
        ("x-lower", "1"),
        ("Cache-Control", "no-cache"),
        ("X!#$%&'*+-.^_`|~9", "odd"),
    ];
    let with_all = |message: Message| {
        let fields = fields.iter();
        fields.fold(message, |it, (name, value)| it.field(name, value))
    };
    over_all(|cell| {
        let mut between = Between::answering(cell, with_all(ok()));
        let answer = between.ask(&with_all(Message::of("GET /")));
        let request = between.member.request(0);
        for message in [&answer, &request] {
            for (name, _) in fields {
                let of_name = fields.iter().filter(|(it, _)| *it == name);
                let expected: Vec<_> = of_name.map(|(_, value)| *value).collect();
                assert_eq!(message.all(name), expected, "{name} in {message:?}");
            }
        }
        // Where both sides know the case of names, it is kept.
        if let (Version::Http1, Version::Http1) = (cell.client, cell.member) {
            for message in [answer, request] {
                let names: Vec<_> = message.fields.iter().map(|(name, _)| name).collect();
                for (name, _) in fields {
                    assert!(names.iter().any(|it| *it == name), "{name} in {names:?}");
                }
            }
        }
    });
}

/// HTTP/2 has no such fields, and its libraries send none; so senders are of HTTP/1 alone.
#[test]
fn what_concerns_one_hop_does_not_pass() {
    let hop = |message: Message| {
        message
            .field("Connection", "keep-alive, X-Hop")
            .field("X-Hop", "1")
            .field("Keep-Alive", "timeout=5")
            .field("Proxy-Connection", "keep-alive")
            .field("Upgrade", "h2c")
            .field("X-End-To-End", "1")
    };
    over_all(|cell| {
        let (mut request, mut answer) = (Message::of("GET /"), ok());
        if cell.client == Version::Http1 {
            request = hop(request);
        }
        if cell.member == Version::Http1 {
            answer = hop(answer);
        }
        let mut between = Between::answering(cell, answer);
        let answer = between.ask(&request);
        let request = between.member.request(0);
        for message in [&request, &answer] {
            for name in ["x-hop", "keep-alive", "proxy-connection", "upgrade"] {
                assert_eq!(message.value(name), None, "{message:?}");
            }
        }
        let is_sent = |version| (version == Version::Http1).then_some("1");
        assert_eq!(request.value("x-end-to-end"), is_sent(cell.client));
        assert_eq!(answer.value("x-end-to-end"), is_sent(cell.member));
    });
}

/// HTTP/2 has a field for each cookie if the client likes, and HTTP/1 one for all.
#[test]
fn cookies_pass_as_one_field_and_those_that_are_set_as_many() {
    over_all(|cell| {
        let answer = ok()
            .field("Set-Cookie", "a=1; Path=/")
            .field("Set-Cookie", "b=2");
        let mut between = Between::answering(cell, answer);
        let request = Message::of("GET /");
        let request = match cell.client {
            Version::Http1 => request.field("Cookie", "a=1; b=2; c=3"),
            Version::Http2 => ["a=1", "b=2; c=3"]
                .iter()
                .fold(request, |it, cookie| it.field("Cookie", cookie)),
        };
        let answer = between.ask(&request);
        assert_eq!(answer.all("set-cookie"), ["a=1; Path=/", "b=2"]);
        let cookies = between.member.request(0);
        let cookies = cookies.all("cookie");
        assert_eq!(cookies.join("; "), "a=1; b=2; c=3");
        if cell.member == Version::Http1 {
            assert_eq!(cookies.len(), 1);
        }
    });
}

#[test]
fn an_answer_that_comes_before_the_end_of_the_body_passes() {
    over_all(|cell| {
        let mut between = Between::of(cell, "", |request| {
            if request.start == "GET /" {
                return Reply::Whole(ok());
            }
            Reply::Early(Message::of("413").body("too large"))
        });
        for is_told in [true, false] {
            let mut request = Message::of("POST /").body("the beginning");
            request.is_told = is_told;
            let answer = between.client.exchange_but(&request, 100_000);
            let answer = answer.expect("an answer");
            let answer = (&*answer.start, &*answer.text(), answer.is_whole);
            assert_eq!(answer, ("413", "too large", true), "told: {is_told}");
            // A client of HTTP/1 that owes the rest of its body cannot ask by the same connection.
            let mut other = Peer::connect(cell.client, between.proxy.address());
            let other = match cell.client {
                Version::Http1 => &mut other,
                Version::Http2 => &mut between.client,
            };
            let next = other.exchange(&Message::of("GET /"));
            assert_eq!(next.expect("an answer").text(), "ok", "told: {is_told}");
            between.client = Peer::connect(cell.client, between.proxy.address());
        }
    });
}

#[test]
fn an_answer_that_breaks_off_breaks_off_at_the_client() {
    over_all(|cell| {
        for is_told in [true, false] {
            let mut between = Between::of(cell, "", move |request| {
                let mut answer = ok().body("half");
                answer.is_told = is_told;
                match &*request.start {
                    "GET /half" => Reply::Part(answer),
                    _ => Reply::Whole(ok()),
                }
            });
            let answer = between.client.exchange(&Message::of("GET /half"));
            let answer = answer.expect("the beginning of an answer");
            assert_eq!((&*answer.start, answer.is_whole), ("200", false));
            assert_eq!(between.get("/").text(), "ok", "the member is not blamed");
        }
    });
}

#[test]
fn a_member_that_breaks_off_before_its_answer_is_502() {
    over_all(|cell| {
        let mut between = Between::of(cell, "", |request| match &*request.start {
            "POST /" => Reply::Nothing,
            _ => Reply::Whole(ok()),
        });
        let answer = between.ask(&Message::of("POST /").body("order"));
        assert_eq!(answer.start, "502");
        assert_eq!(between.get("/").text(), "ok", "the member is not blamed");
    });
}

/// From members of HTTP/1: those of members of HTTP/2 are not heard by the h2 crate, which reads their answers.
#[test]
fn interim_responses_reach_the_client() {
    let early =
        "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\nConnection: X-Hop\r\nX-Hop: 1\r\n\r\n";
    for client in [Version::Http1, Version::Http2] {
        let b1 = Origin::named("b1").answering(move |exchange| {
            exchange.send(early.repeat(2));
            exchange.answer("b1");
        });
        let b1 = b1.start();
        let proxy = Proxy::before(&[&b1]).start();
        let mut client = Peer::connect(client, proxy.address());
        for _ in 0..2 {
            let interims = client.exchange_hearing(&Message::of("GET /"), 2);
            for interim in interims {
                assert_eq!(interim.start, "103");
                assert_eq!(interim.value("link"), Some("</a.css>"));
                assert_eq!(interim.value("x-hop"), None);
            }
        }
    }
}

#[test]
fn members_are_told_of_the_client() {
    over_all(|cell| {
        let keys = "forwarded = \"append\"";
        let mut between = Between::of(cell, keys, |_| Reply::Whole(ok()));
        between.get("/");
        let request = Message::of("GET /");
        between.ask(&request.field("X-Forwarded-For", "9.9.9.9"));
        for (number, expected) in ["127.0.0.1", "9.9.9.9, 127.0.0.1"].into_iter().enumerate() {
            let request = between.member.request(number);
            assert_eq!(request.all("x-forwarded-for").join(", "), expected);
            assert_eq!(request.value("x-forwarded-host"), Some("lb.test"));
            assert_eq!(request.value("x-forwarded-proto"), Some("http"));
            let forwarded = request.value("forwarded").expect("Forwarded");
            assert!(forwarded.contains("for=127.0.0.1"), "{forwarded}");
        }
    });
}

#[test]
fn via_tells_the_version_of_the_hop_before() {
    over_all(|cell| {
        let keys = "via = \"on\"";
        let mut between = Between::of(cell, keys, |_| Reply::Whole(ok()));
        let answer = between.get("/");
        let request = between.member.request(0);
        for (message, version) in [(&request, cell.client), (&answer, cell.member)] {
            let number = match version {
                Version::Http1 => "1.1 ",
                Version::Http2 => "2.0 ",
            };
            let via = message.value("via").expect("Via");
            assert!(via.starts_with(number), "{via}");
        }
    });
}

#[test]
fn a_session_stays_with_its_member() {
    over_all(|cell| {
        let member = |name: &'static str| {
            Member::start(cell.member, move |_| {
                Reply::Whole(Message::of("200").body(name))
            })
        };
        let members = [member("b1"), member("b2")];
        let proxy = Proxy::before(&[])
            .balancer("sticky-cookie = { name = \"R\" }")
            .member_at(&members[0].url(), "route = \"a\"")
            .member_at(&members[1].url(), "route = \"b\"")
            .start();
        let mut client = Peer::connect(cell.client, proxy.address());
        let mut get = |cookie: Option<&str>| {
            let request = cookie.into_iter().fold(Message::of("GET /"), |it, cookie| {
                it.field("Cookie", cookie)
            });
            client.exchange(&request).expect("an answer")
        };
        for _ in 0..2 {
            let first = get(None);
            let cookie = first.value("set-cookie").expect("a cookie").to_owned();
            let cookie = cookie.split(';').next().expect("a pair");
            for _ in 0..3 {
                let next = get(Some(cookie));
                assert_eq!(next.text(), first.text(), "{cookie}");
                assert_eq!(next.value("set-cookie"), None);
            }
        }
    });
}

#[test]
fn what_no_route_takes_is_404() {
    over_all(|cell| {
        let member = Member::start(cell.member, |_| Reply::Whole(ok()));
        let proxy = Proxy::before(&[])
            .routes("[[route]]\npath = \"/here\"\nbalancer = \"cluster\"")
            .member_at(&member.url(), "")
            .start();
        let mut client = Peer::connect(cell.client, proxy.address());
        for (request, status) in [
            (Message::of("GET /there"), "404"),
            (Message::of("POST /there").body("order"), "404"),
            (Message::of("POST /there").body("order").untold(), "404"),
            (Message::of("GET /here"), "200"),
        ] {
            let answer = client.exchange(&request).expect("an answer");
            assert_eq!((&*answer.start, answer.is_whole), (status, true));
        }
        assert_eq!(member.whole_requests(), 1);
    });
}
