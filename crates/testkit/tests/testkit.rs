//! The tiny base is a root that Kiln reads, and boots by itself.

use anyhow::{Context, Result};
use kiln_disk::{Table, find_kernel, find_root, inspect};
use kiln_testkit::{Firmware, Guest, MARKER, Variant, tiny_base, tiny_base_variant};
use std::{
    io::{Read, Write},
    net::TcpStream,
    path::PathBuf,
    process::Command,
    time::Duration,
};

/// Kept between runs: the kernel's package alone is 27 MB.
fn cache() -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("tiny-cache")
}

#[test]
fn each_variant_has_a_root() -> Result<()> {
    let variants = [
        (Variant::Gpt, Table::Gpt, "vda3"),
        (Variant::Mbr, Table::Mbr, "vda1"),
        (Variant::WholeDisk, Table::WholeDisk, "vda"),
        (Variant::WholeDiskNoKernel, Table::WholeDisk, "vda"),
    ];
    for (variant, table, device) in variants {
        let base = tiny_base_variant(&cache(), variant)?;
        assert_eq!(base.sha256.len(), 64);
        assert_eq!(inspect(&base.disk)?.table, table);
        let root = find_root(&base.disk)?;
        assert_eq!(root.device, device);
        assert_eq!(root.os_release.as_ref().map(|release| release.id.as_str()), Some("kiln-tiny"));

        let check = Command::new("/usr/sbin/e2fsck")
            .arg("-fn")
            .arg(format!("{}?offset={}", base.disk.display(), root.offset))
            .output()?;
        assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stdout));

        let kernel = find_kernel(&base.disk, &root)?;
        assert_eq!(kernel.is_some(), variant != Variant::WholeDiskNoKernel);
        if let Some(kernel) = kernel {
            let modules = kernel.modules(&[
                "virtio_blk",
                "virtio_pci",
                "virtio_console",
                "virtio_net",
                "ext4",
                "vfat",
            ])?;
            let names: Vec<_> = modules.iter().map(|module| module.name.as_str()).collect();
            let position = |name: &str| names.iter().position(|have| *have == name).context(name.to_owned());
            assert!(position("virtio_ring")? < position("virtio_blk")?, "{names:?}");
        }
    }
    Ok(())
}

#[test]
fn it_is_made_once() -> Result<()> {
    let (first, second) = (tiny_base(&cache())?, tiny_base(&cache())?);
    assert_eq!((first.disk, first.sha256), (second.disk, second.sha256));
    Ok(())
}

#[test]
fn it_boots_by_itself() -> Result<()> {
    for variant in [Variant::Gpt, Variant::Mbr] {
        let base = tiny_base_variant(&cache(), variant)?;
        let mut guest = Guest::boot(&base.disk, "raw", Firmware::Bios)?;
        guest.wait_for_console(MARKER, Duration::from_secs(60))?;
        guest.wait_for_console("tiny login:", Duration::from_secs(20))?;
    }
    Ok(())
}

#[test]
fn its_port_is_reached_from_here() -> Result<()> {
    let base = tiny_base(&cache())?;
    let root = find_root(&base.disk)?;
    let folder = tempfile::tempdir()?;
    let disk = folder.path().join("disk.raw");
    fs_err::copy(&base.disk, &disk)?;
    let script = folder.path().join("rc.local");
    fs_err::write(
        &script,
        "until ifconfig eth0 | grep -q 'inet addr'; do sleep 1; done\nhttpd -p 80 -h /etc\necho SERVING\n",
    )?;
    let written = Command::new("/usr/sbin/debugfs")
        .args(["-w", "-R", &format!("write {} /etc/rc.local", script.display())])
        .arg(format!("{}?offset={}", disk.display(), root.offset))
        .output()?;
    anyhow::ensure!(written.status.success());

    let mut guest = Guest::boot(&disk, "raw", Firmware::Bios)?;
    guest.wait_for_console("SERVING", Duration::from_secs(90))?;
    let mut stream = TcpStream::connect(("127.0.0.1", guest.http_port()))?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    stream.write_all(b"GET /os-release HTTP/1.0\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    assert!(answer.contains("ID=kiln-tiny"), "{answer}");
    Ok(())
}
