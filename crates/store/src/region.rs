//! A region: where it lies, what it is called, who owns it.

use crate::{Error, Versions};
use kiln_types::{AccountId, RegionName};
use object_store::ObjectStore;
use std::{path::PathBuf, str::FromStr, sync::Arc};

/// Where a region lies.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Location {
    /// A folder of this host, or one that hosts share.
    Folder(PathBuf),
}

impl FromStr for Location {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        if text.is_empty() || text.contains("://") {
            return Err(Error::Location { location: text.to_owned() });
        }
        Ok(Self::Folder(PathBuf::from(text)))
    }
}

/// An open region; clones share it.
#[derive(Debug, Clone)]
pub struct Region {
    pub(crate) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) store: Arc<dyn ObjectStore>,
    pub(crate) name: RegionName,
    pub(crate) owner: AccountId,
}

impl Region {
    /// Opens the region at a location.
    ///
    /// # Errors
    /// [`Error::RegionMissing`] when there is none, [`Error::Newer`] when a newer Kiln made it.
    pub async fn open(location: &Location) -> Result<Self, Error> {
        let _ = location;
        todo!()
    }

    /// Makes a region at a location.
    ///
    /// # Errors
    /// [`Error::RegionExists`] when there is one already.
    pub async fn create(location: &Location, name: &RegionName, owner: AccountId) -> Result<Self, Error> {
        let _ = (location, name, owner);
        todo!()
    }

    /// Opens the region at a location, or makes it where there is none.
    ///
    /// # Errors
    /// As [`Region::open`]; an existing region keeps its own name and owner.
    pub async fn open_or_create(
        location: &Location,
        name: &RegionName,
        owner: AccountId,
    ) -> Result<Self, Error> {
        let _ = (location, name, owner);
        todo!()
    }

    /// Opens or makes a region on an object store: in memory for tests, or one that injects faults.
    ///
    /// # Errors
    /// As [`Region::open_or_create`].
    pub async fn on(store: Arc<dyn ObjectStore>, name: &RegionName, owner: AccountId) -> Result<Self, Error> {
        let _ = (store, name, owner);
        todo!()
    }

    /// Returns the region's name.
    #[must_use]
    pub fn name(&self) -> &RegionName {
        &self.inner.name
    }

    /// Returns the account that owns the region.
    #[must_use]
    pub fn owner(&self) -> AccountId {
        self.inner.owner
    }

    /// Returns the records under a folder of the region.
    #[must_use]
    pub fn versions(&self, folder: &str) -> Versions {
        Versions { region: self.clone(), folder: folder.to_owned() }
    }
}
