//! What the agent answers.

use super::{
    Frame, ProtocolError, VERSION,
    wire::{Reader, Writer},
};
use crate::model::{ExitStatus, Finished, Guest, Stream};
use std::time::Duration;

/// A message of the agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// The guest introduces itself.
    Hello(Guest),
    /// The request is done.
    Done,
    /// The request could not be done; why, in words.
    Failed(String),
    /// The program ended.
    Exited(ExitStatus),
    /// The program wrote this.
    Output(Stream, Vec<u8>),
    /// The next bytes of a download.
    Chunk(Vec<u8>),
    /// The image is whole and closed.
    Finished(Finished),
}

impl Reply {
    /// The kind that stands in the frame.
    #[must_use]
    pub fn kind(&self) -> u8 {
        match self {
            Self::Hello(_) => 128,
            Self::Done => 129,
            Self::Failed(_) => 130,
            Self::Exited(_) => 131,
            Self::Output(Stream::Stdout, _) => 132,
            Self::Output(Stream::Stderr, _) => 133,
            Self::Chunk(_) => 134,
            Self::Finished(_) => 135,
        }
    }

    /// Puts the message into a frame.
    ///
    /// # Errors
    /// When it is too long.
    pub fn encode(&self, id: u32) -> Result<Vec<u8>, ProtocolError> {
        let mut w = Writer::default();
        match self {
            Self::Hello(guest) => {
                let millis = u64::try_from(guest.uptime.as_millis()).unwrap_or(u64::MAX);
                w.u16(VERSION).text(&guest.kernel).u64(millis).bool(guest.hot_plug);
            }
            Self::Done => {}
            Self::Failed(message) => {
                w.text(message);
            }
            Self::Exited(ExitStatus::Exited(code)) => {
                w.u8(0).i32(*code);
            }
            Self::Exited(ExitStatus::Signaled(signal)) => {
                w.u8(1).i32(*signal);
            }
            Self::Finished(finished) => {
                w.bool(finished.relabels);
            }
            Self::Output(_, bytes) | Self::Chunk(bytes) => return Frame::encode(id, self.kind(), bytes),
        }
        Frame::encode(id, self.kind(), &w.0)
    }

    /// Reads the message in a frame.
    ///
    /// # Errors
    /// When the frame does not hold a reply of this version.
    pub fn decode(frame: Frame) -> Result<Self, ProtocolError> {
        let mut r = Reader(&frame.body);
        let reply = match frame.kind {
            128 => {
                let version = r.u16()?;
                if version != VERSION {
                    return Err(ProtocolError::Version(version));
                }
                let (kernel, uptime) = (r.text()?, Duration::from_millis(r.u64()?));
                Self::Hello(Guest { kernel, uptime, hot_plug: r.bool()? })
            }
            129 => Self::Done,
            130 => Self::Failed(r.text()?),
            131 => Self::Exited(match (r.u8()?, r.i32()?) {
                (0, code) => ExitStatus::Exited(code),
                (1, signal) => ExitStatus::Signaled(signal),
                _ => return Err(ProtocolError::BadValue("exit status")),
            }),
            132 => return Ok(Self::Output(Stream::Stdout, frame.body)),
            133 => return Ok(Self::Output(Stream::Stderr, frame.body)),
            134 => return Ok(Self::Chunk(frame.body)),
            135 => Self::Finished(Finished { relabels: r.bool()? }),
            kind => return Err(ProtocolError::UnknownKind(kind)),
        };
        r.end()?;
        Ok(reply)
    }
}
