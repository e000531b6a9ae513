//! Where a base disk comes from. Each kind of source makes one sparse raw disk.

mod bootstrap;
mod disk;
mod fetched;

pub(crate) use disk::image_format;

use crate::{Error, Events, cancel::Cancel, home::Home};
use kiln_template::Source;
use kiln_types::Digest;
use std::path::Path;

/// What making a base disk needs. The work runs on a thread of its own and looks at `cancel`.
#[derive(Debug)]
pub(crate) struct Workshop<'a> {
    pub(crate) home: &'a Home,
    /// An empty folder that goes away with the build.
    pub(crate) folder: &'a Path,
    pub(crate) events: &'a Events,
    pub(crate) cancel: &'a Cancel,
}

/// Names a source for people.
pub(crate) fn describe(source: &Source) -> String {
    match source {
        Source::Bootstrap(bootstrap) => bootstrap::describe(bootstrap),
        Source::Disk(disk) => disk::describe(disk),
    }
}

/// Computes what the base disk of a source depends on. A checksum file is fetched to know it.
pub(crate) fn key(source: &Source) -> Result<Digest, Error> {
    match source {
        Source::Bootstrap(bootstrap) => bootstrap::key(bootstrap),
        Source::Disk(disk) => disk::key(disk),
    }
}

/// Makes the base disk at `out`.
pub(crate) fn make(source: &Source, out: &Path, workshop: &Workshop<'_>) -> Result<(), Error> {
    match source {
        Source::Bootstrap(bootstrap) => bootstrap::make(bootstrap, out, workshop),
        Source::Disk(disk) => disk::make(disk, out, workshop),
    }
}
