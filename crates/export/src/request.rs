//! What an export is asked for, and what it made.

use crate::{Kind, Target};
use kiln_store::Verify;
use kiln_types::{Digest, SnapshotId};
use std::path::PathBuf;

/// A file to be made of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportRequest {
    /// The snapshot.
    pub snapshot: SnapshotId,
    /// What the file is.
    pub target: Target,
    /// The file; an existing one is replaced when the new one is whole. Its folder must exist.
    pub path: PathBuf,
    /// Whether frames that are copied are decoded and their blocks' digests compared; otherwise only their structure is
    /// checked. Where blocks are decoded anyway, their digests are always compared.
    pub verify: Verify,
    /// Whether the whole file's SHA-256 is wanted. Of a raw file that means hashing its holes.
    pub sha256: bool,
}

/// A file that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exported {
    /// The file.
    pub path: PathBuf,
    /// Its format.
    pub kind: Kind,
    /// The SHA-256 of the whole file, where it was wanted.
    pub sha256: Option<Digest>,
    /// The bytes of the file; fewer of them take space where it is sparse.
    pub size: u64,
}
