//! What every image and medium from elsewhere has: where it is, and what it must hash to.

use crate::{
    model::{Checksum, HostPath, Location},
    reader::{Field, Kind, Table},
    report::Checked,
};

/// Reads `path` or `url`.
pub(super) fn location(table: &mut Table<'_>) -> Checked<Location> {
    let field = table.exactly_one(["path", "url"])?;
    match field.name.as_str() {
        "path" => field.host_path(Kind::File).map(Location::Path),
        _ => field.url().map(Location::Url),
    }
}

/// Reads `sha256:…`, `sha512:…`, `file:PATH`, `file:URL` or a URL.
pub(super) fn checksum(field: &Field<'_>) -> Checked<Checksum> {
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
