//! `[image.lifecycle]`.

use crate::{
    model::{After, Lifecycle},
    reader::{Field, Table, quoted},
    report::{Checked, Diagnostic},
};

/// The actions, in the order in which they come.
const ACTIONS: [&str; 3] = ["deprecate_after", "disable_after", "deregister_after"];

/// Images of one kind that are counted at most; a larger number was given by mistake.
const MOST: i64 = 100_000;

/// Reads what becomes of the images.
pub(crate) fn read(field: &Field<'_>) -> Checked<Lifecycle> {
    let mut table = field.table("`[image.lifecycle]`")?;
    let names = table.optional("names", |field| {
        field.checked("a pattern of names", |text| match text {
            "" => Err("is empty".to_owned()),
            _ => Ok(()),
        })
    });
    let actions = ACTIONS.map(|key| table.optional(key, after));
    if actions.iter().all(|action| *action == Ok(None)) {
        let title = "`[image.lifecycle]` says nothing that becomes of an image";
        table.report(table.mistake(title).help("add `deregister_after = \"90d\"`"));
    }
    in_order(&mut table, &actions);
    let keep = table.or("keep", 1, |field| {
        let keep = field.integer(0..=MOST)?;
        Ok(u32::try_from(keep).expect("the range fits"))
    });
    let keep_tags = table.or("keep_tags", Vec::new(), |field| field.each(tag));
    table.finish()?;
    let [deprecate, disable, deregister] = actions;
    Ok(Lifecycle {
        names: names?,
        deprecate: deprecate?,
        disable: disable?,
        deregister: deregister?,
        keep: keep?,
        keep_tags: keep_tags?,
    })
}

/// Reads an age, or a number of newer images.
fn after(field: &Field<'_>) -> Checked<After> {
    if field.is_integer() {
        let newer = field.integer(1..=MOST)?;
        return Ok(After::Newer(u32::try_from(newer).expect("the range fits")));
    }
    field.time_limit().map(After::Age)
}

/// Refuses an action that comes before one that is meant to come first.
fn in_order(table: &mut Table<'_>, actions: &[Checked<Option<After>>; 3]) {
    let known =
        ACTIONS.into_iter().zip(actions).filter_map(|(key, after)| Some((key, after.ok().flatten()?)));
    let known: Vec<_> = known.collect();
    for pair in known.windows(2) {
        let [(first, earlier), (second, later)] = pair else { continue };
        let reversed = match (earlier, later) {
            (After::Age(earlier), After::Age(later)) => later.as_duration() < earlier.as_duration(),
            (After::Newer(earlier), After::Newer(later)) => later < earlier,
            _ => false,
        };
        let (Some(first), Some(second), true) = (table.get(first), table.get(second), reversed) else {
            continue;
        };
        let title = format!("`{}` comes before `{}`", second.name, first.name);
        let diagnostic = Diagnostic::at(second.span(), title).label("earlier");
        table.report(diagnostic.context(first.span(), "would never happen"));
    }
}

/// Reads `Key` or `Key=value`.
fn tag(field: &Field<'_>) -> Checked<(String, Option<String>)> {
    let text = field.string()?;
    let (key, value) = match text.split_once('=') {
        Some((key, value)) => (key, Some(value.to_owned())),
        None => (text.as_str(), None),
    };
    if key.is_empty() {
        let title = format!("{} names no tag", quoted(&text));
        return Err(field.wrong(title, "expected `Key` or `Key=value`"));
    }
    Ok((key.to_owned(), value))
}
