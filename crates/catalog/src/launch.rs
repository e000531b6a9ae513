//! What a launch takes from an image: the right to it, and the devices, changed as the launch says.

use crate::{
    BlockDevice, BlockDeviceMapping, Catalog, Error, Image, ImageState, NewBlockDevice, NewImage, NewMapping,
    resolve::{devices, resolve},
};
use kiln_types::{ImageId, InstanceId, RootDeviceType};

impl Catalog {
    /// Registers an image that was made of an instance.
    ///
    /// # Errors
    /// As [`Catalog::register`].
    pub async fn register_from_instance(&self, new: NewImage, instance: InstanceId) -> Result<Image, Error> {
        let image = resolve(self, ImageId::random(), new, ImageState::Available).await?;
        self.add(Image { source_instance_id: Some(instance), ..image }, false).await
    }

    /// Reads an image that this account may launch now.
    ///
    /// # Errors
    /// As [`Catalog::find`], and [`Error::ImageUnavailable`] for one that is not available.
    pub async fn launchable(&self, id_or_name: &str) -> Result<Image, Error> {
        let image = self.find(id_or_name).await?;
        match image.state {
            ImageState::Available => Ok(image),
            _ => Err(Error::ImageUnavailable { id: image.image_id }),
        }
    }

    /// Returns the devices of an instance: the image's, of which `changes` of the same name change what they say, and the
    /// other `changes`. A volume keeps its image's snapshot where its change names none.
    ///
    /// # Errors
    /// When a device is named twice, is too small, or its snapshot is not there for this account; or where nothing is left for the root.
    pub async fn launch_devices(
        &self,
        image: &Image,
        changes: Vec<NewMapping>,
    ) -> Result<Vec<BlockDeviceMapping>, Error> {
        let mut asked: Vec<NewMapping> =
            image.block_device_mappings.iter().cloned().map(NewMapping::from).collect();
        // The disk that its bundle was made of stands for it.
        if let Some(snapshot) = image.kiln.bundled_from {
            asked.push(NewMapping::from_snapshot(image.root_device_name.clone(), snapshot));
        }
        let from_image = asked.len();
        for change in changes {
            let mut image_devices = asked.iter_mut().take(from_image);
            match image_devices.find(|mapping| mapping.device_name == change.device_name) {
                Some(mapping) => mapping.device = changed(&mapping.device, change.device),
                None => asked.push(change),
            }
        }
        asked.retain(|mapping| !matches!(mapping.device, NewBlockDevice::NoDevice));
        let devices = devices(self, Some(image), asked).await?;
        let is_root = |mapping: &&BlockDeviceMapping| mapping.device_name == image.root_device_name;
        if image.root_device_type == RootDeviceType::InstanceStore {
            return Ok(devices);
        }
        match devices.iter().find(is_root).map(|mapping| &mapping.device) {
            Some(BlockDevice::Ebs(ebs)) if ebs.snapshot_id.is_some() => Ok(devices),
            _ => Err(Error::NoRootSnapshot),
        }
    }
}

fn changed(of_image: &NewBlockDevice, change: NewBlockDevice) -> NewBlockDevice {
    match (of_image, change) {
        (NewBlockDevice::Ebs(own), NewBlockDevice::Ebs(mut change)) => {
            let same_snapshot = change.snapshot_id.is_none() || change.snapshot_id == own.snapshot_id;
            change.snapshot_id = change.snapshot_id.or(own.snapshot_id);
            change.volume_size = change.volume_size.or(own.volume_size.filter(|_| same_snapshot));
            NewBlockDevice::Ebs(change)
        }
        (_, change) => change,
    }
}
