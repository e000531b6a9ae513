//! A FAT inside a disk: a `/boot` or an EFI system partition.

use super::{Failure, Files};
use crate::region::{Region, Stream};
use fatfs::{Dir, FileSystem, FsOptions};
use std::io::{self, Read};

/// A folder has 65,536 entries at most; a chain of clusters that goes in a circle has more.
const ENTRIES_LIMIT: usize = 65_536;

pub(super) struct Fat(FileSystem<Stream>);

impl Fat {
    pub(super) fn load(region: &Region) -> Result<Self, Failure> {
        let options = FsOptions::new().update_accessed_date(false);
        Ok(Self(FileSystem::new(region.stream(), options)?))
    }

    /// Opens the folder that holds a name; `None` when there is none.
    fn parent<'n>(&self, name: &'n str) -> Result<Option<(Dir<'_, Stream>, &'n str)>, Failure> {
        let name = name.trim_matches('/');
        let (folder, last) = name.rsplit_once('/').unwrap_or(("", name));
        Ok(self.folder(folder)?.map(|folder| (folder, last)))
    }

    fn folder(&self, name: &str) -> Result<Option<Dir<'_, Stream>>, Failure> {
        match name.trim_matches('/') {
            "" => Ok(Some(self.0.root_dir())),
            name => Ok(present(self.0.root_dir().open_dir(name))?),
        }
    }
}

impl Files for Fat {
    fn size(&self, name: &str) -> Result<Option<u64>, Failure> {
        let Some((folder, name)) = self.parent(name)? else { return Ok(None) };
        for entry in folder.iter().take(ENTRIES_LIMIT) {
            let entry = entry?;
            if entry.is_file() && entry.file_name().eq_ignore_ascii_case(name) {
                return Ok(Some(entry.len()));
            }
        }
        Ok(None)
    }

    fn read(&self, name: &str) -> Result<Vec<u8>, Failure> {
        let mut bytes = Vec::new();
        self.0.root_dir().open_file(name.trim_matches('/'))?.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn list(&self, name: &str) -> Result<Vec<String>, Failure> {
        let Some(folder) = self.folder(name)? else { return Ok(Vec::new()) };
        let names = folder.iter().take(ENTRIES_LIMIT).map(|entry| Ok(entry?.file_name()));
        names.collect()
    }

    fn has(&self, name: &str) -> bool {
        self.size(name).is_ok_and(|size| size.is_some()) || self.folder(name).is_ok_and(|dir| dir.is_some())
    }
}

fn present<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(found) => Ok(Some(found)),
        // fatfs says "other" of a file that is taken for a folder.
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::Other) => Ok(None),
        Err(e) => Err(e),
    }
}
