//! `virt-customize` of libguestfs: an overlay on the same base, changed by its own appliance.

use super::{Bench, contender::Contender, steps};
use crate::{
    apt,
    run::{output, program, succeed},
};
use anyhow::{Context, Result, ensure};
use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// Debian's kernel without firmware and drivers of real machines.
const KERNEL: &str = "linux-image-cloud-amd64";

/// Returns virt-customize, or why it takes no part.
pub(super) fn contender(bench: &Bench) -> Result<Result<Contender, String>> {
    let Some(tool) = program("virt-customize") else {
        return Ok(Err("it is not installed (Debian's package guestfs-tools)".to_owned()));
    };
    let version = output("virt-customize", &["--version"]).unwrap_or_default();
    let version = version.trim().trim_start_matches("virt-customize ").to_owned();
    let folder = bench.path("virt-customize");
    let kernel = match kernel(&folder) {
        Ok(kernel) => kernel,
        Err(error) => return Ok(Err(format!("its appliance has no kernel: {error:#}"))),
    };
    let (overlay, base, upload) = (folder.join("overlay.qcow2"), bench.base(), bench.upload());
    let (cpus, memory, kvm) =
        (bench.cpus.to_string(), bench.memory_mib.to_string(), bench.accelerator == "kvm");
    let prepare = move |_| {
        let made = Command::new("qemu-img")
            .args(["create", "-q", "-f", "qcow2", "-F", "qcow2", "-b"])
            .arg(&base)
            .arg(&overlay)
            .status()?;
        ensure!(made.success(), "qemu-img create: {made}");
        let mut command = Command::new(&tool);
        command.arg("-a").arg(&overlay).args(["--smp", &cpus, "--memsize", &memory]);
        command.args(["--touch", steps::TOUCHED, "--upload"]);
        command.arg(format!("{}:{}", upload.display(), steps::UPLOADED));
        for step in steps::COMMANDS {
            command.args(["--run-command", step]);
        }
        command.env("LIBGUESTFS_BACKEND", "direct").env("LIBGUESTFS_CACHEDIR", &folder);
        if !kvm {
            command.env("LIBGUESTFS_BACKEND_SETTINGS", "force_tcg");
        }
        if let Some(kernel) = &kernel {
            let modules = folder_in(&kernel.join("lib/modules"))?;
            let release = modules.file_name().unwrap_or_default().to_owned();
            let image = format!("boot/vmlinuz-{}", release.display());
            command.env("SUPERMIN_KERNEL", kernel.join(image)).env("SUPERMIN_KERNEL_VERSION", &release);
            command.env("SUPERMIN_MODULES", modules);
        }
        Ok(command)
    };
    Ok(Ok(Contender { version, prepare: Box::new(prepare), check: |_| Ok(()) }))
}

/// Its appliance is made of the host's kernel. Containers have none: then Debian's is unpacked, not installed.
fn kernel(folder: &Path) -> Result<Option<PathBuf>> {
    let of_host = fs_err::read_dir("/boot").into_iter().flatten().flatten();
    let mut of_host = of_host.map(|entry| entry.file_name());
    if of_host.any(|name| name.to_string_lossy().starts_with("vmlinuz")) {
        return Ok(None);
    }
    let unpacked = folder.join("kernel");
    if folder_in(&unpacked.join("lib/modules")).is_err() {
        let depends = output("apt-cache", &["depends", "--important", KERNEL]).unwrap_or_default();
        let package = depends.lines().find_map(|line| line.trim().strip_prefix("Depends: linux-image-"));
        let package = format!("linux-image-{}", package.context("apt knows no cloud kernel")?);
        for entry in fs_err::read_dir(folder)?.flatten() {
            if entry.path().extension().is_some_and(|ending| ending == "deb") {
                fs_err::remove_file(entry.path())?;
            }
        }
        let got = Command::new("apt-get").args(["download", "-q", &package]).current_dir(folder).output()?;
        ensure!(got.status.success(), "apt-get download {package}: {}", String::from_utf8_lossy(&got.stderr));
        let debs = fs_err::read_dir(folder)?.flatten().map(|entry| entry.path());
        let mut debs = debs.filter(|path| path.extension().is_some_and(|ending| ending == "deb"));
        let deb = debs.next().context("apt-get download left no file")?;
        succeed(Command::new("dpkg-deb").arg("-x").arg(deb).arg(&unpacked))?;
    }
    let modules = folder_in(&unpacked.join("lib/modules"))?;
    if !modules.join("modules.dep").exists() {
        let release = modules.file_name().unwrap_or_default();
        succeed(Command::new("/usr/sbin/depmod").arg("-b").arg(&unpacked).arg(release))?;
    }
    // supermin looks for this folder whatever it is told.
    if !Path::new("/lib/modules").exists() {
        ensure!(apt::is_root(), "as root, run: mkdir /lib/modules");
        fs_err::create_dir("/lib/modules")?;
    }
    Ok(Some(unpacked))
}

fn folder_in(folder: &Path) -> Result<PathBuf> {
    let first = fs_err::read_dir(folder)?.flatten().next();
    Ok(first.with_context(|| format!("{} is empty", folder.display()))?.path())
}
