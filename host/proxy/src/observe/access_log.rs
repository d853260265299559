//! Access log: one line a request, written when its response has ended.

use std::fmt::{Display, Write as _};

use anyhow::Result;
use equipoise_balancer::Selection;
use equipoise_http::{Head, Known};
use equipoise_sdk::Affinity;
use serde_json::json;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use tokio::time::Instant;

use crate::downstream::Client;
use equipoise_config::{self as config, LogFormat, Sink};
use equipoise_log::{Output, Writer};

/// Where request lines go, and how they look. A clone writes to the same place.
///
/// A line says of a request what is in its head, so `limits.header-size` bounds it.
#[derive(Debug, Clone)]
pub struct AccessLog {
    writer: Writer,
    format: LogFormat,
}

impl AccessLog {
    /// Opens the log.
    ///
    /// # Errors
    /// The file cannot be opened for appending.
    pub fn open(config: &config::AccessLog, output: &mut Output) -> Result<Self> {
        let writer = match &config.sink {
            Sink::Stdout => output.stdout(),
            Sink::File(path) => output.append_to(path)?,
        };
        Ok(Self {
            writer,
            format: config.format,
        })
    }
}

/// The entry of one request. Written when dropped.
#[derive(Debug)]
pub(crate) struct Entry {
    log: AccessLog,
    time: OffsetDateTime,
    started: Instant,
    client: String,
    request: String,
    host: Option<String>,
    referer: Option<String>,
    user_agent: Option<String>,
    status: u16,
    bytes: u64,
    /// Milliseconds until the head of the response was there.
    first_byte_ms: f64,
    /// The member that was selected last.
    member: Option<String>,
    route: Option<String>,
    session_route: Option<String>,
    route_changed: bool,
    attempts: u32,
    error: Option<String>,
}

impl Entry {
    /// A request that begins now.
    pub(crate) fn new(log: &AccessLog, client: &Client, request: &Head) -> Self {
        Self {
            log: log.clone(),
            time: OffsetDateTime::now_utc(),
            started: Instant::now(),
            client: client.address.ip().to_string(),
            request: start_line(request),
            host: text(request, Known::Host),
            referer: text(request, Known::Referer),
            user_agent: text(request, Known::UserAgent),
            status: 0,
            bytes: 0,
            first_byte_ms: 0.0,
            member: None,
            route: None,
            session_route: None,
            route_changed: false,
            attempts: 0,
            error: None,
        }
    }

    /// A member was selected.
    pub(crate) fn record_selection(&mut self, choice: &Selection, session: Option<&Affinity>) {
        let settings = &choice.lease.member().settings;
        self.member = Some(settings.name.clone());
        self.route.clone_from(&settings.route);
        // A key may be a secret.
        self.session_route = match session {
            Some(Affinity::Route(route)) => Some(route.clone()),
            Some(Affinity::Key(_)) | None => None,
        };
        self.route_changed = choice.route_changed;
        self.attempts += 1;
    }

    /// The request failed.
    pub(crate) fn record_error(&mut self, failure: &dyn Display) {
        self.error = Some(failure.to_string());
    }

    /// The head of the response is there.
    pub(crate) fn record_response(&mut self, status: u16) {
        self.status = status;
        self.first_byte_ms = self.elapsed_ms();
    }

    /// So many bytes of the response body passed.
    pub(crate) fn count_bytes(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
    }

    /// The response was aborted within its body.
    pub(crate) fn record_abort(&mut self, error: &dyn Display) {
        self.error = Some(error.to_string());
    }

    fn elapsed_ms(&self) -> f64 {
        (self.started.elapsed().as_secs_f64() * 1e6).round() / 1e3
    }

    fn line(&self) -> String {
        match self.log.format {
            LogFormat::Combined => self.combined(),
            LogFormat::Json => self.json(),
            LogFormat::Decision => self.decision(),
        }
    }

