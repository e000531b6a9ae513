//! Collections beside writers, deletions and damage.

use super::*;
use crate::{
    pack, snapshot,
    testing::{Volume, noise_block, read_back, region_in, region_in_memory, text_block},
};
use kiln_qcow2::BlockSource;
use kiln_types::{BlockIndex, SnapshotId};
use std::sync::{Arc, Barrier};

const NOW: Collect = Collect { grace: Duration::ZERO, dry_run: false };

async fn stored(region: &Region, volume: &Volume, parent: Option<SnapshotId>) -> SnapshotId {
    region.create_snapshot(volume.snapshot(parent), |_| {}).await.unwrap().snapshot_id
}

async fn collect(region: &Region, collect: Collect) -> Collected {
    region.collect(collect, |_| {}).await.unwrap()
}

#[tokio::test]
async fn a_snapshot_in_the_middle_of_a_lineage_takes_nothing_with_it() {
    let region = region_in_memory().await;
    let volumes = [1, 2, 3].map(|seed| Volume::of(&[text_block(0), noise_block(seed)]));
    let first = stored(&region, &volumes[0], None).await;
    let second = stored(&region, &volumes[1], Some(first)).await;
    let third = stored(&region, &volumes[2], Some(second)).await;
    region.delete_snapshot(second).await.unwrap();
    assert!(matches!(region.snapshot(second).await, Err(Error::SnapshotNotFound { .. })));
    assert!(matches!(region.delete_snapshot(second).await, Err(Error::SnapshotNotFound { .. })));
    assert_eq!(region.snapshots().await.unwrap().len(), 2);

    let condemned = collect(&region, NOW).await;
    assert_eq!((condemned.condemned.len(), condemned.deleted.len()), (1, 3), "its pack; map and records");
    assert_eq!(collect(&region, NOW).await.deleted.len(), 1);
    assert_eq!(collect(&region, NOW).await, Collected::default());
    for (id, volume) in [(first, &volumes[0]), (third, &volumes[2])] {
        assert_eq!(read_back(&region, id).await.unwrap(), *volume.bytes);
    }
    assert_eq!(region.fsck(false, |_| {}).await.unwrap().problems, []);
    assert_eq!(region.list_objects("").await.unwrap().len(), 1 + 2 + 2 * 2);
}

#[tokio::test]
async fn a_deletion_can_be_taken_back() {
    let region = region_in_memory().await;
    let volume = Volume::of(&[text_block(1)]);
    let id = stored(&region, &volume, None).await;
    assert!(region.undelete_snapshot(id).await.is_err());
    region.delete_snapshot(id).await.unwrap();
    region.undelete_snapshot(id).await.unwrap();
    assert_eq!(read_back(&region, id).await.unwrap(), *volume.bytes);
}

#[tokio::test]
async fn what_is_young_stays_and_a_dry_run_does_nothing() {
    let region = region_in_memory().await;
    let id = stored(&region, &Volume::of(&[text_block(1)]), None).await;
    region.delete_snapshot(id).await.unwrap();
    let before = region.list_objects("").await.unwrap();
    let later = Collect { grace: MIN_GRACE, dry_run: false };
    let young = collect(&region, later).await;
    assert_eq!((young.young.len(), young.condemned.len(), young.deleted.len()), (4, 0, 0));
    let dry = collect(&region, Collect { dry_run: true, ..NOW }).await;
    assert_eq!((dry.condemned.len(), dry.deleted.len()), (1, 3));
    assert_eq!(region.list_objects("").await.unwrap(), before);

    collect(&region, NOW).await;
    let waiting = collect(&region, later).await;
    assert_eq!((waiting.waiting.len(), waiting.deleted.len()), (1, 0));
}

/// A volume whose first block is read between two meetings with the test.
struct Slow(Volume, Arc<Barrier>);

impl BlockSource for Slow {
    fn size(&self) -> u64 {
        self.0.size()
    }

    fn changed_blocks(&mut self) -> Result<Vec<BlockIndex>, kiln_qcow2::Error> {
        self.0.changed_blocks()
    }

    fn read_block(&mut self, index: BlockIndex, buffer: &mut [u8]) -> Result<(), kiln_qcow2::Error> {
        if index.0 == 0 {
            self.1.wait();
            self.1.wait();
        }
        self.0.read_block(index, buffer)
    }

