//! What is known of a region's images from earlier listings, on this host.
//!
//! ```text
//! kiln image index 1                                      what it is; another version is as good as none
//! ami-…<TAB>2<TAB>{"ImageId": "ami-…", …}                 a record and the number of its version, one a line
//! ```
//! It is derived: a listing of the region says which versions there are, and what the index lacks is read. It may be deleted
//! at any time, and one that cannot be read or written is passed over.

use crate::Image;
use kiln_store::Versioned;
use std::{collections::HashMap, io::Write, num::NonZero, path::Path, thread};

const HEAD: &str = "kiln image index 1";

/// Reads an index: what of it makes no sense is not there.
pub(crate) fn read(path: &Path) -> HashMap<String, Versioned<Image>> {
    let Ok(text) = fs_err::read_to_string(path) else { return HashMap::new() };
    let Some(lines) = text.strip_prefix(HEAD).and_then(|text| text.strip_prefix('\n')) else {
        return HashMap::new();
    };
    let lines: Vec<&str> = lines.lines().collect();
    // Reading records is most of the time that a search takes.
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    let share = lines.len().div_ceil(threads).max(1);
    thread::scope(|scope| {
        let parts: Vec<_> = lines
            .chunks(share)
            .map(|part| scope.spawn(|| part.iter().filter_map(|line| parse(line)).collect::<Vec<_>>()))
            .collect();
        parts.into_iter().filter_map(|part| part.join().ok()).flatten().collect()
    })
}

fn parse(line: &str) -> Option<(String, Versioned<Image>)> {
    let mut parts = line.splitn(3, '\t');
    let (name, number, record) = (parts.next()?, parts.next()?, parts.next()?);
    let record = Versioned { number: number.parse().ok()?, record: serde_json::from_str(record).ok()? };
    Some((name.to_owned(), record))
}

/// Writes an index, whole or not at all.
pub(crate) fn write(path: &Path, records: &[(String, Versioned<Image>)]) {
    if let Err(error) = try_write(path, records) {
        tracing::debug!(%error, "the index of images cannot be written");
    }
}

fn try_write(path: &Path, records: &[(String, Versioned<Image>)]) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or_else(|| Path::new("."));
    fs_err::create_dir_all(folder)?;
    let mut text = format!("{HEAD}\n").into_bytes();
    for (name, version) in records {
        write!(text, "{name}\t{}\t", version.number)?;
        serde_json::to_writer(&mut text, &version.record)?;
        text.push(b'\n');
    }
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(&text)?;
    file.persist(path)?;
    Ok(())
}
