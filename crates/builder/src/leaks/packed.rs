//! Files that hold other bytes, packed.

use liblzma::{
    read::XzDecoder,
    stream::{CONCATENATED, Stream},
};
use std::io::{self, Read};

/// How much of a packed file is looked at: a file of zeros may unpack to any size.
const MOST: u64 = 64 << 20;

/// What `xz -9` needs, and as much again.
const XZ_MEMORY: u64 = 128 << 20;

/// Bytes by which every kind is known.
pub(super) const MAGIC: usize = 6;

/// How a file is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Packed {
    Gzip,
    Xz,
    Zstd,
}

impl Packed {
    /// Knows a file by its first bytes.
    pub(super) fn of(start: &[u8]) -> Option<Self> {
        match start {
            [0x1f, 0x8b, ..] => Some(Self::Gzip),
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Some(Self::Xz),
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Some(Self::Zstd),
            _ => None,
        }
    }

    /// Returns the name of the program that makes such files.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Xz => "xz",
            Self::Zstd => "zstd",
        }
    }

    /// Unpacks a file, all of its members, up to a bound.
    pub(super) fn unpack<'a>(self, file: impl Read + 'a) -> io::Result<Box<dyn Read + 'a>> {
        Ok(match self {
            Self::Gzip => Box::new(flate2::read::MultiGzDecoder::new(file).take(MOST)),
            Self::Xz => {
                let stream = Stream::new_stream_decoder(XZ_MEMORY, CONCATENATED)?;
                Box::new(XzDecoder::new_stream(file, stream).take(MOST))
            }
            Self::Zstd => Box::new(zstd::stream::read::Decoder::new(file)?.take(MOST)),
        })
    }
}
