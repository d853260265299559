//! What heads cost in instructions, beside httparse: run under callgrind, which counts what is between two runs of different
//! lengths.
//!
//!     host/http/examples/count
//!
//! prints this table: user instructions for one head, and how often memory is allocated for 2,000 of them. `browser` has 14
//! fields with cookies in 1,302 bytes, `small` has 3 in 85 bytes, and the responses to them have 13 and 4. "Pass on" is: read
//! it, leave out what concerns one connection, set `Host`, add four fields, and write it; with httparse, read it into a table
//! on the stack and copy the same fields one by one, as the simplest proxy would.
//!
//! | head | read | httparse | pass on | httparse and copy | allocations |
//! |---|--:|--:|--:|--:|--:|
//! | small | 1290 | 1038 | 2080 | 1877 | 0 |
//! | browser | 4133 | 4072 | 5217 | 6218 | 0 |
//! | small-response | 1225 | 1201 | 1515 | 1738 | 0 |
//! | browser-response | 3054 | 3253 | 3551 | 4691 | 0 |
//!
//! What is read here is also judged: host, length and codings, and whether the connection is kept; and every name that is known
//! has its number, so that a look-up is one step. httparse looks at lines alone.

use std::env;
use std::hint::black_box;
use std::mem::MaybeUninit;

use equipoise_http::edit::HOP_BY_HOP;
use equipoise_http::http1::{HeadEvent, RequestReader, ResponseReader};
use equipoise_http::{Edit, Fields, Head, Known, KnownSet, Limits, Method};
use httparse::Header;

const SMALL: &[u8] = b"GET /index.html HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nUser-Agent: load/1.0\r\nAccept: */*\r\n\r\n";

const BROWSER: &[u8] = b"GET /shop/products/1234567?category=books&sort=price&page=2 HTTP/1.1\r\n\
Host: shop.example.com\r\n\
Connection: keep-alive\r\n\
sec-ch-ua: \"Chromium\";v=\"126\", \"Not.A/Brand\";v=\"24\", \"Google Chrome\";v=\"126\"\r\n\
sec-ch-ua-mobile: ?0\r\n\
sec-ch-ua-platform: \"Windows\"\r\n\
Upgrade-Insecure-Requests: 1\r\n\
User-Agent: Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36\r\n\
Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8\r\n\
Sec-Fetch-Site: same-origin\r\n\
Sec-Fetch-Mode: navigate\r\n\
Referer: https://shop.example.com/shop/products?category=books\r\n\
Accept-Encoding: gzip, deflate, br, zstd\r\n\
Accept-Language: en-GB,en-US;q=0.9,en;q=0.8,de;q=0.7\r\n\
Cookie: session=0123456789abcdef0123456789abcdef.web1; _ga=GA1.2.1234567890.1700000000; _gid=GA1.2.987654321.1700000001; \
consent=eyJ2ZXJzaW9uIjoxLCJuZWNlc3NhcnkiOnRydWUsInN0YXRpc3RpY3MiOmZhbHNlLCJtYXJrZXRpbmciOmZhbHNlfQ; theme=dark; \
cart=MTIzNDU2Nzo0LDc2NTQzMjE6MSw5ODc2NTQzOjI; last_seen=1700000002; currency=EUR; locale=en-GB; experiment=variant-b; \
csrftoken=ZmVkY2JhOTg3NjU0MzIxMGZlZGNiYTk4NzY1NDMyMTA; \
abtest=MGZlZGNiYTk4NzY1NDMyMTBmZWRjYmE5ODc2NTQzMjEwZmVkY2JhOTg3NjU0MzIxMGZlZGNiYTk4NzY1NDMyMTBmZWRjYmE5ODc2NTQz; \
recent=1234567.7654321.9876543.3456789.2345678.8765432\r\n\r\n";

const SMALL_RESPONSE: &[u8] =
    b"HTTP/1.1 200 OK\r\nServer: origin\r\nDate: Mon, 01 Jan 2024 00:00:00 GMT\r\n\
Content-Type: text/plain\r\nContent-Length: 1024\r\n\r\n";

