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
    assert_eq!(kernel.read_initrd()?, None);
    assert_eq!(root.root_argument("nvme0n1"), "root=/dev/nvme0n1");
    Ok(())
}

/// Makes an ext4 of a folder at a place of a disk.
fn mke2fs(tree: &Path, disk: &Path, offset: u64, size: &str) -> Result {
    let mut mke2fs = Command::new("/usr/sbin/mke2fs");
    mke2fs.args(["-q", "-F", "-t", "ext4", "-E", &format!("offset={offset}"), "-d"]);
    anyhow::ensure!(mke2fs.arg(tree).arg(disk).arg(size).status()?.success());
    Ok(())
}

#[test]
fn what_a_root_is_and_how_it_boots() -> Result {
    let folder = tempfile::tempdir()?;
    let tree = folder.path().join("tree");
    for (name, content) in [
        ("usr/bin/sh", "\x7fELF\x02\x01\x01 eighteen  \x3e\0 and so on"),
        ("usr/lib/systemd/systemd", ""),
        ("usr/sbin/sshd", ""),
        ("etc/selinux/config", "SELINUX=enforcing\n"),
        ("boot/vmlinuz-linux", ""),
        ("boot/initramfs-linux.img", "initrd"),
        ("boot/grub2/grubenv", "# GRUB Environment Block\nkernelopts=root=LABEL=x ro dyndbg=\"a b\" \n####"),
        (
            "boot/grub2/grub.cfg",
            "set x=1\nmenuentry 'a' {\n\tlinux\t/boot/vmlinuz-linux BOOT_IMAGE=y $kernelopts quiet\n}\n\
                linux /other rescue\n",
        ),
        ("usr/lib/modules/6.12.1-arch1-1/modules.builtin", "kernel/drivers/nvme/host/nvme.ko\n"),
    ] {
        let path = tree.join(name);
        fs_err::create_dir_all(path.parent().unwrap_or(&tree))?;
        fs_err::write(path, content)?;
    }
    // An image whose header says the version that its name does not.
    let mut image = vec![0; 0x400];
    image[0x202..0x206].copy_from_slice(b"HdrS");
    image[0x206..0x208].copy_from_slice(&0x20f_u16.to_le_bytes());
    image[0x20e..0x210].copy_from_slice(&0x40_u16.to_le_bytes());
    image[0x236] = 1;
    image[0x240..0x250].copy_from_slice(b"6.12.1-arch1-1 x");
    fs_err::write(tree.join("boot/vmlinuz-linux"), image)?;
    fs_err::os::unix::fs::symlink("usr/bin", tree.join("bin"))?;
    let disk = folder.path().join("disk.raw");
    mke2fs(&tree, &disk, 0, "16M")?;

    let root = find_root(&disk)?;
    assert_eq!(root.boot_arguments, ["ro", "dyndbg=\"a b\"", "quiet"]);
    assert_eq!(
        crate::facts(&disk, &root)?,
        Some(RootFacts {
            architecture: Some(kiln_types::Architecture::X86_64),
            systemd: true,
            sshd: true,
            cloud_init: false,
            selinux: Some(Selinux::Enforcing),
        })
    );
    let kernel = crate::find_kernel(&disk, &root)?.ok_or_else(|| anyhow::anyhow!("no kernel"))?;
    assert_eq!(kernel.version(), "6.12.1-arch1-1");
    assert!(kernel.built_in("nvme")? && !kernel.built_in("ext4")?);
    assert_eq!(kernel.architecture()?, Some(kiln_types::Architecture::X86_64));
    assert_eq!(kernel.read_initrd()?.as_deref(), Some(&b"initrd"[..]));

    // The same bytes from anywhere else.
    let bytes = Bytes(fs_err::read(&disk)?);
    let other = Disk::new("a chain", bytes);
    assert_eq!(find_root(&other)?, root);
    assert!(crate::find_kernel(&other, &root)?.is_some());
    Ok(())
}

struct Bytes(Vec<u8>);

impl crate::ReadAt for Bytes {
    fn size(&self) -> u64 {
        u64::try_from(self.0.len()).unwrap_or(u64::MAX)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> std::io::Result<()> {
        let start = usize::try_from(offset).map_err(std::io::Error::other)?;
        let bytes = self.0.get(start..start + buffer.len());
        buffer.copy_from_slice(bytes.ok_or(std::io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}

#[test]
fn a_machine_id_is_found_in_either_place() -> Result {
    let folder = tempfile::tempdir()?;
    let tree = folder.path().join("tree");
    let (systemd, dbus) = (tree.join("etc/machine-id"), tree.join("var/lib/dbus/machine-id"));
    for path in [&systemd, &dbus, &tree.join("sbin/init")] {
        fs_err::create_dir_all(path.parent().unwrap_or(&tree))?;
        fs_err::write(path, "")?;
    }
    let disk = folder.path().join("disk.raw");
    let id = "0123456789abcdef0123456789abcdef\n";
    for (path, content, expected) in
        [(&systemd, "uninitialized\n", false), (&dbus, id, true), (&dbus, "", false), (&systemd, id, true)]
    {
        fs_err::write(path, content)?;
        mke2fs(&tree, &disk, 0, "16M")?;
        let root = find_root(&disk)?;
        assert_eq!(crate::has_machine_id(&disk, &root)?, Some(expected), "{}", path.display());
        fs_err::remove_file(&disk)?;
    }
    Ok(())
}

#[test]
fn two_equal_roots_are_refused() -> Result {
    let folder = tempfile::tempdir()?;
    let (tree, disk) = (folder.path().join("tree"), folder.path().join("disk.raw"));
    fs_err::create_dir_all(tree.join("etc"))?;
    fs_err::write(tree.join("etc/os-release"), "ID=tiny\n")?;
    fs_err::File::create(&disk)?.set_len(64 << 20)?;
    let script = "printf 'label: gpt\nsize=16M\nsize=16M\n' | /usr/sbin/sfdisk -q \"$1\"";
    anyhow::ensure!(Command::new("sh").args(["-c", script, "sh"]).arg(&disk).status()?.success());
    for offset in [1, 17] {
        mke2fs(&tree, &disk, offset << 20, "16M")?;
    }
    let error = find_root(&disk).err().ok_or_else(|| anyhow::anyhow!("a root"))?;
    assert!(
        matches!(&error, Error::SeveralRoots { places, .. } if places == "partition 1, partition 2"),
        "{error}"
    );
    // One that knows more of a system than the other is it.
    fs_err::write(tree.join("etc/fstab"), "")?;
    mke2fs(&tree, &disk, 17 << 20, "16M")?;
    assert_eq!(find_root(&disk)?.partition, Some(2));
    Ok(())
}

#[test]
fn other_kinds_are_named() -> Result {
    let mut file = tempfile::NamedTempFile::new()?;
    std::io::Write::write_all(&mut file, b"LUKS\xba\xbe")?;
    file.as_file().set_len(1 << 20)?;
    let error = find_root(file.path()).err().map(|error| error.to_string()).unwrap_or_default();
    assert!(error.contains("the whole disk holds an encrypted LUKS container"), "{error}");

    let empty = tempfile::NamedTempFile::new()?;
    let error = find_root(empty.path()).err().map(|error| error.to_string()).unwrap_or_default();
    assert!(
        error.ends_with("no root file system found (looked at: the whole disk: nothing known)"),
        "{error}"
    );
    Ok(())
}
