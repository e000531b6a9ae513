//! The image records of a region, and their states one after the other.
//!
//! ```text
//! (no record) ──▶ available ──▶ deregistered
//!      │  └─────▶ failed            ▲
//!      └────────────────────────────┘  a registration that died after it took its name, ended by the next
//! ```

use crate::{Image, ImageState};
use kiln_store::{Error, Put, Region, Versioned, Versions};
use kiln_types::ImageId;

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

    pub(crate) async fn all(&self) -> Result<Vec<Image>, Error> {
        let all = self.0.all::<Image>().await?;
        Ok(all.into_iter().map(|(_, version)| version.record).collect())
    }

    /// Writes the first version of a record: it publishes the image, or ends an id for good.
    pub(crate) async fn put_first(&self, image: &Image) -> Result<Put, Error> {
        self.0.put(&image.image_id.to_string(), 1, image).await
    }

    /// Brings an image into state `deregistered`; answers whether it was not there yet.
    pub(crate) async fn deregister(&self, id: ImageId) -> Result<bool, Error> {
        while let Some(Versioned { number, mut record }) = self.newest(id).await? {
            if record.state == ImageState::Deregistered {
                return Ok(false);
            }
            record.state = ImageState::Deregistered;
            // Who comes too late looks again at what the other made of it.
            if self.0.put(&id.to_string(), number + 1, &record).await? == Put::Done {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
