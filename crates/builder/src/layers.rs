//! The results of steps, kept: `cache/layers` of a home.
//!
//! ```text
//! <key>/layer.json         for every disk the chain of overlays that it stands on, this layer's own last
//! <key>/<serial>.qcow2     what the step wrote to that disk; names no backing file
//! <key>/uefi-variables.fd, tpm/   the machine's state, where it has one
//! ```
//! A layer is made whole in a folder beside, and published by renaming that. Its overlays are hard links of those of the
//! build that made it: no file is renamed under a machine that runs. A build that uses a layer links it into its own folder, so
//! that what it reads stays whatever becomes of the cache. A record knows size, time and inode of every overlay of its
//! chains: one that was edited, truncated or made anew is not what the record stands on.

use crate::{Error, checksum::file_sha256, home::write_whole, machine_state::MachineState, volumes::ROOT};
use kiln_machine::communicator::ssh::fast_boot::Placed;
use kiln_template::Template;
use kiln_types::{Digest, Timestamp};
use serde::{Deserialize, Serialize};
use std::{
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::Duration,
};

/// The version of records. Layers of another one are not used.
const FORMAT: u32 = 1;

const RECORD: &str = "layer.json";

/// An overlay as it was when its layer was published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Stamp {
    /// The layer that it belongs to.
    pub(crate) layer: Digest,
    size: u64,
    modified: (i64, i64),
    inode: u64,
}

/// The overlays of a disk, the lowest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct DiskChain {
    /// What a guest finds the disk by.
    pub(crate) serial: String,
    pub(crate) stamps: Vec<Stamp>,
}

impl DiskChain {
    /// A disk that stands on no layer.
    pub(crate) fn blank(serial: &str) -> Self {
        Self { serial: serial.to_owned(), stamps: Vec::new() }
    }
}

/// What is known of a layer.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct LayerRecord {
    format_version: u32,
    created: Timestamp,
    #[serde(flatten)]
    pub(crate) made: Made,
    pub(crate) disks: Vec<DiskChain>,
    /// The digests of its own overlays, in the order of the disks.
    pub(crate) digests: Vec<Digest>,
}

/// What a layer is the result of.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Made {
    /// The content of the base under all layers.
    pub(crate) base: Digest,
    /// The template, for people.
    pub(crate) template: String,
    /// The last step's place, from 1.
    pub(crate) step: usize,
    /// The last step's name.
    pub(crate) name: String,
    /// Whether the guest ran on while the layer was taken: its file systems are as after a loss of power.
    pub(crate) crash_consistent: bool,
    /// What lets Kiln into the guest, which is taken out when the build ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) placed: Option<Placed>,
}

impl LayerRecord {
    /// Lists the layers that it is made of, itself among them.
    pub(crate) fn layers(&self) -> impl Iterator<Item = Digest> {
        self.disks.iter().flat_map(|disk| &disk.stamps).map(|stamp| stamp.layer)
    }

    /// Says whether the layer was made within this time.
    pub(crate) fn younger_than(&self, age: Duration) -> bool {
        let seconds = Timestamp::now().unix().saturating_sub(self.created.unix());
        u64::try_from(seconds).unwrap_or_default() < age.as_secs()
    }

    /// Says whether the layer lies right upon another, or upon the base where that is none.
    pub(crate) fn is_over(&self, below: Option<&Self>) -> bool {
        let expected = |disk: &DiskChain| match below {
            None => Some([].as_slice()),
            Some(below) => below.disks.iter().find(|other| other.serial == disk.serial).map(|b| &*b.stamps),
        };
        self.disks.iter().all(|disk| disk.stamps.split_last().map(|(_, rest)| rest) == expected(disk))
    }
}

/// Names the disks of a template's machine.
pub(crate) fn serials(template: &Template) -> impl Iterator<Item = &str> {
    [ROOT].into_iter().chain(template.machine.disks.iter().map(|disk| disk.name.as_str()))
}

/// A layer that a person named.
#[derive(Debug, Clone)]
pub(crate) struct NamedLayer {
    pub(crate) key: Digest,
    pub(crate) record: LayerRecord,
}

impl NamedLayer {
    /// Says why a template's build cannot go on from the layer, where it cannot.
    pub(crate) fn check(&self, base: Digest, template: &Template) -> Result<(), Error> {
        let (made, steps) = (&self.record.made, template.provisioners.len());
        let why = if made.base != base {
            "it lies on another base".to_owned()
        } else if made.step > steps {
            format!("it is the result of step {}, and the template has {steps}", made.step)
        } else if !serials(template).eq(self.record.disks.iter().map(|disk| disk.serial.as_str())) {
            "its machine has other disks".to_owned()
        } else {
            return Ok(());
        };
        Err(Error::UnfitLayer { key: self.key, why })
    }
}

