//! A disk from a bundle, with everything checked that the format can say.

use crate::{
    Certificate, Error, Manifest, Place, PrivateKey, SignedManifest, Watch, hex,
    member::{Archive, Put},
    unseal,
};
use std::{
    os::unix::fs::{FileExt, PermissionsExt},
    path::Path,
    sync::mpsc::sync_channel,
    thread,
};

/// Decrypted parts that wait: each may have 32 MiB.
const PARTS: usize = 1;
/// Chunks of the archive that wait.
const CHUNKS: usize = 16;

/// A bundle that was whole.
#[derive(Debug, Clone)]
pub struct Extracted {
    /// What it says of itself.
    pub manifest: Manifest,
    /// Whether the signature was checked: by the certificate that was given, or the user's own key.
    pub signature_checked: bool,
}

/// Checks a bundle and writes its disk to a file, which is there whole or not at all.
///
/// # Errors
/// When anything of the bundle is not as its manifest says, the key does not open it, or a file cannot be read or written.
pub fn extract(
    place: &Place,
    manifest: &str,
    key: &PrivateKey,
    certificate: Option<&Certificate>,
    output: &Path,
    watch: &Watch,
) -> Result<Extracted, Error> {
    // Renaming over it would take a device's place.
    if fs_err::symlink_metadata(output).is_ok_and(|found| !found.is_file()) {
        return Err(Error::Invalid(format!("`{}` is there and is not a file", output.display())));
    }
    let folder = output.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let permissions = std::fs::Permissions::from_mode(0o666);
    let staged =
        tempfile::Builder::new().prefix(".kiln-staged-").permissions(permissions).tempfile_in(folder)?;
    let file = staged.as_file();
    let mut put = |offset: u64, bytes: &[u8]| Ok(file.write_all_at(bytes, offset)?);
    let extracted = read(place, manifest, key, certificate, &mut put, watch)?;
    file.set_len(extracted.manifest.size)?;
    file.sync_all()?;
    staged.persist(output).map_err(|failed| failed.error)?;
    Ok(extracted)
}

/// Checks a bundle as [`extract`] does and writes nothing.
///
/// # Errors
/// As [`extract`].
pub fn verify(
    place: &Place,
    manifest: &str,
    key: &PrivateKey,
    certificate: Option<&Certificate>,
    watch: &Watch,
) -> Result<Extracted, Error> {
    read(place, manifest, key, certificate, &mut |_, _| Ok(()), watch)
}

fn read(
    place: &Place,
    name: &str,
    key: &PrivateKey,
    certificate: Option<&Certificate>,
    put: Put<'_>,
    watch: &Watch,
) -> Result<Extracted, Error> {
    let signed = SignedManifest::read(place, name)?;
    if let Some(certificate) = certificate {
        signed.verify(certificate)?;
    }
    let Secrets { aes, iv, users } = secrets(&signed.manifest, key)?;
    // Who opens the user's copy is the user, and signed it: anyone can make one that they can open. EC2's copy says nothing of who signed.
    let own = certificate.is_none() && users;
    if own {
        signed.verify(&key.certificate())?;
    }
    let manifest = signed.manifest;
    let digest = thread::scope(|scope| {
        let (to_inflate, encrypted) = sync_channel(PARTS);
        let (to_archive, archive) = sync_channel(CHUNKS);
        let manifest = &manifest;
        let parts = scope.spawn(move || unseal::parts(place, manifest, &aes, &iv, &to_inflate));
        let inflate = scope.spawn(move || unseal::inflate(encrypted, &to_archive));
        let digest = Archive::new(unseal::Chain::new(archive)).read(manifest.size, put, watch);
        // The first stage that failed knows why the others did.
        inflate.join().map_err(|_panic| Error::Worker).and_then(|inflated| {
            parts.join().map_err(|_panic| Error::Worker)??;
            inflated?;
            digest
        })
    })?;
    if hex::encode(&digest) != manifest.digest {
        return Err(Error::damaged("image/digest", "is not the archive's SHA-1"));
    }
    Ok(Extracted { manifest, signature_checked: own || certificate.is_some() })
}

/// What a private key opens of a manifest.
pub(crate) struct Secrets {
    pub(crate) aes: [u8; 16],
    pub(crate) iv: [u8; 16],
    /// Whether it was the user's copy, not EC2's.
    users: bool,
}

/// Opens the user's copy of key and vector, or else EC2's.
pub(crate) fn secrets(manifest: &Manifest, key: &PrivateKey) -> Result<Secrets, Error> {
    let open = |text: &str| hex::decode(text).and_then(|bytes| key.unwrap_secret(&bytes));
    let copies =
        [(&manifest.key.user, &manifest.iv.user, true), (&manifest.key.ec2, &manifest.iv.ec2, false)];
    let mut opened = copies
        .into_iter()
        .filter_map(|(key, iv, users)| Some(Secrets { aes: open(key)?, iv: open(iv)?, users }));
    opened.next().ok_or(Error::WrongKey)
}
