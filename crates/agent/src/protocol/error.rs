//! What is wrong with bytes that should be of the protocol.

use std::fmt;

/// Bytes that are not of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProtocolError {
    /// A body ends before all that it must hold.
    Truncated,
    /// A body goes on after all that it may hold.
    TrailingBytes(usize),
    /// A frame announces a body longer than [`MAX_BODY`](super::MAX_BODY).
    TooLong(usize),
    /// No message has this kind.
    UnknownKind(u8),
    /// A field holds a value that has no meaning.
    BadValue(&'static str),
    /// Text is not UTF-8.
    NotText,
    /// A greeting that is not Kiln's.
    BadMagic(u32),
    /// The other side speaks another version.
    Version(u16),
    /// A message that makes no sense now.
    Unexpected(u8),
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated => f.write_str("a message ends too early"),
            Self::TrailingBytes(count) => write!(f, "a message goes on for {count} bytes after its end"),
            Self::TooLong(size) => {
                write!(f, "a message of {size} bytes is longer than {}", super::MAX_BODY)
            }
            Self::UnknownKind(kind) => write!(f, "no message has kind {kind}"),
            Self::BadValue(field) => write!(f, "a message holds a meaningless {field}"),
            Self::NotText => f.write_str("a message holds text that is not UTF-8"),
            Self::BadMagic(magic) => write!(f, "the greeting begins with {magic:#010x}, which is not Kiln's"),
            Self::Version(version) => {
                write!(f, "the other side speaks version {version} of the protocol, not {}", super::VERSION)
            }
            Self::Unexpected(kind) => write!(f, "a message of kind {kind} came out of turn"),
        }
    }
}

impl std::error::Error for ProtocolError {}
