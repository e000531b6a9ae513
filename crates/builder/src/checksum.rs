//! What a file must hash to, given in a template or found in a checksum file.

use crate::Error;
use kiln_types::Digest;
use sha2::{Sha256, Sha512};
use std::{fmt::Write as _, io::Read, path::Path};

/// The digest that a file must have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Expected {
    /// A SHA-256 digest, in lower-case hexadecimal digits.
    Sha256(String),
    /// A SHA-512 digest, in lower-case hexadecimal digits.
    Sha512(String),
}

impl Expected {
    /// Takes a digest for what its length says it is.
    #[must_use]
    pub(crate) fn from_hex(hex: &str) -> Option<Self> {
        let hex = hex.to_ascii_lowercase();
        let digits = hex.bytes().all(|b| b.is_ascii_hexdigit());
        match hex.len() {
            64 if digits => Some(Self::Sha256(hex)),
            128 if digits => Some(Self::Sha512(hex)),
            _ => None,
        }
    }

    /// Finds the digest of `file_name` in a checksum file, in GNU's form (`digest  name`, `digest *name`) or
    /// BSD's (`SHA256 (name) = digest`). A file that holds a single digest and no name is taken too.
    #[must_use]
    pub(crate) fn find(text: &str, file_name: &str) -> Option<Self> {
        let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        if let [only] = lines.as_slice()
            && let Some(digest) = Self::from_hex(only)
        {
            return Some(digest);
        }
        lines.into_iter().find_map(|line| {
            let (digest, name) = match line.split_once(") = ") {
                Some((left, digest)) => (digest, left.split_once('(')?.1),
                None => line.split_once(char::is_whitespace)?,
            };
            let name = name.trim().trim_start_matches('*').trim_start_matches("./");
            (name == file_name).then(|| Self::from_hex(digest.trim()))?
        })
    }

    /// Returns the hexadecimal digits.
    #[must_use]
    pub(crate) fn hex(&self) -> &str {
        match self {
            Self::Sha256(hex) | Self::Sha512(hex) => hex,
        }
    }

    /// Reads `path` and compares; `subject` is what the error calls it.
    ///
    /// # Errors
    /// When the file cannot be read or is another one.
    pub(crate) fn verify(&self, path: &Path, subject: &str) -> Result<(), Error> {
        let found = match self {
            Self::Sha256(_) => file_digest::<Sha256>(path)?,
            Self::Sha512(_) => file_digest::<Sha512>(path)?,
        };
        if found == self.hex() {
            return Ok(());
        }
        let kind = match self {
            Self::Sha256(_) => "sha256",
            Self::Sha512(_) => "sha512",
        };
        Err(Error::Checksum { subject: subject.to_owned(), kind, expected: self.hex().to_owned(), found })
    }
}

/// Returns a file's SHA-256 digest.
pub(crate) fn file_sha256(path: &Path) -> Result<Digest, Error> {
    Ok(Digest::from_bytes(hash::<Sha256>(path)?.into()))
}

/// Returns a file's digest in hexadecimal digits.
fn file_digest<D: sha2::Digest>(path: &Path) -> Result<String, Error> {
    let mut hex = String::new();
    for byte in hash::<D>(path)? {
        write!(hex, "{byte:02x}").expect("a string takes what is written");
    }
    Ok(hex)
}

fn hash<D: sha2::Digest>(path: &Path) -> Result<sha2::digest::Output<D>, Error> {
    let mut file = fs_err::File::open(path)?;
    let mut hasher = D::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        let n = file.read(&mut buffer)?;
        if n == 0 {
            return Ok(hasher.finalize());
        }
        hasher.update(&buffer[..n]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_checksum_files() {
        let a = "a".repeat(64);
        let b = "b".repeat(128);
        let text = format!("{b}  other.qcow2\n{a} *disk.qcow2\n");
        assert_eq!(Expected::find(&text, "disk.qcow2"), Some(Expected::Sha256(a.clone())));
        assert_eq!(Expected::find(&text, "other.qcow2"), Some(Expected::Sha512(b.clone())));
        assert_eq!(Expected::find(&text, "isk.qcow2"), None);
        let bsd = format!("SHA512 (disk.qcow2) = {b}\n");
        assert_eq!(Expected::find(&bsd, "disk.qcow2"), Some(Expected::Sha512(b)));
        assert_eq!(Expected::find(&a, "anything"), Some(Expected::Sha256(a)));
    }

    #[test]
    fn a_file_is_compared_by_the_kind_of_its_digest() {
        let world = tempfile::tempdir().unwrap();
        let path = world.path().join("abc");
        fs_err::write(&path, b"abc").unwrap();
        // FIPS 180-4's examples.
        let sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let sha512 = "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a\
                      2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f";
        assert!(Expected::from_hex(sha256).unwrap().verify(&path, "abc").is_ok());
        assert!(Expected::from_hex(&sha512.to_uppercase()).unwrap().verify(&path, "abc").is_ok());
        let other = Expected::from_hex(&"0".repeat(64)).unwrap();
        assert!(matches!(other.verify(&path, "abc"), Err(Error::Checksum { found, .. }) if found == sha256));
    }
}
