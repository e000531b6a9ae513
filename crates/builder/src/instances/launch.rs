//! An instance is made, started, stopped and terminated.

use super::{
    Described, Instance, InstanceError, InstanceFiles, Keeper, Port, SSH, StateName, Volume,
    control::{Order, give},
    describe::Status,
};
use crate::{
    Error, Events, Kiln, Phase,
    home::write_whole,
    lock::Lock,
    machine_state::{MachineState, SavedState},
};
use kiln_catalog::{Image, ImageEdit, NewMapping, Tag};
use kiln_machine::{communicator::ssh::KeyPair, seed::InstanceSeed};
use kiln_store::S3Settings;
use kiln_types::{ByteSize, InstanceId, RootDeviceType, Timestamp};
use std::path::PathBuf;

/// What is to be launched.
#[derive(Debug, Clone)]
pub struct LaunchRequest {
    /// The image's id or name.
    pub image: String,
    /// The instance's name.
    pub name: Option<String>,
    /// Virtual processors.
    pub cpus: u8,
    /// Memory.
    pub memory: ByteSize,
    /// Devices that differ from the image's.
    pub devices: Vec<NewMapping>,
    /// What cloud-init hands to the guest.
    pub user_data: Option<Vec<u8>>,
    /// Ports of the guest that are to be reached.
    pub ports: Vec<Port>,
    /// Whether the guest is told about itself at 169.254.169.254.
    pub metadata: bool,
    /// Whether it is terminated when its guest turns itself off.
    pub terminates_when_off: bool,
    /// The private key that opens the bundle of the image's root; without it, the region's own disk stands for that.
    pub bundle_key: Option<PathBuf>,
    /// How bundles in S3 are reached.
    pub s3: S3Settings,
}

impl Kiln {
    /// Makes an instance of an image and starts it; it runs on when this process ends.
    ///
    /// # Errors
    /// When the image cannot be launched by this account, or the machine does not start; nothing is left then.
    pub async fn launch(
        &self,
        request: LaunchRequest,
        keeper: &Keeper,
        events: &Events,
    ) -> Result<Described, Error> {
        let image = self.catalog.launchable(&request.image).await?;
        let unbundled = self.unbundled(&image, &request, events).await?;
        let mut devices = self.catalog.launch_devices(&image, request.devices.clone()).await?;
        if unbundled.is_some() {
            devices.retain(|mapping| mapping.device_name != image.root_device_name);
        }
        let mut volumes = self.volumes_of(&devices, &image.root_device_name).await?;
        if let Some(disk) = &unbundled {
            volumes.insert(0, Volume::of_bundle(image.root_device_name.clone(), disk)?);
        }
        let id = InstanceId::random();
        let name = request.name.clone().map(|value| Tag { key: "Name".to_owned(), value });
        let mut ports = request.ports.clone();
        if !ports.iter().any(|port| port.guest == SSH) {
            ports.push(Port { host: None, guest: SSH });
        }
        let instance = Instance {
            instance_id: id,
            image_id: image.image_id,
            region_name: self.region.name().clone(),
            owner_id: self.catalog.viewer().account,
            launch_time: Timestamp::now(),
            architecture: image.architecture,
            cpus: request.cpus,
            memory: request.memory.bytes(),
            boot_mode: image.boot_mode,
            tpm: image.tpm_support.is_some(),
            root_device_name: image.root_device_name.clone(),
            volumes,
            ports,
            generations: 0,
            metadata: request.metadata,
            terminates_when_off: request.terminates_when_off,
            tags: name.into_iter().collect(),
            termination_time: None,
            state_reason: None,
        };
        let files = self.instance_files(id);
        let made = self.make_and_start(&files, &instance, &image, &request, unbundled, keeper, events).await;
        if let Err(error) = made {
            // What its keeper said goes with it: the error holds the end of it.
            if files.folder().exists() {
                fs_err::remove_dir_all(files.folder())?;
            }
            return Err(error);
        }
        self.note_launch(&image, events).await;
        self.described(id)?.ok_or_else(|| InstanceError::NotFound { text: id.to_string() }.into())
    }

