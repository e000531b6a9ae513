//! How a command fails: what is printed, once, and with which exit code.

use crate::{exit, output};
use anstyle::{AnsiColor, Style};
use std::{error::Error, fmt::Write as _, process::ExitCode};

/// A command that did not do what was asked.
#[derive(Debug)]
pub(crate) struct Failure {
    /// `error: …` and its causes, from the outermost; or a text that stands as it is.
    text: Text,
    hint: Option<String>,
    code: u8,
}

#[derive(Debug)]
enum Text {
    Chain(Vec<String>),
    Rendered(String),
    /// The result itself, for standard output.
    Result(String),
}

impl Failure {
    /// The command line is wrong.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self { text: Text::Chain(vec![message.into()]), hint: None, code: exit::USAGE }
    }

    /// The template is wrong; the diagnostics are rendered already.
    pub(crate) fn template(rendered: String) -> Self {
        Self { text: Text::Rendered(rendered), hint: None, code: exit::USAGE }
    }

    /// The command did its work, and what it shows is that something is not right.
    pub(crate) fn shown(result: String, code: u8) -> Self {
        Self { text: Text::Result(result), hint: None, code }
    }

    /// Someone pressed Ctrl-C, or the system wants the command to end.
    pub(crate) fn interrupted() -> Self {
        Self { text: Text::Chain(vec!["interrupted".to_owned()]), hint: None, code: exit::INTERRUPTED }
    }

    /// An operation failed.
    pub(crate) fn from_error(error: &(dyn Error + 'static), hint: Option<String>, code: u8) -> Self {
        let mut chain = vec![shown(error)];
        let mut source = error.source();
        while let Some(cause) = source {
            let text = shown(cause);
            // A transparent wrapper repeats what it wraps.
            if chain.last() != Some(&text) {
                chain.push(text);
            }
            source = cause.source();
        }
        Self { text: Text::Chain(chain), hint, code }
    }

    /// Says first what the failure is about.
    pub(crate) fn about(mut self, subject: &str) -> Self {
        if let Text::Chain(chain) = &mut self.text {
            chain.insert(0, format!("{subject} is not valid"));
        }
        self
    }

    /// Adds what to type next.
    pub(crate) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Returns the exit code.
    pub(crate) fn code(&self) -> u8 {
        self.code
    }

    /// Returns what went wrong without colours, for a document.
    pub(crate) fn text(&self) -> String {
        anstream::adapter::strip_str(self.render().trim_end()).to_string()
    }

    /// Prints the failure of one of several builds, a line at a time under its name.
    pub(crate) fn tell(&self, build: &str) {
        let lines = self.render();
        let lines = lines.lines().map(|line| format!("{build}: {line}\n"));
        anstream::eprint!("{}", lines.collect::<String>());
    }

    /// Prints the failure and returns its exit code.
    pub(crate) fn report(&self) -> ExitCode {
        match &self.text {
            Text::Result(result) => drop(output::print(result)),
            _ => anstream::eprint!("{}", self.render()),
        }
        ExitCode::from(self.code)
    }

    fn render(&self) -> String {
        let bold = |text: &str, colour: AnsiColor| {
            let style = Style::new().fg_color(Some(colour.into())).bold();
            format!("{style}{text}{style:#}")
        };
        let mut out = String::new();
        match &self.text {
            Text::Rendered(text) | Text::Result(text) => out.push_str(text),
            Text::Chain(chain) => {
                for (depth, text) in chain.iter().enumerate() {
                    let label = if depth == 0 { "error:" } else { "caused by:" };
                    writeln!(out, "{} {text}", bold(label, AnsiColor::Red))
                        .expect("a string takes what is written");
                }
            }
        }
        if let Some(hint) = &self.hint {
            writeln!(out, "{} {hint}", bold("hint:", AnsiColor::Green))
                .expect("a string takes what is written");
        }
        out
    }
}

/// Tells an error. It may quote a guest, which must not drive the terminal.
fn shown(error: &(dyn Error + 'static)) -> String {
    let lines = error.to_string();
    lines.lines().map(output::printable).collect::<Vec<_>>().join("\n")
}

impl From<kiln_builder::Error> for Failure {
    fn from(error: kiln_builder::Error) -> Self {
        use kiln_builder::ErrorKind;
        if let kiln_builder::Error::Template(report) = &error {
            return Self::template(report.render(true));
        }
        let code = match error.kind() {
            ErrorKind::Failed => exit::FAILED,
            ErrorKind::Usage => exit::USAGE,
            ErrorKind::Host => exit::HOST,
            ErrorKind::Interrupted => exit::INTERRUPTED,
        };
        let mut failure = Self::from_error(&error, error.hint(), code);
        if let (Some(code), Text::Chain(chain)) = (error.code(), &mut failure.text) {
            chain[0].insert_str(0, &format!("{code}: "));
        }
        failure
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chain_is_printed_once() {
        let inner = std::io::Error::other("no space left on device");
        let outer = kiln_builder::Error::from(inner);
        let failure = Failure::from_error(&outer, Some("kiln doctor".to_owned()), exit::FAILED);
        let text = anstream::adapter::strip_str(&failure.render()).to_string();
        assert_eq!(text.matches("no space left on device").count(), 1, "{text}");
        assert!(text.starts_with("error: ") && text.ends_with("hint: kiln doctor\n"), "{text}");
    }
}
