//! The last steps of a new snapshot: its map, then its record, which publishes it.
//!
//! A garbage collection may run beside the writer. It condemns packs that no record names, waits, looks again, and only
//! then deletes (`gc.rs`). So the writer reads what is condemned just before it publishes, stores again what it counted
//! on there, which can still be read, and publishes within [`PUBLISH_WITHIN`] of that look, which is less than any
//! collection waits.

use crate::{BlockContent, BlockMap, Error, Put, Region, Snapshot, pack::PackWriter, snapshot::FOLDER};
use kiln_types::Digest;
use std::{
    collections::{BTreeMap, HashMap},
    time::{Duration, SystemTime},
};

/// Time that a writer may take from its last look at what is condemned to the record; [`crate::MIN_GRACE`] is longer.
pub(crate) const PUBLISH_WITHIN: Duration = Duration::from_secs(10 * 60);

impl Region {
    /// Publishes a snapshot, whose blocks are all in packs.
    pub(crate) async fn publish(&self, mut map: BlockMap, mut record: Snapshot) -> Result<Snapshot, Error> {
        let id = record.snapshot_id;
        let looked = SystemTime::now();
        record.kiln.stored_bytes += self.store_again(&mut map).await?;
        self.create_new(&record.map_path(), map.encode()).await?;
        if looked.elapsed().unwrap_or(PUBLISH_WITHIN) >= PUBLISH_WITHIN {
            return Err(Error::TooSlow { id });
        }
        match self.versions(FOLDER).put(&id.to_string(), 1, &record).await? {
            Put::Done => Ok(record),
            Put::Taken => Err(Error::Taken { path: format!("{FOLDER}/{id}") }),
        }
    }

    /// Copies the frames that lie in condemned packs into new ones; answers how many bytes these have.
    async fn store_again(&self, map: &mut BlockMap) -> Result<u64, Error> {
        let condemned = self.condemned().await?;
        let lost = map.data().map(|(_, frame)| frame).filter(|frame| condemned.contains(&frame.pack.path()));
        let lost: BTreeMap<Digest, _> = lost.map(|frame| (frame.digest, frame)).collect();
        if lost.is_empty() {
            return Ok(0);
        }
        let mut packs = PackWriter::new(self.clone());
        for (digest, frame) in lost {
            packs.push(digest, self.read_frame(&frame).await?).await?;
        }
        let (frames, bytes): (HashMap<_, _>, u64) = packs.finish().await?;
        for entry in &mut map.entries {
            if let BlockContent::Data(frame) = &mut entry.content
                && condemned.contains(&frame.pack.path())
                && let Some(again) = frames.get(&frame.digest)
            {
                *frame = *again;
            }
        }
        Ok(bytes)
    }

    /// Writes an object under a name that nobody else has.
    pub(crate) async fn create_new(&self, path: &str, bytes: Vec<u8>) -> Result<(), Error> {
        match self.create_object(path, bytes.into()).await? {
            Put::Done => Ok(()),
            Put::Taken => Err(Error::Taken { path: path.to_owned() }),
        }
    }
}