    /// Apache's combined format, then: member, its route, the session's route, tries, milliseconds to the head of the
    /// answer and to its end, and the error.
    fn combined(&self) -> String {
        let format = format_description!(
            "[day]/[month repr:short]/[year]:[hour]:[minute]:[second] [offset_hour sign:mandatory][offset_minute]"
        );
        let time = self.time.format(format).unwrap_or_default();
        let mut line = format!("{} - - [{time}] ", self.client);
        let quoted = |line: &mut String, text: Option<&str>| {
            line.push('"');
            line.push_str(&escaped(text.unwrap_or("-")));
            line.push('"');
        };
        quoted(&mut line, Some(&self.request));
        let _ = write!(line, " {} {} ", self.status, self.bytes);
        quoted(&mut line, self.referer.as_deref());
        line.push(' ');
        quoted(&mut line, self.user_agent.as_deref());
        for field in [&self.member, &self.route, &self.session_route] {
            let _ = write!(
                line,
                " {}",
                field
                    .as_deref()
                    .map_or_else(|| "-".to_owned(), escaped_word)
            );
        }
        let _ = write!(
            line,
            " {} {:.3} {:.3} ",
            self.attempts,
            self.first_byte_ms,
            self.elapsed_ms()
        );
        quoted(&mut line, self.error.as_deref());
        line
    }

    fn json(&self) -> String {
        json!({
            "time": self.time.format(&Rfc3339).unwrap_or_default(),
            "client": self.client,
            "request": self.request,
            "host": self.host,
            "referer": self.referer,
            "user_agent": self.user_agent,
            "status": self.status,
            "bytes": self.bytes,
            "member": self.member,
            "route": self.route,
            "session_route": self.session_route,
            "route_changed": self.route_changed,
            "attempts": self.attempts,
            "first_byte_ms": self.first_byte_ms,
            "duration_ms": self.elapsed_ms(),
            "error": self.error,
        })
        .to_string()
    }

    /// Who was chosen, for people to read.
    fn decision(&self) -> String {
        let member = self.member.as_deref().unwrap_or("nobody");
        let route = self
            .route
            .as_deref()
            .map_or_else(String::new, |route| format!(" (route {route})"));
        let why = match (&self.session_route, self.route_changed) {
            (Some(session), false) => format!("session of route {session}"),
            (Some(session), true) => format!("session of route {session} moves"),
            (None, _) => "no session, by method".to_owned(),
        };
        let tries = if self.attempts == 1 {
            String::new()
        } else {
            format!(", {} tries", self.attempts)
        };
        let error = self
            .error
            .as_deref()
            .map_or_else(String::new, |error| format!(": {error}"));
        let request = escaped(&self.request);
        format!(
            "{request} -> {member}{route}, {why}{tries}: {} in {:.1} ms{error}",
            self.status,
            self.elapsed_ms()
        )
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.log.writer.write(&self.line());
    }
}

/// Method, target and version; of a head that was refused, what there is of them.
fn start_line(request: &Head) -> String {
    if !request.is_request() {
        return "-".to_owned();
    }
    let method = String::from_utf8_lossy(request.method_bytes());
    let target = String::from_utf8_lossy(request.target());
    format!("{method} {target} {}", request.version().text())
}

fn text(request: &Head, name: Known) -> Option<String> {
    let value = request.get(name)?;
    Some(String::from_utf8_lossy(value).into_owned())
}

/// The text with quotes, backslashes and control characters escaped, so that no line can be forged.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '"' | '\\' => escaped.extend(['\\', character]),
            character if character.is_control() => {
                let _ = write!(escaped, "\\x{:02x}", u32::from(character));
            }
            character => escaped.push(character),
        }
    }
    escaped
}

/// As [`escaped`], in one word.
fn escaped_word(text: &str) -> String {
    escaped(text).replace(' ', "\\x20")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_fields_cannot_be_forged() {
        assert_eq!(escaped("a\"b\\c\r\nd\u{85}"), "a\\\"b\\\\c\\x0d\\x0ad\\x85");
        assert_eq!(escaped_word("a b\n"), "a\\x20b\\x0a");
    }
}
