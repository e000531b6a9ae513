//! Finding a disk by its serial.
//!
//! ```text
//! /sys/block/vda/serial           virtio-blk
//! /sys/block/nvme0n1/device/serial
//! /sys/block/vda/vda3/partition   "3"
//! ```

use super::failure::Failure;
use crate::model::Device;
use rustix::io::Errno;
use std::{
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

/// Drivers look for their disks while init runs already; under TCG on a busy host that takes seconds.
const PATIENCE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(5);

/// Waits for a device and returns its node.
pub(crate) fn find(device: &Device) -> Result<PathBuf, Failure> {
    let started = Instant::now();
    loop {
        if let Some(name) = name(Path::new("/sys/block"), device) {
            let node = Path::new("/dev").join(name);
            if is_there(&node) {
                return Ok(node);
            }
        }
        if started.elapsed() > PATIENCE {
            return Err(Failure::new(missing(device)));
        }
        thread::sleep(POLL);
    }
}

/// A disk that is being plugged in has its node a moment before the kernel has the disk: opening it is ENXIO until then.
fn is_there(node: &Path) -> bool {
    match fs_err::File::open(node) {
        Ok(_) => true,
        Err(error) => node.exists() && error.raw_os_error() != Some(Errno::NXIO.raw_os_error()),
    }
}

fn missing(device: &Device) -> String {
    let seen: Vec<String> = disks(Path::new("/sys/block"))
        .into_iter()
        .map(|disk| match serial(&disk) {
            Some(serial) => format!("{} ({serial})", file_name(&disk)),
            None => file_name(&disk),
        })
        .collect();
    let what = match device.partition {
        Some(number) => format!("partition {number} of a disk with serial {:?}", device.serial),
        None => format!("a disk with serial {:?}", device.serial),
    };
    format!("{what} did not appear; there are: {}", seen.join(", "))
}

fn name(sys_block: &Path, device: &Device) -> Option<String> {
    let disk = disks(sys_block).into_iter().find(|disk| serial(disk).as_ref() == Some(&device.serial))?;
    let Some(number) = device.partition else { return Some(file_name(&disk)) };
    let parts = fs_err::read_dir(&disk).ok()?.flatten().map(|entry| entry.path());
    let part = parts.into_iter().find(|part| text(&part.join("partition")) == Some(number.to_string()))?;
    Some(file_name(&part))
}

fn disks(sys_block: &Path) -> Vec<PathBuf> {
    fs_err::read_dir(sys_block)
        .map(|entries| entries.flatten().map(|entry| entry.path()).collect())
        .unwrap_or_default()
}

fn serial(disk: &Path) -> Option<String> {
    text(&disk.join("serial")).or_else(|| text(&disk.join("device/serial")))
}

fn text(path: &Path) -> Option<String> {
    fs_err::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disks_are_told_apart_by_their_serials() {
        let sys = tempfile::tempdir().unwrap();
        let put = |path: &str, text: &str| {
            let path = sys.path().join(path);
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            fs_err::write(path, text).unwrap();
        };
        put("vda/serial", "other");
        put("vdb/serial", "root\n");
        put("vdb/vdb3/partition", "3\n");
        put("vdb/vdb13/partition", "13\n");
        put("nvme0n1/device/serial", "data  \n");
        let find =
            |serial: &str, partition| name(sys.path(), &Device { serial: serial.to_owned(), partition });
        assert_eq!(find("root", Some(3)).as_deref(), Some("vdb3"));
        assert_eq!(find("root", Some(13)).as_deref(), Some("vdb13"));
        assert_eq!(find("root", None).as_deref(), Some("vdb"));
        assert_eq!(find("data", None).as_deref(), Some("nvme0n1"));
        assert_eq!(find("root", Some(1)), None);
    }
}
