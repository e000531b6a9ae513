//! Images whose tests run: they are there under their ids, and have no name until they are available.

use crate::{
    Catalog, Error, Image, ImageState, NewBundle, NewImage, StateReason,
    name::Names,
    resolve::{resolve, resolve_bundle},
};
use kiln_store::Put;
use kiln_types::{Digest, ImageId};

impl Catalog {
    /// Leaves a record in state `pending`, which holds no name.
    ///
    /// # Errors
    /// As [`Catalog::register`].
    pub async fn register_pending(&self, new: NewImage) -> Result<Image, Error> {
        let image = resolve(self, ImageId::random(), new, ImageState::Pending).await?;
        self.put_pending(image).await
    }

    /// Leaves a record in state `pending` of an image whose root will be made from a bundle.
    ///
    /// # Errors
    /// As [`Catalog::register_bundle`].
    pub async fn register_pending_bundle(
        &self,
        id: ImageId,
        new: NewImage,
        bundle: NewBundle,
    ) -> Result<Image, Error> {
        let image = resolve_bundle(self, id, new, bundle, ImageState::Pending).await?;
        self.put_pending(image).await
    }

    async fn put_pending(&self, image: Image) -> Result<Image, Error> {
        let id = image.image_id;
        match self.records.put_first(&image).await? {
            Put::Done => Ok(image),
            Put::Taken => Err(Error::RegistrationEnded { id }),
        }
    }

    /// Makes a pending image available under its name, which it takes with `replace` from the image that holds it.
    ///
    /// # Errors
    /// [`Error::IncorrectState`] where it is not pending any more, and as [`Catalog::register`].
    pub async fn complete(&self, id: ImageId, tests: Option<Digest>, replace: bool) -> Result<Image, Error> {
        let pending = self.own(id).await?;
        check_pending(&pending)?;
        let names = Names::new(&self.region, pending.owner_id);
        let claim = names.claim(&pending.name, id, replace).await?;
        let completed = self.records.update(id, |image| {
            check_pending(image)?;
            image.state = ImageState::Available;
            image.kiln.tests = tests;
            Ok(())
        });
        let image = match completed.await {
            Ok(image) => image.ok_or(Error::ImageNotFound { id })?,
            // Where the region cannot be read any more, whether it was done is not known: who wants the name finds out.
            Err(error @ Error::Store(_)) => return Err(error),
            Err(refused) => {
                names.release(&pending.name, &claim).await?;
                return Err(refused);
            }
        };
        self.retire(&image, &claim).await?;
        Ok(image)
    }

    /// Leaves a pending image in state `failed`.
    ///
    /// # Errors
    /// [`Error::IncorrectState`] where it is not pending any more, or [`Error::Store`].
    pub async fn fail(&self, id: ImageId, reason: StateReason) -> Result<Image, Error> {
        self.own(id).await?;
        let failed = self.records.update(id, |image| {
            check_pending(image)?;
            image.state = ImageState::Failed { reason: reason.clone() };
            Ok(())
        });
        failed.await?.ok_or(Error::ImageNotFound { id })
    }
}

fn check_pending(image: &Image) -> Result<(), Error> {
    match image.state {
        ImageState::Pending => Ok(()),
        _ => Err(Error::IncorrectState { id: image.image_id, state: image.state.as_str() }),
    }
}