/// A layer that was looked for.
#[derive(Debug)]
pub(crate) enum Found {
    /// It is there and whole.
    Whole(LayerRecord),
    /// It is not there.
    Missing,
    /// It is there, and cannot be used: why.
    Damaged(String),
}

/// The layers of a home.
#[derive(Debug, Clone)]
pub(crate) struct LayerCache {
    folder: PathBuf,
}

impl LayerCache {
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Returns a layer's folder.
    pub(crate) fn place(&self, key: Digest) -> PathBuf {
        self.folder.join(key.to_string())
    }

    pub(crate) fn overlay(&self, key: Digest, serial: &str) -> PathBuf {
        self.place(key).join(format!("{serial}.qcow2"))
    }

    /// Looks for a layer, and at every overlay that it stands on.
    pub(crate) fn find(&self, key: Digest) -> Found {
        let path = self.place(key).join(RECORD);
        let bytes = match fs_err::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Found::Missing,
            Err(error) => return Found::Damaged(error.to_string()),
        };
        let record: LayerRecord = match serde_json::from_slice(&bytes) {
            Ok(record) => record,
            Err(error) => return Found::Damaged(format!("its record: {error}")),
        };
        if record.format_version != FORMAT {
            return Found::Missing;
        }
        for disk in &record.disks {
            for stamp in &disk.stamps {
                let path = self.overlay(stamp.layer, &disk.serial);
                if stamp_of(stamp.layer, &path).ok().as_ref() != Some(stamp) {
                    return Found::Damaged(format!("{} is not the file that it was", path.display()));
                }
            }
        }
        Found::Whole(record)
    }

    /// Says what is wrong with a layer whose files look as they did, by reading them.
    pub(crate) fn digest_difference(
        &self,
        key: Digest,
        record: &LayerRecord,
    ) -> Result<Option<String>, Error> {
        for (disk, digest) in record.disks.iter().zip(&record.digests) {
            let path = self.overlay(key, &disk.serial);
            if file_sha256(&path)? != *digest {
                return Ok(Some(format!("{} does not have its digest", path.display())));
            }
        }
        Ok(None)
    }

    /// Lists the keys of the layers.
    pub(crate) fn keys(&self) -> Result<Vec<Digest>, Error> {
        let entries = fs_err::read_dir(&self.folder)?.collect::<Result<Vec<_>, _>>()?;
        // Folders that are being made or removed have other names.
        let mut keys: Vec<_> =
            entries.iter().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
        keys.sort();
        Ok(keys)
    }

    /// Finds the one layer whose key begins so.
    pub(crate) fn named(&self, layer: &str) -> Result<NamedLayer, Error> {
        let mut keys = self.keys()?;
        keys.retain(|key| key.to_string().starts_with(layer));
        let [key] = keys.as_slice() else {
            return Err(Error::NoSuchLayer { layer: layer.to_owned(), count: keys.len() });
        };
        match self.find(*key) {
            Found::Whole(record) => Ok(NamedLayer { key: *key, record }),
            Found::Missing => Err(Error::NoSuchLayer { layer: layer.to_owned(), count: 0 }),
            Found::Damaged(why) => Err(Error::UnfitLayer { key: *key, why }),
        }
    }

    /// Links the overlays of a disk into a build's folder, the lowest first. Each is looked at once more: a link holds what it
    /// leads to.
    pub(crate) fn link(&self, disk: &DiskChain, folder: &Path) -> Result<Vec<PathBuf>, Error> {
        let links = disk.stamps.iter().enumerate().map(|(number, stamp)| {
            let link = folder.join(format!("{}-layer{number}.qcow2", disk.serial));
            fs_err::hard_link(self.overlay(stamp.layer, &disk.serial), &link)?;
            match stamp_of(stamp.layer, &link)? == *stamp {
                true => Ok(link),
                false => Err(Error::LayerChanged { key: stamp.layer }),
            }
        });
        links.collect()
    }

    /// Publishes a layer: for every disk the chain below and the overlay that it adds. One of the same key is replaced.
    pub(crate) fn publish(
        &self,
        key: Digest,
        made: Made,
        disks: Vec<(DiskChain, PathBuf)>,
        state: Option<&Path>,
    ) -> Result<Vec<DiskChain>, Error> {
        let staged = tempfile::Builder::new().prefix(".new-").tempdir_in(&self.folder)?;
        let mut chains = Vec::with_capacity(disks.len());
        let mut digests = Vec::with_capacity(disks.len());
        for (mut disk, overlay) in disks {
            fs_err::File::open(&overlay)?.sync_all()?;
            let link = staged.path().join(format!("{}.qcow2", disk.serial));
            fs_err::hard_link(overlay, &link)?;
            disk.stamps.push(stamp_of(key, &link)?);
            digests.push(file_sha256(&link)?);
            chains.push(disk);
        }
        let record = LayerRecord {
            format_version: FORMAT,
            created: Timestamp::now(),
            made,
            disks: chains.clone(),
            digests,
        };
        if let Some(state) = state {
            MachineState::copy(state, staged.path())?;
        }
        write_whole(&staged.path().join(RECORD), &serde_json::to_vec(&record).map_err(Error::Canonical)?)?;
        fs_err::File::open(staged.path())?.sync_all()?;
        self.drop_layer(key)?;
        fs_err::rename(staged.path(), self.place(key))?;
        // Its name is taken; there is nothing to remove under the old one.
        drop(staged.keep());
        fs_err::File::open(&self.folder)?.sync_all()?;
        Ok(chains)
    }

    /// Takes a layer out of the cache. Builds that use it have links of their own.
    pub(crate) fn drop_layer(&self, key: Digest) -> Result<(), Error> {
        let gone = tempfile::Builder::new().prefix(".old-").tempdir_in(&self.folder)?;
        match fs_err::rename(self.place(key), gone.path().join("layer")) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
            Ok(()) | Err(_) => Ok(()),
        }
    }
}

