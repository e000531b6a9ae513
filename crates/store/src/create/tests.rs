//! Snapshots made, read back, shared and broken.

use super::*;
use crate::{
    SnapshotState, Verify,
    frame::{self, BLOCK},
    testing::{Volume, noise_block, read_back, region_in, region_in_memory, text_block},
};
use kiln_qcow2::KnownContent;
use proptest::prelude::*;
use std::path::{Path, PathBuf};

fn zeros() -> Vec<u8> {
    vec![0; BLOCK]
}

async fn create(region: &Region, volume: &Volume, parent: Option<SnapshotId>) -> Snapshot {
    region.create_snapshot(volume.snapshot(parent), |_| ()).await.unwrap()
}

fn files(folder: &Path, name: &str) -> Vec<PathBuf> {
    let Ok(entries) = fs_err::read_dir(folder.join(name)) else {
        return Vec::new();
    };
    entries.map(|entry| entry.unwrap().path()).collect()
}

fn indexes(map: &BlockMap, writer: SnapshotId) -> Vec<u32> {
    map.entries().iter().filter(|entry| entry.writer == writer).map(|entry| entry.index.0).collect()
}

#[tokio::test]
async fn an_odd_sized_sparse_volume_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let region = region_in(folder.path()).await;
    let mut bytes = [text_block(1), zeros(), noise_block(2), zeros(), text_block(1)].concat();
    bytes.truncate(bytes.len() - 1000);
    let volume = Volume::new(bytes.clone(), [0, 2, 3, 4]);
    let mut steps = Vec::new();
    let snapshot = region.create_snapshot(volume.snapshot(None), |step| steps.push(step)).await.unwrap();

    assert_eq!(read_back(&region, snapshot.snapshot_id).await.unwrap(), bytes);
    assert_eq!(snapshot.kiln.size, bytes.len() as u64);
    assert_eq!((snapshot.volume_size, &snapshot.state), (1, &SnapshotState::Completed));
    let kiln = &snapshot.kiln;
    assert_eq!((kiln.data_blocks, kiln.changed_blocks, kiln.new_blocks), (3, 3, 3), "zeros are not stored");
    let packs = files(folder.path(), "packs");
    assert_eq!(packs.len(), 1);
    assert_eq!(fs_err::metadata(&packs[0]).unwrap().len(), kiln.stored_bytes);
    assert_eq!(steps.len(), 5);
    assert_eq!(steps.last().map(|step| (step.done, step.total)), Some((4, 4)));
    assert_eq!(region.snapshots().await.unwrap(), [snapshot]);
}

#[tokio::test]
async fn what_is_known_of_a_block_need_not_be_read() {
    let region = region_in_memory().await;
    let parent = create(&region, &Volume::of(&[text_block(1), text_block(2), text_block(3)]), None).await;
    let digest = |bytes: &[u8]| KnownContent::Data(frame::digest(bytes));
    let mut volume = Volume::of(&[text_block(3), text_block(2), zeros()]);
    let truth = volume.bytes.to_vec();
    volume.known = vec![(0, digest(&text_block(3))), (1, digest(&text_block(2))), (2, KnownContent::Zero)];
    // Were a block read, noise would come.
    volume.bytes = Arc::new([noise_block(1), noise_block(2), noise_block(3)].concat());
    let child = create(&region, &volume, Some(parent.snapshot_id)).await;
    assert_eq!(read_back(&region, child.snapshot_id).await.unwrap(), truth);
    assert_eq!((child.kiln.changed_blocks, child.kiln.new_blocks), (2, 0));

    // Known, and in no pack: it has to be read.
    volume.known = vec![(0, digest(&text_block(9)))];
    volume.bytes = Arc::new([text_block(9), text_block(2), zeros()].concat());
    let other = create(&region, &volume, Some(parent.snapshot_id)).await;
    assert_eq!(&read_back(&region, other.snapshot_id).await.unwrap(), &*volume.bytes);
    assert_eq!(other.kiln.new_blocks, 1);
}

