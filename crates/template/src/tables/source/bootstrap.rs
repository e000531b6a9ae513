//! `[source]` of type `bootstrap`.

use crate::{
    model::{Bootstrap, Variant},
    reader::{Field, Kind, Table, no_spaces},
    report::Checked,
};
use kiln_types::ByteSize;

/// Keys that only this type has.
pub(super) const KEYS: [&str; 9] = [
    "suite",
    "mirror",
    "snapshot",
    "components",
    "variant",
    "packages",
    "apt_keyring",
    "cloud_init",
    "hostname",
];

/// Reads the source.
pub(super) fn read(mut table: Table<'_>, name: &Checked<String>) -> Checked<Bootstrap> {
    let suite =
        table.required("suite", "\"bookworm\"", |field| field.checked("a suite", |text| word(text, "+.-_/")));
    table.at_most_one(["mirror", "snapshot"]);
    let mirror = table.optional("mirror", mirror).map(|url| url.filter(|url| !url.is_empty()));
    let snapshot = table.optional("snapshot", Field::parse);
    let components = table.or("components", vec!["main".to_owned()], |field| {
        field.some(|field| field.checked("a component", |text| word(text, "+.-_/")))
    });
    let variant = table.or("variant", Variant::Minbase, Field::word);
    let packages = table.or("packages", Vec::new(), |field| field.each(package));
    let apt_keyring = table.optional("apt_keyring", |field| field.host_path(Kind::File));
    let disk_size = table.or("disk_size", ByteSize::from_gib(4), |field| field.size(ByteSize::from_gib(1)));
    let cloud_init = table.or("cloud_init", false, Field::boolean);
    let hostname = match table.get("hostname") {
        Some(field) => field.checked("a host name", host_name),
        None => name.clone(),
    };
    table.finish()?;
    Ok(Bootstrap {
        suite: suite?,
        mirror: mirror?,
        snapshot: snapshot?,
        components: components?,
        variant: variant?,
        packages: packages?,
        apt_keyring: apt_keyring?,
        disk_size: disk_size?,
        cloud_init: cloud_init?,
        hostname: hostname?,
    })
}

/// Reads the URL of a Debian mirror, or nothing, which is what a variable says that nobody set.
fn mirror(field: &Field<'_>) -> Checked<String> {
    field.checked("a mirror's URL", |text| {
        if text.is_empty() {
            return Ok(());
        }
        let known = ["https://", "http://", "file:/"].iter().any(|scheme| text.starts_with(scheme));
        if known { no_spaces(text) } else { Err("expected `https://`, `http://` or `file:/`".to_owned()) }
    })
}

/// Reads a package as apt takes it: a name, perhaps with `:arch`, `=version` or `/suite`, or a pattern.
fn package(field: &Field<'_>) -> Checked<String> {
    field.checked("a package", |text| {
        if text.starts_with(['?', '~']) {
            return no_spaces(text);
        }
        word(text, "+.-:=/~_")
    })
}

/// Checks a word that becomes part of a command: it must not look like an option, or be several words.
fn word(text: &str, punctuation: &str) -> Result<(), String> {
    if !text.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        return Err("expected it to start with a letter or digit".to_owned());
    }
    match text.chars().find(|c| !c.is_ascii_alphanumeric() && !punctuation.contains(*c)) {
        Some(other) => Err(format!("holds {other:?}")),
        None => Ok(()),
    }
}

/// Checks a host name: labels of letters, digits and inner hyphens, 64 characters at most, which is Linux's limit.
fn host_name(text: &str) -> Result<(), String> {
    let label = |label: &str| {
        let known = label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        known && !label.is_empty() && !label.starts_with('-') && !label.ends_with('-')
    };
    if text.len() <= 64 && text.split('.').all(label) {
        return Ok(());
    }
    Err("expected letters, digits, inner hyphens and dots, at most 64".to_owned())
}
