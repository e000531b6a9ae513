//! An image of an instance: what its guest wrote since it was launched becomes snapshots.

use super::{
    Described, Instance, InstanceFiles, Keeper, StateName, Volume,
    control::{Order, give},
    describe::Status,
};
use crate::{Error, Events, Kiln, Phase, base::stored, machine_state::MachineState, snapshots::Over};
use kiln_catalog::{Image, ImageKiln, NewBlockDevice, NewEbs, NewImage, NewMapping, Tag, TpmSupport};
use kiln_qcow2::Chain;
use kiln_store::NewSnapshot;
use kiln_types::{ImageName, SnapshotId};

/// The image that is to be made.
#[derive(Debug, Clone)]
pub struct CreateImageRequest {
    /// The instance's id or name.
    pub instance: String,
    /// The image's name.
    pub name: ImageName,
    /// What it is, for people.
    pub description: Option<String>,
    /// Whether the guest runs on: its files may then be in the middle of something.
    pub no_reboot: bool,
    /// Tags.
    pub tags: Vec<Tag>,
}

impl Kiln {
    /// Makes an image of an instance. A guest that runs is stopped first and started again afterwards, unless it is to run on.
    ///
    /// # Errors
    /// When the name is taken, the instance cannot be stopped or started, or a snapshot cannot be made.
    pub async fn create_image(
        &self,
        request: CreateImageRequest,
        keeper: &Keeper,
        events: &Events,
    ) -> Result<Image, Error> {
        self.check_name(&request.name, false).await?;
        let may = [StateName::Running, StateName::Stopped];
        let described = self.in_state(&request.instance, "made an image of", &may)?;
        let id = described.instance.instance_id.to_string();
        let runs = described.state.name == StateName::Running;
        if runs && !request.no_reboot {
            self.stop_instance(&id, false, events).await?;
        }
        let image = if runs && request.no_reboot {
            self.image_of_running(&described, &request, events).await
        } else {
            self.image_of_stopped(&described, &request, events).await
        };
        if runs && !request.no_reboot {
            self.start_instance(&id, keeper, events).await?;
        }
        image
    }

    async fn image_of_stopped(
        &self,
        described: &Described,
        request: &CreateImageRequest,
        events: &Events,
    ) -> Result<Image, Error> {
        let files = self.instance_files(described.instance.instance_id);
        let _held = self.held(&files).await?;
        Status::of(StateName::Stopped).write(&files)?;
        let below = |volume: &Volume| volume.overlays;
        self.register_instance(&files, &described.instance, request, below, events).await
    }

    async fn image_of_running(
        &self,
        described: &Described,
        request: &CreateImageRequest,
        events: &Events,
    ) -> Result<Image, Error> {
        let files = self.instance_files(described.instance.instance_id);
        let before = described.instance.volumes.clone();
        give(&files, Order::Overlays).await?;
        // What lay on the disks before does not change any more.
        let below = |volume: &Volume| {
            let same = before.iter().find(|other| other.volume_id == volume.volume_id);
            same.map_or(0, |other| other.overlays)
        };
        self.register_instance(&files, &described.instance, request, below, events).await
    }

    /// Stores the volumes, each with so many of its overlays, and registers the image.
    async fn register_instance(
        &self,
        files: &InstanceFiles,
        instance: &Instance,
        request: &CreateImageRequest,
        overlays: impl Fn(&Volume) -> u32,
        events: &Events,
    ) -> Result<Image, Error> {
        let mut mappings = Vec::new();
        for volume in instance.volumes.iter().filter(|volume| !volume.ephemeral) {
            let description =
                format!("Created by CreateImage({}) for {}", instance.instance_id, request.name);
            let snapshot = self.snapshot_volume(files, volume, overlays(volume), description, events).await?;
            let delete_on_termination = volume.delete_on_termination;
            let ebs = NewEbs { snapshot_id: Some(snapshot), delete_on_termination, ..NewEbs::default() };
            let device_name = volume.device_name.clone();
            mappings.push(NewMapping { device_name, device: NewBlockDevice::Ebs(ebs) });
        }
        let saved = MachineState::again(&instance.machine(), files.folder())?.saved()?;
        let source = self.catalog.get(instance.image_id).await.ok();
        let mut lineage = source.map(|image| image.kiln.lineage).unwrap_or_default();
        lineage.push(instance.image_id);
        let new = NewImage {
            name: request.name.clone(),
            description: request.description.clone(),
            owner: self.catalog.viewer().account,
            architecture: instance.architecture,
            root_device_name: instance.root_device_name.clone(),
            mappings,
            boot_mode: instance.boot_mode,
            tpm_support: instance.tpm.then_some(TpmSupport::V2_0),
            tags: request.tags.clone(),
            kiln: ImageKiln {
                lineage,
                uefi_data: saved.uefi_data,
                tpm_data: saved.tpm_data,
                ..ImageKiln::default()
            },
        };
        let phase = events.begin(Phase::Register);
        let image = self.catalog.register_from_instance(new, instance.instance_id).await?;
        phase.done(format!("{} {}", image.image_id, image.name));
        Ok(image)
    }

    /// Stores what a volume's lowest overlays hold over its snapshot. Nothing may write to them.
    pub(crate) async fn snapshot_volume(
        &self,
        files: &InstanceFiles,
        volume: &Volume,
        overlays: u32,
        description: String,
        events: &Events,
    ) -> Result<SnapshotId, Error> {
        let phase = events.begin(Phase::Snapshot);
        let overlays: Vec<_> = (0..overlays).map(|number| volume.overlay(files, number)).collect();
        let chain = Box::new(Chain::open(&volume.base(files), &overlays)?);
        // The volume's own snapshot may have been deleted meanwhile.
        let parent = match volume.snapshot_id {
            Some(id) => self.region.snapshot(id).await.ok().map(|found| found.snapshot_id),
            None => None,
        };
        let whole = parent.is_none();
        let new = NewSnapshot {
            source: if whole { Box::new(Over::nothing(chain)) } else { chain },
            parent,
            owner: self.catalog.viewer().account,
            description,
            tags: Vec::new(),
        };
        let snapshot = self.store(new, events).await?;
        phase.done(stored(&snapshot));
        Ok(snapshot.snapshot_id)
    }
}
