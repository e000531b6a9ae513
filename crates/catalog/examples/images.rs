//! Fills a new region in a folder with images of one small snapshot: `images REGION COUNT`. `cargo xtask bench search` searches
//! them.

use futures::{StreamExt, TryStreamExt, stream};
use kiln_catalog::{Catalog, ImageKiln, NewImage, NewMapping, Tag};
use kiln_qcow2::RawDisk;
use kiln_store::{Location, NewSnapshot, Region};
use kiln_types::{AccountId, Architecture, RegionName, SnapshotId};
use std::{error::Error, path::PathBuf};

/// Registrations that wait for the disk at the same time.
const AT_ONCE: usize = 16;
const SUITES: [&str; 3] = ["bookworm", "trixie", "forky"];

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [region, count] = words.as_slice() else { return Err("usage: images REGION COUNT".into()) };
    let location = Location::Folder(PathBuf::from(region));
    let region = Region::open_or_create(&location, &RegionName::local(), AccountId::LOCAL).await?;
    let snapshot = empty_snapshot(&region).await?;
    let catalog = Catalog::new(region);
    let images = (0..count.parse()?).map(|number| {
        let catalog = &catalog;
        async move { catalog.register(image(number, snapshot)?, false).await.map_err(Box::<dyn Error>::from) }
    });
    stream::iter(images).buffer_unordered(AT_ONCE).try_for_each(|_| async { Ok(()) }).await
}

async fn empty_snapshot(region: &Region) -> Result<SnapshotId, Box<dyn Error>> {
    let disk = tempfile::NamedTempFile::new()?;
    disk.as_file().set_len(1 << 20)?;
    let new = NewSnapshot {
        source: Box::new(RawDisk::open(disk.path())?),
        parent: None,
        owner: AccountId::LOCAL,
        description: String::new(),
        tags: Vec::new(),
    };
    Ok(region.create_snapshot(new, |_| {}).await?.snapshot_id)
}

/// One of the images of three suites and four roles, as a team's builds of some years leave them.
fn image(number: usize, snapshot: SnapshotId) -> Result<NewImage, Box<dyn Error>> {
    let suite = SUITES.get(number % SUITES.len()).ok_or("a suite")?;
    let root = "/dev/sda1".parse()?;
    let tag = |key: &str, value: String| Tag { key: key.to_owned(), value };
    Ok(NewImage {
        name: format!("debian-{suite}-{number:05}").parse()?,
        description: Some(format!("Debian {suite}, build {number}")),
        owner: AccountId::LOCAL,
        architecture: Architecture::X86_64,
        mappings: vec![NewMapping::from_snapshot(root, snapshot)],
        root_device_name: "/dev/sda1".parse()?,
        boot_mode: None,
        tpm_support: None,
        tags: vec![tag("Role", format!("role-{}", number % 4)), tag("Build", number.to_string())],
        kiln: ImageKiln::default(),
    })
}
