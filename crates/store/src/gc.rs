//! Garbage collection: what no snapshot names goes away, beside writers and readers that run.
//!
//! ```text
//! condemned/<random>.json     {"FormatVersion": 1, "Objects": ["packs/….pack", "snapshots/…/map"]}
//!
//! half-dead packs ─▶ written anew, and garbage then (repack.rs)
//! garbage, older than the grace ─▶ condemned ─ the grace ─▶ still garbage? ─▶ deleted
//!                                     │                          └ no: taken off the list
//!                                     └ writers store again what they counted on there (publish.rs)
//! ```
//! A writer looks at the lists when it begins, to borrow nothing that is condemned, and again before it publishes. If it
//! did not see a list, it looked before the list was made, and its record was there within ten minutes: the second look,
//! which comes after the grace, finds it. A reader has the grace as well, from a snapshot's deletion on.
//!
//! Anything that cannot be read ends a collection before it deletes.

use crate::{
    Error, PackId, Progress, Put, Region,
    leftovers::{self, Leftover},
    objects::object_error,
};
use object_store::{ObjectMeta, ObjectStoreExt};
use serde::{Deserialize, Serialize};
use std::{
    collections::HashSet,
    time::{Duration, SystemTime},
};

/// The folder of condemned lists.
pub(crate) const FOLDER: &str = "condemned";

/// The format of a list. A change makes older builds refuse to write to a region that has one.
const FORMAT_VERSION: u32 = 1;

/// The shortest grace that is safe beside writers and readers.
pub const MIN_GRACE: Duration = Duration::from_secs(60 * 60);

/// How a collection goes.
#[derive(Debug, Clone, Copy)]
pub struct Collect {
    /// How long garbage is kept before it is condemned, and again before it is deleted. Less than [`MIN_GRACE`] is for
    /// regions that nothing else uses meanwhile.
    pub grace: Duration,
    /// Only say what would be done.
    pub dry_run: bool,
}

/// What a collection did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Collected {
    /// Objects that were condemned now: the first collection after the grace deletes them.
    pub condemned: Vec<Garbage>,
    /// Objects that wait since earlier collections.
    pub waiting: Vec<Garbage>,
    /// Objects that were deleted.
    pub deleted: Vec<Garbage>,
    /// Packs that were written anew, each with the bytes in it that no snapshot names; they are garbage now.
    pub repacked: Vec<Garbage>,
    /// Objects that nobody needs and that are too young to be condemned; a writer may still be about to name them.
    pub young: Vec<Garbage>,
}

/// How far a collection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Collecting {
    /// Blocks of half-dead packs are written anew.
    Repacking(Progress),
    /// The maps of all snapshots are read.
    Reading {
        /// Snapshots whose maps were read.
        done: u64,
        /// All of them.
        total: u64,
    },
}

/// An object that no snapshot names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Garbage {
    /// Its path in the region.
    pub path: String,
    /// Its size.
    pub bytes: u64,
}

