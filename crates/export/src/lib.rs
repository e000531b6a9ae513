//! A snapshot as a disk image: qcow2 and raw written here, vmdk, vhd and vhdx by `qemu-img`.

mod error;
mod request;

pub use error::Error;
pub use request::{ExportRequest, Exported, export};
