//! From what a registration asks for to what its record says: defaults filled in, refusals in EC2's words.

use crate::{
    BlockDevice, BlockDeviceMapping, Catalog, EbsBlockDevice, Error, Image, ImageKiln, ImageState,
    NewBlockDevice, NewBundle, NewEbs, NewImage, NewMapping, VirtualizationType, VolumeType,
};
use kiln_types::{AccountId, Architecture, DeviceName, ImageId, ImageName, RootDeviceType, Timestamp};
use std::{collections::HashSet, ops::RangeInclusive};

/// Instance store volumes that EC2 has names for.
const EPHEMERALS: u32 = 24;

impl Image {
    /// An image of which nothing is known but its id, name and owner; all else as a minimal RegisterImage answers.
    pub(crate) fn empty(id: ImageId, name: ImageName, owner: AccountId, state: ImageState) -> Self {
        Self {
            image_id: id,
            image_location: format!("{owner}/{name}"),
            name,
            description: None,
            state,
            owner_id: owner,
            image_owner_alias: None,
            public: false,
            launch_permissions: Vec::new(),
            deprecation_time: None,
            last_launched_time: None,
            creation_date: Timestamp::now(),
            image_type: "machine".to_owned(),
            architecture: Architecture::X86_64,
            root_device_type: RootDeviceType::Ebs,
            root_device_name: DeviceName::root(),
            block_device_mappings: Vec::new(),
            virtualization_type: VirtualizationType::Hvm,
            boot_mode: None,
            tpm_support: None,
            imds_support: None,
            kernel_id: None,
            ramdisk_id: None,
            product_codes: Vec::new(),
            source_image_id: None,
            source_image_region: None,
            source_instance_id: None,
            platform: None,
            ena_support: true,
            hypervisor: "xen".to_owned(),
            platform_details: "Linux/UNIX".to_owned(),
            usage_operation: "RunInstances".to_owned(),
            deregistration_protection: crate::DeregistrationProtection::default(),
            tags: Vec::new(),
            kiln: ImageKiln::default(),
        }
    }
}

/// Makes the record of a new image, or says in EC2's words why it cannot be.
pub(crate) async fn resolve(
    catalog: &Catalog,
    id: ImageId,
    new: NewImage,
    state: ImageState,
) -> Result<Image, Error> {
    let image = record(catalog, id, new, state).await?;
    match root(&image) {
        Some(BlockDevice::Ebs(ebs)) if ebs.snapshot_id.is_some() => Ok(image),
        _ => Err(Error::NoRootSnapshot),
    }
}

/// Makes the record of a new image with a bundle for its root.
pub(crate) async fn resolve_bundle(
    catalog: &Catalog,
    id: ImageId,
    new: NewImage,
    bundle: NewBundle,
    state: ImageState,
) -> Result<Image, Error> {
    let image = record(catalog, id, new, state).await?;
    if root(&image).is_some() {
        return Err(Error::RootIsBundled { device: image.root_device_name });
    }
    Ok(Image {
        image_location: bundle.location,
        root_device_type: RootDeviceType::InstanceStore,
        virtualization_type: match bundle.kernel_id {
            Some(_) => VirtualizationType::Paravirtual,
            None => VirtualizationType::Hvm,
        },
        kernel_id: bundle.kernel_id,
        ramdisk_id: bundle.ramdisk_id,
        ..image
    })
}

fn root(image: &Image) -> Option<&BlockDevice> {
    let mut mappings = image.block_device_mappings.iter();
    mappings.find(|mapping| mapping.device_name == image.root_device_name).map(|root| &root.device)
}

async fn record(catalog: &Catalog, id: ImageId, new: NewImage, state: ImageState) -> Result<Image, Error> {
    crate::tags::check(&new.tags)?;
    // An image that grew from others came from the last of them.
    let source_image_id = new.kiln.lineage.last().copied();
    let source = match source_image_id {
        Some(id) => catalog.records.newest(id).await?.map(|version| version.record),
        None => None,
    };
    let mappings = devices(catalog, source.as_ref(), new.mappings).await?;
    Ok(Image {
        source_image_id,
        source_image_region: source_image_id.map(|_| catalog.region.name().clone()),
        description: new.description,
        architecture: new.architecture,
        root_device_name: new.root_device_name,
        block_device_mappings: mappings,
        boot_mode: new.boot_mode,
        tpm_support: new.tpm_support,
        tags: new.tags,
        kiln: new.kiln,
        ..Image::empty(id, new.name, new.owner, state)
    })
}

