//! The tests of a template, on a throw-away copy of a finished image.
//!
//! ```text
//! snapshots ─▶ raw disks ─▶ overlays ─▶ agent         the root is mounted, nothing of it runs
//!                                    └▶ booted, SSH   where a test or the communicator asks for it
//!           ─▶ the tests, one after the other ─▶ the machine is killed, and all of it goes away
//! ```
//! What is tested is what the region holds, not what the build's machine had.

use crate::{
    Error, ErrorKind, Events, GuestConfig, Kiln, Loaded, OnError, Phase, Reuse, TemplateRequest,
    base::{Base, BaseRecord},
    build::BuildRequest,
    checks::{Checker, Verdict},
    guest::Guest,
    home::BuildFolder,
    key::KeyMaker,
    machine_state::{MachineState, SavedState},
    mask::Mask,
    source::check_fits,
    step::Surroundings,
    steps::{Machines, surroundings},
    test_results::{TestOutcome, TestResult, Tested},
    volumes::{self, Volume},
};
use kiln_catalog::Image;
use kiln_disk::find_root;
use kiln_template::{Check, Communicator, Ssh, SshSetup, Template, Test};
use kiln_types::{Architecture, Timestamp};
use std::{collections::BTreeMap, path::Path, time::Instant};

/// An image that is to be tested.
#[derive(Debug, Clone)]
pub struct TestRequest {
    /// The image's id or name.
    pub image: String,
    /// The template whose tests they are, and whose machine they run in.
    pub template: TemplateRequest,
    /// What the host gives to guests.
    pub guest: GuestConfig,
}

impl Kiln {
    /// Runs a template's tests on an image, which stays as it is.
    ///
    /// # Errors
    /// [`Error::TestsFailed`] with every result, or when the image is not there, cannot be launched in the template's
    /// machine, or no machine can be started here.
    pub async fn test_image(&self, request: &TestRequest, events: &Events) -> Result<Tested, Error> {
        let loaded = request.template.load(Timestamp::now())?;
        let image = self.catalog.find(&request.image).await?;
        check_fits(&image, &loaded.template.machine)?;
        let build = BuildRequest {
            template: request.template.clone(),
            new: false,
            replace: false,
            reuse: Reuse::default(),
            cold: false,
            on_error: OnError::Cleanup,
            guest: request.guest.clone(),
            terminal: None,
        };
        self.run_tests(&image, &loaded, &build, events).await?.passed()
    }

    /// Runs a template's tests on an image, and returns what came of each.
    pub(crate) async fn run_tests(
        &self,
        image: &Image,
        loaded: &Loaded,
        request: &BuildRequest,
        events: &Events,
    ) -> Result<Tested, Error> {
        let template = &loaded.template;
        let mut tested = Tested {
            image_id: image.image_id,
            name: image.name.clone(),
            template: template.label(),
            tests: Vec::new(),
        };
        if template.tests.iter().all(|test| test.skipped.is_some()) {
            tested.tests = template.tests.iter().map(skipped).collect();
            return Ok(tested);
        }
        self.check_host(template)?;
        let folder = self.home.new_build()?;
        let phase = events.begin(Phase::ImageCopy { image: image.image_id.to_string() });
        let base = self.copy_of(image, &folder, events).await?;
        let volumes = self.copies_of_volumes(image, template, &base, &folder, events).await?;
        phase.done("");
        let machines = Machines {
            base: &base,
            loaded,
            request,
            folder: &folder,
            hardware: self.hardware(&template.machine, events)?,
            volumes,
            cache_mounts: Vec::new(),
            state: MachineState::new(&template.machine, base.folder(), folder.path())?,
            mask: Mask::new(template.secrets().chain(request.guest.secrets())),
            surroundings: surroundings(template, &self.programs, folder.path()),
        };
        machines.volumes.iter().try_for_each(|volume| volume.clear(&machines.hardware.qemu))?;
        tested.tests = self.tests_in(&machines, events).await?;
        Ok(tested)
    }

    /// Writes an image's root as a disk, with what its machine kept beside it.
    async fn copy_of(&self, image: &Image, folder: &BuildFolder, events: &Events) -> Result<Base, Error> {
        let snapshot = crate::kiln::root_of(image).ok_or(Error::NoRootSnapshot { image: image.image_id })?;
        let below = folder.path().join("image");
        fs_err::create_dir(&below)?;
        let disk = below.join("disk.raw");
        self.write_volume(snapshot, &disk, events).await?;
        let (uefi_data, tpm_data) = (image.kiln.uefi_data.clone(), image.kiln.tpm_data.clone());
        SavedState { uefi_data, tpm_data }.unpack(&below)?;
        let record = BaseRecord {
            source: image.image_id.to_string(),
            disk: "disk.raw".to_owned(),
            size: fs_err::metadata(&disk)?.len(),
            grown: false,
            content: KeyMaker::new("tested image").finish(),
            snapshots: BTreeMap::new(),
        };
        Ok(Base { disk, record, snapshot, image: None })
    }

