//! What a template is read with, beside its own text.

use kiln_types::Timestamp;
use std::{collections::BTreeMap, fmt, path::PathBuf};

/// What a template is read with, beside its own text. A value given by `--var` beats one of a variable file,
/// which beats one of the environment, which beats the default; of the same kind, the last wins.
#[derive(Clone)]
pub struct Inputs {
    /// The template's folder. Nothing is read from it; files that the template names are looked for.
    pub folder: PathBuf,
    /// Names and values of `--var name=value`, in order.
    pub vars: Vec<(String, String)>,
    /// The files of `--var-file`, in order.
    pub var_files: Vec<VarFile>,
    /// The environment that variables with `env` take their value from. Never read here.
    pub env: BTreeMap<String, String>,
    /// The moment that `${build.timestamp}` stands for.
    pub now: Timestamp,
}

/// A file of values for variables: TOML, `name = value`.
#[derive(Clone)]
pub struct VarFile {
    /// Its path, for messages.
    pub path: PathBuf,
    /// What is in it.
    pub text: String,
}

/// Names only: any value may be a secret.
impl fmt::Debug for Inputs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let vars: Vec<&str> = self.vars.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("Inputs")
            .field("folder", &self.folder)
            .field("vars", &vars)
            .field("var_files", &self.var_files)
            .field("now", &self.now)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for VarFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VarFile").field("path", &self.path).finish_non_exhaustive()
    }
}
