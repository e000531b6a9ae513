//! The record of a snapshot, in the shape of EC2's DescribeSnapshots.

use crate::{BlockMap, PackId, frame::BLOCK};
use kiln_types::{AccountId, Grantee, SnapshotId, Timestamp};
use serde::{Deserialize, Serialize};

/// The folder of snapshots: maps, and records as [`crate::Versions`] keeps them.
pub(crate) const FOLDER: &str = "snapshots";

/// The map that a snapshot begins with.
const FIRST_MAP: &str = "map";

/// What EC2 answers where a snapshot was made from no volume of its own.
const NO_VOLUME: &str = "vol-ffffffff";

/// A key and a value that people attach to snapshots and images.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Tag {
    /// The key.
    pub key: String,
    /// The value.
    pub value: String,
}

/// The state of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "State", rename_all = "lowercase")]
#[non_exhaustive]
pub enum SnapshotState {
    /// Blocks are still being written.
    Pending,
    /// Every block is stored.
    Completed,
    /// It will never complete.
    Error {
        /// Why.
        #[serde(rename = "StateMessage")]
        message: String,
    },
    /// It is no more, and a garbage collection takes what is left of it.
    Deleted,
}

/// A snapshot's record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Snapshot {
    /// The id.
    pub snapshot_id: SnapshotId,
    /// The snapshot that this one inherits unwritten blocks from; it may have been deleted since.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent_snapshot_id: Option<SnapshotId>,
    /// The volume it was made from; EC2's stand-in where there was none of EC2's.
    pub volume_id: String,
    /// The volume's size in whole GiB, rounded up.
    pub volume_size: u32,
    /// The state.
    #[serde(flatten)]
    pub state: SnapshotState,
    /// When it was begun.
    pub start_time: Timestamp,
    /// When its last block was stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completion_time: Option<Timestamp>,
    /// How much of it is stored: `100%`.
    pub progress: String,
    /// The account that owns it.
    pub owner_id: AccountId,
    /// What it is, for people.
    pub description: String,
    /// Always false: Kiln does not encrypt.
    pub encrypted: bool,
    /// EC2's `standard`.
    pub storage_tier: String,
    /// Bytes of all written blocks before compression.
    pub full_snapshot_size_in_bytes: u64,
    /// Tags.
    #[serde(default)]
    pub tags: Vec<Tag>,
    /// Who may read it and make volumes of it beside its owner; for the owner to see.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub create_volume_permissions: Vec<Grantee>,
    /// What EC2 has no name for.
    pub kiln: SnapshotKiln,
}

/// What Kiln knows of a snapshot and EC2 has no name for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct SnapshotKiln {
    /// The exact size of the volume in bytes.
    pub size: u64,
    /// Blocks of the volume that hold data, inherited ones too.
    pub data_blocks: u64,
    /// Blocks that this snapshot wrote, zeros too.
    pub changed_blocks: u64,
    /// Blocks that the region did not hold before.
    pub new_blocks: u64,
    /// Bytes that this snapshot added to the region's packs.
    pub stored_bytes: u64,
    /// The object beside the record that is its block map.
    #[serde(default = "first_map", skip_serializing_if = "is_first_map")]
    pub map: String,
}

fn first_map() -> String {
    FIRST_MAP.to_owned()
}

fn is_first_map(name: &str) -> bool {
    name == FIRST_MAP
}

/// Makes the name of another map for a snapshot that has one.
pub(crate) fn new_map_name() -> String {
    format!("{FIRST_MAP}-{}", PackId::random())
}

/// Returns where a block map of a snapshot lies.
pub(crate) fn map_path(id: SnapshotId, name: &str) -> String {
    format!("{FOLDER}/{id}/{name}")
}

/// What was counted while a snapshot was made.
pub(crate) struct Counts {
    pub(crate) changed: u64,
    pub(crate) new: u64,
    pub(crate) stored_bytes: u64,
}

impl Snapshot {
    /// Returns where its block map lies.
    pub(crate) fn map_path(&self) -> String {
        map_path(self.snapshot_id, &self.kiln.map)
    }

    /// The record of a snapshot whose blocks are all stored; its owner, parent and texts are to be filled in.
    pub(crate) fn completed(id: SnapshotId, map: &BlockMap, counts: &Counts, start: Timestamp) -> Self {
        let kiln = SnapshotKiln {
            size: map.size,
            data_blocks: map.data().count() as u64,
            changed_blocks: counts.changed,
            new_blocks: counts.new,
            stored_bytes: counts.stored_bytes,
            map: first_map(),
        };
        Self {
            snapshot_id: id,
            parent_snapshot_id: None,
            volume_id: NO_VOLUME.to_owned(),
            volume_size: map.volume_gib,
            state: SnapshotState::Completed,
            start_time: start,
            completion_time: Some(Timestamp::now()),
            progress: "100%".to_owned(),
            owner_id: AccountId::LOCAL,
            description: String::new(),
            encrypted: false,
            storage_tier: "standard".to_owned(),
            full_snapshot_size_in_bytes: map.entries.len() as u64 * BLOCK as u64,
            tags: Vec::new(),
            create_volume_permissions: Vec::new(),
            kiln,
        }
    }
}

/// The answer of DescribeSnapshots.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeSnapshots {
    /// The snapshots, by start time and then id.
    pub snapshots: Vec<Snapshot>,
}
