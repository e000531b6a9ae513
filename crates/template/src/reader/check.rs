//! Checks that several tables share: sizes, times, paths of the guest, files of this host, names.

use crate::{
    interpolation::Style,
    model::{HostPath, Text},
    reader::{Field, quoted},
    report::{Checked, Diagnostic},
};
use kiln_types::{ByteSize, TimeSpan};
use std::{collections::BTreeMap, path::Path};

/// Largest disk and memory accepted: EBS's largest volume.
const LARGEST: ByteSize = ByteSize::from_gib(64 << 10);

/// What a path of this host must lead to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    Folder,
    FileOrFolder,
}

impl Field<'_> {
    /// Reads a size of whole MiB that is at least `least`.
    pub(crate) fn size(&self, least: ByteSize) -> Checked<ByteSize> {
        let size: ByteSize = self.quantity("a size", "4GiB")?;
        let title = || format!("`{}` is out of range", self.name);
        if size < least || size > LARGEST {
            return Err(self.wrong(title(), format!("expected {least} to {LARGEST}")));
        }
        if !size.bytes().is_multiple_of(1 << 20) {
            return Err(self.wrong(format!("`{}` is not a whole number of MiB", self.name), "has a fraction"));
        }
        Ok(size)
    }

    /// Reads a span of time.
    pub(crate) fn duration(&self) -> Checked<TimeSpan> {
        self.quantity("a duration", "10m")
    }

    /// Reads a span of time after which something is given up.
    pub(crate) fn time_limit(&self) -> Checked<TimeSpan> {
        let span = self.duration()?;
        if span.as_duration().is_zero() {
            return Err(self.wrong(format!("`{}` is out of range", self.name), "expected more than nothing"));
        }
        Ok(span)
    }

    /// Reads environment variables; their values may be sensitive.
    pub(crate) fn environment(&self) -> Checked<BTreeMap<String, Text>> {
        let entries = self.entries(|field| {
            field.check_identifier("an environment variable")?;
            field.text(Style::Strict)
        })?;
        Ok(entries.into_iter().collect())
    }

    /// Checks that the key can name a variable.
    pub(crate) fn check_identifier(&self, what: &str) -> Checked<()> {
        let known = self.name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if known && !self.name.starts_with(|c: char| c.is_ascii_digit()) && !self.name.is_empty() {
            return Ok(());
        }
        let title = format!("{} cannot name {what}", quoted(&self.name));
        let diagnostic = Diagnostic::at(self.key.clone(), title);
        Err(self.context.report(diagnostic.label("expected letters, digits and `_`, and no digit first")))
    }

    /// Reads an absolute path of the guest.
    pub(crate) fn guest_path(&self) -> Checked<String> {
        self.checked("an absolute path of the guest", |path| match path {
            _ if !path.starts_with('/') => Err("expected it to start with `/`".to_owned()),
            _ if path.contains('\n') => Err("holds a line end".to_owned()),
            _ => Ok(()),
        })
    }

    /// Reads a path of this host, relative to the template's folder, and looks for what it must lead to.
    pub(crate) fn host_path(&self, kind: Kind) -> Checked<HostPath> {
        let written = self.string()?;
        if written.is_empty() {
            return Err(self.wrong(format!("`{}` is empty", self.name), "expected a path"));
        }
        let path = HostPath::new(&self.context.inputs.folder, &written);
        let found = match kind {
            Kind::File => path.path.is_file(),
            Kind::Folder => path.path.is_dir(),
            Kind::FileOrFolder => path.path.exists(),
        };
        if found {
            return Ok(path);
        }
        let written = quoted(&written);
        let title = match kind {
            Kind::File if path.path.is_dir() => format!("{written} is a folder, not a file"),
            Kind::Folder if path.path.exists() => format!("{written} is a file, not a folder"),
            Kind::Folder => format!("no folder is found at {written}"),
            Kind::File | Kind::FileOrFolder => format!("no file is found at {written}"),
        };
        let diagnostic = Diagnostic::at(self.span(), title).help(format!("looked at {}", shown(&path.path)));
        Err(self.context.report(diagnostic))
    }

    /// Reads the name of a user or group of the guest, or its number.
    pub(crate) fn account(&self) -> Checked<String> {
        self.checked("a user's name", |name| account(name).map_err(str::to_owned))
    }

    /// Reads an http or https URL.
    pub(crate) fn url(&self) -> Checked<String> {
        self.checked("a URL", |text| match text.strip_prefix("https://").or(text.strip_prefix("http://")) {
            None => Err("expected it to start with `https://` or `http://`".to_owned()),
            Some("") => Err("names no host".to_owned()),
            Some(rest) if rest.starts_with('/') => Err("names no host".to_owned()),
            Some(_) => no_spaces(text),
        })
    }
}

/// Checks the name or number of a user or group.
pub(crate) fn account(name: &str) -> Result<(), &'static str> {
    let known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '$');
    match name {
        "" => Err("is empty"),
        _ if name.starts_with('-') => Err("starts with `-`"),
        _ if !name.chars().all(known) => Err("expected letters, digits, `_`, `-` and `.`"),
        _ => Ok(()),
    }
}

/// Refuses white space and control characters.
pub(crate) fn no_spaces(text: &str) -> Result<(), String> {
    match text.chars().find(|c| c.is_whitespace() || c.is_control()) {
        Some(other) => Err(format!("holds {other:?}")),
        None => Ok(()),
    }
}

fn shown(path: &Path) -> String {
    format!("`{}`", path.display())
}
