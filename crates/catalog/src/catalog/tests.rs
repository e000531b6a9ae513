//! Images registered, found, replaced, and left half-registered.

mod launch;
mod life;
mod pending;

use super::*;
use crate::{DescribeImages, ImageKiln, NewBlockDevice, NewEbs, NewMapping, Tag, name::NameRecord};
use kiln_qcow2::BlockSource;
use kiln_store::{Location, NewSnapshot};
use kiln_types::{AccountId, Architecture, BlockIndex, DeviceName, Grantee, RegionName, SnapshotId};
use object_store::memory::InMemory;
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// A volume of 3 GiB of which nothing was written.
struct Blank;

impl BlockSource for Blank {
    fn size(&self) -> u64 {
        3 << 30
    }

    fn changed_blocks(&mut self) -> Result<Vec<BlockIndex>, kiln_qcow2::Error> {
        Ok(Vec::new())
    }

    fn read_block(&mut self, _: BlockIndex, buffer: &mut [u8]) -> Result<(), kiln_qcow2::Error> {
        buffer.fill(0);
        Ok(())
    }

    fn reopen(&self) -> Result<Box<dyn BlockSource>, kiln_qcow2::Error> {
        Ok(Box::new(Self))
    }
}

async fn snapshot(region: &Region) -> SnapshotId {
    let new = NewSnapshot {
        source: Box::new(Blank),
        parent: None,
        owner: region.owner(),
        description: String::new(),
        tags: Vec::new(),
    };
    region.create_snapshot(new, |_| ()).await.unwrap().snapshot_id
}

/// Lets an account make volumes of a snapshot.
async fn lend(region: &Region, snapshot: SnapshotId, account: AccountId) {
    let give = |record: &mut kiln_store::Snapshot| {
        record.create_volume_permissions.push(Grantee::UserId(account));
        Ok::<_, kiln_store::Error>(())
    };
    region.edit_snapshot(snapshot, give).await.unwrap();
}

async fn catalog() -> (Catalog, SnapshotId) {
    let region = Region::on(Arc::new(InMemory::new()), &RegionName::local(), AccountId::LOCAL).await.unwrap();
    let snapshot = snapshot(&region).await;
    (Catalog::new(region), snapshot)
}

fn name(text: &str) -> ImageName {
    text.parse().unwrap()
}

fn new(text: &str, snapshot: SnapshotId) -> NewImage {
    NewImage {
        name: name(text),
        description: None,
        owner: AccountId::LOCAL,
        architecture: Architecture::X86_64,
        root_device_name: DeviceName::root(),
        mappings: vec![NewMapping::from_snapshot(DeviceName::root(), snapshot)],
        boot_mode: None,
        tpm_support: None,
        tags: vec![Tag { key: "Role".to_owned(), value: "web".to_owned() }],
        kiln: ImageKiln { template: Some("debian-web".to_owned()), ..ImageKiln::default() },
    }
}

/// What a writer leaves that dies after it took a name.
async fn dead_claim(catalog: &Catalog, text: &str, number: u32, replaces: Option<ImageId>) -> ImageId {
    let id = ImageId::random();
    let record = NameRecord { name: name(text), holder: Some(id), replaces };
    let digest = kiln_types::Digest::from_bytes(Sha256::digest(text).into());
    let key = format!("{}/{digest}", AccountId::LOCAL);
    assert_eq!(catalog.region.versions("names").put(&key, number, &record).await.unwrap(), Put::Done);
    id
}

fn refusal(result: Result<Image, Error>) -> (&'static str, String) {
    let error = result.unwrap_err();
    (error.code(), error.to_string())
}

#[tokio::test]
async fn the_record_has_ec2s_shape() {
    let (catalog, snapshot) = catalog().await;
    let image = catalog.register(new("web 1", snapshot), false).await.unwrap();
    let images = catalog.describe(&ImageQuery::default()).await.unwrap();
    assert_eq!(images, std::slice::from_ref(&image));
    let expected = serde_json::json!({"Images": [{
        "ImageId": image.image_id,
        "Name": "web 1",
        "State": "available",
        "OwnerId": "000000000000",
        "Public": false,
        "CreationDate": image.creation_date,
        "ImageLocation": "000000000000/web 1",
        "ImageType": "machine",
        "Architecture": "x86_64",
        "RootDeviceType": "ebs",
        "RootDeviceName": "/dev/sda1",
        "BlockDeviceMappings": [{"DeviceName": "/dev/sda1", "Ebs": {
            "SnapshotId": snapshot,
            "VolumeSize": 3,
            "VolumeType": "gp2",
            "DeleteOnTermination": true,
            "Encrypted": false,
        }}],
        "VirtualizationType": "hvm",
        "EnaSupport": true,
        "Hypervisor": "xen",
        "PlatformDetails": "Linux/UNIX",
        "UsageOperation": "RunInstances",
        "DeregistrationProtection": "disabled",
        "Tags": [{"Key": "Role", "Value": "web"}],
        "Kiln": {"Template": "debian-web"},
    }]});
    assert_eq!(serde_json::to_value(DescribeImages { images }).unwrap(), expected);
    assert_eq!(catalog.get(image.image_id).await.unwrap(), image);
    assert_eq!(catalog.find("web 1").await.unwrap(), image);
    assert_eq!(catalog.find(&image.image_id.to_string()).await.unwrap(), image);
}

