//! Debian packages: what `/var/lib/dpkg/status` says is installed.
//!
//! ```text
//! Package: nginx-light                 a paragraph a package, an empty line between
//! Status: install ok installed         the third word says
//! Architecture: amd64
//! Version: 1.22.1-9
//! ```

use super::PackageChange;
use ext4_view::Ext4;
use std::collections::{BTreeMap, BTreeSet};

const STATUS: &str = "/var/lib/dpkg/status";

/// A full desktop's status is 5 MiB.
const LARGEST: u64 = 256 << 20;

/// Versions by name and architecture.
pub(super) type Packages = BTreeMap<String, String>;

/// Reads what is installed; nothing where the image has no dpkg.
pub(super) fn installed(tree: &Ext4) -> Packages {
    let small = tree.metadata(STATUS).is_ok_and(|found| found.len() <= LARGEST);
    let status = if small { tree.read(STATUS).unwrap_or_default() } else { Vec::new() };
    parse(&String::from_utf8_lossy(&status))
}

fn parse(status: &str) -> Packages {
    let paragraphs = status.split("\n\n").filter_map(|paragraph| {
        let field = |name: &str| {
            let line = paragraph.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            line.map(str::trim)
        };
        let installed = field("Status")?.ends_with(" installed");
        let name = format!("{}:{}", field("Package")?, field("Architecture")?);
        installed.then(|| Some((name, field("Version")?.to_owned())))?
    });
    paragraphs.collect()
}

/// Lists the packages that differ.
pub(super) fn compare(old: &Packages, new: &Packages) -> Vec<PackageChange> {
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let changes = names.into_iter().map(|name| PackageChange {
        name: name.clone(),
        old: old.get(name).cloned(),
        new: new.get(name).cloned(),
    });
    changes.filter(|change| change.old != change.new).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_installed_and_what_differs() {
        let old = parse(
            "Package: a\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1\n\n\
             Package: b\nStatus: deinstall ok config-files\nArchitecture: amd64\nVersion: 1\n\n\
             Package: c\nStatus: install ok installed\nArchitecture: all\nVersion: 2\nDescription: x\n Version: 9\n",
        );
        let new = parse(
            "Package: a\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1.1\n\n\
             Package: b\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1\n",
        );
        let changes = compare(&old, &new);
        let shown: Vec<_> = changes
            .iter()
            .map(|change| (change.name.as_str(), change.old.as_deref(), change.new.as_deref()))
            .collect();
        assert_eq!(
            shown,
            [("a:amd64", Some("1"), Some("1.1")), ("b:amd64", None, Some("1")), ("c:all", Some("2"), None)]
        );
    }
}
