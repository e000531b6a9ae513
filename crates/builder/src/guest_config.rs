//! What the host's configuration gives to every guest: proxies and certificate authorities.
//!
//! ```toml
//! [guest]
//! proxy = "http://proxy.example:3128"     # or http://name:password@…: the password is masked wherever it shows up
//! no_proxy = "example,10.0.0.0/8"
//! ca_certificates = ["company.pem"]       # relative to the configuration's folder
//! ```
//! They belong to the host and not to the template: the same template builds behind a proxy and without one. They reach
//! the programs of the steps only; nothing of them is written into the image, and they are in no cache key.

use base64::{Engine, prelude::BASE64_STANDARD};
use rustls_pki_types::{CertificateDer, pem::PemObject};
use serde::{Deserialize, de::IgnoredAny};
use std::{
    fmt, io,
    path::{Path, PathBuf},
};
use url::{Host, Url};

/// A file of certificates is text of some hundred KiB at most; a larger one was named by mistake.
const LARGEST_PEM: u64 = 4 << 20;

/// The guest's name for this host in QEMU's user network.
const HOST_ADDRESS: &str = "10.0.2.2";

/// What no proxy is ever asked for: the guest itself.
const OWN_NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// A mistake in the `[guest]` table of the host's configuration.
#[derive(Debug, thiserror::Error)]
pub enum GuestConfigError {
    /// It is not TOML, or has keys that mean nothing. The line itself is not shown: it may hold a password.
    #[error("line {line} of the configuration: {message}")]
    Toml {
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        message: String,
    },
    /// The proxy's address is none. The address itself is not shown: it may hold a password.
    #[error("guest.proxy is no address of a proxy: {why}")]
    Proxy {
        /// Which rule it breaks.
        why: String,
    },
    /// A file of certificates cannot be read.
    #[error("guest.ca_certificates: {} cannot be read", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A file holds no certificates.
    #[error("guest.ca_certificates: {} {why}", path.display())]
    NoCertificates {
        /// The file.
        path: PathBuf,
        /// What it holds instead.
        why: String,
    },
}

impl GuestConfigError {
    /// Returns what to type next.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Proxy { .. } => Some("proxy = \"http://proxy.example:3128\"".to_owned()),
            Self::NoCertificates { path, .. } => Some(format!(
                "openssl x509 -inform der -in '{0}' -out '{0}.pem'   # if it is a certificate in DER",
                path.display()
            )),
            Self::Toml { .. } | Self::Unreadable { .. } => None,
        }
    }
}

/// The `[guest]` table, checked.
#[derive(Clone, Default)]
pub struct GuestConfig {
    proxy: Option<Proxy>,
    no_proxy: Option<String>,
    certificates: Option<Vec<u8>>,
}

#[derive(Clone)]
struct Proxy {
    /// As the guest has to write it.
    address: String,
    /// The host's own address, where the guest's differs.
    loopback: Option<String>,
    secrets: Vec<String>,
}

impl fmt::Debug for GuestConfig {
    /// Leaves the proxy out, which may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("GuestConfig");
        debug.field("proxy", &self.proxy.is_some()).field("no_proxy", &self.no_proxy);
        debug.field("certificates", &self.certificates.as_ref().map(Vec::len)).finish()
    }
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    guest: Guest,
    /// Another module's.
    #[serde(default, rename = "region")]
    _region: Option<IgnoredAny>,
    /// Another module's.
    #[serde(default, rename = "account")]
    _account: Option<IgnoredAny>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Guest {
    proxy: Option<String>,
    no_proxy: Option<String>,
    #[serde(default)]
    ca_certificates: Vec<PathBuf>,
}

impl GuestConfig {
    /// Reads the configuration's text, and the files that it names relative to `folder`.
    ///
    /// # Errors
    /// With the first mistake.
    pub fn parse(text: &str, folder: &Path) -> Result<Self, GuestConfigError> {
        let file: File = toml::from_str(text).map_err(|error| {
            let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
            let line = before.matches('\n').count() + 1;
            GuestConfigError::Toml { line, message: error.message().to_owned() }
        })?;
        let Guest { proxy, no_proxy, ca_certificates } = file.guest;
        let paths: Vec<_> = ca_certificates.iter().map(|path| folder.join(path)).collect();
        Ok(Self {
            proxy: proxy.filter(|proxy| !proxy.is_empty()).map(|proxy| Proxy::parse(&proxy)).transpose()?,
            no_proxy,
            certificates: ca_pem(&paths)?,
        })
    }

