//! The tiny base's root: a busybox userland, and a kernel with an initramfs.

use super::ROOT_UUID;
use anyhow::{Context, Result, ensure};
use kiln_disk::KernelTree;
use std::{
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Stdio},
};

/// The modules that a guest of ours can need; an appliance takes the same ones.
const MODULES: [&str; 15] = [
    "virtio_pci",
    "virtio_blk",
    "virtio_net",
    "virtio_console",
    "virtio_rng?",
    "virtio_scsi?",
    "ext4",
    "vfat",
    "nls_ascii?",
    "nls_cp437?",
    "nls_iso8859_1?",
    "af_packet?",
    "pvpanic_pci?",
    "pvpanic_mmio?",
    "overlay?",
];

const FOLDERS: [&str; 18] = [
    "bin",
    "sbin",
    "usr/bin",
    "usr/sbin",
    "etc/init.d",
    "proc",
    "sys",
    "dev",
    "run",
    "tmp",
    "root",
    "home/app",
    "var/log",
    "var/tmp",
    "mnt",
    "boot/grub",
    "lib/modules",
    "usr/local/bin",
];

/// Files and their modes. `/etc/resolv.conf` is QEMU's own resolver, as its DHCP would say.
const FILES: [(&str, u32, &str); 12] = [
    ("etc/os-release", 0o644, "ID=kiln-tiny\nVERSION_ID=1\nPRETTY_NAME=\"Kiln tiny base\"\n"),
    ("etc/passwd", 0o644, "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000:app:/home/app:/bin/sh\n"),
    ("etc/group", 0o644, "root:x:0:\ntty:x:5:\napp:x:1000:\n"),
    ("etc/shadow", 0o600, "root:*:19000:0:99999:7:::\napp:*:19000:0:99999:7:::\n"),
    ("etc/hostname", 0o644, "tiny\n"),
    ("etc/hosts", 0o644, "127.0.0.1 localhost tiny\n"),
    ("etc/resolv.conf", 0o644, "nameserver 10.0.2.3\n"),
    ("etc/profile", 0o644, "export PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n"),
    (
        "etc/inittab",
        0o644,
        "::sysinit:/etc/init.d/rcS\nttyS0::respawn:/sbin/getty -L 115200 ttyS0 vt100\n\
         ::ctrlaltdel:/sbin/reboot\n::shutdown:/bin/umount -a -r\n",
    ),
    ("etc/init.d/rcS", 0o755, include_str!("rcS.sh")),
    (
        "etc/udhcpc.script",
        0o755,
        "#!/bin/sh\n[ \"$1\" = bound ] || [ \"$1\" = renew ] || exit 0\n\
         ifconfig \"$interface\" \"$ip\" netmask \"$subnet\"\nroute add default gw \"$router\"\n",
    ),
    ("etc/machine-id", 0o644, ""),
];

/// Writes busybox, its applets and `/etc`.
pub(crate) fn userland(tree: &Path, unpacked: &Path) -> Result<()> {
    for folder in FOLDERS {
        fs_err::create_dir_all(tree.join(folder))?;
    }
    fs_err::set_permissions(tree.join("tmp"), PermissionsExt::from_mode(0o1777))?;
    fs_err::set_permissions(tree.join("root"), PermissionsExt::from_mode(0o700))?;
    for (name, mode, content) in FILES {
        write(tree, name, mode, content.as_bytes())?;
    }
    let fstab = format!("UUID={ROOT_UUID} / ext4 defaults 0 1\n");
    write(tree, "etc/fstab", 0o644, fstab.as_bytes())?;
    // Another user's file needs root; without it the tests that ask for the owner cannot run anyway.
    let chown =
        Command::new("chown").arg("1000:1000").arg(tree.join("home/app")).stderr(Stdio::null()).status()?;
    ensure!(chown.success() || !is_root()?, "chown failed");

    let busybox = unpacked.join("bin/busybox");
    let busybox = if busybox.exists() { busybox } else { unpacked.join("usr/bin/busybox") };
    write(tree, "bin/busybox", 0o755, &fs_err::read(&busybox)?)?;
    let applets = Command::new(&busybox).arg("--list-full").output()?;
    for applet in String::from_utf8(applets.stdout)?.lines() {
        let link = tree.join(applet);
        if let Some(parent) = link.parent() {
            fs_err::create_dir_all(parent)?;
        }
        if !link.exists() && !applet.ends_with("bin/busybox") {
            fs_err::os::unix::fs::symlink("/bin/busybox", link)?;
        }
    }
    ensure!(tree.join("bin/sh").symlink_metadata().is_ok(), "busybox has no sh");
    Ok(())
}

