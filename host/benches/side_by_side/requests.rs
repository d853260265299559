//! What the load sends.

use std::sync::Arc;

/// What a browser-like client sends, cut down to the fields every client has.
const REQUEST: &str = "GET /catalogue/item?id=17 HTTP/1.1\r\n\
    Host: bench.test\r\n\
    User-Agent: side-by-side/1\r\n\
    Accept: */*\r\n\
    Accept-Encoding: gzip\r\n";

/// Different users in [`Requests::of_users`].
const USERS: usize = 100;

/// A list of requests, which every connection goes through again and again.
#[derive(Debug, Clone)]
pub(crate) struct Requests(Arc<[String]>);

impl Requests {
    /// One request for all.
    pub(crate) fn all_alike() -> Self {
        Self(Arc::new([format!("{REQUEST}\r\n")]))
    }

    /// Every second request names its user, one out of a hundred, in the header field x-user.
    pub(crate) fn of_users() -> Self {
        let pair = |user| {
            [
                format!("{REQUEST}x-user: user-{user:02}\r\n\r\n"),
                format!("{REQUEST}\r\n"),
            ]
        };
        Self((0..USERS).flat_map(pair).collect())
    }

    /// The request at this position of the list, which begins anew at its end.
    pub(crate) fn at(&self, position: usize) -> &[u8] {
        self.0[position % self.0.len()].as_bytes()
    }
}
