//! Keys: what a result depends on, as one digest.
//!
//! ```text
//! key = sha256( EPOCH, kind, (label, length, bytes)* )
//! base = key("base", source as meant)            step = key("step", parent's key, step as meant, files' digests)
//! ```
//! Each part goes in with its label and length, so that no two lists of parts give the same bytes.

use crate::{Error, checksum::file_sha256};
use kiln_types::Digest;
use sha2::{Digest as _, Sha256};
use std::{
    os::unix::{ffi::OsStrExt, fs::PermissionsExt},
    path::Path,
};

/// The format of keys. A new epoch forgets every result that was kept under the old one.
const EPOCH: &str = "kiln-key-1";

/// Collects what a result depends on.
#[derive(Debug)]
pub(crate) struct KeyMaker {
    hasher: Sha256,
    /// What went in that people have a name for.
    named: Vec<(String, Digest)>,
}

impl KeyMaker {
    /// Begins a key of this kind.
    pub(crate) fn new(kind: &str) -> Self {
        let mut maker = Self { hasher: Sha256::new(), named: Vec::new() };
        maker.part("epoch", EPOCH.as_bytes());
        maker.part("kind", kind.as_bytes());
        maker
    }

    /// Adds a part.
    pub(crate) fn part(&mut self, label: &str, bytes: &[u8]) {
        for piece in [label.as_bytes(), bytes] {
            self.hasher.update((piece.len() as u64).to_le_bytes());
            self.hasher.update(piece);
        }
    }

    /// Adds a part that people call by this name.
    pub(crate) fn named(&mut self, name: &str, digest: Digest) {
        self.part(name, digest.as_bytes());
        self.named.push((name.to_owned(), digest));
    }

    /// Adds the content of a file or folder: names, modes, links and every byte. `shown` is what people call it.
    pub(crate) fn tree(&mut self, label: &str, path: &Path, shown: &str) -> Result<(), Error> {
        // The path itself may be a link: what it leads to is what a guest gets. Links further down are kept as links.
        let path = fs_err::canonicalize(path)?;
        let digest = tree_digest(&path, shown.trim_end_matches('/'), &mut self.named)?;
        self.part(label, digest.as_bytes());
        Ok(())
    }

    /// Returns the key.
    pub(crate) fn finish(self) -> Digest {
        self.finish_named().0
    }

    /// Returns the key, and what went in that people have a name for.
    pub(crate) fn finish_named(self) -> (Digest, Vec<(String, Digest)>) {
        (Digest::from_bytes(self.hasher.finalize().into()), self.named)
    }
}

/// A secret of this installation, under which sensitive values go into keys: who reads a key cannot try values on it.
#[derive(Clone)]
pub struct Seal([u8; 32]);

impl std::fmt::Debug for Seal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Seal")
    }
}

impl Seal {
    /// Takes these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Digests a sensitive variable's value.
    pub(crate) fn digest(&self, name: &str, value: &[u8]) -> Digest {
        let mut maker = KeyMaker::new("sealed");
        for (label, bytes) in [("secret", self.0.as_slice()), ("name", name.as_bytes()), ("value", value)] {
            maker.part(label, bytes);
        }
        maker.finish()
    }
}

/// Digests a file or folder: the kind and permissions of each entry, and its content, in the order of names. Everything
/// that is no folder is noted in `named`.
fn tree_digest(path: &Path, shown: &str, named: &mut Vec<(String, Digest)>) -> Result<Digest, Error> {
    let metadata = fs_err::symlink_metadata(path)?;
    let mut maker = KeyMaker::new("tree");
    maker.part("mode", &(metadata.permissions().mode() & 0o7777).to_le_bytes());
    if metadata.is_symlink() {
        maker.part("link", fs_err::read_link(path)?.as_os_str().as_bytes());
    } else if metadata.is_dir() {
        let entries = fs_err::read_dir(path)?.collect::<Result<Vec<_>, _>>()?;
        let mut names: Vec<_> = entries.iter().map(fs_err::DirEntry::file_name).collect();
        names.sort();
        for name in names {
            maker.part("name", name.as_bytes());
            let shown = format!("{shown}/{}", name.to_string_lossy());
            maker.part("entry", tree_digest(&path.join(&name), &shown, named)?.as_bytes());
        }
    } else if metadata.is_file() {
        maker.part("content", file_sha256(path)?.as_bytes());
    } else {
        return Err(Error::SpecialFile { path: path.to_owned() });
    }
    let digest = maker.finish();
    if !metadata.is_dir() {
        named.push((shown.to_owned(), digest));
    }
    Ok(digest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn key(parts: &[(&str, &str)]) -> Digest {
        let mut maker = KeyMaker::new("test");
        for (label, bytes) in parts {
            maker.part(label, bytes.as_bytes());
        }
        maker.finish()
    }

    #[test]
    fn parts_do_not_run_into_each_other() {
        assert_ne!(key(&[("a", "bc")]), key(&[("ab", "c")]));
        assert_ne!(key(&[("a", "b"), ("c", "d")]), key(&[("a", "bcd")]));
    }

    #[test]
    fn a_change_here_is_a_change_of_every_key() {
        assert_eq!(
            key(&[("label", "bytes")]).to_string(),
            "df6b075a3b6f71c900f346dbbfbdc1b3d455d929c2617e95bbb33906d8cde4e3",
            "keys are kept between runs: change EPOCH together with this digest"
        );
    }

    #[test]
    fn a_path_that_is_a_link_stands_for_what_it_leads_to() {
        let world = tempfile::tempdir().unwrap();
        let (file, link) = (world.path().join("file"), world.path().join("link"));
        fs_err::write(&file, b"1").unwrap();
        symlink("file", &link).unwrap();
        let key = || {
            let mut maker = KeyMaker::new("test");
            maker.tree("source", &link, "link").unwrap();
            maker.finish()
        };
        let old = key();
        fs_err::write(&file, b"2").unwrap();
        assert_ne!(key(), old);
    }

    #[test]
    fn every_kind_of_change_in_a_tree_shows() {
        let world = tempfile::tempdir().unwrap();
        let root = world.path().join("tree");
        fs_err::create_dir(&root).unwrap();
        fs_err::write(root.join("a"), b"1").unwrap();
        symlink("a", root.join("link")).unwrap();
        let mut seen = vec![tree_digest(&root, "tree", &mut Vec::new()).unwrap()];
        let mut changed = |what: &str| {
            let now = tree_digest(&root, "tree", &mut Vec::new()).unwrap();
            assert!(!seen.contains(&now), "{what}");
            seen.push(now);
        };
        fs_err::write(root.join("a"), b"2").unwrap();
        changed("content");
        fs_err::set_permissions(root.join("a"), std::fs::Permissions::from_mode(0o755)).unwrap();
        changed("mode");
        fs_err::rename(root.join("a"), root.join("b")).unwrap();
        changed("name");
        fs_err::remove_file(root.join("link")).unwrap();
        symlink("b", root.join("link")).unwrap();
        changed("link");
    }
}
