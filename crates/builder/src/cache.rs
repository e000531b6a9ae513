//! The cache, looked at and made smaller: bases, layers, cache mounts, booted appliances, kernels, downloads.
//!
//! A file `used` in the folder of a base or a layer says by its time when a build last took it; of the rest, the times of the
//! files do. What a running build may be reading is never removed.

use crate::{
    Error, Events, Home, Kiln,
    base::BaseRecord,
    layers::{Found, LayerCache},
    lock::Lock,
};
use kiln_types::{Digest, Timestamp};
use serde::Serialize;
use std::{
    collections::BTreeSet,
    fmt,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::Duration,
};

/// Says by its time when a folder was last used.
const USED: &str = "used";

/// What an entry of the cache is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CacheKind {
    /// A base disk.
    Base,
    /// What steps wrote.
    Layer,
    /// A folder of guests that lasts from build to build.
    Mount,
    /// The state of a booted appliance.
    Appliance,
    /// A kernel for images without one.
    Kernel,
    /// A file that was fetched.
    Download,
}

impl fmt::Display for CacheKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Base => "base",
            Self::Layer => "layer",
            Self::Mount => "mount",
            Self::Appliance => "appliance",
            Self::Kernel => "kernel",
            Self::Download => "download",
        })
    }
}

/// One thing in the cache.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct CacheEntry {
    /// What it is.
    pub kind: CacheKind,
    /// Its key or file name.
    pub name: String,
    /// What it is of, for people.
    pub of: String,
    /// The bytes that it takes on the disk.
    pub bytes: u64,
    /// When it was last used.
    pub last_used: Timestamp,
    /// Whether a running build may be reading it.
    pub in_use: bool,
    #[serde(skip)]
    path: PathBuf,
    /// What it stands on: the content of a base, the keys of layers.
    #[serde(skip)]
    needs: BTreeSet<Digest>,
    /// What others know it by.
    #[serde(skip)]
    is: Option<Digest>,
}

/// What is to be removed from the cache.
#[derive(Debug, Clone, Copy, Default)]
pub struct Prune {
    /// Everything that was not used for this long.
    pub older_than: Option<Duration>,
    /// What was not used for the longest, until no more than this is left.
    pub max_bytes: Option<u64>,
    /// Everything.
    pub all: bool,
    /// Only say what it would be.
    pub dry_run: bool,
}

