//! Text to actions.

use super::{BootAction, BootCommandError, Key};
use std::time::Duration;

/// The longest `<wait…>`: whoever waits longer waits for something that can be seen.
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 60 * 60);

/// The least likeness of a name to one that is known, for which it is taken as meant.
const ALIKE: f64 = 0.7;

/// What is wrong, and what to write.
type Mistake = (String, Option<String>);

/// Reads every line.
pub(super) fn parse(lines: &[String]) -> Result<Vec<BootAction>, BootCommandError> {
    let mut reader = Reader::default();
    for (line, text) in lines.iter().enumerate() {
        reader.line(line, text).map_err(|(what, help)| BootCommandError { line, what, help })?;
    }
    if let Some((line, key)) = reader.held.first() {
        let what = format!("`<{key}On>` holds a key that is never released");
        return Err(BootCommandError { line: *line, what, help: Some(format!("add `<{key}Off>`")) });
    }
    Ok(reader.actions)
}

#[derive(Default)]
struct Reader {
    actions: Vec<BootAction>,
    /// The keys that are held, with the line that began it.
    held: Vec<(usize, Key)>,
}

impl Reader {
    fn line(&mut self, line: usize, text: &str) -> Result<(), Mistake> {
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            let Some(after) = rest.strip_prefix('<') else {
                typable(c)?;
                self.type_char(c);
                rest = &rest[c.len_utf8()..];
                continue;
            };
            if let Some(found) = wait_for(after) {
                let (said, after) = found?;
                self.actions.push(BootAction::WaitFor(said));
                rest = after;
                continue;
            }
            let (name, after) = after.split_once('>').ok_or_else(|| unclosed(rest))?;
            self.named(line, name)?;
            rest = after;
        }
        Ok(())
    }

    fn type_char(&mut self, c: char) {
        if let Some(BootAction::Type(text)) = self.actions.last_mut() {
            text.push(c);
        } else {
            self.actions.push(BootAction::Type(c.to_string()));
        }
    }

    fn named(&mut self, line: usize, name: &str) -> Result<(), Mistake> {
        if name.eq_ignore_ascii_case("lt") {
            self.type_char('<');
        } else if let Some(key) = Key::find(name) {
            self.actions.push(BootAction::Press(key));
        } else if let Some(time) = strip_start(name, "wait") {
            self.actions.push(BootAction::Wait(wait(name, time)?));
        } else if let Some(key) = strip_end(name, "on").and_then(Key::find_held) {
            if self.held.iter().any(|(_, held)| *held == key) {
                return Err((format!("`<{name}>` holds a key that is held already"), None));
            }
            self.held.push((line, key));
            self.actions.push(BootAction::Hold(key));
        } else if let Some(key) = strip_end(name, "off").and_then(Key::find_held) {
            let Some(place) = self.held.iter().position(|(_, held)| *held == key) else {
                return Err((
                    format!("`<{name}>` releases a key that is not held"),
                    Some(format!("write `<{key}On>` before it")),
                ));
            };
            self.held.remove(place);
            self.actions.push(BootAction::Release(key));
        } else {
            return Err(unknown(name));
        }
        Ok(())
    }
}

/// Refuses what a US keyboard does not type.
fn typable(c: char) -> Result<(), Mistake> {
    let help = match c {
        ' '..='~' => return Ok(()),
        '\n' | '\r' => "write `<enter>`",
        '\t' => "write `<tab>`",
        _ => {
            "the guest's keyboard has the US layout; other text can go into a file that the guest fetches or reads"
        }
    };
    Err((format!("{c:?} cannot be typed"), Some(help.to_owned())))
}

