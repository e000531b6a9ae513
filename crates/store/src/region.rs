//! A region: where it lies, what it is called, who owns it.

use crate::{Error, Location, Put, Versions, open_location};
use kiln_types::{AccountId, BLOCK_SIZE, RegionName};
use object_store::{ObjectStore, prefix::PrefixStore};
use serde::{Deserialize, Serialize};
use std::{path::PathBuf, sync::Arc};

/// The object that makes a place a region.
const RECORD: &str = "region.json";

/// The format that this build writes. A change makes older builds refuse the region.
const FORMAT_VERSION: u32 = 1;

/// An open region; clones share it.
#[derive(Debug, Clone)]
pub struct Region {
    pub(crate) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) store: Arc<dyn ObjectStore>,
    /// Where the region is a folder.
    pub(crate) folder: Option<PathBuf>,
    pub(crate) name: RegionName,
    pub(crate) owner: AccountId,
}

/// What `region.json` holds.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Record {
    format_version: u32,
    block_size: u64,
    name: RegionName,
    owner_id: AccountId,
}

impl Region {
    /// Opens the region at a location.
    ///
    /// # Errors
    /// [`Error::RegionMissing`] when there is none, [`Error::Newer`] when a newer Kiln made it.
    pub async fn open(location: &Location) -> Result<Self, Error> {
        let missing = || Error::RegionMissing { location: location.to_string() };
        if matches!(location, Location::Folder(path) if !path.is_dir()) {
            return Err(missing());
        }
        let region = Self::existing(store_at(location)?).await?.ok_or_else(missing)?;
        Ok(region.at(location))
    }

    /// Makes a region at a location.
    ///
    /// # Errors
    /// [`Error::RegionExists`] when there is one already.
    pub async fn create(location: &Location, name: &RegionName, owner: AccountId) -> Result<Self, Error> {
        let store = store_at(location)?;
        // One of the same name and owner is the same, byte for byte, and a put of it would succeed.
        let there = Self::existing(Arc::clone(&store)).await?;
        if there.is_none() && Self::write_new(&store, name, owner).await? == Put::Done {
            return Self::open(location).await;
        }
        let owner = Self::open(location).await?.owner();
        Err(Error::RegionExists { location: location.to_string(), owner })
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
        Ok(Self::on(store_at(location)?, name, owner).await?.at(location))
    }

    /// Opens or makes a region on an object store: in memory for tests, or one that injects faults.
    ///
    /// # Errors
    /// As [`Region::open_or_create`].
    pub async fn on(store: Arc<dyn ObjectStore>, name: &RegionName, owner: AccountId) -> Result<Self, Error> {
        if let Some(region) = Self::existing(Arc::clone(&store)).await? {
            return Ok(region);
        }
        // Whoever comes first names the region; the other opens it.
        let (Put::Done | Put::Taken) = Self::write_new(&store, name, owner).await?;
        let opened = Self::existing(store).await?;
        opened.ok_or_else(|| Error::RegionMissing { location: RECORD.to_owned() })
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

    async fn existing(store: Arc<dyn ObjectStore>) -> Result<Option<Self>, Error> {
        let unnamed = Self::with(store, RegionName::local(), AccountId::LOCAL);
        let Some(bytes) = unnamed.read_record(RECORD).await? else {
            return Ok(None);
        };
        let record = parse(&bytes)?;
        let store = Arc::clone(&unnamed.inner.store);
        Ok(Some(Self::with(store, record.name, record.owner_id)))
    }

    async fn write_new(
        store: &Arc<dyn ObjectStore>,
        name: &RegionName,
        owner: AccountId,
    ) -> Result<Put, Error> {
        let record = Record {
            format_version: FORMAT_VERSION,
            block_size: BLOCK_SIZE,
            name: name.clone(),
            owner_id: owner,
        };
        let json = serde_json::to_vec_pretty(&record)
            .map_err(|source| Error::Record { path: RECORD.to_owned(), source })?;
        Self::with(Arc::clone(store), name.clone(), owner).create_object(RECORD, json.into()).await
    }

    fn with(store: Arc<dyn ObjectStore>, name: RegionName, owner: AccountId) -> Self {
        Self { inner: Arc::new(Inner { store, folder: None, name, owner }) }
    }

    fn at(self, location: &Location) -> Self {
        let Location::Folder(folder) = location else { return self };
        let Inner { store, name, owner, .. } = &*self.inner;
        let (store, name, folder) = (Arc::clone(store), name.clone(), Some(folder.clone()));
        Self { inner: Arc::new(Inner { store, folder, name, owner: *owner }) }
    }
}

/// Reads the version before the rest: a newer format may have changed every other field.
fn parse(bytes: &[u8]) -> Result<Record, Error> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Version {
        format_version: u32,
    }
    let bad = |source| Error::Record { path: RECORD.to_owned(), source };
    let found = serde_json::from_slice::<Version>(bytes).map_err(bad)?.format_version;
    if found > FORMAT_VERSION {
        return Err(Error::Newer { path: RECORD.to_owned(), found, supported: FORMAT_VERSION });
    }
    let record = serde_json::from_slice::<Record>(bytes).map_err(bad)?;
    if record.block_size != BLOCK_SIZE {
        let what = format!("its blocks have {} bytes, expected {BLOCK_SIZE}", record.block_size);
        return Err(Error::Damaged { path: RECORD.to_owned(), what });
    }
    Ok(record)
}

fn store_at(location: &Location) -> Result<Arc<dyn ObjectStore>, Error> {
    let (store, prefix) = open_location(location)?;
    Ok(if prefix.as_ref().is_empty() { store } else { Arc::new(PrefixStore::new(store, prefix)) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> RegionName {
        text.parse().unwrap()
    }

    #[tokio::test]
    async fn a_region_is_made_once_and_keeps_its_name_and_owner() {
        let folder = tempfile::tempdir().unwrap();
        let location = Location::Folder(folder.path().join("a/b"));
        let missing = Region::open(&location).await.unwrap_err();
        assert!(matches!(missing, Error::RegionMissing { .. }), "{missing}");

        let owner = "000000000042".parse().unwrap();
        Region::create(&location, &name("one"), owner).await.unwrap();
        let twice = Region::create(&location, &name("two"), AccountId::LOCAL).await.unwrap_err();
        assert!(matches!(twice, Error::RegionExists { owner: found, .. } if found == owner), "{twice}");

        let opened = Region::open_or_create(&location, &name("two"), AccountId::LOCAL).await.unwrap();
        assert_eq!((opened.name(), opened.owner()), (&name("one"), owner));
    }

    #[tokio::test]
    async fn a_newer_or_damaged_region_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let location = Location::Folder(folder.path().to_owned());
        let open_with = |text: &'static str| {
            fs_err::write(folder.path().join(RECORD), text).unwrap();
            Region::open(&location)
        };
        let newer = open_with(r#"{"FormatVersion":2,"Shards":[]}"#).await.unwrap_err();
        assert_eq!(newer.to_string(), "region.json has format version 2, and this kiln reads up to 1");
        assert!(newer.hint().is_some());
        let damaged = open_with("{").await.unwrap_err();
        assert_eq!(damaged.to_string(), "region.json is not a valid record");
    }
}
