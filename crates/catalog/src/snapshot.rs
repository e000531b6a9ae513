//! Which snapshots are there for an account.
//!
//! ```text
//! implicit   its own
//! explicit   {"UserId": "123456789012"} among the snapshot's createVolumePermissions
//! public     {"Group": "all"} among them
//! ```
//! An image gives whom it is shared with no right to its snapshots: a launch needs none.

use crate::{Catalog, Error, Image, Viewer};
use kiln_store::Snapshot;
use kiln_types::{AccountId, Grantee, SnapshotId};
use std::str::FromStr;

/// Which snapshots are asked for, as DescribeSnapshots takes it; what is left empty asks for all that the account sees.
#[derive(Debug, Clone, Default)]
pub struct SnapshotQuery {
    /// Who owns them.
    pub owners: Vec<Who>,
    /// Who may make volumes of them.
    pub restorable_by: Vec<RestorableBy>,
}

/// An account, as a query names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// The account that asks.
    OneSelf,
    /// An account.
    Account(AccountId),
}

impl FromStr for Who {
    type Err = Error;

    /// Reads `self` or twelve digits.
    fn from_str(text: &str) -> Result<Self, Error> {
        if text == "self" {
            return Ok(Self::OneSelf);
        }
        text.parse().map(Self::Account).map_err(|_no_account| Error::UserMalformed { text: text.to_owned() })
    }
}

/// Who may make volumes of a snapshot, as a query asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RestorableBy {
    /// Everybody: public snapshots.
    Everybody,
    /// The account that asks: its own, and those shared with it by name; or another, that it shared its own with.
    Account(Who),
}

impl FromStr for RestorableBy {
    type Err = Error;

    /// Reads `all`, `self` or twelve digits.
    fn from_str(text: &str) -> Result<Self, Error> {
        if text == "all" { Ok(Self::Everybody) } else { text.parse().map(Self::Account) }
    }
}

impl Who {
    fn account(self, viewer: &Viewer) -> AccountId {
        match self {
            Self::OneSelf => viewer.account,
            Self::Account(account) => account,
        }
    }
}

impl SnapshotQuery {
    fn wants(&self, snapshot: &Snapshot, viewer: &Viewer) -> bool {
        let shared = |grantee| snapshot.create_volume_permissions.contains(&grantee);
        let restorable = |by: &RestorableBy| match by {
            RestorableBy::Everybody => shared(Grantee::PUBLIC),
            RestorableBy::Account(who) => {
                let (account, own) = (who.account(viewer), viewer.owns_snapshot(snapshot));
                let asks_for_itself = account == viewer.account;
                (own && asks_for_itself) || (shared(Grantee::UserId(account)) && (own || asks_for_itself))
            }
        };
        let owned = |owner: &Who| snapshot.owner_id == owner.account(viewer);
        (self.owners.is_empty() || self.owners.iter().any(owned))
            && (self.restorable_by.is_empty() || self.restorable_by.iter().any(restorable))
    }
}

impl Viewer {
    /// Says whether this account owns a snapshot.
    #[must_use]
    pub fn owns_snapshot(&self, snapshot: &Snapshot) -> bool {
        snapshot.owner_id == self.account
    }

    /// Says whether a snapshot is there for this account. What it may see, it may read and make volumes of.
    #[must_use]
    pub fn sees_snapshot(&self, snapshot: &Snapshot) -> bool {
        let granted = |to: &Grantee| *to == Grantee::PUBLIC || *to == Grantee::UserId(self.account);
        self.owns_snapshot(snapshot) || snapshot.create_volume_permissions.iter().any(granted)
    }

    /// Returns a snapshot as this account sees it: what is the owner's own is left out for others.
    fn snapshot_view(&self, mut snapshot: Snapshot) -> Snapshot {
        if !self.owns_snapshot(&snapshot) {
            snapshot.tags.clear();
            snapshot.create_volume_permissions.clear();
        }
        snapshot
    }
}

impl Catalog {
    /// Reads one snapshot, as this account sees it.
    ///
    /// # Errors
    /// [`kiln_store::Error::SnapshotNotFound`], also where this account may not see it, or when the region cannot be read.
    pub async fn snapshot(&self, id: SnapshotId) -> Result<Snapshot, kiln_store::Error> {
        let snapshot = self.region.snapshot(id).await?;
        match self.viewer.sees_snapshot(&snapshot) {
            true => Ok(self.viewer.snapshot_view(snapshot)),
            false => Err(kiln_store::Error::SnapshotNotFound { id }),
        }
    }

    /// Reads the snapshots that a query asks for, by start time, as this account sees them.
    ///
    /// # Errors
    /// When the region cannot be read.
    pub async fn snapshots(&self, query: &SnapshotQuery) -> Result<Vec<Snapshot>, kiln_store::Error> {
        let mut snapshots = self.region.snapshots().await?;
        snapshots
            .retain(|snapshot| self.viewer.sees_snapshot(snapshot) && query.wants(snapshot, &self.viewer));
        Ok(snapshots.into_iter().map(|snapshot| self.viewer.snapshot_view(snapshot)).collect())
    }

    /// Reads a snapshot that a device is made of: one that this account sees, or that the image has which the device comes
    /// from.
    pub(crate) async fn of_device(&self, id: SnapshotId, from: Option<&Image>) -> Result<Snapshot, Error> {
        let of_image = from.is_some_and(|image| image.snapshots().any(|of_image| of_image == id));
        let found = if of_image { self.region.snapshot(id).await } else { self.snapshot(id).await };
        found.map_err(|error| match error {
            kiln_store::Error::SnapshotNotFound { id } => Error::SnapshotNotFound { id },
            error => error.into(),
        })
    }
}