/// Reads ` 'text'>` behind `<waitFor`, in either quotes; none where something else stands there.
fn wait_for(text: &str) -> Option<Result<(String, &str), Mistake>> {
    let rest =
        strip_start(text, "waitFor").filter(|rest| !rest.starts_with(|c: char| c.is_alphanumeric()))?;
    let rest = rest.trim_start();
    let form =
        || ("`<waitFor …>` takes a text in quotes".to_owned(), Some("write `<waitFor 'login:'>`".to_owned()));
    let read = || {
        let quote = rest.chars().next().filter(|c| matches!(c, '\'' | '"')).ok_or_else(form)?;
        let (said, rest) = rest[1..].split_once(quote).ok_or_else(form)?;
        let rest = rest.trim_start().strip_prefix('>').ok_or_else(form)?;
        if said.is_empty() || said.contains(char::is_control) {
            let what = "`<waitFor …>` waits for what can stand in one line of the console";
            return Err((what.to_owned(), None));
        }
        Ok((said.to_owned(), rest))
    };
    Some(read())
}

/// Reads what stands behind `wait`: nothing is a second, a bare number is seconds, else numbers with units.
fn wait(name: &str, time: &str) -> Result<Duration, Mistake> {
    let time = time.to_ascii_lowercase();
    let read = match time.as_str() {
        "" => Some(Duration::from_secs(1)),
        digits if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            digits.parse().ok().map(Duration::from_secs)
        }
        units => sum(units),
    };
    match read {
        Some(time) if time > Duration::ZERO && time <= LONGEST_WAIT => Ok(time),
        Some(_) => Err((
            format!("`<{name}>` waits for no time that can be waited for"),
            Some("it takes 1 millisecond to 24 hours".to_owned()),
        )),
        None => Err(unknown(name)),
    }
}

/// Adds up `1m30s`.
fn sum(mut text: &str) -> Option<Duration> {
    let mut sum = Duration::ZERO;
    while !text.is_empty() {
        let digits = text.find(|c: char| !c.is_ascii_digit())?;
        let (number, rest) = text.split_at(digits);
        let end = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let (unit, rest) = rest.split_at(end);
        let scale = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            _ => return None,
        };
        let millis = number.parse::<u64>().ok()?.checked_mul(scale)?;
        sum = sum.checked_add(Duration::from_millis(millis))?;
        text = rest;
    }
    Some(sum)
}

fn unclosed(rest: &str) -> Mistake {
    let shown: String = rest.chars().take(20).collect();
    (format!("a `<` begins a name, and no `>` ends it: {shown:?}"), Some(LITERAL.to_owned()))
}

/// What to write for the character.
const LITERAL: &str = "write `<lt>` for the character itself";

fn unknown(name: &str) -> Mistake {
    let meant = nearest(name).map_or_else(|| LITERAL.to_owned(), |near| format!("did you mean `<{near}>`?"));
    (format!("`<{name}>` is no key and no wait"), Some(meant))
}

/// Returns the known name that is most like this one.
fn nearest(name: &str) -> Option<String> {
    let name = name.to_ascii_lowercase();
    let plain = Key::names().chain(["wait", "wait5s", "waitFor 'text'", "lt"].map(str::to_owned));
    let held = Key::names().flat_map(|name| [format!("{name}On"), format!("{name}Off")]);
    let likeness =
        |known: &String| strsim::normalized_damerau_levenshtein(&name, &known.to_ascii_lowercase());
    let all = plain.chain(held).map(|known| (likeness(&known), known));
    let best = all.filter(|(likeness, _)| *likeness >= ALIKE).max_by(|(a, _), (b, _)| a.total_cmp(b))?;
    Some(best.1)
}

/// Takes a word off the start of a text, in any case.
fn strip_start<'a>(text: &'a str, word: &str) -> Option<&'a str> {
    let (start, rest) = text.split_at_checked(word.len())?;
    start.eq_ignore_ascii_case(word).then_some(rest)
}

/// Takes a word off the end of a text, in any case.
fn strip_end<'a>(text: &'a str, word: &str) -> Option<&'a str> {
    let (rest, end) = text.split_at_checked(text.len().checked_sub(word.len())?)?;
    end.eq_ignore_ascii_case(word).then_some(rest)
}
