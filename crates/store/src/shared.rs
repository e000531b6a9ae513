//! Files that are shared through a region go when they are old or when nothing needs them.
//!
//! Records ([`crate::Versions`]) name the files. A record goes when it is old, when a newer version of it is there, or when
//! a file that it names is not; a file, when no record names it. Who meets one that has just gone makes it anew: that is all
//! that is lost, and why there are no lists of condemned ones here.

use crate::{Collect, Error, Garbage, Region, blob::blob_path};
use kiln_types::Digest;
use object_store::ObjectMeta;
use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, SystemTime},
};

/// Where shared files and the records that name them lie.
#[derive(Debug, Clone, Copy)]
pub struct SharedFolders<'a> {
    /// Folders of records.
    pub records: &'a [&'a str],
    /// The folder of files.
    pub files: &'a str,
}

impl Region {
    /// Deletes records that are older than `age` and files that none of the others names, if they are older than the
    /// grace; answers what went, or what would go. `files_of` takes the files that a record names out of its bytes; where
    /// it cannot, all files stay.
    ///
    /// # Errors
    /// When the region cannot be read or written.
    pub async fn collect_shared(
        &self,
        folders: SharedFolders<'_>,
        age: Duration,
        collect: Collect,
        files_of: impl Fn(&[u8]) -> Option<Vec<Digest>>,
    ) -> Result<Vec<Garbage>, Error> {
        let now = SystemTime::now();
        let older = |meta: &ObjectMeta, than| {
            now.duration_since(meta.last_modified.into()).unwrap_or_default() >= than
        };
        // Files first: of a file that comes later, its record may come later still.
        let files = self.list_objects(folders.files).await?;
        let there: BTreeSet<&str> = files.iter().map(|meta| meta.location.as_ref()).collect();
        let (mut gone, mut named, mut unread) = (Vec::new(), BTreeSet::new(), false);
        for folder in folders.records {
            for (is_newest, meta) in newest(self.list_objects(folder).await?) {
                if older(&meta, age) || (!is_newest && older(&meta, collect.grace)) {
                    gone.push(meta);
                    continue;
                }
                let Some(bytes) = self.read_record(meta.location.as_ref()).await? else { continue };
                match files_of(&bytes) {
                    None => unread = true,
                    Some(names) => {
                        let names: Vec<_> =
                            names.iter().map(|name| blob_path(folders.files, *name)).collect();
                        let whole = names.iter().all(|name| there.contains(name.as_str()));
                        if !whole && older(&meta, collect.grace) {
                            gone.push(meta);
                        } else {
                            named.extend(names);
                        }
                    }
                }
            }
        }
        if !unread {
            let unnamed = files.iter().filter(|meta| !named.contains(meta.location.as_ref()));
            gone.extend(unnamed.filter(|meta| older(meta, collect.grace)).cloned());
        }
        if !collect.dry_run {
            for meta in &gone {
                self.delete_object(meta.location.as_ref()).await?;
            }
        }
        Ok(gone.iter().map(Garbage::of).collect())
    }
}

/// Says of each version whether it is the newest of its record; versions come in order.
fn newest(versions: Vec<ObjectMeta>) -> Vec<(bool, ObjectMeta)> {
    let record =
        |meta: &ObjectMeta| meta.location.as_ref().rsplit_once('/').map(|(record, _)| record.to_owned());
    let last: BTreeMap<_, _> = versions.iter().enumerate().map(|(at, meta)| (record(meta), at)).collect();
    let marked = versions.into_iter().enumerate();
    marked.map(|(at, meta)| (last.get(&record(&meta)) == Some(&at), meta)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Put, testing::region_in_memory};
    use sha2::Digest as _;

    const FOLDERS: SharedFolders<'_> =
        SharedFolders { records: &["cache/a", "cache/b"], files: "cache/files" };
    const NOW: Collect = Collect { grace: Duration::ZERO, dry_run: false };
    const LONG: Duration = Duration::from_secs(3600);

    fn files_of(record: &[u8]) -> Option<Vec<Digest>> {
        serde_json::from_slice(record).ok()
    }

    async fn shared(region: &Region, text: &str) -> Digest {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs_err::write(file.path(), text).unwrap();
        let digest = Digest::from_bytes(sha2::Sha256::digest(text).into());
        region.put_blob(FOLDERS.files, digest, file.path()).await.unwrap();
        digest
    }

    async fn put(region: &Region, folder: &str, name: &str, number: u32, files: &[Digest]) {
        assert_eq!(region.versions(folder).put(name, number, &files).await.unwrap(), Put::Done);
    }

    async fn gone(region: &Region, age: Duration, collect: Collect) -> Vec<String> {
        let gone = region.collect_shared(FOLDERS, age, collect, files_of).await.unwrap();
        gone.into_iter().map(|garbage| garbage.path).collect()
    }

    #[tokio::test]
    async fn what_nothing_needs_goes_and_the_rest_stays() {
        let region = region_in_memory().await;
        let [one, two, three] = ["one", "two", "three"];
        let (one, two, three) =
            (shared(&region, one).await, shared(&region, two).await, shared(&region, three).await);
        put(&region, "cache/a", "x", 1, &[one]).await;
        put(&region, "cache/a", "x", 2, &[two]).await;
        put(&region, "cache/b", "y", 1, &[two, Digest::from_bytes([0; 32])]).await;
        assert_eq!(gone(&region, LONG, Collect { grace: LONG, dry_run: false }).await, [""; 0]);
        let mut expected = vec!["cache/a/x/00000001.json".to_owned(), "cache/b/y/00000001.json".to_owned()];
        let mut files = [one, three].map(|digest| format!("cache/files/{digest}.zst"));
        files.sort();
        expected.extend(files);
        assert_eq!(gone(&region, LONG, Collect { dry_run: true, ..NOW }).await, expected);
        assert_eq!(gone(&region, LONG, NOW).await, expected);
        assert_eq!(gone(&region, LONG, NOW).await, [""; 0]);
        assert_eq!(region.list_objects("cache").await.unwrap().len(), 2);
        assert_eq!(gone(&region, Duration::ZERO, NOW).await.len(), 2, "all of it is too old now");
        assert_eq!(region.list_objects("").await.unwrap().len(), 1);
    }

    #[tokio::test]
    async fn files_of_a_record_that_means_nothing_here_stay() {
        let region = region_in_memory().await;
        shared(&region, "one").await;
        assert_eq!(region.versions("cache/a").put("x", 1, &"newer").await.unwrap(), Put::Done);
        assert_eq!(gone(&region, LONG, NOW).await, [""; 0]);
    }
}
