//! A spare kernel: Debian's cloud kernel, unpacked below the cache without installing it.
//!
//! ```text
//! <cache>/kernels/<version>/boot/vmlinuz-<version>
//!                          /lib/modules/<version>/…
//!                /.staging-…/                        what a killed fetch leaves behind
//! ```

use super::KernelTree;
use crate::{Error, process, version::newest_first};
use std::{path::Path, process::Command, sync::atomic::AtomicBool};

/// Metapackages whose dependency is the newest kernel for virtual machines: Debian's, then Ubuntu's.
const METAPACKAGES: [&str; 2] = ["linux-image-cloud-amd64", "linux-image-virtual"];

/// Downloads the distribution's kernel for virtual machines through the host's apt configuration and unpacks it below
/// `cache/kernels`. No root needed. A version that is there already is not fetched again.
///
/// # Errors
/// When apt or dpkg-deb is missing or fails, or apt knows no such package.
pub fn fetch_kernel(cache: &Path, on_line: &mut dyn FnMut(&str)) -> Result<KernelTree, Error> {
    let packages = resolve(on_line)?;
    let kernels = cache.join("kernels");
    fs_err::create_dir_all(&kernels).map_err(|e| Error::io("make the cache's folder for kernels", e))?;
    let version = packages.iter().find_map(|package| package.strip_prefix("linux-image-"));
    let target = kernels.join(version.unwrap_or("unknown"));
    if let Ok(Some(tree)) = KernelTree::from_folder(&target) {
        return Ok(tree);
    }
    let staging = tempfile::Builder::new().prefix(".staging-").tempdir_in(&kernels);
    let staging = staging.map_err(|e| Error::io("make a staging folder", e))?;
    process::run(
        Command::new("apt-get")
            .args(["-o", "APT::Sandbox::User=root", "-q", "download"])
            .args(&packages)
            .current_dir(staging.path()),
        &APT,
        &AtomicBool::new(false),
        on_line,
    )?;
    let unpacked = staging.path().join("tree");
    for entry in fs_err::read_dir(staging.path()).map_err(|e| Error::io("list the packages", e))? {
        let package = entry.map_err(|e| Error::io("list the packages", e))?.path();
        if package.extension().is_some_and(|ending| ending == "deb") {
            let mut unpack = Command::new("dpkg-deb");
            unpack.arg("-x").arg(&package).arg(&unpacked);
            process::run(&mut unpack, &DPKG, &AtomicBool::new(false), on_line)?;
        }
    }
    let tree = KernelTree::from_folder(&unpacked)?;
    let tree = tree.ok_or_else(|| Error::NoKernelPackage { names: packages.join(", ") })?;
    let target = kernels.join(tree.version());
    match fs_err::rename(&unpacked, &target) {
        // Somebody else fetched the same kernel meanwhile.
        Err(_) if target.join("boot").is_dir() => {}
        other => other.map_err(|e| Error::io("put the kernel in its place", e))?,
    }
    let placed = KernelTree::from_folder(&target)?;
    placed.ok_or_else(|| Error::NoKernelPackage { names: packages.join(", ") })
}

/// Lists the kernels that [`fetch_kernel`] unpacked, newest first.
///
/// # Errors
/// When the folder cannot be listed.
pub fn cached_kernels(cache: &Path) -> Result<Vec<KernelTree>, Error> {
    let mut kernels = Vec::new();
    let entries = match fs_err::read_dir(cache.join("kernels")) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(kernels),
        other => other.map_err(|e| Error::io("list the cached kernels", e))?,
    };
    for entry in entries {
        let entry = entry.map_err(|e| Error::io("list the cached kernels", e))?;
        if !entry.file_name().to_string_lossy().starts_with('.') {
            kernels.extend(KernelTree::from_folder(&entry.path())?);
        }
    }
    kernels.sort_by(|a, b| newest_first(a.version(), b.version()));
    Ok(kernels)
}

const APT: process::Tool = process::Tool {
    program: "apt-get",
    purpose: "it downloads the kernel that builds start with",
    package: "apt",
};
const DPKG: process::Tool =
    process::Tool { program: "dpkg-deb", purpose: "it unpacks the kernel's package", package: "dpkg" };

/// Asks apt which packages hold the kernel's image and its modules.
fn resolve(on_line: &mut dyn FnMut(&str)) -> Result<Vec<String>, Error> {
    for metapackage in METAPACKAGES {
        let mut answer = Vec::new();
        let mut ask = Command::new("apt-cache");
        ask.args(["depends", "--no-recommends", "--no-suggests", metapackage]);
        // An unknown package is a failure of apt-cache: the next name is tried.
        match process::run(&mut ask, &APT, &AtomicBool::new(false), &mut |line| answer.push(line.to_owned()))
        {
            Err(Error::Tool { .. }) => continue,
            other => other?,
        }
        let packages: Vec<_> = answer.iter().filter_map(|line| kernel_package(line)).collect();
        if !packages.is_empty() {
            on_line(&format!("fetching {}", packages.join(", ")));
            return Ok(packages);
        }
    }
    Err(Error::NoKernelPackage { names: METAPACKAGES.join(", ") })
}

fn kernel_package(line: &str) -> Option<String> {
    let name = line.trim().strip_prefix("Depends: ")?;
    let is_kernel = name.starts_with("linux-image-") || name.starts_with("linux-modules-");
    is_kernel.then(|| name.to_owned())
}