    /// Returns the disk of an image's bundle, where the image's root is made from one that is opened here.
    async fn unbundled(
        &self,
        image: &Image,
        request: &LaunchRequest,
        events: &Events,
    ) -> Result<Option<PathBuf>, Error> {
        match (image.root_device_type, &request.bundle_key, image.kiln.bundled_from) {
            (RootDeviceType::Ebs, ..) | (RootDeviceType::InstanceStore, None, Some(_)) => Ok(None),
            (RootDeviceType::InstanceStore, Some(key), _) => {
                self.bundle_disk(image, key, &request.s3, events).await.map(Some)
            }
            (RootDeviceType::InstanceStore, None, None) => {
                Err(InstanceError::BundledRoot { image: image.image_id }.into())
            }
        }
    }

    #[expect(clippy::too_many_arguments, reason = "all that a launch has found out")]
    async fn make_and_start(
        &self,
        files: &InstanceFiles,
        instance: &Instance,
        image: &Image,
        request: &LaunchRequest,
        root: Option<PathBuf>,
        keeper: &Keeper,
        events: &Events,
    ) -> Result<(), Error> {
        files.create()?;
        let lock = self.held(files).await?;
        let phase = events.begin(Phase::Volumes);
        let machine = instance.machine();
        let qemu = kiln_machine::Qemu::find(&self.programs, machine.architecture)?;
        self.make_volumes(files, instance, root.as_deref(), &qemu, events).await?;
        make_state(files, instance, image)?;
        make_seed(files, instance, request)?;
        Status::of(StateName::Pending).write(files)?;
        files.write_record(instance)?;
        phase.done(format!("{} of {}", volumes(instance), image.image_id));
        self.start_keeper(files, lock, keeper, events).await
    }

    /// The image's record says when it was last launched, where it is this account's.
    async fn note_launch(&self, image: &Image, events: &Events) {
        if image.owner_id != self.catalog.viewer().account {
            return;
        }
        let edit = ImageEdit { launched: Some(Timestamp::now()), ..ImageEdit::default() };
        if let Err(error) = self.catalog.edit(image.image_id, &edit).await {
            events.warning(format!("the image's last launch is not noted: {error}"));
        }
    }

    /// Starts an instance that is stopped.
    ///
    /// # Errors
    /// When it is not stopped, or does not start.
    pub async fn start_instance(
        &self,
        id_or_name: &str,
        keeper: &Keeper,
        events: &Events,
    ) -> Result<Described, Error> {
        let described = self.in_state(id_or_name, "started", &[StateName::Stopped])?;
        let id = described.instance.instance_id;
        let files = self.instance_files(id);
        let lock = self.held(&files).await?;
        Status::of(StateName::Pending).write(&files)?;
        self.start_keeper(&files, lock, keeper, events).await?;
        self.instance(&id.to_string())
    }

    /// Has an instance's guest turn itself off; `force` cuts its power.
    ///
    /// # Errors
    /// When it does not run, or its machine had to be killed.
    pub async fn stop_instance(
        &self,
        id_or_name: &str,
        force: bool,
        events: &Events,
    ) -> Result<Described, Error> {
        let may = [StateName::Running, StateName::Stopping];
        let described = self.in_state(id_or_name, "stopped", &may)?;
        let id = described.instance.instance_id;
        let files = self.instance_files(id);
        let phase = events.begin(Phase::Shutdown);
        give(&files, if force { Order::Kill } else { Order::Stop }).await?;
        // The keeper leaves a moment later.
        drop(self.held(&files).await?);
        phase.done("");
        self.instance(&id.to_string())
    }

    /// Ends an instance for good. Volumes that are to outlive it become snapshots.
    ///
    /// # Errors
    /// When something works on it, or a snapshot cannot be made; it is stopped then.
    pub async fn terminate_instance(&self, id_or_name: &str, events: &Events) -> Result<Described, Error> {
        let may = [StateName::Running, StateName::Stopping, StateName::Stopped, StateName::Terminated];
        let described = self.in_state(id_or_name, "terminated", &may)?;
        let id = described.instance.instance_id;
        let files = self.instance_files(id);
        if matches!(described.state.name, StateName::Running | StateName::Stopping) {
            let outlives = described.instance.volumes.iter().any(|volume| !volume.delete_on_termination);
            self.stop_instance(&id.to_string(), !outlives, events).await?;
        }
        let _held = self.held(&files).await?;
        if let Some(mut instance) = files.record()?
            && instance.termination_time.is_none()
        {
            self.finish_termination(&files, &mut instance, events).await?;
        }
        drop(_held);
        self.instance(&id.to_string())
    }

