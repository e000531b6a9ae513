//! Which snapshots images are made of, whoever may see them.

use crate::{Catalog, Error, Image, ImageState};
use kiln_types::{ImageId, SnapshotId};
use std::collections::BTreeMap;

impl Image {
    /// Lists the snapshots that this image names: behind its devices, and under its bundle.
    pub fn snapshots(&self) -> impl Iterator<Item = SnapshotId> {
        let of_devices = self.block_device_mappings.iter().filter_map(|mapping| mapping.device.snapshot());
        of_devices.chain(self.kiln.bundled_from)
    }
}

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
            for snapshot in image.snapshots() {
                used.entry(snapshot).or_default().push(image.image_id);
            }
        }
        Ok(used)
    }
}
