//! Builds in real machines, from a base that is made in seconds, judged by tools that are not ours.

mod build;
mod bundles;
mod cache_mounts;
mod death;
mod diff;
mod failures;
mod formats;
mod host;
mod image_tests;
mod images;
mod installs;
mod instances;
mod layers;
mod life;
mod roots;
mod several;
mod terminals;

use anyhow::Result;
use kiln_testkit::{Kiln, TinyBase, tiny_base};
use std::path::{Path, PathBuf};

/// Makes a world for the command.
fn world() -> Result<Kiln> {
    Kiln::new(env!("CARGO_BIN_EXE_kiln"))
}

/// Returns the folder where packages and bases are kept between runs.
#[expect(clippy::disallowed_methods, reason = "tests take their cache's place from the environment")]
fn cache() -> Result<PathBuf> {
    let kept = std::env::var_os("KILN_TEST_CACHE").map(PathBuf::from);
    let cache = kept.unwrap_or_else(|| Path::new(env!("CARGO_TARGET_TMPDIR")).join("cache"));
    fs_err::create_dir_all(&cache)?;
    Ok(cache)
}

/// Returns the tiny base.
fn tiny() -> Result<TinyBase> {
    tiny_base(&cache()?)
}
