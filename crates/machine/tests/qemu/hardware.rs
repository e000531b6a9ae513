//! Hardware of every kind, as firmware and kernels see it.

use crate::{
    LONG, SOON,
    appliances::Appliances,
    guests::{self, boot_cd, boot_sector},
    world::World,
};
use anyhow::{Context, Result, ensure};
use kiln_machine::{
    Cause, Rung,
    communicator::agent::Setup,
    config::{Boot, Disk, Interface, Medium, MediumKind},
    uefi_firmware,
};
use kiln_types::{Architecture, ByteSize};
use std::{io::Write, os::unix::fs::PermissionsExt};
use tokio::time::timeout;

const INTERFACES: [Interface; 3] = [Interface::VirtioBlk, Interface::Nvme, Interface::Sata];

/// Puts a medium into a machine.
fn insert(world: &mut World, name: &str, content: &[u8], kind: MediumKind) -> Result<()> {
    let path = world.path().join(name);
    fs_err::write(&path, content)?;
    world.config.media.push(Medium { path, kind, boots: true });
    Ok(())
}

fn floppy(guest: &[u8]) -> Vec<u8> {
    let mut floppy = boot_sector(guest).to_vec();
    floppy.resize(2880 * 512, 0);
    floppy
}

/// A blank disk in place of the world's own.
fn blank(world: &mut World, interface: Interface) {
    world.config.disks[0].base = None;
    world.config.disks[0].interface = interface;
}

