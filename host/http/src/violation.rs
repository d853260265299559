//! Violations of HTTP that are refused, with their status and their name in metrics.

use thiserror::Error;

/// Why bytes are refused.
///
/// The message says it to the log in a sentence without its end, [`name`](Self::name) to metrics in a word, and
/// [`status`](Self::status) to the client. Of a response, all of them mean that the member is broken: the client is told 502.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Error)]
#[expect(missing_docs, reason = "each has its message")]
pub enum Violation {
    #[error("a line ends in LF alone")]
    BareLf,
    #[error("a CR is not followed by LF")]
    BareCr,
    #[error("too many empty lines before the request")]
    EmptyLines,
    #[error("the request line is not a method, a target and a version")]
    RequestLine,
    #[error("the method is not a token")]
    Method,
    #[error("the target has a control byte")]
    TargetByte,
    #[error("the target has a fragment")]
    Fragment,
    #[error("the target is neither a path nor an URL of http or https")]
    TargetForm,
    #[error("the target is too long")]
    TargetTooLong,
    #[error("CONNECT is for forward proxies")]
    Connect,
    #[error("the version is not HTTP/1.0 or HTTP/1.1")]
    Version,
    #[error("the start of HTTP/2 where a request of HTTP/1 should be")]
    Preface,
    #[error("the head is too large")]
    HeadTooLarge,
    #[error("a line is too long")]
    LineTooLong,
    #[error("too many fields")]
    TooManyFields,
    #[error("a field has no colon")]
    NoColon,
    #[error("white space before a field's colon")]
    BlankBeforeColon,
    #[error("a field's name is not a token")]
    FieldName,
    #[error("a field's value has a control byte")]
    FieldValue,
    #[error("a field line is folded")]
    Folded,
    #[error("Host is missing")]
    HostMissing,
    #[error("Host is there more than once")]
    HostRepeated,
    #[error("Host is not a host name with an optional port")]
    HostInvalid,
    #[error("the target names another host than Host")]
    HostMismatch,
    #[error("Content-Length is not a number")]
    Length,
    #[error("Content-Length is there more than once")]
    LengthRepeated,
    #[error("both Content-Length and Transfer-Encoding")]
    LengthAndCoding,
    #[error("Transfer-Encoding is not chunked once, at the end")]
    Coding,
    #[error("a transfer coding other than chunked")]
    CodingUnknown,
    #[error("Transfer-Encoding in HTTP/1.0")]
    CodingInHttp10,
    #[error("a chunk's size is not a hexadecimal number of up to 16 digits")]
    ChunkSize,
    #[error("a chunk's size is followed by something other than extensions")]
    ChunkExtension,
    #[error("the line before a chunk is too long")]
    ChunkLineTooLong,
    #[error("chunk extensions are too large")]
    ExtensionsTooLarge,
    #[error("a chunk is longer than its size")]
    ChunkEnd,
    #[error("the trailer section is too large")]
    TrailersTooLarge,
    #[error("a field that must not be in a trailer section")]
    Trailer,
    #[error("not a response in HTTP/1")]
    StatusLine,
    #[error("the status is not a number of three digits")]
    Status,
    #[error("the reason phrase has a control byte")]
    Reason,
    #[error("too many interim responses")]
    TooManyInterims,
    #[error("it was not requested")]
    Unasked,
    #[error("it ends before its end")]
    Truncated,
    #[error("a field's name is in upper case")]
    UpperCase,
    #[error("white space around a field's value")]
    BlankAround,
    #[error("a pseudo-field that is not known here")]
    PseudoUnknown,
    #[error("a pseudo-field is there more than once")]
    PseudoRepeated,
    #[error("a pseudo-field is missing")]
    PseudoMissing,
    #[error("a pseudo-field behind fields or in a trailer section")]
    PseudoLate,
    #[error("a protocol that is no token, or is not of CONNECT")]
    Protocol,
    #[error("a field that says of the connection what HTTP/2 says otherwise")]
    ConnectionField,
    #[error("TE is not trailers")]
    Te,
    #[error("101 in HTTP/2")]
    Switching,
    #[error("the body is not as long as Content-Length says")]
    BodyLength,
    #[error("HEADERS are missing, or are where none may be")]
    Headers,
    #[error("a frame behind the end of its message")]
    AfterEnd,
    #[error("a stream that depends on itself")]
    Dependency,
    #[error("more data than the stream's flow-control window allows")]
    StreamWindow,
    #[error("the stream's flow-control window is larger than it may be")]
    WindowOverflow,
    #[error("a WINDOW_UPDATE of nothing")]
    Increment,
    #[error("not an AJP packet, or one that may not be there")]
    AjpPacket,
    #[error("an AJP packet larger than agreed")]
    AjpPacketTooLarge,
}

