//! What comes from the environment; no other file of Kiln reads it.
#![expect(clippy::disallowed_methods, reason = "this is the one place that reads the environment")]

use crate::failure::Failure;
use std::{
    collections::BTreeMap,
    env,
    path::{Path, PathBuf},
};

/// The environment variable that says what is logged: `KILN_LOG=debug`.
const LOG: &str = "KILN_LOG";

/// Finds the home: `--home` or `KILN_HOME` as given, else `$XDG_DATA_HOME/kiln`, else `~/.local/share/kiln`.
pub(crate) fn home(given: Option<&Path>) -> Result<PathBuf, Failure> {
    if let Some(home) = given {
        return Ok(home.to_owned());
    }
    let folder = |name: &str| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let data = folder("XDG_DATA_HOME").or_else(|| folder("HOME").map(|home| home.join(".local/share")));
    data.map(|data| data.join("kiln")).ok_or_else(|| {
        Failure::usage("no place to keep images: neither HOME nor XDG_DATA_HOME is set")
            .with_hint("kiln --home DIR …")
    })
}

/// Returns the folders where programs are looked for.
pub(crate) fn program_path() -> Vec<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".into());
    let mut folders: Vec<PathBuf> = env::split_paths(&path).collect();
    // Where Debian keeps mke2fs, which an ordinary user's PATH may lack.
    for folder in ["/usr/sbin", "/sbin"] {
        if !folders.iter().any(|known| known == Path::new(folder)) {
            folders.push(folder.into());
        }
    }
    folders
}

/// Returns the variables of the environment that are text; templates name those that they want.
pub(crate) fn environment() -> BTreeMap<String, String> {
    env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

/// Starts logging to standard error where `KILN_LOG` asks for it.
pub(crate) fn start_logging() {
    if let Ok(filter) = env::var(LOG) {
        let subscriber = tracing_subscriber::fmt()
            .with_env_filter(tracing_subscriber::EnvFilter::new(filter))
            .with_writer(std::io::stderr)
            .finish();
        // A second subscriber cannot be: this is called once.
        drop(tracing::subscriber::set_global_default(subscriber));
    }
}
