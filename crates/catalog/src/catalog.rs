//! The catalogue of a region: registering images and finding them again.

use crate::{
    Error, Image, ImageQuery, ImageState, NewBundle, NewImage, RecycleBin, Viewer,
    edit::check_unprotected,
    name::{Claim, Names},
    records::Records,
    resolve::{resolve, resolve_bundle},
};
use kiln_store::{Put, Region};
use kiln_types::{ImageId, ImageName, TimeSpan, Timestamp};
use std::path::PathBuf;

/// The images of a region, as an account sees them.
#[derive(Debug, Clone)]
pub struct Catalog {
    pub(crate) region: Region,
    pub(crate) records: Records,
    pub(crate) viewer: Viewer,
    index: Option<PathBuf>,
}

impl Catalog {
    /// Opens the catalogue of a region as the region's owner.
    #[must_use]
    pub fn new(region: Region) -> Self {
        let viewer = region.owner().into();
        Self { records: Records::new(&region), region, viewer, index: None }
    }

    /// Looks at the same catalogue as another account: what that one may not see is not there, and names are looked up
    /// among its images.
    #[must_use]
    pub fn acting_as(self, viewer: impl Into<Viewer>) -> Self {
        Self { viewer: viewer.into(), ..self }
    }

    /// Keeps what is known of the region's images in a file of this host, which may be deleted at any time.
    #[must_use]
    pub fn with_index(self, index: PathBuf) -> Self {
        Self { index: Some(index), ..self }
    }

    /// Returns who looks.
    #[must_use]
    pub fn viewer(&self) -> &Viewer {
        &self.viewer
    }

    /// Registers an image and takes its name; with `replace`, from the image that holds it, which is then
    /// deregistered.
    ///
    /// A holder whose registration died half-way is waited for, a few seconds, and then passed over.
    ///
    /// # Errors
    /// A refusal with EC2's code, or [`Error::Store`]; the name is then held by whom it was before.
    pub async fn register(&self, new: NewImage, replace: bool) -> Result<Image, Error> {
        let image = resolve(self, ImageId::random(), new, ImageState::Available).await?;
        self.add(image, replace).await
    }

    /// Registers an image whose root is made from a bundle; no volume stands for it.
    ///
    /// # Errors
    /// As [`Catalog::register`], and where a volume does.
    pub async fn register_bundle(
        &self,
        new: NewImage,
        bundle: NewBundle,
        replace: bool,
    ) -> Result<Image, Error> {
        let image = resolve_bundle(self, ImageId::random(), new, bundle, ImageState::Available).await?;
        self.add(image, replace).await
    }

    pub(crate) async fn add(&self, image: Image, replace: bool) -> Result<Image, Error> {
        let id = image.image_id;
        let names = Names::new(&self.region, image.owner_id);
        let claim = names.claim(&image.name, id, replace).await?;
        self.publish(&image, &names, &claim).await?;
        self.retire(&image, &claim).await?;
        Ok(image)
    }

    /// Deregisters the image that an available one has its name from.
    pub(crate) async fn retire(&self, image: &Image, claim: &Claim) -> Result<(), Error> {
        let Some(replaced) = claim.replaced else { return Ok(()) };
        let gone = self.records.deregister(replaced).await;
        gone.map_err(|source| Error::Replaced { id: image.image_id, replaced, source: Box::new(source) })
    }

    /// Deregisters an image: it is not found any more, its name is free, its snapshots stay. With a time for the Recycle
    /// Bin that can be undone so long.
    ///
    /// # Errors
    /// [`Error::ImageNotFound`], [`Error::ImageUnavailable`] when it was deregistered before, [`Error::NotAuthorized`],
    /// [`Error::Protected`], [`Error::Cooldown`], or [`Error::Store`].
    pub async fn deregister(&self, id: ImageId, bin: Option<TimeSpan>) -> Result<Image, Error> {
        let (before, now) = (self.own(id).await?, Timestamp::now());
        let leave = |image: &mut Image| {
            if image.state == ImageState::Deregistered {
                return Err(Error::ImageUnavailable { id });
            }
            check_unprotected(image, now)?;
            image.state = ImageState::Deregistered;
            let until = bin.and_then(|bin| {
                let seconds = i64::try_from(bin.as_duration().as_secs()).ok()?;
                Timestamp::from_unix(now.unix().saturating_add(seconds))
            });
            // Only what could be launched is worth keeping.
            let was_whole = matches!(before.state, ImageState::Available | ImageState::Disabled);
            image.kiln.recycle_bin =
                until.filter(|_| was_whole).map(|exit_time| RecycleBin { enter_time: now, exit_time });
            Ok(())
        };
        // The name needs no put of its own: an image in this state holds none.
        self.records.update(id, leave).await?.ok_or(Error::ImageNotFound { id })?;
        Ok(before)
    }

    /// Lists the images of this account that can be restored.
    ///
    /// # Errors
    /// When the region cannot be read.
    pub async fn recycle_bin(&self) -> Result<Vec<Image>, Error> {
        let now = Timestamp::now();
        let mut images = self.records.all(self.index.as_deref()).await?;
        images.retain(|image| self.viewer.owns(image) && in_bin(image, now));
        images.sort_by_key(|image| (image.kiln.recycle_bin.map(|bin| bin.enter_time), image.image_id));
        Ok(images)
    }

