//! The volumes of an instance: a snapshot's disk that is only read, and overlays that take what the guest writes.

use super::{Instance, InstanceFiles, Volume};
use crate::{
    Error, Events, Kiln,
    base::{BaseRecord, FIRST_DISK, put_in_place},
    bundle_of, cache,
    home::write_whole,
    key::KeyMaker,
    unbundle::UNSIGNED,
    watched,
};
use kiln_bundle::{PrivateKey, SignedManifest, Watch};
use kiln_catalog::{BlockDevice, BlockDeviceMapping, Image};
use kiln_machine::{
    Qemu,
    config::{Disk, Interface},
};
use kiln_store::S3Settings;
use kiln_types::{DeviceName, Digest, RegionName, SnapshotId, VolumeId};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// An instance store volume's size; it is sparse.
const EPHEMERAL_GIB: u64 = 8;
const GIB: u64 = 1 << 30;

impl Volume {
    /// The root of an image whose bundle was opened to `disk`.
    pub(crate) fn of_bundle(device_name: DeviceName, disk: &Path) -> Result<Self, Error> {
        Ok(Self {
            volume_id: VolumeId::random(),
            device_name,
            snapshot_id: None,
            size: fs_err::metadata(disk)?.len(),
            overlays: 1,
            delete_on_termination: true,
            ephemeral: false,
        })
    }

    /// Returns the raw disk below the overlays.
    pub(crate) fn base(&self, files: &InstanceFiles) -> PathBuf {
        files.path(&format!("{}.raw", self.volume_id))
    }

    pub(crate) fn overlay(&self, files: &InstanceFiles, number: u32) -> PathBuf {
        match number {
            0 => files.path(&format!("{}.qcow2", self.volume_id)),
            number => files.path(&format!("{}-{number}.qcow2", self.volume_id)),
        }
    }

    /// Lists the overlays, the lowest first.
    pub(crate) fn overlays(&self, files: &InstanceFiles) -> Vec<PathBuf> {
        (0..self.overlays).map(|number| self.overlay(files, number)).collect()
    }

    /// Returns the disk as the machine sees it.
    pub(crate) fn disk(&self, files: &InstanceFiles, interface: Interface) -> Disk {
        let serial = self.volume_id.to_string().replace('-', "");
        Disk { serial, base: Some(self.base(files)), overlays: self.overlays(files), interface }
    }
}

impl Kiln {
    /// Lists the volumes that an instance of these devices has, the root first; none is made yet.
    pub(crate) async fn volumes_of(
        &self,
        devices: &[BlockDeviceMapping],
        root: &DeviceName,
    ) -> Result<Vec<Volume>, Error> {
        let mut volumes = Vec::with_capacity(devices.len());
        for mapping in devices {
            let (snapshot_id, size, delete_on_termination) = match &mapping.device {
                BlockDevice::Ebs(ebs) => {
                    let asked = u64::from(ebs.volume_size) * GIB;
                    (
                        ebs.snapshot_id,
                        self.exact_size(ebs.snapshot_id, asked).await?,
                        ebs.delete_on_termination,
                    )
                }
                BlockDevice::VirtualName(_) => (None, EPHEMERAL_GIB * GIB, true),
                BlockDevice::NoDevice(_) => continue,
            };
            volumes.push(Volume {
                volume_id: VolumeId::random(),
                device_name: mapping.device_name.clone(),
                snapshot_id,
                size,
                overlays: 1,
                delete_on_termination,
                ephemeral: matches!(mapping.device, BlockDevice::VirtualName(_)),
            });
        }
        volumes.sort_by_key(|volume| (volume.device_name != *root, volume.device_name.clone()));
        Ok(volumes)
    }

    /// A volume of its snapshot's size has the snapshot's bytes, which need not be whole GiB: a backup GPT stays at its end.
    async fn exact_size(&self, snapshot: Option<SnapshotId>, asked: u64) -> Result<u64, Error> {
        let Some(id) = snapshot else { return Ok(asked) };
        let snapshot = self.region.snapshot(id).await?;
        let own = u64::from(snapshot.volume_size) * GIB;
        Ok(if asked > own { asked } else { snapshot.kiln.size })
    }