#[tokio::test]
async fn a_child_inherits_and_zeros_over_data_are_a_change() {
    let region = region_in_memory().await;
    let base = [text_block(1), text_block(2), zeros(), text_block(3)];
    let parent = create(&region, &Volume::of(&base), None).await.snapshot_id;
    let grown = [text_block(1), zeros(), zeros(), text_block(4), text_block(2)];
    let volume = Volume::new(grown.concat(), [0, 1, 2, 3, 4]);
    let child = create(&region, &volume, Some(parent)).await;

    assert_eq!(read_back(&region, child.snapshot_id).await.unwrap(), grown.concat());
    assert_eq!(read_back(&region, parent).await.unwrap(), base.concat(), "the parent is as it was");
    let map = region.block_map(child.snapshot_id).await.unwrap();
    assert_eq!(indexes(&map, child.snapshot_id), [1, 3, 4], "0 is rewritten alike, 2 is zeros over nothing");
    assert_eq!(indexes(&map, parent), [0]);
    assert_eq!(map.get(BlockIndex(1)).unwrap().content, BlockContent::Zero);
    assert_eq!(map.lineage(), [parent, child.snapshot_id]);
    assert_eq!((child.kiln.new_blocks, child.parent_snapshot_id), (1, Some(parent)));

    let again = create(&region, &Volume::new(grown.concat(), [1]), Some(child.snapshot_id)).await;
    assert_eq!(again.kiln.changed_blocks, 0, "zeros over zeros are no change");
}

#[tokio::test]
async fn unlisted_blocks_are_not_read() {
    let region = region_in_memory().await;
    let parent = create(&region, &Volume::of(&[text_block(1), text_block(2)]), None).await.snapshot_id;
    let mut volume = Volume::new([noise_block(1), text_block(5)].concat(), [1]);
    volume.bad = Some(0);
    let child = create(&region, &volume, Some(parent)).await.snapshot_id;
    let expected = [text_block(1), text_block(5)].concat();
    assert_eq!(read_back(&region, child).await.unwrap(), expected);
}

#[tokio::test]
async fn a_block_is_stored_once_in_a_region() {
    let folder = tempfile::tempdir().unwrap();
    let region = region_in(folder.path()).await;
    let blocks = [noise_block(1), noise_block(2), noise_block(1), noise_block(1)];
    let first = create(&region, &Volume::of(&blocks), None).await;
    assert_eq!((first.kiln.new_blocks, first.kiln.data_blocks), (2, 4));
    let second = create(&region, &Volume::of(&blocks), None).await;
    assert_eq!((second.kiln.new_blocks, second.kiln.stored_bytes), (0, 0));
    assert_eq!(files(folder.path(), "packs").len(), 1, "the second stores no pack");
    assert_eq!(read_back(&region, second.snapshot_id).await.unwrap(), blocks.concat());
}

#[tokio::test]
async fn a_large_volume_fills_several_packs() {
    let folder = tempfile::tempdir().unwrap();
    let region = region_in(folder.path()).await;
    let blocks = (0..140).map(noise_block).collect::<Vec<_>>();
    let snapshot = create(&region, &Volume::of(&blocks), None).await;
    assert_eq!(files(folder.path(), "packs").len(), 2);
    assert_eq!(snapshot.kiln.new_blocks, 140);
    assert!(read_back(&region, snapshot.snapshot_id).await.unwrap() == blocks.concat());
}

#[tokio::test]
async fn frames_are_answered_in_the_order_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let region = region_in(folder.path()).await;
    create(&region, &Volume::of(&[text_block(7), text_block(8)]), None).await;
    let blocks = (0..12).map(text_block).collect::<Vec<_>>();
    let id = create(&region, &Volume::of(&blocks), None).await.snapshot_id;
    let map = region.block_map(id).await.unwrap();
    let mut frames = map.data().map(|(_, frame)| frame).collect::<Vec<_>>();
    frames.reverse();
    let answers = region.read_frames(&frames).await.unwrap();
    for (frame, block) in answers.iter().zip(blocks.iter().rev()) {
        assert!(zstd::decode_all(&frame[..]).unwrap() == *block);
    }
}

