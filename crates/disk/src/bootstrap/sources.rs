//! The mirror that the host's own apt uses, so that a bootstrap goes the same way.
//!
//! ```text
//! sources.list, sources.list.d/*.list      deb [signed-by=…] <uri> <suite> <component>…
//! sources.list.d/*.sources                 Types: deb
//!                                          URIs: <uri> …
//!                                          Suites: <suite> …
//! ```
//! A host of another release serves as well: the archive of `bookworm` and `bookworm-updates` holds every other release.

use crate::Error;
use std::path::Path;

/// Debian's releases: an archive that has one of them has the others.
const RELEASES: [&str; 12] = [
    "bullseye",
    "bookworm",
    "trixie",
    "forky",
    "duke",
    "sid",
    "oldoldstable",
    "oldstable",
    "stable",
    "testing",
    "unstable",
    "rc-buggy",
];

/// Releases that have neither `-updates` nor `-security`.
const ROLLING: [&str; 3] = ["sid", "unstable", "rc-buggy"];

/// One archive that the host reads.
struct Source {
    uri: String,
    suite: String,
}

/// Writes the source lines for `suite` with the host's mirrors; none when the host knows no archive of Debian, which leaves
/// the choice to mmdebstrap.
pub(super) fn lines_of_host(etc_apt: &Path, suite: &str, components: &str) -> Result<Vec<String>, Error> {
    let sources = read(etc_apt).map_err(|e| Error::io("read the host's apt sources", e))?;
    Ok(lines(&sources, suite, components))
}

fn lines(sources: &[Source], suite: &str, components: &str) -> Vec<String> {
    if !RELEASES.contains(&suite) {
        return Vec::new();
    }
    let archive = |ending: &str| {
        let with_ending = |release: &str| format!("{release}{ending}");
        let exact = sources.iter().find(|source| source.suite == with_ending(suite));
        let any =
            || sources.iter().find(|source| RELEASES.iter().any(|other| source.suite == with_ending(other)));
        exact.or_else(any).map(|source| source.uri.clone())
    };
    let Some(main) = archive("") else { return Vec::new() };
    let mut lines = vec![format!("deb {main} {suite} {components}")];
    if !ROLLING.contains(&suite) {
        let updates = archive("-updates").unwrap_or(main);
        lines.push(format!("deb {updates} {suite}-updates {components}"));
        lines.extend(archive("-security").map(|uri| format!("deb {uri} {suite}-security {components}")));
    }
    lines
}

/// Reads every source that apt would.
fn read(etc_apt: &Path) -> std::io::Result<Vec<Source>> {
    let mut sources = Vec::new();
    let mut files = vec![etc_apt.join("sources.list")];
    if let Ok(entries) = fs_err::read_dir(etc_apt.join("sources.list.d")) {
        let mut more = entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>()?;
        more.sort();
        files.extend(more);
    }
    for file in files {
        let text = match fs_err::read_to_string(&file) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue,
            other => other?,
        };
        match file.extension().and_then(|ending| ending.to_str()) {
            Some("list") => sources.extend(text.lines().filter_map(one_line)),
            Some("sources") => sources.extend(stanzas(&text)),
            _ => {}
        }
    }
    Ok(sources)
}

/// `deb [options] uri suite component…`
fn one_line(line: &str) -> Option<Source> {
    let rest = line.trim().strip_prefix("deb")?.strip_prefix([' ', '\t'])?.trim_start();
    let rest = match rest.strip_prefix('[') {
        Some(options) => options.split_once(']')?.1,
        None => rest,
    };
    let mut words = rest.split_whitespace();
    Some(Source { uri: words.next()?.to_owned(), suite: words.next()?.to_owned() })
}

/// Paragraphs of fields; a line that starts with a blank continues the field before it.
fn stanzas(text: &str) -> Vec<Source> {
    let mut sources = Vec::new();
    let without_comments: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
    for stanza in without_comments.split(|line| line.trim().is_empty()) {
        let field = |name: &str| -> Vec<&str> {
            let mut inside = false;
            let mut values = Vec::new();
            for line in stanza {
                let value = if line.starts_with([' ', '\t']) {
                    if inside { *line } else { "" }
                } else {
                    let (key, value) = line.split_once(':').unwrap_or((line, ""));
                    inside = key.trim().eq_ignore_ascii_case(name);
                    if inside { value } else { "" }
                };
                values.extend(value.split_whitespace());
            }
            values
        };
        if !field("Types").contains(&"deb") || field("Enabled").contains(&"no") {
            continue;
        }
        for uri in field("URIs") {
            let suites = field("Suites").into_iter();
            sources.extend(suites.map(|suite| Source { uri: uri.to_owned(), suite: suite.to_owned() }));
        }
    }
    sources
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEB822: &str = "# about\nTypes: deb deb-src\n# inside\nURIs: http://mirror.example/debian\n\
        Suites: bookworm\n bookworm-updates\nComponents: main\n\n\
        Types: deb\nURIs: https://sec.example/debian-security/\nSuites: bookworm-security\n\n\
        Types: deb\nEnabled: no\nURIs: http://off.example\nSuites: trixie\n\n\
        Types: deb\nURIs: https://other.example/node\nSuites: nodistro\n";

    fn host(name: &str, text: &str) -> anyhow::Result<tempfile::TempDir> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join(name);
        fs_err::create_dir_all(path.parent().unwrap_or(folder.path()))?;
        fs_err::write(path, text)?;
        Ok(folder)
    }

    #[test]
    fn both_forms_and_other_releases() -> anyhow::Result<()> {
        let one_line = "deb [signed-by=/k arch=amd64] http://mirror.example/debian bookworm main\n#deb http://no x\n\
            deb-src http://mirror.example/debian bookworm main\ndeb https://sec.example/debian-security/ bookworm-security main\n";
        for folder in [host("sources.list.d/debian.sources", DEB822)?, host("sources.list", one_line)?] {
            assert_eq!(
                lines_of_host(folder.path(), "trixie", "main contrib")?,
                [
                    "deb http://mirror.example/debian trixie main contrib",
                    "deb http://mirror.example/debian trixie-updates main contrib",
                    "deb https://sec.example/debian-security/ trixie-security main contrib",
                ]
            );
            assert_eq!(
                lines_of_host(folder.path(), "sid", "main")?,
                ["deb http://mirror.example/debian sid main"]
            );
            assert!(lines_of_host(folder.path(), "noble", "main")?.is_empty());
        }
        Ok(())
    }

    #[test]
    fn a_host_without_debian_leaves_the_choice() -> anyhow::Result<()> {
        let folder = host("sources.list", "deb http://mirror.example/ubuntu noble main\n")?;
        assert!(lines_of_host(folder.path(), "bookworm", "main")?.is_empty());
        let empty = tempfile::tempdir()?;
        assert!(lines_of_host(empty.path(), "bookworm", "main")?.is_empty());
        Ok(())
    }
}
