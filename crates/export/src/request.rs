//! What an export is asked for, and what it made.

use kiln_qcow2::Format;
use kiln_store::Verify;
use kiln_types::{Digest, SnapshotId};
use std::path::PathBuf;

/// A file to be made of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportRequest {
    /// The snapshot.
    pub snapshot: SnapshotId,
    /// The format of the file.
    pub format: Format,
    /// The file; an existing one is replaced when the new one is whole. Its folder must exist.
    pub path: PathBuf,
    /// Whether a qcow2's frames are decoded and their blocks' digests compared while they are copied; otherwise only
    /// their structure is checked. Other formats decode every block and always compare.
    pub verify: Verify,
}

/// A file that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exported {
    /// The file.
    pub path: PathBuf,
    /// Its format.
    pub format: Format,
    /// The SHA-256 of the whole file.
    pub sha256: Digest,
    /// The bytes of the file; fewer of them take space where it is sparse.
    pub size: u64,
}
