//! What is moved, what stays, and what a writer or damage in between leads to.

use crate::{
    Collect, Collected, Error, Region, pack, snapshot,
    testing::{Volume, noise_block, read_back, region_in, region_in_memory, text_block},
};
use kiln_types::SnapshotId;
use std::time::Duration;

const NOW: Collect = Collect { grace: Duration::ZERO, dry_run: false };

async fn stored(region: &Region, volume: &Volume, parent: Option<SnapshotId>) -> SnapshotId {
    region.create_snapshot(volume.snapshot(parent), |_| {}).await.unwrap().snapshot_id
}

async fn collect(region: &Region, collect: Collect) -> Collected {
    region.collect(collect, |_| {}).await.unwrap()
}

async fn pack_bytes(region: &Region) -> u64 {
    region.list_objects(pack::FOLDER).await.unwrap().iter().map(|meta| meta.size).sum()
}

/// Three blocks in one pack, of which a child that outlives its parent keeps one.
async fn half_dead(region: &Region) -> (SnapshotId, Volume) {
    let blocks = [1, 2, 3].map(noise_block);
    let parent = stored(region, &Volume::of(&blocks), None).await;
    let volume = Volume::new([noise_block(1), noise_block(4), noise_block(5)].concat(), [1, 2]);
    let child = stored(region, &volume, Some(parent)).await;
    region.delete_snapshot(parent).await.unwrap();
    (child, volume)
}

#[tokio::test]
async fn the_dead_part_goes_and_the_rest_reads_as_before() {
    let region = region_in_memory().await;
    let (child, volume) = half_dead(&region).await;
    let (before, record) = (pack_bytes(&region).await, region.snapshot(child).await.unwrap());
    let dry = collect(&region, Collect { dry_run: true, ..NOW }).await;
    assert_eq!(dry.repacked.len(), 1);
    assert!(dry.repacked[0].bytes > 2 * 524_288, "{dry:?}");
    assert_eq!(region.snapshot(child).await.unwrap(), record);

    let first = collect(&region, NOW).await;
    assert_eq!(first.repacked, dry.repacked);
    assert_eq!(first.condemned.len(), 2, "the pack and the child's first map: {first:?}");
    let renewed = region.snapshot(child).await.unwrap();
    assert!(renewed.kiln.map.starts_with("map-"), "{renewed:?}");
    assert_eq!(read_back(&region, child).await.unwrap(), *volume.bytes);
    assert_eq!(collect(&region, NOW).await.deleted, first.condemned);
    assert_eq!(collect(&region, NOW).await, Collected::default());
    assert_eq!(read_back(&region, child).await.unwrap(), *volume.bytes);
    assert_eq!(region.fsck(false, |_| {}).await.unwrap().problems, []);
    assert!(before - pack_bytes(&region).await > 2 * 524_288);
    let grandchild = stored(&region, &volume, Some(child)).await;
    assert_eq!(region.snapshot(grandchild).await.unwrap().kiln.changed_blocks, 0);
}

#[tokio::test]
async fn a_pack_that_is_young_or_lives_by_more_than_half_stays() {
    let region = region_in_memory().await;
    half_dead(&region).await;
    assert_eq!(collect(&region, Collect { grace: crate::MIN_GRACE, dry_run: false }).await.repacked, []);

    let region = region_in_memory().await;
    let parent = stored(&region, &Volume::of(&[1, 2, 3].map(noise_block)), None).await;
    let volume = Volume::new([noise_block(1), noise_block(2), text_block(4)].concat(), [2]);
    let child = stored(&region, &volume, Some(parent)).await;
    region.delete_snapshot(parent).await.unwrap();
    assert_eq!(collect(&region, NOW).await.repacked, []);
    assert_eq!(read_back(&region, child).await.unwrap(), *volume.bytes);
    // The index of a pack of tiny frames is larger than the frames.
    assert_eq!(collect(&region, NOW).await.repacked, []);
}

#[tokio::test]
async fn a_damaged_pack_is_left_for_a_check() {
    let folder = tempfile::tempdir().unwrap();
    let region = region_in(folder.path()).await;
    let (child, _) = half_dead(&region).await;
    let frame = region.block_map(child).await.unwrap().data().next().unwrap().1;
    let pack = folder.path().join(frame.pack.path());
    let mut bytes = fs_err::read(&pack).unwrap();
    bytes[usize::try_from(frame.offset).unwrap() + 9000] ^= 1;
    fs_err::write(&pack, bytes).unwrap();
    assert_eq!(collect(&region, NOW).await.repacked, []);
    assert!(pack.exists());
    let problems = region.fsck(false, |_| {}).await.unwrap().problems;
    assert_eq!(problems.len(), 2, "the pack and the snapshot: {problems:?}");
}

#[tokio::test]
async fn a_snapshot_that_is_deleted_meanwhile_stays_deleted() {
    let region = region_in_memory().await;
    let (child, _) = half_dead(&region).await;
    let record = region.snapshot(child).await.unwrap();
    region.delete_snapshot(child).await.unwrap();
    let elsewhere = |frame: &crate::FrameRef| Some(*frame);
    region.renew_map(&record, elsewhere, &std::collections::HashMap::new()).await.unwrap();
    assert!(matches!(region.snapshot(child).await, Err(Error::SnapshotNotFound { .. })));
    let (mut kept, rounds) = (1, 3);
    for _ in 0..rounds {
        collect(&region, NOW).await;
        kept = region.list_objects(snapshot::FOLDER).await.unwrap().len();
    }
    assert_eq!(kept, 0, "and its second map goes with it");
}
