//! What the load sends.

use std::sync::Arc;

/// The path of most requests.
pub(crate) const SMALL: &str = "/catalogue/item?id=17";

/// The beginning of paths that are answered as a web application answers a browser.
pub(crate) const BROWSER: &str = "/shop/";

/// The path that is answered at length.
pub(crate) const LARGE: &str = "/download/large";

/// The fields every client has.
const FIELDS: &str = "Host: bench.test\r\n\
    User-Agent: side-by-side/1\r\n\
    Accept: */*\r\n\
    Accept-Encoding: gzip\r\n";

/// 14 fields, with their line 1,291 bytes.
const OF_A_BROWSER: &str = "GET /shop/products/1234567?category=books&sort=price&page=2 HTTP/1.1\r\n\
    Host: bench.test\r\n\
    Connection: keep-alive\r\n\
    sec-ch-ua: \"Chromium\";v=\"126\", \"Not.A/Brand\";v=\"24\", \"Google Chrome\";v=\"126\"\r\n\
    sec-ch-ua-mobile: ?0\r\n\
    sec-ch-ua-platform: \"Windows\"\r\n\
    Upgrade-Insecure-Requests: 1\r\n\
    User-Agent: Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36\r\n\
    Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8\r\n\
    Sec-Fetch-Site: same-origin\r\n\
    Sec-Fetch-Mode: navigate\r\n\
    Referer: https://bench.test/shop/products?category=books\r\n\
    Accept-Encoding: gzip, deflate, br, zstd\r\n\
    Accept-Language: en-GB,en-US;q=0.9,en;q=0.8,de;q=0.7\r\n\
    Cookie: session=0123456789abcdef0123456789abcdef.web1; _ga=GA1.2.1234567890.1700000000; _gid=GA1.2.987654321.1700000001; \
    consent=eyJ2ZXJzaW9uIjoxLCJuZWNlc3NhcnkiOnRydWUsInN0YXRpc3RpY3MiOmZhbHNlLCJtYXJrZXRpbmciOmZhbHNlfQ; theme=dark; \
    cart=MTIzNDU2Nzo0LDc2NTQzMjE6MSw5ODc2NTQzOjI; last_seen=1700000002; currency=EUR; locale=en-GB; experiment=variant-b; \
    csrftoken=ZmVkY2JhOTg3NjU0MzIxMGZlZGNiYTk4NzY1NDMyMTA; \
    abtest=MGZlZGNiYTk4NzY1NDMyMTBmZWRjYmE5ODc2NTQzMjEwZmVkY2JhOTg3NjU0MzIxMGZlZGNiYTk4NzY1NDMyMTBmZWRjYmE5ODc2NTQz; \
    recent=1234567.7654321.9876543.3456789.2345678.8765432\r\n\r\n";

/// Length of the bodies that [`Requests::posting`] sends.
const POSTED_BYTES: usize = 64 * 1024;

/// Different users in [`Requests::of_users`].
const USERS: usize = 100;

/// A list of requests, which every connection goes through again and again.
#[derive(Debug, Clone)]
pub(crate) struct Requests(Arc<[Vec<u8>]>);

impl Requests {
    /// With the fields that every client has.
    pub(crate) fn small() -> Self {
        Self::of(get(SMALL, ""))
    }

    /// What a browser sends within a site that knows it.
    pub(crate) fn of_a_browser() -> Self {
        Self::of(OF_A_BROWSER.to_owned())
    }

    /// After each of which the proxy closes the connection.
    pub(crate) fn closing() -> Self {
        Self::of(get(SMALL, "Connection: close\r\n"))
    }

    /// With a body.
    pub(crate) fn posting() -> Self {
        let length = format!("Content-Length: {POSTED_BYTES}\r\n");
        let mut request = request("POST", SMALL, &length).into_bytes();
        request.resize(request.len() + POSTED_BYTES, b'p');
        Self(Arc::new([request]))
    }

    /// For what is large.
    pub(crate) fn of_large_answers() -> Self {
        Self::of(get(LARGE, ""))
    }

    /// Every second request names its user, one out of a hundred, in the header field x-user.
    pub(crate) fn of_users() -> Self {
        let pair = |user| {
            let named = get(SMALL, &format!("x-user: user-{user:02}\r\n"));
            [named, get(SMALL, "")].map(String::into_bytes)
        };
        Self((0..USERS).flat_map(pair).collect())
    }

    /// One request for all.
    fn of(request: String) -> Self {
        Self(Arc::new([request.into_bytes()]))
    }

    /// The request at this position of the list, which begins anew at its end.
    pub(crate) fn at(&self, position: usize) -> &[u8] {
        &self.0[position % self.0.len()]
    }
}

fn get(path: &str, lines: &str) -> String {
    request("GET", path, lines)
}

/// A head with these lines behind the fields that every client has.
fn request(method: &str, path: &str, lines: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\n{FIELDS}{lines}\r\n")
}
