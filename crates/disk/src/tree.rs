//! Reading files by path, from an ext4 inside a disk or from a folder of the host, in one way.

use crate::{Error, region::Region};
use ext4_view::{Ext4, Ext4Error};
use std::{
    io,
    path::{Path, PathBuf},
};

/// Where a tree lies. Plain data; [`Place::open`] opens it.
#[derive(Debug, Clone)]
pub(crate) enum Place {
    /// An ext4 at this part of a raw disk.
    Ext4 { raw: PathBuf, offset: u64, size: u64 },
    /// A folder of the host.
    Folder(PathBuf),
}

impl Place {
    /// Opens the tree for reading.
    pub(crate) fn open(&self) -> Result<Tree, Error> {
        match self {
            Self::Folder(path) => Ok(Tree { path: path.clone(), inner: Inner::Folder }),
            Self::Ext4 { raw, offset, size } => {
                let region = Region::open(raw)?;
                let part = region.part(*offset, *size).ok_or_else(|| Error::TooSmall {
                    what: format!("the file system at byte {offset} of {}", raw.display()),
                    needed: offset.saturating_add(*size),
                    available: region.size(),
                })?;
                Tree::ext4(part)
            }
        }
    }
}

/// An opened tree. Not `Send`: open it where it is read.
pub(crate) struct Tree {
    path: PathBuf,
    inner: Inner,
}

enum Inner {
    Ext4(Ext4),
    Folder,
}

impl Tree {
    /// Opens the ext4 in this part of a disk.
    pub(crate) fn ext4(region: Region) -> Result<Self, Error> {
        let path = region.path().to_owned();
        let ext4 = Ext4::load(Box::new(region)).map_err(|source| Error::FileSystem {
            path: path.clone(),
            subject: "the ext4 file system".to_owned(),
            source: Box::new(source),
        })?;
        Ok(Self { path, inner: Inner::Ext4(ext4) })
    }

    /// Reads a file of at most `limit` bytes; symbolic links are followed. `None` when there is no such file.
    pub(crate) fn read(&self, name: &str, limit: u64) -> Result<Option<Vec<u8>>, Error> {
        let Some(size) = self.file_size(name)? else { return Ok(None) };
        if size > limit {
            return Err(self.error(name, io::Error::other(format!("{size} bytes, more than {limit}"))));
        }
        let bytes = match &self.inner {
            Inner::Ext4(ext4) => ext4.read(name).map_err(|e| self.error(name, e))?,
            Inner::Folder => fs_err::read(self.host(name)).map_err(|e| self.error(name, e))?,
        };
        Ok(Some(bytes))
    }

    /// Reads a text file as [`Tree::read`] does; bytes that are not UTF-8 are replaced.
    pub(crate) fn read_text(&self, name: &str, limit: u64) -> Result<Option<String>, Error> {
        Ok(self.read(name, limit)?.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
    }

    /// Returns a regular file's size; `None` when there is no such file.
    pub(crate) fn file_size(&self, name: &str) -> Result<Option<u64>, Error> {
        match &self.inner {
            Inner::Ext4(ext4) => match ext4.metadata(name) {
                Ok(metadata) => Ok(metadata.file_type().is_regular_file().then(|| metadata.len())),
                Err(e) if is_absent(&e) => Ok(None),
                Err(e) => Err(self.error(name, e)),
            },
            Inner::Folder => match fs_err::metadata(self.host(name)) {
                Ok(metadata) => Ok(metadata.is_file().then_some(metadata.len())),
                Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
                Err(e) => Err(self.error(name, e)),
            },
        }
    }

    /// Says whether anything is there. A symbolic link counts even where it points at nothing.
    pub(crate) fn has(&self, name: &str) -> bool {
        match &self.inner {
            Inner::Ext4(ext4) => ext4.symlink_metadata(name).is_ok(),
            Inner::Folder => fs_err::symlink_metadata(self.host(name)).is_ok(),
        }
    }

    /// Lists a folder's names in no order; empty when there is no such folder.
    pub(crate) fn list(&self, name: &str) -> Result<Vec<String>, Error> {
        let mut names = Vec::new();
        match &self.inner {
            Inner::Ext4(ext4) => {
                let entries = match ext4.read_dir(name) {
                    Err(e) if is_absent(&e) => return Ok(names),
                    other => other.map_err(|e| self.error(name, e))?,
                };
                for entry in entries {
                    let entry = entry.map_err(|e| self.error(name, e))?;
                    if let Ok(text) = entry.file_name().as_str() {
                        names.push(text.to_owned());
                    }
                }
            }
            Inner::Folder => {
                let entries = match fs_err::read_dir(self.host(name)) {
                    Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(names),
                    other => other.map_err(|e| self.error(name, e))?,
                };
                for entry in entries {
                    let entry = entry.map_err(|e| self.error(name, e))?;
                    names.extend(entry.file_name().into_string());
                }
            }
        }
        names.retain(|name| name != "." && name != "..");
        Ok(names)
    }

    fn host(&self, name: &str) -> PathBuf {
        self.path.join(Path::new(name).strip_prefix("/").unwrap_or_else(|_| Path::new(name)))
    }

    fn error(&self, name: &str, source: impl std::error::Error + Send + Sync + 'static) -> Error {
        Error::FileSystem { path: self.path.clone(), subject: name.to_owned(), source: Box::new(source) }
    }
}

/// A path that leads nowhere, also through a file taken for a folder or a link in a circle.
fn is_absent(error: &Ext4Error) -> bool {
    matches!(error, Ext4Error::NotFound | Ext4Error::NotADirectory | Ext4Error::TooManySymlinks)
}