impl Kiln {
    /// Lists the cache: what was not used for the longest first.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn cache(&self) -> Result<Vec<CacheEntry>, Error> {
        let building = self.home.is_building()?;
        let mut entries = Vec::new();
        let kinds = [
            (CacheKind::Base, self.home.bases()),
            (CacheKind::Layer, self.home.layers()),
            (CacheKind::Mount, self.home.mounts()),
            (CacheKind::Appliance, self.home.warm()),
            (CacheKind::Kernel, self.home.cache().join("kernels")),
            (CacheKind::Download, self.home.downloads()),
        ];
        for (kind, folder) in kinds {
            for entry in fs_err::read_dir(folder)? {
                let path = entry?.path();
                let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                // What is being made or removed.
                if !name.starts_with('.') {
                    entries.extend(self.entry(kind, path, name, building)?);
                }
            }
        }
        entries.sort_by(|one, other| {
            (one.last_used, one.kind, &one.name).cmp(&(other.last_used, other.kind, &other.name))
        });
        Ok(entries)
    }

    fn entry(
        &self,
        kind: CacheKind,
        path: PathBuf,
        name: String,
        building: bool,
    ) -> Result<Option<CacheEntry>, Error> {
        let mut seen = Seen::default();
        match seen.look(&path) {
            Ok(()) => {}
            // Removed by another meanwhile.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        }
        let mut entry = CacheEntry {
            kind,
            of: String::new(),
            bytes: seen.bytes,
            last_used: Timestamp::from_unix(seen.used).unwrap_or_else(Timestamp::now),
            in_use: building,
            needs: BTreeSet::new(),
            is: None,
            path,
            name,
        };
        match kind {
            CacheKind::Base => {
                if let Some(base) = BaseRecord::read(&entry.path) {
                    (entry.of, entry.is) = (base.source, Some(base.content));
                }
            }
            CacheKind::Layer => {
                entry.is = entry.name.parse().ok();
                // Builds link the layers that they use.
                entry.in_use = seen.linked;
                if let Some(Found::Whole(record)) = entry.is.map(|key| self.layers().find(key)) {
                    entry.of =
                        format!("{}: step {} {}", record.made.template, record.made.step, record.made.name);
                    entry.needs = record.layers().filter(|key| Some(*key) != entry.is).collect();
                    entry.needs.insert(record.made.base);
                }
            }
            CacheKind::Mount => {
                entry.of = fs_err::read_to_string(entry.path.join("about")).unwrap_or_default();
                entry.in_use = self.home.lock_mount(&entry.name)?.is_none();
            }
            CacheKind::Appliance | CacheKind::Kernel | CacheKind::Download => {}
        }
        Ok(Some(entry))
    }

    /// Removes what was asked for, and returns it. What others stand on stays as long as they do.
    ///
    /// # Errors
    /// When the cache cannot be read or something cannot be removed.
    pub fn prune_cache(&self, prune: &Prune) -> Result<Vec<CacheEntry>, Error> {
        let mut kept = self.cache()?;
        let now = Timestamp::now().unix();
        let mut removed: Vec<CacheEntry> = Vec::new();
        loop {
            let total: u64 = kept.iter().map(|entry| entry.bytes).sum();
            let goes = |entry: &CacheEntry| {
                let age = u64::try_from(now.saturating_sub(entry.last_used.unix())).unwrap_or_default();
                let asked = prune.all
                    || prune.older_than.is_some_and(|oldest| age >= oldest.as_secs())
                    || prune.max_bytes.is_some_and(|most| total > most);
                // What others stand on goes after them.
                asked && !entry.in_use && !kept.iter().any(|above| above.stands_on(entry))
            };
            let Some(place) = kept.iter().position(goes) else { break };
            let entry = kept.remove(place);
            if !prune.dry_run {
                self.remove(&entry)?;
            }
            removed.push(entry);
        }
        Ok(removed)
    }

    fn remove(&self, entry: &CacheEntry) -> Result<(), Error> {
        let _held = match entry.kind {
            CacheKind::Mount => self.home.lock_mount(&entry.name)?,
            _ => None,
        };
        match (entry.kind, entry.is) {
            (CacheKind::Layer, Some(key)) => self.layers().drop_layer(key),
            _ if entry.path.is_dir() => Ok(fs_err::remove_dir_all(&entry.path)?),
            _ => Ok(fs_err::remove_file(&entry.path)?),
        }
    }

    /// Reads every layer and compares it with its digest. One that is damaged is dropped: the next build makes it anew.
    /// Returns how many are whole, and what is wrong with the others.
    ///
    /// # Errors
    /// When the cache cannot be read.
    pub fn verify_cache(&self, events: &Events) -> Result<(usize, Vec<(Digest, String)>), Error> {
        let cache = self.layers();
        let mut keys = cache.keys()?;
        // What a layer stands on comes before it: one that is dropped takes all above it along.
        keys.sort_by_cached_key(|key| match cache.find(*key) {
            Found::Whole(record) => record.disks.iter().map(|disk| disk.stamps.len()).max(),
            Found::Missing | Found::Damaged(_) => None,
        });
        let (mut whole, mut damaged) = (0, Vec::new());
        for key in keys {
            let why = match cache.find(key) {
                Found::Missing => continue,
                Found::Damaged(why) => Some(why),
                Found::Whole(record) => cache.digest_difference(key, &record)?,
            };
            match why {
                None => whole += 1,
                Some(why) => {
                    events.warning(format!("layer {} is dropped: {why}", key.short()));
                    cache.drop_layer(key)?;
                    damaged.push((key, why));
                }
            }
        }
        Ok((whole, damaged))
    }
}

impl CacheEntry {
    fn stands_on(&self, other: &Self) -> bool {
        other.is.is_some_and(|is| self.needs.contains(&is))
    }
}

impl Home {
    /// Says whether a build runs.
    fn is_building(&self) -> Result<bool, Error> {
        for entry in fs_err::read_dir(self.root().join("builds"))? {
            let lock = entry?.path().join("lock");
            if lock.is_file() && Lock::try_now(&lock)?.is_none() {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl LayerCache {
    /// Notes that layers are used now.
    pub(crate) fn touch(&self, layers: impl Iterator<Item = Digest>) {
        for layer in layers {
            touch(&self.place(layer));
        }
    }
}

/// Notes that a folder of the cache is used now. Only `list` and `prune` look at it: that it cannot be noted stops no build.
pub(crate) fn touch(folder: &Path) {
    if let Err(error) = fs_err::write(folder.join(USED), []) {
        tracing::debug!(%error, "the time of use is not noted");
    }
}

/// What the files of an entry say.
#[derive(Default)]
struct Seen {
    bytes: u64,
    used: i64,
    /// Whether another name leads to one of them.
    linked: bool,
}

impl Seen {
    fn look(&mut self, path: &Path) -> std::io::Result<()> {
        let metadata = fs_err::symlink_metadata(path)?;
        self.bytes = self.bytes.saturating_add(metadata.blocks() * 512);
        if metadata.is_dir() {
            for entry in fs_err::read_dir(path)? {
                self.look(&entry?.path())?;
            }
            return Ok(());
        }
        self.linked |= metadata.nlink() > 1;
        self.used = self.used.max(metadata.mtime());
        Ok(())
    }
}
