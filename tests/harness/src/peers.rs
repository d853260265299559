//! Clients and members by one interface, whichever version of HTTP they speak: HTTP/1 by hand, HTTP/2 by the h2 crate.

use std::fmt;
use std::future::{Future, pending, poll_fn};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::mpsc::channel;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Handle};
use tokio::time::timeout;

use super::http2::send;
use super::origin::{self, State};
use super::wire::Head;
use super::{Client, Exchange, Origin, WAIT_TIMEOUT, eventually};

/// What a peer speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2 with prior knowledge.
    Http2,
}

impl fmt::Display for Version {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Http1 => "HTTP/1",
            Self::Http2 => "HTTP/2",
        })
    }
}

/// Names and values, in order.
pub type Fields = Vec<(String, String)>;

/// A request or a response, to be sent or as it came.
#[derive(Debug, Clone)]
pub struct Message {
    /// Method and target, or the status.
    pub start: String,
    /// To be sent: those besides `Host` and what frames the body. As they came: all of them; the host of HTTP/2 is `host`.
    pub fields: Fields,
    /// The content, without framing.
    pub body: Vec<u8>,
    /// Whether the length of the body is told before it.
    pub is_told: bool,
    /// The fields behind the body.
    pub trailers: Fields,
    /// Whether it came to its end.
    pub is_whole: bool,
}

impl Message {
    /// One without a body.
    pub fn of(start: &str) -> Self {
        Self {
            start: start.to_owned(),
            fields: Fields::new(),
            body: Vec::new(),
            is_told: true,
            trailers: Fields::new(),
            is_whole: true,
        }
    }

