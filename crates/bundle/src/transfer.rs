//! Bundles brought from place to place: parts first, the manifest last, so that a manifest never names what is not there.
//!
//! What was cut off is taken up again by doing it once more: parts that are there already, byte for byte, stay.

use crate::{
    Error, Manifest, Place, SignedManifest, Watch, hex,
    manifest::{MAX_MANIFEST, Part},
    seal::MAX_PART_SIZE,
};
use sha1::{Digest, Sha1};
use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    thread,
};

/// Parts on their way at a time; each is held in memory.
const AT_ONCE: usize = 4;

/// A bundle that was brought somewhere.
#[derive(Debug, Clone)]
pub struct Copied {
    /// What it says.
    pub manifest: Manifest,
    /// How many parts were there already.
    pub kept: usize,
}

/// Brings a bundle from one place to another.
///
/// # Errors
/// When a part is missing or is not what the manifest says, its name is none of a part, another bundle of that name is there,
/// or a file cannot be read or written.
pub fn copy(from: &Place, to: &Place, name: &str, watch: &Watch) -> Result<Copied, Error> {
    let text = manifest_text(from, name)?;
    let manifest = SignedManifest::parse(&text)?.manifest;
    check_part_names(&manifest)?;
    if to.get(name, MAX_MANIFEST)?.is_some_and(|there| there != text.as_bytes()) {
        return Err(Error::Exists(to.shown(name)));
    }
    let (next, done, kept) = (AtomicUsize::new(0), AtomicU64::new(0), AtomicUsize::new(0));
    let failure = Mutex::new(None);
    let all = manifest.parts.len();
    let one = |index, part: &Part| {
        watch.at(done.load(Ordering::Relaxed), u64::try_from(all).unwrap_or(u64::MAX))?;
        let was_there = copy_part(from, to, index, part)?;
        kept.fetch_add(usize::from(was_there), Ordering::Relaxed);
        done.fetch_add(1, Ordering::Relaxed);
        Ok(())
    };
    let work = || {
        while let Some((index, part)) = take(&next, &manifest.parts) {
            if let Err(error) = one(index, part) {
                next.store(all, Ordering::Relaxed);
                failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
            }
        }
    };
    thread::scope(|scope| (0..AT_ONCE).for_each(|_| drop(scope.spawn(work))));
    if let Some(error) = failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
        return Err(error);
    }
    to.put(name, text.as_bytes())?;
    Ok(Copied { manifest, kept: kept.into_inner() })
}

/// Removes a bundle: its parts, then its manifest, so that what was cut off can be taken up again.
///
/// # Errors
/// When there is no such manifest, it names what is no part of it, or a file cannot be removed.
pub fn remove(place: &Place, name: &str) -> Result<Manifest, Error> {
    let manifest = SignedManifest::parse(&manifest_text(place, name)?)?.manifest;
    check_part_names(&manifest)?;
    for part in &manifest.parts {
        place.remove(&part.name)?;
    }
    place.remove(name)?;
    Ok(manifest)
}

/// Parts are called as every bundler calls them, or else a manifest could have any file beside it replaced or removed.
fn check_part_names(manifest: &Manifest) -> Result<(), Error> {
    let is_part = |name: &str| {
        let number = name.strip_prefix(&manifest.name).and_then(|rest| rest.strip_prefix(".part."));
        number.is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
    };
    match manifest.parts.iter().position(|part| !is_part(&part.name)) {
        None => Ok(()),
        Some(index) => Err(Error::Manifest(format!("part {index} is not called `{}.part.N`", manifest.name))),
    }
}

pub(crate) fn manifest_text(place: &Place, name: &str) -> Result<String, Error> {
    let bytes = place.get(name, MAX_MANIFEST)?.ok_or_else(|| Error::NoManifest(place.shown(name)))?;
    String::from_utf8(bytes).map_err(|_binary| Error::Manifest("is not text".to_owned()))
}

fn take<'a>(next: &AtomicUsize, parts: &'a [Part]) -> Option<(usize, &'a Part)> {
    let index = next.fetch_add(1, Ordering::Relaxed);
    Some((index, parts.get(index)?))
}

/// Returns whether the part was there already.
fn copy_part(from: &Place, to: &Place, index: usize, part: &Part) -> Result<bool, Error> {
    if to.is_near() && read_part(to, index, part).is_ok() {
        return Ok(true);
    }
    let bytes = read_part(from, index, part)?;
    let there = to.tells_same(&part.name, &bytes);
    if !there {
        to.put(&part.name, &bytes)?;
    }
    Ok(there)
}

/// Reads a part and checks its digest.
pub(crate) fn read_part(place: &Place, index: usize, part: &Part) -> Result<Vec<u8>, Error> {
    let subject = || format!("part {index}, `{}`", part.name);
    let most = u64::try_from(MAX_PART_SIZE).unwrap_or(u64::MAX);
    let bytes = place.get(&part.name, most)?.ok_or_else(|| Error::damaged(subject(), "is missing"))?;
    if hex::encode(&Sha1::digest(&bytes)) != part.digest {
        return Err(Error::damaged(subject(), "its SHA-1 is not the manifest's"));
    }
    Ok(bytes)
}
