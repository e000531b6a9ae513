//! A Debian base disk made with mmdebstrap.

use crate::Error;
use kiln_types::ByteSize;
use std::{
    path::{Path, PathBuf},
    sync::atomic::AtomicBool,
};

/// What base disk to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bootstrap {
    /// The release, like `bookworm`.
    pub suite: String,
    /// A mirror's URL; without it the host's own, else mmdebstrap's default.
    pub mirror: Option<String>,
    /// Archive components; empty means `main`.
    pub components: Vec<String>,
    /// mmdebstrap's variant, like `minbase`.
    pub variant: String,
    /// Packages beside those that make the disk boot.
    pub packages: Vec<String>,
    /// The keyring that signs the archive, when it is not Debian's.
    pub apt_keyring: Option<PathBuf>,
    /// The disk's size.
    pub disk_size: ByteSize,
    /// Whether cloud-init is installed and runs.
    pub cloud_init: bool,
    /// The guest's host name.
    pub hostname: String,
    /// Seconds since 1970 that times of files are clamped to.
    pub source_date_epoch: Option<u64>,
}

/// Bootstraps Debian into a new raw disk that boots by itself.
///
/// `work_dir` must exist and be empty; it is all that a killed build leaves behind. `on_line` gets each line of output,
/// `cancel` is looked at several times a second.
///
/// # Errors
/// When a tool is missing or fails, or the disk cannot be written.
pub fn build(
    bootstrap: &Bootstrap,
    out_raw: &Path,
    work_dir: &Path,
    on_line: &mut dyn FnMut(&str),
    cancel: &AtomicBool,
) -> Result<(), Error> {
    on_line("");
    todo!("{bootstrap:?} {out_raw:?} {work_dir:?} {cancel:?}")
}
