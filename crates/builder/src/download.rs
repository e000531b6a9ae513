//! Downloads: resumed, shown, and landed only when their checksum is right.
//!
//! ```text
//! cache/downloads/<digest>-<name>.part    what has come so far; a later run goes on from there
//! cache/downloads/<digest>-<name>.lock    held by whoever fetches it
//! cache/downloads/<digest>-<name>         verified, never changed once there
//! ```

use crate::{Error, Events, cancel::Cancel, checksum::Expected, lock::Lock};
use std::{
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    time::Duration,
};

/// Bytes read at a time: also how often a cancelled download notices.
const CHUNK: usize = 256 << 10;

/// The largest checksum file that is read: some list a whole mirror's folder.
const LARGEST_CHECKSUM_FILE: u64 = 4 << 20;

/// Fetches small texts and large files over http(s).
#[derive(Debug)]
pub(crate) struct Downloader {
    agent: ureq::Agent,
}

impl Default for Downloader {
    fn default() -> Self {
        let config = ureq::Agent::config_builder()
            .timeout_connect(Some(Duration::from_secs(30)))
            .timeout_recv_response(Some(Duration::from_secs(60)))
            .http_status_as_error(false)
            .user_agent(concat!("kiln/", env!("CARGO_PKG_VERSION")))
            .build();
        Self { agent: config.into() }
    }
}

impl Downloader {
    /// Fetches a checksum file.
    ///
    /// # Errors
    /// When it cannot be fetched, is no text, or is too large to be one.
    pub(crate) fn text(&self, url: &str) -> Result<String, Error> {
        let mut response = self.get(url, 0)?;
        if response.status() != 200 {
            return Err(Error::HttpStatus { url: url.to_owned(), status: response.status().as_u16() });
        }
        let body = response.body_mut().with_config().limit(LARGEST_CHECKSUM_FILE);
        body.read_to_string().map_err(|source| failed(url, source))
    }

    /// Fetches `url` into `folder`, or returns the verified file that is there already.
    ///
    /// # Errors
    /// When the server does not give it, or gives something else than was expected.
    pub(crate) fn file(
        &self,
        url: &str,
        expected: &Expected,
        folder: &Path,
        events: &Events,
        cancel: &Cancel,
    ) -> Result<PathBuf, Error> {
        let target = folder.join(format!("{}-{}", &expected.hex()[..16], file_name(url)));
        // Two builds may want the same file: one fetches it, the other waits and finds it.
        let _fetching = Lock::wait(&target.with_added_extension("lock"))?;
        if target.exists() {
            return Ok(target);
        }
        let part = target.with_added_extension("part");
        let resumed = self.fetch_part(url, &part, events, cancel)?;
        let mut verified = expected.verify(&part, url);
        if verified.is_err() && resumed {
            // What was there before may have been another version of the file: once more from the start.
            events.warning(format!("{url}: the resumed download is not what was expected; starting again"));
            fs_err::remove_file(&part)?;
            self.fetch_part(url, &part, events, cancel)?;
            verified = expected.verify(&part, url);
        }
        if let Err(error) = verified {
            fs_err::remove_file(&part)?;
            return Err(error);
        }
        fs_err::rename(&part, &target)?;
        Ok(target)
    }

    /// Brings `part` to the full length, and says whether it went on from an earlier run's bytes.
    fn fetch_part(&self, url: &str, part: &Path, events: &Events, cancel: &Cancel) -> Result<bool, Error> {
        let mut file = fs_err::OpenOptions::new().create(true).truncate(false).write(true).open(part)?;
        let have = file.metadata()?.len();
        let mut response = self.get(url, have)?;
        let start = match response.status().as_u16() {
            206 => have,
            // The server sends the whole file, whether or not it was asked to.
            200 => 0,
            // Nothing lies after what is here: the file was complete.
            416 if have > 0 => return Ok(true),
            status => return Err(Error::HttpStatus { url: url.to_owned(), status }),
        };
        file.set_len(start)?;
        file.seek(SeekFrom::Start(start))?;
        let total = response.body().content_length().map_or(0, |rest| start + rest);
        let mut body = response.body_mut().as_reader();
        let mut buffer = vec![0; CHUNK];
        let mut done = start;
        loop {
            if cancel.is_set() {
                return Err(Error::Interrupted);
            }
            let n = body.read(&mut buffer).map_err(|source| Error::Body { url: url.to_owned(), source })?;
            if n == 0 {
                break;
            }
            file.write_all(&buffer[..n])?;
            done += u64::try_from(n).unwrap_or_default();
            events.progress(done, total);
        }
        file.sync_all()?;
        if done < total {
            let source =
                io::Error::new(io::ErrorKind::UnexpectedEof, format!("{done} of {total} bytes came"));
            return Err(Error::Body { url: url.to_owned(), source });
        }
        Ok(start > 0)
    }

    fn get(&self, url: &str, from: u64) -> Result<ureq::http::Response<ureq::Body>, Error> {
        let request = self.agent.get(url);
        // A compressed answer could not be resumed, and would not be the file that was asked for.
        let request = request.header("Accept-Encoding", "identity");
        let request = if from > 0 { request.header("Range", format!("bytes={from}-")) } else { request };
        request.call().map_err(|source| failed(url, source))
    }
}

fn failed(url: &str, source: ureq::Error) -> Error {
    Error::Http { url: url.to_owned(), source: Box::new(source) }
}

/// Returns the last part of a URL's path, made safe as a file name.
pub(crate) fn file_name(url: &str) -> String {
    let path = url.split(['?', '#']).next().unwrap_or(url);
    let name = path.rsplit('/').find(|part| !part.is_empty()).unwrap_or("download");
    let safe = |c: char| if c.is_ascii_alphanumeric() || "._-+".contains(c) { c } else { '_' };
    name.chars().map(safe).take(100).collect()
}

#[cfg(test)]
mod tests;