impl Violation {
    /// All of them, for tables of metrics.
    pub const ALL: [Self; 62] = [
        Self::BareLf,
        Self::BareCr,
        Self::EmptyLines,
        Self::RequestLine,
        Self::Method,
        Self::TargetByte,
        Self::Fragment,
        Self::TargetForm,
        Self::TargetTooLong,
        Self::Connect,
        Self::Version,
        Self::Preface,
        Self::HeadTooLarge,
        Self::LineTooLong,
        Self::TooManyFields,
        Self::NoColon,
        Self::BlankBeforeColon,
        Self::FieldName,
        Self::FieldValue,
        Self::Folded,
        Self::HostMissing,
        Self::HostRepeated,
        Self::HostInvalid,
        Self::HostMismatch,
        Self::Length,
        Self::LengthRepeated,
        Self::LengthAndCoding,
        Self::Coding,
        Self::CodingUnknown,
        Self::CodingInHttp10,
        Self::ChunkSize,
        Self::ChunkExtension,
        Self::ChunkLineTooLong,
        Self::ExtensionsTooLarge,
        Self::ChunkEnd,
        Self::TrailersTooLarge,
        Self::Trailer,
        Self::StatusLine,
        Self::Status,
        Self::Reason,
        Self::TooManyInterims,
        Self::Unasked,
        Self::Truncated,
        Self::UpperCase,
        Self::BlankAround,
        Self::PseudoUnknown,
        Self::PseudoRepeated,
        Self::PseudoMissing,
        Self::PseudoLate,
        Self::Protocol,
        Self::ConnectionField,
        Self::Te,
        Self::Switching,
        Self::BodyLength,
        Self::Headers,
        Self::AfterEnd,
        Self::Dependency,
        Self::StreamWindow,
        Self::WindowOverflow,
        Self::Increment,
        Self::AjpPacket,
        Self::AjpPacketTooLarge,
    ];

    /// The status of the response to a request that has it: 414, 431, 501, 505, or 400.
    pub const fn status(self) -> u16 {
        match self {
            Self::TargetTooLong => 414,
            Self::HeadTooLarge
            | Self::LineTooLong
            | Self::TooManyFields
            | Self::TrailersTooLarge => 431,
            Self::CodingUnknown => 501,
            Self::Version | Self::Preface => 505,
            _ => 400,
        }
    }

    /// What it is called as a label of metrics: lower case, words joined by dashes.
    pub const fn name(self) -> &'static str {
        match self {
            Self::BareLf => "bare-lf",
            Self::BareCr => "bare-cr",
            Self::EmptyLines => "empty-lines",
            Self::RequestLine => "request-line",
            Self::Method => "method",
            Self::TargetByte => "target-byte",
            Self::Fragment => "fragment",
            Self::TargetForm => "target-form",
            Self::TargetTooLong => "target-too-long",
            Self::Connect => "connect",
            Self::Version => "version",
            Self::Preface => "preface",
            Self::HeadTooLarge => "head-too-large",
            Self::LineTooLong => "line-too-long",
            Self::TooManyFields => "too-many-fields",
            Self::NoColon => "no-colon",
            Self::BlankBeforeColon => "blank-before-colon",
            Self::FieldName => "field-name",
            Self::FieldValue => "field-value",
            Self::Folded => "folded",
            Self::HostMissing => "host-missing",
            Self::HostRepeated => "host-repeated",
            Self::HostInvalid => "host-invalid",
            Self::HostMismatch => "host-mismatch",
            Self::Length => "length",
            Self::LengthRepeated => "length-repeated",
            Self::LengthAndCoding => "length-and-coding",
            Self::Coding => "coding",
            Self::CodingUnknown => "coding-unknown",
            Self::CodingInHttp10 => "coding-in-http-1.0",
            Self::ChunkSize => "chunk-size",
            Self::ChunkExtension => "chunk-extension",
            Self::ChunkLineTooLong => "chunk-line-too-long",
            Self::ExtensionsTooLarge => "extensions-too-large",
            Self::ChunkEnd => "chunk-end",
            Self::TrailersTooLarge => "trailers-too-large",
            Self::Trailer => "trailer",
            Self::StatusLine => "status-line",
            Self::Status => "status",
            Self::Reason => "reason",
            Self::TooManyInterims => "too-many-interims",
            Self::Unasked => "unasked",
            Self::Truncated => "truncated",
            Self::UpperCase => "upper-case",
            Self::BlankAround => "blank-around",
            Self::PseudoUnknown => "pseudo-unknown",
            Self::PseudoRepeated => "pseudo-repeated",
            Self::PseudoMissing => "pseudo-missing",
            Self::PseudoLate => "pseudo-late",
            Self::Protocol => "protocol",
            Self::ConnectionField => "connection-field",
            Self::Te => "te",
            Self::Switching => "switching",
            Self::BodyLength => "body-length",
            Self::Headers => "headers",
            Self::AfterEnd => "after-end",
            Self::Dependency => "dependency",
            Self::StreamWindow => "stream-window",
            Self::WindowOverflow => "window-overflow",
            Self::Increment => "increment",
            Self::AjpPacket => "ajp-packet",
            Self::AjpPacketTooLarge => "ajp-packet-too-large",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn each_has_a_name_of_its_own_and_a_message() {
        let names: HashSet<_> = Violation::ALL.iter().map(|it| it.name()).collect();
        assert_eq!(names.len(), Violation::ALL.len());
        for violation in Violation::ALL {
            let message = violation.to_string();
            assert!(!message.is_empty() && !message.ends_with('.'), "{message}");
            assert!([400, 414, 431, 501, 505].contains(&violation.status()));
        }
    }
}
