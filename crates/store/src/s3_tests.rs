//! Regions on an S3 server, also on one that fails.

use crate::{
    Error, Location, Put, Region,
    testing::{
        Volume, noise_block, read_back,
        s3::{Fault, Server},
        text_block,
    },
};
use hyper::Method;
use kiln_types::{AccountId, RegionName};
use std::{sync::Arc, time::Duration};
use tokio::sync::Notify;

async fn region(server: &Server) -> Region {
    region_at(&server.location("images/eu")).await
}

async fn region_at(location: &Location) -> Region {
    Region::open_or_create(location, &RegionName::local(), AccountId::LOCAL).await.unwrap()
}

fn volume() -> Volume {
    Volume::of(&[text_block(1), vec![0; crate::frame::BLOCK], text_block(2)])
}

/// Stores a volume and reads it back whole.
async fn stored_and_read(region: &Region, volume: &Volume) {
    let snapshot = region.create_snapshot(volume.snapshot(None), |_| {}).await.unwrap();
    assert_eq!(read_back(region, snapshot.snapshot_id).await.unwrap(), *volume.bytes);
}

#[tokio::test]
async fn a_bucket_holds_what_a_folder_would() {
    let server = Server::start().await;
    let location = server.location("images/eu");
    assert!(matches!(Region::open(&location).await, Err(Error::RegionMissing { .. })));
    let region = region(&server).await;
    let again = Region::create(&location, &RegionName::local(), AccountId::LOCAL).await;
    assert!(matches!(again, Err(Error::RegionExists { .. })), "{again:?}");

    // More than one part of a pack.
    let blocks: Vec<_> = (0..20).map(noise_block).collect();
    let parent = region.create_snapshot(Volume::of(&blocks).snapshot(None), |_| {}).await.unwrap();
    let mut blocks = blocks;
    blocks[7] = text_block(7);
    let child = Volume::new(blocks.concat(), [7]).snapshot(Some(parent.snapshot_id));
    let child = region.create_snapshot(child, |_| {}).await.unwrap();
    assert_eq!((child.kiln.changed_blocks, child.kiln.new_blocks), (1, 1));

    let opened = Region::open(&location).await.unwrap();
    assert_eq!(opened.snapshots().await.unwrap().len(), 2);
    assert_eq!(read_back(&opened, child.snapshot_id).await.unwrap(), blocks.concat());
    let elsewhere = region_at(&server.location("images")).await;
    assert_eq!(elsewhere.snapshots().await.unwrap(), [], "another prefix is another region");
}

#[tokio::test]
async fn of_two_writers_of_a_version_one_wins() {
    let server = Server::start().await;
    let versions = region(&server).await.versions("things");
    assert_eq!(versions.put("a", 1, &"one").await.unwrap(), Put::Done);
    assert_eq!(versions.put("a", 1, &"two").await.unwrap(), Put::Taken);
    assert_eq!(versions.newest::<String>("a").await.unwrap().unwrap().record, "one");
}

#[tokio::test]
async fn a_server_that_fails_now_and_then_loses_nothing() {
    let faults = [Fault::Busy, Fault::Cut, Fault::HalfAnswer, Fault::Slow(Duration::from_millis(20))];
    for fault in faults {
        let server = Server::start().await;
        let region = region(&server).await;
        let mut requests = 0;
        server.faults(move |_, _| {
            requests += 1;
            (requests % 3 == 1).then_some(fault)
        });
        stored_and_read(&region, &volume()).await;
        assert_eq!(region.snapshots().await.unwrap().len(), 1, "{fault:?}");
    }
}

#[tokio::test]
async fn an_answer_that_is_lost_publishes_once() {
    let server = Server::start().await;
    let region = region(&server).await;
    server.faults(|method, _| (method == Method::PUT).then_some(Fault::AnswerLost));
    let versions = region.versions("things");
    assert_eq!(versions.put("a", 1, &"one").await.unwrap(), Put::Done);
    assert_eq!(versions.put("a", 1, &"two").await.unwrap(), Put::Taken);
    let mut puts = 0;
    server.faults(move |method, path| {
        puts += u32::from(method == Method::PUT && path.contains("/snapshots/"));
        (puts % 2 == 1).then_some(Fault::AnswerLost)
    });
    stored_and_read(&region, &volume()).await;
    assert_eq!(region.snapshots().await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_writer_that_dies_between_pack_and_record_leaves_blocks_for_the_next() {
    let server = Server::start().await;
    let region = region(&server).await;
    for stage in ["/map", "00000001.json"] {
        let reached = Arc::new(Notify::new());
        let tell = Arc::clone(&reached);
        server.faults(move |method, path| {
            let dies = method == Method::PUT && path.ends_with(stage);
            if dies {
                tell.notify_one();
            }
            dies.then_some(Fault::Cut)
        });
        tokio::select! {
            stored = region.create_snapshot(volume().snapshot(None), |_| {}) => panic!("{stored:?}"),
            () = reached.notified() => {}
        }
    }
    server.faults(|_, _| None);
    assert_eq!(region.snapshots().await.unwrap(), []);
    let snapshot = region.create_snapshot(volume().snapshot(None), |_| {}).await.unwrap();
    assert_eq!(snapshot.kiln.new_blocks, 0, "the pack of the first is used");
    assert_eq!(read_back(&region, snapshot.snapshot_id).await.unwrap(), *volume().bytes);
}

#[tokio::test]
async fn wrong_credentials_are_told_at_once() {
    let server = Server::start().await;
    region(&server).await;
    let Location::S3 { bucket, prefix, .. } = server.location("images/eu") else { unreachable!() };
    let settings = [("AWS_ACCESS_KEY_ID", "other"), ("AWS_SECRET_ACCESS_KEY", "x")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
    let settings = server.settings().chain(settings).collect();
    let error = Region::open(&Location::S3 { bucket, prefix, settings }).await.unwrap_err();
    assert_eq!(error.to_string(), "could not read region.json");
}

#[tokio::test]
async fn a_profile_says_what_variables_do_not() {
    let server = Server::start().await;
    let home = tempfile::tempdir().unwrap();
    let all: std::collections::BTreeMap<_, _> = server.settings().collect();
    let config = format!(
        "[profile team]\nregion = us-east-1\nservices = ours\n[services ours]\ns3 =\n  endpoint_url = {}\n",
        all["AWS_ENDPOINT_URL"]
    );
    let credentials = "[team]\naws_access_key_id = a-key\naws_secret_access_key = a-secret\n";
    fs_err::create_dir(home.path().join(".aws")).unwrap();
    fs_err::write(home.path().join(".aws/config"), config).unwrap();
    fs_err::write(home.path().join(".aws/credentials"), credentials).unwrap();
    let home = home.path().to_str().unwrap().to_owned();
    let settings = [("HOME".to_owned(), home), ("AWS_PROFILE".to_owned(), "team".to_owned())];
    let location = Location::parse("s3://team/images/eu", &settings.into_iter().collect()).unwrap();
    stored_and_read(&region_at(&location).await, &volume()).await;
    assert_eq!(region(&server).await.snapshots().await.unwrap().len(), 1);
}
