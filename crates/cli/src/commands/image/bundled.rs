//! Images whose root is made from a bundle.

use super::refused;
use crate::{
    args::{Global, ImageRegister},
    commands::{bundle::s3, events},
    failure::Failure,
};
use kiln_builder::{
    Error, Events, Kiln, UnbundleRequest,
    bundle::{Certificate, ImageType, Manifest, Mapping, Place, PrivateKey, SignedManifest, Watch},
    bundle_manifest,
    catalog::{Image, ImageKiln, NewBlockDevice, NewBundle, NewImage, NewMapping},
    watched,
};
use kiln_types::SnapshotId;

/// Registers an image of a bundle that lies where it can be read; what the manifest says of the machine is the image's.
pub(super) async fn register(
    kiln: &Kiln,
    global: &Global,
    new: NewImage,
    location: &str,
    args: &ImageRegister,
) -> Result<Image, Failure> {
    let (place, name) = bundle_manifest(location, &s3())?;
    let certificate = args.cert.as_deref().map(Certificate::read).transpose().map_err(Error::from)?;
    let (within, called, signer) = (place.clone(), name.clone(), certificate.clone());
    let read = move |_: &Watch| {
        let signed = SignedManifest::read(&within, &called)?;
        signer.map(|signer| signed.verify(&signer)).transpose()?;
        Ok(signed.manifest)
    };
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
    let bundled_from = unpacked(kiln, global, (place, name), certificate, args).await?;
    let new = NewImage { architecture, mappings, kiln: ImageKiln { bundled_from, ..new.kiln }, ..new };
    refused(kiln.catalog().register_bundle(new, bundle, args.replace).await)
}

/// Stores the bundle's disk where a key is given that opens it.
async fn unpacked(
    kiln: &Kiln,
    global: &Global,
    (place, manifest): (Place, String),
    certificate: Option<Certificate>,
    args: &ImageRegister,
) -> Result<Option<SnapshotId>, Failure> {
    let Some(key) = &args.key else { return Ok(None) };
    let key = PrivateKey::read(key).map_err(Error::from)?;
    let (name, replace) = (args.name.clone(), args.replace);
    let request = UnbundleRequest { place, manifest, key, certificate, name, replace };
    Ok(Some(kiln.unbundle(request, &events(global)).await?))
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