/// Writes the kernel, its modules and `depmod`'s index, an initramfs and GRUB's configuration.
pub(super) fn kernel(tree: &Path, kernel: &KernelTree, unpacked: &Path, package: &Path) -> Result<()> {
    let version = kernel.version();
    write(tree, &format!("boot/vmlinuz-{version}"), 0o644, &kernel.read_vmlinuz()?)?;
    let modules = kernel.modules(&MODULES)?;
    let folder = format!("lib/modules/{version}");
    let file = |module: &kiln_disk::Module| format!("kernel/kiln/{}.ko", module.name);
    for module in &modules {
        write(tree, &format!("{folder}/{}", file(module)), 0o644, &module.bytes)?;
    }
    let order: String = modules.iter().map(|module| file(module) + "\n").collect();
    write(tree, &format!("{folder}/modules.order"), 0o644, order.as_bytes())?;
    let builtin =
        [folder.clone(), format!("usr/{folder}")].map(|path| package.join(path).join("modules.builtin"));
    let builtin =
        builtin.iter().find(|path| path.exists()).context("the kernel's package has no modules.builtin")?;
    write(tree, &format!("{folder}/modules.builtin"), 0o644, &fs_err::read(builtin)?)?;
    let busybox = tree.join("bin/busybox");
    let depmod = Command::new(&busybox).args(["depmod", "-b"]).arg(tree).arg(version).status()?;
    ensure!(depmod.success(), "busybox depmod failed");

    let init = [("init", include_bytes!("init.sh").to_vec())];
    let initrd = tree.join(format!("boot/initrd.img-{version}"));
    initramfs(tree, &initrd, &modules, &init, &unpacked.with_file_name("initramfs"))?;
    for link in ["vmlinuz", "initrd.img"] {
        fs_err::os::unix::fs::symlink(format!("boot/{link}-{version}"), tree.join(link))?;
    }
    let configuration = format!(
        "set timeout=0\nserial --unit=0 --speed=115200\nterminal_output console serial\n\
         search --no-floppy --fs-uuid --set=root {ROOT_UUID}\n\
         menuentry 'tiny' {{\n    linux /vmlinuz root=UUID={ROOT_UUID} ro console=ttyS0 panic=-1\n    initrd /initrd.img\n}}\n"
    );
    write(tree, "boot/grub/grub.cfg", 0o644, configuration.as_bytes())
}

/// Packs busybox with all its applets, the modules in load order and these files, of which `init` is one, through busybox's
/// own cpio. `early` is a folder to be made.
pub(crate) fn initramfs(
    tree: &Path,
    output: &Path,
    modules: &[kiln_disk::Module],
    files: &[(&str, Vec<u8>)],
    early: &Path,
) -> Result<()> {
    for folder in ["bin", "dev", "proc", "sys", "root", "modules"] {
        fs_err::create_dir_all(early.join(folder))?;
    }
    let busybox = tree.join("bin/busybox");
    fs_err::copy(&busybox, early.join("bin/busybox"))?;
    let applets = Command::new(&busybox).arg("--list").output()?;
    for applet in String::from_utf8(applets.stdout)?.lines().filter(|applet| *applet != "busybox") {
        fs_err::os::unix::fs::symlink("busybox", early.join("bin").join(applet))?;
    }
    for (number, module) in modules.iter().enumerate() {
        write(early, &format!("modules/{number:03}-{}.ko", module.name), 0o644, &module.bytes)?;
    }
    for (name, content) in files {
        write(early, name, 0o755, content)?;
    }
    let packed = Command::new(&busybox)
        .args([
            "sh",
            "-c",
            "cd \"$1\" && \"$0\" find . | \"$0\" cpio -o -H newc 2>/dev/null | \"$0\" gzip -1",
        ])
        .arg(&busybox)
        .arg(early)
        .output()?;
    ensure!(packed.status.success() && packed.stdout.len() > 1000, "cpio failed");
    fs_err::write(output, packed.stdout)?;
    Ok(())
}

fn write(tree: &Path, name: &str, mode: u32, content: &[u8]) -> Result<()> {
    let path = tree.join(name);
    if let Some(parent) = path.parent() {
        fs_err::create_dir_all(parent)?;
    }
    fs_err::write(&path, content)?;
    fs_err::set_permissions(&path, PermissionsExt::from_mode(mode))?;
    Ok(())
}

fn is_root() -> Result<bool> {
    Ok(Command::new("id").arg("-u").output()?.stdout == b"0\n")
}
