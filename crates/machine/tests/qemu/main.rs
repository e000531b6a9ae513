//! Machines for real: how they end, and that nothing of them is left.

mod appliances;
mod chroot;
mod guests;
mod hardware;
mod installs;
mod kvm;
mod tpm;
mod warm;
mod world;

use anyhow::{Context, Result, ensure};
use kiln_machine::{
    Cause, Death, Error, Rung, Running,
    config::{Boot, Forward, Network},
    uefi_firmware,
};
use kiln_types::{Architecture, ByteSize};
use rustix::process::Signal;
use serde_json::json;
use std::time::Duration;
use tokio::time::timeout;
use world::World;

/// A machine under TCG on a busy host takes this long at the very most for what it does in a second.
const LONG: Duration = Duration::from_secs(60);

/// What an end may take until it is known.
const SOON: Duration = Duration::from_secs(1);

async fn death(running: &Running, within: Duration) -> Result<Death> {
    timeout(within, running.death()).await.context("no death was told")
}

/// Starts a machine, and waits until its firmware has handed over.
async fn booted(world: &World) -> Result<Running> {
    let running = world.start().await?;
    timeout(LONG, running.says("Booting from Hard Disk")).await.context("it does not boot")?;
    Ok(running)
}

#[tokio::test]
async fn a_guest_turns_itself_off() -> Result<()> {
    let world = World::new(guests::TURNS_OFF)?;
    assert_eq!(world.start().await?.stop(LONG).await?, Rung::Guest);
    world.no_process_within(SOON).await
}

#[tokio::test]
async fn a_kernel_is_given_from_outside() -> Result<()> {
    let mut world = World::new(guests::HALTS)?;
    let (kernel, initrd) = (world.path().join("kernel"), world.path().join("initrd"));
    fs_err::write(&kernel, guests::kernel(guests::TURNS_OFF))?;
    fs_err::write(&initrd, [0; 512])?;
    world.config.boot =
        Boot::Kernel { kernel, initrd: Some(initrd), command_line: "console=ttyS0, a=b".to_owned() };
    world.config.network = Network::User;
    let running = world.start().await?;
    assert_eq!(running.stop(LONG).await?, Rung::Guest);
    // Nothing but the guest itself talks there, so that silence means that it does not live.
    assert_eq!(fs_err::read_to_string(&world.config.console)?, "");
    Ok(())
}

/// Where the firmware of UEFI machines is installed, it is what starts.
#[tokio::test]
async fn uefi_firmware_starts() -> Result<()> {
    let mut world = World::new(guests::HALTS)?;
    let firmware = uefi_firmware(Architecture::X86_64, false)?;
    let variables = world.path().join("variables.fd");
    fs_err::copy(&firmware.variables, &variables)?;
    world.config.boot = Boot::Uefi { code: firmware.code, variables, secure: false };
    world.config.memory = ByteSize::from_mib(256);
    let running = world.start().await?;
    timeout(LONG, running.says("BdsDxe")).await.context("the firmware says nothing")?;
    Ok(())
}

#[tokio::test]
async fn a_guest_restarts() -> Result<()> {
    let world = World::new(guests::RESTARTS)?;
    let running = world.start().await?;
    assert_eq!(death(&running, LONG).await?.cause, Cause::GuestRestarted);
    Ok(())
}

#[tokio::test]
async fn a_guest_panics() -> Result<()> {
    let world = World::new(guests::PANICS)?;
    let running = world.start().await?;
    let death = death(&running, LONG).await?;
    assert_eq!(death.cause, Cause::Panic);
    let text = death.to_string();
    ensure!(text.contains("kernel panicked") && text.contains("| Booting from Hard Disk"), "{text}");
    ensure!(!text.contains('\u{1b}'), "{text:?}");
    // It stands there until somebody ends it.
    let error = running.stop(LONG).await.err().context("a panic is no shutdown")?;
    ensure!(matches!(error, Error::Died(ref death) if death.cause == Cause::Panic), "{error}");
    world.no_process_within(SOON).await
}

#[tokio::test]
async fn a_guest_heeds_the_power_button() -> Result<()> {
    let world = World::new(guests::HEEDS_THE_BUTTON)?;
    let running = booted(&world).await?;
    // The firmware says so a moment before. The button is pressed once, and a guest that does not listen yet never knows.
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(running.stop(Duration::ZERO).await?, Rung::Acpi);
    Ok(())
}

