//! Builds whose image has a bundle for its root: `[bundle]` in a template.
//!
//! ```text
//! steps ─▶ snapshot of the root ─▶ pending image ─▶ its tests ─▶ bundles/<image>/<prefix>.manifest.xml ─▶ available image
//! ```
//! The snapshot stays: tests, exports and instances of this region take the disk from it, and the bundle is for others.

use crate::{BundleOf, BundleRequest, Error, Events, Kiln, Loaded};
use kiln_bundle::{Certificate, MachineConfiguration, Mapping, PrivateKey, Secret, Settings};
use kiln_catalog::{BlockDevice, Image, NewBlockDevice, NewBundle, NewImage, NewMapping};
use kiln_store::{Location, S3Settings};
use kiln_types::{ImageId, SnapshotId};

/// A bundle that a build will make, with everything read that it needs.
pub(crate) struct Bundling {
    settings: Settings,
    of: BundleOf,
}

impl Bundling {
    /// Reads the keys of a template's bundle, where it has one.
    pub(crate) fn of(loaded: &Loaded) -> Result<Option<Self>, Error> {
        let template = &loaded.template;
        let Some(bundle) = &template.bundle else { return Ok(None) };
        let prefix = bundle.prefix.clone().unwrap_or_else(|| file_name(template.image.name.as_str()));
        let settings = Settings {
            prefix,
            user: bundle.user,
            machine: MachineConfiguration {
                architecture: template.machine.architecture.as_str().to_owned(),
                mappings: vec![
                    Mapping {
                        virtual_name: "ami".to_owned(),
                        device: short(template.image.root_device_name.as_str()),
                    },
                    Mapping {
                        virtual_name: "root".to_owned(),
                        device: template.image.root_device_name.as_str().to_owned(),
                    },
                ],
                kernel_id: bundle.kernel.clone(),
                ramdisk_id: bundle.ramdisk.clone(),
                product_codes: Vec::new(),
            },
            certificate: Certificate::read(&bundle.cert.path)?,
            key: PrivateKey::read(&bundle.key.path)?,
            ec2_certificate: Certificate::read(&bundle.ec2cert.path)?,
            part_size: usize::try_from(bundle.part_size.bytes()).unwrap_or(usize::MAX),
            level: bundle.level,
            dense: false,
            secret: Secret::random()?,
        };
        let of = match bundle.partition {
            Some(number) => BundleOf::Partition(number),
            // A kernel that the host brings starts from a file system.
            None if bundle.kernel.is_some() => BundleOf::Root,
            None => BundleOf::Disk,
        };
        Ok(Some(Self { settings, of }))
    }
}

impl Kiln {
    /// Leaves a pending image whose bundle will lie in this region.
    pub(crate) async fn register_pending_bundled(
        &self,
        mut new: NewImage,
        bundling: &Bundling,
    ) -> Result<Image, Error> {
        let id = ImageId::random();
        let is_root = |mapping: &NewMapping| mapping.device_name == new.root_device_name;
        if let Some(root) = new.mappings.iter().find(|mapping| is_root(mapping))
            && let NewBlockDevice::Ebs(ebs) = &root.device
        {
            new.kiln.bundled_from = ebs.snapshot_id;
        }
        let root = new.root_device_name.clone();
        new.mappings.retain(|mapping| mapping.device_name != root);
        let manifest = manifest_name(&bundling.settings.prefix);
        let (_, location) = self.bundle_folder(id, &manifest, &self.s3())?;
        let bundle = NewBundle {
            location,
            kernel_id: bundling.settings.machine.kernel_id.clone(),
            ramdisk_id: bundling.settings.machine.ramdisk_id.clone(),
        };
        Ok(self.catalog.register_pending_bundle(id, new, bundle).await?)
    }

    /// Makes the bundle of a pending image.
    pub(crate) async fn make_bundle(
        &self,
        image: &Image,
        bundling: Bundling,
        events: &Events,
    ) -> Result<(), Error> {
        let no_root = || Error::NoRootSnapshot { image: image.image_id };
        let snapshot: SnapshotId = image.kiln.bundled_from.ok_or_else(no_root)?;
        let Bundling { mut settings, of } = bundling;
        for mapping in &image.block_device_mappings {
            if let BlockDevice::VirtualName(name) = &mapping.device {
                let (virtual_name, device) = (name.clone(), mapping.device_name.as_str().to_owned());
                settings.machine.mappings.push(Mapping { virtual_name, device });
            }
        }
        let manifest = manifest_name(&settings.prefix);
        let (place, _) = self.bundle_folder(image.image_id, &manifest, &self.s3())?;
        let request = BundleRequest { source: snapshot.to_string(), format: None, of, settings, place };
        self.bundle(request, events).await.map(drop)
    }

    /// Returns how this region is reached.
    fn s3(&self) -> S3Settings {
        match &self.location {
            Location::S3 { settings, .. } => settings.clone(),
            _ => S3Settings::default(),
        }
    }
}

fn manifest_name(prefix: &str) -> String {
    format!("{prefix}.manifest.xml")
}

/// `sda1` of `/dev/sda1`, as manifests call the device of the root.
fn short(device: &str) -> String {
    device.strip_prefix("/dev/").unwrap_or(device).to_owned()
}

/// Makes a name that files may have of an image's.
fn file_name(name: &str) -> String {
    let fits = |character: char| character.is_ascii_alphanumeric() || "._-".contains(character);
    let name: String = name.chars().map(|character| if fits(character) { character } else { '-' }).collect();
    name.trim_start_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_an_image_have_its_name() {
        assert_eq!(file_name("debian web/(1)"), "debian-web--1-");
        assert_eq!(file_name(".x"), "x");
        assert_eq!(short("/dev/sda1"), "sda1");
    }
}
