//! A step that puts a file or folder into the image.

use super::StepError;
use crate::communicator::{
    Session,
    agent::{Upload, UploadContent},
};
use std::{fmt, path::PathBuf};

/// A file or folder to put into the image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileStep {
    /// The step's name, for errors.
    pub name: String,
    /// What to put there.
    pub source: FileSource,
    /// An absolute path in the guest. Where it ends with a slash or is a folder, the file or folder goes into it.
    pub destination: String,
    /// Permission bits; `None` keeps those of the host's file, and gives content 0644.
    pub mode: Option<u32>,
    /// A user of the guest's and perhaps a group: `app`, `1000`, `app:www-data`. `None` is root.
    pub owner: Option<String>,
}

/// What a file step puts into the image.
#[derive(Clone, PartialEq, Eq)]
pub enum FileSource {
    /// A file or folder of this host. With a slash at its end, a folder's contents.
    Path(PathBuf),
    /// The text of a file.
    Content(String),
}

impl fmt::Debug for FileSource {
    /// Leaves the text out: it may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => f.debug_tuple("Path").field(path).finish(),
            Self::Content(text) => write!(f, "Content({} bytes)", text.len()),
        }
    }
}

impl FileStep {
    /// Puts the file or folder there.
    ///
    /// # Errors
    /// When either side cannot read or write.
    pub async fn run(&self, session: &mut Session) -> Result<(), StepError> {
        let content = match &self.source {
            FileSource::Path(path) => UploadContent::Path(path.clone()),
            FileSource::Content(text) => UploadContent::Bytes(text.clone().into_bytes()),
        };
        let (destination, owner) = (self.destination.clone(), self.owner.clone());
        let upload = Upload { content, destination, mode: self.mode, owner };
        session
            .upload(&upload)
            .await
            .map_err(|source| StepError::Communicator { name: self.name.clone(), source })
    }
}
