//! Snapshots from disk files, their deletion, and what looks after a whole region.

use crate::{Error, Events, Kiln, Phase, base::stored};
use kiln_catalog::Tag;
use kiln_qcow2::{BlockSource, KnownContent};
use kiln_store::{
    ChangedBlock, Checked, Collect, Collected, Collecting, CopySnapshot, NewSnapshot, Problem, Snapshot,
    Verified,
};
use kiln_types::{BLOCK_SIZE, BlockIndex, Grantee, SnapshotId};
use std::{
    collections::BTreeSet,
    path::PathBuf,
    time::{Duration, Instant},
};

/// Time between two words of how many snapshots a collection has read.
const TELL_EVERY: Duration = Duration::from_secs(5);

/// A snapshot to be made of a disk file.
#[derive(Debug, Clone)]
pub struct SnapshotRequest {
    /// The file.
    pub file: PathBuf,
    /// Its format; its first bytes say it where this does not.
    pub format: Option<String>,
    /// The snapshot that blocks are inherited from where they are the same.
    pub parent: Option<SnapshotId>,
    /// What it is, for people.
    pub description: String,
    /// Tags.
    pub tags: Vec<(String, String)>,
}

/// A change of a snapshot's record. What is left empty stays as it is.
#[derive(Debug, Clone, Default)]
pub struct SnapshotEdit {
    /// A new description.
    pub description: Option<String>,
    /// Tags that are set.
    pub set_tags: Vec<Tag>,
    /// Keys of tags that go.
    pub remove_tags: Vec<String>,
    /// Who may read it and make volumes of it from now on.
    pub share_with: Vec<Grantee>,
    /// Who may no longer.
    pub unshare: Vec<Grantee>,
}

impl SnapshotEdit {
    fn apply(&self, snapshot: &mut Snapshot) -> Result<(), Error> {
        if let Some(new) = &self.description {
            kiln_catalog::check_description(new)?;
            snapshot.description.clone_from(new);
        }
        let permissions = &mut snapshot.create_volume_permissions;
        permissions.retain(|grantee| !self.unshare.contains(grantee));
        permissions.extend(&self.share_with);
        permissions.sort();
        permissions.dedup();
        Ok(kiln_catalog::change_tags(&mut snapshot.tags, &self.set_tags, &self.remove_tags)?)
    }
}

fn tag((key, value): &(String, String)) -> Tag {
    Tag { key: key.clone(), value: value.clone() }
}

impl Kiln {
    /// Stores a disk file as a snapshot.
    ///
    /// # Errors
    /// When the file is refused or smaller than the parent's volume, or something cannot be read or written.
    pub async fn create_snapshot(
        &self,
        request: &SnapshotRequest,
        events: &Events,
    ) -> Result<Snapshot, Error> {
        kiln_catalog::check_description(&request.description)?;
        let (mut tags, set): (_, Vec<_>) = (Vec::new(), request.tags.iter().map(tag).collect());
        kiln_catalog::change_tags(&mut tags, &set, &[])?;
        let folder = self.home.new_build()?;
        let mut source = self.volume_of(&request.file, request.format.as_deref(), &folder, events).await?;
        if let Some(parent) = request.parent {
            let parent = self.catalog.snapshot(parent).await?.snapshot_id;
            let inherited = self.region.block_map(parent).await?;
            let blocks = inherited.data().map(|(index, _)| index).collect();
            source = Box::new(Over { source, blocks });
        }
        let phase = events.begin(Phase::Snapshot);
        let new = NewSnapshot {
            source,
            parent: request.parent,
            owner: self.catalog.viewer().account,
            description: request.description.clone(),
            tags,
        };
        let snapshot = self.store(new, events).await?;
        phase.done(stored(&snapshot));
        Ok(snapshot)
    }

