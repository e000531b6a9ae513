//! A folder of the host.

use super::{Failure, Files};
use std::{
    io,
    path::{Path, PathBuf},
};

pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn new(path: PathBuf) -> Self {
        Self(path)
    }

    fn host(&self, name: &str) -> PathBuf {
        self.0.join(Path::new(name).strip_prefix("/").unwrap_or_else(|_| Path::new(name)))
    }
}

impl Files for Folder {
    fn size(&self, name: &str) -> Result<Option<u64>, Failure> {
        match fs_err::metadata(self.host(name)) {
            Ok(metadata) => Ok(metadata.is_file().then_some(metadata.len())),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e.into()),
        }
    }

    fn read(&self, name: &str) -> Result<Vec<u8>, Failure> {
        Ok(fs_err::read(self.host(name))?)
    }

    fn list(&self, name: &str) -> Result<Vec<String>, Failure> {
        let entries = match fs_err::read_dir(self.host(name)) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other?,
        };
        let mut names = Vec::new();
        for entry in entries {
            names.extend(entry?.file_name().into_string());
        }
        Ok(names)
    }

    fn has(&self, name: &str) -> bool {
        fs_err::symlink_metadata(self.host(name)).is_ok()
    }
}
