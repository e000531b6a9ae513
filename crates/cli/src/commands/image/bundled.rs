//! Images whose root is made from a bundle.

use super::refused;
use crate::{commands::bundle::s3, failure::Failure};
use kiln_builder::{
    Events,
    bundle::{ImageType, Manifest, Mapping, SignedManifest, Watch},
    bundle_manifest,
    catalog::{Catalog, Image, NewBlockDevice, NewBundle, NewImage, NewMapping},
    watched,
};

/// Registers an image of a bundle that lies where it can be read; what the manifest says of the machine is the image's.
pub(super) async fn register(
    catalog: &Catalog,
    new: NewImage,
    location: &str,
    replace: bool,
) -> Result<Image, Failure> {
    let (place, name) = bundle_manifest(location, &s3())?;
    let read = move |_: &Watch| Ok(SignedManifest::read(&place, &name)?.manifest);
    let manifest = watched(&Events::ignored(), read).await?;
    if manifest.kind != ImageType::Machine {
        return Err(Failure::usage(format!("the bundle holds a {}, and no machine", manifest.kind.as_str())));
    }
    let architecture = manifest.machine.architecture.parse().map_err(|error| refuse(location, &error))?;
    let mut mappings = devices(&manifest, location)?;
    // What is asked for on the command line stands above what the manifest says.
    mappings.retain(|one| new.mappings.iter().all(|other| other.device_name != one.device_name));
    let bundle = NewBundle {
        location: lasting(location)?,
        kernel_id: manifest.machine.kernel_id,
        ramdisk_id: manifest.machine.ramdisk_id,
    };
    let mappings = new.mappings.into_iter().chain(mappings).collect();
    let new = NewImage { architecture, mappings, ..new };
    refused(catalog.register_bundle(new, bundle, replace).await)
}

/// Says where a manifest lies in a way that means the same wherever it is read.
fn lasting(location: &str) -> Result<String, Failure> {
    match location.split_once("://") {
        Some(("s3", rest)) => Ok(rest.to_owned()),
        Some(_) => Ok(location.to_owned()),
        None => {
            let path = std::path::absolute(location).map_err(kiln_builder::Error::from)?;
            Ok(path.display().to_string())
        }
    }
}

/// The instance store volumes that a manifest names; its other names are of the root, and of swap that nobody makes.
fn devices(manifest: &Manifest, location: &str) -> Result<Vec<NewMapping>, Failure> {
    let ephemeral = manifest.machine.mappings.iter().filter(|one| one.virtual_name.starts_with("ephemeral"));
    let mapping = |one: &Mapping| {
        let device_name = one.device.parse().map_err(|error| refuse(location, &error))?;
        Ok(NewMapping { device_name, device: NewBlockDevice::VirtualName(one.virtual_name.clone()) })
    };
    ephemeral.map(mapping).collect()
}

fn refuse(location: &str, error: &kiln_types::ParseError) -> Failure {
    Failure::usage(format!("{location}: {error}"))
}
