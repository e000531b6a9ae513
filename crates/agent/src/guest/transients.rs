//! What the chroot needs and the image must not keep.
//!
//! ```text
//! /proc /sys /dev /dev/pts /dev/shm     the kernel's
//! /run /tmp                             empty tmpfs for each step
//! /etc/resolv.conf                      bind mount; where it is a link into /run, a file there
//! /usr/sbin/policy-rc.d                 bind mount, where dpkg is: exits 101, so that packages start no service
//! /etc/apt/apt.conf.d/99kiln            bind mount, where apt is: what costs time and is of no use on a disk that is
//!                                       thrown away when anything fails
//! ```
//! Mount points that the image does not have are made, remembered, and removed when the mounts have gone. After a crash they
//! stay behind on an overlay that is thrown away.

use super::{
    chroot,
    failure::{Doing, Failure},
};
use crate::model::{Network, Setup};
use rustix::mount::{MountFlags, mount, mount_bind};
use std::{
    ffi::CStr,
    io,
    os::unix::fs::PermissionsExt,
    path::{Component, Path, PathBuf},
};

/// Where the agent keeps the files that it lays over the image's, in the initramfs.
const OWN: &str = "/kiln";

const POLICY: &str =
    "#!/bin/sh\n# Lies here while Kiln builds the image: no service is to start.\nexit 101\n";

/// No translations of descriptions, and no sync after each file that is unpacked.
const APT: &str = "// Lies here while Kiln builds the image.\n\
    Acquire::Languages \"none\";\nDPkg::Options { \"--force-unsafe-io\"; };\n";

/// `(where, what, flags, options)`, parents first.
const FILE_SYSTEMS: [(&str, &str, MountFlags, &CStr); 7] = [
    ("/proc", "proc", SAFE, c""),
    ("/sys", "sysfs", SAFE, c""),
    ("/dev", "devtmpfs", MountFlags::NOSUID, c"mode=0755"),
    (
        "/dev/pts",
        "devpts",
        MountFlags::NOSUID.union(MountFlags::NOEXEC),
        c"newinstance,gid=5,mode=0620,ptmxmode=0666",
    ),
    ("/dev/shm", "tmpfs", MountFlags::NOSUID.union(MountFlags::NODEV), c"mode=1777"),
    ("/run", "tmpfs", MountFlags::NOSUID.union(MountFlags::NODEV), c"mode=0755"),
    ("/tmp", "tmpfs", MountFlags::NOSUID.union(MountFlags::NODEV), c"mode=1777"),
];
const SAFE: MountFlags = MountFlags::NOSUID.union(MountFlags::NODEV).union(MountFlags::NOEXEC);

/// Files and folders that were made in the image to mount on, as the agent sees them.
#[derive(Default)]
pub(crate) struct Transients {
    made: Vec<PathBuf>,
}

impl Transients {
    /// Puts everything in place.
    pub(crate) fn put_in_place(&mut self, root: &Path, setup: &Setup) -> Result<(), Failure> {
        for (path, filesystem, flags, options) in FILE_SYSTEMS {
            let place = self.folder(root, Path::new(path))?;
            mount(filesystem, &place, filesystem, flags, options)
                .doing(|| format!("mounting {filesystem} on {path}"))?;
        }
        let lock = chroot::seen_from_outside(Some(root), Path::new("/run/lock"));
        fs_err::create_dir_all(&lock)?;
        fs_err::set_permissions(&lock, PermissionsExt::from_mode(0o1777))?;
        set_hostname(root, setup)?;
        if let Some(network) = &setup.network {
            self.resolv_conf(root, network)?;
        }
        self.policy(root)?;
        self.lay_in(root, "/etc/apt/apt.conf.d", "99kiln", APT)
    }

