//! Records that change by numbered versions, each made with a create-only put.
//!
//! ```text
//! <folder>/<name>/00000001.json     never changed once written
//! <folder>/<name>/00000002.json     the newest is the record
//! ```
//! A folder and S3 have the create-only put in common, and neither has to offer an update-if-unchanged: two writers
//! that read version 1 both try to write version 2, and one of them is told that it was too late.

use crate::{Error, Region};
use futures::{StreamExt, TryStreamExt, stream};
use object_store::ObjectMeta;
use serde::{Serialize, de::DeserializeOwned};
use std::collections::BTreeMap;

/// Records that are read at the same time: hides the latency of object storage, and is few file handles.
const READS_AT_ONCE: usize = 32;

/// A folder of records, each of them a folder of versions.
#[derive(Debug, Clone)]
pub struct Versions {
    pub(crate) region: Region,
    pub(crate) folder: String,
}

/// Whether an object was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Put {
    /// It was, and is durable; or it was there already, byte for byte.
    Done,
    /// Another writer made another object of this name first; nothing was written.
    Taken,
}

/// A record and the number of its version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Versioned<T> {
    /// The version's number, from 1.
    pub number: u32,
    /// The record.
    pub record: T,
}

impl Versions {
    /// Writes version `number` of a record, unless it is there.
    ///
    /// # Errors
    /// When the object store fails; the version may then be there or not.
    pub async fn put<T: Serialize>(&self, name: &str, number: u32, record: &T) -> Result<Put, Error> {
        let path = self.path(name, number);
        let mut json = serde_json::to_vec_pretty(record)
            .map_err(|source| Error::Record { path: path.clone(), source })?;
        json.push(b'\n');
        self.region.create_object(&path, json.into()).await
    }

    /// Reads the newest version of a record, if there is one.
    ///
    /// # Errors
    /// When the object store fails or the record is damaged.
    pub async fn newest<T: DeserializeOwned>(&self, name: &str) -> Result<Option<Versioned<T>>, Error> {
        let folder = format!("{}/{name}", self.folder);
        let objects = self.region.list_objects(&folder).await?;
        let numbers = objects.iter().filter_map(|object| {
            let (owner, number) = split(self.relative(object)?)?;
            (owner == name).then_some(number)
        });
        match numbers.max() {
            Some(number) => self.read(name, number).await,
            None => Ok(None),
        }
    }

    /// Reads the newest version of every record, by name.
    ///
    /// # Errors
    /// When the object store fails or a record is damaged.
    pub async fn all<T: DeserializeOwned>(&self) -> Result<Vec<(String, Versioned<T>)>, Error> {
        self.read_all(self.numbers().await?).await
    }

    /// Lists the number of every record's newest version, by name, and reads none.
    ///
    /// # Errors
    /// When the object store fails.
    pub async fn numbers(&self) -> Result<BTreeMap<String, u32>, Error> {
        let mut newest = BTreeMap::<String, u32>::new();
        let mut count = |file: &str| {
            if let Some((name, number)) = split(file) {
                let known = newest.entry(name.to_owned()).or_default();
                *known = number.max(*known);
            }
        };
        match self.region.list_files(&self.folder).await? {
            Some(files) => files.iter().for_each(|file| count(file)),
            None => {
                let objects = self.region.list_objects(&self.folder).await?;
                objects.iter().filter_map(|object| self.relative(object)).for_each(count);
            }
        }
        Ok(newest)
    }

    /// Returns an object's name as seen from the folder.
    fn relative<'o>(&self, object: &'o ObjectMeta) -> Option<&'o str> {
        object.location.as_ref().strip_prefix(&self.folder)?.strip_prefix('/')
    }

    /// Reads these versions of these records, by name. One that went away since it was listed is simply not there.
    ///
    /// # Errors
    /// When the object store fails or a record is damaged.
    pub async fn read_all<T: DeserializeOwned>(
        &self,
        versions: impl IntoIterator<Item = (String, u32)>,
    ) -> Result<Vec<(String, Versioned<T>)>, Error> {
        let reads = versions.into_iter().map(async |(name, number)| {
            let read = self.read(&name, number).await?;
            Ok::<_, Error>(read.map(|version| (name, version)))
        });
        stream::iter(reads).buffered(READS_AT_ONCE).try_filter_map(async |read| Ok(read)).try_collect().await
    }

    async fn read<T: DeserializeOwned>(
        &self,
        name: &str,
        number: u32,
    ) -> Result<Option<Versioned<T>>, Error> {
        let path = self.path(name, number);
        let Some(bytes) = self.region.read_record(&path).await? else {
            return Ok(None);
        };
        let record = serde_json::from_slice(&bytes).map_err(|source| Error::Record { path, source })?;
        Ok(Some(Versioned { number, record }))
    }

    fn path(&self, name: &str, number: u32) -> String {
        format!("{}/{name}/{number:08}.json", self.folder)
    }
}

/// Takes `<name>/<number>.json` apart; other objects of the folder are none of ours.
fn split(file: &str) -> Option<(&str, u32)> {
    let (name, file) = file.rsplit_once('/')?;
    let digits = file.strip_suffix(".json")?;
    let valid = digits.len() == 8 && digits.bytes().all(|b| b.is_ascii_digit());
    let number = digits.parse().ok().filter(|_| valid)?;
    Some((name, number))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[tokio::test]
    async fn the_newest_version_is_the_record_and_none_is_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        for region in [testing::region_in(folder.path()).await, testing::region_in_memory().await] {
            let versions = region.versions("things");
            assert_eq!(versions.newest::<String>("a/b").await.unwrap(), None);
            assert_eq!(versions.put("a/b", 1, &"one").await.unwrap(), Put::Done);
            assert_eq!(versions.put("a/b", 1, &"other").await.unwrap(), Put::Taken);
            assert_eq!(versions.put("a/b", 2, &"two").await.unwrap(), Put::Done);
            assert_eq!(versions.put("a/bc", 9, &"nine").await.unwrap(), Put::Done);
            let two = Versioned { number: 2, record: "two".to_owned() };
            assert_eq!(versions.newest("a/b").await.unwrap(), Some(two.clone()));
            let nine = Versioned { number: 9, record: "nine".to_owned() };
            let all = versions.all::<String>().await.unwrap();
            assert_eq!(all, [("a/b".to_owned(), two), ("a/bc".to_owned(), nine)]);
        }
    }

    #[tokio::test]
    async fn of_many_writers_of_a_version_one_wins() {
        let folder = tempfile::tempdir().unwrap();
        let versions = testing::region_in(folder.path()).await.versions("things");
        let puts = (0..16).map(async |writer| versions.put("a", 1, &writer).await);
        let done = futures::future::join_all(puts).await;
        assert_eq!(done.iter().filter(|put| matches!(put, Ok(Put::Done))).count(), 1);
    }

    #[tokio::test]
    async fn a_damaged_record_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let versions = testing::region_in(folder.path()).await.versions("things");
        assert_eq!(versions.put("a", 1, &"one").await.unwrap(), Put::Done);
        fs_err::write(folder.path().join("things/a/00000001.json"), "{").unwrap();
        let error = versions.newest::<String>("a").await.unwrap_err();
        assert_eq!(error.to_string(), "things/a/00000001.json is not a valid record");
    }
}
