//! Making a snapshot of a volume.

use crate::{Error, Region, Snapshot, Tag};
use kiln_qcow2::BlockSource;
use kiln_types::{AccountId, SnapshotId};
use std::fmt;

/// What a snapshot is made from.
pub struct NewSnapshot {
    /// The volume. Only the blocks that it lists as changed are read; with a parent, the source must therefore list
    /// every block that may differ from *that snapshot*: the overlays over a disk that has the parent's content.
    pub source: Box<dyn BlockSource>,
    /// The snapshot whose blocks are inherited where the source lists no change.
    pub parent: Option<SnapshotId>,
    /// The account that will own it.
    pub owner: AccountId,
    /// What it is, for people.
    pub description: String,
    /// Tags.
    pub tags: Vec<Tag>,
}

impl fmt::Debug for NewSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewSnapshot")
            .field("size", &self.source.size())
            .field("parent", &self.parent)
            .field("owner", &self.owner)
            .field("description", &self.description)
            .field("tags", &self.tags)
            .finish()
    }
}

/// How far a snapshot is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// Changed blocks that are done.
    pub done: u64,
    /// Changed blocks in all.
    pub total: u64,
    /// Bytes written to packs so far.
    pub stored_bytes: u64,
}

impl Region {
    /// Stores the changed blocks of a volume and publishes the snapshot of it.
    ///
    /// The record is written last: a call that fails, is dropped or dies leaves nothing that a reader can see.
    ///
    /// # Errors
    /// When the source cannot be read, the region cannot be written, the parent does not exist or is larger.
    pub async fn create_snapshot(
        &self,
        new: NewSnapshot,
        progress: impl FnMut(Progress) + Send,
    ) -> Result<Snapshot, Error> {
        let _ = (new, progress);
        todo!()
    }
}
