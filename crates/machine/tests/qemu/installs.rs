//! An installation from a CD: its prompts are answered by the keyboard, its answers come over HTTP and from a medium.

use crate::{LONG, appliances::cache, death, guests, world::World};
use anyhow::{Context, Result, ensure};
use kiln_machine::{
    Cause, Qemu, Rung,
    config::{Medium, MediumKind, Network},
    http_server::{HttpServer, Served},
    keyboard::{TypingError, screenshot, type_boot_command},
    medium::{Contents, write_cd},
};
use kiln_testkit::{INSTALLED, PARTITION, QUESTION, installer};
use kiln_types::{Architecture, BootCommand, ByteSize};
use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, Mutex},
    time::Duration,
};

/// Size of the disk that is installed on.
const DISK: u64 = 64 << 20;

/// What an installer may take under TCG on a busy host.
const PATIENCE: Duration = Duration::from_secs(240);

/// Every character that can be typed; some shells and terminals would make something else of many of them.
fn every_character() -> String {
    (' '..='~').collect()
}

fn boot_command(lines: &[&str]) -> Result<BootCommand> {
    Ok(BootCommand::parse(&lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>())?)
}

/// Makes a machine with a blank disk, a screen, and the installer in its drive.
fn world() -> Result<World> {
    let mut world = World::new(guests::HALTS)?;
    let qemu = Qemu::find(&["/usr/bin", "/usr/local/bin", "/bin"].map(PathBuf::from), Architecture::X86_64)?;
    let blank = world.path().join("blank.qcow2");
    qemu.create_overlay(&blank, DISK)?;
    let disk = world.config.disks.first_mut().context("a disk")?;
    (disk.base, disk.overlays) = (None, vec![blank]);
    let iso = installer(&cache()?)?.iso;
    world.config.media = vec![Medium { path: iso, kind: MediumKind::Cdrom, boots: true }];
    world.config.screen = true;
    world.config.network = Network::User;
    world.config.memory = ByteSize::from_mib(512);
    Ok(world)
}

/// Reads a file of the installed system.
fn installed(world: &World, name: &str) -> Result<String> {
    let raw = world.path().join("installed.raw");
    let overlay = world.config.disks[0].overlays.last().context("an overlay")?;
    let converted = Command::new("qemu-img").args(["convert", "-O", "raw"]).args([overlay, &raw]).status()?;
    ensure!(converted.success(), "qemu-img convert");
    let request = format!("cat {name}");
    let disk = format!("{}?offset={PARTITION}", raw.display());
    let output = Command::new("/usr/sbin/debugfs").args(["-R", &request, &disk]).output()?;
    ensure!(!output.stdout.is_empty(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

/// Makes a CD with more answers.
fn answers_cd(folder: &Path) -> Result<Medium> {
    let mut contents = Contents::default();
    contents.add("a longer name than eight and three.conf", b"from the CD\n".to_vec())?;
    let path = folder.join("answers.iso");
    write_cd(&path, "answers", &contents)?;
    // The kernel of the installer has no driver for SATA: it finds the medium as a disk.
    Ok(Medium { path, kind: MediumKind::Disk, boots: false })
}

#[tokio::test]
async fn an_installer_is_answered() -> Result<()> {
    let mut world = world()?;
    let answers = answers_cd(world.path())?;
    world.config.media.push(answers);
    let fetched = Arc::new(Mutex::new(Vec::new()));
    let hears = fetched.clone();
    let content = [("/answers".to_owned(), "served at ${http.address}\n".to_owned())].into();
    let served = Served { directory: None, content };
    let server = HttpServer::start(&served, move |what| hears.lock().unwrap().push(what.to_string())).await?;
    let name = every_character();
    let command = boot_command(&[
        "<waitFor 'boot:'>install url=http://${http.address}/answers<enter>",
        &format!("<waitFor '{QUESTION}'>{}<enter>", name.replace('<', "<lt>")),
        &format!("<waitFor '{INSTALLED}'>"),
    ])?
    .substitute(|name| server.value(name));
    let running = world.start().await?;
    let mut done = Vec::new();
    let told = |action: &kiln_types::BootAction| done.push(action.to_string());
    type_boot_command(&running, &command, &world.config.console, PATIENCE, told).await?;
    assert_eq!(running.stop(LONG).await?, Rung::Guest);
    assert_eq!(done.concat(), command.to_string());
    assert_eq!(installed(&world, "/etc/name")?, format!("{name}\n"));
    assert_eq!(installed(&world, "/etc/answers")?, format!("served at 10.0.2.2:{}\n", server.port()));
    let from_cd = installed(&world, "\"/etc/answers.d/a longer name than eight and three.conf\"")?;
    assert_eq!(from_cd, "from the CD\n");
    assert_eq!(
        *fetched.lock().unwrap(),
        [format!("GET /answers: {} bytes", "served at 10.0.2.2:12345\n".len())]
    );
    Ok(())
}

/// The installer ends with a restart, and fails to be answered before: what it shows then is seen.
#[tokio::test]
async fn an_installer_restarts() -> Result<()> {
    let world = world()?;
    let served = Served { content: [("/a".to_owned(), "x\n".to_owned())].into(), ..Served::default() };
    let server = HttpServer::start(&served, |_| {}).await?;
    let running = world.start().await?;
    let typed = async |lines: &[&str], patience| {
        let command = boot_command(lines)?.substitute(|name| server.value(name));
        anyhow::Ok(type_boot_command(&running, &command, &world.config.console, patience, |_| {}).await)
    };
    let soon = Duration::from_millis(500);
    typed(&["<waitFor 'boot:'>"], PATIENCE).await??;
    let error = typed(&["<waitFor 'boat:'>x"], soon).await?.err().context("there is no boat")?;
    let text = error.to_string();
    ensure!(text.starts_with("the guest did not say \"boat:\" on its serial console within 0 s"), "{text}");
    ensure!(text.contains("\n    | boot:"), "{text}");
    let picture = world.path().join("screen.png");
    screenshot(&running, &picture).await?;
    ensure!(fs_err::read(&picture)?.starts_with(b"\x89PNG\r\n\x1a\n"), "no picture");
    typed(
        &["wrong<bs><bs><bs><bs><bs>", "install url=http://${http.ip}:${http.port}/a end=reboot<return>"],
        soon,
    )
    .await??;
    let name = "<leftShiftOn>k<leftShiftOff>iln<wait100ms><leftShiftOn>A!<leftShiftOff>b<aOn><aOff>";
    typed(&[&format!("<waitFor '{QUESTION}'>{name}<enter>")], PATIENCE).await??;
    let end = death(&running, PATIENCE).await?;
    assert_eq!(end.cause, Cause::GuestRestarted, "{end}");
    assert_eq!(installed(&world, "/etc/name")?, "KilnA!ba\n");
    let error = typed(&["x"], soon).await?.err().context("nobody is there")?;
    ensure!(matches!(error, TypingError::Died(_)), "{error}");
    Ok(())
}
