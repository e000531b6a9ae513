//! A floppy disk of 1.44 MiB: FAT12, with long names.

use super::{
    Contents, MediumError,
    contents::{Content, Folder, Node},
};
use fatfs::{Date, DateTime, Dir, FatType, FileSystem, FormatVolumeOptions, FsOptions, Time, TimeProvider};
use std::{
    collections::BTreeSet,
    io::{self, Cursor, Write},
    path::Path,
};

/// Bytes of the disk, the only size that every guest's driver knows.
const DISK: usize = 1440 << 10;

/// Bytes of a sector and of a cluster.
const CLUSTER: usize = 512;

/// Entries of the root; a long name takes one for each 13 characters, and one more.
const ROOT_ENTRIES: u16 = 224;

/// Bytes of a folder's entry.
const ENTRY: usize = 32;

/// Bytes of the root.
const ROOT: usize = ROOT_ENTRIES as usize * ENTRY;

/// What is left of the disk beside its boot sector, two tables of 9 sectors each, and the root.
const ROOM: u64 = (DISK - (1 + 2 * 9) * CLUSTER - ROOT) as u64;

/// Characters that names cannot hold.
const FORBIDDEN: &str = "\"*/:<>?\\|";

/// The disk while it is made.
type Disk = Cursor<Vec<u8>>;

/// Writes the floppy disk.
pub(super) fn write(path: &Path, label: &str, contents: &Contents) -> Result<(), MediumError> {
    let label = label_bytes(label)?;
    let needed = check(contents.root(), contents.files())?;
    if needed.clusters > ROOM {
        return Err(MediumError::TooLarge { medium: "floppy disk", needed: needed.clusters, room: ROOM });
    }
    if needed.entries > ROOT {
        return Err(MediumError::TooMany {
            what: "names at the root of a floppy disk: put them into a folder",
        });
    }
    let options = FormatVolumeOptions::new()
        .fat_type(FatType::Fat12)
        .total_sectors(2880)
        .bytes_per_cluster(512)
        .max_root_dir_entries(ROOT_ENTRIES)
        .media(0xf0)
        .sectors_per_track(18)
        .heads(2)
        .drive_num(0)
        .volume_id(0x4b49_4c4e)
        .volume_label(label);
    let mut disk = Cursor::new(vec![0; DISK]);
    fatfs::format_volume(&mut disk, options)?;
    // All folders first: as long as there are no files, nothing in one can be taken for a folder's entries.
    within(&mut disk, |root| fill(root, contents.root(), None))?;
    mend_folders(disk.get_mut());
    within(&mut disk, |root| fill(root, contents.root(), Some(contents.files())))?;
    Ok(fs_err::write(path, disk.into_inner())?)
}

/// What a folder takes on the disk.
struct Size {
    /// Clusters of everything in it, in bytes.
    clusters: u64,
    /// Its entries, in bytes.
    entries: usize,
}

/// Checks every name, and adds up what everything takes.
fn check(folder: &Folder, files: &[Content]) -> Result<Size, MediumError> {
    let cluster = CLUSTER as u64;
    // Two entries name the folder itself and the one above; in the root one is the label.
    let (mut size, mut seen) = (Size { clusters: 0, entries: 2 * ENTRY }, BTreeSet::new());
    for (name, node) in folder {
        let bad = |why| MediumError::Name { name: name.clone(), why };
        let length = name.encode_utf16().count();
        if name.contains(|c: char| c.is_control() || FORBIDDEN.contains(c)) {
            return Err(bad("a floppy disk holds no control characters and none of \" * / : < > ? \\ |"));
        }
        if name.starts_with(' ') || name.ends_with(['.', ' ']) {
            return Err(bad(
                "a floppy disk holds no name that starts with a space, or ends with one or a dot",
            ));
        }
        if name.chars().any(|c| c > '\u{ffff}') {
            return Err(bad("a floppy disk holds no characters beyond U+FFFF"));
        }
        if length > 255 {
            return Err(bad("a floppy disk holds names of at most 255 characters"));
        }
        if !seen.insert(name.to_uppercase()) {
            return Err(bad("a floppy disk tells capitals not from small letters, and there is another one"));
        }
        size.entries += (1 + length.div_ceil(13)) * ENTRY;
        size.clusters += match node {
            Node::File(number) => files.get(*number).map_or(0, Content::size).next_multiple_of(cluster),
            Node::Folder(folder) => {
                let below = check(folder, files)?;
                below.clusters + (below.entries as u64).next_multiple_of(cluster)
            }
        };
    }
    Ok(size)
}

