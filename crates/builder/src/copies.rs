//! Images in other regions: the blocks and the bundles that those lack, then a record of their own.
//!
//! ```text
//! image ─▶ each snapshot: its missing blocks, verified ─▶ a snapshot there ┐
//!      └─▶ its bundle: parts that are not there, the manifest last ────────┴─▶ the record, last
//! ```
//! What fails leaves no image and no snapshot. The blocks and parts that arrived stay, and the next copy finds them:
//! snapshots by the digests of their blocks, a bundle by its place, `bundles/<id of the image>/` of the region.

use crate::{
    Error, Events, Kiln, Phase, base::stored, bundle_of, bundle_place, snapshots::progress, watched,
};
use kiln_bundle::Place;
use kiln_catalog::{CopyImage, Image, Tag};
use kiln_store::{CopySnapshot, Location, S3Settings};
use kiln_types::{ImageId, ImageName, RootDeviceType, SnapshotId};
use std::collections::BTreeMap;

/// An image that is to be copied to another region.
#[derive(Debug, Clone)]
pub struct CopyRequest {
    /// Its id or name.
    pub image: String,
    /// The copy's name, where it is not the same.
    pub name: Option<ImageName>,
    /// What the copy is, for people, where it is not the same.
    pub description: Option<String>,
    /// Whether the copy gets the image's tags.
    pub tags: bool,
    /// Whether the copy gets the image's launch permissions.
    pub permissions: bool,
    /// How S3 is reached, for images that are made from bundles.
    pub s3: S3Settings,
}

impl Kiln {
    /// Copies an image into the region of `to`, where this account owns the copy.
    ///
    /// # Errors
    /// When this account does not see the image or its snapshots, or the image is not available, the name is taken there, or
    /// a region cannot be read or written.
    pub async fn copy_image(
        &self,
        request: &CopyRequest,
        to: &Self,
        events: &Events,
    ) -> Result<Image, Error> {
        let image = self.catalog.copyable(&request.image).await?;
        let viewer = self.catalog.viewer();
        if request.permissions && !viewer.owns(&image) {
            return Err(kiln_catalog::Error::NotAuthorized { id: image.image_id }.into());
        }
        self.check_storage(image.snapshots()).await?;
        let name = request.name.clone().unwrap_or_else(|| image.name.clone());
        to.catalog.check_free(&name).await?;
        let mut copy = CopyImage {
            id: ImageId::random(),
            region: self.region.name().clone(),
            name,
            description: request.description.clone().or_else(|| image.description.clone()),
            snapshots: BTreeMap::new(),
            location: None,
            tags: if request.tags { image.tags.clone() } else { Vec::new() },
            launch_permissions: Vec::new(),
            image,
        };
        if request.permissions {
            copy.launch_permissions.clone_from(&copy.image.launch_permissions);
        }
        if copy.image.root_device_type == RootDeviceType::InstanceStore {
            copy.location = Some(to.copy_bundle(&copy.image, &request.s3, events).await?);
        }
        let mut made = Vec::new();
        let registered = self.copy_volumes(copy, to, &mut made, events).await;
        if registered.is_err() {
            for id in made {
                to.region.delete_snapshot(id).await?;
            }
        }
        registered
    }

    /// Copies the snapshots of an image, and registers the copy; `made` are the snapshots there are by then.
    async fn copy_volumes(
        &self,
        mut copy: CopyImage,
        to: &Self,
        made: &mut Vec<SnapshotId>,
        events: &Events,
    ) -> Result<Image, Error> {
        for id in copy.image.snapshots().collect::<Vec<_>>() {
            if copy.snapshots.contains_key(&id) {
                continue;
            }
            let tags = copy.tags.clone();
            let new = self.copy_volume(id, &copy, tags, to, events).await?;
            made.push(new);
            copy.snapshots.insert(id, new);
        }
        let phase = events.begin(Phase::Register);
        let image = to.catalog.register_copy(copy).await?;
        phase.done(format!("{} {}", image.image_id, image.name));
        Ok(image)
    }

    async fn copy_volume(
        &self,
        id: SnapshotId,
        copy: &CopyImage,
        tags: Vec<Tag>,
        to: &Self,
        events: &Events,
    ) -> Result<SnapshotId, Error> {
        let phase = events.begin(Phase::Copy { region: to.region.name().to_string() });
        // EC2's words.
        let description = format!(
            "Copied for DestinationAmi {} from SourceAmi {} for SourceSnapshot {id}.",
            copy.id, copy.image.image_id
        );
        let new = CopySnapshot { id, owner: self.catalog.viewer().account, description, tags };
        let snapshot = to.region.copy_snapshot(&self.region, new, progress(events)).await?;
        phase.done(stored(&snapshot));
        Ok(snapshot.snapshot_id)
    }

    /// Returns where the bundle of an image lies in this region, and the location of its manifest as EC2 writes it.
    pub(crate) fn bundle_folder(
        &self,
        image: ImageId,
        manifest: &str,
        s3: &S3Settings,
    ) -> Result<(Place, String), Error> {
        let region = match &self.location {
            Location::Folder(path) => std::path::absolute(path)?.display().to_string(),
            other => other.to_string(),
        };
        let folder = format!("{region}/bundles/{image}");
        let location = format!("{}/{manifest}", folder.strip_prefix("s3://").unwrap_or(&folder));
        Ok((bundle_place(&folder, s3)?, location))
    }

    /// Brings the bundle that an image is made from into this region, and says where its manifest lies then.
    async fn copy_bundle(&self, image: &Image, s3: &S3Settings, events: &Events) -> Result<String, Error> {
        let phase = events.begin(Phase::Copy { region: self.region.name().to_string() });
        let (from, name) = bundle_of(image, s3)?;
        let (to, location) = self.bundle_folder(image.image_id, &name, s3)?;
        let copied = watched(events, move |watch| Ok(kiln_bundle::copy(&from, &to, &name, watch)?)).await?;
        let parts = copied.manifest.parts.len();
        phase.done(format!("{parts} parts, {} of them there already", copied.kept));
        Ok(location)
    }
}
