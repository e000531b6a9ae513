//! The few operations on objects that a region is built from, with errors that name the object.

use crate::{Error, Put, Region, local};
use bytes::Bytes;
use futures::TryStreamExt;
use object_store::{GetOptions, ObjectMeta, ObjectStoreExt, PutMode, path::Path};
use std::ops::Range;
use tokio::task;

/// Largest record that is read: a record is small, and a damaged region must not fill the memory.
const MAX_RECORD: u64 = 16 << 20;

impl Region {
    /// Reads a whole object, or nothing where there is none.
    pub(crate) async fn read_object(&self, path: &str) -> Result<Option<Bytes>, Error> {
        self.read_limited(path, u64::MAX).await
    }

    /// Reads a record, or nothing where there is none.
    pub(crate) async fn read_record(&self, path: &str) -> Result<Option<Bytes>, Error> {
        self.read_limited(path, MAX_RECORD).await
    }

    async fn read_limited(&self, path: &str, limit: u64) -> Result<Option<Bytes>, Error> {
        let result = match self.inner.store.get_opts(&Path::from(path), GetOptions::default()).await {
            Ok(result) => result,
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            Err(source) => return Err(object_error("read", path, source)),
        };
        if result.meta.size > limit {
            let what = format!("{} bytes are too many for a record", result.meta.size);
            return Err(Error::Damaged { path: path.to_owned(), what });
        }
        let bytes = result.bytes().await.map_err(|source| object_error("read", path, source))?;
        Ok(Some(bytes))
    }

    /// Says whether there is an object of this name.
    pub(crate) async fn has_object(&self, path: &str) -> Result<bool, Error> {
        match self.inner.store.head(&Path::from(path)).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(source) => Err(object_error("read", path, source)),
        }
    }

    /// Reads parts of an object.
    pub(crate) async fn read_ranges(&self, path: &str, ranges: &[Range<u64>]) -> Result<Vec<Bytes>, Error> {
        let read = match &self.inner.folder {
            Some(folder) => {
                let (file, ranges) = (folder.join(path), ranges.to_vec());
                let read = task::spawn_blocking(move || local::read_ranges(&file, &ranges)).await;
                read.map_err(|_panicked| Error::Worker)?
            }
            None => self.inner.store.get_ranges(&Path::from(path), ranges).await,
        };
        read.map_err(|source| object_error("read", path, source))
    }

    /// Writes an object unless there is one of this name.
    ///
    /// Where an answer is lost the object may be there or not, and `object_store` sends some such requests again, which
    /// are then told that the object is there. So the bytes say whose it is: every object of a region that is made this
    /// way has an id of its writer in it, or means the same whoever wrote it.
    pub(crate) async fn create_object(&self, path: &str, bytes: Bytes) -> Result<Put, Error> {
        use object_store::Error::{AlreadyExists, Generic, Precondition};
        let location = Path::from(path);
        let put = self.inner.store.put_opts(&location, bytes.clone().into(), PutMode::Create.into()).await;
        let source = match put {
            Ok(_) => return Ok(Put::Done),
            Err(source @ (AlreadyExists { .. } | Precondition { .. } | Generic { .. })) => source,
            Err(source) => return Err(object_error("write", path, source)),
        };
        match self.read_object(path).await {
            Ok(Some(found)) if found == bytes => Ok(Put::Done),
            Ok(Some(_)) => Ok(Put::Taken),
            Ok(None) | Err(_) => Err(object_error("write", path, source)),
        }
    }

    /// Lists the objects under a prefix, by path.
    pub(crate) async fn list_objects(&self, prefix: &str) -> Result<Vec<ObjectMeta>, Error> {
        let listed = self.inner.store.list(Some(&Path::from(prefix))).try_collect::<Vec<_>>().await;
        let mut objects = listed.map_err(|source| object_error("list", prefix, source))?;
        objects.sort_by(|a, b| a.location.cmp(&b.location));
        Ok(objects)
    }

    /// Lists the files under a prefix by name, as seen from it, where the region is a folder.
    pub(crate) async fn list_files(&self, prefix: &str) -> Result<Option<Vec<String>>, Error> {
        let Some(folder) = self.inner.folder.as_ref().map(|folder| folder.join(prefix)) else {
            return Ok(None);
        };
        let listed = task::spawn_blocking(move || local::list(&folder)).await;
        let listed = listed.map_err(|_panicked| Error::Worker)?;
        listed.map(Some).map_err(|source| object_error("list", prefix, source))
    }

    /// Begins an object that is written in parts and appears when it is whole.
    pub(crate) async fn begin_object(
        &self,
        path: &str,
    ) -> Result<Box<dyn object_store::MultipartUpload>, Error> {
        let begun = self.inner.store.put_multipart(&Path::from(path)).await;
        begun.map_err(|source| object_error("write", path, source))
    }
}

pub(crate) fn object_error(operation: &'static str, path: &str, source: object_store::Error) -> Error {
    Error::Object { operation, path: path.to_owned(), source }
}