/// Opens the disk, does something in its root, and closes it.
fn within(
    disk: &mut Disk,
    act: impl FnOnce(&Dir<'_, &mut Disk>) -> Result<(), MediumError>,
) -> Result<(), MediumError> {
    disk.set_position(0);
    let system = FileSystem::new(disk, FsOptions::new().time_provider(&Midnight))?;
    act(&system.root_dir())?;
    Ok(system.unmount()?)
}

/// Makes a folder's folders, or, where they are there, its files.
fn fill(place: &Dir<'_, &mut Disk>, folder: &Folder, files: Option<&[Content]>) -> Result<(), MediumError> {
    for (name, node) in folder {
        let named = |error: io::Error| {
            io::Error::new(error.kind(), format!("{name:?} cannot be written to the floppy disk: {error}"))
        };
        match (node, files) {
            (Node::Folder(below), None) => fill(&place.create_dir(name).map_err(named)?, below, None)?,
            (Node::Folder(below), Some(_)) => fill(&place.open_dir(name).map_err(named)?, below, files)?,
            (Node::File(number), Some(files)) => {
                let mut file = place.create_file(name).map_err(named)?;
                if let Some(content) = files.get(*number) {
                    content.write_to(&mut file)?;
                }
                file.flush().map_err(named)?;
            }
            (Node::File(_), None) => {}
        }
    }
    Ok(())
}

/// Puts the first entries of each new folder right. fatfs 0.3.6 writes a long name in front of `.` and of `..`; the
/// specification wants them in the first two places.
///
/// ```text
/// entry of 32 bytes:  0 name (11)   11 attributes (10 folder, 0F long name)
/// before:  long "."   .   long ".."   ..              after:  .   ..   deleted   deleted
/// ```
fn mend_folders(disk: &mut [u8]) {
    for sector in disk.as_chunks_mut::<CLUSTER>().0 {
        let is_new = sector[11] == 0x0f
            && sector[ENTRY..].starts_with(b".          \x10")
            && sector[2 * ENTRY + 11] == 0x0f
            && sector[3 * ENTRY..].starts_with(b"..         \x10");
        if is_new {
            sector.copy_within(ENTRY..2 * ENTRY, 0);
            sector.copy_within(3 * ENTRY..4 * ENTRY, ENTRY);
            sector[2 * ENTRY] = 0xe5;
            sector[3 * ENTRY] = 0xe5;
        }
    }
}

fn label_bytes(label: &str) -> Result<[u8; 11], MediumError> {
    let why = "a floppy disk's label has 1 to 11 letters, digits, `_` and `-`";
    let bad = || MediumError::Label { label: label.to_owned(), why };
    let mut bytes = [b' '; 11];
    let known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    if label.is_empty() || !label.bytes().all(known) {
        return Err(bad());
    }
    bytes.get_mut(..label.len()).ok_or_else(bad)?.copy_from_slice(label.as_bytes());
    Ok(bytes)
}

/// The first time that FAT knows, for everything: equal contents make equal disks.
#[derive(Debug)]
struct Midnight;

impl TimeProvider for Midnight {
    fn get_current_date(&self) -> Date {
        Date { year: 1980, month: 1, day: 1 }
    }

    fn get_current_date_time(&self) -> DateTime {
        let time = Time { hour: 0, min: 0, sec: 0, millis: 0 };
        DateTime { date: self.get_current_date(), time }
    }
}
