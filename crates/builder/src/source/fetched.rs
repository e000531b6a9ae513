//! A file that a template names by a path or a URL, with what it must hash to.

use super::{Lookups, Workshop};
use crate::{
    Error,
    checksum::Expected,
    download::{Downloader, file_name},
};
use kiln_template::{Checksum, Location};
use std::path::PathBuf;

/// Returns the path or URL as written.
pub(super) fn place(location: &Location) -> &str {
    match location {
        Location::Path(path) => &path.written,
        Location::Url(url) => url,
    }
}

/// Finds what the file must hash to; a checksum file behind a URL is fetched.
pub(super) fn expected(
    location: &Location,
    checksum: &Checksum,
    lookups: &Lookups,
) -> Result<Expected, Error> {
    let name = match location {
        Location::Path(path) => path.path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        Location::Url(url) => file_name(url),
    };
    let (text, place) = match checksum {
        Checksum::Sha256(digest) => return Ok(Expected::Sha256(digest.to_string())),
        Checksum::Sha512(hex) => return Ok(Expected::Sha512(hex.clone())),
        Checksum::Url(url) => (lookups.text(url)?, url.clone()),
        Checksum::File(file) => (fs_err::read_to_string(&file.path)?, file.written.clone()),
    };
    Expected::find(&text, &name).ok_or(Error::NotInChecksumFile { place, name })
}

/// Brings the verified file onto this host.
pub(super) fn obtain(
    location: &Location,
    checksum: &Checksum,
    workshop: &Workshop<'_>,
) -> Result<PathBuf, Error> {
    let expected = expected(location, checksum, &Lookups::new(workshop.home, false))?;
    match location {
        Location::Path(path) => {
            expected.verify(&path.path, &path.written)?;
            Ok(path.path.clone())
        }
        Location::Url(url) => {
            let folder = workshop.home.downloads();
            Downloader::default().file(url, &expected, &folder, workshop.events, workshop.cancel)
        }
    }
}