#[tokio::test]
async fn what_cannot_be_is_refused() {
    let region = region_in_memory().await;
    let parent = create(&region, &Volume::of(&[text_block(1), text_block(2)]), None).await.snapshot_id;
    let refused = async |volume: Volume, parent| {
        region.create_snapshot(volume.snapshot(parent), |_| ()).await.unwrap_err()
    };
    let small = refused(Volume::new(vec![1; 2 * BLOCK - 1], [0]), Some(parent)).await;
    assert!(
        matches!(small, Error::SmallerThanParent { size: 1_048_575, parent_size: 1_048_576, .. }),
        "{small}"
    );
    let nobody = SnapshotId::from_bits(1);
    let missing = refused(Volume::of(&[text_block(1)]), Some(nobody)).await;
    assert_eq!(missing.to_string(), format!("The snapshot '{nobody}' does not exist."));
    assert_eq!(missing.code(), Some("InvalidSnapshot.NotFound"));
    let empty = refused(Volume::default(), None).await;
    assert!(matches!(empty, Error::VolumeSize { size: 0 }), "{empty}");
    for changed in [vec![1, 0], vec![0, 0], vec![2]] {
        let order = refused(Volume::new(vec![1; 2 * BLOCK], changed), None).await;
        assert!(matches!(order, Error::SourceOrder { .. }), "{order}");
    }
}

#[tokio::test]
async fn a_volume_that_cannot_be_read_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let region = region_in(folder.path()).await;
    let mut volume = Volume::of(&(0..40).map(noise_block).collect::<Vec<_>>());
    volume.bad = Some(30);
    let error = region.create_snapshot(volume.snapshot(None), |_| ()).await.unwrap_err();
    assert!(matches!(error, Error::SourceRead { index: BlockIndex(30), .. }), "{error}");
    assert_eq!(region.snapshots().await.unwrap(), []);
    assert!(files(folder.path(), "packs").is_empty(), "no half pack stays");
}

#[tokio::test]
async fn a_writer_that_dies_before_the_record_has_published_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let region = region_in(folder.path()).await;
    let volume = Volume::of(&[noise_block(1), text_block(2)]);
    let dead = create(&region, &volume, None).await.snapshot_id;
    fs_err::remove_file(folder.path().join(format!("snapshots/{dead}/00000001.json"))).unwrap();
    assert_eq!(region.snapshots().await.unwrap(), []);
    assert!(matches!(region.snapshot(dead).await, Err(Error::SnapshotNotFound { .. })));
    assert!(matches!(region.block_map(dead).await, Err(Error::SnapshotNotFound { .. })));
    let parent = region.create_snapshot(volume.snapshot(Some(dead)), |_| ()).await;
    assert!(matches!(parent, Err(Error::SnapshotNotFound { .. })));
    fs_err::remove_dir_all(folder.path().join(format!("snapshots/{dead}"))).unwrap();
    let alive = create(&region, &volume, None).await.snapshot_id;
    assert_eq!(read_back(&region, alive).await.unwrap(), *volume.bytes);
}

