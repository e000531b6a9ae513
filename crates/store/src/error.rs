//! What can go wrong with a region.

use crate::PackId;
use kiln_types::{AccountId, BlockIndex, ByteSize, SnapshotId};
use std::{io, path::PathBuf};

/// An operation on a region that failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(
    clippy::error_impl_error,
    reason = "a crate has one error, and its path names it: `kiln_store::Error`"
)]
pub enum Error {
    /// A location is neither a folder nor a kind of object storage that this build knows.
    #[error("`{location}` is neither a folder nor s3://bucket/prefix")]
    Location {
        /// The location as it was given.
        location: String,
    },
    /// A setting of S3 is not valid.
    #[error("{location} cannot be reached with these AWS_ settings")]
    S3 {
        /// The location.
        location: String,
        /// What is wrong with them.
        source: Box<object_store::Error>,
    },
    /// A file of AWS's tools cannot be read.
    #[error("could not read the AWS settings in {}", path.display())]
    AwsFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: io::Error,
    },
    /// No file of AWS's tools has this profile.
    #[error("there is no AWS profile `{name}`")]
    AwsProfile {
        /// The profile.
        name: String,
    },
    /// A profile of AWS's tools gets its credentials in a way that takes more than Kiln.
    #[error("AWS profile `{name}` gets its credentials by {way}, which kiln cannot do itself")]
    AwsCredentials {
        /// The profile.
        name: String,
        /// The setting that says so.
        way: &'static str,
    },
    /// The folder of a region could not be made or opened.
    #[error("could not open the region's folder {}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// An object could not be read, written or listed.
    #[error("could not {operation} {path}")]
    Object {
        /// `read`, `write`, `list`, `delete` or `move`.
        operation: &'static str,
        /// The object's path in the region, or the prefix listed.
        path: String,
        /// What the object store said.
        source: object_store::Error,
    },
    /// A file that is shared through a region could not be sent or fetched.
    #[error("{path} cannot be used")]
    Blob {
        /// The object.
        path: String,
        /// What is wrong with it, or with the file.
        source: io::Error,
    },
    /// There is no region at a location.
    #[error("there is no region at {location}")]
    RegionMissing {
        /// Where it was looked for.
        location: String,
    },
    /// There is a region at a location already.
    #[error("there is a region at {location} already, owned by {owner}")]
    RegionExists {
        /// Where it lies.
        location: String,
        /// Its owner.
        owner: AccountId,
    },
    /// An object was written by a newer Kiln.
    #[error("{path} has format version {found}, and this kiln reads up to {supported}")]
    Newer {
        /// The object's path in the region.
        path: String,
        /// The version found.
        found: u32,
        /// The newest version that this build reads.
        supported: u32,
    },
    /// A record is not what it should be.
    #[error("{path} is not a valid record")]
    Record {
        /// The object's path in the region.
        path: String,
        /// What the parser said.
        source: serde_json::Error,
    },
    /// An object's bytes are not what was written.
    #[error("{path} is damaged: {what}")]
    Damaged {
        /// The object's path in the region.
        path: String,
        /// What is wrong, and where.
        what: String,
    },
    /// No snapshot has this id. The text is EC2's.
    #[error("The snapshot '{id}' does not exist.")]
    SnapshotNotFound {
        /// The id asked for.
        id: SnapshotId,
    },
    /// The source could not say which blocks changed.
    #[error("could not list the changed blocks of the volume")]
    SourceList {
        /// What the source said.
        source: kiln_qcow2::Error,
    },
    /// The source could not be opened for another thread.
    #[error("could not open the volume once more for another thread")]
    SourceReopen {
        /// What the source said.
        source: kiln_qcow2::Error,
    },
    /// A block of the source could not be read.
    #[error("could not read block {index} of the volume")]
    SourceRead {
        /// The block.
        index: BlockIndex,
        /// What the source said.
        source: kiln_qcow2::Error,
    },
    /// The source listed its changed blocks out of order, twice, or past its end.
    #[error("the volume lists block {index} out of order or past its end")]
    SourceOrder {
        /// The block.
        index: BlockIndex,
    },
    /// The volume is empty or larger than a volume can be.
    #[error("a volume of {} cannot be stored: expected 1 byte to 64 TiB", ByteSize::from_bytes(*size))]
    VolumeSize {
        /// The volume's size in bytes.
        size: u64,
    },
    /// A child snapshot is smaller than its parent.
    #[error(
        "the volume has {size} bytes and its parent {parent} has {parent_size}: a child may not be smaller"
    )]
    SmallerThanParent {
        /// The parent.
        parent: SnapshotId,
        /// Its exact size in bytes.
        parent_size: u64,
        /// The child's exact size in bytes.
        size: u64,
    },
    /// A block could not be compressed.
    #[error("could not compress block {index}")]
    Compress {
        /// The block.
        index: BlockIndex,
        /// What zstd said.
        source: io::Error,
    },
    /// A worker thread ended without an answer.
    #[error("a thread that compresses blocks ended unexpectedly")]
    Worker,
    /// Two snapshots have no ancestor in common.
    #[error("{first} and {second} are of different lineages")]
    Unrelated {
        /// The first.
        first: SnapshotId,
        /// The second.
        second: SnapshotId,
    },
    /// A writer stood still between its last look at the region and the record.
    #[error("snapshot {id} took too long to publish: a garbage collection may have taken blocks from it")]
    TooSlow {
        /// The snapshot that is not there.
        id: SnapshotId,
    },
    /// A snapshot's record or map is there already under a new random id.
    #[error("{path} is there already")]
    Taken {
        /// The object's path in the region.
        path: String,
    },
}

impl Error {
    /// Returns EC2's code where EC2 has one.
    #[must_use]
    pub const fn code(&self) -> Option<&'static str> {
        match self {
            Self::SnapshotNotFound { .. } => Some("InvalidSnapshot.NotFound"),
            Self::Unrelated { .. } => Some("UNRELATED_SNAPSHOTS"),
            _ => None,
        }
    }

    /// Returns a way out where one is known.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Newer { .. } => Some("cargo install --path crates/cli --force   # a newer kiln".to_owned()),
            Self::SnapshotNotFound { .. } => Some("kiln snapshot list".to_owned()),
            Self::AwsProfile { .. } => Some("aws configure list-profiles".to_owned()),
            Self::AwsCredentials { name, .. } => {
                Some(format!(r#"eval "$(aws configure export-credentials --profile '{name}' --format env)""#))
            }
            Self::Location { .. } => Some("s3://bucket/prefix, file:///folder or a folder's path".to_owned()),
            _ => None,
        }
    }

    pub(crate) fn damaged_pack(pack: PackId, what: impl Into<String>) -> Self {
        Self::Damaged { path: pack.path(), what: what.into() }
    }
}
