//! What the agent does to an image's root, and what it leaves of that.

use crate::appliances::{Appliances, Started, root};
use anyhow::{Result, ensure};
use kiln_machine::communicator::agent::{Device, Exec, ExitStatus, Mount, Setup, TerminalSize};
use serde_json::json;
use std::{path::Path, process::Command};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::watch,
};

const BUNDLE: &str = "/etc/ssl/certs/ca-certificates.crt";

/// What the disk itself holds where the agent lays its files.
const HELD: &str =
    "ls -A /mnt/tmp /mnt/run /mnt/etc/apt/apt.conf.d /mnt/usr/sbin /mnt/etc /mnt/etc/ssl/certs";

/// Looks at the root from another one.
async fn look(started: &mut Started) -> Result<String> {
    let device = Device { serial: "other".to_owned(), ..root().device };
    started.session().mount(&[Mount { device, ..root() }]).await?;
    started.session().set_up_chroot(&Setup::default()).await?;
    started.session().mount(&[Mount { path: "/mnt".to_owned(), ..root() }]).await?;
    started.sh(HELD).await
}

/// An image with places for everything that the agent lays over it, and what is in them.
async fn furnished(world: &Appliances) -> Result<(Started, String)> {
    let other = world.tiny_disk("other")?;
    let mut started = world.start_with("guest", vec![other]).await?;
    started.prepare(&Setup::default()).await?;
    let furnish = format!(
        "mkdir -p /etc/ssl/certs /etc/apt/apt.conf.d /etc/selinux /usr/sbin /var/lib/dpkg; rm -f /etc/resolv.conf; \
         printf image >{BUNDLE}; echo SELINUX=enforcing >/etc/selinux/config"
    );
    started.sh(&furnish).await?;
    started.session().finish(false).await?;
    let before = look(&mut started).await?;
    started.session().finish(false).await?;
    started.mount().await?;
    Ok((started, before))
}

#[tokio::test]
async fn what_the_host_gives_to_steps_does_not_stay() -> Result<()> {
    let world = Appliances::new()?;
    let (mut started, before) = furnished(&world).await?;
    let setup = Setup {
        network: Some(kiln_machine::communicator::agent::Network::QEMU_USER),
        environment: vec![("http_proxy".to_owned(), "http://10.0.2.2:3128".to_owned())],
        ca_certificates: Some(b"host".to_vec()),
        personality_32bit: true,
        ..Setup::default()
    };
    started.session().set_up_chroot(&setup).await?;
    let seen =
        format!("echo $http_proxy; uname -m; cat {BUNDLE}; cat /etc/apt/apt.conf.d/99kiln /etc/resolv.conf");
    let seen = started.sh(&seen).await?;
    ensure!(seen.starts_with("http://10.0.2.2:3128\ni686\nimage\nhost\n"), "{seen}");
    ensure!(seen.contains("force-unsafe-io") && seen.ends_with("nameserver 10.0.2.3\n"), "{seen}");
    // As `update-ca-certificates` does it.
    started.sh(&format!("echo new >{BUNDLE}.new; mv -f {BUNDLE}.new {BUNDLE}")).await?;
    started.session().end_step().await?;
    assert_eq!(started.sh(&format!("cat {BUNDLE}")).await?, "new\n\nhost\n");

    let finished = started.session().finish(false).await?;
    ensure!(finished.relabels, "an image with SELinux has files without labels now");
    assert_eq!(look(&mut started).await?, before);
    assert_eq!(
        started.sh(&format!("cat /mnt{BUNDLE}; ls /mnt/.autorelabel")).await?,
        "new\n/mnt/.autorelabel\n"
    );
    started.stop().await
}

#[tokio::test]
async fn without_a_network_there_are_no_nameservers() -> Result<()> {
    let world = Appliances::new()?;
    let (mut started, _) = furnished(&world).await?;
    started.session().set_up_chroot(&Setup::default()).await?;
    assert_eq!(
        started.sh("ls /etc/resolv.conf 2>&1 || echo none; uname -m").await?.lines().last(),
        Some("x86_64")
    );
    ensure!(started.sh("test -e /etc/resolv.conf").await.is_err(), "an empty file would be a broken setting");
    started.stop().await
}

