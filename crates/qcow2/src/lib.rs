//! Disk images as blocks: the gate before any image is opened, chains of overlays, the write-once qcow2 writer.

mod error;
mod source;

pub use error::Error;
pub use source::BlockSource;
