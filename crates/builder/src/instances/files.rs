//! The folder of an instance.

use super::{Instance, InstanceError};
use crate::{Error, home::write_whole, lock::Lock};
use kiln_types::InstanceId;
use std::{
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

/// The folder of an instance.
#[derive(Debug, Clone)]
pub struct InstanceFiles {
    id: InstanceId,
    folder: PathBuf,
}

/// How its owner gets into a guest.
#[derive(Debug, Clone)]
pub struct SshAccess {
    /// The loopback port.
    pub port: u16,
    /// The private key.
    pub key: PathBuf,
    /// The file that knows the guest's host key, under the instance's id.
    pub known_hosts: PathBuf,
    /// What the guest is called in that file.
    pub host_key_alias: String,
}

impl InstanceFiles {
    /// The folder of an instance of a home.
    pub(crate) fn new(instances: &Path, id: InstanceId) -> Self {
        Self { id, folder: instances.join(id.to_string()) }
    }

    /// The folder of an instance, whose name is its id.
    pub(crate) fn at(folder: &Path) -> Result<Self, Error> {
        let id = parse_id(&folder.file_name().unwrap_or_default().to_string_lossy())?;
        Ok(Self { id, folder: folder.to_owned() })
    }

    /// Makes the folder; nobody else may look into it.
    pub(crate) fn create(&self) -> Result<(), Error> {
        std::fs::DirBuilder::new().mode(0o700).create(&self.folder)?;
        Ok(())
    }

    pub(crate) const fn id(&self) -> InstanceId {
        self.id
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Returns the file of what the guest says on its console.
    #[must_use]
    pub fn console(&self) -> PathBuf {
        self.path("console.log")
    }

    /// Returns the file of what the process says that keeps the machine.
    #[must_use]
    pub fn keeper_log(&self) -> PathBuf {
        self.path("keeper.log")
    }

    /// Takes the lock, where nobody holds it.
    pub(crate) fn lock(&self) -> Result<Option<Lock>, Error> {
        Lock::try_now(&self.path("lock"))
    }

    /// Reads the record.
    pub(crate) fn record(&self) -> Result<Option<Instance>, Error> {
        let path = self.path("instance.json");
        match fs_err::read(&path) {
            Ok(bytes) => {
                serde_json::from_slice(&bytes).map(Some).map_err(|source| Error::Record { path, source })
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    pub(crate) fn write_record(&self, instance: &Instance) -> Result<(), Error> {
        let bytes = serde_json::to_vec_pretty(instance).map_err(Error::Canonical)?;
        write_whole(&self.path("instance.json"), &bytes)
    }

    /// Writes a file that only its owner may read.
    pub(crate) fn write_secret(&self, name: &str, text: &str) -> Result<(), Error> {
        // A staged file has the mode 0600.
        write_whole(&self.path(name), text.as_bytes())
    }

    /// Removes everything but the record.
    pub(crate) fn clear(&self) -> Result<(), Error> {
        for entry in fs_err::read_dir(&self.folder)? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default();
            if path.is_dir() {
                fs_err::remove_dir_all(&path)?;
            } else if name != "instance.json" && name != "lock" {
                fs_err::remove_file(&path)?;
            }
        }
        Ok(())
    }
}

/// Reads an id, or says in EC2's words that it is none.
pub(crate) fn parse_id(text: &str) -> Result<InstanceId, Error> {
    text.parse().map_err(|_not_one| InstanceError::Malformed { text: text.to_owned() }.into())
}
