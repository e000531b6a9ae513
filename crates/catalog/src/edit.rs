//! What the owner changes of an image that is there.
//!
//! ```text
//! available ◀──▶ disabled       launch permissions end with it, and do not come back
//! available, disabled ──▶ deregistered ──▶ available      while the Recycle Bin keeps it
//! ```

use crate::{Catalog, DeregistrationProtection, Error, Image, ImageState, LaunchPermission, Tag, tags};
use kiln_types::{Digest, ImageId, Timestamp};

/// A day: how long a protection with a cooldown outlives its end.
const COOLDOWN: i64 = 24 * 60 * 60;

/// Characters of a description.
const LONGEST_DESCRIPTION: usize = 255;

/// A change of an image's record. What is left empty stays as it is.
#[derive(Debug, Clone, Default)]
pub struct ImageEdit {
    /// A new description.
    pub description: Option<String>,
    /// Tags that are set.
    pub set_tags: Vec<Tag>,
    /// Keys of tags that go.
    pub remove_tags: Vec<String>,
    /// Who may launch it from now on.
    pub share_with: Vec<LaunchPermission>,
    /// Who may launch it no longer.
    pub unshare: Vec<LaunchPermission>,
    /// When others' lists leave it out; `Some(None)` takes that back.
    pub deprecation: Option<Option<Timestamp>>,
    /// What keeps it from being deregistered.
    pub protection: Option<DeregistrationProtection>,
    /// Whether it can be launched.
    pub enabled: Option<bool>,
    /// How it boots.
    pub boot_mode: Option<crate::BootMode>,
    /// When an instance was made from it.
    pub launched: Option<Timestamp>,
    /// The digest of the tests that it passed.
    pub tested: Option<Digest>,
}

impl Catalog {
    /// Changes an image of this account's, and returns it as it is now.
    ///
    /// # Errors
    /// [`Error::ImageNotFound`] for an image that this account does not see, [`Error::NotAuthorized`] for one that it
    /// does not own, or what is wrong with the change; nothing was changed then.
    pub async fn edit(&self, id: ImageId, edit: &ImageEdit) -> Result<Image, Error> {
        self.own(id).await?;
        let now = Timestamp::now();
        let changed = self.records.update(id, |image| edit.apply(image, now)).await?;
        changed.ok_or(Error::ImageNotFound { id })
    }

    /// Reads an image that this account is to change.
    pub(crate) async fn own(&self, id: ImageId) -> Result<Image, Error> {
        let image = self.get(id).await?;
        if self.viewer.owns(&image) { Ok(image) } else { Err(Error::NotAuthorized { id }) }
    }
}

/// Checks the description of an image or a snapshot.
///
/// # Errors
/// [`Error::DescriptionTooLong`].
pub fn check_description(description: &str) -> Result<(), Error> {
    match description.chars().count() {
        0..=LONGEST_DESCRIPTION => Ok(()),
        _ => Err(Error::DescriptionTooLong),
    }
}

impl ImageEdit {
    fn apply(&self, image: &mut Image, now: Timestamp) -> Result<(), Error> {
        let id = image.image_id;
        if let Some(description) = &self.description {
            check_description(description)?;
            image.description = Some(description.clone()).filter(|text| !text.is_empty());
        }
        tags::change(&mut image.tags, &self.set_tags, &self.remove_tags)?;
        self.share(image)?;
        if let Some(deprecation) = self.deprecation {
            image.deprecation_time = deprecation.map(|time| whole_minute(time, now)).transpose()?;
        }
        if let Some(protection) = self.protection {
            protect(image, protection, now);
        }
        match (self.enabled, &image.state) {
            (None, _) | (Some(true), ImageState::Available) | (Some(false), ImageState::Disabled) => {}
            (Some(true), ImageState::Disabled) => image.state = ImageState::Available,
            (Some(false), ImageState::Available) => {
                image.state = ImageState::Disabled;
                image.launch_permissions.clear();
                image.public = false;
            }
            (Some(_), state) => return Err(Error::IncorrectState { id, state: state.as_str() }),
        }
        image.boot_mode = self.boot_mode.or(image.boot_mode);
        image.last_launched_time = self.launched.max(image.last_launched_time);
        image.kiln.tests = self.tested.or(image.kiln.tests);
        Ok(())
    }

    fn share(&self, image: &mut Image) -> Result<(), Error> {
        if self.share_with.is_empty() && self.unshare.is_empty() {
            return Ok(());
        }
        if image.state == ImageState::Disabled && !self.share_with.is_empty() {
            return Err(Error::IncorrectState { id: image.image_id, state: image.state.as_str() });
        }
        if self.share_with.contains(&LaunchPermission::PUBLIC) && !image.product_codes.is_empty() {
            return Err(Error::ProductCodePublic { id: image.image_id });
        }
        let permissions = &mut image.launch_permissions;
        permissions.retain(|permission| !self.unshare.contains(permission));
        permissions.extend(self.share_with.iter().cloned());
        permissions.sort();
        permissions.dedup();
        image.public = permissions.contains(&LaunchPermission::PUBLIC);
        Ok(())
    }
}

fn protect(image: &mut Image, protection: DeregistrationProtection, now: Timestamp) {
    let had_cooldown = image.deregistration_protection == DeregistrationProtection::EnabledWithCooldown;
    image.kiln.protected_until = match protection {
        DeregistrationProtection::Disabled if had_cooldown => Timestamp::from_unix(now.unix() + COOLDOWN),
        // What runs already goes on.
        DeregistrationProtection::Disabled => image.kiln.protected_until,
        _ => None,
    };
    image.deregistration_protection = protection;
}

/// EC2 keeps deprecation by the minute, and takes none that has passed.
fn whole_minute(time: Timestamp, now: Timestamp) -> Result<Timestamp, Error> {
    let minute = time.unix().div_euclid(60).saturating_mul(60);
    let minute = Timestamp::from_unix(minute).filter(|_| time >= now);
    minute.ok_or(Error::DeprecationPassed { time })
}

/// Says why an image may not be deregistered now.
pub(crate) fn check_unprotected(image: &Image, now: Timestamp) -> Result<(), Error> {
    let id = image.image_id;
    if image.deregistration_protection != DeregistrationProtection::Disabled {
        return Err(Error::Protected { id });
    }
    match image.kiln.protected_until {
        Some(until) if until > now => Err(Error::Cooldown { id, until }),
        _ => Ok(()),
    }
}
