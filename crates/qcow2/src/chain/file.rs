//! The file under a qcow2-rs device: positioned reads on a file that is open already.
//!
//! qcow2-rs's own backends open files by name (and panic where one is missing), pass short reads on as data and
//! print. This one never writes, and fills a buffer whole or fails.

use qcow2_rs::{error::Qcow2Result, ops::Qcow2IoOps};
use std::{io, os::unix::fs::FileExt};

#[derive(Debug)]
pub(super) struct LayerFile(pub(super) fs_err::File);

impl Qcow2IoOps for LayerFile {
    async fn read_to(&self, offset: u64, buffer: &mut [u8]) -> Qcow2Result<usize> {
        let mut done = 0;
        while done < buffer.len() {
            let at = offset + u64::try_from(done).map_err(io::Error::other)?;
            match self.0.file().read_at(&mut buffer[done..], at) {
                // A file may end inside its last cluster: the rest reads as zeros (QEMU does the same).
                // A cluster wholly beyond the end is not there, and its table entry is wrong.
                Ok(0) if done == 0 => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
                Ok(0) => {
                    buffer[done..].fill(0);
                    break;
                }
                Ok(read) => done += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(buffer.len())
    }

    async fn write_from(&self, _offset: u64, _buffer: &[u8]) -> Qcow2Result<()> {
        Err(io::Error::from(io::ErrorKind::ReadOnlyFilesystem).into())
    }

    async fn fallocate(&self, _offset: u64, _len: usize, _flags: u32) -> Qcow2Result<()> {
        Err(io::Error::from(io::ErrorKind::ReadOnlyFilesystem).into())
    }

    async fn fsync(&self, _offset: u64, _len: usize, _flags: u32) -> Qcow2Result<()> {
        Ok(())
    }
}
