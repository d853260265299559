//! The members behind every proxy: two listeners that answer requests with canned responses, all of whose body is one letter:
//! the member's. Two more answer [gRPC calls](grpc).
//!
//! One thread serves all of them, and does as little as it can for each request, so that the proxy in front is what is measured.

use std::future;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::thread;

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime;

use crate::grpc;
use crate::requests::{BROWSER, LARGE};

/// Fields of an application's answer, without its length; with the length they are 13.
const OF_AN_APPLICATION: &str = "Server: nginx/1.22.1\r\n\
    Date: Mon, 01 Jan 2024 00:00:00 GMT\r\n\
    Content-Type: text/html; charset=utf-8\r\n\
    Connection: keep-alive\r\n\
    Vary: Accept-Encoding, Cookie\r\n\
    Cache-Control: private, max-age=0, must-revalidate\r\n\
    ETag: W/\"5f3a-18cc2f3a8f0\"\r\n\
    Last-Modified: Sun, 31 Dec 2023 23:59:59 GMT\r\n\
    Set-Cookie: session=0123456789abcdef0123456789abcdef.web1; Path=/; HttpOnly; Secure; SameSite=Lax\r\n\
    Strict-Transport-Security: max-age=31536000; includeSubDomains\r\n\
    X-Content-Type-Options: nosniff\r\n\
    X-Frame-Options: SAMEORIGIN\r\n";

/// Which response a request gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Two fields and 1 KiB.
    Small,
    /// 13 fields and 1 KiB.
    Browser,
    /// Two fields and 1 MiB.
    Large,
}

impl Answer {
    const ALL: [Self; 3] = [Self::Small, Self::Browser, Self::Large];

    /// The one to a request that begins like this.
    fn to(head: &[u8]) -> Self {
        let target = head.splitn(3, |byte| *byte == b' ').nth(1);
        match target.unwrap_or_default() {
            target if target.starts_with(BROWSER.as_bytes()) => Self::Browser,
            target if target.starts_with(LARGE.as_bytes()) => Self::Large,
            _ => Self::Small,
        }
    }

    /// Length of its body.
    pub(crate) fn body_bytes(self) -> usize {
        match self {
            Self::Small | Self::Browser => 1024,
            Self::Large => 1024 * 1024,
        }
    }

    /// The whole of it, from the member of this letter.
    fn response(self, letter: u8) -> Vec<u8> {
        let fields = match self {
            Self::Small | Self::Large => "Content-Type: text/plain\r\n",
            Self::Browser => OF_AN_APPLICATION,
        };
        let length = self.body_bytes();
        let head = format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: {length}\r\n\r\n");
        let mut response = head.into_bytes();
        response.resize(response.len() + length, letter);
        response
    }
}

/// The two members. Their thread ends with the program.
#[derive(Debug)]
pub(crate) struct Origin {
    /// Where they listen.
    pub(crate) members: [SocketAddr; 2],
    /// Where they do for gRPC calls, by HTTP/2.
    pub(crate) called: [SocketAddr; 2],
}

impl Origin {
    /// Binds the listeners and serves them from a thread of their own.
    pub(crate) fn start() -> Result<Self> {
        let asked = [bind()?, bind()?];
        let members = [asked[0].local_addr()?, asked[1].local_addr()?];
        let for_calls = [bind()?, bind()?];
        let called = [for_calls[0].local_addr()?, for_calls[1].local_addr()?];
        thread::Builder::new()
            .name("origin".to_owned())
            .spawn(move || serve(asked, for_calls))
            .context("starting the origin's thread")?;
        Ok(Self { members, called })
    }
}

fn bind() -> Result<std::net::TcpListener> {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

fn serve(asked: [std::net::TcpListener; 2], for_calls: [std::net::TcpListener; 2]) {
    let runtime = runtime::Builder::new_current_thread().enable_io().build();
    runtime.expect("a runtime for the origin").block_on(async {
        let listen = |listener| TcpListener::from_std(listener).expect("it is non-blocking");
        let answer = |listener, letter| {
            let responses = Answer::ALL.map(|answer| answer.response(letter));
            accept(listen(listener), Arc::new(responses))
        };
        for (listener, letter) in asked.into_iter().zip(LETTERS) {
            tokio::spawn(answer(listener, letter));
        }
        for (listener, letter) in for_calls.into_iter().zip(LETTERS) {
            tokio::spawn(grpc::accept(listen(listener), letter));
        }
        future::pending::<()>().await;
    });
}

/// Those of the members.
const LETTERS: [u8; 2] = [b'x', b'y'];

/// What a member answers, in the order of [`Answer::ALL`].
type Responses = Arc<[Vec<u8>; 3]>;

async fn accept(listener: TcpListener, responses: Responses) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(answer(stream, responses.clone()));
    }
}

/// Answers requests, each when all of it is there, until the proxy closes the connection.
async fn answer(mut stream: TcpStream, responses: Responses) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut received = Vec::with_capacity(128 * 1024);
    loop {
        if stream.read_buf(&mut received).await? == 0 {
            return Ok(());
        }
        if is_complete(&received) {
            let response = &responses[Answer::to(&received) as usize];
            received.clear();
            stream.write_all(response).await?;
        }
    }
}

/// Whether all of a request is there: its head, and a body as long as that says.
fn is_complete(received: &[u8]) -> bool {
    let Some(end) = memchr::memmem::find(received, b"\r\n\r\n") else {
        return false;
    };
    let (head, body) = (&received[..end], &received[end + 4..]);
    // Almost all of them are without a body.
    head.starts_with(b"GET ") || body.len() >= content_length(head)
}

/// What the head says of its body's length; 0 where it says nothing.
fn content_length(head: &[u8]) -> usize {
    let lines = head.split(|byte| *byte == b'\n');
    let mut values = lines.filter_map(|line| {
        let (name, value) = line.split_at_checked("content-length:".len())?;
        let value = name
            .eq_ignore_ascii_case(b"content-length:")
            .then_some(value)?;
        std::str::from_utf8(value).ok()?.trim().parse().ok()
    });
    values.next().unwrap_or(0)
}
