//! The elements of `inline` as one script that tells how far it came.
//!
//! ```text
//! { …; echo 0 >/run/kiln/line; … } 2>/dev/null; cd /srv
//! { …; echo 1 >/run/kiln/line; … } 2>/dev/null; cat >page <<END
//! hello
//! END
//! { …; echo 4 >/run/kiln/line; … } 2>/dev/null; grep hello page
//! ```
//! A mark stands before an element only where everything before it is a complete command: the image's own shell says so. It
//! keeps `$?`, and is on the element's line, so that the shell's own line numbers are right.

use super::LINE_FILE;
use crate::communicator::{
    CommunicatorError, Session,
    agent::{Exec, ExitStatus, Stream},
};
use std::{collections::BTreeSet, time::Duration};

/// Elements go to the check as arguments, of which Linux allows 128 KiB each, and in one request.
const CHECKED: usize = 64 << 10;

/// A shell that checks commands without running them; it must understand `-n` and `)`.
const SHELLS: [&str; 4] = ["sh", "dash", "bash", "ash"];

/// A check that hangs must not hold up the step.
const CHECK_WITHIN: Duration = Duration::from_secs(30);

/// Prints `all` where a mark may stand before every element: the shell takes the first argument, [`wrapped`].
///
/// Otherwise prints the number of every element before which a mark may stand, and `incomplete` where the last ones never
/// become a command. Text is complete when the shell takes it as it is and refuses it with a `)` on the next line: in an open
/// here-document that would be text, and a backslash at the end would join the lines.
const CHECK: &str = r#"
printf %s "$1" | "$0" -n 2>/dev/null && echo all && exit
shift
text= number=0
for element; do
  [ -n "$text" ] || echo "$number"
  number=$((number + 1))
  text="$text$element
"
  case $element in *\\) continue ;; esac
  if printf %s "$text" | "$0" -n && ! printf '%s)\n' "$text" | "$0" -n; then text=; fi
done 2>/dev/null
[ -z "$text" ] || echo incomplete
"#;

/// A script made from the elements of a step.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Script {
    pub(super) text: String,
    /// Whether it says how far it came.
    pub(super) marked: bool,
}

impl Script {
    /// Puts the elements together, with marks where the interpreter is a shell that can check them.
    pub(super) async fn new(
        session: &mut Session,
        elements: &[String],
        interpreter: &str,
    ) -> Result<Self, CommunicatorError> {
        let name = interpreter.rsplit('/').next().unwrap_or(interpreter);
        let size: usize = elements.iter().map(String::len).sum();
        let unmarked = elements.len() < 2
            || size > CHECKED
            || elements.iter().any(|element| element.contains('\0'))
            || !SHELLS.contains(&name);
        if unmarked {
            return Ok(Self::put_together(elements, &Checked::default()));
        }
        let argv = [interpreter, "-c", CHECK, interpreter].map(str::to_owned);
        let argv = argv.into_iter().chain([wrapped(elements)]).chain(elements.iter().cloned()).collect();
        let mut printed = Vec::new();
        let on_output = |stream, bytes: &[u8]| {
            if stream == Stream::Stdout && printed.len() < CHECKED {
                printed.extend_from_slice(bytes);
            }
        };
        let exec = Exec { argv, ..Exec::default() };
        match session.exec(&exec, Some(CHECK_WITHIN), on_output).await {
            Ok(ExitStatus::Exited(0 | 1)) => {}
            Ok(_) => printed.clear(),
            Err(error) if error.timed_out().is_some() || error.is_refused() => printed.clear(),
            Err(error) => return Err(error),
        }
        Ok(Self::put_together(elements, &Checked::read(&String::from_utf8_lossy(&printed), elements.len())))
    }

    fn put_together(elements: &[String], checked: &Checked) -> Self {
        let mut text = String::new();
        for (index, element) in elements.iter().enumerate() {
            if checked.marks.contains(&index) {
                text.push_str(&mark(index));
                // What never becomes a command would take a mark on its own line with it.
                let last = checked.marks.last() == Some(&index);
                text.push_str(if last && checked.incomplete { "\n" } else { "; " });
            }
            text.push_str(element);
            text.push('\n');
        }
        Self { text, marked: !checked.marks.is_empty() }
    }
}

/// Puts each element into an `if` within groups, `{ }` or `( )`, in an order of its own. What is open at an element's end
/// (a here-document, a quote, a group) takes lines up to within a later element for itself; then groups are closed that were
/// not opened in this order, and the shell refuses the text.
///
/// ```text
/// { {  if :; then :      element 0
/// echo a
/// fi; } }
/// { (  if :; then :      element 1
/// ```
fn wrapped(elements: &[String]) -> String {
    let bits = usize::BITS - elements.len().leading_zeros();
    let mut text = String::new();
    for (index, element) in elements.iter().enumerate() {
        let ones = (0..bits).map(|bit| index >> bit & 1 == 1);
        text.extend(ones.clone().map(|one| if one { "( " } else { "{ " }));
        text.push_str("if :; then :\n");
        text.push_str(element);
        text.push_str("\nfi; ");
        text.extend(ones.rev().map(|one| if one { ") ; " } else { "} ; " }));
        // `) ; ;` would be refused.
        text.truncate(text.len() - 2);
        text.push('\n');
    }
    text
}

/// What the check found.
#[derive(Debug, Default, PartialEq, Eq)]
struct Checked {
    marks: BTreeSet<usize>,
    incomplete: bool,
}

impl Checked {
    fn read(printed: &str, count: usize) -> Self {
        if printed == "all\n" {
            return Self { marks: (0..count).collect(), incomplete: false };
        }
        let marks = printed.lines().filter_map(|line| line.parse().ok()).collect();
        Self { marks, incomplete: printed.lines().any(|line| line == "incomplete") }
    }
}

/// Writes the number without changing `$?`, without ending a script that runs with `-e`, and without a trace under `-x`.
fn mark(index: usize) -> String {
    let keep = r#"[ "$__kiln" = 0 ] || (exit "$__kiln") && :"#;
    format!("{{ __kiln=$?; echo {index} >{LINE_FILE}; {keep}; }} 2>/dev/null")
}

#[cfg(test)]
mod tests;
