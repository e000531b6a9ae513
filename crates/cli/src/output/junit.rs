//! Results of tests as JUnit's XML, which CI systems read.

use crate::failure::Failure;
use kiln_builder::{TestOutcome, TestResult};
use std::{fmt, path::Path};

/// The tests of one image.
pub(crate) struct Suite<'a> {
    /// The template that they are of.
    pub(crate) name: &'a str,
    /// What came of them.
    pub(crate) tests: &'a [TestResult],
}

/// Writes the results to a file.
pub(crate) fn write(path: &Path, suites: &[Suite<'_>]) -> Result<(), Failure> {
    Ok(fs_err::write(path, document(suites)).map_err(kiln_builder::Error::from)?)
}

fn document(suites: &[Suite<'_>]) -> String {
    let mut out = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n".to_owned();
    for suite in suites {
        out.push_str(&suite.to_string());
    }
    out + "</testsuites>\n"
}

impl fmt::Display for Suite<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = |outcome| self.tests.iter().filter(|test| test.outcome == outcome).count();
        let time: f64 = self.tests.iter().map(|test| test.seconds).sum();
        writeln!(
            f,
            "  <testsuite name=\"{}\" tests=\"{}\" failures=\"{}\" errors=\"0\" skipped=\"{}\" time=\"{time:.3}\">",
            Escaped(self.name),
            self.tests.len(),
            count(TestOutcome::Failed),
            count(TestOutcome::Skipped),
        )?;
        for test in self.tests {
            let (name, suite) = (Escaped(&test.name), Escaped(self.name));
            write!(f, "    <testcase name=\"{name}\" classname=\"{suite}\" time=\"{:.3}\"", test.seconds)?;
            let why = Escaped(test.message.lines().next().unwrap_or_default());
            match test.outcome {
                TestOutcome::Passed => writeln!(f, "/>")?,
                TestOutcome::Skipped => writeln!(f, "><skipped message=\"{why}\"/></testcase>")?,
                TestOutcome::Failed => {
                    let all = Escaped(&test.message);
                    writeln!(f, "><failure message=\"{why}\">{all}</failure></testcase>")?;
                }
            }
        }
        writeln!(f, "  </testsuite>")
    }
}

/// A text within XML. Characters that XML has no place for, as a guest may print them, are replaced.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write;
        self.0.chars().try_for_each(|character| match character {
            '&' => f.write_str("&amp;"),
            '<' => f.write_str("&lt;"),
            '>' => f.write_str("&gt;"),
            '"' => f.write_str("&quot;"),
            '\n' | '\t' => f.write_char(character),
            '\u{fffe}' | '\u{ffff}' => f.write_char('\u{fffd}'),
            character if character.is_control() => f.write_char('\u{fffd}'),
            character => f.write_char(character),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suite_is_xml_whatever_a_guest_says() {
        let test = |name: &str, outcome, message: &str| TestResult {
            name: name.to_owned(),
            outcome,
            message: message.to_owned(),
            seconds: 0.25,
        };
        let tests = [
            test("boots", TestOutcome::Passed, ""),
            test("a < b", TestOutcome::Failed, "\"no\" & \u{1b}[31m\nmore"),
            test("port: 80", TestOutcome::Skipped, "when: a == b"),
        ];
        let expected = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n  \
            <testsuite name=\"web\" tests=\"3\" failures=\"1\" errors=\"0\" skipped=\"1\" time=\"0.750\">\n    \
            <testcase name=\"boots\" classname=\"web\" time=\"0.250\"/>\n    \
            <testcase name=\"a &lt; b\" classname=\"web\" time=\"0.250\"><failure message=\"&quot;no&quot; &amp; \u{fffd}[31m\">\
            &quot;no&quot; &amp; \u{fffd}[31m\nmore</failure></testcase>\n    \
            <testcase name=\"port: 80\" classname=\"web\" time=\"0.250\"><skipped message=\"when: a == b\"/></testcase>\n  \
            </testsuite>\n</testsuites>\n";
        assert_eq!(document(&[Suite { name: "web", tests: &tests }]), expected);
    }
}
