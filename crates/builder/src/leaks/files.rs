//! The files of a disk's ext4 file systems that are not as they were in the base.

use super::{
    disk::Disk,
    needles::{Match, Needles},
    packed::{MAGIC, Packed},
    stream::Stream,
};
use crate::Error;
use ext4_view::{Ext4, Ext4Error, File, Metadata};
use kiln_disk::{FileSystem, Partition};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    ffi::OsString,
    io::{self, Read},
    os::unix::ffi::OsStringExt,
    path::PathBuf,
};

/// The smallest block of an ext4: a file's bytes lie in pieces of at least this size, at multiples of it.
const PIECE: u64 = 1024;

/// How much of a file is read at once.
const READ: usize = 32 << 10;

/// Pieces of one file that are kept to explain what was found raw.
const MOST_PIECES: usize = 64;

/// Folders inside folders: more is a damaged file system that leads back into itself.
const DEEPEST: usize = 200;

/// Entries of one file system, for the same reason.
const MOST_ENTRIES: usize = 20_000_000;

/// A value in a file.
pub(super) struct InFile<'a> {
    pub(super) value: usize,
    pub(super) path: PathBuf,
    pub(super) packed: Option<&'static str>,
    pub(super) partition: &'a Partition,
    /// The beginning of the value, and the piece of the file that it lies in: both of the file's bytes.
    pieces: Vec<(u64, Vec<u8>)>,
}

impl InFile<'_> {
    /// Says whether the bytes around a place of the disk are those of this file.
    pub(super) fn explains(&self, disk: &Disk, offset: u64) -> Result<bool, Error> {
        let Some(inside) = offset.checked_sub(self.partition.offset) else { return Ok(false) };
        let start = offset - inside % PIECE;
        let there = disk.now.stretch(&(start..start + PIECE))?;
        let same = |(at, piece): &(u64, Vec<u8>)| at % PIECE == inside % PIECE && there.starts_with(piece);
        Ok(inside < self.partition.size && self.pieces.iter().any(same))
    }
}

/// Searches every file system that can be read; what cannot be is noted.
pub(super) fn search<'a>(
    disk: &Disk,
    partitions: &'a [Partition],
    needles: &Needles,
    notes: &mut Vec<String>,
) -> Vec<InFile<'a>> {
    let mut found = Vec::new();
    for partition in partitions {
        match partition.filesystem {
            Some(FileSystem::Ext4) => {}
            None | Some(FileSystem::Swap) => continue,
            Some(other) => {
                notes.push(format!(
                    "{} holds {other}: searched for secrets by bytes, not by files",
                    partition.place()
                ));
                continue;
            }
        }
        let mut walk = Walk {
            needles,
            base: Ext4::load(disk.base.part(partition.offset)).ok(),
            partition,
            found,
            unread: 0,
        };
        let walked = Ext4::load(disk.now.part(partition.offset)).and_then(|now| walk.folders(&now));
        if let Err(error) = walked {
            notes
                .push(format!("{}: searched for secrets by bytes, not by files: {error}", partition.place()));
        }
        if walk.unread > 0 {
            let unread = walk.unread;
            notes.push(format!(
                "{}: files that could not be read: {unread}; searched for secrets by bytes",
                partition.place()
            ));
        }
        found = walk.found;
    }
    found
}

struct Walk<'n, 'a> {
    needles: &'n Needles,
    base: Option<Ext4>,
    partition: &'a Partition,
    found: Vec<InFile<'a>>,
    unread: usize,
}

