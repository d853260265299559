//! A sample member: a small HTTP/1.1 server that remembers what it was asked and misbehaves as told.

use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use socket2::{Domain, SockRef, Socket, Type};

use super::wire::{Body, Framing, Head, Wire, pattern};
use super::{WAIT_TIMEOUT, duration, eventually};

/// Something a member does in answering a request.
pub type Act = fn(&mut Exchange);

type Handler = dyn Fn(&mut Exchange) + Send + Sync;

/// A member. It answers every request with its name unless told otherwise, and stops when it is dropped.
pub struct Origin {
    address: SocketAddr,
    shared: Arc<Shared>,
    socket: Listening,
}

/// Whether a member listens.
enum Listening {
    /// The port is kept, and connections to it are refused.
    No(Socket),
    /// The thread that accepts connections ends at the next one once the flag is set.
    Yes(Arc<AtomicBool>, JoinHandle<()>),
}

/// A member that is not started yet.
pub struct Unstarted {
    name: String,
    handler: Box<Handler>,
    forgets: bool,
}

/// A request as the member got it.
#[derive(Debug, Clone)]
pub struct Request {
    /// The request line and the fields.
    pub head: Head,
    /// What follows them.
    pub body: Body,
    /// Every byte of it, framing included.
    pub raw: Vec<u8>,
    /// How far it has come.
    pub state: State,
    /// How many requests came before it on its connection.
    pub position: usize,
}

/// How far a request has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Its head is there.
    Open,
    /// It is there to its last byte.
    Complete,
    /// It broke off before its end.
    Aborted,
    /// The member left before it read it to its end.
    Unread,
}

impl Request {
    /// The method.
    pub fn method(&self) -> &str {
        self.head.start.split(' ').next().unwrap_or_default()
    }

    /// The request target.
    pub fn target(&self) -> &str {
        self.head.start.split(' ').nth(1).unwrap_or_default()
    }
}

/// What a member remembers.
#[derive(Default)]
pub struct Log {
    /// The requests whose head came, in that order.
    pub requests: Vec<Request>,
    /// How many connections were made in all.
    pub connections: usize,
    /// The connections that are open.
    open: Vec<Weak<TcpStream>>,
}

impl Log {
    /// How many connections are open.
    pub fn open(&self) -> usize {
        self.open
            .iter()
            .filter(|weak| weak.strong_count() > 0)
            .count()
    }
}

struct Shared {
    name: String,
    address: SocketAddr,
    handler: Box<Handler>,
    /// Whether requests are not remembered.
    forgets: bool,
    log: Mutex<Log>,
    changed: Condvar,
    /// Bytes of the pattern that were sent.
    streamed: AtomicU64,
}

impl Origin {
    /// A member that answers with `name`.
    pub fn named(name: &str) -> Unstarted {
        duration::note();
        Unstarted {
            name: name.to_owned(),
            handler: Box::new(|exchange| {
                let name = exchange.name().to_owned();
                exchange.answer(&name);
            }),
            forgets: false,
        }
    }

    /// A member that answers with `name`, started.
    pub fn live(name: &str) -> Self {
        Self::named(name).start()
    }

    /// A member that refuses connections.
    pub fn dead() -> Self {
        Self::named("dead").refusing()
    }

    /// Members that answer with their names, `b1` to as many as wanted.
    pub fn some<const COUNT: usize>() -> [Self; COUNT] {
        std::array::from_fn(|index| Self::named(&format!("b{}", index + 1)).start())
    }

    /// The address it listens at, or would.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its URL, without a slash at the end.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How many requests have come.
    pub fn hits(&self) -> usize {
        self.shared.log().requests.len()
    }

    /// How many bytes [`Exchange::stream`] has sent.
    pub fn streamed(&self) -> u64 {
        self.shared.streamed.load(Ordering::Relaxed)
    }

    /// The request that came as number `index`, once it is complete or broken off.
    #[track_caller]
    pub fn request(&self, index: usize) -> Request {
        self.when(&format!("request {index}"), |log| {
            let request = log.requests.get(index)?;
            (request.state != State::Open).then(|| request.clone())
        })
    }

