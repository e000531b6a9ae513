//! What can go wrong with a bundle.

use std::{io, path::PathBuf};

/// An operation on a bundle that failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(clippy::error_impl_error, reason = "one error enum a crate, called by the crate's name")]
pub enum Error {
    /// A file cannot be read or written; its name stands in the source.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A certificate cannot be used.
    #[error("`{path}` holds no certificate with an RSA key: {reason}")]
    Certificate {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A private key cannot be used.
    #[error("`{path}` holds no RSA private key: {reason}")]
    PrivateKey {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// RSA refuses.
    #[error("cannot {operation}")]
    Rsa {
        /// What was to be done.
        operation: &'static str,
        /// Why not.
        source: rsa::Error,
    },
    /// A certificate cannot be made.
    #[error("cannot make a certificate: {0}")]
    Generate(String),
    /// Something given does not fit a bundle.
    #[error("{0}")]
    Invalid(String),
    /// A bundle of the same name is there already.
    #[error("`{0}` exists")]
    Exists(String),
    /// There is no manifest where one was looked for.
    #[error("`{0}` is not there")]
    NoManifest(String),
    /// An object store refuses, after it was asked again and again.
    #[error("cannot {operation} `{path}`")]
    Object {
        /// What was to be done.
        operation: &'static str,
        /// The object.
        path: String,
        /// What the store says.
        source: Box<object_store::Error>,
    },
    /// A manifest is not one that can be trusted with anything.
    #[error("manifest: {0}")]
    Manifest(String),
    /// The private key opens neither the user's nor EC2's copy of the key.
    #[error("the private key does not open this bundle")]
    WrongKey,
    /// The manifest is not signed by the certificate's key.
    #[error("manifest: the signature is not of this certificate's key")]
    Signature,
    /// The parts are not what the manifest says.
    #[error("{subject}: {reason}")]
    Damaged {
        /// The part or the manifest's field.
        subject: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Whoever waited for it gave up.
    #[error("interrupted")]
    Stopped,
    /// A stage of the pipeline ended without saying why.
    #[error("a thread of the bundle's pipeline ended early")]
    Worker,
}

impl Error {
    pub(crate) fn damaged(subject: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Damaged { subject: subject.into(), reason: reason.into() }
    }

    /// Returns what to do about it, where that is known.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Certificate { .. } | Self::PrivateKey { .. } => {
                Some("kiln bundle keygen -o DIR makes a certificate and its key".to_owned())
            }
            Self::Exists(_) => Some("name another folder, or another --prefix".to_owned()),
            Self::WrongKey => {
                Some("give the key of the certificate that the bundle was made with: --key FILE".to_owned())
            }
            Self::Damaged { .. } => Some("fetch the bundle again".to_owned()),
            _ => None,
        }
    }
}