    /// Takes an image out of the Recycle Bin: it is available under its name again.
    ///
    /// # Errors
    /// [`Error::NotInBin`], [`Error::NameDuplicate`] when its name was given to another, or [`Error::SnapshotNotFound`].
    pub async fn restore(&self, id: ImageId) -> Result<Image, Error> {
        let now = Timestamp::now();
        let gone = self.records.newest(id).await?.map(|version| version.record);
        let kept = gone.filter(|image| self.viewer.owns(image) && in_bin(image, now));
        let kept = kept.ok_or(Error::NotInBin { id })?;
        for mapping in &kept.block_device_mappings {
            let Some(snapshot) = mapping.device.snapshot() else { continue };
            match self.region.snapshot(snapshot).await {
                Ok(_) => {}
                Err(kiln_store::Error::SnapshotNotFound { id }) => {
                    return Err(Error::SnapshotNotFound { id });
                }
                Err(error) => return Err(error.into()),
            }
        }
        let names = Names::new(&self.region, kept.owner_id);
        let claim = names.claim(&kept.name, id, false).await?;
        let come_back = |image: &mut Image| {
            if !in_bin(image, now) {
                return Err(Error::NotInBin { id });
            }
            image.state = ImageState::Available;
            image.kiln.recycle_bin = None;
            // As when it was disabled: who had it shares it anew.
            image.launch_permissions.clear();
            image.public = false;
            Ok(())
        };
        match self.records.update(id, come_back).await {
            Ok(restored) => restored.ok_or(Error::NotInBin { id }),
            Err(error) => {
                names.release(&kept.name, &claim).await?;
                Err(error)
            }
        }
    }

    /// Reads one image, as this account sees it.
    ///
    /// # Errors
    /// [`Error::ImageNotFound`], also where this account may not see it, [`Error::ImageUnavailable`] once its own is
    /// deregistered, or [`Error::Store`].
    pub async fn get(&self, id: ImageId) -> Result<Image, Error> {
        let image = self.records.newest(id).await?.ok_or(Error::ImageNotFound { id })?.record;
        if self.viewer.sees(&image) {
            return Ok(self.viewer.view(image));
        }
        Err(match self.viewer.owns(&image) {
            true => Error::ImageUnavailable { id },
            false => Error::ImageNotFound { id },
        })
    }

    /// Finds an image by its id or by its name among those of the account.
    ///
    /// # Errors
    /// As [`Catalog::get`], [`Error::IdMalformed`], or [`Error::NameNotFound`].
    pub async fn find(&self, id_or_name: &str) -> Result<Image, Error> {
        if id_or_name.starts_with(ImageId::PREFIX)
            && let Ok(id) = id_or_name.parse()
        {
            return self.get(id).await;
        }
        // A name may begin like an id, so that a malformed id is one that is no name either.
        let named = match id_or_name.parse::<ImageName>() {
            Ok(name) => Names::new(&self.region, self.viewer.account).holder(&name).await?,
            Err(_not_a_name) => None,
        };
        named.ok_or_else(|| {
            let text = id_or_name.to_owned();
            match id_or_name.starts_with(ImageId::PREFIX) {
                true => Error::IdMalformed { text },
                false => Error::NameNotFound { name: text },
            }
        })
    }

    /// Reads the images that a query asks for, as this account sees them.
    ///
    /// # Errors
    /// [`Error::ImageNotFound`] for an id that is not there for this account, or [`Error::Store`].
    pub async fn describe(&self, query: &ImageQuery) -> Result<Vec<Image>, Error> {
        let images = if query.ids.is_empty() {
            self.all_records().await?
        } else {
            let mut images = Vec::with_capacity(query.ids.len());
            for id in &query.ids {
                let found = self.records.newest(*id).await?.map(|version| version.record);
                let mine = |image: &Image| self.viewer.sees(image) || self.viewer.owns(image);
                images.push(found.filter(mine).ok_or(Error::ImageNotFound { id: *id })?);
            }
            images
        };
        Ok(query.pick(images, &self.viewer, Timestamp::now()))
    }

    /// Reads the newest version of every record, whoever may see it.
    pub(crate) async fn all_records(&self) -> Result<Vec<Image>, Error> {
        Ok(self.records.all(self.index.as_deref()).await?)
    }

    /// Writes the record that makes an image available, and gives the name back where that fails.
    async fn publish(&self, image: &Image, names: &Names, claim: &Claim) -> Result<(), Error> {
        let id = image.image_id;
        let failed = match self.records.put_first(image).await {
            Ok(Put::Done) => return Ok(()),
            Ok(Put::Taken) => return Err(Error::RegistrationEnded { id }),
            Err(error) => error,
        };
        // A put that failed may have been done all the same. Ending the id says which: it succeeds where the record
        // is not there. Where nothing works any more, the name stays with an image that never comes, which the next
        // registration finds out.
        match names.end(id, &image.name).await {
            Ok(Put::Done) => {
                names.release(&image.name, claim).await?;
                Err(failed.into())
            }
            Ok(Put::Taken) if self.get(id).await.is_ok() => Ok(()),
            Ok(Put::Taken) => Err(Error::RegistrationEnded { id }),
            Err(_also_failed) => Err(failed.into()),
        }
    }
}

/// Says whether an image can still be taken out of the Recycle Bin.
fn in_bin(image: &Image, now: Timestamp) -> bool {
    image.state == ImageState::Deregistered && image.kiln.recycle_bin.is_some_and(|bin| bin.exit_time > now)
}

#[cfg(test)]
mod tests;
