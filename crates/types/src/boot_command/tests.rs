//! What is read, what is refused, and that what is printed is read again.

use super::*;
use proptest::prelude::*;

fn read(lines: &[&str]) -> Result<BootCommand, BootCommandError> {
    BootCommand::parse(&lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>())
}

/// Says what is wrong with a line, and what to write.
fn mistake(line: &str) -> String {
    let error = read(&["", line]).unwrap_err();
    assert_eq!(error.line, 1, "{error}");
    format!("{error}; {}", error.help.as_deref().unwrap_or_default())
}

#[test]
fn packers_words() {
    let command =
        read(&["<Esc><wait>auto ", "url=http://${http.address}/p<ENTER>", "<leftCtrlOn>x<leftctrloff><F10>"])
            .unwrap();
    let actions: Vec<BootAction> = command.iter().cloned().collect();
    let ctrl = Key::Named(Named::LeftCtrl);
    let expected = [
        BootAction::Press(Key::Named(Named::Esc)),
        BootAction::Wait(Duration::from_secs(1)),
        BootAction::Type("auto url=http://${http.address}/p".to_owned()),
        BootAction::Press(Key::Named(Named::Enter)),
        BootAction::Hold(ctrl),
        BootAction::Type("x".to_owned()),
        BootAction::Release(ctrl),
        BootAction::Press(Key::Function(10)),
    ];
    assert_eq!(actions, expected);
    assert_eq!(read(&["<return>"]), read(&["<enter>"]));
    assert_eq!(
        read(&["a < b".replace('<', "<lt>").as_str()]).unwrap().iter().next(),
        Some(&BootAction::Type("a < b".to_owned()))
    );
}

#[test]
fn waits() {
    let waited = |text: &str| match read(&[text]).unwrap().iter().next() {
        Some(BootAction::Wait(time)) => time.as_millis(),
        other => panic!("{text}: {other:?}"),
    };
    for (text, millis) in [
        ("<wait>", 1000),
        ("<wait5>", 5000),
        ("<wait5s>", 5000),
        ("<WAIT500ms>", 500),
        ("<wait1m30s>", 90_000),
        ("<wait1h>", 3_600_000),
    ] {
        assert_eq!(waited(text), millis, "{text}");
    }
    for text in ["<waitFor 'say \"yes\" > now'>", "<waitfor  \"it's\" >"] {
        assert!(matches!(read(&[text]).unwrap().iter().next(), Some(BootAction::WaitFor(_))), "{text}");
    }
}

#[test]
fn what_is_no_name_is_never_typed() {
    for (line, said) in [
        ("<entr>", "`<entr>` is no key and no wait; did you mean `<enter>`?"),
        ("<lefCtrlOn>", "did you mean `<leftCtrlOn>`?"),
        ("<wait5x>", "did you mean `<wait5s>`?"),
        ("<waitFor login>", "takes a text in quotes; write `<waitFor 'login:'>`"),
        ("<waitFor 'a\nb'>", "one line of the console"),
        ("<wait0>", "1 millisecond to 24 hours"),
        ("<wait99999999999999999999>", "is no key and no wait"),
        ("<f13>", "is no key and no wait"),
        ("<f01>", "is no key and no wait"),
        ("cat << EOF", "no `>` ends it: \"<< EOF\"; write `<lt>` for the character itself"),
        ("a <b> c", "`<b>` is no key and no wait; write `<lt>`"),
        ("<>", "`<>` is no key"),
        ("<ä>", "`<ä>` is no key"),
        ("käse", "'ä' cannot be typed; the guest's keyboard has the US layout"),
        ("a\nb", "'\\n' cannot be typed; write `<enter>`"),
        ("<leftAltOn>x", "`<leftAltOn>` holds a key that is never released; add `<leftAltOff>`"),
        ("<leftAltOff>", "releases a key that is not held; write `<leftAltOn>` before it"),
        ("<cOn><cOn><cOff>", "is held already"),
        ("<AOn>", "is no key"),
    ] {
        let text = mistake(line);
        assert!(text.contains(said), "{line}: {text}");
    }
}

#[test]
fn placeholders_are_filled_in_late() {
    let command = read(&["<waitFor '${http.ip}'>u=${http.address} ${HOME} ${http.port}"]).unwrap();
    let filled = command.substitute(|name| (name != "http.port").then(|| format!("[{name}]")));
    assert_eq!(filled.to_string(), "<waitFor '[http.ip]'>u=[http.address] ${HOME} ${http.port}");
}

#[test]
fn one_spelling() {
    let text = |lines: &[&str]| read(lines).unwrap().to_string();
    assert_eq!(text(&["<RETURN>", "<wait>", "a", "b<lt>"]), "<enter><wait1s>ab<lt>");
    assert_eq!(text(&["<wait1500ms><waitFor \"it's\">"]), "<wait1500ms><waitFor \"it's\">");
}

fn line() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        "[ -~]{0,8}".prop_map(|text| text.replace('<', "<lt>")),
        "<(wait|wait[1-9]m?s?|f1?[12]|PAGEup|spacebar|lt)>",
        "<waitfor '[ -&(-~]{1,6}'>",
        Just("<leftCtrlOn>c<leftCtrlOff>".to_owned()),
        Just("<'On><'Off>".to_owned()),
    ];
    proptest::collection::vec(word, 0..8).prop_map(|words| words.concat())
}

proptest! {
    #[test]
    fn text_and_back(lines in proptest::collection::vec(line(), 0..4)) {
        let command = BootCommand::parse(&lines).unwrap();
        prop_assert_eq!(BootCommand::parse(&[command.to_string()]), Ok(command));
    }

    #[test]
    fn nothing_makes_it_panic(line in "\\PC{0,40}", near in "[<>a-zA-Z0-9'\" ]{0,40}") {
        drop(BootCommand::parse(&[line, near]));
    }
}
