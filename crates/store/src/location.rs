//! Where regions and bundles lie: a folder of this host, or a prefix in an S3 bucket.

use crate::{Error, aws};
use object_store::{
    ClientOptions, ObjectStore,
    aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey},
    client::ClientConfigKey,
    local::LocalFileSystem,
    path::Path as ObjectPath,
};
use std::{
    collections::BTreeMap,
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

/// Longest time in which a server may say nothing before a request is given up and tried again.
const SILENCE: Duration = Duration::from_secs(30);

/// Longest time for one request: a part of 8 MiB passes at half a Mbit/s.
const REQUEST: Duration = Duration::from_secs(150);

/// A place in object storage.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Location {
    /// A folder of this host, or one that hosts share.
    Folder(PathBuf),
    /// A prefix in a bucket of S3 or of a server that speaks its protocol.
    S3 {
        /// The bucket.
        bucket: String,
        /// What the names of all objects begin with; may be empty.
        prefix: ObjectPath,
        /// How the bucket is reached.
        settings: S3Settings,
    },
}

/// How S3 is reached and with which credentials: the variables `AWS_ENDPOINT_URL`, `AWS_REGION`, `AWS_ACCESS_KEY_ID` and
/// the others that AWS's tools know, and `HOME`, where those tools keep their profiles; a profile is read when S3 is
/// opened. Names that mean nothing here are passed over, as those tools do. Without credentials, those of the machine's
/// role are asked for.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct S3Settings(BTreeMap<String, String>);

impl FromIterator<(String, String)> for S3Settings {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(variables: I) -> Self {
        let ours = |name: &str| name.starts_with("AWS_") || name == "HOME";
        let said = variables.into_iter().filter(|(name, value)| ours(name) && !value.is_empty());
        Self(said.collect())
    }
}

impl fmt::Debug for S3Settings {
    /// Leaves the values out, of which some are secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Location {
    /// Parses a folder's path, `file:///path` or `s3://bucket/prefix`.
    ///
    /// # Errors
    /// [`Error::Location`] for anything else.
    pub fn parse(text: &str, settings: &S3Settings) -> Result<Self, Error> {
        let wrong = || Error::Location { location: text.to_owned() };
        match text.split_once("://") {
            None if text.is_empty() => Err(wrong()),
            None => Ok(Self::Folder(PathBuf::from(text))),
            Some(("file", path)) if path.starts_with('/') => Ok(Self::Folder(PathBuf::from(path))),
            Some(("s3", rest)) => {
                let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
                let prefix = ObjectPath::parse(prefix).map_err(|_not_a_path| wrong())?;
                if bucket.is_empty() || bucket.contains(['@', ':', '?', '#']) {
                    return Err(wrong());
                }
                Ok(Self::S3 { bucket: bucket.to_owned(), prefix, settings: settings.clone() })
            }
            Some(_) => Err(wrong()),
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(path) => fmt::Display::fmt(&path.display(), f),
            Self::S3 { bucket, prefix, .. } if prefix.as_ref().is_empty() => write!(f, "s3://{bucket}"),
            Self::S3 { bucket, prefix, .. } => write!(f, "s3://{bucket}/{prefix}"),
        }
    }
}

/// Opens the object storage at a location, and returns it with the prefix that the names of all objects there begin
/// with. A folder is made where there is none; S3 is not asked anything yet.
///
/// # Errors
/// When the folder cannot be made or opened, or a setting of S3 is not valid.
pub fn open_location(location: &Location) -> Result<(Arc<dyn ObjectStore>, ObjectPath), Error> {
    match location {
        Location::Folder(path) => Ok((Arc::new(folder(path)?), ObjectPath::default())),
        Location::S3 { bucket, prefix, settings } => {
            let store = s3(bucket, &aws::with_profile(&settings.0)?)
                .map_err(|source| Error::S3 { location: location.to_string(), source: Box::new(source) })?;
            Ok((Arc::new(store), prefix.clone()))
        }
    }
}

fn folder(path: &Path) -> Result<LocalFileSystem, Error> {
    let failed = |source| Error::Folder { path: path.to_owned(), source };
    fs_err::create_dir_all(path).map_err(failed)?;
    let store = LocalFileSystem::new_with_prefix(path).map_err(|source| failed(io::Error::other(source)))?;
    // A published record must not name a pack that a power cut takes away.
    Ok(store.with_fsync(true))
}

fn s3(bucket: &str, settings: &BTreeMap<String, String>) -> Result<AmazonS3, object_store::Error> {
    // Another part of the process may have named one; either will do.
    rustls::crypto::ring::default_provider().install_default().ok();
    let options = ClientOptions::new().with_timeout(REQUEST).with_read_timeout(SILENCE);
    let mut builder = AmazonS3Builder::new().with_client_options(options);
    for (name, value) in settings {
        match name.to_ascii_lowercase().parse() {
            // Whether the way is encrypted is said by the endpoint, and whose word it is by the host's certificates.
            Ok(AmazonS3ConfigKey::Client(
                ClientConfigKey::AllowHttp | ClientConfigKey::AllowInvalidCertificates,
            )) => {}
            Ok(key) => builder = builder.with_config(key, value),
            Err(_not_ours) => {}
        }
    }
    let endpoint = settings.get("AWS_ENDPOINT_URL_S3").or_else(|| settings.get("AWS_ENDPOINT_URL"));
    let plain = endpoint.is_some_and(|endpoint| endpoint.starts_with("http://"));
    builder.with_bucket_name(bucket).with_allow_http(plain).build()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Location, Error> {
        Location::parse(text, &S3Settings::default())
    }

    #[test]
    fn locations_are_folders_or_prefixes_in_buckets() {
        assert_eq!(parse("a/b").unwrap(), Location::Folder("a/b".into()));
        assert_eq!(parse("file:///a/b").unwrap(), Location::Folder("/a/b".into()));
        for (text, shown) in [("s3://team", "s3://team"), ("s3://team/images/eu/", "s3://team/images/eu")] {
            assert_eq!(parse(text).unwrap().to_string(), shown);
        }
        for wrong in
            ["", "s3://", "s3:///x", "s3://key:secret@host/x", "s3://a/b//c", "gs://x", "file://host/x"]
        {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn http_is_spoken_only_where_the_endpoint_says_so() {
        let settings = |endpoint: &str, allow: &str| {
            let given = [("AWS_ENDPOINT_URL", endpoint), ("AWS_ALLOW_HTTP", allow), ("AWS_PAGER", "less")];
            given.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect::<S3Settings>()
        };
        let client = |settings: &S3Settings| format!("{:?}", s3("team", &settings.0).unwrap());
        assert!(client(&settings("http://127.0.0.1:9", "false")).contains("allow_http: Parsed(true)"));
        assert!(client(&settings("https://s3.example", "true")).contains("allow_http: Parsed(false)"));
    }

    #[test]
    fn settings_do_not_show_secrets() {
        let secret = [("AWS_SECRET_ACCESS_KEY".to_owned(), "hunter2".to_owned())];
        let location = Location::parse("s3://team", &secret.into_iter().collect()).unwrap();
        let shown = format!("{location:?} {location}");
        assert!(shown.contains("AWS_SECRET_ACCESS_KEY") && !shown.contains("hunter2"), "{shown}");
    }
}