impl Walk<'_, '_> {
    fn folders(&mut self, now: &Ext4) -> Result<(), Ext4Error> {
        let mut left = vec![(ext4_view::PathBuf::new(b"/"), 0)];
        let mut entries = 0;
        while let Some((folder, depth)) = left.pop() {
            let listed = match now.read_dir(&folder) {
                Err(error) if depth == 0 => return Err(error),
                Err(_) => {
                    self.unread += 1;
                    continue;
                }
                Ok(listed) => listed,
            };
            let before = self.files_before(&folder);
            for entry in listed {
                entries += 1;
                let Ok(entry) = entry else {
                    self.unread += 1;
                    break;
                };
                if entries > MOST_ENTRIES || matches!(entry.file_name().as_ref(), b"." | b"..") {
                    continue;
                }
                match entry.file_type() {
                    Ok(kind) if kind.is_dir() && depth < DEEPEST => left.push((entry.path(), depth + 1)),
                    Ok(kind) if kind.is_regular_file() => {
                        let before = before.get(entry.file_name().as_ref());
                        // The time of an inode's last change is among what is compared, and no program can set it back.
                        let same = before.is_some() && entry.metadata().ok().as_ref() == before;
                        if !same && self.file(now, &entry.path()).is_err() {
                            self.unread += 1;
                        }
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// Lists the files that a folder has in the base. A list is quick; looking for a path reads every folder on the way.
    fn files_before(&self, folder: &ext4_view::PathBuf) -> HashMap<Vec<u8>, Metadata> {
        let listed = self.base.as_ref().and_then(|base| base.read_dir(folder).ok());
        let files = listed.into_iter().flatten().map_while(Result::ok);
        let files = files.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_regular_file()));
        files
            .filter_map(|entry| Some((entry.file_name().as_ref().to_vec(), entry.metadata().ok()?)))
            .collect()
    }

    fn file(&mut self, now: &Ext4, path: &ext4_view::PathBuf) -> io::Result<()> {
        let mut file = Contents(now.open(path).map_err(io::Error::other)?);
        let mut start = [0; MAGIC];
        let length = read_whole(&mut file, &mut start)?;
        let packed = Packed::of(start.get(..length).unwrap_or_default());
        file.seek(0)?;
        let (plain, whole) = matches(self.needles, &mut file);
        self.unread += usize::from(!whole);
        let inside = match packed {
            // One that is damaged is searched up to the damage.
            Some(packed) => {
                file.seek(0)?;
                matches(self.needles, packed.unpack(&mut file)?).0
            }
            None => BTreeSet::new(),
        };
        if plain.is_empty() && inside.is_empty() || self.as_before(path, &mut file) {
            return Ok(());
        }
        let inside: BTreeSet<_> = inside.iter().map(|one| one.value).collect();
        let mut pieces: BTreeMap<usize, Vec<(u64, Vec<u8>)>> = BTreeMap::new();
        for one in plain {
            let pieces = pieces.entry(one.value).or_default();
            if pieces.len() < MOST_PIECES {
                pieces.push((one.start, piece(&mut file, one.start)?));
            }
        }
        let host = PathBuf::from(OsString::from_vec(path.as_ref().to_vec()));
        for value in inside.into_iter().filter(|value| !pieces.contains_key(value)) {
            self.add(value, host.clone(), packed.map(Packed::as_str), Vec::new());
        }
        for (value, pieces) in pieces {
            self.add(value, host.clone(), None, pieces);
        }
        Ok(())
    }

    /// Says whether the base's file holds the same bytes: then only its owner, its mode or its times changed.
    fn as_before(&self, path: &ext4_view::PathBuf, now: &mut Contents) -> bool {
        let before = self.base.as_ref().and_then(|base| base.open(path).ok());
        before.is_some_and(|before| same(&mut Contents(before), now))
    }

    fn add(
        &mut self,
        value: usize,
        path: PathBuf,
        packed: Option<&'static str>,
        pieces: Vec<(u64, Vec<u8>)>,
    ) {
        self.found.push(InFile { value, path, packed, partition: self.partition, pieces });
    }
}

/// A file's bytes as the world reads them.
struct Contents(File);

impl Contents {
    fn seek(&mut self, position: u64) -> io::Result<()> {
        self.0.seek_to(position).map_err(io::Error::other)
    }
}

impl Read for Contents {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read_bytes(buffer).map_err(io::Error::other)
    }
}

/// Searches what a file holds, up to where it cannot be read any further; says whether that was its end.
fn matches(needles: &Needles, mut contents: impl Read) -> (BTreeSet<Match>, bool) {
    let mut stream = Stream::new(needles, 0);
    let mut found = BTreeSet::new();
    let mut buffer = vec![0; READ];
    let whole = loop {
        match contents.read(&mut buffer) {
            Ok(0) => break true,
            Ok(length) => found.extend(stream.push(buffer.get(..length).unwrap_or_default())),
            Err(_) => break false,
        }
    };
    found.extend(stream.finish());
    (found, whole)
}

/// Fills a buffer as far as the file goes.
fn read_whole(contents: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while let Some(rest) = buffer.get_mut(length..).filter(|rest| !rest.is_empty()) {
        match contents.read(rest)? {
            0 => break,
            read => length += read,
        }
    }
    Ok(length)
}

fn same(before: &mut Contents, now: &mut Contents) -> bool {
    if now.0.metadata().len() != before.0.metadata().len() || now.seek(0).is_err() {
        return false;
    }
    let (mut left, mut right) = (vec![0; READ], vec![0; READ]);
    loop {
        match (read_whole(before, &mut left), read_whole(now, &mut right)) {
            (Ok(0), Ok(0)) => return true,
            (Ok(a), Ok(b)) if a == b && left.get(..a) == right.get(..b) => {}
            _ => return false,
        }
    }
}

/// Reads the piece of a file that holds a place, as far as the file goes.
fn piece(contents: &mut Contents, at: u64) -> io::Result<Vec<u8>> {
    contents.seek(at - at % PIECE)?;
    let mut bytes = Vec::new();
    contents.take(PIECE).read_to_end(&mut bytes)?;
    Ok(bytes)
}
