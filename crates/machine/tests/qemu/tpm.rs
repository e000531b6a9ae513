//! TPMs: seen by guests, kept beside the machine, and gone with it.

use crate::{SOON, appliances::Appliances, guests, world::World};
use anyhow::{Context, Result, ensure};
use kiln_machine::{Error, communicator::agent::Setup};
use rustix::process::Signal;
use std::{os::unix::fs::PermissionsExt, path::Path};
use tokio::time::timeout;

/// Asks the TPM how often it was started, over its own device.
const TPM_STARTS: &str = "cat /sys/class/tpm/tpm0/tpm_version_major && exec 3<>/dev/tpm0 && \
     printf '\\200\\001\\000\\000\\000\\012\\000\\000\\001\\201' >&3 && dd bs=64 count=1 <&3 2>/dev/null | od -An -v -tx1 | tr -d '\\n '";

async fn tpm_starts(world: &Appliances, name: &str) -> Result<u32> {
    let mut started = world.start(name).await?;
    started.prepare(&Setup::default()).await?;
    let said = started.sh(TPM_STARTS).await?;
    started.stop().await?;
    let (version, answer) = said.split_once('\n').context("no version")?;
    ensure!(version == "2", "{said}");
    // A header of 10 bytes, the time and the clock of 8 each, then the count of resets.
    let count = answer.get(52..60).with_context(|| format!("no answer: {said}"))?;
    Ok(u32::from_str_radix(count, 16)?)
}

#[tokio::test]
async fn a_guest_has_a_tpm_that_remembers() -> Result<()> {
    let mut world = Appliances::new()?;
    let state = world.path("tpm, of it");
    fs_err::create_dir(&state)?;
    world.config.tpm = Some(state.clone());
    let (first, second) = (tpm_starts(&world, "first").await?, tpm_starts(&world, "second").await?);
    ensure!(second == first + 1, "{first} {second}");
    let kept = state.join("tpm2-00.permall");
    assert_eq!(fs_err::metadata(&kept)?.permissions().mode() & 0o777, 0o600);
    fs_err::remove_file(kept)?;
    assert_eq!(tpm_starts(&world, "another").await?, first);
    Ok(())
}

/// Lists what works in that folder.
fn working_in(folder: &Path) -> Result<usize> {
    let entries = fs_err::read_dir("/proc")?.flatten();
    let folders = entries.filter_map(|entry| std::fs::read_link(entry.path().join("cwd")).ok());
    Ok(folders.filter(|works_in| works_in == folder).count())
}

#[tokio::test]
async fn a_tpm_goes_with_its_machine() -> Result<()> {
    for (qemu, signal) in [(true, Signal::KILL), (false, Signal::KILL), (false, Signal::TERM)] {
        let mut world = World::new(guests::HALTS)?;
        let state = world.path().join("tpm");
        fs_err::create_dir(&state)?;
        world.config.tpm = Some(state.clone());
        let running = world.start().await?;
        assert_eq!(working_in(&state)?, 1);
        world.signal(qemu, signal)?;
        timeout(SOON, running.death()).await.context("no death was told")?;
        if qemu {
            assert_eq!(working_in(&state)?, 0, "the machine's end is told before the TPM's");
        }
        world.no_process_within(SOON).await?;
        assert_eq!(working_in(&state)?, 0);
    }
    Ok(())
}

#[tokio::test]
async fn a_tpm_whose_state_is_damaged_is_told() -> Result<()> {
    let mut world = World::new(guests::HALTS)?;
    let state = world.path().join("tpm");
    fs_err::create_dir(&state)?;
    fs_err::write(state.join("tpm2-00.permall"), b"nonsense")?;
    world.config.tpm = Some(state.clone());
    let text = world.start().await.err().context("there is no such TPM")?.to_string();
    ensure!(text.contains("tpm"), "{text}");
    world.no_process_within(SOON).await?;
    assert_eq!(working_in(&state)?, 0);
    Ok(())
}

#[tokio::test]
async fn a_host_without_swtpm_is_told() -> Result<()> {
    let mut world = World::new(guests::HALTS)?;
    world.config.tpm = Some(world.path().to_owned());
    world.qemu.swtpm = None;
    let error = world.start().await.err().context("there is no TPM")?;
    ensure!(matches!(error, Error::NoTpm) && error.host_lacks(), "{error}");
    ensure!(error.hint().is_some_and(|hint| hint.starts_with("apt-get install swtpm")));
    Ok(())
}
