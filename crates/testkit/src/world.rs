//! A temporary home and template folder.

use anyhow::Result;
use std::path::{Path, PathBuf};

/// A temporary `KILN_HOME` with a folder for templates beside it; removed when dropped.
#[derive(Debug)]
pub struct World {
    folder: tempfile::TempDir,
}

impl World {
    /// Makes an empty one.
    ///
    /// # Errors
    /// When the folders cannot be made.
    pub fn new() -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("kiln-world-").tempdir()?;
        fs_err::create_dir(folder.path().join("home"))?;
        Ok(Self { folder })
    }

    /// Returns the home.
    #[must_use]
    pub fn home(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    /// Returns the folder that holds everything.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Writes `templates/<name>/template.toml` and returns its folder.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn template(&self, name: &str, toml: &str) -> Result<PathBuf> {
        let folder = self.folder.path().join("templates").join(name);
        fs_err::create_dir_all(&folder)?;
        fs_err::write(folder.join("template.toml"), toml)?;
        Ok(folder)
    }

    /// Writes a file below the world, with its folders, and returns its path.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> Result<PathBuf> {
        let path = self.folder.path().join(name);
        if let Some(parent) = path.parent() {
            fs_err::create_dir_all(parent)?;
        }
        fs_err::write(&path, content)?;
        Ok(path)
    }

    /// Copies a template that comes with Kiln, without what builds left in it, and returns its folder.
    ///
    /// # Errors
    /// When it cannot be read or written.
    pub fn shipped(&self, name: &str) -> Result<PathBuf> {
        let folder = self.folder.path().join("templates").join(name);
        let templates = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../templates");
        copy(&templates.join(name), &folder)?;
        Ok(folder)
    }
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs_err::create_dir_all(to)?;
    for entry in fs_err::read_dir(from)? {
        let entry = entry?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        if ["dist", "keys"].iter().any(|made| entry.file_name() == *made) {
            continue;
        }
        if entry.file_type()?.is_dir() {
            copy(&source, &target)?;
        } else {
            fs_err::copy(&source, &target)?;
        }
    }
    Ok(())
}
