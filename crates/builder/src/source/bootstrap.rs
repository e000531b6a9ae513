//! `source.type = "bootstrap"`: a Debian userland put together from packages.

use super::Workshop;
use crate::{Error, key::KeyMaker, plan::canonical};
use kiln_template::Bootstrap;
use kiln_types::{Architecture, Digest};
use std::path::Path;

/// The way in which disks are put together. A change makes every bootstrapped base anew.
const RECIPE: &str = "2";

pub(super) fn describe(source: &Bootstrap) -> String {
    format!("debian {}, {}", source.suite, source.disk_size)
}

pub(super) fn key(source: &Bootstrap, architecture: Architecture) -> Result<Digest, Error> {
    let mut maker = KeyMaker::new("bootstrap");
    maker.part("recipe", RECIPE.as_bytes());
    maker.part("source", &canonical(source)?);
    maker.part("architecture", architecture.as_str().as_bytes());
    if let Some(keyring) = &source.apt_keyring {
        maker.tree("keyring", &keyring.path, &keyring.written)?;
    }
    Ok(maker.finish())
}

pub(super) fn make(
    source: &Bootstrap,
    architecture: Architecture,
    out: &Path,
    workshop: &Workshop<'_>,
) -> Result<(), Error> {
    let spec = kiln_disk::Bootstrap {
        architecture,
        suite: source.suite.clone(),
        mirror: source.mirror.clone(),
        snapshot: source.snapshot,
        components: source.components.clone(),
        variant: source.variant.to_string(),
        packages: source.packages.clone(),
        apt_keyring: source.apt_keyring.as_ref().map(|keyring| keyring.path.clone()),
        disk_size: source.disk_size,
        cloud_init: source.cloud_init,
        hostname: source.hostname.clone(),
        seed: key(source, architecture)?,
    };
    let work = workshop.folder.join("bootstrap");
    fs_err::create_dir(&work)?;
    let mut on_line = |line: &str| workshop.events.output(line);
    kiln_disk::build(&spec, out, &work, &mut on_line, &workshop.cancel.flag())?;
    fs_err::remove_dir_all(&work)?;
    Ok(())
}
