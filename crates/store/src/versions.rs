//! Records that change by numbered versions, each made with a create-only put.

use crate::{Error, Region};
use serde::{Serialize, de::DeserializeOwned};

/// A folder of records, each of them a folder of versions: `snapshots/<name>/00000001.json`.
#[derive(Debug, Clone)]
pub struct Versions {
    pub(crate) region: Region,
    pub(crate) folder: String,
}

/// Whether a version was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Put {
    /// It was, and is durable.
    Done,
    /// Another writer made a version with this number first; nothing was written.
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
        let _ = (name, number, record);
        todo!()
    }

    /// Reads the newest version of a record, if there is one.
    ///
    /// # Errors
    /// When the object store fails or the record is damaged.
    pub async fn newest<T: DeserializeOwned>(&self, name: &str) -> Result<Option<Versioned<T>>, Error> {
        let _ = name;
        todo!()
    }

    /// Reads the newest version of every record, by name.
    ///
    /// # Errors
    /// When the object store fails or a record is damaged.
    pub async fn all<T: DeserializeOwned>(&self) -> Result<Vec<(String, Versioned<T>)>, Error> {
        todo!()
    }
}