const BROWSER_RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\n\
Server: nginx/1.22.1\r\n\
Date: Mon, 01 Jan 2024 00:00:00 GMT\r\n\
Content-Type: text/html; charset=utf-8\r\n\
Content-Length: 1024\r\n\
Connection: keep-alive\r\n\
Vary: Accept-Encoding, Cookie\r\n\
Cache-Control: private, max-age=0, must-revalidate\r\n\
ETag: W/\"5f3a-18cc2f3a8f0\"\r\n\
Last-Modified: Sun, 31 Dec 2023 23:59:59 GMT\r\n\
Set-Cookie: session=0123456789abcdef0123456789abcdef.web1; Path=/; HttpOnly; Secure; SameSite=Lax\r\n\
Strict-Transport-Security: max-age=31536000; includeSubDomains\r\n\
X-Content-Type-Options: nosniff\r\n\
X-Frame-Options: SAMEORIGIN\r\n\r\n";

/// What a proxy leaves out of requests.
const LEFT_OUT: KnownSet = HOP_BY_HOP.union(KnownSet::of(&[
    Known::Proxy,
    Known::ClientCert,
    Known::XForwardedFor,
    Known::XForwardedHost,
    Known::XForwardedProto,
]));

struct Case {
    reader: RequestReader,
    responses: ResponseReader,
    head: Head,
    edit: Edit,
    out: Vec<u8>,
    /// What is added to all requests of a connection, and to all heads.
    connection: Fields,
    via: Fields,
}

impl Case {
    fn request(&mut self, bytes: &[u8]) {
        let (used, event) = self.reader.head(bytes, &mut self.head);
        assert!(used == bytes.len() && event == HeadEvent::Head);
    }

    fn pass_request_on(&mut self, bytes: &[u8]) {
        self.request(bytes);
        let Self {
            head,
            edit,
            out,
            connection,
            via,
            ..
        } = self;
        edit.clear();
        edit.leave_out(LEFT_OUT);
        edit.leave_out_named_in_connection(head);
        edit.set(head, Known::Host, b"10.0.0.1:8080");
        // What is the same for all of a connection's requests is made once.
        edit.add_all(connection);
        let host = head.get(Known::Host).unwrap_or_default();
        edit.add(Known::XForwardedHost, host);
        if head.has(Known::Via) {
            edit.append(head, Known::Via, b"1.1 equipoise");
        } else {
            edit.add_all(via);
        }
        out.clear();
        edit.write(head, out);
    }

    fn response(&mut self, bytes: &[u8]) {
        self.responses.expect_response_to(Method::Head);
        let (used, event) = self.responses.head(bytes, &mut self.head);
        assert!(used == bytes.len() && event == HeadEvent::Head);
    }

    fn pass_response_on(&mut self, bytes: &[u8]) {
        self.response(bytes);
        let Self {
            head,
            edit,
            out,
            via,
            ..
        } = self;
        edit.clear();
        edit.leave_out(HOP_BY_HOP);
        edit.leave_out_named_in_connection(head);
        if head.has(Known::Via) {
            edit.append(head, Known::Via, b"1.1 equipoise");
        } else {
            edit.add_all(via);
        }
        out.clear();
        edit.write(head, out);
    }
}