#[tokio::test]
async fn a_person_talks_to_a_shell_of_the_guest() -> Result<()> {
    let world = Appliances::new()?;
    let mut started = world.start("guest").await?;
    started.prepare(&Setup::default()).await?;
    let (mut typed, input) = tokio::io::duplex(1 << 16);
    let (output, mut shown) = tokio::io::duplex(1 << 16);
    let (_resize, size) = watch::channel(TerminalSize { rows: 30, columns: 90 });
    typed.write_all(b"tty; stty size; cd /etc; pwd\rexit 3\r").await?;
    let exec = Exec { argv: vec!["/bin/sh".to_owned(), "-i".to_owned()], ..Exec::default() };
    let ended = started.session().shell(&exec, input, output, size).await?;
    assert_eq!(ended, ExitStatus::Exited(3));
    let mut text = String::new();
    shown.read_to_string(&mut text).await?;
    for expected in ["/dev/pts/0\r\n", "30 90\r\n", "/etc\r\n"] {
        ensure!(text.contains(expected), "{expected:?}: {text}");
    }
    started.stop().await
}

fn tool(program: &str, args: &[&str], path: &Path) -> Result<()> {
    let output = Command::new(program).args(args).arg(path).output()?;
    ensure!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// Each on a disk that is larger than the file system which was made on it.
#[tokio::test]
async fn file_systems_grow_to_their_disks() -> Result<()> {
    const KINDS: [(&str, &str, &[&str], u64); 4] = [
        ("ext4", "/usr/sbin/mke2fs", &["-q", "-t", "ext4"], 64 << 20),
        ("xfs", "/usr/sbin/mkfs.xfs", &["-q"], 320 << 20),
        ("btrfs", "/usr/sbin/mkfs.btrfs", &["-q"], 128 << 20),
        ("vfat", "/usr/sbin/mkfs.fat", &[], 64 << 20),
    ];
    let world = Appliances::with_modules(&["xfs", "btrfs"])?;
    let mut disks = Vec::new();
    for (kind, program, args, size) in KINDS {
        let raw = world.path(&format!("{kind}.raw"));
        fs_err::File::create_new(&raw)?.set_len(size)?;
        tool(program, args, &raw)?;
        disks.push(world.disk(kind, Some(raw), 1 << 30)?);
    }
    let mut started = world.start_with("guest", disks).await?;
    let mount = |kind: &str, path: String, read_only, grow| Mount {
        device: Device { serial: kind.to_owned(), partition: None },
        filesystem: kind.to_owned(),
        options: String::new(),
        path,
        read_only,
        grow,
    };
    started.prepare(&Setup::default()).await?;
    for (kind, ..) in KINDS {
        let place = format!("/mnt/{kind}");
        let grown = started.session().mount(&[mount(kind, place.clone(), false, true)]).await;
        if kind == "vfat" {
            let error = grown.unwrap_err().to_string();
            ensure!(error.contains("vfat cannot"), "{error}");
            continue;
        }
        grown?;
        let kib: u64 =
            started.sh(&format!("df -k {place} | tail -1 | awk '{{print $2}}'")).await?.trim().parse()?;
        ensure!(kib > 900 << 10, "{kind} has {kib} KiB");
        // There is nothing left to grow into.
        started.session().finish(false).await?;
        started.prepare(&Setup::default()).await?;
        started.session().mount(&[mount(kind, place, false, true)]).await?;
    }
    started.stop().await?;
    for (kind, program, args) in [
        ("ext4", "e2fsck", &["-f", "-n"] as &[&str]),
        ("xfs", "xfs_repair", &["-n", "-f"]),
        ("btrfs", "btrfs", &["check"]),
    ] {
        let (raw, overlay) = (world.path(&format!("{kind}.raw")), world.path(&format!("{kind}.qcow2")));
        let chain = json!({"driver": "qcow2", "file": {"driver": "file", "filename": overlay},
            "backing": {"driver": "raw", "file": {"driver": "file", "filename": raw}}});
        let whole = world.path(&format!("{kind}.whole"));
        tool("qemu-img", &["convert", "-O", "raw", &format!("json:{chain}")], &whole)?;
        tool(program, args, &whole)?;
    }
    Ok(())
}
