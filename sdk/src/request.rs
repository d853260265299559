//! The request being balanced.

use std::borrow::Cow;
use std::net::IpAddr;

/// The request as a policy sees it: its head, as the client sent it.
///
/// Bytes that are not UTF-8 appear as U+FFFD.
pub trait Request {
    /// The method, such as `GET`.
    fn method(&self) -> Cow<'_, str>;

    /// The path of the request target, percent-encoded, without the query.
    fn path(&self) -> Cow<'_, str>;

    /// The query without its `?`, if there is one.
    fn query(&self) -> Option<Cow<'_, str>>;

    /// The value of a header field, by case-insensitive name. Several lines are joined by `, ` (`Cookie` by `; `).
    fn header(&self, name: &str) -> Option<Cow<'_, str>>;

    /// The client's address: the remote end of the connection. An IPv4-mapped IPv6 address appears as IPv4.
    fn client_address(&self) -> IpAddr;

    /// The number of this attempt: 1 for the first, more for retries.
    fn attempt(&self) -> u32;

    /// The ids of the members that failed earlier attempts. They are candidates only when no other member is left.
    fn tried(&self) -> &[u32];

    /// The value of a cookie, by case-sensitive name; see [`cookie::find`](crate::cookie::find) for what counts as one.
    fn cookie(&self, name: &str) -> Option<String> {
        let header = self.header("cookie")?;
        crate::cookie::find(&header, name).map(str::to_owned)
    }

    /// The [hash](crate::hash::bytes) of the value that [`header`](Self::header) returns: the cheap way to be sticky.
    fn header_hash(&self, name: &str) -> Option<u32> {
        let value = self.header(name)?;
        Some(crate::hash::bytes(value.as_bytes()))
    }

    /// The [hash](crate::hash::bytes) of [`client_address`](Self::client_address) as text.
    fn client_hash(&self) -> u32 {
        crate::hash::bytes(self.client_address().to_string().as_bytes())
    }
}
