//! `[source]`.

use crate::{
    model::{Bootstrap, Checksum, DiskSource, HostPath, Location, Source, Variant},
    names::words,
    reader::{Field, Kind, Table, no_spaces},
    report::Checked,
};
use kiln_types::ByteSize;

words! {
    /// The types of `[source]`.
    enum SourceKind {
        /// Made by mmdebstrap.
        Bootstrap = "bootstrap",
        /// An image that exists.
        Disk = "disk",
    }
}

const BOOTSTRAP_KEYS: [&str; 8] =
    ["suite", "mirror", "components", "variant", "packages", "apt_keyring", "cloud_init", "hostname"];
const DISK_KEYS: [&str; 4] = ["path", "url", "checksum", "format"];

/// Reads the source. `name` is the template's, which a host is called after.
pub(crate) fn read(mut table: Table<'_>, name: &Checked<String>) -> Checked<Source> {
    let (kind, known) = table.kind("bootstrap")?;
    let source = match kind {
        SourceKind::Bootstrap => bootstrap(table, name).map(Source::Bootstrap),
        SourceKind::Disk => disk(table).map(Source::Disk),
    };
    known.and(source)
}

fn bootstrap(mut table: Table<'_>, name: &Checked<String>) -> Checked<Bootstrap> {
    table.elsewhere(&DISK_KEYS, "sources of type `disk`");
    let suite =
        table.required("suite", "\"bookworm\"", |field| field.checked("a suite", |text| word(text, "+.-_/")));
    let mirror = table.optional("mirror", mirror);
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
        components: components?,
        variant: variant?,
        packages: packages?,
        apt_keyring: apt_keyring?,
        disk_size: disk_size?,
        cloud_init: cloud_init?,
        hostname: hostname?,
    })
}

fn disk(mut table: Table<'_>) -> Checked<DiskSource> {
    table.elsewhere(&BOOTSTRAP_KEYS, "sources of type `bootstrap`");
    let location = table.exactly_one(["path", "url"]).and_then(|field| match field.name.as_str() {
        "path" => field.host_path(Kind::File).map(Location::Path),
        _ => field.url().map(Location::Url),
    });
    let checksum = table.required("checksum", "\"sha256:…\"", checksum);
    let format = table.optional("format", Field::word);
    let disk_size = table.optional("disk_size", |field| field.size(ByteSize::from_mib(1)));
    table.finish()?;
    Ok(DiskSource { location: location?, checksum: checksum?, format: format?, disk_size: disk_size? })
}

/// Reads `sha256:…`, `sha512:…`, `file:PATH`, `file:URL` or a URL.
fn checksum(field: &Field<'_>) -> Checked<Checksum> {
    let text = field.string()?;
    let digits = |hex: &str, count: usize| {
        if hex.len() == count && hex.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Ok(hex.to_ascii_lowercase());
        }
        let label =
            format!("expected {count} hexadecimal digits after the colon, found {}", hex.chars().count());
        Err(field.wrong(format!("`{}` is not a digest", field.name), label))
    };
    let is_url = |text: &str| text.starts_with("https://") || text.starts_with("http://");
    match text.split_once(':') {
        Some(("sha256", hex)) => {
            Ok(Checksum::Sha256(digits(hex, 64)?.parse().expect("64 hexadecimal digits are a digest")))
        }
        Some(("sha512", hex)) => digits(hex, 128).map(Checksum::Sha512),
        Some(("file", rest)) if is_url(rest) => Ok(Checksum::Url(rest.to_owned())),
        Some(("file", path)) => {
            let path = HostPath::new(&field.context.inputs.folder, path.strip_prefix("//").unwrap_or(path));
            if path.path.is_file() {
                return Ok(Checksum::File(path));
            }
            Err(field.wrong("no checksum file is found", format!("looked at `{}`", path.path.display())))
        }
        _ if is_url(&text) => Ok(Checksum::Url(text)),
        _ => {
            let expected = "expected `sha256:…`, `sha512:…`, or a checksum file: `file:…` or a URL";
            Err(field.wrong(format!("`{}` is not a checksum", field.name), expected))
        }
    }
}

/// Reads the URL of a Debian mirror.
fn mirror(field: &Field<'_>) -> Checked<String> {
    field.checked("a mirror's URL", |text| {
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
