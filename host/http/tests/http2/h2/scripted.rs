//! Whole exchanges by any [`Script`], with the h2 crate on the other side: what is sent is what comes, whatever else goes on on
//! the connection, and nothing is left of it. Also for the fuzz target.

use std::collections::HashMap;
use std::future::poll_fn;
use std::rc::Rc;
use std::time::Instant;

use bytes::Bytes;
use equipoise_http::http2::{Connection, ErrorCode, Options, Role, StreamId};
use equipoise_http::{Edit, Head, Version};
use h2::client::{self, SendRequest};
use h2::server::{self, SendResponse};
use h2::{Reason, RecvStream};
use http::{HeaderMap, Request, Response};
use tokio::io::{DuplexStream, duplex};
use tokio::task::spawn_local;

use super::driver::{self, Driver};
use super::peer::{Received, body, pause, read, run, send};
use super::script::{Ending, Exchange, Field, NAMES, Script};

/// Plays a script of these bytes.
///
/// # Panics
///
/// If anything does not come as it was sent.
pub(crate) fn play(bytes: &[u8]) {
    let script = Rc::new(Script::read(bytes));
    let _told = Told(Rc::clone(&script));
    run(async {
        match script.is_engine_client {
            true => engine_as_client(script).await,
            false => engine_as_server(script).await,
        }
    });
}

/// Prints a script that is not played to its end.
struct Told(Rc<Script>);

impl Drop for Told {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{:#?}", self.0);
        }
    }
}

fn engine(script: &Script, role: Role, io: DuplexStream) -> Driver {
    let defaults = Options::default();
    let window = |default| match script.has_small_windows {
        true => 65_535,
        false => default,
    };
    let options = Options {
        streams: script.streams,
        stream_window: window(defaults.stream_window),
        connection_window: window(defaults.connection_window),
        ..defaults
    };
    let mut driver = Driver::new(Connection::new(role, options, Instant::now()), io);
    driver.buffer = vec![0; script.read_size];
    driver.consumes_late = script.consumes_late;
    driver
}

// The engine as the server.

async fn engine_as_server(script: Rc<Script>) {
    let (near, far) = duplex(script.pipe);
    let server = spawn_local(serve(
        Rc::clone(&script),
        engine(&script, Role::Server, far),
    ));
    let mut builder = client::Builder::new();
    builder
        // No more than will be taken, although that is not told yet.
        .initial_max_send_streams(script.streams as usize)
        .initial_window_size(script.window)
        .header_table_size(script.table)
        .max_frame_size(script.frame);
    let (client, connection) = builder.handshake(near).await.unwrap();
    let connection = spawn_local(connection);
    let requests = (0..script.exchanges.len()).map(|index| {
        let (script, client) = (Rc::clone(&script), client.clone());
        spawn_local(async move { request(&script.exchanges[index], index, client).await })
    });
    for request in requests.collect::<Vec<_>>() {
        request.await.unwrap();
    }
    drop(client);
    connection.await.unwrap().unwrap();
    let driver = server.await.unwrap();
    assert_eq!(driver.connection.open_streams(), 0);
    assert!(driver.refused.is_empty());
    for message in driver.messages.values() {
        let (_, index) = message.start.split_once(" /").unwrap();
        let index: usize = index.parse().unwrap();
        let exchange = &script.exchanges[index];
        let start = format!("{} {}", exchange.method, Exchange::path(index));
        assert_eq!(message.start, start);
        same_fields(&exchange.request.fields, message.pairs());
        assert!(body(exchange.request.length).starts_with(&message.body));
        if exchange.ending == Ending::Whole {
            assert!(message.is_whole && message.reset.is_none(), "{message:?}");
            assert_eq!(message.body.len(), exchange.request.length);
            assert_eq!(message.has_trailers, exchange.request.has_trailers);
        }
    }
}

