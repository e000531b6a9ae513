//! Who holds a name: one image at a time, by create-only puts.
//!
//! ```text
//! names/<owner>/<sha256 of the name>/00000001.json    {"Name", "Holder": "ami-…", "Replaces": "ami-…"}
//! ```
//! A registration takes the name with the next version, then writes its image's first record. The holder is thus an
//! image that is available, one that is about to be (it has no record yet, or is pending), or one that will never be because its
//! writer died in between. The last two cannot be told apart by looking, and clocks of hosts differ; so who wants the name waits a while, and
//! then *ends* the holder by writing its next record itself, as deregistered. That put is create-only too: either it
//! comes first, and the slow writer learns that it lost, or it comes second, and the holder is alive.
//!
//! A name that passes to another image (`replace`) says whom it was taken from: when the new image never comes to be,
//! the old one has its name back; when the new one is there and the old one's deregistration is missing, whoever
//! comes next completes it.

use crate::{Error, Image, ImageState, records::Records};
use kiln_store::{Put, Region, Versioned, Versions};
use kiln_types::{AccountId, ImageId, ImageName};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How long a holder without a record is waited for. Between taking a name and writing the record there are two round
/// trips to the store; a longer wait makes the build after a crash slower, a shorter one ends slow writers.
const GRACE: Duration = Duration::from_secs(5);

/// Pause between two looks at a holder without a record.
const PAUSE: Duration = Duration::from_millis(100);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct NameRecord {
    pub(crate) name: ImageName,
    pub(crate) holder: Option<ImageId>,
    pub(crate) replaces: Option<ImageId>,
}

/// A name that was taken.
#[derive(Debug)]
pub(crate) struct Claim {
    number: u32,
    /// The image that held it until now, and is to be deregistered.
    pub(crate) replaced: Option<ImageId>,
}

/// The names of an owner's images.
#[derive(Debug, Clone)]
pub(crate) struct Names {
    versions: Versions,
    records: Records,
    owner: AccountId,
}

impl Names {
    pub(crate) fn new(region: &Region, owner: AccountId) -> Self {
        Self { versions: region.versions("names"), records: Records::new(region), owner }
    }

    /// Returns the image that holds a name, without waiting for one that is about to.
    pub(crate) async fn holder(&self, name: &ImageName) -> Result<Option<Image>, Error> {
        let newest = self.versions.newest::<NameRecord>(&self.key(name)).await?;
        let Some(NameRecord { holder, replaces, .. }) = newest.map(|version| version.record) else {
            return Ok(None);
        };
        for id in [holder, replaces].into_iter().flatten() {
            let record = self.records.newest(id).await?.map(|version| version.record);
            if let Some(image) = record.filter(|image| image.state.holds_name()) {
                return Ok(Some(image));
            }
        }
        Ok(None)
    }

    /// Takes a name for an image that is about to be registered.
    pub(crate) async fn claim(&self, name: &ImageName, id: ImageId, replace: bool) -> Result<Claim, Error> {
        loop {
            let newest = self.versions.newest::<NameRecord>(&self.key(name)).await?;
            let number = newest.as_ref().map_or(0, |version| version.number) + 1;
            let replaced = self.settled(newest).await?;
            if let Some(holder) = replaced.filter(|_| !replace) {
                return Err(Error::NameDuplicate { name: name.clone(), holder });
            }
            let record = NameRecord { name: name.clone(), holder: Some(id), replaces: replaced };
            if self.versions.put(&self.key(name), number, &record).await? == Put::Done {
                return Ok(Claim { number, replaced });
            }
        }
    }

    /// Gives a name back after a registration that failed: to the image that had it before, or to nobody.
    pub(crate) async fn release(&self, name: &ImageName, claim: &Claim) -> Result<(), Error> {
        let record = NameRecord { name: name.clone(), holder: claim.replaced, replaces: None };
        // Too late: another has taken it already.
        let (Put::Done | Put::Taken) = self.versions.put(&self.key(name), claim.number + 1, &record).await?;
        Ok(())
    }

    /// Ends what a writer that died left half done, and returns the image that holds the name.
    async fn settled(&self, newest: Option<Versioned<NameRecord>>) -> Result<Option<ImageId>, Error> {
        let Some(Versioned { record: NameRecord { name, holder, replaces }, .. }) = newest else {
            return Ok(None);
        };
        if let Some(holder) = holder
            && self.comes_to_be(holder, &name).await?
        {
            if let Some(replaced) = replaces {
                self.records.deregister(replaced).await?;
            }
            return Ok(Some(holder));
        }
        match replaces {
            Some(replaced) if self.comes_to_be(replaced, &name).await? => Ok(Some(replaced)),
            _ => Ok(None),
        }
    }

    /// Says whether an image holds its name, after waiting for its record; without one it is ended.
    async fn comes_to_be(&self, id: ImageId, name: &ImageName) -> Result<bool, Error> {
        let start = Instant::now();
        loop {
            let record = self.records.newest(id).await?.map(|version| version.record);
            if let Some(image) = record.filter(|image| image.state != ImageState::Pending) {
                return Ok(image.state.holds_name());
            }
            if start.elapsed() < GRACE {
                sleep(PAUSE).await;
            } else if self.end(id, name).await? == Put::Done {
                return Ok(false);
            }
        }
    }

    /// Writes a record of an image as deregistered, so that it will never be available.
    pub(crate) async fn end(&self, id: ImageId, name: &ImageName) -> Result<Put, Error> {
        if let Some(pending) = self.records.newest(id).await?
            && pending.record.state == ImageState::Pending
        {
            return Ok(self.records.put_next(&pending, ImageState::Deregistered).await?);
        }
        let tombstone = Image::empty(id, name.clone(), self.owner, ImageState::Deregistered);
        Ok(self.records.put_first(&tombstone).await?)
    }

    fn key(&self, name: &ImageName) -> String {
        let digest = kiln_types::Digest::from_bytes(Sha256::digest(name.as_str()).into());
        format!("{}/{digest}", self.owner)
    }
}