#[tokio::test]
async fn the_first_disk_boots_before_every_medium() -> Result<()> {
    for interface in INTERFACES {
        let mut world = World::new(guests::TURNS_OFF)?;
        world.config.disks[0].interface = interface;
        insert(&mut world, "cd.iso", &boot_cd(guests::HALTS), MediumKind::Cdrom)?;
        insert(&mut world, "floppy.img", &floppy(guests::HALTS), MediumKind::Floppy)?;
        assert_eq!(world.start().await?.stop(LONG).await?, Rung::Guest, "{interface:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_blank_disk_is_passed_over() -> Result<()> {
    for interface in INTERFACES {
        let mut world = World::new(guests::HALTS)?;
        blank(&mut world, interface);
        insert(&mut world, "cd.iso", &boot_cd(guests::TURNS_OFF), MediumKind::Cdrom)?;
        assert_eq!(world.start().await?.stop(LONG).await?, Rung::Guest, "{interface:?}");
        let console = fs_err::read_to_string(&world.config.console)?;
        ensure!(console.contains("Booting from DVD/CD"), "{console}");
    }
    Ok(())
}

#[tokio::test]
async fn media_are_tried_in_their_order() -> Result<()> {
    let mut world = World::new(guests::HALTS)?;
    blank(&mut world, Interface::VirtioBlk);
    insert(&mut world, "floppy.img", &floppy(guests::TURNS_OFF), MediumKind::Floppy)?;
    insert(&mut world, "cd.iso", &boot_cd(guests::HALTS), MediumKind::Cdrom)?;
    assert_eq!(world.start().await?.stop(LONG).await?, Rung::Guest);
    Ok(())
}

/// With a screen the firmware goes on to talk to the console: an installer's first menu can be waited for.
#[tokio::test]
async fn a_screen_is_there_for_pictures() -> Result<()> {
    let mut world = World::new(guests::HALTS)?;
    world.config.screen = true;
    let running = world.start().await?;
    timeout(LONG, running.says("Booting from Hard Disk")).await.context("it does not boot")?;
    let picture = world.path().join("screen.ppm");
    running.qmp().execute("screendump", serde_json::json!({"filename": picture})).await?;
    ensure!(fs_err::read(&picture)?.starts_with(b"P6\n"));
    Ok(())
}

#[tokio::test]
async fn a_guest_that_may_restart_goes_on() -> Result<()> {
    let mut world = World::new(guests::RESTARTS)?;
    world.config.restarts = true;
    let running = world.start().await?;
    let boots = |console: &str| console.matches("Booting from Hard Disk").count();
    while boots(&fs_err::read_to_string(&world.config.console)?) < 3 {
        ensure!(timeout(SOON / 20, running.death()).await.is_err(), "its restart ended it");
    }
    Ok(())
}

#[tokio::test]
async fn a_panic_is_told_where_a_guest_may_restart() -> Result<()> {
    let mut world = World::new(guests::PANICS)?;
    world.config.restarts = true;
    let running = world.start().await?;
    assert_eq!(timeout(LONG, running.death()).await?.cause, Cause::Panic);
    Ok(())
}

#[tokio::test]
async fn a_templates_arguments_come_last() -> Result<()> {
    let mut world = World::new(guests::TURNS_OFF)?;
    world.config.extra_args = ["-device", "no-such-device"].map(str::to_owned).to_vec();
    let text = world.start().await.err().context("there is no such device")?.to_string();
    ensure!(text.contains("no-such-device"), "{text}");
    Ok(())
}

/// A world whose machine starts by UEFI, with a blank disk.
fn uefi_world(architecture: Architecture, secure: bool) -> Result<World> {
    let mut world = World::of(architecture, guests::HALTS)?;
    blank(&mut world, Interface::Nvme);
    let firmware = uefi_firmware(architecture, secure)?;
    let variables = world.path().join("variables.fd");
    fs_err::copy(&firmware.variables, &variables)?;
    fs_err::set_permissions(&variables, std::fs::Permissions::from_mode(0o600))?;
    world.config.boot = Boot::Uefi { code: firmware.code, variables, secure: firmware.guarded };
    world.config.memory = ByteSize::from_mib(256);
    Ok(world)
}

/// A disk from which UEFI starts Debian's kernel, which Debian's own key has signed, and Microsoft's has not.
fn kernel_medium(world: &mut World) -> Result<()> {
    let kernel = fs_err::read(Appliances::new()?.path("kernel"))?;
    let mut image = std::io::Cursor::new(vec![0; 32 << 20]);
    fatfs::format_volume(&mut image, fatfs::FormatVolumeOptions::new())?;
    let volume = fatfs::FileSystem::new(&mut image, fatfs::FsOptions::new())?;
    let folder = volume.root_dir().create_dir("EFI")?.create_dir("BOOT")?;
    folder.create_file("BOOTX64.EFI")?.write_all(&kernel)?;
    drop(folder);
    volume.unmount()?;
    insert(world, "efi.img", image.get_ref(), MediumKind::Disk)
}

#[tokio::test]
async fn uefi_passes_a_blank_disk_over() -> Result<()> {
    let mut world = uefi_world(Architecture::X86_64, false)?;
    kernel_medium(&mut world)?;
    let running = world.start().await?;
    timeout(LONG, running.says("BdsDxe: starting")).await.context("nothing is started")?;
    let console = String::from_utf8_lossy(&fs_err::read(&world.config.console)?).into_owned();
    let (disk, medium) = (console.find("NVMe Ctrl"), console.find("BdsDxe: starting"));
    ensure!(disk.is_some() && disk < medium, "{console}");
    Ok(())
}

#[tokio::test]
async fn secure_boot_starts_nothing_that_microsofts_keys_did_not_sign() -> Result<()> {
    let mut world = uefi_world(Architecture::X86_64, true)?;
    kernel_medium(&mut world)?;
    let running = world.start().await?;
    timeout(LONG, running.says("Access Denied")).await.context("it is not refused")?;
    Ok(())
}

#[tokio::test]
async fn every_firmware_starts() -> Result<()> {
    for (architecture, secure) in
        [(Architecture::I386, false), (Architecture::Arm64, false), (Architecture::Arm64, true)]
    {
        let world = uefi_world(architecture, secure)?;
        let running = world.start().await?;
        let said = timeout(LONG, running.says("BdsDxe")).await;
        said.with_context(|| format!("the firmware of {architecture} says nothing"))?;
    }
    Ok(())
}

/// A raw base, and overlays that each add a sector: a guest sees all of them.
#[tokio::test]
async fn a_chain_of_overlays_is_one_disk() -> Result<()> {
    let world = Appliances::new()?;
    let base = world.path("data.raw");
    fs_err::write(&base, [b"base".as_slice(), &[0; (1 << 20) - 4]].concat())?;
    let mut data = Disk {
        serial: "data".to_owned(),
        base: Some(base),
        overlays: Vec::new(),
        interface: Interface::VirtioBlk,
    };
    let mut said = String::new();
    for (number, layer) in ["one", "two", "three"].into_iter().enumerate() {
        let overlay = world.path(&format!("{layer}.qcow2"));
        world.qemu.create_overlay(&overlay, 1 << 20)?;
        data.overlays.push(overlay);
        if layer == "three" {
            // A guest sees the same through another controller.
            data.interface = Interface::Nvme;
        }
        let mut started = world.start_with(&format!("root{layer}"), vec![data.clone()]).await?;
        started.prepare(&Setup::default()).await?;
        // Disks that are plugged in at one time have their names by chance.
        let find = "for block in /sys/block/*; do case $(cat $block/serial $block/device/serial 2>/dev/null) in \
                    data*) disk=${block##*/} ;; esac; done";
        let write =
            format!("printf {layer} | dd of=/dev/$disk bs=512 seek={} conv=notrunc 2>/dev/null", number + 1);
        let read =
            "for at in 0 1 2 3; do dd if=/dev/$disk bs=512 skip=$at count=1 2>/dev/null; done | tr -d '\\0'";
        said = started.sh(&format!("{find}; {write} && sync && {read}")).await?;
        started.stop().await?;
    }
    assert_eq!(said, "baseonetwothree");
    // What is below the last one stays as it was.
    let lowest = std::process::Command::new("qemu-io")
        .args(["-r", "-f", "qcow2", "-c", "read -P 0 1024 1024"])
        .arg(&data.overlays[0])
        .output()?;
    ensure!(!String::from_utf8_lossy(&lowest.stdout).contains("verification failed"), "{lowest:?}");
    Ok(())
}
