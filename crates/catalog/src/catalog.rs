//! The catalogue of a region: registering images and finding them again.

use crate::{Error, Image, NewImage, StateReason};
use kiln_store::Region;
use kiln_types::{AccountId, ImageId};

/// The images of a region, as an account sees them.
#[derive(Debug, Clone)]
pub struct Catalog {
    region: Region,
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
        Self { region, account }
    }

    /// Registers an image and takes its name; with `replace`, from the image that holds it, which is then
    /// deregistered.
    ///
    /// # Errors
    /// A refusal with EC2's code, or [`Error::Store`]; the name is then free again.
    pub async fn register(&self, new: NewImage, replace: bool) -> Result<Image, Error> {
        let _ = (new, replace, self.account, &self.region);
        todo!()
    }

    /// Leaves a record in state `failed` that holds no name.
    ///
    /// # Errors
    /// As [`Catalog::register`].
    pub async fn register_failed(&self, new: NewImage, reason: StateReason) -> Result<Image, Error> {
        let _ = (new, reason);
        todo!()
    }

    /// Reads one image.
    ///
    /// # Errors
    /// [`Error::ImageNotFound`], [`Error::ImageUnavailable`] once it is deregistered, or [`Error::Store`].
    pub async fn get(&self, id: ImageId) -> Result<Image, Error> {
        let _ = id;
        todo!()
    }

    /// Finds an image by its id or by its name among those of the account.
    ///
    /// # Errors
    /// As [`Catalog::get`], [`Error::IdMalformed`], or [`Error::NameNotFound`].
    pub async fn find(&self, id_or_name: &str) -> Result<Image, Error> {
        let _ = id_or_name;
        todo!()
    }

    /// Reads the images that a query asks for, by creation date and then id.
    ///
    /// # Errors
    /// [`Error::ImageNotFound`] for an id that is not there, or [`Error::Store`].
    pub async fn describe(&self, query: &ImageQuery) -> Result<Vec<Image>, Error> {
        let _ = query;
        todo!()
    }
}
