//! The catalogue of a region: registering images and finding them again.

use crate::{
    Error, Image, ImageState, NewImage, StateReason,
    name::{Claim, Names},
    records::Records,
    resolve::resolve,
};
use kiln_store::{Put, Region};
use kiln_types::{AccountId, ImageId, ImageName};

/// The images of a region, as an account sees them.
#[derive(Debug, Clone)]
pub struct Catalog {
    region: Region,
    records: Records,
    account: AccountId,
}

/// Which images are asked for; what is left empty asks for all.
#[derive(Debug, Clone, Default)]
pub struct ImageQuery {
    /// Images by id; one that is not there is an error.
    pub ids: Vec<ImageId>,
    /// Accounts that own them.
    pub owners: Vec<AccountId>,
}

impl Catalog {
    /// Opens the catalogue of a region as the region's owner.
    #[must_use]
    pub fn new(region: Region) -> Self {
        let account = region.owner();
        Self { records: Records::new(&region), region, account }
    }

    /// Looks at the same catalogue as another account: names are looked up among its images.
    #[must_use]
    pub fn acting_as(self, account: AccountId) -> Self {
        Self { account, ..self }
    }

    /// Registers an image and takes its name; with `replace`, from the image that holds it, which is then
    /// deregistered.
    ///
    /// A holder whose registration died half-way is waited for, a few seconds, and then passed over.
    ///
    /// # Errors
    /// A refusal with EC2's code, or [`Error::Store`]; the name is then held by whom it was before.
    pub async fn register(&self, new: NewImage, replace: bool) -> Result<Image, Error> {
        let id = ImageId::random();
        let image = resolve(&self.region, id, new, ImageState::Available).await?;
        let names = Names::new(&self.region, image.owner_id);
        let claim = names.claim(&image.name, id, replace).await?;
        self.publish(&image, &names, &claim).await?;
        if let Some(replaced) = claim.replaced {
            let gone = self.records.deregister(replaced).await;
            gone.map_err(|source| Error::Replaced { id, replaced, source: Box::new(source) })?;
        }
        Ok(image)
    }

    /// Leaves a record in state `failed` that holds no name.
    ///
    /// # Errors
    /// As [`Catalog::register`].
    pub async fn register_failed(&self, new: NewImage, reason: StateReason) -> Result<Image, Error> {
        let id = ImageId::random();
        let image = resolve(&self.region, id, new, ImageState::Failed { reason }).await?;
        match self.records.put_first(&image).await? {
            Put::Done => Ok(image),
            Put::Taken => Err(Error::RegistrationEnded { id }),
        }
    }

    /// Deregisters an image: it is not found any more, its name is free, its snapshots stay.
    ///
    /// # Errors
    /// [`Error::ImageNotFound`], [`Error::ImageUnavailable`] when it was deregistered before, or [`Error::Store`].
    pub async fn deregister(&self, id: ImageId) -> Result<(), Error> {
        self.get(id).await?;
        // The name needs no put of its own: an image in this state holds none.
        match self.records.deregister(id).await? {
            true => Ok(()),
            false => Err(Error::ImageUnavailable { id }),
        }
    }

    /// Reads one image.
    ///
    /// # Errors
    /// [`Error::ImageNotFound`], [`Error::ImageUnavailable`] once it is deregistered, or [`Error::Store`].
    pub async fn get(&self, id: ImageId) -> Result<Image, Error> {
        let image = self.records.newest(id).await?.ok_or(Error::ImageNotFound { id })?.record;
        if !is_listed(&image) {
            return Err(Error::ImageUnavailable { id });
        }
        Ok(image)
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
            Ok(name) => Names::new(&self.region, self.account).holder(&name).await?,
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

    /// Reads the images that a query asks for, by creation date and then id.
    ///
    /// # Errors
    /// [`Error::ImageNotFound`] for an id that is not there, or [`Error::Store`].
    pub async fn describe(&self, query: &ImageQuery) -> Result<Vec<Image>, Error> {
        let mut images = if query.ids.is_empty() {
            self.records.all().await?
        } else {
            let mut images = Vec::with_capacity(query.ids.len());
            for id in &query.ids {
                let found = self.records.newest(*id).await?;
                images.push(found.ok_or(Error::ImageNotFound { id: *id })?.record);
            }
            images
        };
        images.retain(|image| is_listed(image) && query.matches(image));
        images.sort_by_key(|image| (image.creation_date, image.image_id));
        images.dedup_by_key(|image| image.image_id);
        Ok(images)
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

impl ImageQuery {
    fn matches(&self, image: &Image) -> bool {
        self.owners.is_empty() || self.owners.contains(&image.owner_id)
    }
}

/// Says whether an image is shown at all; what an account may see is decided here too, once images are shared.
fn is_listed(image: &Image) -> bool {
    image.state != ImageState::Deregistered
}

#[cfg(test)]
mod tests;
