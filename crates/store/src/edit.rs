//! What changes of a snapshot: its record, by a version more.
//!
//! A deleted snapshot is a record that says so; its objects go with the next garbage collections. So that its blocks
//! stay for as long as a writer that was begun before may still count on them, and a deletion can be taken back.

use crate::{Error, Put, Region, Snapshot, SnapshotState, Versioned, snapshot::FOLDER};
use kiln_types::SnapshotId;

impl Region {
    /// Deletes a snapshot. What was made from it stays whole: no snapshot needs another to be read.
    ///
    /// Whether an image names it is for the catalogue to say.
    ///
    /// # Errors
    /// [`Error::SnapshotNotFound`], or when the region cannot be written.
    pub async fn delete_snapshot(&self, id: SnapshotId) -> Result<(), Error> {
        self.change_state(id, |state| (*state != SnapshotState::Deleted).then_some(SnapshotState::Deleted))
            .await
    }

    /// Takes the deletion of a snapshot back, before anything of it is collected.
    ///
    /// # Errors
    /// [`Error::SnapshotNotFound`] when it was not deleted, or when the region cannot be written.
    pub async fn undelete_snapshot(&self, id: SnapshotId) -> Result<(), Error> {
        self.change_state(id, |state| (*state == SnapshotState::Deleted).then_some(SnapshotState::Completed))
            .await
    }

    /// Changes what people say of a snapshot, description, tags or permissions, and returns it as it is now.
    ///
    /// # Errors
    /// [`Error::SnapshotNotFound`], what `edit` says, or when the region cannot be written.
    pub async fn edit_snapshot<E: From<Error>>(
        &self,
        id: SnapshotId,
        edit: impl Fn(&mut Snapshot) -> Result<(), E>,
    ) -> Result<Snapshot, E> {
        self.change_record(id, |record| {
            let there = record.state != SnapshotState::Deleted;
            if there {
                edit(record)?;
            }
            Ok(there)
        })
        .await
    }

    /// Brings a snapshot into state `error`, with the reason.
    pub(crate) async fn fail_snapshot(&self, id: SnapshotId, message: &str) -> Result<(), Error> {
        let failed = SnapshotState::Error { message: message.to_owned() };
        self.change_state(id, |state| (*state != SnapshotState::Deleted).then(|| failed.clone())).await
    }

    async fn change_state(
        &self,
        id: SnapshotId,
        next: impl Fn(&SnapshotState) -> Option<SnapshotState>,
    ) -> Result<(), Error> {
        let change = |record: &mut Snapshot| {
            Ok::<_, Error>(next(&record.state).map(|state| record.state = state).is_some())
        };
        self.change_record(id, change).await.map(drop)
    }

    /// Writes a record's next version, once more where another writer was faster; returns it. Where `change` says that there
    /// is nothing to be changed, there is no such snapshot for its purpose.
    pub(crate) async fn change_record<E: From<Error>>(
        &self,
        id: SnapshotId,
        change: impl Fn(&mut Snapshot) -> Result<bool, E>,
    ) -> Result<Snapshot, E> {
        let versions = self.versions(FOLDER);
        let name = id.to_string();
        while let Some(Versioned { number, mut record }) = versions.newest::<Snapshot>(&name).await? {
            if !change(&mut record)? {
                break;
            }
            if versions.put(&name, number + 1, &record).await? == Put::Done {
                return Ok(record);
            }
        }
        Err(Error::SnapshotNotFound { id }.into())
    }
}
