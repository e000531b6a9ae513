//! Appliances that are restored: as good as booted ones, and no two the same.

use crate::appliances::{Appliances, Started};
use anyhow::{Context, Result, ensure};
use kiln_machine::{
    Start,
    communicator::agent::{Setup, Upload, UploadContent},
};
use std::{
    path::Path,
    process::Command,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

/// How far a guest's clock may be off: a busy host takes a while between setting and asking.
const CLOCK: u64 = 20;

/// Puts a program of the host and the libraries that it needs into the guest.
async fn bring(started: &mut Started, program: &str) -> Result<()> {
    let ldd = Command::new("ldd").arg(program).output().context("ldd")?;
    let text = String::from_utf8(ldd.stdout)?;
    let libraries = text.split_whitespace().filter(|word| word.starts_with('/'));
    for path in std::iter::once(program).chain(libraries) {
        let content = UploadContent::Path(fs_err::canonicalize(path)?);
        let (destination, mode) = (path.to_owned(), Some(0o755));
        started.session().upload(&Upload { content, destination, mode, owner: None }).await?;
    }
    Ok(())
}

async fn keys(started: &mut Started) -> Result<String> {
    bring(started, "/usr/bin/ssh-keygen").await.context("the package openssh-client is not installed")?;
    started.sh("ssh-keygen -q -t ed25519 -N '' -C test -f /tmp/key && cat /tmp/key.pub").await
}

/// What a guest draws from the kernel first of all.
async fn drawn(started: &mut Started) -> Result<String> {
    started.prepare(&Setup::default()).await?;
    started.sh("head -c 32 /dev/urandom | od -An -tx1").await
}

#[tokio::test]
async fn restored_machines_draw_different_numbers() -> Result<()> {
    let world = Appliances::new()?;
    let cold = world.start("cold").await?;
    assert_eq!(cold.0.how, Start::Cold);
    world.state().await?;
    let (mut one, mut other) = (world.start("one").await?, world.start("other").await?);
    assert_eq!((&one.0.how, &other.0.how), (&Start::Warm, &Start::Warm));
    let numbers = (drawn(&mut one).await?, drawn(&mut other).await?);
    ensure!(numbers.0.split_whitespace().count() == 32 && numbers.0 != numbers.1, "{numbers:?}");
    let keys = (keys(&mut one).await?, keys(&mut other).await?);
    ensure!(keys.0.starts_with("ssh-ed25519 ") && keys.0 != keys.1, "{keys:?}");
    one.stop().await?;
    other.stop().await?;
    cold.0.running.kill().await;
    Ok(())
}

#[tokio::test]
async fn a_restored_machine_does_what_a_booted_one_does() -> Result<()> {
    let world = Appliances::new()?;
    let script = "echo $(cat /etc/hostname) >/root/file; sync; cat /root/file; ip -o link | wc -l; uname -r";
    let mut said = Vec::new();
    for (name, how) in [("booted", Start::Cold), ("restored", Start::Warm)] {
        let began = Instant::now();
        let mut started = world.start(name).await?;
        assert_eq!(started.0.how, how);
        started.prepare(&Setup::default()).await?;
        said.push(started.sh(script).await?);
        let clock: u64 = started.sh("date +%s").await?.trim().parse()?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        ensure!(now.abs_diff(clock) < CLOCK, "the guest's clock says {clock}, the host's {now}");
        started.stop().await?;
        eprintln!("{name}: {:.2} s in all", began.elapsed().as_secs_f64());
        world.state().await?;
        let overlay = world.path(&format!("{name}.qcow2"));
        let check = Command::new("qemu-img").args(["check", "-q"]).arg(overlay).status()?;
        ensure!(check.success(), "{name}: the overlay is torn");
    }
    assert_eq!(said[0], said[1]);
    Ok(())
}

#[tokio::test]
async fn a_state_that_was_cut_is_not_used() -> Result<()> {
    let world = Appliances::new()?;
    world.start("first").await?.stop().await?;
    let state = world.state().await?;
    let memory = fs_err::OpenOptions::new().write(true).open(state.join("memory"))?;
    memory.set_len(memory.metadata()?.len() / 2)?;
    let second = world.start("second").await?;
    let expected = Start::ColdAfter("the saved machine is not as it was saved".to_owned());
    assert_eq!(second.0.how, expected);
    second.stop().await?;
    world.state().await?;
    assert_eq!(world.start("third").await?.0.how, Start::Warm);
    Ok(())
}

/// Damage that size and time do not show.
#[tokio::test]
async fn a_state_that_qemu_refuses_is_not_used() -> Result<()> {
    let world = Appliances::new()?;
    world.start("first").await?.stop().await?;
    let memory = world.state().await?.join("memory");
    let modified = fs_err::metadata(&memory)?.modified()?;
    let file = fs_err::OpenOptions::new().write(true).open(&memory)?;
    std::os::unix::fs::FileExt::write_all_at(file.file(), b"nonsense", 0)?;
    file.file().set_modified(modified)?;
    let second = world.start("second").await?;
    ensure!(
        matches!(&second.0.how, Start::ColdAfter(why) if why.starts_with("the saved machine did not come up: ")),
        "{:?}",
        second.0.how
    );
    second.stop().await
}

/// A state is of one QEMU and one machine.
#[tokio::test]
async fn a_state_of_another_machine_is_not_used() -> Result<()> {
    let mut world = Appliances::new()?;
    world.start("first").await?.stop().await?;
    world.state().await?;
    let memory = world.config.memory;
    world.config.memory = kiln_types::ByteSize::from_mib(640);
    assert_eq!(world.start("larger").await?.0.how, Start::Cold);
    world.config.memory = memory;
    let copy = world.path("qemu-system-x86_64");
    fs_err::copy(&world.qemu.system, &copy)?;
    world.qemu.system = copy;
    assert_eq!(world.start("other").await?.0.how, Start::Cold);
    Ok(())
}

/// It holds a guest's memory.
#[tokio::test]
async fn a_state_is_readable_by_its_owner_alone() -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let world = Appliances::new()?;
    world.start("first").await?.stop().await?;
    let state = world.state().await?;
    let mode = |path: &Path| fs_err::metadata(path).map(|metadata| metadata.permissions().mode() & 0o777);
    assert_eq!(mode(&state.join("memory"))?, 0o600);
    assert_eq!(mode(&state)?, 0o700);
    Ok(())
}

