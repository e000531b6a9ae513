//! Which snapshots images are made of, whoever may see them.

use crate::{BlockDevice, Catalog, Error, ImageState};
use kiln_types::{ImageId, SnapshotId};
use std::collections::BTreeMap;

impl Catalog {
    /// Lists the snapshots that images name, each with those images. All accounts' images count; deregistered ones do not.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn snapshots_in_use(&self) -> Result<BTreeMap<SnapshotId, Vec<ImageId>>, Error> {
        let mut used = BTreeMap::<SnapshotId, Vec<ImageId>>::new();
        for image in self.all_records().await? {
            if image.state == ImageState::Deregistered {
                continue;
            }
            if let Some(snapshot) = image.kiln.bundled_from {
                used.entry(snapshot).or_default().push(image.image_id);
            }
            for mapping in image.block_device_mappings {
                if let BlockDevice::Ebs(ebs) = mapping.device
                    && let Some(snapshot) = ebs.snapshot_id
                {
                    used.entry(snapshot).or_default().push(image.image_id);
                }
            }
        }
        Ok(used)
    }
}
