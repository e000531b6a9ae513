//! Disks with file systems made by their own mkfs, which blkid knows as well.

use crate::{Error, FileSystem, Table, facts, find_kernel, find_root, inspect};
use std::{io::Write, path::Path, process::Command};

type Result<T = ()> = anyhow::Result<T>;

const VERSION: &str = "6.12.0-100.fc41.x86_64";
const MIB: u64 = 1 << 20;

fn run(command: &mut Command) -> Result<String> {
    let output = command.output()?;
    anyhow::ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

/// One partition: its type and name, its size, what makes it.
struct Part<'a> {
    kind: &'a str,
    mib: u64,
    made_by: Option<(&'a str, &'a [&'a str])>,
}

const fn part<'a>(kind: &'a str, mib: u64, made_by: Option<(&'a str, &'a [&'a str])>) -> Part<'a> {
    Part { kind, mib, made_by }
}

/// A GPT disk with these partitions, one behind the other.
fn disk(parts: &[Part<'_>]) -> Result<tempfile::NamedTempFile> {
    let file = tempfile::NamedTempFile::new()?;
    let size: u64 = parts.iter().map(|part| part.mib).sum();
    file.as_file().set_len((size + 2) * MIB)?;
    let lines: String =
        parts.iter().map(|part| format!("size={}M, type={}\n", part.mib, part.kind)).collect();
    let mut sfdisk = Command::new("/usr/sbin/sfdisk");
    let mut child = sfdisk.arg("-q").arg(file.path()).stdin(std::process::Stdio::piped()).spawn()?;
    let script = format!("label: gpt\n{lines}");
    child.stdin.take().map(|mut stdin| stdin.write_all(script.as_bytes())).transpose()?;
    anyhow::ensure!(child.wait()?.success());
    let mut at = 1;
    for part in parts {
        if let Some((program, arguments)) = part.made_by {
            let made = tempfile::NamedTempFile::new()?;
            made.as_file().set_len(part.mib * MIB)?;
            run(Command::new(program).args(arguments).arg(made.path()))?;
            run(Command::new("dd")
                .arg(format!("if={}", made.path().display()))
                .arg(format!("of={}", file.path().display()))
                .args(["bs=1M", "conv=sparse,notrunc", &format!("seek={at}")]))?;
        }
        at += part.mib;
    }
    Ok(file)
}

/// What Fedora has in its `/boot`: a kernel, an initrd that brings modules, an entry that names the root.
fn boot_folder(folder: &Path, root: &str) -> Result {
    let modules = folder.join("initrd/usr/lib/modules").join(VERSION);
    fs_err::create_dir_all(modules.join("kernel"))?;
    fs_err::write(modules.join("modules.dep"), "kernel/xfs.ko: kernel/crc.ko\nkernel/crc.ko:\n")?;
    fs_err::write(modules.join("modules.builtin"), "kernel/fs/ext4/ext4.ko\n")?;
    for module in ["xfs", "crc"] {
        fs_err::write(modules.join(format!("kernel/{module}.ko")), "\x7fELF")?;
    }
    let boot = folder.join("boot");
    fs_err::create_dir_all(boot.join("efi"))?;
    fs_err::create_dir_all(boot.join("loader/entries"))?;
    let pack = "cd \"$1/initrd\"; find . | cpio -o -H newc --quiet | zstd -q";
    let initrd = Command::new("sh").args(["-c", pack, "sh"]).arg(folder).output()?;
    fs_err::write(boot.join(format!("initramfs-{VERSION}.img")), &initrd.stdout)?;
    fs_err::write(boot.join(format!("vmlinuz-{VERSION}")), "kernel")?;
    fs_err::write(boot.join("vmlinuz-9.9-without-an-initrd"), "no")?;
    let entry = format!("title Fedora\noptions root={root} ro rootflags=subvol=root console=ttyS0 $tuned\n");
    fs_err::write(boot.join(format!("loader/entries/id-{VERSION}.conf")), entry)?;
    fs_err::write(boot.join("loader/entries/id-0-rescue.conf"), "options root=/dev/sda9 rescue\n")?;
    Ok(())
}

const BTRFS: &str = "0e9bb0a1-28ac-4a46-9f9b-0c8b1b7e1234";

#[test]
fn the_entry_of_a_separate_boot_names_the_root() -> Result {
    let folder = tempfile::tempdir()?;
    boot_folder(folder.path(), &format!("UUID={BTRFS}"))?;
    let boot = folder.path().join("boot").display().to_string();
    let file = disk(&[
        part("U", 40, Some(("/usr/sbin/mkfs.fat", &["-F", "32"]))),
        part("L", 16, Some(("/usr/sbin/mke2fs", &["-q", "-t", "ext4", "-d", &boot]))),
        part("L", 120, Some(("/usr/sbin/mkfs.btrfs", &["-q", "-L", "other"]))),
        part("L", 120, Some(("/usr/sbin/mkfs.btrfs", &["-q", "-L", "fedora", "-U", BTRFS]))),
    ])?;
    let root = find_root(file.path())?;
    assert_eq!(
        (root.partition, root.filesystem, root.options.as_str()),
        (Some(4), FileSystem::Btrfs, "subvol=root")
    );
    assert_eq!(root.boot_arguments, ["ro", "rootflags=subvol=root", "console=ttyS0"]);
    let partuuid = inspect(file.path())?.partitions[3].partuuid.clone().unwrap_or_default();
    assert_eq!(root.root_argument("vda"), format!("root=PARTUUID={partuuid}"));
    let mounts: Vec<_> =
        root.mounts.iter().map(|mount| (mount.device.as_str(), mount.path.as_str())).collect();
    assert_eq!(mounts, [("vda2", "/boot"), ("vda1", "/boot/efi")]);
    assert_eq!(facts(file.path(), &root)?, None);
    let modules = root.modules();
    assert!(["btrfs", "ext4", "vfat"].iter().all(|name| modules.contains(name)), "{modules:?}");

    let kernel = find_kernel(file.path(), &root)?.ok_or_else(|| anyhow::anyhow!("no kernel"))?;
    assert_eq!((kernel.version(), kernel.read_vmlinuz()?), (VERSION, b"kernel".to_vec()));
    let names: Vec<_> = kernel.modules(&["ext4", "xfs"])?.into_iter().map(|module| module.name).collect();
    assert_eq!(names, ["crc", "xfs"]);
    assert!(kernel.built_in("ext4")? && !kernel.built_in("xfs")?);
    let initrd = fs_err::read(folder.path().join(format!("boot/initramfs-{VERSION}.img")))?;
    assert!(kernel.read_initrd()?.is_some_and(|read| read == initrd));
    Ok(())
}

#[test]
fn kernels_on_a_fat_serve_as_well() -> Result {
    let folder = tempfile::tempdir()?;
    boot_folder(folder.path(), "LABEL=fedora")?;
    let copy = format!("mkfs.fat -F 32 \"$1\" && mcopy -s -i \"$1\" {}/boot/* ::", folder.path().display());
    let file = disk(&[
        part("U", 40, Some(("sh", &["-c", &format!("PATH=$PATH:/usr/sbin; {copy}"), "sh"]))),
        part("L", 120, Some(("/usr/sbin/mkfs.btrfs", &["-q", "-L", "fedora"]))),
    ])?;
    let root = find_root(file.path())?;
    let mounts: Vec<_> = root.mounts.iter().map(|mount| (mount.path.as_str(), mount.filesystem)).collect();
    assert_eq!((root.partition, mounts), (Some(2), vec![("/boot", FileSystem::Vfat)]));
    let kernel = find_kernel(file.path(), &root)?.ok_or_else(|| anyhow::anyhow!("no kernel"))?;
    assert_eq!((kernel.version(), kernel.modules(&["xfs"])?.len()), (VERSION, 2));
    Ok(())
}

const XFS: (&str, &[&str]) = ("/usr/sbin/mkfs.xfs", &["-q"]);
const XFS_BOOT: (&str, &[&str]) = ("/usr/sbin/mkfs.xfs", &["-q", "-L", "boot"]);
const XFS_ROOT: (&str, &[&str]) = ("/usr/sbin/mkfs.xfs", &["-q", "-L", "root"]);

#[test]
fn types_and_labels_tell_roots_apart() -> Result {
    let root_type = "4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709";
    for (parts, expected) in [
        ([part("L", 320, Some(XFS)), part(root_type, 320, Some(XFS))], Some(2)),
        ([part("L", 320, Some(XFS_ROOT)), part("L", 320, Some(XFS))], Some(1)),
        ([part("L", 320, Some(XFS_BOOT)), part("L", 320, Some(XFS))], Some(2)),
        ([part("L", 320, Some(XFS)), part("L", 320, Some(XFS))], None),
    ] {
        let file = disk(&parts)?;
        match (find_root(file.path()), expected) {
            (Ok(root), Some(number)) => {
                assert_eq!((root.partition, root.filesystem), (Some(number), FileSystem::Xfs));
                assert!(find_kernel(file.path(), &root)?.is_none());
            }
            (Err(error @ Error::SeveralRoots { .. }), None) => {
                assert!(error.to_string().ends_with("the root: partition 1, partition 2"), "{error}");
                assert!(error.hint().is_some_and(|hint| hint.contains("communicator.type = \"ssh\"")));
            }
            (other, expected) => panic!("{other:?}, not {expected:?}"),
        }
    }
    Ok(())
}

#[test]
fn a_boot_beside_a_volume_group_is_no_root() -> Result {
    let file = disk(&[part("L", 320, Some(XFS)), part("V", 8, None)])?;
    let mut label = [0; 32];
    label[..8].copy_from_slice(b"LABELONE");
    label[24..].copy_from_slice(b"LVM2 001");
    std::os::unix::fs::FileExt::write_all_at(file.as_file(), &label, 321 * MIB + 512)?;
    let error = find_root(file.path()).err().ok_or_else(|| anyhow::anyhow!("a root"))?;
    let expected = "partition 2 holds an LVM physical volume, and kiln's agent opens neither volume groups nor encryption";
    assert!(error.to_string().ends_with(expected), "{error}");
    assert!(error.hint().is_some_and(|hint| hint.contains("communicator.type = \"ssh\"")));
    Ok(())
}

#[test]
fn blkid_sees_the_same() -> Result {
    for (program, arguments, expected) in [
        ("/usr/sbin/mkfs.xfs", &["-q", "-L", "some"][..], FileSystem::Xfs),
        ("/usr/sbin/mkfs.btrfs", &["-q", "-L", "some"], FileSystem::Btrfs),
        ("/usr/sbin/mke2fs", &["-q", "-t", "ext4", "-L", "some"], FileSystem::Ext4),
        ("/usr/sbin/mkfs.fat", &["-n", "SOME"], FileSystem::Vfat),
        ("/usr/sbin/mkswap", &["-L", "some"], FileSystem::Swap),
    ] {
        let file = tempfile::NamedTempFile::new()?;
        file.as_file().set_len(320 * MIB)?;
        run(Command::new(program).args(arguments).arg(file.path()))?;
        let layout = inspect(file.path())?;
        let found = &layout.partitions[0];
        assert_eq!((layout.table, found.filesystem), (Table::WholeDisk, Some(expected)), "{program}");
        let said = run(Command::new("/usr/sbin/blkid").args(["-p", "-o", "export"]).arg(file.path()))?;
        let value = |key: &str| said.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        assert_eq!(value("TYPE"), Some(expected.as_str()));
        assert_eq!((value("UUID"), value("LABEL")), (found.uuid.as_deref(), found.label.as_deref()));
    }
    Ok(())
}
