//! Where everything of an installation lives.
//!
//! ```text
//! home.json                      format version
//! seal                           the secret under which sensitive values go into cache keys
//! regions/local/                 the default region: snapshots and images (kiln-store's tree)
//! cache/downloads/<name>         verified downloads, and `.part` files that resume
//! cache/bases/<key>/disk.raw     base disks, sparse; base.json is written last and publishes the folder
//! cache/kernels/<version>/       unpacked fallback kernels for the appliance
//! cache/last/<template>.json     the inputs of a template's last build, for a plan to say what is different
//! cache/layers/<key>/            what a step wrote, an overlay a disk; layer.json says over which layers
//! cache/lookups/<url>            what checksum files last said
//! cache/mounts/<key>/            a folder of the guest that lasts from build to build
//! cache/warm/<key>/              the state of a booted appliance, to begin from (kiln-machine's)
//! cache/index/<region>-<place>.images  what is known of a region's images from earlier listings
//! cache/kvm-probe.json           whether KVM works, as of this boot of the host
//! builds/<name>/                 a running build: overlay, console log, kernel, initramfs; held by a lock
//! instances/<id>/                a machine that was launched from an image (see `instances.rs`)
//! kept/<name>/                   the same of a build that failed and was to be kept
//! locks/<name>                   empty files that are locked, never removed
//! ```
//! A folder under `builds/` whose lock nobody holds was left by a killed build; the next build removes it.

use crate::{
    Error,
    key::{KeyMaker, Seal},
    lock::Lock,
    request::Loaded,
};
use kiln_types::RegionName;
use serde::{Deserialize, Serialize};
use std::{
    io::{self, Write},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

/// The version of this tree. A newer one is refused, so that an old `kiln` never damages it.
const FORMAT: u32 = 1;

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct HomeRecord {
    format_version: u32,
}

/// The folder of an installation, made when first used.
#[derive(Debug, Clone)]
pub struct Home {
    root: PathBuf,
}

impl Home {
    /// Opens the home at `root`, making it where it does not exist.
    ///
    /// # Errors
    /// When the folder cannot be made or was written by a newer version.
    pub fn open(root: &Path) -> Result<Self, Error> {
        // Images hold whatever was put into them: they are their owner's alone, unless a home that is there says else.
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(root)
            .map_err(|source| Error::NoHome { path: root.to_owned(), source })?;
        let root = fs_err::canonicalize(root)?;
        let home = Self { root };
        let record = home.root.join("home.json");
        match fs_err::read(&record) {
            Ok(bytes) => check_format(&record, &bytes)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let bytes = serde_json::to_vec(&HomeRecord { format_version: FORMAT }).unwrap_or_default();
                write_whole(&record, &bytes)?;
            }
            Err(error) => return Err(error.into()),
        }
        for folder in [
            "regions",
            "cache/downloads",
            "cache/bases",
            "cache/kernels",
            "cache/last",
            "cache/layers",
            "cache/lookups",
            "cache/mounts",
            "cache/warm",
            "builds",
            "instances",
            "kept",
            "locks",
        ] {
            fs_err::create_dir_all(home.root.join(folder))?;
        }
        Ok(home)
    }

    /// Returns the folder itself.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Returns the folder of the default region.
    #[must_use]
    pub fn local_region(&self) -> PathBuf {
        self.root.join("regions/local")
    }

    /// Returns the folder of downloads.
    #[must_use]
    pub fn downloads(&self) -> PathBuf {
        self.root.join("cache/downloads")
    }

    /// Returns the folder of base disks.
    #[must_use]
    pub fn bases(&self) -> PathBuf {
        self.root.join("cache/bases")
    }

    /// Returns the folder of everything that can be made again; `kiln_disk` keeps its `kernels/` there.
    #[must_use]
    pub fn cache(&self) -> PathBuf {
        self.root.join("cache")
    }

    /// Returns the folder of instances.
    pub(crate) fn instances(&self) -> PathBuf {
        self.root.join("instances")
    }

    /// Returns the file that notes whether KVM works.
    pub(crate) fn kvm_probe(&self) -> PathBuf {
        self.root.join("cache/kvm-probe.json")
    }

    /// Returns the folder of booted appliances' states.
    pub(crate) fn warm(&self) -> PathBuf {
        self.root.join("cache/warm")
    }

    /// Returns the folder of steps' results.
    pub(crate) fn layers(&self) -> PathBuf {
        self.root.join("cache/layers")
    }

    /// Returns the folder of what was looked up.
    pub(crate) fn lookups(&self) -> PathBuf {
        self.root.join("cache/lookups")
    }

    /// Returns the folder of what lasts from build to build.
    pub(crate) fn mounts(&self) -> PathBuf {
        self.root.join("cache/mounts")
    }

    /// Returns the file where the inputs of a template's last build are kept.
    pub(crate) fn last_build(&self, loaded: &Loaded) -> PathBuf {
        let mut name = KeyMaker::new("template");
        name.part("folder", loaded.folder.as_os_str().as_encoded_bytes());
        name.part("file", loaded.file_name.as_bytes());
        name.part("label", loaded.template.label().as_bytes());
        self.root.join("cache/last").join(format!("{}.json", name.finish().short()))
    }

    /// Takes a failed build's folder out of those that are swept, and returns where it lies now.
    pub(crate) fn keep(&self, folder: &BuildFolder) -> Result<PathBuf, Error> {
        let from = folder.path();
        let to = self.root.join("kept").join(from.file_name().unwrap_or_default());
        fs_err::rename(from, &to)?;
        Ok(to)
    }

    /// Reads the secret of this installation, or makes it.
    pub(crate) fn seal(&self) -> Result<Seal, Error> {
        let path = self.root.join("seal");
        loop {
            match fs_err::read(&path) {
                Ok(bytes) => {
                    let bytes = bytes.try_into().map_err(|_other| io::Error::other("expected 32 bytes"));
                    return bytes.map(Seal::from_bytes).map_err(|source| Error::BadSeal { path, source });
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error.into()),
            }
            let mut bytes = [0; 32];
            getrandom::fill(&mut bytes).map_err(io::Error::other)?;
            // Of two processes one makes it; its mode is 0600.
            let mut file = tempfile::NamedTempFile::new_in(&self.root)?;
            file.write_all(&bytes)?;
            file.as_file().sync_all()?;
            match file.persist_noclobber(&path) {
                Ok(_) => {}
                Err(taken) if taken.error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error.error.into()),
            }
        }
    }

    /// Returns the file where what is known of a region's images is kept.
    pub(crate) fn image_index(&self, region: &RegionName, location: &str) -> PathBuf {
        let mut place = KeyMaker::new("region");
        place.part("location", location.as_bytes());
        self.root.join("cache/index").join(format!("{region}-{}.images", place.finish().short()))
    }

    /// Returns the file of the lock of this name.
    pub(crate) fn lock_path(&self, name: &str) -> PathBuf {
        self.root.join("locks").join(name)
    }

    /// Makes the folder of a new build and holds it. Folders that killed builds left are removed first.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub(crate) fn new_build(&self) -> Result<BuildFolder, Error> {
        let builds = self.root.join("builds");
        // The names are made and swept under one lock, so that a new folder is never taken for a dead one.
        let _sweeping = Lock::wait(&self.lock_path("builds"))?;
        sweep(&builds)?;
        let folder = tempfile::Builder::new().prefix("build-").tempdir_in(&builds)?;
        let lock = Lock::try_now(&folder.path().join("lock"))?
            .ok_or_else(|| Error::HomeBusy { path: folder.path().to_owned() })?;
        Ok(BuildFolder { folder, _lock: lock })
    }
}

