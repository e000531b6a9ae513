//! One message's envelope.

use super::ProtocolError;
use std::io::{self, Read};

/// Bytes before the body.
pub const HEADER_SIZE: usize = 9;

/// No body is longer: what one side may make the other allocate for one message.
pub const MAX_BODY: usize = 256 << 10;

/// How much of a file or of a program's output travels in one message.
pub const CHUNK: usize = 64 << 10;

/// The envelope, decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// The body's length, checked against [`MAX_BODY`].
    pub size: usize,
    /// The request that it belongs to.
    pub id: u32,
    /// The message's kind.
    pub kind: u8,
}

impl Header {
    /// Decodes an envelope.
    ///
    /// # Errors
    /// When it announces too long a body.
    pub fn decode(bytes: [u8; HEADER_SIZE]) -> Result<Self, ProtocolError> {
        let [a, b, c, d, e, f, g, h, kind] = bytes;
        let size = usize::try_from(u32::from_le_bytes([a, b, c, d])).unwrap_or(usize::MAX);
        if size > MAX_BODY {
            return Err(ProtocolError::TooLong(size));
        }
        Ok(Self { size, id: u32::from_le_bytes([e, f, g, h]), kind })
    }
}

/// A message, not yet decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// The request that it belongs to.
    pub id: u32,
    /// The message's kind.
    pub kind: u8,
    /// What it holds.
    pub body: Vec<u8>,
}

impl Frame {
    /// Puts envelope and body together.
    ///
    /// # Errors
    /// When the body is too long.
    pub fn encode(id: u32, kind: u8, body: &[u8]) -> Result<Vec<u8>, ProtocolError> {
        let size = u32::try_from(body.len()).ok().filter(|_| body.len() <= MAX_BODY);
        let size = size.ok_or(ProtocolError::TooLong(body.len()))?;
        let mut bytes = Vec::with_capacity(HEADER_SIZE + body.len());
        bytes.extend_from_slice(&size.to_le_bytes());
        bytes.extend_from_slice(&id.to_le_bytes());
        bytes.push(kind);
        bytes.extend_from_slice(body);
        Ok(bytes)
    }
}

/// Reads one message; `None` when the stream ends before it begins.
///
/// # Errors
/// When the stream fails, ends within the message, or announces too long a body ([`ProtocolError`] inside
/// [`io::ErrorKind::InvalidData`]).
pub fn read_frame(stream: &mut impl Read) -> io::Result<Option<Frame>> {
    let mut first = [0; 1];
    loop {
        match stream.read(&mut first) {
            Ok(0) => return Ok(None),
            Ok(_) => break,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let mut bytes = [0; HEADER_SIZE];
    bytes[0] = first[0];
    stream.read_exact(&mut bytes[1..])?;
    let header = Header::decode(bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    let mut body = vec![0; header.size];
    stream.read_exact(&mut body)?;
    Ok(Some(Frame { id: header.id, kind: header.kind, body }))
}
