//! A bundle for another region: its manifest written anew, its parts untouched.

use crate::{
    Certificate, Error, Place, PrivateKey, Sealed, SignedManifest,
    extract::{Secrets, secrets},
    hex,
    manifest::MAX_MANIFEST,
};

/// What becomes different; what is `None` stays.
#[derive(Debug, Clone, Default)]
pub struct Changes {
    /// The kernel there.
    pub kernel_id: Option<String>,
    /// The RAM disk there.
    pub ramdisk_id: Option<String>,
    /// The certificate of the region there.
    pub ec2_certificate: Option<Certificate>,
}

/// Writes a changed manifest, signed with the user's key, beside the parts of the old one.
///
/// # Errors
/// When the old manifest is not signed by the certificate, the key is not the certificate's or does not open the bundle,
/// or there is a file of that name that is not the old manifest itself.
pub fn migrate(
    place: &Place,
    manifest: &str,
    output: &str,
    certificate: &Certificate,
    key: &PrivateKey,
    changes: &Changes,
) -> Result<(), Error> {
    let old = SignedManifest::read(place, manifest)?;
    old.verify(certificate)?;
    if key.certificate() != *certificate {
        return Err(Error::Invalid("the private key is not the certificate's".to_owned()));
    }
    let mut new = old.manifest;
    if let Some(id) = &changes.kernel_id {
        new.machine.kernel_id = Some(id.clone());
    }
    if let Some(id) = &changes.ramdisk_id {
        new.machine.ramdisk_id = Some(id.clone());
    }
    if let Some(ec2) = &changes.ec2_certificate {
        let Secrets { aes, iv, .. } = secrets(&new, key)?;
        new.key = Sealed { ec2: hex::encode(&ec2.wrap(&aes)?), user: new.key.user };
        new.iv = Sealed { ec2: hex::encode(&ec2.wrap(&iv)?), user: new.iv.user };
    }
    if manifest != output && place.get(output, MAX_MANIFEST)?.is_some() {
        return Err(Error::Exists(place.shown(output)));
    }
    place.put(output, new.write(key)?.as_bytes())
}