pub(crate) fn stamp_of(layer: Digest, path: &Path) -> io::Result<Stamp> {
    let metadata = fs_err::symlink_metadata(path)?;
    let modified = (metadata.mtime(), metadata.mtime_nsec());
    Ok(Stamp { layer, size: metadata.len(), modified, inode: metadata.ino() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> Digest {
        Digest::from_bytes([byte; 32])
    }

    fn base() -> DiskChain {
        DiskChain { serial: "root".to_owned(), stamps: Vec::new() }
    }

    fn made(step: usize) -> Made {
        let (template, name) = ("web".to_owned(), format!("step {step}"));
        Made { base: key(0), template, step, name, crash_consistent: false, placed: None }
    }

    /// A cache with two layers, one over the other.
    fn two() -> (tempfile::TempDir, LayerCache, Vec<DiskChain>) {
        let world = tempfile::tempdir().unwrap();
        let cache = LayerCache::new(world.path().join("layers"));
        fs_err::create_dir(world.path().join("layers")).unwrap();
        let overlay = |name: &str| {
            let path = world.path().join(name);
            fs_err::write(&path, name).unwrap();
            path
        };
        let one = cache.publish(key(1), made(1), vec![(base(), overlay("one"))], None).unwrap();
        let two = cache.publish(key(2), made(2), vec![(one[0].clone(), overlay("two"))], None).unwrap();
        (world, cache, two)
    }

    fn whole(cache: &LayerCache, byte: u8) -> LayerRecord {
        match cache.find(key(byte)) {
            Found::Whole(record) => record,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_chain_is_found_and_linked() {
        let (world, cache, chains) = two();
        let (lower, upper) = (whole(&cache, 1), whole(&cache, 2));
        assert_eq!(upper.disks, chains);
        assert!(lower.is_over(None) && upper.is_over(Some(&lower)) && !upper.is_over(None));
        let links = cache.link(&chains[0], world.path()).unwrap();
        cache.drop_layer(key(1)).unwrap();
        let read: Vec<_> = links.iter().map(|link| fs_err::read_to_string(link).unwrap()).collect();
        assert_eq!(read, ["one", "two"], "what a build uses stays");
        assert!(matches!(cache.find(key(1)), Found::Missing));
        assert!(matches!(cache.find(key(2)), Found::Damaged(_)), "what it stood on is gone");
    }

    #[test]
    fn an_edited_or_truncated_overlay_is_damage_to_all_above_it() {
        for bytes in ["", "One"] {
            let (_world, cache, _) = two();
            fs_err::write(cache.overlay(key(1), "root"), bytes).unwrap();
            assert!(matches!(cache.find(key(1)), Found::Damaged(_)));
            assert!(matches!(cache.find(key(2)), Found::Damaged(_)));
        }
    }

    #[test]
    fn a_layer_made_anew_does_not_carry_what_stood_on_the_old_one() {
        let (world, cache, _) = two();
        fs_err::write(world.path().join("anew"), "one").unwrap();
        cache.publish(key(1), made(1), vec![(base(), world.path().join("anew"))], None).unwrap();
        whole(&cache, 1);
        assert!(matches!(cache.find(key(2)), Found::Damaged(_)));
        let left = fs_err::read_dir(&cache.folder).unwrap().count();
        assert_eq!(left, 2, "nothing is left of the old one");
    }
}
