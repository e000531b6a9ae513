//! Empty disks with a file system.

use crate::{
    Error,
    process::{self, Tool},
};
use std::{path::Path, process::Command, sync::atomic::AtomicBool};

const MKE2FS: Tool =
    Tool { program: "mke2fs", purpose: "it makes the file system of a cache mount", package: "e2fsprogs" };

/// Makes a sparse raw disk of `size` bytes that is one empty ext4 file system.
///
/// # Errors
/// When `mke2fs` is missing or fails.
pub fn make_ext4(path: &Path, size: u64) -> Result<(), Error> {
    let make = || fs_err::File::create(path)?.set_len(size);
    make().map_err(|e| Error::io("create the new disk", e))?;
    let mut command = Command::new(MKE2FS.find()?);
    // No space is set aside for root, and tables are zeroed when they are used.
    command.args(["-q", "-F", "-t", "ext4", "-b", "4096", "-m", "0", "-J", "size=16"]);
    command.args(["-E", "lazy_itable_init=1,lazy_journal_init=1,nodiscard"]);
    process::run(command.arg("--").arg(path), &MKE2FS, &AtomicBool::new(false), &mut |_| {})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_file_system_takes_little_space() {
        use std::os::unix::fs::MetadataExt;
        let world = tempfile::tempdir().unwrap();
        let disk = world.path().join("-disk.raw");
        make_ext4(&disk, 32 << 30).unwrap();
        let metadata = fs_err::metadata(&disk).unwrap();
        assert_eq!(metadata.len(), 32 << 30);
        assert!(metadata.blocks() * 512 < 8 << 20, "{} blocks", metadata.blocks());
        let checked = Command::new("/usr/sbin/e2fsck").args(["-f", "-n", "--"]).arg(&disk).output().unwrap();
        assert!(checked.status.success(), "{checked:?}");
    }
}
