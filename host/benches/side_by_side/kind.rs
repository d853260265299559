//! Kinds of load: what is sent, how, and what is answered.

use crate::origin::Answer;
use crate::requests::Requests;

/// One kind of load.
#[derive(Debug)]
pub(crate) struct Kind {
    /// What `--load` and the tables call it.
    pub(crate) name: &'static str,
    /// What it is, to stand above its table.
    pub(crate) about: &'static str,
    /// How it is sent.
    pub(crate) driver: Driver,
    /// Makes what is sent.
    pub(crate) requests: fn() -> Requests,
    /// What members answer, as the path of the requests asks.
    pub(crate) answer: Answer,
    /// How many of them take the time of one request of this kind: so many fewer are counted.
    pub(crate) weight: u32,
}

/// How requests are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Driver {
    /// Over connections that are kept.
    KeepAlive,
    /// Each over a connection of its own, which the proxy closes.
    ConnectionEach,
    /// By HTTP/2 with prior knowledge, by h2load.
    H2c,
    /// By HTTP/2 over TLS, by h2load.
    H2,
    /// Unary gRPC calls by HTTP/2 with prior knowledge, by h2load.
    Grpc,
    /// Not at all: full handshakes of TLS 1.3.
    Handshakes,
    /// One over each of many connections, which are idle then: not a matter of time, but of memory.
    Idle,
    /// The same by HTTP/2 with prior knowledge.
    IdleH2c,
}

impl Driver {
    /// Whether a member can be asked in this way, without a proxy: it closes no connection by itself.
    pub(crate) fn suits_members(self) -> bool {
        self == Self::KeepAlive
    }

    /// Whether h2load sends them.
    pub(crate) fn needs_h2load(self) -> bool {
        matches!(self, Self::H2c | Self::H2 | Self::Grpc)
    }

    /// Whether it leaves connections idle, whose memory is what counts.
    pub(crate) fn leaves_idle(self) -> bool {
        matches!(self, Self::Idle | Self::IdleH2c)
    }
}

impl Kind {
    /// A request with four fields, answered with 1 KiB.
    pub(crate) const SMALL: Self = Self {
        name: "small",
        about: "Requests with 4 fields, answered with 2 fields and 1 KiB",
        driver: Driver::KeepAlive,
        requests: Requests::small,
        answer: Answer::Small,
        weight: 1,
    };

    /// What a browser sends and a web application answers.
    pub(crate) const BROWSER: Self = Self {
        name: "browser",
        about: "Requests as of a browser (14 fields with cookies, 1.3 KB), answered with 13 fields and 1 KiB",
        requests: Requests::of_a_browser,
        answer: Answer::Browser,
        ..Self::SMALL
    };

    /// A connection for each request.
    pub(crate) const CONNECTION: Self = Self {
        name: "connection",
        about: "As small, over a connection for each request (`Connection: close`)",
        driver: Driver::ConnectionEach,
        requests: Requests::closing,
        ..Self::SMALL
    };

    /// Requests with a body.
    pub(crate) const POST: Self = Self {
        name: "post",
        about: "POST requests with a body of 64 KiB, answered with 1 KiB",
        requests: Requests::posting,
        weight: 2,
        ..Self::SMALL
    };

    /// Answers that are large.
    pub(crate) const DOWNLOAD: Self = Self {
        name: "download",
        about: "Answers of 1 MiB",
        requests: Requests::of_large_answers,
        answer: Answer::Large,
        weight: 10,
        ..Self::SMALL
    };

    /// HTTP/2 without TLS.
    pub(crate) const H2C: Self = Self {
        name: "h2c",
        about: "By HTTP/2 with prior knowledge, from h2load (4 connections of 8 streams), answered with 1 KiB",
        driver: Driver::H2c,
        ..Self::SMALL
    };

    /// HTTP/2 over TLS.
    pub(crate) const H2: Self = Self {
        name: "h2",
        about: "By HTTP/2 over TLS 1.3, from h2load (4 connections of 8 streams), answered with 1 KiB",
        driver: Driver::H2,
        ..Self::SMALL
    };

    /// HTTP/2 on both sides.
    pub(crate) const GRPC: Self = Self {
        name: "grpc",
        about: "Unary gRPC calls by HTTP/2 with prior knowledge, from h2load (4 connections of 8 streams), to members that take the \
            same; a message of 25 bytes each way",
        driver: Driver::Grpc,
        ..Self::SMALL
    };

    /// Handshakes of TLS.
    pub(crate) const HANDSHAKE: Self = Self {
        name: "handshake",
        about: "No requests: full handshakes of TLS 1.3 with X25519 and ECDSA on P-256, 8 at once",
        driver: Driver::Handshakes,
        weight: 20,
        ..Self::SMALL
    };

    /// Connections that are kept and not used.
    pub(crate) const IDLE: Self = Self {
        name: "idle",
        about: "4,000 connections that wait after one request each: resident memory for one of them",
        driver: Driver::Idle,
        ..Self::SMALL
    };

    /// The same by HTTP/2.
    pub(crate) const IDLE_H2C: Self = Self {
        name: "idle-h2c",
        about: "4,000 connections by HTTP/2 with prior knowledge that wait after one request each: resident memory for one of them",
        driver: Driver::IdleH2c,
        ..Self::SMALL
    };

    /// The program's own methods, built in and as components.
    pub(crate) const SELECTORS: Self = Self {
        name: "selectors",
        about: "As small; the member is chosen by a built-in method, or by a component",
        ..Self::SMALL
    };

    /// A program of the user's.
    pub(crate) const PROGRAMMED: Self = Self {
        name: "programmed",
        about: "As small, every second request with an x-user; a program of the user's chooses the member by it",
        requests: Requests::of_users,
        ..Self::SMALL
    };
}
