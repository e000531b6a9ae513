//! What comes from the environment; no other file of Kiln reads it.
#![expect(clippy::disallowed_methods, reason = "this is the one place that reads the environment")]

use crate::{exit, failure::Failure};
use kiln_builder::{Accounts, GuestConfig, Regions};
use kiln_types::AccountId;
use std::{
    collections::BTreeMap,
    env,
    error::Error,
    io::{self, Write},
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

/// The host's configuration: `--config` or `KILN_CONFIG`, which must exist, else `$XDG_CONFIG_HOME/kiln/config.toml` or
/// `~/.config/kiln/config.toml`, which need not.
pub(crate) struct Config {
    path: Option<PathBuf>,
    /// What it says; nothing where there is none.
    pub(crate) text: String,
}

impl Config {
    /// Reads the configuration.
    pub(crate) fn read(given: Option<&Path>) -> Result<Self, Failure> {
        let folder = |name: &str| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let usual = || {
            let config =
                folder("XDG_CONFIG_HOME").or_else(|| folder("HOME").map(|home| home.join(".config")));
            config.map(|config| config.join("kiln/config.toml"))
        };
        let path = given.map(Path::to_owned).or_else(usual);
        let text = match path.as_ref().map(fs_err::read_to_string) {
            Some(Ok(text)) => text,
            Some(Err(error)) if given.is_some() || error.kind() != io::ErrorKind::NotFound => {
                return Err(Failure::from_error(&error, None, exit::USAGE));
            }
            Some(Err(_)) | None => String::new(),
        };
        Ok(Self { path, text })
    }

    /// Returns what the host gives to guests.
    pub(crate) fn guest(&self) -> Result<GuestConfig, Failure> {
        GuestConfig::parse(&self.text, self.folder()).map_err(|error| self.wrong(&error, error.hint()))
    }

    /// Returns the regions; those on S3 are reached as the `AWS_` variables say.
    pub(crate) fn regions(&self) -> Result<Regions, Failure> {
        let settings = environment().into_iter().collect();
        Regions::parse(&self.text, self.folder(), settings).map_err(|error| self.wrong(&error, None))
    }

    /// Returns the accounts.
    pub(crate) fn accounts(&self) -> Result<Accounts, Failure> {
        Accounts::parse(&self.text).map_err(|error| self.wrong(&error, None))
    }

    /// Returns the account that commands act as, where the command line or the configuration says one.
    pub(crate) fn account(&self, given: Option<&str>) -> Result<Option<AccountId>, Failure> {
        let accounts = self.accounts()?;
        Ok(given.map(|account| accounts.find(account)).transpose()?.or(accounts.own()))
    }

    /// Replaces the configuration as a whole.
    pub(crate) fn write(&self, text: &str) -> Result<(), Failure> {
        let path = self.path.as_deref().ok_or_else(|| {
            Failure::usage("no place for a configuration: neither HOME nor XDG_CONFIG_HOME is set")
                .with_hint("kiln --config FILE …")
        })?;
        write_whole(path, text).map_err(|error| Failure::from_error(&error, None, exit::FAILED))
    }

    /// Where the configuration lies: what its relative paths begin at.
    fn folder(&self) -> &Path {
        let folder = self.path.as_deref().and_then(Path::parent);
        folder.filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
    }

    fn wrong(&self, error: &(dyn Error + 'static), hint: Option<String>) -> Failure {
        let path = self.path.as_deref().unwrap_or(Path::new("the configuration"));
        Failure::from_error(error, hint, exit::USAGE).about(&path.display().to_string())
    }
}

/// Writes a file beside its target and renames it into place, under the mode that it had.
fn write_whole(path: &Path, text: &str) -> io::Result<()> {
    // A link stays one.
    let path = fs_err::canonicalize(path).unwrap_or_else(|_none| path.to_owned());
    let folder = path.parent().unwrap_or(Path::new("/"));
    fs_err::create_dir_all(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(text.as_bytes())?;
    if let Ok(metadata) = fs_err::metadata(&path) {
        file.as_file().set_permissions(metadata.permissions())?;
    }
    file.as_file().sync_all()?;
    file.persist(&path)?;
    Ok(())
}

/// Makes a folder's path absolute: a configuration is read from anywhere.
pub(crate) fn absolute_url(url: &str) -> Result<String, Failure> {
    if url.is_empty() || url.contains("://") {
        return Ok(url.to_owned());
    }
    let path = std::path::absolute(url).map_err(|error| Failure::from_error(&error, None, exit::FAILED))?;
    path.into_os_string().into_string().map_err(|_other| Failure::usage("a folder whose path is not UTF-8"))
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
