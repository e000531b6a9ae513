//! The few operations on objects that a region is built from, with errors that name the object.

use crate::{Error, Put, Region};
use bytes::Bytes;
use futures::TryStreamExt;
use object_store::{GetOptions, ObjectMeta, ObjectStoreExt, PutMode, path::Path};
use std::ops::Range;

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

    /// Reads parts of an object.
    pub(crate) async fn read_ranges(&self, path: &str, ranges: &[Range<u64>]) -> Result<Vec<Bytes>, Error> {
        let read = self.inner.store.get_ranges(&Path::from(path), ranges).await;
        read.map_err(|source| object_error("read", path, source))
    }

    /// Writes an object unless there is one of this name.
    pub(crate) async fn create_object(&self, path: &str, bytes: Bytes) -> Result<Put, Error> {
        let put = self.inner.store.put_opts(&Path::from(path), bytes.into(), PutMode::Create.into()).await;
        match put {
            Ok(_) => Ok(Put::Done),
            Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }) => {
                Ok(Put::Taken)
            }
            Err(source) => Err(object_error("write", path, source)),
        }
    }

    /// Lists the objects under a prefix, by path.
    pub(crate) async fn list_objects(&self, prefix: &str) -> Result<Vec<ObjectMeta>, Error> {
        let listed = self.inner.store.list(Some(&Path::from(prefix))).try_collect::<Vec<_>>().await;
        let mut objects = listed.map_err(|source| object_error("list", prefix, source))?;
        objects.sort_by(|a, b| a.location.cmp(&b.location));
        Ok(objects)
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