    fn reopen(&self) -> Result<Box<dyn BlockSource>, kiln_qcow2::Error> {
        Ok(Box::new(Self(self.0.clone(), Arc::clone(&self.1))))
    }
}

/// A writer has looked at the packs, and a collection takes what it is about to borrow: blocks that the region holds,
/// and those of its parent, which is deleted.
#[tokio::test]
async fn a_writer_stores_again_what_a_collection_condemned() {
    // In memory: without a grace, what the writer has half-written in a folder would be taken from it.
    let region = region_in_memory().await;
    let parent = stored(&region, &Volume::of(&[noise_block(1), noise_block(2)]), None).await;
    let other = stored(&region, &Volume::of(&[noise_block(3)]), None).await;
    let volume = Volume::new([noise_block(3), noise_block(2), text_block(4)].concat(), [0, 2]);

    let barrier = Arc::new(Barrier::new(2));
    let mut new = volume.snapshot(Some(parent));
    new.source = Box::new(Slow(volume.clone(), Arc::clone(&barrier)));
    let writing = region.clone();
    let writer = tokio::spawn(async move { writing.create_snapshot(new, |_| {}).await });
    let meet = async || {
        let barrier = Arc::clone(&barrier);
        tokio::task::spawn_blocking(move || barrier.wait()).await.unwrap();
    };
    meet().await;
    for id in [parent, other] {
        region.delete_snapshot(id).await.unwrap();
    }
    let condemned = collect(&region, NOW).await.condemned;
    assert_eq!(condemned.len(), 2, "{condemned:?}");
    meet().await;
    let child = writer.await.unwrap().unwrap();

    assert_eq!(collect(&region, NOW).await.deleted, condemned);
    assert_eq!(read_back(&region, child.snapshot_id).await.unwrap(), *volume.bytes);
    assert_eq!(region.fsck(false, |_| {}).await.unwrap().problems, []);
}

#[tokio::test]
async fn nothing_is_deleted_where_something_cannot_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let region = region_in(folder.path()).await;
    let id = stored(&region, &Volume::of(&[text_block(1)]), None).await;
    let gone = stored(&region, &Volume::of(&[text_block(2)]), None).await;
    region.delete_snapshot(gone).await.unwrap();
    collect(&region, NOW).await;
    let map = folder.path().join(snapshot::map_path(id, "map"));
    let bytes = fs_err::read(&map).unwrap();
    fs_err::write(&map, &bytes[1..]).unwrap();
    assert!(matches!(region.collect(NOW, |_| {}).await, Err(Error::Damaged { .. })));
    fs_err::remove_file(&map).unwrap();
    assert!(matches!(region.collect(NOW, |_| {}).await, Err(Error::Damaged { .. })));
    assert_eq!(region.list_objects(pack::FOLDER).await.unwrap().len(), 2);
    fs_err::write(&map, &bytes).unwrap();
    assert_eq!(collect(&region, NOW).await.deleted.len(), 1);

    fs_err::write(folder.path().join("condemned/x.json"), r#"{"FormatVersion":2,"Objects":[]}"#).unwrap();
    let newer = region.create_snapshot(Volume::of(&[text_block(3)]).snapshot(None), |_| {}).await;
    assert!(matches!(newer, Err(Error::Newer { .. })), "{newer:?}");
}

#[tokio::test]
async fn what_dead_writers_left_half_written_goes_when_it_is_old() {
    let folder = tempfile::tempdir().unwrap();
    let region = region_in(folder.path()).await;
    let id = stored(&region, &Volume::of(&[text_block(1)]), None).await;
    let half = [format!("snapshots/{id}/00000002.json#1"), "packs/00.pack#12".to_owned()];
    for path in &half {
        fs_err::write(folder.path().join(path), "half").unwrap();
    }
    let other = folder.path().join("packs/notes#");
    fs_err::write(&other, "not ours").unwrap();
    assert_eq!(collect(&region, Collect { grace: MIN_GRACE, dry_run: false }).await.deleted, []);
    assert_eq!(collect(&region, NOW).await.deleted.len(), 2);
    assert!(half.iter().all(|path| !folder.path().join(path).exists()) && other.exists());
    assert_eq!(collect(&region, NOW).await, Collected::default());
}
