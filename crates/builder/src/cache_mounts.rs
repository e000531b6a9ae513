//! `[[cache_mount]]`: folders of the guest that last from build to build and are no part of the image.
//!
//! ```text
//! cache/mounts/<key>/disk.raw      an empty ext4, made once and only read
//!                    disk.qcow2    everything that was written since
//!                    about         whose it is, for people
//!                    open          the boot of the host in which it was last used, until it is closed
//! ```
//! Each is a disk of the agent's machine. A build that finds one taken works on an empty one of its own: nothing ever waits
//! for a cache, and no two machines write to one disk.

use crate::{Error, Events, Home, Kiln, cache, key::KeyMaker, lock::Lock};
use kiln_machine::{
    Qemu,
    communicator::agent::{Device, Mount},
    config::{Disk, Interface},
};
use kiln_template::Template;
use kiln_types::Digest;
use std::{
    io,
    path::{Path, PathBuf},
};

/// The size of each; only what is written to it takes space.
const SIZE: u64 = 32 << 30;

/// A folder of the guest, and the disk that it lies on.
#[derive(Debug)]
pub(crate) struct CacheMount {
    /// What the guest finds the disk by.
    serial: String,
    path: String,
    folder: PathBuf,
    /// Held while it is used; a build's own needs none.
    _lock: Option<Lock>,
}

impl CacheMount {
    /// Returns the disk as a machine sees it.
    pub(crate) fn disk(&self) -> Disk {
        Disk {
            serial: self.serial.clone(),
            base: Some(empty_disk(&self.folder)),
            overlays: vec![written_disk(&self.folder)],
            interface: Interface::VirtioBlk,
        }
    }

    /// Returns how the agent mounts it.
    pub(crate) fn mount(&self) -> Mount {
        Mount {
            device: Device { serial: self.serial.clone(), partition: None },
            filesystem: "ext4".to_owned(),
            // Its tables are zeroed when they are used, and what is deleted takes no space here.
            options: "noinit_itable,discard".to_owned(),
            path: self.path.clone(),
            read_only: false,
            grow: false,
        }
    }

    /// Says that no machine has it open any more, and that its machine ended well.
    pub(crate) fn close(self) -> Result<(), Error> {
        fs_err::File::open(written_disk(&self.folder))?.sync_all()?;
        match fs_err::remove_file(open_note(&self.folder)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }
}

impl Home {
    /// Takes a cache mount, if no build has it.
    pub(crate) fn lock_mount(&self, key: &str) -> Result<Option<Lock>, Error> {
        Lock::try_now(&self.lock_path(&format!("mount-{key}")))
    }
}

/// Notes that a disk is written to. Nothing of that is flushed to the host's disk: what was open when the host went down is
/// worth nothing. (A killed build loses nothing that the guest had written.)
fn begin(folder: &Path) -> Result<(), Error> {
    let boot = fs_err::read("/proc/sys/kernel/random/boot_id")?;
    match fs_err::read(open_note(folder)) {
        Ok(earlier) if earlier != boot => fs_err::remove_file(written_disk(folder))?,
        _ => {}
    }
    Ok(fs_err::write(open_note(folder), boot)?)
}

fn open_note(folder: &Path) -> PathBuf {
    folder.join("open")
}

impl Kiln {
    /// Returns the folders that a template keeps, each on its disk; one that another build uses is empty in this one.
    pub(crate) fn cache_mounts(
        &self,
        template: &Template,
        qemu: &Qemu,
        build: &Path,
        events: &Events,
    ) -> Result<Vec<CacheMount>, Error> {
        let mounts = template.cache_mounts.iter().enumerate();
        mounts.map(|(index, path)| self.cache_mount(template, index, path, qemu, build, events)).collect()
    }

    fn cache_mount(
        &self,
        template: &Template,
        index: usize,
        path: &str,
        qemu: &Qemu,
        build: &Path,
        events: &Events,
    ) -> Result<CacheMount, Error> {
        let serial = format!("kiln-mount-{index}");
        let key = key(template, path).to_string();
        let mut folder = self.home.mounts().join(&key);
        let lock = self.home.lock_mount(&key)?;
        if lock.is_some() {
            fs_err::create_dir_all(&folder)?;
            cache::touch(&folder);
            fs_err::write(folder.join("about"), format!("{}: {path}", template.label()))?;
            begin(&folder)?;
        } else {
            events.note(format!(
                "{path} is used by another build; in this one it begins empty and is not kept"
            ));
            folder = build.join(&serial);
            fs_err::create_dir(&folder)?;
        }
        if !written_disk(&folder).exists() {
            kiln_disk::make_ext4(&empty_disk(&folder), SIZE)?;
            let staged = folder.join("disk.new");
            qemu.create_overlay(&staged, SIZE)?;
            fs_err::rename(staged, written_disk(&folder))?;
        }
        Ok(CacheMount { serial, path: path.to_owned(), folder, _lock: lock })
    }
}

fn empty_disk(folder: &Path) -> PathBuf {
    folder.join("disk.raw")
}

fn written_disk(folder: &Path) -> PathBuf {
    folder.join("disk.qcow2")
}

fn key(template: &Template, path: &str) -> Digest {
    let mut maker = KeyMaker::new("cache mount");
    maker.part("template", template.label().as_bytes());
    maker.part("architecture", template.machine.architecture.as_str().as_bytes());
    maker.part("path", path.as_bytes());
    maker.finish()
}
