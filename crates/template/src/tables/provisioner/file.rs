//! `[[provisioner]]` of type `file`.

use crate::{
    interpolation::Style,
    model::{Content, FileStep, Owner},
    reader::{Field, Kind, Table, account},
    report::Checked,
};

/// Keys that not every type has.
pub(super) const KEYS: [&str; 5] = ["source", "content", "destination", "mode", "owner"];

/// Reads a file step.
pub(super) fn read(mut table: Table<'_>) -> Checked<FileStep> {
    let content = table.exactly_one(["source", "content"]).and_then(|field| match field.name.as_str() {
        "source" => field.host_path(Kind::FileOrFolder).map(Content::Source),
        _ => field.text(Style::Guest).map(Content::Text),
    });
    let nameless = matches!(content, Ok(Content::Text(_)));
    let destination = table.required("destination", "\"/etc/motd\"", |field| {
        let path = field.guest_path()?;
        if nameless && path.ends_with('/') {
            let title = "`content` needs a destination with a file name";
            return Err(field.wrong(title, "names a folder"));
        }
        Ok(path)
    });
    let mode = table.optional("mode", mode);
    let owner = table.optional("owner", owner);
    table.finish()?;
    Ok(FileStep { content: content?, destination: destination?, mode: mode?, owner: owner? })
}

/// Makes the name of a step that has none.
pub(super) fn name(step: &FileStep) -> String {
    match &step.content {
        Content::Source(source) => format!("file: {source} -> {}", step.destination),
        Content::Text(_) => format!("file: {}", step.destination),
    }
}

/// Reads permission bits as `chmod` takes them.
pub(in crate::tables) fn mode(field: &Field<'_>) -> Checked<u32> {
    let text = field.checked("a mode", |text| {
        let octal = text.bytes().all(|b| matches!(b, b'0'..=b'7'));
        if octal && (3..=5).contains(&text.len()) && (text.len() < 5 || text.starts_with('0')) {
            return Ok(());
        }
        Err("expected octal digits, like 0644".to_owned())
    })?;
    Ok(u32::from_str_radix(&text, 8).expect("checked to be octal digits"))
}

/// Reads `user` or `user:group`.
pub(in crate::tables) fn owner(field: &Field<'_>) -> Checked<Owner> {
    let text = field.checked("an owner", |text| {
        let (user, group) = text.split_once(':').unwrap_or((text, "root"));
        account(user)
            .and_then(|()| account(group))
            .map_err(|why| format!("{why}; an owner is `user` or `user:group`"))
    })?;
    let (user, group) = match text.split_once(':') {
        Some((user, group)) => (user, Some(group.to_owned())),
        None => (text.as_str(), None),
    };
    Ok(Owner { user: user.to_owned(), group })
}