    /// Copies a snapshot into the region of another installation or of another name, where this account owns the copy.
    /// Only the blocks that the other region lacks move.
    ///
    /// # Errors
    /// When it is not there or damaged, or a region cannot be read or written.
    pub async fn copy_snapshot(&self, id: SnapshotId, to: &Self, events: &Events) -> Result<Snapshot, Error> {
        let phase = events.begin(Phase::Copy { region: to.region.name().to_string() });
        let Snapshot { description, tags, .. } = self.catalog.snapshot(id).await?;
        let copy = CopySnapshot { id, owner: self.catalog.viewer().account, description, tags };
        let snapshot = to.region.copy_snapshot(&self.region, copy, progress(events)).await?;
        phase.done(stored(&snapshot));
        Ok(snapshot)
    }

    /// Changes a snapshot's description, tags and permissions, and returns it as it is now.
    ///
    /// # Errors
    /// When there is none for this account, it is another's, or the change is not as EC2 wants it; nothing was changed then.
    pub async fn edit_snapshot(&self, id: SnapshotId, edit: &SnapshotEdit) -> Result<Snapshot, Error> {
        self.own_snapshot(id).await?;
        self.region.edit_snapshot(id, |snapshot| edit.apply(snapshot)).await
    }

    /// Refuses another account's snapshot: as one that does not exist, or where it is shared with this one, as another's.
    async fn own_snapshot(&self, id: SnapshotId) -> Result<(), Error> {
        let snapshot = self.catalog.snapshot(id).await?;
        match self.catalog.viewer().owns_snapshot(&snapshot) {
            true => Ok(()),
            false => Err(kiln_catalog::Error::NotAuthorizedForSnapshot { id }.into()),
        }
    }

    /// Finds out that this account may read what an image is made of. To launch the image it need not.
    ///
    /// # Errors
    /// [`kiln_catalog::Error::StorageNotShared`], or when a snapshot is gone or the region cannot be read.
    pub(crate) async fn check_storage(
        &self,
        snapshots: impl IntoIterator<Item = SnapshotId>,
    ) -> Result<(), Error> {
        let (viewer, mut hidden) = (self.catalog.viewer(), Vec::new());
        for id in snapshots {
            if !viewer.sees_snapshot(&self.region.snapshot(id).await?) && !hidden.contains(&id) {
                hidden.push(id);
            }
        }
        match hidden.as_slice() {
            [] => Ok(()),
            _ => {
                Err(kiln_catalog::Error::StorageNotShared { account: viewer.account, snapshots: hidden }
                    .into())
            }
        }
    }

    /// Lists the blocks that two snapshots of one lineage wrote differently.
    ///
    /// # Errors
    /// When one of them is not there for this account, they are no relatives, or the region cannot be read.
    pub async fn changed_blocks(
        &self,
        first: SnapshotId,
        second: SnapshotId,
    ) -> Result<Vec<ChangedBlock>, Error> {
        for id in [first, second] {
            self.catalog.snapshot(id).await?;
        }
        Ok(self.region.changed_blocks(first, second).await?)
    }

    /// Deletes a snapshot that no image names.
    ///
    /// # Errors
    /// [`Error::SnapshotInUse`], or when there is none for this account, or it is another's.
    pub async fn delete_snapshot(&self, id: SnapshotId) -> Result<(), Error> {
        self.own_snapshot(id).await?;
        self.check_unused(id).await?;
        self.region.delete_snapshot(id).await?;
        // An image may have been registered meanwhile.
        if let Err(used) = self.check_unused(id).await {
            self.region.undelete_snapshot(id).await?;
            return Err(used);
        }
        Ok(())
    }

    async fn check_unused(&self, id: SnapshotId) -> Result<(), Error> {
        match self.catalog.snapshots_in_use().await?.remove(&id) {
            Some(images) => Err(Error::SnapshotInUse { id, images }),
            None => Ok(()),
        }
    }

    /// Reads every block of a snapshot.
    ///
    /// # Errors
    /// When there is none for this account, or the region cannot be read; a damaged block is an answer.
    pub async fn verify_snapshot(&self, id: SnapshotId, events: &Events) -> Result<Verified, Error> {
        self.catalog.snapshot(id).await?;
        let phase = events.begin(Phase::Verify { what: id.to_string() });
        let verified = self.region.verify_snapshot(id, progress(events)).await?;
        phase.done(format!("{} blocks, {} damaged", verified.blocks, verified.damaged.len()));
        Ok(verified)
    }

