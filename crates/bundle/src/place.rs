//! Where the files of bundles lie: a folder of this host, or object storage.
//!
//! Bundles are made and read by threads that may wait; object storage is asked on a runtime that runs elsewhere.

use crate::{Error, hex};
use fs_err::os::unix::fs::OpenOptionsExt;
use md5::{Digest, Md5};
use object_store::{ObjectStore, ObjectStoreExt, PutPayload, path::Path as ObjectPath};
use rustix::fs::OFlags;
use std::{
    fmt,
    io::{ErrorKind, Read, Write},
    path::{Path, PathBuf},
    sync::Arc,
};
use tokio::runtime::Handle;

/// A folder, or a prefix of an object store.
#[derive(Clone)]
pub struct Place(Kind);

#[derive(Clone)]
enum Kind {
    Folder(PathBuf),
    Objects { store: Arc<dyn ObjectStore>, prefix: ObjectPath, runtime: Handle },
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Place").field(&self.shown("")).finish()
    }
}

impl Place {
    /// Takes a folder, which must be there.
    #[must_use]
    pub fn folder(path: &Path) -> Self {
        let here = path.as_os_str().is_empty();
        Self(Kind::Folder(if here { PathBuf::from(".") } else { path.to_owned() }))
    }

    /// Takes what lies in an object store behind a prefix. The runtime's threads must not be those that use this.
    #[must_use]
    pub fn objects(store: Arc<dyn ObjectStore>, prefix: ObjectPath, runtime: Handle) -> Self {
        Self(Kind::Objects { store, prefix, runtime })
    }

    /// Returns how a file here is called in messages.
    pub(crate) fn shown(&self, name: &str) -> String {
        match &self.0 {
            Kind::Folder(path) => path.join(name).display().to_string(),
            Kind::Objects { prefix, .. } => object(prefix, name).to_string(),
        }
    }

    /// Reads a file; nothing where there is none.
    pub(crate) fn get(&self, name: &str, most: u64) -> Result<Option<Vec<u8>>, Error> {
        match &self.0 {
            Kind::Folder(path) => get(&path.join(name), most),
            Kind::Objects { store, prefix, runtime } => {
                let path = object(prefix, name);
                let got = runtime.block_on(async {
                    let found = store.get(&path).await?;
                    if found.meta.size > most {
                        return Ok(None);
                    }
                    found.bytes().await.map(Some)
                });
                match got {
                    Ok(Some(bytes)) => Ok(Some(bytes.into())),
                    Ok(None) => Err(too_large(path.as_ref(), most)),
                    Err(object_store::Error::NotFound { .. }) => Ok(None),
                    Err(source) => Err(failed("read", &path, source)),
                }
            }
        }
    }

    /// Writes a file, whole or not at all.
    pub(crate) fn put(&self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        match &self.0 {
            Kind::Folder(path) => write_whole(&path.join(name), bytes),
            Kind::Objects { store, prefix, runtime } => {
                let path = object(prefix, name);
                let put = runtime.block_on(store.put(&path, PutPayload::from(bytes.to_vec())));
                put.map(drop).map_err(|source| failed("write", &path, source))
            }
        }
    }

    /// Removes a file, where there is one.
    pub(crate) fn remove(&self, name: &str) -> Result<(), Error> {
        match &self.0 {
            Kind::Folder(path) => match fs_err::remove_file(path.join(name)) {
                Err(error) if error.kind() != ErrorKind::NotFound => Err(error.into()),
                _ => Ok(()),
            },
            Kind::Objects { store, prefix, runtime } => {
                let path = object(prefix, name);
                match runtime.block_on(store.delete(&path)) {
                    Err(object_store::Error::NotFound { .. }) | Ok(()) => Ok(()),
                    Err(source) => Err(failed("remove", &path, source)),
                }
            }
        }
    }

    /// Whether files here are read at no cost.
    pub(crate) const fn is_near(&self) -> bool {
        matches!(self.0, Kind::Folder(_))
    }

    /// Whether an object store says that it holds these very bytes: its tag is their MD5, where it is one at all.
    pub(crate) fn tells_same(&self, name: &str, bytes: &[u8]) -> bool {
        let Kind::Objects { store, prefix, runtime } = &self.0 else { return false };
        let tag = runtime.block_on(store.head(&object(prefix, name))).ok().and_then(|found| found.e_tag);
        tag.is_some_and(|tag| tag.trim_matches('"') == hex::encode(&Md5::digest(bytes)))
    }
}

fn object(prefix: &ObjectPath, name: &str) -> ObjectPath {
    prefix.clone().join(name)
}

fn failed(operation: &'static str, path: &ObjectPath, source: object_store::Error) -> Error {
    Error::Object { operation, path: path.to_string(), source: Box::new(source) }
}

fn too_large(name: &str, most: u64) -> Error {
    Error::damaged(name, format!("is larger than {} MiB", most >> 20))
}

/// Reads a file that may be anybody's: no link is followed, no pipe waited for, and what is looked at is what is read.
fn get(path: &Path, most: u64) -> Result<Option<Vec<u8>>, Error> {
    let name = path.display().to_string();
    let not_a_file = || Error::damaged(name.clone(), "is not a file");
    match fs_err::symlink_metadata(path) {
        Ok(found) if !found.is_file() => return Err(not_a_file()),
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    }
    // Another may stand there by now.
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let mut options = fs_err::OpenOptions::new();
    let file = options.read(true).custom_flags(flags.bits().cast_signed()).open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(not_a_file());
    }
    if metadata.len() > most {
        return Err(too_large(&name, most));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or(0));
    file.take(most).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    use std::os::unix::fs::PermissionsExt;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let permissions = std::fs::Permissions::from_mode(0o666);
    let mut staged =
        tempfile::Builder::new().prefix(".kiln-staged-").permissions(permissions).tempfile_in(folder)?;
    staged.write_all(bytes)?;
    staged.as_file().sync_all()?;
    staged.persist(path).map(drop).map_err(|failed| Error::Io(failed.error))
}