    /// Writes an image's other volumes as disks: the template's in its order, then those that it does not speak of.
    async fn copies_of_volumes(
        &self,
        image: &Image,
        template: &Template,
        base: &Base,
        folder: &BuildFolder,
        events: &Events,
    ) -> Result<Vec<Volume>, Error> {
        let mut volumes = volumes::of_build(template, base, folder.path())?;
        for mapping in &image.block_device_mappings {
            let Some(snapshot) = mapping.device.snapshot() else { continue };
            if mapping.device_name == image.root_device_name {
                continue;
            }
            let path = folder.path().join("image").join(format!("{snapshot}.raw"));
            self.write_volume(snapshot, &path, events).await?;
            let size = fs_err::metadata(&path)?.len();
            let known = volumes.iter_mut().skip(1).find(|volume| volume.device_name == mapping.device_name);
            if let Some(volume) = known {
                (volume.base, volume.size) = (path, size);
                continue;
            }
            volumes.push(Volume {
                serial: snapshot.to_string(),
                device_name: mapping.device_name.clone(),
                base: path,
                layers: Vec::new(),
                overlay: folder.path().join(format!("{snapshot}.qcow2")),
                size,
                parent: Some(snapshot),
            });
        }
        Ok(volumes)
    }

    async fn tests_in(&self, machines: &Machines<'_>, events: &Events) -> Result<Vec<TestResult>, Error> {
        let template = machines.template();
        let phase = events.begin(Phase::Machine);
        let started = Instant::now();
        let (mut guest, surroundings) = match self.guest_for_tests(machines, events).await {
            Ok((guest, surroundings)) => {
                phase.done("");
                (Ok(guest), surroundings)
            }
            Err(error) if is_booted(template) && is_the_images(&error) => {
                drop(phase);
                (Err(format!("the image did not boot: {}", error.chain())), Surroundings::default())
            }
            Err(error) => return Err(error),
        };
        let took = started.elapsed().as_secs_f64();
        let checker = Checker { surroundings: &surroundings, mask: &machines.mask, events };
        let mut results = Vec::new();
        for (index, test) in template.tests.iter().enumerate() {
            let (number, count) = (index + 1, template.tests.len());
            let phase = events.begin(Phase::Test { number, count, name: test.name.clone() });
            if let Some(why) = &test.skipped {
                phase.skipped(why);
                results.push(skipped(test));
                continue;
            }
            let begun = Instant::now();
            let verdict = checked(&checker, &mut guest, test, &machines.base.disk).await;
            let boot = if test.check == Check::Boots { took } else { 0.0 };
            let seconds = boot + begun.elapsed().as_secs_f64();
            let name = test.name.clone();
            results.push(match verdict {
                Verdict::Passed => {
                    phase.done("");
                    TestResult { name, outcome: TestOutcome::Passed, message: String::new(), seconds }
                }
                Verdict::Failed(message) => {
                    let mut lines = message.lines();
                    let first = lines.next().unwrap_or_default();
                    lines.for_each(|line| events.output(line));
                    phase.failed(first);
                    TestResult { name, outcome: TestOutcome::Failed, message, seconds }
                }
            });
        }
        Ok(results)
    }

    /// Starts the machine that the tests run in, and says what they find there.
    async fn guest_for_tests(
        &self,
        machines: &Machines<'_>,
        events: &Events,
    ) -> Result<(Guest, Surroundings), Error> {
        let template = machines.template();
        if !is_booted(template) {
            let (guest, _) = self.open_root(machines, "tests", true, None, events).await?;
            return Ok((guest, machines.surroundings.clone()));
        }
        let ssh = match &template.communicator {
            Communicator::Ssh(ssh) => ssh.clone(),
            // An image that was made for no cloud-init would be waited for in vain.
            Communicator::Agent if template.machine.architecture != Architecture::Arm64 => {
                Ssh { setup: SshSetup::Files, ..Ssh::default() }
            }
            Communicator::Agent => Ssh::default(),
        };
        let by_loader =
            template.tests.iter().any(|test| test.skipped.is_none() && test.check == Check::Boots);
        self.boot_for_tests(machines, &ssh, by_loader, events).await
    }
}

/// Says whether it is the image's fault that it could not be reached.
fn is_the_images(error: &Error) -> bool {
    error.kind() == ErrorKind::Failed
        && !matches!(error, Error::Io(_) | Error::NoNetworkForSsh | Error::ForeignFiles)
}

/// Says whether the tests run in an image that booted.
fn is_booted(template: &Template) -> bool {
    let asked = template.tests.iter().any(|test| test.skipped.is_none() && test.check.needs_boot());
    asked || matches!(template.communicator, Communicator::Ssh(_))
}

/// Checks one thing. A machine that is gone fails the test, and all that come after it.
async fn checked(
    checker: &Checker<'_>,
    guest: &mut Result<Guest, String>,
    test: &Test,
    disk: &Path,
) -> Verdict {
    if test.check == Check::UniqueMachineId {
        return machine_id(disk).unwrap_or_else(|error| Verdict::Failed(error.chain()));
    }
    let verdict = match guest {
        Ok(guest) => checker.run(guest, test).await,
        Err(why) => return Verdict::Failed(why.clone()),
    };
    verdict.unwrap_or_else(|error| {
        *guest = Err(format!("the machine was gone: {}", error.chain()));
        Verdict::Failed(error.chain())
    })
}

/// Looks for a machine id on a disk that no machine has run from.
fn machine_id(disk: &Path) -> Result<Verdict, Error> {
    let root = find_root(disk)?;
    Ok(match kiln_disk::has_machine_id(disk, &root)? {
        None => Verdict::Failed(format!("a file system of type {} is not read here", root.filesystem)),
        Some(true) => {
            Verdict::Failed("the image has a machine id: all its machines are the same one".to_owned())
        }
        Some(false) => Verdict::Passed,
    })
}

fn skipped(test: &Test) -> TestResult {
    let message = test.skipped.clone().unwrap_or_default();
    TestResult { name: test.name.clone(), outcome: TestOutcome::Skipped, message, seconds: 0.0 }
}