    /// Makes the disks of an instance: no snapshot is copied that is in the cache.
    pub(crate) async fn make_volumes(
        &self,
        files: &InstanceFiles,
        instance: &Instance,
        root: Option<&Path>,
        qemu: &Qemu,
        events: &Events,
    ) -> Result<(), Error> {
        for volume in &instance.volumes {
            let base = volume.base(files);
            let unbundled = root.filter(|_| volume.device_name == instance.root_device_name);
            match volume.snapshot_id {
                _ if let Some(disk) = unbundled => fs_err::hard_link(disk, &base)?,
                Some(snapshot) => fs_err::hard_link(self.volume_disk(snapshot, events).await?, &base)?,
                None => fs_err::File::create(&base)?.set_len(volume.size)?,
            }
            qemu.create_overlay(&volume.overlay(files, 0), volume.size)?;
        }
        Ok(())
    }

    /// Returns the raw disk of a snapshot in the cache, where builds keep their bases.
    async fn volume_disk(&self, snapshot: SnapshotId, events: &Events) -> Result<PathBuf, Error> {
        let mut key = KeyMaker::new("volume of a snapshot");
        key.part("snapshot", snapshot.to_string().as_bytes());
        let snapshots = BTreeMap::from([(self.region.name().clone(), snapshot)]);
        let make = async |staged: &Path| self.write_volume(snapshot, staged, events).await;
        self.cached_disk(key.finish(), format!("volume of {snapshot}"), snapshots, make, events).await
    }

    /// Returns the disk of an image's bundle, checked and opened with a key.
    pub(crate) async fn bundle_disk(
        &self,
        image: &Image,
        key: &Path,
        s3: &S3Settings,
        events: &Events,
    ) -> Result<PathBuf, Error> {
        let (place, name) = bundle_of(image, s3)?;
        let private = PrivateKey::read(key)?;
        let (there, called) = (place.clone(), name.clone());
        let signed = watched(events, move |_| Ok(SignedManifest::read(&there, &called)?)).await?;
        let mut maker = KeyMaker::new("disk of a bundle");
        // The parts, not what the manifest says of the disk in them: anyone can write that.
        for part in &signed.manifest.parts {
            maker.part("part", part.digest.as_bytes());
        }
        let make = async |staged: &Path| {
            let staged = staged.to_owned();
            let work =
                move |watch: &Watch| Ok(kiln_bundle::extract(&place, &name, &private, None, &staged, watch)?);
            if !watched(events, work).await?.signature_checked {
                events.warning(UNSIGNED);
            }
            Ok(())
        };
        let source = format!("bundle {}", image.image_location);
        self.cached_disk(maker.finish(), source, BTreeMap::new(), make, events).await
    }

    /// Returns a disk of the cache, which `make` writes where it is not there.
    async fn cached_disk(
        &self,
        key: Digest,
        source: String,
        snapshots: BTreeMap<RegionName, SnapshotId>,
        make: impl AsyncFnOnce(&Path) -> Result<(), Error>,
        events: &Events,
    ) -> Result<PathBuf, Error> {
        let folder = self.home.bases().join(key.to_string());
        let _making = self.lock(&format!("base-{key}"), events).await?;
        let kept = BaseRecord::read(&folder).and_then(|record| record.disk_in(&folder));
        if let Some(disk) = kept {
            cache::touch(&folder);
            return Ok(disk);
        }
        fs_err::create_dir_all(&folder)?;
        let work = self.home.new_build()?;
        let (staged, disk) = (work.path().join("base.raw"), folder.join(FIRST_DISK));
        make(&staged).await?;
        let size = fs_err::metadata(&staged)?.len();
        put_in_place(&staged, &disk)?;
        let disk_file = FIRST_DISK.to_owned();
        let record = BaseRecord { source, disk: disk_file, size, grown: false, content: key, snapshots };
        write_whole(&folder.join("base.json"), &serde_json::to_vec(&record).map_err(Error::Canonical)?)?;
        cache::touch(&folder);
        Ok(disk)
    }
}