    /// Removes what was made to mount on; the mounts have gone by now.
    pub(crate) fn remove(&mut self, root: &Path) -> Result<(), Failure> {
        while let Some(path) = self.made.pop() {
            let about = |error: io::Error| Failure::new(format!("removing {}: {error}", path.display()));
            if !path.starts_with(root) {
                continue;
            }
            // A step may have put something of its own there: that stays.
            match path.symlink_metadata() {
                Ok(there) if there.is_dir() => match fs_err::remove_dir(&path) {
                    Err(error) if error.kind() != io::ErrorKind::DirectoryNotEmpty => {
                        return Err(about(error));
                    }
                    _ => {}
                },
                Ok(there) if there.is_file() && there.len() == 0 => {
                    fs_err::remove_file(&path).map_err(about)?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Resolves a folder of the image, or makes it.
    fn folder(&mut self, root: &Path, path: &Path) -> Result<PathBuf, Failure> {
        if let Some(place) = chroot::resolve(Some(root), path)? {
            return Ok(place);
        }
        let found = chroot::inside(Some(root), || {
            fs_err::create_dir(path)?;
            Ok(fs_err::canonicalize(path)?)
        })?;
        let place = chroot::seen_from_outside(Some(root), &found);
        // The kernel has one devtmpfs, which is no part of the image.
        if !path.starts_with("/dev/") {
            self.made.push(place.clone());
        }
        Ok(place)
    }

    fn resolv_conf(&mut self, root: &Path, network: &Network) -> Result<(), Failure> {
        let [a, b, c, d] = network.nameserver;
        let text = format!("nameserver {a}.{b}.{c}.{d}\n");
        let target = chroot::inside(Some(root), || Ok(final_target(Path::new("/etc/resolv.conf"))))?;
        self.lay_over(root, &target, "resolv.conf", &text, 0o644)
    }

    fn policy(&mut self, root: &Path) -> Result<(), Failure> {
        let folder = chroot::resolve(Some(root), Path::new("/usr/sbin"))?;
        let dpkg = chroot::resolve(Some(root), Path::new("/var/lib/dpkg"))?;
        if folder.is_none() || dpkg.is_none() {
            return Ok(());
        }
        let target = chroot::inside(Some(root), || Ok(final_target(Path::new("/usr/sbin/policy-rc.d"))))?;
        self.lay_over(root, &target, "policy-rc.d", POLICY, 0o755)
    }

    /// Lets the image see a file in a folder, where it has that.
    fn lay_in(&mut self, root: &Path, folder: &str, name: &str, text: &str) -> Result<(), Failure> {
        match chroot::resolve(Some(root), Path::new(folder))? {
            Some(_) => self.lay_over(root, &Path::new(folder).join(name), name, text, 0o644),
            None => Ok(()),
        }
    }

    /// Lets the image see `text` at `target`, a path of the image that holds no links at its end.
    fn lay_over(
        &mut self,
        root: &Path,
        target: &Path,
        name: &str,
        text: &str,
        mode: u32,
    ) -> Result<(), Failure> {
        let what = || format!("laying {name} over {}", target.display());
        let exists = chroot::resolve(Some(root), target)?;
        if volatile(root, target)? {
            // A file in the fresh tmpfs goes with it.
            return chroot::inside(Some(root), || {
                fs_err::create_dir_all(target.parent().unwrap_or(target))?;
                fs_err::write(target, text)?;
                Ok(fs_err::set_permissions(target, PermissionsExt::from_mode(mode))?)
            })
            .map_err(|failure| Failure::new(format!("{}: {failure}", what())));
        }
        let place = match exists {
            Some(place) => place,
            None => match self.file(root, target)? {
                Some(place) => place,
                None => return Ok(()),
            },
        };
        fs_err::create_dir_all(OWN)?;
        let own = Path::new(OWN).join(name);
        fs_err::write(&own, text)?;
        fs_err::set_permissions(&own, PermissionsExt::from_mode(mode))?;
        mount_bind(&own, &place).doing(what)
    }

    /// Makes an empty file to mount on, where the image has the folder for it.
    fn file(&mut self, root: &Path, path: &Path) -> Result<Option<PathBuf>, Failure> {
        let Some(folder) = path.parent() else { return Ok(None) };
        let (Some(folder), Some(name)) = (chroot::resolve(Some(root), folder)?, path.file_name()) else {
            return Ok(None);
        };
        let place = folder.join(name);
        fs_err::File::create(&place)?;
        self.made.push(place.clone());
        Ok(Some(place))
    }
}

/// Says whether a path of the image lies in a tmpfs that goes away, also through `/var/run`.
fn volatile(root: &Path, path: &Path) -> Result<bool, Failure> {
    let folder = path.parent().unwrap_or(path);
    let place = chroot::resolve(Some(root), folder)?;
    let place = place.unwrap_or_else(|| chroot::seen_from_outside(Some(root), folder));
    Ok(["run", "tmp", "var/run"].iter().any(|folder| place.starts_with(root.join(folder))))
}

/// Follows the links at the end of a path of this thread's root, also to where nothing is.
fn final_target(path: &Path) -> PathBuf {
    let mut path = path.to_owned();
    for _ in 0..16 {
        let Ok(link) = fs_err::read_link(&path) else { break };
        path = tidy(&path.parent().unwrap_or(Path::new("/")).join(link));
    }
    path
}

/// Takes `.` and `..` out.
fn tidy(path: &Path) -> PathBuf {
    let mut tidied = PathBuf::from("/");
    for part in path.components() {
        match part {
            Component::Normal(name) => tidied.push(name),
            Component::ParentDir => drop(tidied.pop()),
            _ => {}
        }
    }
    tidied
}

fn set_hostname(root: &Path, setup: &Setup) -> Result<(), Failure> {
    let name = match &setup.hostname {
        Some(name) => name.clone(),
        None => {
            chroot::inside(Some(root), || Ok(fs_err::read_to_string("/etc/hostname").unwrap_or_default()))?
        }
    };
    let name = name.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'));
    let name = name.unwrap_or("localhost");
    rustix::system::sethostname(name.as_bytes()).doing(|| format!("setting the host name {name:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_followed_to_where_nothing_is() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs_err::create_dir(at("etc")).unwrap();
        std::os::unix::fs::symlink("../run/./systemd/stub.conf", at("etc/resolv.conf")).unwrap();
        assert_eq!(final_target(&at("etc/resolv.conf")), at("run/systemd/stub.conf"));
        assert_eq!(final_target(&at("etc/none")), at("etc/none"));
        assert_eq!(tidy(Path::new("/../../a/../b")), Path::new("/b"));
    }
}