    /// The only request that came, once it is complete or broken off.
    #[track_caller]
    pub fn only_request(&self) -> Request {
        let request = self.request(0);
        assert_eq!(self.hits(), 1, "requests at {}", self.shared.name);
        request
    }

    /// Waits until as many requests have come.
    #[track_caller]
    pub fn await_hits(&self, count: usize) {
        self.when(&format!("{count} requests"), |log| {
            (log.requests.len() >= count).then_some(())
        });
    }

    /// Waits until no connection is open.
    #[track_caller]
    pub fn await_no_connection(&self) {
        self.when("no connection", |log| (log.open() == 0).then_some(()));
    }

    /// Waits until the log has what is looked for.
    #[track_caller]
    pub fn when<T>(&self, what: &str, mut found: impl FnMut(&Log) -> Option<T>) -> T {
        let mut result = None;
        let look = |log: &mut Log| {
            result = found(log);
            result.is_none()
        };
        let log = self.shared.log();
        let waited = self
            .shared
            .changed
            .wait_timeout_while(log, WAIT_TIMEOUT, look);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
        let name = &self.shared.name;
        result.unwrap_or_else(|| panic!("{name} waited in vain: {what}"))
    }

    /// Closes every connection.
    pub fn disconnect(&self) {
        for stream in self.shared.log().open.iter().filter_map(Weak::upgrade) {
            // One that is closed already is as wanted.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Stops listening and closes every connection; from now on connections are refused.
    pub fn stop(&mut self) {
        self.wake_to_stop();
        let Listening::Yes(_, thread) =
            std::mem::replace(&mut self.socket, Listening::No(unbound(Domain::IPV4)))
        else {
            return;
        };
        thread
            .join()
            .expect("the accepting thread has nothing to panic about");
        self.socket = Listening::No(bound(self.address));
        self.disconnect();
    }

    /// Listens, if it does not yet.
    pub fn listen(&mut self) {
        if let Listening::No(socket) = &self.socket {
            socket.listen(1024).expect("a bound socket can listen");
            let listener = socket.try_clone().expect("a socket can be cloned").into();
            self.socket = accept(listener, Arc::clone(&self.shared));
        }
    }

    fn wake_to_stop(&self) {
        if let Listening::Yes(stop, _) = &self.socket {
            stop.store(true, Ordering::SeqCst);
            let _ = TcpStream::connect_timeout(&self.address, Duration::from_secs(1));
        }
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.wake_to_stop();
        self.disconnect();
    }
}

impl Unstarted {
    /// Treats every request so.
    pub fn answering(mut self, handler: impl Fn(&mut Exchange) + Send + Sync + 'static) -> Self {
        self.handler = Box::new(handler);
        self
    }

    /// Keeps nothing from one request to the next, so that there can be any number of them.
    pub fn forgetting(mut self) -> Self {
        self.forgets = true;
        self
    }

    /// Reads every request, sends these bytes whatever it was, and keeps the connection.
    pub fn saying(self, bytes: impl AsRef<[u8]> + Send + Sync + 'static) -> Self {
        self.answering(move |exchange| {
            exchange.read_body();
            exchange.send(&bytes);
        })
    }

    /// Reads every request, sends these bytes whatever it was, and closes the connection.
    pub fn saying_last(self, bytes: impl AsRef<[u8]> + Send + Sync + 'static) -> Self {
        self.answering(move |exchange| {
            exchange.read_body();
            exchange.send(&bytes);
            exchange.close();
        })
    }

    /// A member that listens.
    pub fn start(self) -> Origin {
        let mut origin = self.refusing();
        origin.listen();
        origin
    }

    /// A member that listens at this address of this machine.
    pub fn start_at(self, address: SocketAddr) -> Origin {
        let mut origin = self.refusing_at(address);
        origin.listen();
        origin
    }

    /// A member that refuses connections until it is told to listen.
    pub fn refusing(self) -> Origin {
        self.refusing_at(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
    }

    fn refusing_at(self, address: SocketAddr) -> Origin {
        let socket = bound(address);
        let address = socket
            .local_addr()
            .ok()
            .and_then(|address| address.as_socket());
        let address = address.expect("a bound socket has an address");
        Origin {
            address,
            shared: Arc::new(Shared {
                name: self.name,
                address,
                handler: self.handler,
                forgets: self.forgets,
                log: Mutex::default(),
                changed: Condvar::new(),
                streamed: AtomicU64::new(0),
            }),
            socket: Listening::No(socket),
        }
    }
}

fn unbound(domain: Domain) -> Socket {
    let socket = Socket::new(domain, Type::STREAM, None).expect("a socket");
    socket
        .set_reuse_address(true)
        .expect("a socket takes options");
    socket
}

/// A socket that has its port but does not listen, so that connections are refused.
fn bound(address: SocketAddr) -> Socket {
    // A program that is just being started has a copy of the old listener for a moment.
    eventually("the port is free", || {
        let socket = unbound(Domain::for_address(address));
        socket.bind(&address.into()).ok().map(|()| socket)
    })
}

fn accept(listener: TcpListener, shared: Arc<Shared>) -> Listening {
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let thread = thread::spawn(move || {
        for stream in listener.incoming() {
            if stopped.load(Ordering::SeqCst) {
                return;
            }
            let Ok(stream) = stream else { continue };
            let shared = Arc::clone(&shared);
            thread::spawn(move || shared.serve(Arc::new(stream)));
        }
    });
    Listening::Yes(stop, thread)
}

impl Shared {
    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn update<T>(&self, change: impl FnOnce(&mut Log) -> T) -> T {
        let result = change(&mut self.log());
        self.changed.notify_all();
        result
    }

    fn serve(self: &Arc<Self>, stream: Arc<TcpStream>) {
        self.update(|log| {
            log.connections += 1;
            log.open.retain(|other| other.strong_count() > 0);
            log.open.push(Arc::downgrade(&stream));
        });
        self.serve_requests(Wire::new(stream));
        self.update(|_| ());
    }

    fn serve_requests(self: &Arc<Self>, mut wire: Wire) {
        let mut position = 0;
        // Whatever ends the connection, the tests look at what was asked, not at how the connection ended.
        while let Ok(Some(head)) = wire.head() {
            let mut exchange = Exchange::begin(Arc::clone(self), wire, head, position);
            (self.handler)(&mut exchange);
            exchange.read_body();
            if exchange.over {
                return;
            }
            wire = exchange.wire;
            position += 1;
        }
    }
}

/// A request being answered. What cannot be sent or read because the connection is gone is skipped silently.
pub struct Exchange {
    shared: Arc<Shared>,
    wire: Wire,
    /// The head of the request.
    pub head: Head,
    /// How many requests came to the member before this one.
    pub number: usize,
    /// How many requests came on this connection before this one.
    pub position: usize,
    /// The body, once it was read.
    body: Option<Body>,
    over: bool,
}

impl Exchange {
    fn begin(shared: Arc<Shared>, mut wire: Wire, head: Head, position: usize) -> Self {
        let request = Request {
            head: head.clone(),
            body: Body::default(),
            raw: wire.record(),
            state: State::Open,
            position,
        };
        let number = shared.update(|log| {
            let number = log.requests.len();
            log.requests.extend((!shared.forgets).then_some(request));
            number
        });
        Self {
            shared,
            wire,
            head,
            number,
            position,
            body: None,
            over: false,
        }
    }

    /// The member's name.
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// Where the member listens.
    pub fn address(&self) -> SocketAddr {
        self.shared.address
    }

    /// The method of the request.
    pub fn method(&self) -> &str {
        self.head.start.split(' ').next().unwrap_or_default()
    }

    /// The target of the request.
    pub fn target(&self) -> &str {
        self.head.start.split(' ').nth(1).unwrap_or_default()
    }

    /// Reads the body to its end; whatever comes of it can be seen in the member's log.
    pub fn read_body(&mut self) -> Body {
        if let Some(body) = &self.body {
            return body.clone();
        }
        let mut body = Body::default();
        let state = match self.head.request_framing() {
            Ok(Framing::Length(0)) => State::Complete,
            Ok(_) if self.over => State::Unread,
            Ok(framing) if self.wire.body(framing, &mut body).is_ok() => State::Complete,
            _ => State::Aborted,
        };
        self.over |= state != State::Complete;
        self.record(&body, state);
        self.body.insert(body).clone()
    }

    fn record(&mut self, body: &Body, state: State) {
        let raw = self.wire.record();
        self.shared.update(|log| {
            // None of a member that forgets.
            if let Some(request) = log.requests.get_mut(self.number) {
                request.body = body.clone();
                request.raw.extend(raw);
                request.state = state;
            }
        });
    }

    /// Sends bytes as they are.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.over = self.over || self.wire.send(bytes.as_ref()).is_err();
    }

    /// Reads the request to its end and answers 200 with this body.
    pub fn answer(&mut self, body: &str) {
        self.respond("200 OK", body);
    }

    /// Reads the request to its end and answers with this status line (and fields behind it) and this body.
    pub fn respond(&mut self, status_and_fields: &str, body: &str) {
        self.read_body();
        let length = body.len();
        let body = if self.method() == "HEAD" { "" } else { body };
        self.send(format!(
            "HTTP/1.1 {status_and_fields}\r\nContent-Length: {length}\r\n\r\n{body}"
        ));
    }

    /// Reads the request to its end and answers 200 with `length` bytes of the pattern, as fast as they are taken.
    pub fn stream(&mut self, length: u64) {
        self.read_body();
        self.send(format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n"
        ));
        self.send_pattern(length);
    }

    /// As [`stream`](Self::stream), in chunks.
    pub fn stream_chunked(&mut self, length: u64) {
        self.read_body();
        self.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        let mut offset = 0;
        while offset < length && !self.over {
            let piece = pattern(offset, length - offset);
            let size = format!("{:x}\r\n", piece.len());
            self.send([size.as_bytes(), piece, b"\r\n"].concat());
            offset += piece.len() as u64;
        }
        self.send("0\r\n\r\n");
    }

    /// Sends `length` bytes of the pattern.
    pub fn send_pattern(&mut self, length: u64) {
        let streamed = &self.shared.streamed;
        let sent = self.wire.send_pattern(length, |count| {
            streamed.fetch_add(count as u64, Ordering::Relaxed);
        });
        self.over |= sent.is_err();
    }

    /// Answers 200 with the body of the request, of known length, while it comes.
    pub fn echo(&mut self) {
        let length = self.head.field("content-length").unwrap_or("0").to_owned();
        self.send(format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n"
        ));
        let mut missing = length.parse().unwrap_or(0);
        while missing > 0 && !self.over {
            match self.wire.some(missing) {
                Ok(piece) => {
                    missing -= piece.len() as u64;
                    self.send(piece);
                }
                Err(_) => self.over = true,
            }
        }
        self.record(&Body::default(), State::Complete);
        self.body = Some(Body::default());
    }

    /// Sends back whatever comes, until the end of it.
    pub fn echo_bytes(&mut self) {
        while !self.over {
            match self.wire.some(u64::MAX) {
                Ok(piece) => self.send(piece),
                Err(_) => self.over = true,
            }
        }
    }

    /// Whether anything, or the end, comes within this time.
    pub fn hears_within(&mut self, time: Duration) -> bool {
        self.wire.hears_within(time)
    }

    /// Does nothing more until the other side closes the connection.
    pub fn stall(&mut self) {
        let _ = self.wire.drain();
        self.over = true;
    }

    /// Closes the connection.
    pub fn close(&mut self) {
        self.over = true;
    }

    /// Closes the connection so that the other side sees a reset.
    pub fn reset(&mut self) {
        let _ = SockRef::from(self.wire.stream()).set_linger(Some(Duration::ZERO));
        self.over = true;
    }
}
