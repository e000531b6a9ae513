//! Copies of images in other regions: all that the image is, under an id of its own.

use crate::{
    BlockDevice, Catalog, DeregistrationProtection, Error, Image, ImageKiln, ImageState, LaunchPermission,
    Tag, name::Names, tags,
};
use kiln_types::{AccountId, ImageId, ImageName, RegionName, SnapshotId, Timestamp};
use std::collections::BTreeMap;

/// A copy that is to be registered. What it is made of lies in this region already.
#[derive(Debug, Clone)]
pub struct CopyImage {
    /// The id that the copy gets.
    pub id: ImageId,
    /// The image that is copied, as the account sees it.
    pub image: Image,
    /// The region that it lies in.
    pub region: RegionName,
    /// The copy's name.
    pub name: ImageName,
    /// What it is, for people.
    pub description: Option<String>,
    /// The copies of its snapshots.
    pub snapshots: BTreeMap<SnapshotId, SnapshotId>,
    /// Where the copy of its bundle lies, where it is made from one.
    pub location: Option<String>,
    /// Its tags; EC2 copies them only where that is asked for.
    pub tags: Vec<Tag>,
    /// Who may launch it beside its owner; EC2 never copies these.
    pub launch_permissions: Vec<LaunchPermission>,
}

impl Catalog {
    /// Finds an image that this account can copy.
    ///
    /// # Errors
    /// As [`Catalog::find`], and [`Error::IncorrectState`] for one that is not available.
    pub async fn copyable(&self, id_or_name: &str) -> Result<Image, Error> {
        let image = self.find(id_or_name).await?;
        if image.state != ImageState::Available {
            return Err(Error::IncorrectState { id: image.image_id, state: image.state.as_str() });
        }
        Ok(image)
    }

    /// Finds out before anything moves that this account has an image of a name.
    ///
    /// # Errors
    /// [`Error::NameDuplicate`], or [`Error::Store`].
    pub async fn check_free(&self, name: &ImageName) -> Result<(), Error> {
        match Names::new(&self.region, self.viewer.account).holder(name).await? {
            Some(holder) => Err(Error::NameDuplicate { name: name.clone(), holder: holder.image_id }),
            None => Ok(()),
        }
    }

    /// Registers a copy, which this account owns.
    ///
    /// # Errors
    /// As [`Catalog::register`].
    pub async fn register_copy(&self, copy: CopyImage) -> Result<Image, Error> {
        tags::check(&copy.tags)?;
        self.add(copy.record(self.viewer.account)?, false).await
    }
}

impl CopyImage {
    fn record(self, owner: AccountId) -> Result<Image, Error> {
        let Self { id, image, region, name, description, snapshots, location, tags, .. } = self;
        let mut mappings = image.block_device_mappings;
        for mapping in &mut mappings {
            let BlockDevice::Ebs(ebs) = &mut mapping.device else { continue };
            if let Some(old) = ebs.snapshot_id {
                let new = snapshots.get(&old).copied();
                ebs.snapshot_id = Some(new.ok_or(Error::SnapshotNotFound { id: old })?);
            }
        }
        let bundled_from = image.kiln.bundled_from.and_then(|old| snapshots.get(&old).copied());
        let mut lineage = image.kiln.lineage;
        lineage.push(image.image_id);
        Ok(Image {
            image_id: id,
            image_location: location.unwrap_or_else(|| format!("{owner}/{name}")),
            name,
            description,
            owner_id: owner,
            image_owner_alias: None,
            public: self.launch_permissions.contains(&LaunchPermission::PUBLIC),
            launch_permissions: self.launch_permissions,
            creation_date: Timestamp::now(),
            deprecation_time: None,
            last_launched_time: None,
            block_device_mappings: mappings,
            source_image_id: Some(image.image_id),
            source_image_region: Some(region),
            source_instance_id: None,
            deregistration_protection: DeregistrationProtection::default(),
            tags,
            kiln: ImageKiln { lineage, bundled_from, protected_until: None, recycle_bin: None, ..image.kiln },
            ..image
        })
    }
}
