//! `source.type = "iso"`: a blank disk that an installer fills, started from its medium, answered by a keyboard.
//!
//! ```text
//! medium, files to serve ─▶ machine with a blank disk ─▶ boot command typed ─▶ the guest turns itself off ─▶ raw base
//!                              └ empty disks are passed over: firmware starts the medium, and later the disk
//! ```
//! Variables of its UEFI firmware and its TPM's state stay beside the base: an installed boot loader is found through them.

use crate::{
    Error, Events, Kiln,
    base::put_in_place,
    cancel::Cancel,
    home::BuildFolder,
    machine_state::MachineState,
    source::{Workshop, obtain_iso},
    volumes::{ROOT, blank},
};
use kiln_machine::{
    Cause, Running,
    config::{Disk, Interface, MachineConfig, Medium, MediumKind},
    http_server::{HttpServer, Served},
    keyboard::{screenshot, type_boot_command},
    medium::{Contents, write_cd, write_floppy},
    start,
};
use kiln_template::{EndsWith, HostPath, Iso, Template};
use kiln_types::BootAction;
use std::{
    path::{Path, PathBuf},
    time::Duration,
};

impl Kiln {
    /// Installs onto a new base disk at `disk`, and keeps what belongs to its machine beside it.
    pub(crate) async fn install(
        &self,
        template: &Template,
        iso: &Iso,
        disk: &Path,
        folder: &BuildFolder,
        events: &Events,
        cancel: &Cancel,
    ) -> Result<(), Error> {
        let media = self.media(iso, folder, events, cancel).await?;
        let folder = folder.path();
        let hardware = self.hardware(&template.machine, events)?;
        let size = iso.disk_size.bytes();
        let (base, overlay) = (blank(&folder.join("blank.raw"), size)?, folder.join("installed.qcow2"));
        hardware.qemu.create_overlay(&overlay, size)?;
        // No base yet holds anything of a machine.
        let state = MachineState::new(&template.machine, folder, folder)?;
        let mut config = hardware.config(&template.machine, state.boot(), folder, "install");
        config.disks = vec![Disk {
            serial: ROOT.to_owned(),
            base: Some(base),
            overlays: vec![overlay.clone()],
            interface: Interface::VirtioBlk,
        }];
        config.media = media;
        config.screen = true;
        config.tpm = state.tpm();
        config.restarts = iso.install.ends_with == EndsWith::Poweroff;
        config.extra_args.clone_from(&template.machine.qemu_args);
        let running = start(&hardware.qemu, &self.supervisor, &config, &hardware.choice).await?;
        if let Some(why) = running.fallback() {
            events.warning(format!("KVM did not work ({why}); TCG runs the guest now"));
        }
        let picture = folder.join("screen.png");
        let installed = drive(&running, iso, &config, events).await;
        if installed.is_err() && screenshot(&running, &picture).await.is_ok() {
            let kept = self.home.root().join("kept/install-screen.png");
            if fs_err::copy(&picture, &kept).is_ok() {
                events.note(format!("what its screen showed: {}", kept.display()));
            }
        }
        installed?;
        drop(running);
        events.note("the installer is done; its disk becomes the base");
        let staged = folder.join("base.raw");
        let (from, to, tell) = (overlay, staged.clone(), events.clone());
        let convert = move || {
            let mut progress = |done, total| tell.progress(done, total);
            kiln_qcow2::import(&from, kiln_qcow2::Format::Qcow2, &to, &mut progress)
        };
        tokio::task::spawn_blocking(convert).await.map_err(Error::Task)??;
        state.keep(disk.parent().unwrap_or(folder))?;
        put_in_place(&staged, disk)
    }

    /// Brings the medium onto this host, and makes those that the template fills.
    async fn media(
        &self,
        iso: &Iso,
        folder: &BuildFolder,
        events: &Events,
        cancel: &Cancel,
    ) -> Result<Vec<Medium>, Error> {
        let (home, events, cancel) = (self.home.clone(), events.clone(), cancel.clone());
        let (iso, folder) = (iso.clone(), folder.path().to_owned());
        let work = move || {
            let workshop = Workshop { home: &home, folder: &folder, events: &events, cancel: &cancel };
            let path = obtain_iso(&iso, &workshop)?;
            let mut media = vec![Medium { path, kind: MediumKind::Cdrom, boots: true }];
            if !iso.cd_files.is_empty() {
                let path = folder.join("files.iso");
                write_cd(&path, &iso.cd_label, &gathered(&iso.cd_files)?)?;
                media.push(Medium { path, kind: MediumKind::Cdrom, boots: false });
            }
            if !iso.floppy_files.is_empty() {
                let path = folder.join("files.img");
                write_floppy(&path, &iso.floppy_label, &gathered(&iso.floppy_files)?)?;
                media.push(Medium { path, kind: MediumKind::Floppy, boots: false });
            }
            Ok(media)
        };
        tokio::task::spawn_blocking(work).await.map_err(Error::Task)?
    }
}

fn gathered(paths: &[HostPath]) -> Result<Contents, Error> {
    let paths: Vec<PathBuf> = paths.iter().map(|path| path.path.clone()).collect();
    Ok(Contents::gather(&paths)?)
}

/// Serves, types, and waits until the installer has ended the machine as the template says.
async fn drive(running: &Running, iso: &Iso, config: &MachineConfig, events: &Events) -> Result<(), Error> {
    let served = Served {
        directory: iso.http_directory.as_ref().map(|folder| folder.path.clone()),
        content: iso
            .http_content
            .iter()
            .map(|(path, text)| (path.clone(), text.expose().to_owned()))
            .collect(),
    };
    let tell = events.clone();
    let server =
        HttpServer::start(&served, move |fetched| tell.output(format!("the guest fetched: {fetched}")));
    let server = server.await?;
    tokio::time::sleep(iso.boot_wait.as_duration()).await;
    let command = iso.boot_command.substitute(|name| server.value(name));
    let patience = iso.install.timeout.as_duration();
    let install = async {
        type_boot_command(running, &command, &config.console, patience, |action| {
            if let BootAction::WaitFor(text) = action {
                events.output(format!("waiting for {text:?} on the console"));
            }
        })
        .await?;
        events.output("the boot command is typed; the installer runs");
        finished(running.death().await, iso.install.ends_with)
    };
    let watched = follow(&config.console, events);
    tokio::select! {
        done = tokio::time::timeout(patience, install) => {
            done.unwrap_or(Err(Error::InstallTimedOut { after: patience }))
        }
        never = watched => match never {},
    }
}

/// Tells an installation that is done from one that went wrong.
fn finished(death: kiln_machine::Death, ends_with: EndsWith) -> Result<(), Error> {
    match (&death.cause, ends_with) {
        (Cause::GuestOff, EndsWith::Poweroff) | (Cause::GuestRestarted, EndsWith::Reboot) => Ok(()),
        (Cause::GuestOff, EndsWith::Reboot) => {
            Err(Error::InstallEnded { did: "turned itself off", says: "poweroff" })
        }
        _ => Err(Error::Machine(death.into())),
    }
}

/// Shows the console's lines as they come.
async fn follow(console: &Path, events: &Events) -> std::convert::Infallible {
    const EVERY: Duration = Duration::from_millis(500);
    let mut shown: Vec<String> = Vec::new();
    loop {
        tokio::time::sleep(EVERY).await;
        let lines = kiln_machine::tail(console, 20);
        let new =
            shown.last().and_then(|last| lines.iter().rposition(|line| line == last)).map_or(0, |at| at + 1);
        lines.iter().skip(new).for_each(|line| events.output(line));
        shown = lines;
    }
}
