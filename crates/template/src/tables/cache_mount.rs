//! `[[cache_mount]]`.

use crate::{
    model::Communicator,
    reader::Field,
    report::{Checked, Diagnostic},
};
use std::{collections::BTreeMap, ops::Range, path::Path};

/// Folders that the agent mounts over the image's own for each step.
const TAKEN: [&str; 5] = ["/proc", "/sys", "/dev", "/run", "/tmp"];

/// What to do over SSH.
const USE_AGENT: &str = "leave `[communicator]` out: the agent runs the steps without booting the image";

/// Folders that one template can keep; each is a disk of the machine.
const MOST: usize = 8;

/// Reads the folders that last from build to build.
pub(super) fn read(field: &Field<'_>, communicator: &Checked<Communicator>) -> Checked<Vec<String>> {
    if !field.is_array() {
        let diagnostic = Diagnostic::at(field.span(), "`cache_mount` must be an array of tables")
            .help("write `[[cache_mount]]`, once for each folder");
        return Err(field.context.report(diagnostic));
    }
    let items = field.items()?;
    if items.len() > MOST {
        let title = format!("a template can keep at most {MOST} folders");
        return Err(field.wrong(title, format!("these are {}", items.len())));
    }
    let reachable = match communicator {
        Ok(Communicator::Ssh(_)) => {
            let title = "`[[cache_mount]]` needs the `agent` communicator";
            let diagnostic =
                Diagnostic::at(field.key.clone(), title).label("a booted guest mounts by itself");
            Err(field.context.report(diagnostic.help(USE_AGENT)))
        }
        Ok(Communicator::Agent) | Err(_) => Ok(()),
    };
    let mut places = BTreeMap::new();
    let mounts: Vec<_> = items.iter().map(|item| mount(item, &mut places)).collect();
    let mounts = mounts.into_iter().collect();
    reachable.and(mounts)
}

fn mount(field: &Field<'_>, places: &mut BTreeMap<String, Range<usize>>) -> Checked<String> {
    let mut table = field.table("`[[cache_mount]]`")?;
    let path = table.required("path", "\"/var/cache/apt/archives\"", |field| {
        let path = field.checked("a folder to keep", place)?;
        claim(field, &path, places)?;
        Ok(path)
    });
    table.finish()?;
    path
}

/// Checks a folder of the guest that something is mounted on.
fn place(path: &str) -> Result<(), String> {
    let plain = |part: &str| !part.is_empty() && part != "." && part != "..";
    let Some(inside) = path.strip_prefix('/') else {
        return Err("expected it to start with `/`".to_owned());
    };
    if inside.is_empty() {
        return Err("the root is the image itself".to_owned());
    }
    if !inside.split('/').all(plain) {
        return Err("expected a path without `.`, `..`, doubled slashes and a slash at its end".to_owned());
    }
    if path.chars().any(char::is_control) {
        return Err("holds a control character".to_owned());
    }
    match TAKEN.iter().find(|taken| Path::new(path).starts_with(taken)) {
        Some(taken) => Err(format!("`{taken}` is the build's own in every step")),
        None => Ok(()),
    }
}

/// Takes a folder that lies neither within another one nor around it.
fn claim(field: &Field<'_>, path: &str, places: &mut BTreeMap<String, Range<usize>>) -> Checked<()> {
    let within = |inner: &str, outer: &str| Path::new(inner).starts_with(outer);
    let clash = places.iter().find(|(other, _)| within(path, other) || within(other, path));
    if let Some((other, first)) = clash {
        let title = format!("`{path}` and `{other}` hold the same files");
        let diagnostic = Diagnostic::at(field.span(), title).label("one of them lies in the other");
        return Err(field.context.report(diagnostic.context(first.clone(), "the first")));
    }
    places.insert(path.to_owned(), field.span());
    Ok(())
}