    /// The same with a field more.
    pub fn field(mut self, name: &str, value: &str) -> Self {
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The same with this body, whose length is told.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// The same, whose length is not told.
    pub fn untold(mut self) -> Self {
        self.is_told = false;
        self
    }

    /// The same with a trailer more, for which the length is not told.
    pub fn trailer(mut self, name: &str, value: &str) -> Self {
        self.trailers.push((name.to_owned(), value.to_owned()));
        self.untold()
    }

    /// Every value of a field, in order.
    pub fn all(&self, name: &str) -> Vec<&str> {
        let named = |field: &&(String, String)| field.0.eq_ignore_ascii_case(name);
        let values = self.fields.iter().filter(named);
        values.map(|(_, value)| value.as_str()).collect()
    }

    /// The only value of a field.
    #[track_caller]
    pub fn value(&self, name: &str) -> Option<&str> {
        let values = self.all(name);
        assert!(values.len() < 2, "more than one {name}: {values:?}");
        values.first().copied()
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    fn status(&self) -> u16 {
        self.start.parse().expect("a status")
    }

    /// Whether it is an answer that cannot have a body.
    fn is_bodiless(&self) -> bool {
        matches!(&*self.start, "204" | "304")
    }

    /// The trailers as they are named in lower case.
    pub fn lower_trailers(&self) -> Vec<(String, &str)> {
        let trailers = self.trailers.iter();
        let lower = trailers.map(|(name, value)| (name.to_ascii_lowercase(), value.as_str()));
        lower.collect()
    }

    /// As HTTP/1 has it, with this first line. `left` bytes of the body will never come.
    fn as_http1(&self, first_line: &str, left: usize) -> Vec<u8> {
        let mut head = format!("{first_line}\r\n");
        for (name, value) in &self.fields {
            head += &format!("{name}: {value}\r\n");
        }
        let length = self.body.len() + left;
        if self.is_bodiless() {
            return (head + "\r\n").into_bytes();
        }
        if self.is_told {
            let is_answer = first_line.starts_with("HTTP/");
            if (length > 0 || is_answer) && self.value("content-length").is_none() {
                head += &format!("Content-Length: {length}\r\n");
            }
            return [(head + "\r\n").as_bytes(), &self.body].concat();
        }
        let mut bytes = (head + "Transfer-Encoding: chunked\r\n\r\n").into_bytes();
        for piece in self.body.chunks(10_000) {
            bytes.extend(format!("{:x}\r\n", piece.len()).bytes());
            bytes.extend_from_slice(piece);
            bytes.extend(b"\r\n");
        }
        if left == 0 {
            bytes.extend(b"0\r\n");
            for (name, value) in &self.trailers {
                bytes.extend(format!("{name}: {value}\r\n").bytes());
            }
            bytes.extend(b"\r\n");
        }
        bytes
    }

    /// The fields as HTTP/2 has them. `left` bytes of the body will never come.
    fn as_headers(&self, left: usize, is_answer: bool) -> HeaderMap {
        let mut headers = map(&self.fields);
        let length = self.body.len() + left;
        if self.is_told && !self.is_bodiless() && (length > 0 || is_answer) {
            headers.insert("content-length", length.into());
        }
        headers
    }
}

fn map(fields: &Fields) -> HeaderMap {
    let pairs = fields.iter().map(|(name, value)| {
        let name = HeaderName::from_bytes(name.as_bytes()).expect("a name");
        (name, HeaderValue::from_str(value).expect("a value"))
    });
    let mut map = HeaderMap::new();
    pairs.for_each(|(name, value)| _ = map.append(name, value));
    map
}

fn fields(map: &HeaderMap) -> Fields {
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    map.iter()
        .map(|(name, value)| (name.to_string(), text(value)))
        .collect()
}

fn is_told(fields: &Fields) -> bool {
    let mut names = fields.iter().map(|(name, _)| name);
    names.any(|name| name.eq_ignore_ascii_case("content-length"))
}

/// Where those who speak HTTP/2 live, whatever the tests do meanwhile.
static RUNTIME: LazyLock<Handle> = LazyLock::new(|| {
    let (told, handle) = channel();
    thread::spawn(move || {
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("a runtime");
        told.send(runtime.handle().clone()).expect("it is awaited");
        runtime.block_on(pending::<()>());
    });
    handle.recv().expect("a runtime")
});

fn wait_for<T>(future: impl Future<Output = T>) -> T {
    let bounded = async { timeout(WAIT_TIMEOUT, future).await };
    RUNTIME.block_on(bounded).expect("it takes too long")
}

/// A client, on one connection; on another one where HTTP/1 has closed it.
pub struct Peer {
    address: SocketAddr,
    connection: Connection,
}

enum Connection {
    Http1(Client),
    Http2(SendRequest<Bytes>),
}

impl Peer {
    /// Connects.
    #[track_caller]
    pub fn connect(version: Version, address: SocketAddr) -> Self {
        let connection = match version {
            Version::Http1 => Connection::Http1(Client::connect(address)),
            Version::Http2 => Connection::Http2(wait_for(async move {
                let stream = TcpStream::connect(address).await.expect("a connection");
                let handshake = h2::client::handshake(stream).await;
                let (client, connection) = handshake.expect("HTTP/2");
                RUNTIME.spawn(connection);
                client
            })),
        };
        Self {
            address,
            connection,
        }
    }

    /// Sends a request and reads its answer, which may break off.
    ///
    /// # Errors
    /// There is none: the connection is closed, or the stream reset.
    pub fn exchange(&mut self, request: &Message) -> io::Result<Message> {
        self.exchange_but(request, 0)
    }

    /// The same for a request that never ends: `left` bytes of its body are not sent.
    pub fn exchange_but(&mut self, request: &Message, left: usize) -> io::Result<Message> {
        match &mut self.connection {
            Connection::Http1(client) => {
                let first_line = format!("{} HTTP/1.1\r\nHost: lb.test", request.start);
                let _ = client.try_send(request.as_http1(&first_line, left));
                let response = client.try_response(&request.start)?;
                let is_closed = response.field("connection") == Some("close");
                let answer = Message {
                    start: response.status().to_string(),
                    is_told: is_told(&response.head.fields),
                    fields: response.head.fields,
                    body: response.body.bytes,
                    trailers: response.body.trailers,
                    is_whole: response.complete,
                };
                if is_closed || !answer.is_whole {
                    *client = Client::connect(self.address);
                }
                Ok(answer)
            }
            Connection::Http2(client) => {
                let answer = wait_for(ask(client.clone(), request, left));
                answer.map_err(io::Error::other)
            }
        }
    }

    /// Sends a request, hears so many interim responses, and then the answer.
    pub fn exchange_hearing(&mut self, request: &Message, count: usize) -> Vec<Message> {
        match &mut self.connection {
            Connection::Http1(client) => {
                let first_line = format!("{} HTTP/1.1\r\nHost: lb.test", request.start);
                client.send(request.as_http1(&first_line, 0));
                let interims = (0..count).map(|_| of_interim(client.interim()));
                let interims: Vec<_> = interims.collect();
                assert_eq!(client.response().status(), 200);
                interims
            }
            Connection::Http2(client) => wait_for(hear(client.clone(), request, count)),
        }
    }
}

fn of_interim(head: Head) -> Message {
    Message {
        fields: head.fields,
        ..Message::of(&head.start[9..12])
    }
}

fn of_request(request: &Message) -> Request<()> {
    let (method, target) = request.start.split_once(' ').expect("a method");
    let mut head = Request::new(());
    *head.method_mut() = Method::from_bytes(method.as_bytes()).expect("a method");
    *head.uri_mut() = format!("http://lb.test{target}").parse().expect("an URL");
    *head.headers_mut() = request.as_headers(0, false);
    head
}

async fn ask(
    client: SendRequest<Bytes>,
    request: &Message,
    left: usize,
) -> Result<Message, h2::Error> {
    let mut head = of_request(request);
    *head.headers_mut() = request.as_headers(left, false);
    let is_whole = request.body.is_empty() && request.trailers.is_empty() && left == 0;
    let (answer, mut stream) = client.ready().await?.send_request(head, is_whole)?;
    if !is_whole {
        // The other side may not want all of it.
        let _ = send(&mut stream, Bytes::from(request.body.clone())).await;
        if left == 0 && request.trailers.is_empty() {
            let _ = stream.send_data(Bytes::new(), true);
        } else if left == 0 {
            let _ = stream.send_trailers(map(&request.trailers));
        }
    }
    let (head, body) = answer.await?.into_parts();
    let mut answer = Message::of(head.status.as_str());
    answer.fields = fields(&head.headers);
    answer.is_told = is_told(&answer.fields);
    receive(&mut answer, body).await;
    Ok(answer)
}

async fn hear(client: SendRequest<Bytes>, request: &Message, count: usize) -> Vec<Message> {
    let mut client = client.ready().await.expect("room for a request");
    let (mut answer, _) = client.send_request(of_request(request), true).unwrap();
    let mut interims = Vec::new();
    for _ in 0..count {
        let interim = poll_fn(|context| answer.poll_informational(context)).await;
        let interim = interim.expect("an interim response").expect("a head");
        interims.push(Message {
            fields: fields(interim.headers()),
            ..Message::of(interim.status().as_str())
        });
    }
    assert_eq!(answer.await.expect("an answer").status(), 200);
    interims
}

/// Reads a body, as far as it comes.
async fn receive(message: &mut Message, mut body: RecvStream) {
    message.is_whole = false;
    while let Some(piece) = body.data().await {
        let Ok(piece) = piece else { return };
        let _ = body.flow_control().release_capacity(piece.len());
        message.body.extend(piece);
    }
    if let Ok(trailers) = body.trailers().await {
        message.trailers = trailers.as_ref().map(fields).unwrap_or_default();
        message.is_whole = true;
    }
}

/// What a member does with a request, of which it has the head.
#[derive(Debug, Clone)]
pub enum Reply {
    /// Reads it to its end, and answers.
    Whole(Message),
    /// Answers before it has read it.
    Early(Message),
    /// Reads it to its end, and answers with all but the end.
    Part(Message),
    /// Reads it to its end, and breaks off.
    Nothing,
}

type Handler = dyn Fn(&Message) -> Reply + Send + Sync;

/// A member, which remembers its requests.
pub enum Member {
    /// One that speaks HTTP/1.1.
    Http1(Origin),
    /// One that speaks HTTP/2.
    Http2(Arc<Two>),
}

/// A member that speaks HTTP/2.
pub struct Two {
    address: SocketAddr,
    handler: Box<Handler>,
    /// Those that have come to their ends.
    requests: Mutex<Vec<Message>>,
}

/// How many bytes of a body never come where it is sent in part.
const MISSING: usize = 10;

impl Member {
    /// A member that treats its requests so.
    pub fn start(
        version: Version,
        handler: impl Fn(&Message) -> Reply + Send + Sync + 'static,
    ) -> Self {
        match version {
            Version::Http1 => Self::Http1(
                Origin::named("peer")
                    .answering(move |exchange| answer_http1(exchange, &handler))
                    .start(),
            ),
            Version::Http2 => Self::Http2(wait_for(Two::start(Box::new(handler)))),
        }
    }

    /// Its URL.
    pub fn url(&self) -> String {
        match self {
            Self::Http1(origin) => origin.url(),
            Self::Http2(two) => format!("h2c://{}", two.address),
        }
    }

    /// Its address, as `Host` has it.
    pub fn authority(&self) -> String {
        match self {
            Self::Http1(origin) => origin.address().to_string(),
            Self::Http2(two) => two.address.to_string(),
        }
    }

    /// The request with this number, once it has come to an end.
    #[track_caller]
    pub fn request(&self, number: usize) -> Message {
        match self {
            Self::Http1(origin) => of_origin(origin.request(number)),
            Self::Http2(two) => eventually("a request", || two.requests().get(number).cloned()),
        }
    }

    /// How many requests have come whole.
    pub fn whole_requests(&self) -> usize {
        match self {
            Self::Http1(origin) => origin.when("requests", |log| {
                let states = log.requests.iter().map(|it| it.state);
                Some(states.filter(|it| *it == State::Complete).count())
            }),
            Self::Http2(two) => two.requests().iter().filter(|it| it.is_whole).count(),
        }
    }
}

fn of_origin(request: origin::Request) -> Message {
    let mut message = of_head(&request.head);
    message.body = request.body.bytes;
    message.trailers = request.body.trailers;
    message.is_whole = request.state == State::Complete;
    message
}

fn of_head(head: &Head) -> Message {
    let mut message = Message::of(head.start.trim_end_matches(" HTTP/1.1"));
    message.fields.clone_from(&head.fields);
    message.is_told = is_told(&message.fields);
    message
}

fn answer_http1(exchange: &mut Exchange, handler: &impl Fn(&Message) -> Reply) {
    let reply = handler(&of_head(&exchange.head));
    if !matches!(reply, Reply::Early(_)) {
        exchange.read_body();
    }
    let left = match reply {
        Reply::Part(_) => MISSING,
        _ => 0,
    };
    match reply {
        Reply::Whole(mut answer) | Reply::Early(mut answer) | Reply::Part(mut answer) => {
            let first_line = format!("HTTP/1.1 {} Status", answer.status());
            if exchange.method() == "HEAD" {
                let length = answer.body.len().to_string();
                answer = answer.field("Content-Length", &length).body("");
            }
            exchange.send(answer.as_http1(&first_line, left));
            if left > 0 {
                // What is buffered has to have gone before the end, which HTTP/2 may say at once.
                exchange.hears_within(Duration::from_millis(100));
            }
        }
        Reply::Nothing => exchange.close(),
    }
    if left > 0 {
        exchange.close();
    }
}

impl Two {
    async fn start(handler: Box<Handler>) -> Arc<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
        let listener = listener.expect("a port");
        let two = Arc::new(Self {
            address: listener.local_addr().expect("an address"),
            handler,
            requests: Mutex::default(),
        });
        let theirs = two.clone();
        RUNTIME.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                RUNTIME.spawn(theirs.clone().serve(stream));
            }
        });
        two
    }

    fn requests(&self) -> std::sync::MutexGuard<'_, Vec<Message>> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn serve(self: Arc<Self>, stream: TcpStream) {
        let Ok(mut connection) = h2::server::handshake(stream).await else {
            return;
        };
        while let Some(Ok((request, respond))) = connection.accept().await {
            RUNTIME.spawn(self.clone().answer(request, respond));
        }
    }

    async fn answer(self: Arc<Self>, request: Request<RecvStream>, respond: SendResponse<Bytes>) {
        let (head, body) = request.into_parts();
        let target = head.uri.path_and_query().map_or("*", |it| it.as_str());
        let mut message = Message::of(&format!("{} {target}", head.method));
        message.fields = fields(&head.headers);
        if let Some(authority) = head.uri.authority() {
            message = message.field("host", authority.as_str());
        }
        message.is_told = is_told(&message.fields);
        let reply = (self.handler)(&message);
        if let Reply::Early(answer) = reply {
            reply_with(respond, &answer, head.method == Method::HEAD, 0).await;
            receive(&mut message, body).await;
            self.requests().push(message);
            return;
        }
        receive(&mut message, body).await;
        self.requests().push(message);
        let is_head = head.method == Method::HEAD;
        match reply {
            Reply::Whole(answer) | Reply::Early(answer) => {
                reply_with(respond, &answer, is_head, 0).await;
            }
            Reply::Part(answer) => reply_with(respond, &answer, is_head, MISSING).await,
            Reply::Nothing => {
                let mut respond = respond;
                respond.send_reset(Reason::INTERNAL_ERROR);
            }
        }
    }
}

/// Sends an answer. What cannot be sent is not wanted any more.
async fn reply_with(
    mut respond: SendResponse<Bytes>,
    answer: &Message,
    is_head: bool,
    left: usize,
) {
    let mut head = Response::new(());
    *head.status_mut() = answer.status().try_into().expect("a status");
    *head.headers_mut() = answer.as_headers(left, true);
    let has_body = !answer.body.is_empty() || !answer.trailers.is_empty();
    let is_over = is_head || !has_body && left == 0;
    let Ok(mut stream) = respond.send_response(head, is_over) else {
        return;
    };
    if is_over {
        return;
    }
    let _ = send(&mut stream, Bytes::from(answer.body.clone())).await;
    if left > 0 {
        // What is buffered has to have gone before the reset, which drops what waits.
        tokio::time::sleep(Duration::from_millis(100)).await;
        stream.send_reset(Reason::INTERNAL_ERROR);
    } else if answer.trailers.is_empty() {
        let _ = stream.send_data(Bytes::new(), true);
    } else {
        let _ = stream.send_trailers(map(&answer.trailers));
    }
}
