//! What a client got.

use std::fmt;
use std::io;

use equipoise_harness::Response;

/// An answer, or the lack of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    /// `None` when the connection was closed without a response.
    pub(crate) status: Option<u16>,
    /// The fields of its head.
    pub(crate) fields: Vec<(String, String)>,
    /// Its body.
    pub(crate) body: String,
}

impl Answer {
    /// What a client made of it: what came of a response, if any did.
    pub(crate) fn of(response: io::Result<Response>) -> Self {
        match response {
            Ok(response) => Self {
                status: Some(response.status()),
                body: response.text(),
                fields: response.head.fields,
            },
            Err(_) => Self {
                status: None,
                fields: Vec::new(),
                body: String::new(),
            },
        }
    }

    /// Every value of a field, in order.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        all(&self.fields, name)
    }

    /// The member that answered.
    pub(crate) fn served_by(&self) -> Option<&str> {
        self.all("served-by").first().copied()
    }

    /// The fields of the request as the member got it: its answer's body, where the test did not ask for another.
    pub(crate) fn at_member(&self) -> Vec<(String, String)> {
        parse_fields(
            self.body
                .split_once("\r\n")
                .map_or("", |(_, fields)| fields),
        )
    }

    /// The first line of the request as the member got it.
    pub(crate) fn request_line(&self) -> &str {
        self.body.lines().next().unwrap_or_default()
    }

    /// The value of the session cookie that the server set itself, with its route.
    fn session(&self) -> Option<&str> {
        self.all("set-cookie")
            .into_iter()
            .find_map(|cookie| cookie.split(';').next()?.strip_prefix("SID="))
    }
}

impl fmt::Display for Answer {
    /// The word for this answer, as the crate's documentation explains it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.status, self.served_by()) {
            (None, _) => f.write_str("closed")?,
            (Some(200), Some(member)) => f.write_str(member)?,
            (Some(status), Some(member)) => write!(f, "{member}:{status}")?,
            (Some(status), None) => write!(f, "{status}")?,
        }
        self.session()
            .map_or(Ok(()), |session| write!(f, "+{session}"))
    }
}

/// Every value of a field among `fields`, in order.
pub(crate) fn all<'a>(fields: &'a [(String, String)], name: &str) -> Vec<&'a str> {
    fields
        .iter()
        .filter(|(field, _)| field.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.as_str())
        .collect()
}

fn parse_fields(text: &str) -> Vec<(String, String)> {
    text.lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
        .collect()
}
