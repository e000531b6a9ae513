//! Any text as a manifest. The invariants:
//!
//! - reading it answers, whatever the bytes: no panic, no endless loop, memory within libFuzzer's limit;
//! - no name that comes out of it is a path, an option or a hidden file;
//! - every part has a digest of a SHA-1's length.
#![no_main]

use kiln_bundle::SignedManifest;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Ok(SignedManifest { manifest, .. }) = SignedManifest::parse(text) else { return };
    for name in manifest.parts.iter().map(|part| &part.name).chain([&manifest.name]) {
        assert!(name.starts_with(|first: char| first.is_ascii_alphanumeric()), "{name:?}");
        assert!(!name.contains(['/', '\0', ' ', ';']), "{name:?}");
    }
    assert!(manifest.parts.iter().all(|part| part.digest.len() == 40));
});
