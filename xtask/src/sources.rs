//! The host's sources of packages, so that another suite can be had from the same place in the same way.

use anyhow::Result;
use fs_err as fs;

/// One of the host's sources of packages, as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// A paragraph of a `.sources` file: fields with their continuation lines.
    Stanza(Vec<(String, String)>),
    /// A line of a `.list` file: what stands before the suite, the suite, what stands behind it.
    Line(String, String, String),
}

impl Source {
    /// Says whether packages of a suite come from here.
    pub(crate) fn has(&self, suite: &str) -> bool {
        match self {
            Self::Stanza(fields) => {
                let suites = fields.iter().filter(|(key, _)| key.eq_ignore_ascii_case("suites"));
                suites.flat_map(|(_, value)| value.split_whitespace()).any(|known| known == suite)
            }
            Self::Line(_, known, _) => known == suite,
        }
    }

    /// Writes the same source of another suite.
    pub(crate) fn of_suite(&self, suite: &str) -> String {
        match self {
            Self::Stanza(fields) => {
                let lines = fields.iter().map(|(key, value)| {
                    let value = match key.to_ascii_lowercase().as_str() {
                        "suites" => suite,
                        "types" => "deb",
                        _ => value,
                    };
                    format!("{key}: {value}\n")
                });
                lines.collect()
            }
            Self::Line(before, _, behind) => format!("{before} {suite} {behind}\n"),
        }
    }

    /// Returns the ending of the files that such a source is written in.
    pub(crate) fn extension(&self) -> &'static str {
        match self {
            Self::Stanza(_) => "sources",
            Self::Line(..) => "list",
        }
    }
}

/// Reads the host's sources, of both forms.
pub(crate) fn of_host() -> Result<Vec<Source>> {
    let mut found = lines(&fs::read_to_string("/etc/apt/sources.list").unwrap_or_default());
    for entry in fs::read_dir("/etc/apt/sources.list.d").into_iter().flatten() {
        let path = entry?.path();
        let text = fs::read_to_string(&path).unwrap_or_default();
        match path.extension().and_then(|ending| ending.to_str()) {
            Some("sources") => found.extend(stanzas(&text)),
            Some("list") => found.extend(lines(&text)),
            _ => {}
        }
    }
    Ok(found)
}

/// Reads a `.sources` file, as deb822 describes it; what is switched off or holds no packages is left out.
fn stanzas(text: &str) -> Vec<Source> {
    let mut all = vec![Vec::<(String, String)>::new()];
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let Some(fields) = all.last_mut() else { continue };
        if line.trim().is_empty() {
            all.push(Vec::new());
        } else if line.starts_with([' ', '\t']) {
            if let Some((_, value)) = fields.last_mut() {
                value.push('\n');
                value.push_str(line);
            }
        } else if let Some((key, value)) = line.split_once(':') {
            fields.push((key.to_owned(), value.trim().to_owned()));
        }
    }
    let field = |fields: &[(String, String)], name: &str| {
        let found = fields.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.to_ascii_lowercase())
    };
    all.retain(|fields| {
        let off =
            field(fields, "enabled").is_some_and(|value| matches!(value.as_str(), "no" | "false" | "0"));
        !off && field(fields, "types").is_some_and(|types| types.split_whitespace().any(|kind| kind == "deb"))
    });
    all.into_iter().map(Source::Stanza).collect()
}

/// Reads a `.list` file: `deb [option=value …] uri suite component …`.
fn lines(text: &str) -> Vec<Source> {
    let read = |line: &str| {
        let line = line.split('#').next().unwrap_or_default().trim();
        let rest = line.strip_prefix("deb")?;
        let after_options = match rest.trim_start().strip_prefix('[') {
            Some(options) => options.split_once(']')?.1,
            None => rest.strip_prefix([' ', '\t'])?,
        };
        let start = line.len() - after_options.len();
        let mut words = after_options.split_whitespace();
        let (uri, suite) = (words.next()?, words.next()?);
        let before = format!("{} {uri}", line[..start].trim_end());
        Some(Source::Line(before, suite.to_owned(), words.collect::<Vec<_>>().join(" ")))
    };
    text.lines().filter_map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stanzas_keep_their_options() {
        let text = "Types: deb deb-src\n# a comment: x\nURIs: http://mirror.example/debian\nSuites: bookworm bookworm-updates\n\
                    Components: main contrib\nSigned-By:\n -----BEGIN\n .\n key: x\nTrusted: yes\n\n\
                    Types: deb\nEnabled: no\nURIs: http://other.example\nSuites: x\n\n\n\
                    Types: deb-src\nURIs: http://mirror.example/debian\nSuites: bookworm\n";
        let found = stanzas(text);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].has("bookworm-updates") && !found[0].has("bookworm-backports"));
        assert_eq!(
            found[0].of_suite("bookworm-backports"),
            "Types: deb\nURIs: http://mirror.example/debian\nSuites: bookworm-backports\nComponents: main contrib\n\
             Signed-By: \n -----BEGIN\n .\n key: x\nTrusted: yes\n"
        );
    }

    #[test]
    fn lines_keep_their_options() {
        let found = lines(
            "# deb http://no.example x main\ndeb-src http://a.example sid main\n\
             deb [arch=amd64 signed-by=/k] http://a.example/debian  bookworm main contrib # mine\n\
             deb http://b.example sid main\n",
        );
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].has("bookworm"));
        assert_eq!(
            found[0].of_suite("bookworm-backports"),
            "deb [arch=amd64 signed-by=/k] http://a.example/debian bookworm-backports main contrib\n"
        );
        assert_eq!(found[1].of_suite("x"), "deb http://b.example x main\n");
    }
}