/// The engine responds until the client has closed.
async fn serve(script: Rc<Script>, mut driver: Driver) -> Driver {
    let mut waiting = Vec::new();
    loop {
        waiting.append(&mut driver.begun);
        waiting.retain(|&stream| {
            let message = &driver.messages[&stream.number()];
            let index: usize = message.start.split_once(" /").unwrap().1.parse().unwrap();
            let exchange = &script.exchanges[index];
            let is_due = exchange.is_early || message.is_whole;
            if message.reset.is_none() && is_due {
                respond(&mut driver, exchange, stream);
                return false;
            }
            message.reset.is_none()
        });
        if !driver.turn().await {
            return driver;
        }
    }
}

fn respond(driver: &mut Driver, exchange: &Exchange, stream: StreamId) {
    for _ in 0..exchange.interims {
        let interim = driver::response(103, &[("link", "</a>")]);
        driver::respond(driver, stream, &interim, false);
    }
    if exchange.ending == Ending::ByServer {
        return driver.reset(stream, ErrorCode::INTERNAL_ERROR);
    }
    let message = &exchange.response;
    let all: Vec<_> = message.all_fields().collect();
    let fields: Vec<_> = all.iter().map(|(name, value)| (*name, &**value)).collect();
    let head = driver::response(exchange.status, &fields);
    if exchange.ending == Ending::ByServerWithin {
        driver::respond(driver, stream, &head, false);
        let half = body(exchange.response_length() / 2);
        driver.connection.send_data(stream, &half, false).unwrap();
        return driver.reset(stream, ErrorCode::INTERNAL_ERROR);
    }
    let ends = !exchange.has_response_body() || message.is_head_alone();
    driver::respond(driver, stream, &head, ends);
    if !ends {
        driver.send(stream, body(message.length), message.has_trailers);
    }
}

/// A request by h2, and what has to come of it.
async fn request(exchange: &Exchange, index: usize, client: SendRequest<Bytes>) {
    pause(exchange.delay).await;
    let mut client = client.ready().await.unwrap();
    let uri = format!("http://a{}", Exchange::path(index));
    let mut request = Request::builder().method(exchange.method).uri(uri);
    for (name, value) in exchange.request.all_fields() {
        request = request.header(name, value);
    }
    let message = &exchange.request;
    let request = request.body(()).unwrap();
    let (mut response, mut stream) = client
        .send_request(request, message.is_head_alone())
        .unwrap();
    if let Ending::ByClient(turns) = exchange.ending {
        stream.reserve_capacity(message.length);
        pause(turns).await;
        let room = stream.capacity().min(message.length / 2);
        if !message.is_head_alone() {
            let _ = stream.send_data(Bytes::from(body(room)), false);
        }
        return stream.send_reset(Reason::CANCEL);
    }
    let (length, has_trailers, pauses) = (message.length, message.has_trailers, message.pauses);
    let is_sent = message.is_head_alone();
    let sending = spawn_local(async move {
        match is_sent {
            true => Ok(()),
            false => send(&mut stream, body(length), has_trailers, pauses).await,
        }
    });
    let mut interims = 0;
    while let Some(Ok(_)) = poll_fn(|context| response.poll_informational(context)).await {
        interims += 1;
    }
    let response = response.await;
    if let Ok(response) = &response {
        assert_eq!(response.status().as_u16(), exchange.status);
        assert_eq!(interims, exchange.interims);
        same_fields(&exchange.response.fields, pairs(response.headers()));
    }
    let received = match response {
        Ok(response) => read(response.into_body(), exchange.response.pauses).await,
        Err(error) => (Vec::new(), Err(error)),
    };
    judge_response(exchange, received);
    if exchange.ending == Ending::Whole {
        sending.await.unwrap().unwrap();
    }
}

#[track_caller]
fn judge_response(exchange: &Exchange, (received, end): Received) {
    let sent = body(exchange.response_length());
    match exchange.ending {
        Ending::Whole => {
            assert!(received == sent, "{} of {}", received.len(), sent.len());
            assert_eq!(end.unwrap(), exchange.has_response_trailers());
        }
        _ => {
            assert!(sent.starts_with(&received));
            assert_eq!(end.unwrap_err().reason(), Some(Reason::INTERNAL_ERROR));
        }
    }
}

// The engine as the client.

