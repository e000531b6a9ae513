//! Where a base disk comes from. Each kind of source makes one sparse raw disk.

mod bootstrap;
mod disk;
mod fetched;
mod image;
mod iso;
mod lookups;

pub(crate) use image::{Origin, carried, check_fits, lineage};
pub(crate) use iso::obtain as obtain_iso;
pub(crate) use lookups::Lookups;

use crate::{Error, Events, cancel::Cancel, home::Home};
use kiln_template::{Checksum, DiskSource, Iso, Source, Template};
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
        Source::Image(image) => image::describe(image),
        Source::Iso(iso) => iso::describe(iso),
    }
}

/// Computes what the base disk of a source depends on. A checksum file is fetched to know it.
pub(crate) fn key(template: &Template, lookups: &Lookups) -> Result<Digest, Error> {
    match &template.source {
        Source::Bootstrap(bootstrap) => bootstrap::key(bootstrap, template.machine.architecture),
        Source::Disk(disk) => disk::key(disk, lookups),
        Source::Image(image) => image::key(image),
        Source::Iso(iso) => iso::key(iso, &template.machine, lookups),
    }
}

/// Returns the URL that has to be looked up to know what a source is, if there is one.
pub(crate) fn looked_up(source: &Source) -> Option<&str> {
    match source {
        Source::Disk(DiskSource { checksum: Checksum::Url(url), .. })
        | Source::Iso(Iso { checksum: Checksum::Url(url), .. }) => Some(url),
        _ => None,
    }
}

/// Says whether the same source gives another disk at another time.
pub(crate) fn is_unpinned(source: &Source) -> bool {
    matches!(source, Source::Bootstrap(bootstrap) if bootstrap.snapshot.is_none())
}

/// Makes the base disk at `out`, and says whether its last partition was made larger. An installation needs a machine,
/// and an image's volume lies in the region: [`Kiln`](crate::Kiln) makes these.
pub(crate) fn make(template: &Template, out: &Path, workshop: &Workshop<'_>) -> Result<bool, Error> {
    match &template.source {
        Source::Bootstrap(bootstrap) => {
            bootstrap::make(bootstrap, template.machine.architecture, out, workshop).map(|()| false)
        }
        Source::Disk(disk) => disk::make(disk, out, workshop),
        Source::Image(_) | Source::Iso(_) => Ok(false),
    }
}