impl Garbage {
    pub(crate) fn of(meta: &ObjectMeta) -> Self {
        Self { path: meta.location.to_string(), bytes: meta.size }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct List {
    format_version: u32,
    objects: Vec<String>,
}

impl Region {
    /// Reads what collections have condemned.
    pub(crate) async fn condemned(&self) -> Result<HashSet<String>, Error> {
        let lists = self.condemned_lists().await?;
        Ok(lists.into_iter().flat_map(|(_, list)| list.objects).collect())
    }

    async fn condemned_lists(&self) -> Result<Vec<(ObjectMeta, List)>, Error> {
        let mut lists = Vec::new();
        for meta in self.list_objects(FOLDER).await? {
            let path = meta.location.to_string();
            if let Some(list) = self.condemned_list(&path).await? {
                lists.push((meta, list));
            }
        }
        Ok(lists)
    }

    /// Reads one list, or nothing where it has gone meanwhile.
    pub(crate) async fn condemned_list(&self, path: &str) -> Result<Option<List>, Error> {
        let Some(bytes) = self.read_record(path).await? else { return Ok(None) };
        let list: List = serde_json::from_slice(&bytes)
            .map_err(|source| Error::Record { path: path.to_owned(), source })?;
        match list.format_version {
            found if found > FORMAT_VERSION => {
                Err(Error::Newer { path: path.to_owned(), found, supported: FORMAT_VERSION })
            }
            _ => Ok(Some(list)),
        }
    }

    /// Writes half-dead packs anew, condemns what no snapshot names, and deletes what was condemned for long enough.
    ///
    /// # Errors
    /// When anything cannot be read or is damaged: what it names is not known then, and nothing is deleted.
    pub async fn collect(
        &self,
        collect: Collect,
        mut progress: impl FnMut(Collecting) + Send,
    ) -> Result<Collected, Error> {
        let now = SystemTime::now();
        let old = |meta: &ObjectMeta| {
            let age = now.duration_since(meta.last_modified.into()).unwrap_or_default();
            age >= collect.grace
        };
        let repacked =
            self.repack(old, collect.dry_run, |moved| progress(Collecting::Repacking(moved))).await?;
        // The lists' ages are taken before the look at the records.
        let lists = self.condemned_lists().await?;
        let garbage = self.garbage(|done, total| progress(Collecting::Reading { done, total })).await?;
        let mut collected = Collected { repacked, ..Collected::default() };
        let mut listed = HashSet::new();
        let mut due = Vec::new();
        for (meta, list) in &lists {
            listed.extend(list.objects.iter().cloned());
            if old(meta) {
                due.push(meta);
                collected.deleted.extend(
                    list.objects.iter().filter_map(|path| garbage.objects.get(path)).map(Garbage::of),
                );
            } else {
                collected.waiting.extend(
                    list.objects.iter().filter_map(|path| garbage.objects.get(path)).map(Garbage::of),
                );
            }
        }
        for (path, meta) in garbage.objects.iter().filter(|(path, _)| !listed.contains(*path)) {
            tracing::debug!(path, "garbage");
            if old(meta) { &mut collected.condemned } else { &mut collected.young }.push(Garbage::of(meta));
        }
        for grave in &garbage.graves {
            let of =
                if grave.last().is_some_and(&old) { &mut collected.deleted } else { &mut collected.young };
            of.extend(grave.iter().map(Garbage::of));
        }
        let gone = collected.deleted.clone();
        let leftovers = self.leftovers(now, collect.grace).await?;
        collected.deleted.extend(
            leftovers
                .iter()
                .map(|leftover| Garbage { path: leftover.path.display().to_string(), bytes: leftover.bytes }),
        );
        if !collect.dry_run {
            for Leftover { path, .. } in leftovers {
                let removed = fs_err::remove_file(&path);
                removed.map_err(|source| Error::Folder { path, source })?;
            }
            self.condemn(&collected.condemned).await?;
            for object in &gone {
                self.delete_object(&object.path).await?;
            }
            for list in due {
                self.delete_object(list.location.as_ref()).await?;
            }
        }
        Ok(collected)
    }

    /// Finds what dead writers left in the region's folder.
    async fn leftovers(&self, now: SystemTime, grace: Duration) -> Result<Vec<Leftover>, Error> {
        let Some(folder) = self.inner.folder.clone() else { return Ok(Vec::new()) };
        let find = move || {
            let mut found =
                leftovers::find(&folder).map_err(|source| Error::Folder { path: folder, source })?;
            found.retain(|leftover| now.duration_since(leftover.modified).unwrap_or_default() >= grace);
            Ok(found)
        };
        tokio::task::spawn_blocking(find).await.map_err(|_panicked| Error::Worker)?
    }

    async fn condemn(&self, objects: &[Garbage]) -> Result<(), Error> {
        if objects.is_empty() {
            return Ok(());
        }
        let path = format!("{FOLDER}/{}.json", PackId::random());
        let objects = objects.iter().map(|object| object.path.clone()).collect();
        let list = List { format_version: FORMAT_VERSION, objects };
        let json =
            serde_json::to_vec(&list).map_err(|source| Error::Record { path: path.clone(), source })?;
        match self.create_object(&path, json.into()).await? {
            Put::Done => Ok(()),
            Put::Taken => Err(Error::Taken { path }),
        }
    }

    pub(crate) async fn delete_object(&self, path: &str) -> Result<(), Error> {
        match self.inner.store.delete(&path.into()).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(source) => Err(object_error("delete", path, source)),
        }
    }
}

#[cfg(test)]
mod tests;