fn check_format(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let record: HomeRecord =
        serde_json::from_slice(bytes).map_err(|source| Error::Record { path: path.to_owned(), source })?;
    if record.format_version > FORMAT {
        return Err(Error::NewerHome { path: path.to_owned(), found: record.format_version, known: FORMAT });
    }
    Ok(())
}

fn sweep(builds: &Path) -> Result<(), Error> {
    for entry in fs_err::read_dir(builds)? {
        let path = entry?.path();
        // Held until the folder is gone; the lock file goes with it.
        let Some(_dead) = Lock::try_now(&path.join("lock"))? else { continue };
        tracing::debug!(path = %path.display(), "removing what a killed build left");
        fs_err::remove_dir_all(&path)?;
    }
    Ok(())
}

/// Writes a file beside its target, makes it durable, and renames it into place.
///
/// # Errors
/// When any of these fails; the target is then as it was.
pub(crate) fn write_whole(target: &Path, bytes: &[u8]) -> Result<(), Error> {
    let folder = target.parent().unwrap_or(Path::new("."));
    let mut staged = tempfile::NamedTempFile::new_in(folder)?;
    io::Write::write_all(&mut staged, bytes)?;
    staged.as_file().sync_all()?;
    staged.persist(target).map_err(|error| error.error)?;
    Ok(())
}

/// The folder of a running build: removed when dropped, swept by the next build when this process was killed.
#[derive(Debug)]
pub(crate) struct BuildFolder {
    folder: tempfile::TempDir,
    _lock: Lock,
}

impl BuildFolder {
    /// Returns the folder.
    #[must_use]
    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dead_builds_folder_is_swept_and_a_live_one_is_not() {
        let world = tempfile::tempdir().unwrap();
        let home = Home::open(world.path()).unwrap();
        let live = home.new_build().unwrap();
        let dead = home.root().join("builds/build-dead");
        fs_err::create_dir(&dead).unwrap();
        fs_err::write(dead.join("overlay.qcow2"), b"half").unwrap();
        let next = home.new_build().unwrap();
        assert!(!dead.exists());
        assert!(live.path().exists());
        let path = next.path().to_owned();
        drop(next);
        assert!(!path.exists());
    }

    #[test]
    fn a_kept_build_is_not_swept() {
        let world = tempfile::tempdir().unwrap();
        let home = Home::open(world.path()).unwrap();
        let build = home.new_build().unwrap();
        fs_err::write(build.path().join("overlay.qcow2"), b"half").unwrap();
        let kept = home.keep(&build).unwrap();
        drop(home.new_build().unwrap());
        assert_eq!(fs_err::read(kept.join("overlay.qcow2")).unwrap(), b"half");
    }

    #[test]
    fn a_newer_home_is_refused() {
        let world = tempfile::tempdir().unwrap();
        Home::open(world.path()).unwrap();
        fs_err::write(world.path().join("home.json"), br#"{"FormatVersion": 99}"#).unwrap();
        assert!(matches!(Home::open(world.path()), Err(Error::NewerHome { found: 99, .. })));
    }
}
