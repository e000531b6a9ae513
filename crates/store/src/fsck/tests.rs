//! Damage of every kind, found and taken aside.

use super::*;
use crate::testing::{Volume, noise_block, read_back, region_in, text_block};
use std::path::{Path, PathBuf};

struct World {
    folder: tempfile::TempDir,
    region: Region,
    /// Two snapshots that share their first block.
    ids: [SnapshotId; 2],
}

async fn world() -> World {
    let folder = tempfile::tempdir().unwrap();
    let region = region_in(folder.path()).await;
    let first = Volume::of(&[noise_block(1), noise_block(2)]);
    let first = region.create_snapshot(first.snapshot(None), |_| {}).await.unwrap().snapshot_id;
    let second = Volume::of(&[noise_block(1), text_block(3)]);
    let second = region.create_snapshot(second.snapshot(None), |_| {}).await.unwrap().snapshot_id;
    World { folder, region, ids: [first, second] }
}

impl World {
    async fn check(&self, repair: bool) -> Vec<Problem> {
        self.region.fsck(repair, |_| {}).await.unwrap().problems
    }

    async fn paths(&self, repair: bool) -> Vec<String> {
        self.check(repair).await.into_iter().map(|problem| problem.path).collect()
    }

    /// Returns the file of the pack that holds a snapshot's block.
    async fn pack(&self, id: SnapshotId, block: u32) -> (PathBuf, FrameRef) {
        let map = self.region.block_map(id).await.unwrap();
        let frame = map.data().find(|(index, _)| index.0 == block).unwrap().1;
        (self.folder.path().join(frame.pack.path()), frame)
    }

    fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }
}

fn damage(path: &Path, at: u64) {
    let mut bytes = fs_err::read(path).unwrap();
    bytes[usize::try_from(at).unwrap()] ^= 1;
    fs_err::write(path, bytes).unwrap();
}

#[tokio::test]
async fn a_block_that_rots_fails_its_snapshots_and_lends_itself_to_none() {
    let world = world().await;
    assert_eq!(world.check(false).await, []);
    let (pack, frame) = world.pack(world.ids[0], 0).await;
    damage(&pack, frame.offset + u64::from(frame.length) - 5);

    let verified = world.region.verify_snapshot(world.ids[1], |_| {}).await.unwrap();
    assert_eq!((verified.blocks, verified.damaged.len()), (2, 1));
    let mut expected = vec![frame.pack.path(), world.ids[0].to_string(), world.ids[1].to_string()];
    expected[1..].sort();
    assert_eq!(world.paths(false).await, expected);
    assert_eq!(world.paths(true).await, expected);
    assert_eq!(world.check(false).await, [], "all of it is known");
    let state = world.region.snapshot(world.ids[0]).await.unwrap().state;
    assert!(matches!(state, SnapshotState::Error { .. }), "{state:?}");

    let volume = Volume::of(&[noise_block(1), noise_block(2)]);
    let again = world.region.create_snapshot(volume.snapshot(None), |_| {}).await.unwrap();
    assert_eq!(again.kiln.new_blocks, 2);
    assert_eq!(read_back(&world.region, again.snapshot_id).await.unwrap(), *volume.bytes);
    assert_eq!(world.check(false).await, []);
}

#[tokio::test]
async fn an_index_that_rots_leaves_snapshots_whole() {
    let world = world().await;
    let (pack, frame) = world.pack(world.ids[0], 0).await;
    damage(&pack, fs_err::metadata(&pack).unwrap().len() - 40);
    assert_eq!(world.paths(true).await, [frame.pack.path()]);
    assert_eq!(world.check(false).await, []);
    assert_eq!(world.region.verify_snapshot(world.ids[0], |_| {}).await.unwrap().damaged, []);
}

#[tokio::test]
async fn a_pack_that_is_gone_or_cut_short_is_told_by_snapshot() {
    for cut in [true, false] {
        let world = world().await;
        let (pack, _) = world.pack(world.ids[1], 1).await;
        if cut {
            fs_err::OpenOptions::new().write(true).open(&pack).unwrap().set_len(10).unwrap();
        } else {
            fs_err::remove_file(&pack).unwrap();
        }
        let problems = world.check(false).await;
        let [rest @ .., last] = problems.as_slice() else { panic!("no problem") };
        assert_eq!((rest.len(), &last.path), (usize::from(cut), &world.ids[1].to_string()), "{problems:?}");
    }
}

#[tokio::test]
async fn records_and_maps_that_rot_are_moved_aside() {
    let world = world().await;
    let [a, b] = world.ids;
    let map = snapshot::map_path(a, "map");
    damage(&world.path(&map), 60);
    let record = format!("snapshots/{b}/00000001.json");
    damage(&world.path(&record), 0);
    fs_err::create_dir_all(world.path("condemned")).unwrap();
    fs_err::write(world.path("condemned/x.json"), "{").unwrap();

    let mut problems = world.paths(true).await;
    problems.sort();
    let mut expected = vec!["condemned/x.json".to_owned(), map.clone(), record.clone(), a.to_string()];
    expected.sort();
    assert_eq!(problems, expected);
    for moved in ["condemned/x.json", &map, &record] {
        assert!(
            world.path(&format!("quarantine/{moved}")).exists() && !world.path(moved).exists(),
            "{moved}"
        );
    }
    assert_eq!(world.check(false).await, []);
    assert_eq!(world.region.snapshots().await.unwrap().len(), 1);
    // A collection goes on without the map.
    let now = crate::Collect { grace: std::time::Duration::ZERO, dry_run: false };
    world.region.collect(now, |_| {}).await.unwrap();
}
