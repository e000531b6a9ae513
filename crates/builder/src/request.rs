//! A template as it is asked for on a command line: a file, and values for its variables.

use crate::Error;
use kiln_template::{Combination, Inputs, Template, VarFile};
use kiln_types::Timestamp;
use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
};

/// The file that a template's folder holds.
const FILE_NAME: &str = "template.toml";

/// The largest template that is read; a larger file was given by mistake.
const LARGEST: u64 = 4 << 20;

/// Which template, with which values.
#[derive(Clone)]
pub struct TemplateRequest {
    /// A folder that holds `template.toml`, or a file.
    pub path: PathBuf,
    /// Values of `--var`, in order.
    pub vars: Vec<(String, String)>,
    /// Files of `--var-file`, in order.
    pub var_files: Vec<PathBuf>,
    /// The environment that variables with `env` take their values from.
    pub environment: BTreeMap<String, String>,
    /// Which combination of its matrix is meant; empty where it has none, or where all are.
    pub combination: Combination,
}

/// Names only: any value may be a secret.
impl std::fmt::Debug for TemplateRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TemplateRequest").field("path", &self.path).finish_non_exhaustive()
    }
}

/// A template that was read without a mistake.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The template.
    pub template: Template,
    /// Its folder: exports and files are relative to it.
    pub folder: PathBuf,
    /// Its file's name, for messages.
    pub file_name: String,
    /// The moment that `${build.timestamp}` stands for.
    pub now: Timestamp,
}

impl TemplateRequest {
    /// Reads and checks the template, as of `now`.
    ///
    /// # Errors
    /// When a file cannot be read, with every mistake in the template, or when it has no such combination.
    pub fn load(&self, now: Timestamp) -> Result<Loaded, Error> {
        let mut all = self.load_all(now)?.into_iter();
        all.find(|loaded| loaded.template.combination == self.combination)
            .ok_or_else(|| Error::NoCombination { path: self.path.clone() })
    }

    /// Reads and checks the template, and returns what it means for every combination of its matrix: as many requests,
    /// each with what it loads.
    ///
    /// # Errors
    /// When a file cannot be read, or with every mistake in the template.
    pub fn each(&self, now: Timestamp) -> Result<Vec<(Self, Loaded)>, Error> {
        let each = self.load_all(now)?.into_iter().map(|loaded| {
            let combination = loaded.template.combination.clone();
            (Self { combination, ..self.clone() }, loaded)
        });
        Ok(each.collect())
    }

    fn load_all(&self, now: Timestamp) -> Result<Vec<Loaded>, Error> {
        let path = self.file()?;
        let text = read(&path)?;
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
            _ => PathBuf::from("."),
        };
        let folder = fs_err::canonicalize(folder)?;
        let var_files =
            self.var_files.iter().map(|path| Ok(VarFile { path: path.clone(), text: read(path)? }));
        let inputs = Inputs {
            folder: folder.clone(),
            vars: self.vars.clone(),
            var_files: var_files.collect::<Result<_, Error>>()?,
            env: self.environment.clone(),
            now,
        };
        let templates = kiln_template::load(&path, &text, &inputs).map_err(Error::Template)?;
        let file_name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let loaded = templates.into_iter().map(|template| Loaded {
            template,
            folder: folder.clone(),
            file_name: file_name.clone(),
            now,
        });
        Ok(loaded.collect())
    }

    fn file(&self) -> Result<PathBuf, Error> {
        let given = match fs_err::metadata(&self.path) {
            Ok(given) => given,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(Error::NoTemplate { path: self.path.clone() });
            }
            Err(error) => return Err(error.into()),
        };
        let file = if given.is_dir() { self.path.join(FILE_NAME) } else { self.path.clone() };
        if file.is_file() { Ok(file) } else { Err(Error::NoTemplate { path: file }) }
    }
}

fn read(path: &Path) -> Result<String, Error> {
    let unreadable = |source| Error::Unreadable { path: path.to_owned(), source };
    let length = fs_err::metadata(path).map_err(unreadable)?.len();
    if length > LARGEST {
        return Err(unreadable(io::Error::other("larger than 4 MiB: this is no TOML file of Kiln's")));
    }
    fs_err::read_to_string(path).map_err(unreadable)
}
