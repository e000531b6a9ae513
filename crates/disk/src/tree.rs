//! Reading files by path, wherever a tree of them lies, in one way.

mod archive;
mod ext4;
mod fat;
mod folder;

use crate::{Disk, Error, region::Region};
use std::{io, path::PathBuf};

/// The largest initrd that is unpacked to look for modules; real ones are below 150 MiB.
const INITRD_LIMIT: u64 = 512 << 20;

/// Where a tree lies. Plain data; [`Place::open`] opens it.
#[derive(Debug, Clone)]
pub(crate) enum Place {
    /// An ext4 at this part of a disk.
    Ext4 { disk: Disk, offset: u64, size: u64 },
    /// A FAT at this part of a disk.
    Fat { disk: Disk, offset: u64, size: u64 },
    /// What this file of another tree unpacks to: an initrd.
    Initrd { tree: Box<Self>, name: String },
    /// A folder of the host.
    Folder(PathBuf),
}

impl Place {
    /// Opens the tree for reading.
    pub(crate) fn open(&self) -> Result<Tree, Error> {
        match self {
            Self::Folder(path) => Ok(Tree::new(path.clone(), folder::Folder::new(path.clone()))),
            Self::Ext4 { disk, offset, size } => Tree::ext4(part(disk, *offset, *size)?),
            Self::Fat { disk, offset, size } => Tree::fat(&part(disk, *offset, *size)?),
            Self::Initrd { tree, name } => {
                let tree = tree.open()?;
                let packed = tree.need(name, INITRD_LIMIT)?;
                let archive = archive::Archive::unpack(packed).map_err(|e| tree.error(name, Box::new(e)))?;
                Ok(Tree::new(tree.path.join(name.trim_start_matches('/')), archive))
            }
        }
    }
}

fn part(disk: &Disk, offset: u64, size: u64) -> Result<Region, Error> {
    let region = Region::open(disk)?;
    region.part(offset, size).ok_or_else(|| Error::TooSmall {
        what: format!("the file system at byte {offset} of {}", disk.path().display()),
        needed: offset.saturating_add(size),
        available: region.size(),
    })
}

/// Why something could not be read; the kinds of trees have errors of their own.
type Failure = Box<dyn std::error::Error + Send + Sync>;

/// What each kind of tree can do. Names are absolute; symbolic links are followed.
trait Files {
    /// Returns a regular file's size; `None` when there is no such file.
    fn size(&self, name: &str) -> Result<Option<u64>, Failure>;

    /// Reads a file that is there.
    fn read(&self, name: &str) -> Result<Vec<u8>, Failure>;

    /// Lists a folder's names in no order; empty when there is no such folder.
    fn list(&self, name: &str) -> Result<Vec<String>, Failure>;

    /// Says whether anything is there. A symbolic link counts even where it points at nothing.
    fn has(&self, name: &str) -> bool;
}

/// An opened tree. Not `Send`: open it where it is read.
pub(crate) struct Tree {
    path: PathBuf,
    files: Box<dyn Files>,
}

impl Tree {
    fn new(path: PathBuf, files: impl Files + 'static) -> Self {
        Self { path, files: Box::new(files) }
    }

    /// Opens the ext4 in this part of a disk.
    pub(crate) fn ext4(region: Region) -> Result<Self, Error> {
        let path = region.path().to_owned();
        match ext4::load(region) {
            Ok(files) => Ok(Self::new(path, files)),
            Err(source) => {
                Err(Error::FileSystem { path, subject: "the ext4 file system".to_owned(), source })
            }
        }
    }

    /// Opens the FAT in this part of a disk.
    pub(crate) fn fat(region: &Region) -> Result<Self, Error> {
        let path = region.path().to_owned();
        match fat::Fat::load(region) {
            Ok(files) => Ok(Self::new(path, files)),
            Err(source) => Err(Error::FileSystem { path, subject: "the FAT file system".to_owned(), source }),
        }
    }

    /// Reads a file of at most `limit` bytes; symbolic links are followed. `None` when there is no such file.
    pub(crate) fn read(&self, name: &str, limit: u64) -> Result<Option<Vec<u8>>, Error> {
        let Some(size) = self.file_size(name)? else { return Ok(None) };
        if size > limit {
            let error = io::Error::other(format!("{size} bytes, more than {limit}"));
            return Err(self.error(name, Box::new(error)));
        }
        self.files.read(name).map(Some).map_err(|e| self.error(name, e))
    }

    /// Reads a file as [`Tree::read`] does; its absence is an error.
    pub(crate) fn need(&self, name: &str, limit: u64) -> Result<Vec<u8>, Error> {
        let absent = || self.error(name, Box::new(io::Error::from(io::ErrorKind::NotFound)));
        self.read(name, limit)?.ok_or_else(absent)
    }

    /// Reads a text file as [`Tree::read`] does; bytes that are not UTF-8 are replaced.
    pub(crate) fn read_text(&self, name: &str, limit: u64) -> Result<Option<String>, Error> {
        Ok(self.read(name, limit)?.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
    }

    /// Returns a regular file's size; `None` when there is no such file.
    pub(crate) fn file_size(&self, name: &str) -> Result<Option<u64>, Error> {
        self.files.size(name).map_err(|e| self.error(name, e))
    }

    /// Says whether anything is there. A symbolic link counts even where it points at nothing.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.files.has(name)
    }

    /// Lists a folder's names in no order; empty when there is no such folder.
    pub(crate) fn list(&self, name: &str) -> Result<Vec<String>, Error> {
        let mut names = self.files.list(name).map_err(|e| self.error(name, e))?;
        names.retain(|name| name != "." && name != "..");
        Ok(names)
    }

    fn error(&self, name: &str, source: Failure) -> Error {
        Error::FileSystem { path: self.path.clone(), subject: name.to_owned(), source }
    }
}

#[cfg(test)]
mod tests;
