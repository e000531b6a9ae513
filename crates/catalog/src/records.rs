//! The image records of a region, and their states one after the other.
//!
//! ```text
//! (no record) ──▶ available ◀──▶ disabled ──▶ deregistered ──▶ available   (out of the Recycle Bin)
//!      │  │           ▲                            ▲
//!      │  └─▶ pending ┴─▶ failed                   │  pending: its tests run
//!      └───────────┴───────────────────────────────┘  a registration that died after it took its name, ended by the next
//! ```

use crate::{Image, ImageState, index};
use kiln_store::{Error, Put, Region, Versioned, Versions};
use kiln_types::ImageId;
use std::path::Path;

/// The records under `images/`.
#[derive(Debug, Clone)]
pub(crate) struct Records(Versions);

impl Records {
    pub(crate) fn new(region: &Region) -> Self {
        Self(region.versions("images"))
    }

    pub(crate) async fn newest(&self, id: ImageId) -> Result<Option<Versioned<Image>>, Error> {
        self.0.newest(&id.to_string()).await
    }

    /// Reads the newest version of every record: what the index has of them is not read again, as no version ever changes.
    pub(crate) async fn all(&self, index: Option<&Path>) -> Result<Vec<Image>, Error> {
        let listed = self.0.numbers().await?;
        let known = index.map(index::read).unwrap_or_default();
        let stale = |name: &str| !listed.contains_key(name);
        let mut changed = known.keys().any(|name| stale(name));
        let mut records = Vec::with_capacity(listed.len());
        let mut wanted = Vec::new();
        let mut known = known;
        for (name, number) in listed {
            match known.remove(&name).filter(|version| version.number == number) {
                Some(version) => records.push((name, version)),
                None => wanted.push((name, number)),
            }
        }
        if !wanted.is_empty() {
            changed = true;
            records.extend(self.0.read_all::<Image>(wanted).await?);
            records.sort_by(|(a, _), (b, _)| a.cmp(b));
        }
        if let Some(index) = index.filter(|_| changed) {
            index::write(index, &records);
        }
        Ok(records.into_iter().map(|(_, version)| version.record).collect())
    }

    /// Writes the first version of a record: it publishes the image, or ends an id for good.
    pub(crate) async fn put_first(&self, image: &Image) -> Result<Put, Error> {
        self.0.put(&image.image_id.to_string(), 1, image).await
    }

    /// Writes the version that follows one that was read, in which the image is in another state.
    pub(crate) async fn put_next(&self, read: &Versioned<Image>, state: ImageState) -> Result<Put, Error> {
        let next = Image { state, ..read.record.clone() };
        self.0.put(&next.image_id.to_string(), read.number + 1, &next).await
    }

    /// Changes a record; answers what it is now, or nothing where there is none. A change that fails changes nothing; one
    /// that comes too late is made anew on what the other made of the record.
    pub(crate) async fn update(
        &self,
        id: ImageId,
        mut change: impl FnMut(&mut Image) -> Result<(), crate::Error>,
    ) -> Result<Option<Image>, crate::Error> {
        while let Some(Versioned { number, record }) = self.newest(id).await? {
            let mut changed = record.clone();
            change(&mut changed)?;
            if changed == record || self.0.put(&id.to_string(), number + 1, &changed).await? == Put::Done {
                return Ok(Some(changed));
            }
        }
        Ok(None)
    }

    /// Brings an image into state `deregistered` for good, which it may be in already.
    pub(crate) async fn deregister(&self, id: ImageId) -> Result<(), crate::Error> {
        let gone = |image: &mut Image| {
            image.state = ImageState::Deregistered;
            Ok(())
        };
        self.update(id, gone).await.map(drop)
    }
}
