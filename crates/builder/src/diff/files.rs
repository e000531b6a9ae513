//! Two trees of files side by side.

use super::{FileChange, FileState};
use ext4_view::{Ext4, Ext4Error, Metadata, Path, PathBuf};
use kiln_types::Digest;
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, BTreeSet};

/// Entries that are looked at in one image; a damaged file system may have no end.
const MOST_ENTRIES: usize = 10_000_000;

/// Folders within folders that are looked at.
const DEEPEST: usize = 256;

/// The largest file that is read: longer ones are holes, or damage.
const LARGEST: u64 = 64 << 30;

type Folder = BTreeMap<Vec<u8>, Metadata>;

/// Lists the files that differ, by path, and what could not be read. `related` is whether the same inode is the same file.
pub(super) fn compare(old: &Ext4, new: &Ext4, related: bool) -> (Vec<FileChange>, Vec<String>) {
    let mut walk = Walk { old, new, related, changes: Vec::new(), unread: Vec::new(), entries: 0 };
    walk.folders();
    walk.changes.sort_by(|one, other| one.path.cmp(&other.path));
    (walk.changes, walk.unread)
}

struct Walk<'t> {
    old: &'t Ext4,
    new: &'t Ext4,
    related: bool,
    changes: Vec<FileChange>,
    unread: Vec<String>,
    entries: usize,
}

impl Walk<'_> {
    fn folders(&mut self) {
        // Whether the folder is there in the first image and in the second.
        let mut left = vec![(PathBuf::new(b"/"), [true, true], 0)];
        while let Some((folder, there, depth)) = left.pop() {
            let [old, new] = [(self.old, there[0]), (self.new, there[1])]
                .map(|(tree, there)| if there { list(tree, &folder) } else { Ok(Folder::new()) });
            let (old, new) = match (old, new) {
                (Ok(old), Ok(new)) => (old, new),
                (Err(error), _) | (_, Err(error)) => {
                    self.unread.push(format!("{} cannot be read: {error}", folder.display()));
                    continue;
                }
            };
            let names: BTreeSet<&Vec<u8>> = old.keys().chain(new.keys()).collect();
            for name in names {
                self.entries += 1;
                if self.entries > MOST_ENTRIES {
                    return self.unread.push(format!("more than {MOST_ENTRIES} files are not compared"));
                }
                let Ok(path) = Path::try_from(name.as_slice()).map(|name| folder.join(name)) else {
                    continue;
                };
                let (before, now) = (old.get(name), new.get(name));
                let there = [before, now].map(|entry| entry.is_some_and(Metadata::is_dir));
                if there.contains(&true) && depth < DEEPEST {
                    left.push((path.clone(), there, depth + 1));
                }
                self.entry(&path, before, now);
            }
        }
    }

    fn entry(&mut self, path: &PathBuf, old: Option<&Metadata>, new: Option<&Metadata>) {
        if self.related && old == new {
            return;
        }
        let old = old.map(|metadata| state(self.old, path, metadata));
        let new = new.map(|metadata| state(self.new, path, metadata));
        let unread = |state: &FileState| state.kind == "file" && state.sha256.is_none();
        if old.iter().chain(&new).any(unread) {
            self.unread.push(format!("the content of {} cannot be read", path.display()));
        }
        if old != new {
            self.changes.push(FileChange { path: path.display().to_string(), old, new });
        }
    }
}

fn list(tree: &Ext4, folder: &PathBuf) -> Result<Folder, Ext4Error> {
    let mut found = Folder::new();
    for entry in tree.read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().as_ref().to_vec();
        if !matches!(name.as_slice(), b"." | b"..") {
            found.insert(name, entry.metadata()?);
        }
    }
    Ok(found)
}

fn state(tree: &Ext4, path: &PathBuf, metadata: &Metadata) -> FileState {
    let kind = metadata.file_type();
    let is_file = kind.is_regular_file();
    FileState {
        kind: match kind {
            _ if is_file => "file",
            _ if kind.is_dir() => "folder",
            _ if kind.is_symlink() => "link",
            _ if kind.is_fifo() => "fifo",
            _ if kind.is_socket() => "socket",
            _ if kind.is_block_dev() => "block device",
            _ => "character device",
        },
        mode: format!("{:04o}", metadata.mode() & 0o7777),
        user: metadata.uid(),
        group: metadata.gid(),
        size: is_file.then(|| metadata.len()),
        sha256: if is_file && metadata.len() <= LARGEST { digest(tree, path) } else { None },
        target: match kind.is_symlink() {
            true => tree.read_link(path).ok().map(|target| target.display().to_string()),
            false => None,
        },
    }
}

/// Digests a file's content; nothing where it cannot be read.
fn digest(tree: &Ext4, path: &PathBuf) -> Option<Digest> {
    let mut file = tree.open(path).ok()?;
    let (mut hash, mut buffer) = (Sha256::new(), vec![0; 1 << 20]);
    loop {
        match file.read_bytes(&mut buffer).ok()? {
            0 => return Some(Digest::from_bytes(hash.finalize().into())),
            length => hash.update(buffer.get(..length)?),
        }
    }
}
