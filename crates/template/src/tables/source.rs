//! `[source]`.

mod bootstrap;
mod disk;
mod fetched;
mod image;
mod iso;

use crate::{
    model::{Machine, Network, Source},
    names::words,
    reader::Table,
    report::Checked,
};

words! {
    /// The types of `[source]`.
    pub(crate) enum SourceKind {
        /// Made by mmdebstrap.
        Bootstrap = "bootstrap",
        /// An image that exists.
        Disk = "disk",
        /// An image of the catalogue.
        Image = "image",
        /// An installation from its medium.
        Iso = "iso",
    }
}

/// Reads the source. `name` is the template's, which a host is called after.
pub(crate) fn read(
    mut table: Table<'_>,
    name: &Checked<String>,
    machine: &Checked<Machine>,
) -> Checked<Source> {
    let (kind, known) = table.kind("bootstrap")?;
    for (other, keys, place) in [
        (SourceKind::Bootstrap, &bootstrap::KEYS[..], "sources of type `bootstrap`"),
        (SourceKind::Disk, &disk::KEYS, "sources of type `disk`"),
        (SourceKind::Image, &image::KEYS, "sources of type `image`"),
        (SourceKind::Iso, &iso::KEYS, "sources of type `iso`"),
    ] {
        if other != kind {
            table.elsewhere(keys, place);
        }
    }
    let offline = machine.as_ref().is_ok_and(|machine| machine.network == Network::None);
    let source = match kind {
        SourceKind::Bootstrap => bootstrap::read(table, name).map(Source::Bootstrap),
        SourceKind::Disk => disk::read(table).map(Source::Disk),
        SourceKind::Image => image::read(table).map(Source::Image),
        SourceKind::Iso => iso::read(table, offline).map(Source::Iso),
    };
    known.and(source)
}