/// Fills in what was left out of devices, and refuses those that cannot be. Those of the image that they come from are
/// given with it.
pub(crate) async fn devices(
    catalog: &Catalog,
    from: Option<&Image>,
    new: Vec<NewMapping>,
) -> Result<Vec<BlockDeviceMapping>, Error> {
    let mut seen = HashSet::new();
    let mut mappings = Vec::with_capacity(new.len());
    for mapping in new {
        let device_name = mapping.device_name;
        if !seen.insert(device_name.clone()) {
            return Err(Error::DeviceDuplicate { device: device_name });
        }
        let device = match mapping.device {
            NewBlockDevice::Ebs(ebs) => BlockDevice::Ebs(volume(catalog, from, &device_name, &ebs).await?),
            NewBlockDevice::VirtualName(name) => BlockDevice::VirtualName(ephemeral(&device_name, name)?),
            NewBlockDevice::NoDevice => BlockDevice::NoDevice(String::new()),
        };
        mappings.push(BlockDeviceMapping { device_name, device });
    }
    Ok(mappings)
}

async fn volume(
    catalog: &Catalog,
    from: Option<&Image>,
    device: &DeviceName,
    ebs: &NewEbs,
) -> Result<EbsBlockDevice, Error> {
    let volume_size = match (ebs.snapshot_id, ebs.volume_size) {
        (None, None) => return Err(Error::VolumeWithoutSize { device: device.clone() }),
        (None, Some(size)) => size,
        (Some(id), size) => {
            let least = catalog.of_device(id, from).await?.volume_size;
            match size {
                Some(size) if size < least => {
                    return Err(Error::VolumeTooSmall { size, snapshot: id, least });
                }
                size => size.unwrap_or(least),
            }
        }
    };
    check_kind(ebs, volume_size).map_err(|why| Error::Volume { device: device.clone(), why })?;
    Ok(EbsBlockDevice {
        snapshot_id: ebs.snapshot_id,
        volume_size,
        volume_type: ebs.volume_type,
        iops: ebs.iops,
        throughput: ebs.throughput,
        delete_on_termination: ebs.delete_on_termination,
        encrypted: false,
    })
}

/// Checks a volume against what its kind allows.
fn check_kind(ebs: &NewEbs, size: u32) -> Result<(), String> {
    let kind = ebs.volume_type;
    let (sizes, iops, throughput) = match kind {
        VolumeType::Gp2 => (1..=16_384, None, None),
        VolumeType::Gp3 => (1..=65_536, Some(3_000..=80_000), Some(125..=2_000)),
        VolumeType::Io1 => (4..=16_384, Some(100..=64_000), None),
        VolumeType::Io2 => (4..=65_536, Some(100..=256_000), None),
        VolumeType::St1 | VolumeType::Sc1 => (125..=16_384, None, None),
        VolumeType::Standard => (1..=1_024, None, None),
    };
    let within = |what: &str, asked: Option<u32>, allowed: Option<RangeInclusive<u32>>| match (asked, allowed)
    {
        (None, _) => Ok(()),
        (Some(_), None) => Err(format!("{kind} volumes take no {what}")),
        (Some(asked), Some(allowed)) if allowed.contains(&asked) => Ok(()),
        (Some(asked), Some(allowed)) => {
            Err(format!("{what} of {asked}, where {kind} takes {} to {}", allowed.start(), allowed.end()))
        }
    };
    within("size", Some(size), Some(sizes))?;
    if ebs.iops.is_none() && matches!(kind, VolumeType::Io1 | VolumeType::Io2) {
        return Err(format!("{kind} volumes must say their iops"));
    }
    within("iops", ebs.iops, iops)?;
    within("throughput", ebs.throughput, throughput)
}

fn ephemeral(device: &DeviceName, name: String) -> Result<String, Error> {
    let known = (0..EPHEMERALS).any(|number| name == format!("ephemeral{number}"));
    if known { Ok(name) } else { Err(Error::VirtualName { name, device: device.clone() }) }
}