#[tokio::test]
async fn ec2s_refusals() {
    let (catalog, snapshot) = catalog().await;
    let holder = catalog.register(new("web", snapshot), false).await.unwrap().image_id;
    let nobody = SnapshotId::from_bits(1);
    let device = |text: &str| text.parse::<DeviceName>().unwrap();
    let mapped = |device_name: DeviceName, device| {
        let mut image = new("other", snapshot);
        image.mappings.push(NewMapping { device_name, device });
        image
    };
    let small = NewEbs { snapshot_id: Some(snapshot), volume_size: Some(2), ..NewEbs::default() };
    let mut rootless = new("other", snapshot);
    rootless.root_device_name = device("/dev/xvda");
    let cases = [
        (
            new("web", snapshot),
            "InvalidAMIName.Duplicate",
            format!("AMI name web is already in use by AMI {holder}"),
        ),
        (
            new("other", nobody),
            "InvalidSnapshotID.NotFound",
            format!("The snapshot ID '{nobody}' does not exist"),
        ),
        (rootless, "InvalidBlockDeviceMapping", "No root snapshot specified in device mapping.".to_owned()),
        (
            mapped(device("/dev/sda1"), NewBlockDevice::NoDevice),
            "InvalidBlockDeviceMapping",
            "The device '/dev/sda1' is used in more than one block-device mapping".to_owned(),
        ),
        (
            mapped(device("/dev/sdf"), NewBlockDevice::Ebs(small)),
            "InvalidBlockDeviceMapping",
            format!("Volume of size 2GB is smaller than snapshot '{snapshot}', expect size >= 3GB"),
        ),
        (
            mapped(device("/dev/sdf"), NewBlockDevice::VirtualName("ephemeral24".to_owned())),
            "InvalidBlockDeviceMapping",
            "The virtual name 'ephemeral24' of device '/dev/sdf' is not one of ephemeral0 to ephemeral23"
                .to_owned(),
        ),
    ];
    for (image, code, sentence) in cases {
        assert_eq!(refusal(catalog.register(image, false).await), (code, sentence));
    }
    let gone = ImageId::from_bits(1);
    let sentence = format!("The image id '[{gone}]' does not exist");
    assert_eq!(refusal(catalog.get(gone).await), ("InvalidAMIID.NotFound", sentence));
    let malformed = ("InvalidAMIID.Malformed", "Invalid id: \"ami-1\"".to_owned());
    assert_eq!(refusal(catalog.find("ami-1").await), malformed);
    assert!(catalog.describe(&ImageQuery { ids: vec![gone], ..ImageQuery::default() }).await.is_err());
    assert_eq!(catalog.describe(&ImageQuery::default()).await.unwrap().len(), 1, "refusals leave no record");
    catalog.register(new("other", snapshot), false).await.expect("refusals take no name");
}