#[tokio::test]
async fn qemu_is_killed() -> Result<()> {
    for (signal, cause) in [(Signal::KILL, Cause::Killed(9)), (Signal::TERM, Cause::Terminated)] {
        let world = World::new(guests::HALTS)?;
        let running = world.start().await?;
        world.signal(true, signal)?;
        assert_eq!(death(&running, SOON).await?.cause, cause);
        let error = running.stop(LONG).await.err().context("a death is no shutdown")?;
        ensure!(matches!(error, Error::Died(ref death) if death.cause == cause), "{error}");
        world.no_process_within(SOON).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_qemu_that_hangs_is_killed() -> Result<()> {
    let world = World::new(guests::HALTS)?;
    let running = world.start().await?;
    world.signal(true, Signal::STOP)?;
    let error = running.stop(Duration::ZERO).await.err().context("a kill is no shutdown")?;
    ensure!(matches!(error, Error::Died(ref death) if death.cause == Cause::Stuck), "{error}");
    world.no_process_within(SOON).await
}

#[tokio::test]
async fn the_supervisor_is_killed() -> Result<()> {
    let world = World::new(guests::HALTS)?;
    let running = world.start().await?;
    world.signal(false, Signal::KILL)?;
    assert_eq!(death(&running, SOON).await?.cause, Cause::WatcherKilled(9));
    world.no_process_within(SOON).await
}

#[tokio::test]
async fn a_machine_that_is_dropped_is_gone() -> Result<()> {
    let world = World::new(guests::HALTS)?;
    drop(world.start().await?);
    world.no_process_within(SOON).await
}

#[tokio::test]
async fn a_machine_that_is_killed_is_gone_at_once() -> Result<()> {
    let world = World::new(guests::HALTS)?;
    world.start().await?.kill().await;
    let left = world.processes()?;
    ensure!(!left.iter().any(|(_, arguments)| arguments.starts_with("qemu")), "{left:?}");
    world.no_process_within(SOON).await
}

#[tokio::test]
async fn qemu_quits_when_told() -> Result<()> {
    let world = World::new(guests::HALTS)?;
    let running = world.start().await?;
    let error = running.qmp().execute("frobnicate", json!({})).await.unwrap_err();
    ensure!(matches!(error, Error::Qmp { ref why, .. } if why.contains("frobnicate")), "{error}");
    running.qmp().execute("quit", json!({})).await?;
    assert_eq!(death(&running, SOON).await?.cause, Cause::Quit);
    Ok(())
}

#[tokio::test]
async fn qemu_refuses_to_start() -> Result<()> {
    let mut world = World::new(guests::HALTS)?;
    world.config.disks[0].base = Some(world.path().join("gone.raw"));
    let text = world.start().await.err().context("a missing base is no machine")?.to_string();
    ensure!(text.contains("exit code 1") && text.contains("gone.raw"), "{text}");
    world.no_process_within(SOON).await
}

#[tokio::test]
async fn only_what_is_meant_is_inherited() -> Result<()> {
    let world = World::new(guests::HALTS)?;
    let secret = world.path().join("secret");
    let file = fs_err::File::create(&secret)?;
    // A copy that stays open over an exec, as a careless shell leaves them.
    let leak = rustix::io::dup(&file)?;
    let _running = world.start().await?;
    let qemu = world.process(true)?.as_raw_nonzero();
    for entry in fs_err::read_dir(format!("/proc/{qemu}/fd"))? {
        let target = fs_err::read_link(entry?.path())?;
        ensure!(target != secret, "QEMU holds {}", target.display());
    }
    drop(leak);
    Ok(())
}

#[tokio::test]
async fn a_forwarded_port_is_on_loopback() -> Result<()> {
    let mut world = World::new(guests::HALTS)?;
    world.config.network = Network::Forwarded(vec![Forward::to(22), Forward::to(80)]);
    let running = world.start().await?;
    let (ssh, http) = (running.forwarded(22).await?, running.forwarded(80).await?);
    ensure!(ssh != http && ssh.ip().is_loopback() && ssh.port() != 0, "{ssh} {http}");
    // QEMU's network takes the connection before the guest does.
    timeout(LONG, tokio::net::TcpStream::connect(ssh)).await??;
    let error = running.forwarded(81).await.unwrap_err();
    ensure!(matches!(error, Error::NotForwarded { guest_port: 81 }), "{error}");
    Ok(())
}

/// Needs root, to make a file system of 4 MiB.
#[tokio::test]
async fn a_full_disk_of_the_host_is_told() -> Result<()> {
    let folder = tempfile::Builder::new().prefix("kiln-machine-").tempdir()?;
    let small = folder.path().join("small");
    fs_err::create_dir(&small)?;
    let _mounted = Mounted::new(&small)?;
    let mut world = World::new(guests::FILLS_ITS_DISK)?;
    let overlay = small.join("overlay.qcow2");
    fs_err::copy(&world.config.disks[0].overlays[0], &overlay)?;
    world.config.disks[0].overlays = vec![overlay.clone()];
    let running = world.start().await?;
    let death = death(&running, LONG).await?;
    assert_eq!(death.cause, Cause::DiskFull { path: overlay.clone() });
    let error = Error::from(death);
    let (text, hint) = (error.to_string(), error.hint().context("a hint")?);
    ensure!(
        text.starts_with(&format!("no space left on the disk that holds {}", overlay.display())),
        "{text}"
    );
    ensure!(hint.starts_with(&format!("df -h {}", small.display())), "{hint}");
    running.kill().await;
    world.no_process_within(SOON).await
}

struct Mounted<'a>(&'a std::path::Path);

impl<'a> Mounted<'a> {
    fn new(place: &'a std::path::Path) -> Result<Self> {
        let size = c"size=4m";
        rustix::mount::mount("kiln-test", place, "tmpfs", rustix::mount::MountFlags::empty(), Some(size))
            .context("mounting a small file system, which needs root")?;
        Ok(Self(place))
    }
}

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        rustix::mount::unmount(self.0, rustix::mount::UnmountFlags::DETACH).ok();
    }
}