fn filtered(program: &str, args: &[&str], file: &Path) -> Result<Vec<u8>> {
    let output = Command::new(program).args(args).arg(file).output().with_context(|| program.to_owned())?;
    ensure!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(output.stdout)
}

/// Packs the cloud kernel, which is packed with LZ4, in another way.
fn repack(world: &Appliances) -> Result<()> {
    let path = world.path("kernel");
    let mut image = fs_err::read(&path)?;
    let number = |at: usize| {
        Ok::<_, anyhow::Error>(usize::try_from(u32::from_le_bytes(image[at..at + 4].try_into()?))?)
    };
    let start = (usize::from(image[0x1f1]) + 1) * 512 + number(0x248)?;
    let payload = &image[start..start + number(0x24c)?];
    let (lz4, elf) = (world.path("payload.lz4"), world.path("payload"));
    // After it stands the length of what was packed.
    fs_err::write(&lz4, &payload[..payload.len() - 4])?;
    fs_err::write(&elf, filtered("lz4", &["-dcq"], &lz4)?)?;
    let packed = [filtered("zstd", &["-cq"], &elf)?, b"size".to_vec()].concat();
    image.truncate(start);
    image[0x24c..0x250].copy_from_slice(&u32::try_from(packed.len())?.to_le_bytes());
    image.extend(packed);
    Ok(fs_err::write(path, image)?)
}

/// What takes an emulated processor long to unpack is unpacked before.
#[tokio::test]
async fn an_unpacked_kernel_is_restored_like_any_other() -> Result<()> {
    let world = Appliances::new()?;
    repack(&world)?;
    for (name, how) in [("booted", Start::Cold), ("restored", Start::Warm)] {
        let mut started = world.start(name).await?;
        assert_eq!(started.0.how, how);
        started.prepare(&Setup::default()).await?;
        ensure!(started.sh("uname -r").await?.contains("cloud"));
        started.stop().await?;
        let record = fs_err::read_to_string(world.state().await?.join("state.json"))?;
        ensure!(record.contains(r#""unpacked":true"#), "{record}");
    }
    let left = fs_err::read_dir(world.path("").as_path())?.collect::<std::io::Result<Vec<_>>>()?;
    ensure!(!left.iter().any(|entry| entry.file_name().to_string_lossy().starts_with("kernel-")), "{left:?}");
    Ok(())
}