#[tokio::test]
async fn of_many_writers_one_takes_the_name() {
    let folder = tempfile::tempdir().unwrap();
    let location = Location::Folder(folder.path().to_owned());
    let region = Region::create(&location, &RegionName::local(), AccountId::LOCAL).await.unwrap();
    let snapshot = snapshot(&region).await;
    let catalog = Catalog::new(region);
    let writers = (0..8).map(async |_| catalog.register(new("web", snapshot), false).await);
    let results = futures::future::join_all(writers).await;
    let (won, lost): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
    assert_eq!(won.len(), 1);
    let holder = won.into_iter().next().unwrap().unwrap().image_id;
    for error in lost {
        assert!(
            matches!(error, Err(Error::NameDuplicate { holder: found, .. }) if found == holder),
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn replacing_passes_the_name_and_deregisters_the_old() {
    let (catalog, snapshot) = catalog().await;
    let old = catalog.register(new("web", snapshot), true).await.unwrap().image_id;
    let new_one = catalog.register(new("web", snapshot), true).await.unwrap();
    assert_eq!(catalog.find("web").await.unwrap(), new_one);
    let images = catalog.describe(&ImageQuery::default()).await.unwrap();
    assert_eq!(images, std::slice::from_ref(&new_one));
    let sentence = format!("The image ID '{old}' is no longer available");
    assert_eq!(refusal(catalog.get(old).await), ("InvalidAMIID.Unavailable", sentence));
    catalog.deregister(new_one.image_id, None).await.unwrap();
    assert!(matches!(catalog.deregister(new_one.image_id, None).await, Err(Error::ImageUnavailable { .. })));
    assert!(matches!(catalog.find("web").await, Err(Error::NameNotFound { .. })));
    catalog.register(new("web", snapshot), false).await.expect("a deregistered image frees its name");
}

#[tokio::test(start_paused = true)]
async fn a_writer_that_dies_with_the_name_is_passed_over_and_cannot_come_back() {
    let (catalog, snapshot) = catalog().await;
    let dead = dead_claim(&catalog, "web", 1, None).await;
    let image = catalog.register(new("web", snapshot), false).await.unwrap();
    assert_eq!(catalog.find("web").await.unwrap(), image);
    let late = Image { image_id: dead, ..image.clone() };
    assert_eq!(catalog.records.put_first(&late).await.unwrap(), Put::Taken);
    assert_eq!(catalog.describe(&ImageQuery::default()).await.unwrap(), [image]);
}

#[tokio::test(start_paused = true)]
async fn a_slow_writer_is_waited_for() {
    let (catalog, snapshot) = catalog().await;
    let slow = dead_claim(&catalog, "web", 1, None).await;
    let published = async {
        tokio::time::sleep(std::time::Duration::from_secs(2)).await;
        let image = Image::empty(slow, name("web"), AccountId::LOCAL, ImageState::Available);
        catalog.records.put_first(&image).await.unwrap()
    };
    let (put, refused) = tokio::join!(published, catalog.register(new("web", snapshot), false));
    assert_eq!(put, Put::Done);
    assert!(matches!(refused, Err(Error::NameDuplicate { holder, .. }) if holder == slow), "{refused:?}");
}

#[tokio::test(start_paused = true)]
async fn a_replacement_that_dies_gives_the_name_back() {
    let (catalog, snapshot) = catalog().await;
    let old = catalog.register(new("web", snapshot), false).await.unwrap();
    dead_claim(&catalog, "web", 2, Some(old.image_id)).await;
    assert_eq!(catalog.find("web").await.unwrap(), old);
    let refused = catalog.register(new("web", snapshot), false).await;
    assert!(matches!(refused, Err(Error::NameDuplicate { holder, .. }) if holder == old.image_id));
    let image = catalog.register(new("web", snapshot), true).await.unwrap();
    assert_eq!(catalog.describe(&ImageQuery::default()).await.unwrap(), [image]);
}

#[tokio::test(start_paused = true)]
async fn a_replacement_that_dies_late_is_completed_by_the_next() {
    let (catalog, snapshot) = catalog().await;
    let old = catalog.register(new("web", snapshot), false).await.unwrap().image_id;
    let id = dead_claim(&catalog, "web", 2, Some(old)).await;
    let available = Image::empty(id, name("web"), AccountId::LOCAL, ImageState::Available);
    assert_eq!(catalog.records.put_first(&available).await.unwrap(), Put::Done);
    let refused = catalog.register(new("web", snapshot), false).await;
    assert!(matches!(refused, Err(Error::NameDuplicate { holder, .. }) if holder == id));
    assert!(matches!(catalog.get(old).await, Err(Error::ImageUnavailable { .. })));
}

#[tokio::test]
async fn a_registration_that_cannot_write_its_record_frees_the_name() {
    let folder = tempfile::tempdir().unwrap();
    let location = Location::Folder(folder.path().to_owned());
    let region = Region::create(&location, &RegionName::local(), AccountId::LOCAL).await.unwrap();
    let snapshot = snapshot(&region).await;
    let catalog = Catalog::new(region);
    let names = Names::new(&catalog.region, AccountId::LOCAL);
    let image = catalog.register(new("web", snapshot), false).await.unwrap();
    // The name passes to an image whose record cannot be written, because a file lies where its folder should be.
    let lost = ImageId::random();
    let claim = names.claim(&name("web"), lost, true).await.unwrap();
    fs_err::write(folder.path().join(format!("images/{lost}")), "").unwrap();
    let record = Image { image_id: lost, ..image.clone() };
    let error = catalog.publish(&record, &names, &claim).await.unwrap_err();
    assert!(matches!(error, Error::Store(_)), "{error}");
    assert_eq!(catalog.find("web").await.unwrap(), image);

    // Once puts work again, the name is given back at once and the id is ended.
    fs_err::remove_file(folder.path().join(format!("images/{lost}"))).unwrap();
    assert_eq!(names.end(lost, &name("web")).await.unwrap(), Put::Done);
    names.release(&name("web"), &claim).await.unwrap();
    let refused = catalog.register(new("web", snapshot), false).await;
    assert!(matches!(refused, Err(Error::NameDuplicate { holder, .. }) if holder == image.image_id));
}
