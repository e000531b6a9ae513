//! A bundle from elsewhere made a volume of this region.
//!
//! ```text
//! manifest, parts ─ every check of the format ─▶ raw disk in a build's folder ─▶ snapshot ─▶ `bundled_from` of an image
//! ```
//! The key is needed once and kept nowhere: instances, builds and exports take the disk from the snapshot.

use crate::{Error, Events, Kiln, Phase, base::stored, watched};
use kiln_bundle::{Certificate, Place, PrivateKey};
use kiln_qcow2::RawDisk;
use kiln_store::NewSnapshot;
use kiln_types::{ByteSize, ImageName, SnapshotId};

/// What is said where a key of the region's opened the bundle, and nobody told whose it should be.
pub(crate) const UNSIGNED: &str = "the signature of the bundle was not checked: no certificate was given";

/// A bundle to be unpacked for an image that is about to be registered.
#[derive(Debug, Clone)]
pub struct UnbundleRequest {
    /// Where the bundle lies.
    pub place: Place,
    /// How its manifest is called there.
    pub manifest: String,
    /// The user's or the region's private key.
    pub key: PrivateKey,
    /// The user's certificate: without one, only the user's own key checks the signature.
    pub certificate: Option<Certificate>,
    /// The name that the image will have.
    pub name: ImageName,
    /// Whether the image takes its name from the one that holds it.
    pub replace: bool,
}

impl Kiln {
    /// Checks a bundle and stores its disk as a snapshot of this region.
    ///
    /// # Errors
    /// When the name is taken, the key does not open the bundle, or anything of it is not as its manifest says; there is no
    /// snapshot then.
    pub async fn unbundle(&self, request: UnbundleRequest, events: &Events) -> Result<SnapshotId, Error> {
        let UnbundleRequest { place, manifest, key, certificate, name, replace } = request;
        self.check_name(&name, replace).await?;
        let folder = self.home.new_build()?;
        let raw = folder.path().join("unbundled.raw");
        let phase = events.begin(Phase::Unbundle { manifest: manifest.clone() });
        let to = raw.clone();
        let work = move |watch: &kiln_bundle::Watch| {
            Ok(kiln_bundle::extract(&place, &manifest, &key, certificate.as_ref(), &to, watch)?)
        };
        let extracted = watched(events, work).await?;
        phase.done(ByteSize::from_bytes(extracted.manifest.size).approximate());
        if !extracted.signature_checked {
            events.warning(UNSIGNED);
        }
        let phase = events.begin(Phase::Snapshot);
        let new = NewSnapshot {
            source: Box::new(RawDisk::open(&raw)?),
            parent: None,
            owner: self.catalog.viewer().account,
            description: format!("{name}: from a bundle"),
            tags: Vec::new(),
        };
        let snapshot = self.store(new, events).await?;
        phase.done(stored(&snapshot));
        Ok(snapshot.snapshot_id)
    }
}
