//! The members behind every proxy: two listeners that answer any request with a canned response, all of whose body is one
//! letter: the member's.
//!
//! One thread serves both, and does as little as it can for each request, so that the proxy in front is what is measured.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::thread;

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime;

/// Length of every response's body.
pub(crate) const BODY_BYTES: usize = 1024;

/// The two members. Their thread ends with the program.
#[derive(Debug)]
pub(crate) struct Origin {
    /// Where they listen.
    pub(crate) members: [SocketAddr; 2],
}

impl Origin {
    /// Binds both listeners and serves them from a thread of their own.
    pub(crate) fn start() -> Result<Self> {
        let listeners = [bind()?, bind()?];
        let members = [listeners[0].local_addr()?, listeners[1].local_addr()?];
        thread::Builder::new()
            .name("origin".to_owned())
            .spawn(move || serve(listeners))
            .context("starting the origin's thread")?;
        Ok(Self { members })
    }
}

fn bind() -> Result<std::net::TcpListener> {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

fn serve(listeners: [std::net::TcpListener; 2]) {
    let runtime = runtime::Builder::new_current_thread().enable_io().build();
    runtime.expect("a runtime for the origin").block_on(async {
        let spawn = |listener, letter| {
            let listener = TcpListener::from_std(listener).expect("the listener is non-blocking");
            tokio::spawn(accept(listener, response(letter).into()))
        };
        let [first, second] = listeners;
        let _ = tokio::join!(spawn(first, b'x'), spawn(second, b'y'));
    });
}

async fn accept(listener: TcpListener, response: Arc<[u8]>) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(answer(stream, response.clone()));
    }
}

/// Answers requests without a body until the proxy closes the connection.
async fn answer(mut stream: TcpStream, response: Arc<[u8]>) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut head = Vec::with_capacity(4096);
    loop {
        if stream.read_buf(&mut head).await? == 0 {
            return Ok(());
        }
        if head.ends_with(b"\r\n\r\n") {
            head.clear();
            stream.write_all(&response).await?;
        }
    }
}

fn response(letter: u8) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {BODY_BYTES}\r\n\r\n"
    );
    let mut response = head.into_bytes();
    response.resize(response.len() + BODY_BYTES, letter);
    response
}