    /// Returns the variables for every program of a step, in both cases: curl reads the small ones, others the large.
    #[must_use]
    pub fn environment(&self) -> Vec<(String, String)> {
        let Some(proxy) = &self.proxy else { return Vec::new() };
        let given = self.no_proxy.iter().flat_map(|names| names.split(','));
        let mut names: Vec<_> = given.map(str::trim).filter(|name| !name.is_empty()).collect();
        for own in OWN_NAMES {
            if !names.contains(&own) {
                names.push(own);
            }
        }
        let no_proxy = names.join(",");
        let variables =
            [("http_proxy", &proxy.address), ("https_proxy", &proxy.address), ("no_proxy", &no_proxy)];
        let both = |(name, value): (&str, &String)| {
            [(name.to_owned(), value.clone()), (name.to_uppercase(), value.clone())]
        };
        variables.into_iter().flat_map(both).collect()
    }

    /// Returns what must be masked in all output: the proxy's password, as it is and as it is written.
    pub fn secrets(&self) -> impl Iterator<Item = &str> {
        self.proxy.iter().flat_map(|proxy| &proxy.secrets).map(String::as_str)
    }

    /// Returns the certificates to add to the guest's own, in PEM.
    #[must_use]
    pub fn ca_certificates(&self) -> Option<&[u8]> {
        self.certificates.as_deref()
    }

    /// Says where the guest's address of the proxy differs from the host's, for people.
    #[must_use]
    pub fn note(&self) -> Option<String> {
        let loopback = self.proxy.as_ref()?.loopback.as_ref()?;
        Some(format!("proxy: the guest reaches {loopback} of this host at {HOST_ADDRESS}"))
    }
}

impl Proxy {
    fn parse(text: &str) -> Result<Self, GuestConfigError> {
        let wrong = |why: String| GuestConfigError::Proxy { why };
        let mut url = Url::parse(text).map_err(|error| wrong(error.to_string()))?;
        if !matches!(url.scheme(), "http" | "https" | "socks5h") {
            let scheme = url.scheme();
            return Err(wrong(format!(
                "it begins with {scheme}:, and not with http://, https:// or socks5h://"
            )));
        }
        if url.path().len() > 1 || url.query().is_some() || url.fragment().is_some() {
            return Err(wrong("nothing may follow the port".to_owned()));
        }
        let secrets = secrets(&url);
        let host = url.host().map(|host| host.to_owned());
        let loopback = match &host {
            Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            None => return Err(wrong("it names no host".to_owned())),
        };
        if loopback {
            url.set_host(Some(HOST_ADDRESS)).map_err(|error| wrong(error.to_string()))?;
        }
        Ok(Self {
            // A trailing slash is right and confuses some programs.
            address: url.as_str().trim_end_matches('/').to_owned(),
            loopback: host.filter(|_| loopback).map(|host| host.to_string()),
            secrets,
        })
    }
}

/// Returns the password as it is written and as it is meant, and with the name as requests carry it.
fn secrets(url: &Url) -> Vec<String> {
    let Some(written) = url.password() else { return Vec::new() };
    let meant = percent_encoding::percent_decode_str(written).decode_utf8_lossy().into_owned();
    let header = BASE64_STANDARD.encode(format!("{}:{meant}", url.username()));
    let mut secrets = vec![header, written.to_owned(), meant];
    secrets.dedup();
    secrets
}

/// Reads files of certificates and checks that each holds nothing else. `None` where there are no files.
fn ca_pem(paths: &[PathBuf]) -> Result<Option<Vec<u8>>, GuestConfigError> {
    let mut all = Vec::new();
    for path in paths {
        let text =
            read(path).map_err(|source| GuestConfigError::Unreadable { path: path.clone(), source })?;
        check(&text).map_err(|why| GuestConfigError::NoCertificates { path: path.clone(), why })?;
        all.extend_from_slice(&text);
        if !text.ends_with(b"\n") {
            all.push(b'\n');
        }
    }
    Ok((!paths.is_empty()).then_some(all))
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let length = fs_err::metadata(path)?.len();
    if length > LARGEST_PEM {
        return Err(io::Error::other(format!("{length} bytes are no file of certificates")));
    }
    fs_err::read(path)
}

fn check(text: &[u8]) -> Result<(), String> {
    // Whoever names a key by mistake must not find it in guests.
    if text.windows(12).any(|window| window == b"PRIVATE KEY-") {
        return Err("holds a private key, and guests get only certificates".to_owned());
    }
    let mut count = 0;
    for certificate in CertificateDer::pem_slice_iter(text) {
        count += 1;
        let certificate = certificate
            .map_err(|error| format!("holds a damaged certificate, the {count}. in it: {error}"))?;
        webpki::anchor_from_trusted_cert(&certificate)
            .map_err(|error| format!("holds what is no X.509 certificate, the {count}. in it: {error}"))?;
    }
    if count == 0 {
        Err("holds no certificate in PEM (-----BEGIN CERTIFICATE-----)".to_owned())
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
