//! Disk images as blocks: the gate before any image is opened, chains of overlays, the write-once qcow2 writer.
//!
//! ```text
//! foreign image ─ detect ─ gate ─ import (a qemu-img child with limits) ─→ sparse raw file
//! raw file            ─→ RawDisk ┐
//! raw file + overlays ─→ Chain   ┴ BlockSource ─→ snapshots
//! frames of blocks    ─→ Writer ─→ qcow2
//! ```
//! **Invariant:** no file is ever opened by a name that was read from an image, and nothing here writes into an
//! existing qcow2 file: QEMU alone does.

mod buffer;
mod chain;
mod detect;
mod error;
mod format;
mod gate;
mod header;
mod import;
#[cfg(test)]
mod oracle;
mod probe;
mod qemu_img;
mod raw;
mod source;
pub mod writer;

pub use buffer::PageBuffer;
pub use chain::{Chain, MOST_OVERLAYS};
pub use detect::detect;
pub use error::{Error, Refusal};
pub use format::Format;
pub use gate::{ImageInfo, gate};
pub use import::import;
pub use qemu_img::Conversion;
pub use raw::RawDisk;
pub use source::{BlockSource, KnownContent};
