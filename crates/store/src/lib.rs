//! A region: snapshots as EBS keeps them, on object storage.
//!
//! ```text
//! region.json                     format version, name, owner account               (region.rs)
//! packs/<id>.pack                 zstd frames, one a block, then an index            (pack.rs)
//! snapshots/snap-…/map            every block of the volume: who wrote it, where it lies (map.rs); map-… after a repack
//! snapshots/snap-…/00000001.json  the record, one object a version                   (snapshot.rs, versions.rs)
//! condemned/<id>.json             packs that no snapshot names, before they are deleted  (gc.rs)
//! quarantine/<path>               what a check found damaged                             (fsck.rs)
//! ```
//! A snapshot is written in that order from packs to record, and the record's create-only put publishes it: a
//! writer that dies earlier leaves garbage and nothing that a reader can see. No object is ever changed in place.
//!
//! **Invariant:** this crate does not know what an image is; a catalogue keeps its records beside the snapshots
//! through [`Versions`].

mod aws;
mod blob;
mod changes;
mod check;
mod copy;
mod create;
mod edit;
mod error;
mod frame;
mod fsck;
mod garbage;
mod gc;
mod known;
mod leftovers;
mod local;
mod location;
mod map;
mod objects;
mod pack;
mod publish;
mod read;
mod region;
mod repack;
#[cfg(test)]
mod s3_tests;
mod shared;
mod snapshot;
#[cfg(test)]
mod testing;
mod versions;

pub use changes::ChangedBlock;
pub use check::Verified;
pub use copy::CopySnapshot;
pub use create::{NewSnapshot, Progress};
pub use error::Error;
pub use frame::{FrameDecoder, FrameRef, Verify};
pub use fsck::{Checked, Problem};
pub use gc::{Collect, Collected, Collecting, Garbage, MIN_GRACE};
pub use location::{Location, S3Settings, open_location};
pub use map::{BlockContent, BlockMap, BlockRef};
pub use pack::PackId;
pub use region::Region;
pub use shared::SharedFolders;
pub use snapshot::{DescribeSnapshots, Snapshot, SnapshotKiln, SnapshotState, Tag};
pub use versions::{Put, Versioned, Versions};
