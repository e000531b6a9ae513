//! Giving a file to the host.

use super::{failure::Failure, outbox::Outbox};
use crate::protocol::{CHUNK, Reply};
use std::io::Read;

/// Sends the bytes of a file of this thread's root.
pub(crate) fn send(id: u32, path: &str, outbox: &Outbox) -> Result<(), Failure> {
    if !fs_err::metadata(path)?.is_file() {
        return Err(Failure::new(format!("{path} is not a file")));
    }
    let mut file = fs_err::File::open(path)?;
    loop {
        let mut bytes = vec![0; CHUNK];
        let count = file.read(&mut bytes)?;
        if count == 0 {
            return Ok(());
        }
        bytes.truncate(count);
        outbox.send_bulk(id, &Reply::Chunk(bytes));
    }
}
