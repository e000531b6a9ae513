//! What comes from the environment; no other file of Kiln reads it.
#![expect(clippy::disallowed_methods, reason = "this is the one place that reads the environment")]

use crate::{exit, failure::Failure};
use kiln_builder::GuestConfig;
use std::{
    collections::BTreeMap,
    env, io,
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

/// Reads what the host gives to guests: from `--config` or `KILN_CONFIG`, which must exist, else from
/// `$XDG_CONFIG_HOME/kiln/config.toml` or `~/.config/kiln/config.toml`, which need not.
pub(crate) fn guest_config(given: Option<&Path>) -> Result<GuestConfig, Failure> {
    let folder = |name: &str| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let usual = || {
        let config = folder("XDG_CONFIG_HOME").or_else(|| folder("HOME").map(|home| home.join(".config")));
        config.map(|config| config.join("kiln/config.toml"))
    };
    let Some(path) = given.map(Path::to_owned).or_else(usual) else { return Ok(GuestConfig::default()) };
    let text = match fs_err::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if given.is_none() && error.kind() == io::ErrorKind::NotFound => {
            return Ok(GuestConfig::default());
        }
        Err(error) => return Err(Failure::from_error(&error, None, exit::USAGE)),
    };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    GuestConfig::parse(&text, folder).map_err(|error| {
        let failure = Failure::from_error(&error, error.hint(), exit::USAGE);
        failure.about(&path.display().to_string())
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
