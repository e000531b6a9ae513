//! A bundle from a disk, in one pass.

use crate::{
    Certificate, Error, Image, ImageType, MachineConfiguration, Manifest, Place, PrivateKey, Sealed, Watch,
    archive, deflate, hex,
    manifest::{MAX_MANIFEST, read::check_name},
    seal::{self, BLOCK, MAX_PART_SIZE, Sealer},
};
use kiln_types::AccountId;
use sha1::{Digest, Sha1};

/// The key and the initialisation vector of one bundle.
#[derive(Clone)]
pub struct Secret {
    /// AES-128's key.
    pub key: [u8; 16],
    /// The first block's vector.
    pub iv: [u8; 16],
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

impl Secret {
    /// Takes 32 bytes from the system.
    ///
    /// # Errors
    /// When it has none.
    pub fn random() -> Result<Self, Error> {
        let mut secret = Self { key: [0; 16], iv: [0; 16] };
        let filled = getrandom::fill(&mut secret.key).and_then(|()| getrandom::fill(&mut secret.iv));
        filled.map_err(|error| Error::Io(std::io::Error::other(error)))?;
        Ok(secret)
    }
}

/// What a bundle is to be.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The bundle's name: letters, digits, `.`, `_` and `-`.
    pub prefix: String,
    /// Who owns it.
    pub user: AccountId,
    /// The machine that it is for.
    pub machine: MachineConfiguration,
    /// The user's certificate.
    pub certificate: Certificate,
    /// The user's private key.
    pub key: PrivateKey,
    /// The region's certificate.
    pub ec2_certificate: Certificate,
    /// Bytes of a part, a multiple of 16.
    pub part_size: usize,
    /// How hard to compress: 1 to 9.
    pub level: u32,
    /// Whether holes are written as zeros, for readers that know no sparse archives.
    pub dense: bool,
    /// Key and vector; the same ones make the same bytes.
    pub secret: Secret,
}

impl Settings {
    fn check(&self) -> Result<(), Error> {
        let invalid = |text: String| Err(Error::Invalid(text));
        if let Err(reason) = check_name(&self.prefix) {
            return invalid(format!("the prefix `{}` {reason}", self.prefix.escape_debug()));
        }
        if !self.part_size.is_multiple_of(BLOCK) || !(BLOCK..=MAX_PART_SIZE).contains(&self.part_size) {
            return invalid(format!("a part of {} bytes: a multiple of 16, up to 32MiB", self.part_size));
        }
        if !(1..=9).contains(&self.level) {
            return invalid(format!("compression level {}: 1 to 9", self.level));
        }
        if self.key.certificate() != self.certificate {
            return invalid("the private key is not the certificate's".to_owned());
        }
        Ok(())
    }
}

/// Bundles a disk; returns the manifest and its name.
///
/// # Errors
/// When something given does not fit, a bundle of that name is there, or a file cannot be read or written; nothing is left
/// then.
pub fn create(
    image: &dyn Image,
    settings: &Settings,
    place: &Place,
    watch: &Watch,
) -> Result<(Manifest, String), Error> {
    settings.check()?;
    let name = format!("{}.manifest.xml", settings.prefix);
    if place.get(&name, MAX_MANIFEST)?.is_some() {
        return Err(Error::Exists(place.shown(&name)));
    }
    let layout = archive::layout(&settings.prefix, image.size(), &image.stretches()?, settings.dense);
    let Secret { key, iv } = &settings.secret;
    let sealer = Sealer::new(place, &settings.prefix, settings.part_size, key, iv);
    let (digest, sealed) =
        deflate::run(settings.level, sealer, |chunks| feed(image, &layout, chunks, watch))?;
    let wrap = |secret: &[u8; 16]| {
        let ec2 = hex::encode(&settings.ec2_certificate.wrap(secret)?);
        Ok::<_, Error>(Sealed { ec2, user: hex::encode(&settings.certificate.wrap(secret)?) })
    };
    let written = (|| {
        let manifest = Manifest {
            bundler: ["kiln".to_owned(), env!("CARGO_PKG_VERSION").to_owned(), "0".to_owned()],
            machine: settings.machine.clone(),
            name: settings.prefix.clone(),
            user: settings.user.to_string(),
            kind: ImageType::Machine,
            kernel_name: None,
            ancestors: Vec::new(),
            digest,
            size: image.size(),
            bundled_size: sealed.total,
            key: wrap(key)?,
            iv: wrap(iv)?,
            parts: sealed.parts.clone(),
        };
        let text = manifest.write(&settings.key)?;
        if u64::try_from(text.len()).is_ok_and(|length| length > MAX_MANIFEST) {
            let parts = manifest.parts.len();
            return Err(Error::Invalid(format!(
                "{parts} parts are too many for a manifest: give a larger part size"
            )));
        }
        place.put(&name, text.as_bytes())?;
        Ok::<_, Error>(manifest)
    })();
    if written.is_err() {
        seal::remove(place, &sealed.parts);
    }
    Ok((written?, name))
}

/// Sends the archive down the pipeline; returns its SHA-1.
fn feed(
    image: &dyn Image,
    layout: &archive::Layout,
    chunks: &mut deflate::Chunks,
    watch: &Watch,
) -> Result<String, Error> {
    let mut sha1 = Sha1::new();
    let mut length = 0;
    let mut put = |chunks: &mut deflate::Chunks, sha1: &mut Sha1, bytes: &[u8]| {
        sha1.update(bytes);
        length += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        chunks.write(bytes)
    };
    put(chunks, &mut sha1, &layout.head)?;
    let total = layout.stretches.iter().map(|stretch| stretch.end - stretch.start).sum();
    let mut done = 0;
    for stretch in &layout.stretches {
        let mut at = stretch.start;
        while at < stretch.end {
            let now = (stretch.end - at).min(1 << 20);
            chunks.fill(usize::try_from(now).unwrap_or(0), |room| {
                image.read_at(at, room)?;
                sha1.update(&*room);
                at += u64::try_from(room.len()).unwrap_or(u64::MAX);
                Ok(())
            })?;
            done += now;
            watch.at(done, total)?;
        }
        let record = usize::try_from(at.next_multiple_of(archive::RECORD) - at).unwrap_or(0);
        put(chunks, &mut sha1, &vec![0; record])?;
    }
    length += total;
    let end = (length + 2 * archive::RECORD).next_multiple_of(archive::BLOCK) - length;
    let end = vec![0; usize::try_from(end).unwrap_or(0)];
    sha1.update(&end);
    chunks.write(&end)?;
    Ok(hex::encode(&sha1.finalize()))
}
