//! An open installation: its home, its region, its catalogue, and the programs that it drives.

use crate::{Error, Events, Home, Regions, cancel::Cancel, lock::Lock};
use kiln_catalog::{Catalog, Image, Viewer};
use kiln_machine::Supervisor;
use kiln_store::{Location, NewSnapshot, Region, Snapshot};
use kiln_types::{AccountId, RegionName, SnapshotId};
use std::path::{Path, PathBuf};

/// An open installation.
#[derive(Debug, Clone)]
pub struct Kiln {
    pub(crate) home: Home,
    pub(crate) region: Region,
    /// Where the region lies.
    pub(crate) location: Location,
    pub(crate) catalog: Catalog,
    /// Folders where programs are looked for.
    pub(crate) programs: Vec<PathBuf>,
    /// The program that outlives this process for as long as it takes to end a machine.
    pub(crate) supervisor: Supervisor,
}

impl Kiln {
    /// Opens the installation at `home`, making it where there is none.
    ///
    /// # Errors
    /// When the home or its region cannot be opened.
    pub async fn open(home: &Path, programs: Vec<PathBuf>, supervisor: Supervisor) -> Result<Self, Error> {
        let home = Home::open(home)?;
        let location = Location::Folder(home.local_region());
        let region = Region::open_or_create(&location, &RegionName::local(), AccountId::LOCAL).await?;
        let catalog = Catalog::new(region.clone()).with_index(home.image_index(region.name(), ""));
        Ok(Self { home, region, location, catalog, programs, supervisor })
    }

    /// Works in another region than the home's own.
    ///
    /// # Errors
    /// When the configuration names none so, or it cannot be opened.
    pub async fn in_region(self, name: &RegionName, regions: &Regions) -> Result<Self, Error> {
        if *name == RegionName::local() {
            return Ok(self);
        }
        let location = regions.location(name)?;
        let region = Region::open(&location).await?;
        // A name may come to mean another place.
        let index = self.home.image_index(name, &location.to_string());
        let viewer = self.catalog.viewer().clone();
        let catalog = Catalog::new(region.clone()).with_index(index).acting_as(viewer);
        Ok(Self { region, location, catalog, ..self })
    }

    /// Acts as another account: sees what that one may see, and owns what that one makes.
    #[must_use]
    pub fn acting_as(self, viewer: impl Into<Viewer>) -> Self {
        Self { catalog: self.catalog.acting_as(viewer), ..self }
    }

    /// Returns the catalogue of the default region.
    #[must_use]
    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// Returns the default region.
    #[must_use]
    pub fn region(&self) -> &Region {
        &self.region
    }

    /// Finds what an image's or a snapshot's disk is made of: the snapshot of the root device.
    ///
    /// # Errors
    /// When neither an image nor a snapshot is called so for this account, or the image is shared with it and its snapshot
    /// is not.
    pub async fn root_snapshot(&self, id_or_name: &str) -> Result<SnapshotId, Error> {
        if let Ok(id) = id_or_name.parse() {
            return Ok(self.catalog.snapshot(id).await?.snapshot_id);
        }
        let image = self.catalog.find(id_or_name).await?;
        let root = root_of(&image).ok_or(Error::NoRootSnapshot { image: image.image_id })?;
        self.check_storage([root]).await?;
        Ok(root)
    }

    /// Stores a volume's changed blocks, telling how far it is.
    pub(crate) async fn store(&self, new: NewSnapshot, events: &Events) -> Result<Snapshot, Error> {
        let tell = events.clone();
        let progress = move |progress: kiln_store::Progress| {
            let bytes = |blocks: u64| blocks * kiln_types::BLOCK_SIZE;
            tell.progress(bytes(progress.done), bytes(progress.total));
        };
        Ok(self.region.create_snapshot(new, progress).await?)
    }

    /// Waits for a lock without holding up a thread of the runtime, and says that it waits.
    pub(crate) async fn lock(&self, name: &str, events: &Events) -> Result<Lock, Error> {
        let path = self.home.lock_path(name);
        if let Some(lock) = Lock::try_now(&path)? {
            return Ok(lock);
        }
        events.note("another build is making the same; waiting for it");
        loop {
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
            if let Some(lock) = Lock::try_now(&path)? {
                return Ok(lock);
            }
        }
    }

    /// Returns a flag that is not set.
    pub(crate) fn cancel() -> Cancel {
        Cancel::default()
    }
}

/// Finds the snapshot behind an image's root device.
pub(crate) fn root_of(image: &Image) -> Option<SnapshotId> {
    let mut mappings = image.block_device_mappings.iter();
    let root = mappings.find(|mapping| mapping.device_name == image.root_device_name);
    match root.map(|root| &root.device) {
        Some(kiln_catalog::BlockDevice::Ebs(ebs)) => ebs.snapshot_id,
        _ => image.kiln.bundled_from,
    }
}

/// Lists the snapshots behind an image's devices, the root's first.
pub(crate) fn snapshots_of(image: &Image) -> Vec<SnapshotId> {
    let mut mappings: Vec<_> = image.block_device_mappings.iter().collect();
    mappings.sort_by_key(|mapping| mapping.device_name != image.root_device_name);
    mappings.into_iter().filter_map(|mapping| mapping.device.snapshot()).collect()
}
