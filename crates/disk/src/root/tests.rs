//! Roots made by mke2fs from a folder.

use super::*;
use std::process::Command;

type Result<T = ()> = anyhow::Result<T>;

fn part(number: u32, filesystem: FileSystem, uuid: &str) -> Partition {
    Partition {
        number: Some(number),
        offset: u64::from(number) << 20,
        size: 1 << 20,
        kind: String::new(),
        filesystem: Some(filesystem),
        uuid: Some(uuid.to_owned()),
        label: Some(format!("label{number}")),
        partuuid: Some(format!("part-{number}")),
        partlabel: None,
    }
}

#[test]
fn fstab_lines() {
    let partitions = vec![
        part(1, FileSystem::Ext4, "ROOT"),
        part(2, FileSystem::Vfat, "AAAA-BBBB"),
        part(3, FileSystem::Ext4, "boot"),
        part(4, FileSystem::Swap, "swap"),
        part(5, FileSystem::Xfs, "srv"),
    ];
    let layout = Layout { size: 1 << 30, table: crate::Table::Gpt, partitions };
    let fstab = "# comment /x\nUUID=ROOT / ext4 errors=remount-ro 0 1\n\
        UUID=aaaa-bbbb /boot/efi vfat umask=0077,nofail,x-systemd.automount 0 1\n\
        /dev/sda3 /boot ext4 defaults 0 2\nUUID=swap none swap sw 0 0\n\
        LABEL=label5 /srv/my\\040data xfs noatime,ro,logbsize=32k 0 2\n\
        UUID=other /other ext4 defaults 0 2\nPARTUUID=part-3 /../etc ext4 defaults 0 2\n\
        PARTUUID=part-3 /later ext4 noauto 0 0\ntmpfs /tmp tmpfs size=1g 0 0\n";
    let mounts = fstab::mounts(fstab, &layout, &layout.partitions[0]);
    let seen: Vec<_> = mounts
        .iter()
        .map(|mount| {
            (mount.device.as_str(), mount.path.as_str(), mount.filesystem.as_str(), mount.options.as_str())
        })
        .collect();
    assert_eq!(
        seen,
        [
            ("vda3", "/boot", "ext4", ""),
            ("vda2", "/boot/efi", "vfat", "umask=0077"),
            ("vda5", "/srv/my data", "xfs", "logbsize=32k"),
        ]
    );
}

#[test]
fn os_release_quotes() {
    let text = "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nID=debian\nVERSION_ID='12'\n# ID=x\n";
    let release = OsRelease::parse(text);
    assert_eq!((release.id.as_str(), release.version_id.as_deref()), ("debian", Some("12")));
    assert_eq!(release.pretty_name.as_deref(), Some("Debian GNU/Linux 12 (bookworm)"));
}

#[test]
fn a_root_on_a_whole_disk_with_a_kernel() -> Result {
    let folder = tempfile::tempdir()?;
    let tree = folder.path().join("tree");
    for (name, content) in [
        ("usr/bin/sh", ""),
        ("usr/lib/os-release", "ID=tiny\n"),
        ("boot/vmlinuz-6.1.0-9-cloud-amd64", "old"),
        ("boot/vmlinuz-6.1.0-10-cloud-amd64", "new"),
        ("boot/vmlinuz-7.0.0-no-modules", "newest"),
        ("usr/lib/modules/6.1.0-9-cloud-amd64/modules.dep", ""),
        ("usr/lib/modules/6.1.0-10-cloud-amd64/modules.dep", "kernel/a.ko:\n"),
        ("usr/lib/modules/6.1.0-10-cloud-amd64/kernel/a.ko", "\x7fELF"),
    ] {
        let path = tree.join(name);
        fs_err::create_dir_all(path.parent().unwrap_or(&tree))?;
        fs_err::write(path, content)?;
    }
    for (link, target) in [("bin", "usr/bin"), ("lib", "/usr/lib")] {
        fs_err::os::unix::fs::symlink(target, tree.join(link))?;
    }
    let disk = folder.path().join("disk.raw");
    let made = Command::new("/usr/sbin/mke2fs")
        .args(["-q", "-t", "ext4", "-d"])
        .arg(&tree)
        .arg(&disk)
        .arg("16M")
        .status()?;
    anyhow::ensure!(made.success());

    let root = find_root(&disk)?;
    assert_eq!((root.partition, root.device.as_str(), root.mounts.len()), (None, "vda", 0));
    assert_eq!(root.os_release.as_ref().map(|release| release.id.as_str()), Some("tiny"));
    let kernel = crate::find_kernel(&disk, &root)?.ok_or_else(|| anyhow::anyhow!("no kernel"))?;
    assert_eq!(kernel.version(), "6.1.0-10-cloud-amd64");
    assert_eq!(kernel.read_vmlinuz()?, b"new");
    assert_eq!(kernel.modules(&["a"])?.len(), 1);
    Ok(())
}

#[test]
fn other_kinds_are_named() -> Result {
    let mut file = tempfile::NamedTempFile::new()?;
    std::io::Write::write_all(&mut file, b"XFSB")?;
    file.as_file().set_len(1 << 20)?;
    let error = find_root(file.path()).err().map(|error| error.to_string()).unwrap_or_default();
    assert!(
        error.ends_with("the whole disk holds an XFS file system, and kiln reads roots on ext4 only"),
        "{error}"
    );

    let empty = tempfile::NamedTempFile::new()?;
    let error = find_root(empty.path()).err().map(|error| error.to_string()).unwrap_or_default();
    assert!(
        error.ends_with("no root file system found (looked at: the whole disk: nothing known)"),
        "{error}"
    );
    Ok(())
}