async fn engine_as_client(script: Rc<Script>) {
    let (near, far) = duplex(script.pipe);
    let server = spawn_local(accept(Rc::clone(&script), far));
    let mut driver = engine(&script, Role::Client, near);
    let mut begun = HashMap::new();
    let mut turns = 0;
    while !is_over(&script, &driver, &begun) {
        begin_and_reset(&script, &mut driver, &mut begun, turns);
        // Turns are counted where something is due after some.
        driver.hurries = turns < MAX_TURNS;
        assert!(driver.turn().await, "it was closed");
        turns += 1;
    }
    assert_eq!(driver.connection.open_streams(), 0);
    for (index, (stream, _)) in &begun {
        judge_received(&script.exchanges[*index], &driver, *stream);
    }
    // What is in the output still are acknowledgements.
    driver.connection.go_away();
    while driver.turn().await {}
    server.await.unwrap();
}

/// Behind it, what has not begun waits for others to end.
const MAX_TURNS: usize = 50;

/// Streams that were begun by their exchange, with the turn.
type Begun = HashMap<usize, (StreamId, usize)>;

fn is_over(script: &Script, driver: &Driver, begun: &Begun) -> bool {
    let is_over = |(index, (stream, _)): (&usize, &(StreamId, usize))| {
        let message = driver.messages.get(&stream.number());
        let is_reset = message.is_some_and(|it| it.reset.is_some());
        let is_whole = message.is_some_and(|it| it.is_whole) && !driver.is_sending(*stream);
        let is_cut = matches!(script.exchanges[*index].ending, Ending::ByClient(_));
        is_reset || is_whole || is_cut
    };
    let is_reset = |(index, (_, _)): (&usize, &(StreamId, usize))| {
        matches!(script.exchanges[*index].ending, Ending::ByClient(_))
    };
    let left = begun.iter().filter(|it| is_reset(*it)).count();
    begun.len() == script.exchanges.len()
        && begun.iter().all(is_over)
        && (left == 0 || driver.connection.open_streams() == 0)
}

fn begin_and_reset(script: &Script, driver: &mut Driver, begun: &mut Begun, turn: usize) {
    for (index, exchange) in script.exchanges.iter().enumerate() {
        match begun.get(&index) {
            None => {
                let has_room =
                    driver.connection.has_settings() && driver.connection.room_for_requests() > 0;
                if turn >= exchange.delay && has_room {
                    let stream = begin(driver, exchange, index);
                    begun.insert(index, (stream, turn));
                }
            }
            Some((stream, since)) => {
                let is_due = |turns| turn == since + 1 + turns || turn == MAX_TURNS.max(since + 1);
                if matches!(exchange.ending, Ending::ByClient(turns) if is_due(turns)) {
                    driver.reset(*stream, ErrorCode::CANCEL);
                }
            }
        }
    }
}

fn begin(driver: &mut Driver, exchange: &Exchange, index: usize) -> StreamId {
    let path = Exchange::path(index);
    let mut head = Head::new();
    head.begin_request(exchange.method.as_bytes(), path.as_bytes(), Version::Http11)
        .unwrap();
    head.push(b"Host", b"a").unwrap();
    for (name, value) in exchange.request.all_fields() {
        head.push(name.as_bytes(), value.as_bytes()).unwrap();
    }
    let message = &exchange.request;
    let is_over = message.is_head_alone();
    let connection = &mut driver.connection;
    let stream = connection.request(&head, &Edit::new(), false, None, is_over);
    let stream = stream.unwrap();
    if !is_over {
        driver.send(stream, body(message.length), message.has_trailers);
    }
    stream
}

fn judge_received(exchange: &Exchange, driver: &Driver, stream: StreamId) {
    let Some(message) = driver.messages.get(&stream.number()) else {
        return assert!(matches!(exchange.ending, Ending::ByClient(_)));
    };
    let sent = body(exchange.response_length());
    assert!(sent.starts_with(&message.body));
    if !message.start.is_empty() {
        assert_eq!(message.start, exchange.status.to_string());
        same_fields(&exchange.response.fields, message.pairs());
        assert_eq!(message.interims, vec![103; exchange.interims]);
    }
    match exchange.ending {
        Ending::Whole => {
            assert!(message.is_whole && message.reset.is_none(), "{message:?}");
            assert_eq!(message.body.len(), sent.len());
            assert_eq!(message.has_trailers, exchange.has_response_trailers());
        }
        Ending::ByServer | Ending::ByServerWithin => {
            assert_eq!(message.reset, Some(ErrorCode::INTERNAL_ERROR));
        }
        Ending::ByClient(_) => {}
    }
}