#[tokio::test]
async fn damage_is_found_and_named() {
    let folder = tempfile::tempdir().unwrap();
    let region = region_in(folder.path()).await;
    let volume = Volume::of(&[noise_block(1), text_block(2)]);
    let id = create(&region, &volume, None).await.snapshot_id;
    let pack = files(folder.path(), "packs").remove(0);
    let whole = fs_err::read(&pack).unwrap();
    let name = format!("packs/{}", pack.file_name().unwrap().to_str().unwrap());

    let mut flipped = whole.clone();
    flipped[BLOCK / 2] ^= 1;
    fs_err::write(&pack, &flipped).unwrap();
    let error = read_back(&region, id).await.unwrap_err();
    assert!(matches!(&error, Error::Damaged { path, .. } if *path == name), "{error}");

    fs_err::write(&pack, &whole[..1000]).unwrap();
    let error = read_back(&region, id).await.unwrap_err();
    assert!(error.to_string().contains(&name), "{error}");
    let again = create(&region, &volume, None).await;
    assert_eq!(again.kiln.new_blocks, 2, "a damaged index lends no blocks");
    assert_eq!(read_back(&region, again.snapshot_id).await.unwrap(), *volume.bytes);

    let map = folder.path().join(format!("snapshots/{id}/map"));
    let mut bytes = fs_err::read(&map).unwrap();
    bytes[50] ^= 1;
    fs_err::write(&map, bytes).unwrap();
    let error = region.block_map(id).await.unwrap_err();
    assert_eq!(error.to_string(), format!("snapshots/{id}/map is damaged: its SHA-256 differs"));
    fs_err::copy(folder.path().join(format!("snapshots/{}/map", again.snapshot_id)), &map).unwrap();
    let error = region.block_map(id).await.unwrap_err();
    assert!(error.to_string().ends_with("it is the map of another snapshot"), "{error}");
}

/// `zstd` and `sha256sum` read what Kiln wrote, block for block.
#[tokio::test]
async fn tools_that_are_not_kilns_agree() {
    let folder = tempfile::tempdir().unwrap();
    let region = region_in(folder.path()).await;
    let block = noise_block(5);
    let id = create(&region, &Volume::of(std::slice::from_ref(&block)), None).await.snapshot_id;
    let (_, frame) = region.block_map(id).await.unwrap().data().next().unwrap();
    let raw = folder.path().join("block");
    fs_err::write(&raw, &block).unwrap();
    let sum = std::process::Command::new("sha256sum").arg(&raw).output().unwrap();
    let sum = String::from_utf8(sum.stdout).unwrap();
    assert_eq!(sum.split(' ').next(), Some(frame.digest.to_string().as_str()));

    let pack = files(folder.path(), "packs").remove(0);
    let unpacked = std::process::Command::new("zstd").arg("-dcq").arg(&pack).output();
    // Not every host has zstd; its library then stands in, which passes over the index in the same way.
    let unpacked = match unpacked {
        Ok(output) => {
            assert!(output.status.success(), "{output:?}");
            output.stdout
        }
        Err(_) => zstd::decode_all(&fs_err::read(&pack).unwrap()[..]).unwrap(),
    };
    assert!(unpacked == block);
    assert!(region.read_block(&frame, Verify::Length).await.unwrap() == block);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever a lineage writes, trims and grows, each of its snapshots reads back as the volume was.
    #[test]
    fn a_lineage_reads_back(
        writes in prop::collection::vec(prop::collection::vec((0_u32..6, 0_u32..4), 0..5), 1..5),
        tail in 1_usize..BLOCK,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let region = region_in_memory().await;
            let mut bytes = vec![0; 5 * BLOCK + tail];
            let mut parent = None;
            let mut expected = Vec::new();
            for step in writes {
                for (index, seed) in &step {
                    let start = *index as usize * BLOCK;
                    let end = bytes.len().min(start + BLOCK);
                    let content = if *seed == 0 { zeros() } else { text_block(*seed) };
                    bytes[start..end].copy_from_slice(&content[..end - start]);
                }
                let mut changed = step.into_iter().map(|(index, _)| index).collect::<Vec<_>>();
                changed.sort_unstable();
                changed.dedup();
                let id = create(&region, &Volume::new(bytes.clone(), changed), parent).await.snapshot_id;
                expected.push((id, bytes.clone()));
                parent = Some(id);
            }
            for (id, bytes) in expected {
                assert!(read_back(&region, id).await.unwrap() == bytes);
            }
        });
    }
}
