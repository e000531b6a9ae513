//! What differs between two images, without booting or mounting either.
//!
//! ```text
//! block maps ── digests ──▶ blocks that differ ── none ──▶ nothing else is looked at
//!                                │
//!                                ▼
//!          root of each (ext4) ── folders side by side ──▶ files ── dpkg's status ──▶ packages
//! ```
//! A block that both hold is read once for both. A file whose inode is the same to the nanosecond, in images that grew from
//! one base, is taken as the same without being read; no program of the guest can set back the time of an inode's change.

mod files;
mod packages;
pub(crate) mod volume;

use crate::{Error, Kiln};
use kiln_disk::{Disk, FileSystem, Root, find_root};
use kiln_store::{BlockContent, BlockMap};
use kiln_types::{BlockIndex, Digest, SnapshotId};
use serde::Serialize;
use std::collections::BTreeMap;
use volume::Volume;

/// What differs between two images' roots.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ImageDiff {
    /// The root's snapshot of the first.
    pub old: SnapshotId,
    /// The root's snapshot of the second.
    pub new: SnapshotId,
    /// What differs in the volume.
    pub blocks: BlockDiff,
    /// Files of the root that differ, by path.
    pub files: Vec<FileChange>,
    /// Debian packages that differ, by name.
    pub packages: Vec<PackageChange>,
    /// What was compared by its blocks only, and why.
    pub blocks_only: Vec<String>,
}

/// What differs between two volumes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct BlockDiff {
    /// Blocks of 512 KiB that hold data in either.
    pub data: u64,
    /// Those that differ.
    pub different: u64,
}

/// A file that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct FileChange {
    /// Its path; bytes that are not UTF-8 are replaced.
    pub path: String,
    /// As it is in the first image, where it is there.
    pub old: Option<FileState>,
    /// As it is in the second.
    pub new: Option<FileState>,
}

/// What is known of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct FileState {
    /// `file`, `folder`, `link`, `fifo`, `socket`, `block device` or `character device`.
    pub kind: &'static str,
    /// Permission bits in octal.
    pub mode: String,
    /// The owner's number.
    pub user: u32,
    /// The group's number.
    pub group: u32,
    /// Bytes of a file.
    pub size: Option<u64>,
    /// SHA-256 of a file's content, where it can be read.
    pub sha256: Option<Digest>,
    /// Where a link leads.
    pub target: Option<String>,
}

/// A Debian package that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct PackageChange {
    /// Its name, with its architecture.
    pub name: String,
    /// Its version in the first image, where it is installed.
    pub old: Option<String>,
    /// Its version in the second.
    pub new: Option<String>,
}

impl Kiln {
    /// Compares the roots of two images or snapshots.
    ///
    /// # Errors
    /// When one of them is not there or cannot be read. A file system that cannot be walked is no error: its blocks are
    /// compared.
    pub async fn diff(&self, old: &str, new: &str) -> Result<ImageDiff, Error> {
        let (old, new) = (self.root_snapshot(old).await?, self.root_snapshot(new).await?);
        let (old_map, new_map) = (self.region.block_map(old).await?, self.region.block_map(new).await?);
        let mut diff = ImageDiff {
            old,
            new,
            blocks: blocks(&old_map, &new_map),
            files: Vec::new(),
            packages: Vec::new(),
            blocks_only: Vec::new(),
        };
        if diff.blocks.different == 0 {
            return Ok(diff);
        }
        let related = old_map.lineage().first() == new_map.lineage().first();
        let blocks = volume::Blocks::new(self.region.clone());
        let disks = [Volume::new(old_map, &blocks), Volume::new(new_map, &blocks)];
        let walk = move || {
            match walk(&disks, related) {
                Ok((files, packages, rest)) => {
                    (diff.files, diff.packages, diff.blocks_only) = (files, packages, rest);
                }
                Err(why) => diff.blocks_only.push(why),
            }
            diff
        };
        tokio::task::spawn_blocking(walk).await.map_err(Error::Task)
    }
}

/// Compares two volumes by what their maps say of each block.
fn blocks(old: &BlockMap, new: &BlockMap) -> BlockDiff {
    let data = |map: &BlockMap| -> BTreeMap<BlockIndex, Digest> {
        let frames = map.entries().iter().filter_map(|entry| match entry.content {
            BlockContent::Data(frame) => Some((entry.index, frame.digest)),
            BlockContent::Zero => None,
        });
        frames.collect()
    };
    let (old, new) = (data(old), data(new));
    let same = old.iter().filter(|(index, digest)| new.get(index) == Some(digest)).count() as u64;
    let both = old.keys().filter(|index| new.contains_key(index)).count() as u64;
    let all = old.len() as u64 + new.len() as u64 - both;
    BlockDiff { data: all, different: all - same }
}

type Walked = (Vec<FileChange>, Vec<PackageChange>, Vec<String>);

/// Compares the files and packages of two roots, or says why that cannot be.
fn walk(disks: &[Volume; 2], related: bool) -> Result<Walked, String> {
    let [old, new] = disks;
    let (old_root, new_root) = (ext4_root(old, "first")?, ext4_root(new, "second")?);
    let open = |volume: &Volume, root: &Root, which: &str| {
        ext4_view::Ext4::load(volume.part(root.offset))
            .map_err(|error| format!("the root of the {which} image cannot be read: {error}"))
    };
    let (old_tree, new_tree) = (open(old, &old_root, "first")?, open(new, &new_root, "second")?);
    let mut rest: Vec<String> = [&old_root, &new_root]
        .iter()
        .flat_map(|root| &root.mounts)
        .map(|mount| format!("{} is a file system of its own", mount.path))
        .collect();
    rest.dedup();
    rest.sort();
    rest.dedup();
    let (files, unread) = files::compare(&old_tree, &new_tree, related);
    rest.extend(unread);
    let packages = packages::compare(&packages::installed(&old_tree), &packages::installed(&new_tree));
    Ok((files, packages, rest))
}

fn ext4_root(volume: &Volume, which: &str) -> Result<Root, String> {
    let disk = Disk::new(which, volume.clone());
    let root = find_root(&disk).map_err(|error| format!("the {which} image has no root to walk: {error}"))?;
    match root.filesystem {
        FileSystem::Ext4 => Ok(root),
        other => Err(format!("the root of the {which} image is {}, which is not walked", other.as_str())),
    }
}
