//! What lies on a medium, as a tree of names.

use super::MediumError;
use std::{
    collections::BTreeMap,
    ffi::OsStr,
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

/// Folders in folders that a CD can hold below its root; a link that leads round in a circle is deeper.
const DEEPEST: usize = 7;

/// A folder, by the names of what it holds.
pub(super) type Folder = BTreeMap<String, Node>;

/// What lies on a medium.
#[derive(Debug, Clone, Default)]
pub struct Contents {
    root: Folder,
    files: Vec<Content>,
}

/// What a file holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Content {
    /// What a file of the host holds when the medium is made.
    File { path: PathBuf, size: u64 },
    /// These bytes.
    Bytes(Vec<u8>),
}

/// A file, by its number among all, or a folder.
#[derive(Debug, Clone)]
pub(super) enum Node {
    File(usize),
    Folder(Folder),
}

impl Contents {
    /// Takes in files and folders, each under its own name. Links are followed.
    ///
    /// # Errors
    /// When one cannot be read, is neither a file nor a folder, or has the name of another one.
    pub fn gather(paths: &[PathBuf]) -> Result<Self, MediumError> {
        let mut contents = Self::default();
        for path in paths {
            let name = path.file_name().ok_or_else(|| MediumError::Kind { path: path.clone() })?;
            let name = utf8(name, path)?;
            let node = contents.read(path, 0)?;
            contents.insert(name, node)?;
        }
        Ok(contents)
    }

    /// Adds a file at the root.
    ///
    /// # Errors
    /// When there is one of this name.
    pub fn add(&mut self, name: &str, bytes: Vec<u8>) -> Result<(), MediumError> {
        let file = self.file(Content::Bytes(bytes));
        self.insert(name.to_owned(), file)
    }

    pub(super) const fn root(&self) -> &Folder {
        &self.root
    }

    /// Returns every file; nodes name them by their places here.
    pub(super) fn files(&self) -> &[Content] {
        &self.files
    }

    fn insert(&mut self, name: String, node: Node) -> Result<(), MediumError> {
        if self.root.contains_key(&name) {
            return Err(MediumError::Twice { name });
        }
        self.root.insert(name, node);
        Ok(())
    }

    fn file(&mut self, content: Content) -> Node {
        self.files.push(content);
        Node::File(self.files.len() - 1)
    }

    fn read(&mut self, path: &Path, depth: usize) -> Result<Node, MediumError> {
        let metadata = fs_err::metadata(path)?;
        if metadata.is_file() {
            return Ok(self.file(Content::File { path: path.to_owned(), size: metadata.len() }));
        }
        if !metadata.is_dir() {
            return Err(MediumError::Kind { path: path.to_owned() });
        }
        if depth == DEEPEST {
            let name = path.to_string_lossy().into_owned();
            return Err(MediumError::Name { name, why: "it lies more than 7 folders deep" });
        }
        // By name, whatever order the host's file system has them in.
        let mut paths =
            fs_err::read_dir(path)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
        paths.sort();
        let mut folder = Folder::new();
        for path in paths {
            let name = utf8(path.file_name().unwrap_or_default(), &path)?;
            folder.insert(name, self.read(&path, depth + 1)?);
        }
        Ok(Node::Folder(folder))
    }
}

impl Content {
    pub(super) fn size(&self) -> u64 {
        match self {
            Self::File { size, .. } => *size,
            Self::Bytes(bytes) => u64::try_from(bytes.len()).unwrap_or(u64::MAX),
        }
    }

    /// Writes exactly as many bytes as [`Self::size`] says.
    pub(super) fn write_to(&self, output: &mut impl Write) -> Result<(), MediumError> {
        match self {
            Self::Bytes(bytes) => output.write_all(bytes)?,
            Self::File { path, size } => {
                let mut file = fs_err::File::open(path)?;
                let copied = io::copy(&mut (&mut file).take(*size), output)?;
                if copied != *size || file.read(&mut [0])? != 0 {
                    return Err(MediumError::Changed { path: path.clone() });
                }
            }
        }
        Ok(())
    }
}

fn utf8(name: &OsStr, path: &Path) -> Result<String, MediumError> {
    let lossy = || path.to_string_lossy().into_owned();
    let bad = || MediumError::Name { name: lossy(), why: "it is not UTF-8" };
    name.to_str().map(str::to_owned).ok_or_else(bad)
}
