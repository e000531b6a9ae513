//! ext2, ext3 and ext4 inside a disk.

use super::{Failure, Files};
use crate::region::Region;
use ext4_view::{Ext4, Ext4Error};

pub(super) fn load(region: Region) -> Result<Ext4, Failure> {
    Ok(Ext4::load(Box::new(region))?)
}

impl Files for Ext4 {
    fn size(&self, name: &str) -> Result<Option<u64>, Failure> {
        match self.metadata(name) {
            Ok(metadata) => Ok(metadata.file_type().is_regular_file().then(|| metadata.len())),
            Err(e) if is_absent(&e) => Ok(None),
            Err(e) => Err(e.into()),
        }
    }

    fn read(&self, name: &str) -> Result<Vec<u8>, Failure> {
        Ok(Self::read(self, name)?)
    }

    fn list(&self, name: &str) -> Result<Vec<String>, Failure> {
        let entries = match self.read_dir(name) {
            Err(e) if is_absent(&e) => return Ok(Vec::new()),
            other => other?,
        };
        let mut names = Vec::new();
        for entry in entries {
            if let Ok(text) = entry?.file_name().as_str() {
                names.push(text.to_owned());
            }
        }
        Ok(names)
    }

    fn has(&self, name: &str) -> bool {
        self.symlink_metadata(name).is_ok()
    }
}

/// A path that leads nowhere, also through a file taken for a folder or a link in a circle.
fn is_absent(error: &Ext4Error) -> bool {
    matches!(error, Ext4Error::NotFound | Ext4Error::NotADirectory | Ext4Error::TooManySymlinks)
}