/// A server of h2; ends when the engine has closed and all was looked at.
async fn accept(script: Rc<Script>, io: DuplexStream) {
    let mut builder = server::Builder::new();
    builder
        .initial_window_size(script.window)
        .header_table_size(script.table)
        .max_frame_size(script.frame)
        .max_concurrent_streams(script.streams);
    let mut connection = builder.handshake(io).await.unwrap();
    let mut requests = Vec::new();
    while let Some(accepted) = connection.accept().await {
        let (request, respond) = accepted.unwrap();
        let script = Rc::clone(&script);
        requests.push(spawn_local(async move {
            let index: usize = request.uri().path()[1..].parse().unwrap();
            answer(&script.exchanges[index], request, respond).await;
        }));
    }
    for request in requests {
        request.await.unwrap();
    }
}

async fn answer(
    exchange: &Exchange,
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
) {
    let (parts, incoming) = request.into_parts();
    assert_eq!(parts.method, exchange.method);
    same_fields(&exchange.request.fields, pairs(&parts.headers));
    let pauses = exchange.request.pauses;
    let reading = spawn_local(read(incoming, pauses));
    let sent = match exchange.is_early {
        true => {
            let sent = respond_by_h2(exchange, &mut respond).await;
            judge_request(exchange, reading.await.unwrap());
            sent
        }
        false => {
            judge_request(exchange, reading.await.unwrap());
            respond_by_h2(exchange, &mut respond).await
        }
    };
    if exchange.ending == Ending::Whole {
        sent.unwrap();
    }
}

#[track_caller]
fn judge_request(exchange: &Exchange, (received, end): Received) {
    let sent = body(exchange.request.length);
    assert!(sent.starts_with(&received));
    if exchange.ending == Ending::Whole {
        assert_eq!(received.len(), sent.len());
        assert_eq!(end.unwrap(), exchange.request.has_trailers);
    }
}

async fn respond_by_h2(
    exchange: &Exchange,
    respond: &mut SendResponse<Bytes>,
) -> Result<(), h2::Error> {
    for _ in 0..exchange.interims {
        respond.send_informational(Response::builder().status(103).body(()).unwrap())?;
    }
    if exchange.ending == Ending::ByServer {
        respond.send_reset(Reason::INTERNAL_ERROR);
        return Ok(());
    }
    let message = &exchange.response;
    let mut response = Response::builder().status(exchange.status);
    for (name, value) in message.all_fields() {
        response = response.header(name, value);
    }
    let response = response.body(()).unwrap();
    let is_within = exchange.ending == Ending::ByServerWithin;
    let ends = !is_within && (!exchange.has_response_body() || message.is_head_alone());
    let mut stream = respond.send_response(response, ends)?;
    if is_within {
        pause(message.pauses).await;
        stream.send_reset(Reason::INTERNAL_ERROR);
        return Ok(());
    }
    if ends {
        return Ok(());
    }
    let (length, has_trailers) = (message.length, message.has_trailers);
    send(&mut stream, body(length), has_trailers, message.pauses).await
}

// Both.

fn pairs(fields: &HeaderMap) -> Vec<(String, String)> {
    let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let fields = fields.iter();
    fields
        .map(|(name, value)| (name.to_string(), text(value)))
        .collect()
}

/// That of each name all values came, in their order.
#[track_caller]
fn same_fields(sent: &[Field], received: Vec<(String, String)>) {
    for name in NAMES {
        let sent = sent.iter().filter(|it| it.name == name);
        let received = received.iter().filter(|it| it.0 == name);
        let (sent, received) = (sent.map(|it| it.value()), received.map(|it| it.1.clone()));
        assert!(sent.eq(received), "{name}");
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]
        #[test]
        fn what_is_sent_is_what_comes_whatever_the_script(bytes in vec(any::<u8>(), 0..300)) {
            super::play(&bytes);
        }
    }
}