fn httparse_request(bytes: &[u8], out: &mut Vec<u8>, is_passed_on: bool) {
    let mut fields = [const { MaybeUninit::<Header<'_>>::uninit() }; 100];
    let mut request = httparse::Request::new(&mut []);
    let parsed = request.parse_with_uninit_headers(bytes, &mut fields);
    assert_eq!(parsed, Ok(httparse::Status::Complete(bytes.len())));
    black_box(&request);
    if !is_passed_on {
        return;
    }
    out.clear();
    let (method, path) = (
        request.method.unwrap_or_default(),
        request.path.unwrap_or_default(),
    );
    for part in [method, " ", path, " HTTP/1.1\r\n"] {
        out.extend_from_slice(part.as_bytes());
    }
    let mut host = &b""[..];
    for field in request.headers.iter() {
        let name = field.name.as_bytes();
        let is = |other: &str| name.eq_ignore_ascii_case(other.as_bytes());
        match name.len() {
            4 if is("host") => host = field.value,
            10 if is("connection") || is("keep-alive") => {}
            15 if is("x-forwarded-for") => {}
            16 if is("x-forwarded-host") => {}
            17 if is("x-forwarded-proto") || is("transfer-encoding") => {}
            _ => write_field(out, name, field.value),
        }
    }
    write_field(out, b"Host", b"10.0.0.1:8080");
    write_field(out, b"X-Forwarded-For", b"192.0.2.1");
    write_field(out, b"X-Forwarded-Host", host);
    write_field(out, b"X-Forwarded-Proto", b"http");
    write_field(out, b"Via", b"1.1 equipoise");
    out.extend_from_slice(b"\r\n");
}

fn httparse_response(bytes: &[u8], out: &mut Vec<u8>, is_passed_on: bool) {
    let mut fields = [const { MaybeUninit::<Header<'_>>::uninit() }; 100];
    let mut response = httparse::Response::new(&mut []);
    let parser = httparse::ParserConfig::default();
    let parsed = parser.parse_response_with_uninit_headers(&mut response, bytes, &mut fields);
    assert_eq!(parsed, Ok(httparse::Status::Complete(bytes.len())));
    black_box(&response);
    if !is_passed_on {
        return;
    }
    out.clear();
    out.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
    for field in response.headers.iter() {
        let name = field.name.as_bytes();
        let is = |other: &str| name.eq_ignore_ascii_case(other.as_bytes());
        match name.len() {
            10 if is("connection") || is("keep-alive") => {}
            17 if is("transfer-encoding") => {}
            _ => write_field(out, name, field.value),
        }
    }
    write_field(out, b"Via", b"1.1 equipoise");
    out.extend_from_slice(b"\r\n");
}

fn write_field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

fn fields(pairs: &[(&str, &str)]) -> Fields {
    let mut fields = Fields::default();
    for (name, value) in pairs {
        let pushed = fields.push(name.as_bytes(), value.as_bytes());
        assert!(pushed.is_ok(), "{name} is a field");
    }
    fields
}

fn main() {
    let mut arguments = env::args().skip(1);
    let (what, times) = (arguments.next().unwrap_or_default(), arguments.next());
    let times: u32 = times.and_then(|times| times.parse().ok()).unwrap_or(1000);
    let mut case = Case {
        reader: RequestReader::new(Limits::default()),
        responses: ResponseReader::new(Limits::default()),
        head: Head::new(),
        edit: Edit::new(),
        out: Vec::with_capacity(4096),
        connection: fields(&[
            ("x-forwarded-for", "192.0.2.1"),
            ("x-forwarded-proto", "http"),
        ]),
        via: fields(&[("via", "1.1 equipoise")]),
    };
    let (head, way) = what.split_once('/').unwrap_or((&what, ""));
    let bytes = match head {
        "small" => SMALL,
        "browser" => BROWSER,
        "small-response" => SMALL_RESPONSE,
        _ => BROWSER_RESPONSE,
    };
    let run: fn(&mut Case, &[u8]) = match (bytes[0], way) {
        (b'G', "read") => Case::request,
        (b'G', "pass-on") => Case::pass_request_on,
        (b'G', "httparse/read") => |case, bytes| httparse_request(bytes, &mut case.out, false),
        (b'G', _) => |case, bytes| httparse_request(bytes, &mut case.out, true),
        (_, "read") => Case::response,
        (_, "pass-on") => Case::pass_response_on,
        (_, "httparse/read") => |case, bytes| httparse_response(bytes, &mut case.out, false),
        _ => |case, bytes| httparse_response(bytes, &mut case.out, true),
    };
    for _ in 0..times {
        black_box(run)(&mut case, black_box(bytes));
        black_box(&case.out);
    }
}
