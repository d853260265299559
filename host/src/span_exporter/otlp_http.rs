//! One POST of OTLP over HTTP.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, USER_AGENT};
use http::{HeaderValue, Method, Request};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::full_body::FullBody;
use equipoise_config::TraceEndpoint;

/// Sends a batch on a connection of its own.
///
/// # Errors
/// Why the collector does not have it, in words.
pub(super) async fn send(endpoint: &TraceEndpoint, body: Vec<u8>) -> Result<(), String> {
    let stream = TcpStream::connect((endpoint.host.as_str(), endpoint.port)).await;
    let stream = stream.map_err(|error| format!("no connection: {error}"))?;
    let opened = http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = opened.map_err(|error| error.to_string())?;
    // It ends when `sender` is dropped.
    tokio::spawn(connection);
    let response = sender.send_request(request(endpoint, body)).await;
    let status = response.map_err(|error| error.to_string())?.status();
    match status.is_success() {
        true => Ok(()),
        false => Err(format!("the collector responded {status}")),
    }
}

fn request(endpoint: &TraceEndpoint, body: Vec<u8>) -> Request<FullBody> {
    let mut request = Request::new(FullBody::from(Bytes::from(body)));
    *request.method_mut() = Method::POST;
    // A path that was checked.
    *request.uri_mut() = endpoint.path.parse().unwrap_or_default();
    let host = HeaderValue::from_str(endpoint.authority.as_str());
    let headers = request.headers_mut();
    headers.insert(HOST, host.unwrap_or(HeaderValue::from_static("")));
    let kind = HeaderValue::from_static("application/x-protobuf");
    headers.insert(CONTENT_TYPE, kind);
    headers.insert(USER_AGENT, HeaderValue::from_static("equipoise"));
    request
}
