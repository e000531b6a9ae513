//! What is wrong with bytes that should be of the protocol.

/// Bytes that are not of the protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProtocolError {
    /// A frame ends before what it must hold.
    Truncated,
}

impl std::fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a message ends too early")
    }
}

impl std::error::Error for ProtocolError {}
