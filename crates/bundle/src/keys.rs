//! Certificates and private keys: what wraps a bundle's key, and what signs its manifest.
//!
//! A certificate is nothing but the container of a public key here: bundles never look at its dates, issuer or use.

use crate::{Error, hex};
use getrandom::{SysRng, rand_core::UnwrapErr};
use rsa::{
    Pkcs1v15Encrypt, RsaPrivateKey, RsaPublicKey,
    pkcs1::DecodeRsaPrivateKey,
    pkcs1v15::{Signature, SigningKey, VerifyingKey},
    pkcs8::{DecodePrivateKey, DecodePublicKey, EncodePrivateKey, EncodePublicKey, LineEnding},
    signature::{SignatureEncoding, Signer, Verifier},
};
use sha1::Sha1;
use std::{fmt, path::Path, str::FromStr, time::Duration};
use x509_cert::{
    builder::{Builder, CertificateBuilder, profile::cabf::Root},
    der::{DecodePem, Encode, EncodePem},
    name::Name,
    serial_number::SerialNumber,
    spki::SubjectPublicKeyInfoOwned,
    time::Validity,
};

/// What Amazon's own tools take and make.
const BITS: usize = 2048;
/// How long a certificate of [`generate`] says that it is valid; nobody looks.
const VALID: Duration = Duration::from_hours(24 * 3650);

/// The public key of a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate(RsaPublicKey);

/// An RSA private key.
#[derive(Clone)]
pub struct PrivateKey(RsaPrivateKey);

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKey")
    }
}

impl Certificate {
    /// Reads an X.509 certificate in PEM; other text around it is passed over.
    ///
    /// # Errors
    /// When there is none, or its key is not RSA.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let text = fs_err::read_to_string(path)?;
        let bad = |reason: String| Error::Certificate { path: path.to_owned(), reason };
        let block = pem_block(&text, "CERTIFICATE").ok_or_else(|| bad("no CERTIFICATE block".to_owned()))?;
        let certificate = x509_cert::Certificate::from_pem(block).map_err(|error| bad(error.to_string()))?;
        let info = certificate.tbs_certificate().subject_public_key_info().to_der();
        let info = info.map_err(|error| bad(error.to_string()))?;
        RsaPublicKey::from_public_key_der(&info).map(Self).map_err(|error| bad(error.to_string()))
    }

    /// Encrypts a key or an IV: its hexadecimal text, as the format has it.
    pub(crate) fn wrap(&self, secret: &[u8; 16]) -> Result<Vec<u8>, Error> {
        let text = hex::encode(secret);
        let wrapped = self.0.encrypt(&mut UnwrapErr(SysRng), Pkcs1v15Encrypt, text.as_bytes());
        wrapped.map_err(|source| Error::Rsa { operation: "encrypt the bundle's key", source })
    }

    pub(crate) fn verify(&self, signed: &[u8], signature: &[u8]) -> Result<(), Error> {
        let signature = Signature::try_from(signature).map_err(|_shape| Error::Signature)?;
        let key = VerifyingKey::<Sha1>::new(self.0.clone());
        key.verify(signed, &signature).map_err(|_mismatch| Error::Signature)
    }
}

impl PrivateKey {
    /// Reads a private key in PEM, PKCS#1 or PKCS#8; other text around it is passed over.
    ///
    /// # Errors
    /// When there is none, it has a passphrase, or it is not RSA.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let text = fs_err::read_to_string(path)?;
        let bad = |reason: String| Error::PrivateKey { path: path.to_owned(), reason };
        if let Some(block) = pem_block(&text, "RSA PRIVATE KEY") {
            return RsaPrivateKey::from_pkcs1_pem(block).map(Self).map_err(|error| bad(error.to_string()));
        }
        let block = pem_block(&text, "PRIVATE KEY");
        let block = block.ok_or_else(|| bad("no PRIVATE KEY block without a passphrase".to_owned()))?;
        RsaPrivateKey::from_pkcs8_pem(block).map(Self).map_err(|error| bad(error.to_string()))
    }

    /// Decrypts a key or an IV; nothing where it is not one, whatever the reason.
    pub(crate) fn unwrap_secret(&self, wrapped: &[u8]) -> Option<[u8; 16]> {
        let text = self.0.decrypt_blinded(&mut UnwrapErr(SysRng), Pkcs1v15Encrypt, wrapped).ok()?;
        hex::decode(std::str::from_utf8(&text).ok()?)?.try_into().ok()
    }

    pub(crate) fn sign(&self, bytes: &[u8]) -> Result<Vec<u8>, Error> {
        let signed = SigningKey::<Sha1>::new(self.0.clone()).try_sign(bytes);
        let failed = |_opaque| Error::Rsa { operation: "sign the manifest", source: rsa::Error::Internal };
        signed.map(|signature| signature.to_vec()).map_err(failed)
    }

    /// Returns what its certificates hold.
    pub(crate) fn certificate(&self) -> Certificate {
        Certificate(self.0.to_public_key())
    }
}

/// Makes a throw-away pair: a self-signed certificate and its private key, both in PEM.
///
/// # Errors
/// When the key or the certificate cannot be made.
pub fn generate(common_name: &str) -> Result<(String, String), Error> {
    let failed = |error: &dyn fmt::Display| Error::Generate(error.to_string());
    let key = RsaPrivateKey::new(&mut UnwrapErr(SysRng), BITS)
        .map_err(|source| Error::Rsa { operation: "make a private key", source })?;
    let info = key.to_public_key().to_public_key_der().map_err(|error| failed(&error))?;
    let info = SubjectPublicKeyInfoOwned::try_from(info.as_bytes()).map_err(|error| failed(&error))?;
    // The country is what the profile asks of a root.
    let name = Name::from_str(&format!("CN={common_name},O=Kiln,C=XX")).map_err(|error| failed(&error))?;
    let mut serial = [0; 8];
    getrandom::fill(&mut serial).map_err(|error| failed(&error))?;
    // A positive number.
    serial[0] &= 0x7f;
    let serial = SerialNumber::new(&serial).map_err(|error| failed(&error))?;
    let validity = Validity::from_now(VALID).map_err(|error| failed(&error))?;
    let root = Root::new(false, name).map_err(|error| failed(&error))?;
    let builder = CertificateBuilder::new(root, serial, validity, info).map_err(|error| failed(&error))?;
    let signer = SigningKey::<rsa::sha2::Sha256>::new(key.clone());
    let certificate = builder.build::<_, Signature>(&signer).map_err(|error| failed(&error))?;
    let certificate = certificate.to_pem(LineEnding::LF).map_err(|error| failed(&error))?;
    let key = key.to_pkcs8_pem(LineEnding::LF).map_err(|error| failed(&error))?;
    Ok((certificate, key.to_string()))
}

/// Finds the first block of a label in a PEM file.
fn pem_block<'a>(text: &'a str, label: &str) -> Option<&'a str> {
    let (begin, end) = (format!("-----BEGIN {label}-----"), format!("-----END {label}-----"));
    let block = text.get(text.find(&begin)?..)?;
    block.get(..block.find(&end)? + end.len())
}