    /// Deletes what no snapshot of the region names, in two collections with a grace between them, and what was pushed
    /// into its cache longer ago than `cache_age`.
    ///
    /// # Errors
    /// When anything cannot be read: nothing is deleted then.
    pub async fn collect_garbage(
        &self,
        collect: Collect,
        cache_age: Duration,
        events: &Events,
    ) -> Result<Collected, Error> {
        let phase = events.begin(Phase::Collect);
        let mut collected = self.region.collect(collect, collecting(events)).await?;
        collected.deleted.extend(self.collect_cache(cache_age, collect).await?);
        phase.done(String::new());
        Ok(collected)
    }

    /// Reads everything in the region, and says what is wrong; with `repair`, takes it aside.
    ///
    /// # Errors
    /// When the region cannot be read, or not be written for a repair.
    pub async fn fsck(&self, repair: bool, events: &Events) -> Result<Checked, Error> {
        let phase = events.begin(Phase::Verify { what: format!("region {}", self.region.name()) });
        let mut checked = self.region.fsck(repair, progress(events)).await?;
        let snapshots = self.region.snapshots().await?.into_iter().map(|snapshot| snapshot.snapshot_id);
        let snapshots: BTreeSet<_> = snapshots.collect();
        for (id, images) in self.catalog.snapshots_in_use().await? {
            let missing = images.into_iter().filter(|_| !snapshots.contains(&id)).map(|image| Problem {
                path: image.to_string(),
                what: format!("it names {id}, which does not exist"),
                repair: None,
            });
            checked.problems.extend(missing);
        }
        phase.done(String::new());
        Ok(checked)
    }
}

pub(crate) fn progress(events: &Events) -> impl FnMut(kiln_store::Progress) + Send + use<> {
    let tell = events.clone();
    move |progress| tell.progress(progress.done * BLOCK_SIZE, progress.total * BLOCK_SIZE)
}

fn collecting(events: &Events) -> impl FnMut(Collecting) + Send + use<> {
    let (tell, mut blocks, mut told) = (events.clone(), progress(events), Instant::now());
    move |so_far| match so_far {
        Collecting::Repacking(progress) => blocks(progress),
        Collecting::Reading { done, total } if told.elapsed() >= TELL_EVERY => {
            told = Instant::now();
            tell.note(format!("{done} of {total} snapshots read"));
        }
        Collecting::Reading { .. } => {}
    }
}

/// A whole disk over a parent: where the parent has data the disk may have holes, which are changes then.
pub(crate) struct Over {
    source: Box<dyn BlockSource>,
    blocks: Vec<BlockIndex>,
}

impl Over {
    /// A disk of which every block is to be stored.
    pub(crate) fn nothing(source: Box<dyn BlockSource>) -> Self {
        let count = source.size().div_ceil(BLOCK_SIZE);
        let blocks = (0..count).filter_map(|number| u32::try_from(number).ok().map(BlockIndex)).collect();
        Self { source, blocks }
    }
}

impl BlockSource for Over {
    fn size(&self) -> u64 {
        self.source.size()
    }

    fn changed_blocks(&mut self) -> Result<Vec<BlockIndex>, kiln_qcow2::Error> {
        let mut blocks: BTreeSet<_> = self.source.changed_blocks()?.into_iter().collect();
        blocks.extend(self.blocks.iter().filter(|block| block.offset() < self.source.size()));
        Ok(blocks.into_iter().collect())
    }

    fn known_content(&self, index: BlockIndex) -> Option<KnownContent> {
        self.source.known_content(index)
    }

    fn read_block(&mut self, index: BlockIndex, buffer: &mut [u8]) -> Result<(), kiln_qcow2::Error> {
        self.source.read_block(index, buffer)
    }

    fn reopen(&self) -> Result<Box<dyn BlockSource>, kiln_qcow2::Error> {
        Ok(Box::new(Self { source: self.source.reopen()?, blocks: Vec::new() }))
    }
}