    /// What is left to do when the machine is off; the caller holds the lock.
    pub(crate) async fn finish_termination(
        &self,
        files: &InstanceFiles,
        instance: &mut Instance,
        events: &Events,
    ) -> Result<(), Error> {
        Status::of(StateName::ShuttingDown).write(files)?;
        let id = instance.instance_id;
        let keeps =
            instance.volumes.iter().filter(|volume| !volume.delete_on_termination && !volume.ephemeral);
        for volume in keeps {
            let description = format!("{} of {id}, which was terminated", volume.device_name);
            let snapshot = self.snapshot_volume(files, volume, volume.overlays, description, events).await?;
            events.note(format!("{} goes on as {snapshot}", volume.device_name));
        }
        instance.termination_time = Some(Timestamp::now());
        files.write_record(instance)?;
        files.clear()
    }

    /// Finds an instance that is in one of these states.
    pub(crate) fn in_state(
        &self,
        id_or_name: &str,
        what: &'static str,
        states: &[StateName],
    ) -> Result<Described, Error> {
        let described = self.instance(id_or_name)?;
        let (id, state) = (described.instance.instance_id, described.state.name);
        if !states.contains(&state) {
            return Err(InstanceError::IncorrectState { id, what, state: state.as_str() }.into());
        }
        let region = &described.instance.region_name;
        if region != self.region.name() {
            return Err(InstanceError::OtherRegion { id, region: region.clone() }.into());
        }
        Ok(described)
    }

    /// Takes an instance's lock, which commands that only look hold for a moment, too.
    pub(crate) async fn held(&self, files: &InstanceFiles) -> Result<Lock, Error> {
        for _attempt in 0..LOOKS {
            if let Some(lock) = files.lock()? {
                return Ok(lock);
            }
            tokio::time::sleep(LOOK).await;
        }
        Err(InstanceError::Busy { id: files.id() }.into())
    }
}

/// How often, and after which time, a lock is asked for again.
const LOOKS: u32 = 200;
const LOOK: std::time::Duration = std::time::Duration::from_millis(25);

/// Lays what the image's machine kept where the instance's machine goes on with it.
fn make_state(files: &InstanceFiles, instance: &Instance, image: &Image) -> Result<(), Error> {
    let kept = tempfile::tempdir_in(files.folder())?;
    let (uefi_data, tpm_data) = (image.kiln.uefi_data.clone(), image.kiln.tpm_data.clone());
    SavedState { uefi_data, tpm_data }.unpack(kept.path())?;
    MachineState::new(&instance.machine(), kept.path(), files.folder())?;
    Ok(())
}

fn make_seed(files: &InstanceFiles, instance: &Instance, request: &LaunchRequest) -> Result<(), Error> {
    let (user_key, host_key) = (KeyPair::generate()?, KeyPair::generate()?);
    let id = instance.instance_id.to_string();
    let authorized_key = user_key.public_line(&id);
    files.write_secret("key", &user_key.private_openssh()?)?;
    files.write_secret("key.pub", &authorized_key)?;
    if let Some(user_data) = &request.user_data {
        write_whole(&files.path("user-data"), user_data)?;
    }
    files.write_secret("known_hosts", &format!("{id} {}\n", host_key.public_line("")))?;
    let seed = InstanceSeed {
        hostname: hostname(instance.name().unwrap_or(&id)),
        instance_id: id.clone(),
        authorized_key,
        host_key,
        user_data: request.user_data.clone(),
    };
    seed.write(&files.path("seed.iso"))?;
    Ok(())
}

/// Makes a name that hosts may have of one that people gave.
pub(super) fn hostname(name: &str) -> String {
    let fits = |character: char| if character.is_ascii_alphanumeric() { character } else { '-' };
    let name: String = name.chars().map(fits).take(63).collect();
    let name = name.trim_matches('-');
    if name.is_empty() { "kiln".to_owned() } else { name.to_owned() }
}

fn volumes(instance: &Instance) -> String {
    match instance.volumes.len() {
        1 => "1 volume".to_owned(),
        count => format!("{count} volumes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_have_letters_digits_and_hyphens() {
        assert_eq!(hostname("my web_1"), "my-web-1");
        assert_eq!(hostname("-ü-"), "kiln");
        assert_eq!(hostname(&"x".repeat(70)).len(), 63);
    }
}
