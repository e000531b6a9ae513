//! Certificate authorities of the host that programs trust while the image is built.
//!
//! ```text
//! /etc/ssl/certs/ca-certificates.crt         what was there, and the host's after it
//! /etc/ssl/certs/.kiln-ca-certificates.crt   the image's own, until it goes back to its place
//! ```
//! No bind mount, as the other transient files are: a step that updates the image's authorities renames a new bundle over
//! this one, which a mount point refuses (EBUSY). What a step put there stays; it is only freed of the host's part.

use super::failure::{Doing, Failure};
use std::{
    collections::BTreeSet,
    io,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

/// Where distributions keep all certificates in one file: Debian and Alpine, Red Hat, SUSE.
const BUNDLES: [&str; 3] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/var/lib/ca-certificates/ca-bundle.pem",
];

/// A bundle that holds more than the image's own.
#[derive(Debug)]
pub(crate) struct Extended {
    place: PathBuf,
    /// The bytes that were put after the image's own.
    added: Vec<u8>,
}

/// Adds certificates to every bundle of this thread's root.
pub(crate) fn extend(certificates: &[u8]) -> Result<Vec<Extended>, Failure> {
    // The image's last line may lack its end.
    let added = [b"\n".as_slice(), certificates, b"\n"].concat();
    // Two names may lead to one file.
    let places: BTreeSet<_> = BUNDLES.iter().filter_map(|bundle| fs_err::canonicalize(bundle).ok()).collect();
    places.into_iter().map(|place| Extended::new(place, added.clone())).collect()
}

impl Extended {
    fn new(place: PathBuf, added: Vec<u8>) -> Result<Self, Failure> {
        let own = own(&place);
        let (mode, bundle) =
            (fs_err::metadata(&place)?.mode(), [fs_err::read(&place)?, added.clone()].concat());
        // The image's file itself goes back later, with its times and its place on the disk.
        fs_err::rename(&place, &own)?;
        fs_err::write(&place, bundle)?;
        fs_err::set_permissions(&place, PermissionsExt::from_mode(mode & 0o7777))?;
        Ok(Self { place, added })
    }

    /// Puts the image's own bundle back, unless a step made another one: that loses the host's part alone.
    pub(crate) fn restore(&self) -> Result<(), Failure> {
        let own = own(&self.place);
        let now = match fs_err::read(&self.place) {
            Ok(now) => now,
            // A step removed it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(fs_err::remove_file(own)?),
            Err(error) => return Err(error.into()),
        };
        let before = fs_err::read(&own)?;
        if now.strip_suffix(&*self.added) == Some(&before) {
            return Ok(fs_err::rename(own, &self.place)?);
        }
        if let Some(at) = now.windows(self.added.len().max(1)).position(|part| part == self.added) {
            let (head, tail) = (&now[..at], &now[at + self.added.len()..]);
            fs_err::write(&self.place, [head, tail].concat())
                .doing(|| "taking the host's part out".to_owned())?;
        }
        Ok(fs_err::remove_file(own)?)
    }
}

fn own(place: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from(".kiln-");
    name.push(place.file_name().unwrap_or_default());
    place.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extended(folder: &Path) -> Extended {
        let place = folder.join("ca.crt");
        fs_err::write(&place, "image").unwrap();
        Extended::new(place, b"\nhost\n".to_vec()).unwrap()
    }

    fn left(folder: &Path) -> Vec<(String, String)> {
        let entries = fs_err::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        entries.map(|path| (path.display().to_string(), fs_err::read_to_string(path).unwrap())).collect()
    }

    #[test]
    fn the_images_own_file_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        fs_err::write(folder.path().join("ca.crt"), "image").unwrap();
        let bundle = extended(folder.path());
        let inode = fs_err::metadata(own(&bundle.place)).unwrap().ino();
        assert_eq!(fs_err::read_to_string(&bundle.place).unwrap(), "image\nhost\n");
        bundle.restore().unwrap();
        assert_eq!(left(folder.path()), [(bundle.place.display().to_string(), "image".to_owned())]);
        assert_eq!(fs_err::metadata(&bundle.place).unwrap().ino(), inode);
    }

    #[test]
    fn what_a_step_put_there_stays() {
        for (made, stays) in [("new", "new"), ("image\nhost\nmore", "imagemore"), ("new\nhost\n", "new")] {
            let folder = tempfile::tempdir().unwrap();
            let bundle = extended(folder.path());
            fs_err::write(&bundle.place, made).unwrap();
            bundle.restore().unwrap();
            assert_eq!(
                left(folder.path()),
                [(bundle.place.display().to_string(), stays.to_owned())],
                "{made}"
            );
        }
        let folder = tempfile::tempdir().unwrap();
        let bundle = extended(folder.path());
        fs_err::remove_file(&bundle.place).unwrap();
        bundle.restore().unwrap();
        assert_eq!(left(folder.path()), []);
    }
}
