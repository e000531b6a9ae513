//! `source.type = "image"`: the root volume of an image of the catalogue, as it is.
//!
//! ```text
//! id or search ─ origin ─▶ one image ─ take_volume ─▶ raw disk and machine state in the cache, the image's snapshot
//! ```
//! Nothing is stored for such a base: what the steps change goes on the image's own chain of snapshots.

use crate::{
    Error, Events, Kiln, base::put_in_place, home::BuildFolder, key::KeyMaker, machine_state::SavedState,
    plan::canonical,
};
use kiln_catalog::{BootMode, Filter, Image, ImageQuery, ImageState, NewMapping, Owner};
use kiln_export::{ExportRequest, Target};
use kiln_store::Verify;
use kiln_template::{Firmware, ImageSource, Machine, Source, Template};
use kiln_types::{Digest, ImageId, SnapshotId};
use std::{borrow::Cow, collections::HashSet, path::Path};

pub(super) fn describe(source: &ImageSource) -> String {
    match source {
        ImageSource::Id(id) => format!("image {id}"),
        ImageSource::Search { filters, .. } => {
            let filters = filters.iter().map(|(name, values)| format!("{name}={}", values.join(",")));
            format!("image with {}", filters.collect::<Vec<_>>().join(" "))
        }
    }
}

/// The image decides, not how it was found: [`Kiln::origin`] puts its id in the place of a search.
pub(super) fn key(source: &ImageSource) -> Result<Digest, Error> {
    let mut maker = KeyMaker::new("source image");
    maker.part("image", &canonical(source)?);
    Ok(maker.finish())
}

/// A template whose source is settled: an image that it searches for is found.
#[derive(Debug)]
pub(crate) struct Origin<'a> {
    pub(crate) template: Cow<'a, Template>,
    /// The image that the build starts from, if it starts from one.
    pub(crate) image: Option<Image>,
}

impl Kiln {
    /// Finds the image that a build starts from, if it starts from one, and makes sure that its machine can be this one.
    pub(crate) async fn origin<'a>(&self, template: &'a Template) -> Result<Origin<'a>, Error> {
        let Source::Image(source) = &template.source else {
            return Ok(Origin { template: Cow::Borrowed(template), image: None });
        };
        let image = self.source_image(source).await?;
        check_state(&image)?;
        check_fits(&image, &template.machine)?;
        let mut settled = template.clone();
        settled.source = Source::Image(ImageSource::Id(image.image_id));
        Ok(Origin { template: Cow::Owned(settled), image: Some(image) })
    }

    async fn source_image(&self, source: &ImageSource) -> Result<Image, Error> {
        let (owners, filters, most_recent) = match source {
            ImageSource::Id(id) => return Ok(self.catalog.find(&id.to_string()).await?),
            ImageSource::Search { owners, filters, most_recent } => (owners, filters, *most_recent),
        };
        let owners = owners.iter().map(|owner| owner.parse::<Owner>()).collect::<Result<_, _>>()?;
        let filters = filters.iter().map(|(name, values)| Filter::new(name, values.clone()));
        let query =
            ImageQuery { owners, filters: filters.collect::<Result<_, _>>()?, ..ImageQuery::default() };
        let mut found = self.catalog.describe(&query).await?;
        found.retain(|image| image.state == ImageState::Available);
        let newest = found.pop().ok_or_else(|| Error::NoSourceImage { asked: describe(source) })?;
        if !found.is_empty() && !most_recent {
            let found = found.iter().chain([&newest]);
            let found = found.map(|image| format!("{} {}", image.image_id, image.name)).collect();
            return Err(Error::ManySourceImages { asked: describe(source), found });
        }
        Ok(newest)
    }

    /// Writes what a snapshot holds as a raw disk.
    pub(crate) async fn write_volume(
        &self,
        snapshot: SnapshotId,
        path: &Path,
        events: &Events,
    ) -> Result<(), Error> {
        let (target, path, verify) = (Target::Raw, path.to_owned(), Verify::Digest);
        let request = ExportRequest { snapshot, target, path, verify, sha256: false };
        let tell = events.clone();
        kiln_export::export(&self.region, &request, move |done, total| tell.progress(done, total)).await?;
        Ok(())
    }

    /// Writes the root volume of an image as a base's disk, and beside it what the image's machine kept.
    pub(crate) async fn take_volume(
        &self,
        image: &Image,
        disk: &Path,
        folder: &BuildFolder,
        events: &Events,
    ) -> Result<(), Error> {
        let snapshot = crate::kiln::root_of(image).ok_or(Error::NoRootSnapshot { image: image.image_id })?;
        let staged = folder.path().join("base.raw");
        self.write_volume(snapshot, &staged, events).await?;
        let (uefi_data, tpm_data) = (image.kiln.uefi_data.clone(), image.kiln.tpm_data.clone());
        SavedState { uefi_data, tpm_data }.unpack(disk.parent().unwrap_or(Path::new("/")))?;
        put_in_place(&staged, disk)
    }
}

/// Refuses an image that cannot be launched.
fn check_state(image: &Image) -> Result<(), Error> {
    match image.state {
        ImageState::Available => Ok(()),
        _ => Err(unfit(image, "state", image.state.as_str(), ImageState::Available.as_str())),
    }
}

/// Refuses an image that cannot be launched on this machine.
pub(crate) fn check_fits(image: &Image, machine: &Machine) -> Result<(), Error> {
    if image.architecture != machine.architecture {
        return Err(unfit(image, "architecture", image.architecture.as_str(), machine.architecture.as_str()));
    }
    match (image.boot_mode, machine.firmware) {
        (Some(BootMode::Uefi), Firmware::Bios) => Err(unfit(image, "firmware", "uefi", "bios")),
        (Some(BootMode::LegacyBios), Firmware::Uefi | Firmware::UefiSecure) => {
            Err(unfit(image, "firmware", "bios", "uefi"))
        }
        _ => Ok(()),
    }
}

fn unfit(image: &Image, what: &'static str, has: &str, wants: &str) -> Error {
    Error::UnfitSourceImage { image: image.image_id, what, has: has.to_owned(), wants: wants.to_owned() }
}

/// Lists the devices of the image that a build started from, but for its root and those whose names are taken.
pub(crate) fn carried(from: &Image, taken: &[NewMapping]) -> Vec<NewMapping> {
    let taken: HashSet<_> = taken.iter().map(|mapping| &mapping.device_name).collect();
    let devices = from.block_device_mappings.iter();
    let devices = devices.filter(|mapping| mapping.device_name != from.root_device_name);
    devices.filter(|mapping| !taken.contains(&mapping.device_name)).cloned().map(NewMapping::from).collect()
}

/// Lists the images that one made from `image` grew from, the oldest first.
pub(crate) fn lineage(image: &Image) -> Vec<ImageId> {
    image.kiln.lineage.iter().copied().chain([image.image_id]).collect()
}
