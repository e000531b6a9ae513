//! `[image]`.

use crate::{
    context::Context,
    locals::IMAGE_NAME,
    model::{Image, RootDeviceType, Text},
    reader::{Field, Table, quoted},
    report::{Checked, Diagnostic, Place, TEMPLATE},
    scope::Value,
    tables::lifecycle,
};
use kiln_types::{DeviceName, ImageName, ParseError};
use std::collections::BTreeMap;

/// EC2's limits for tags.
const MOST_TAGS: usize = 50;
const LONGEST_KEY: usize = 127;
const LONGEST_VALUE: usize = 255;

/// Returns the field of the image's name, or the name it has where none is written.
pub(crate) fn name<'c>(
    context: &Context<'_>,
    table: &mut Checked<Option<Table<'c>>>,
    template: &Checked<String>,
) -> Result<Field<'c>, Value> {
    let table = table.as_mut().map_err(|reported| Value::failed(*reported))?;
    table.as_mut().and_then(|table| table.get("name")).ok_or_else(|| match template {
        Ok(template) => {
            let parts = [template, &context.combination.values("-"), &context.inputs.now.compact()];
            let parts = parts.map(String::as_str).into_iter().filter(|part| !part.is_empty());
            Value::plain(parts.collect::<Vec<_>>().join("-"))
        }
        Err(reported) => Value::failed(*reported),
    })
}

/// Reads the image. Its name is settled already, and what is wrong with it is reported.
pub(crate) fn read(context: &Context<'_>, table: Checked<Option<Table<'_>>>) -> Checked<Image> {
    let Some(mut table) = table? else {
        let (name, tags) = (settled_name(context)?, BTreeMap::new());
        return Ok(Image {
            name,
            description: None,
            tags,
            root_device_name: DeviceName::root(),
            root_device_type: RootDeviceType::Ebs,
            lifecycle: None,
        });
    };
    let name = match table.get("name") {
        Some(field) => settled(context).and_then(|_| field.parse()),
        None => settled_name(context),
    };
    let description = table.optional("description", Field::string);
    let tags = table.or("tags", BTreeMap::new(), tags);
    let root_device_name = table.or("root_device_name", DeviceName::root(), Field::parse);
    let root_device_type = table.or("root_device_type", RootDeviceType::Ebs, Field::word);
    let lifecycle = table.optional("lifecycle", lifecycle::read);
    table.finish()?;
    Ok(Image {
        name: name?,
        description: description?,
        tags: tags?,
        root_device_name: root_device_name?,
        root_device_type: root_device_type?,
        lifecycle: lifecycle?,
    })
}

fn settled(context: &Context<'_>) -> Checked<Text> {
    let scope = context.scope.borrow();
    scope.get(IMAGE_NAME).expect("the image's name is settled before the image is read").text
}

/// Returns the name where none is written. A template's name and a time make one; values of a matrix may not.
fn settled_name(context: &Context<'_>) -> Checked<ImageName> {
    let name = settled(context)?;
    name.expose().parse().map_err(|error: ParseError| {
        let title = format!("{} is not {}", quoted(name.expose()), error.what);
        let diagnostic = Diagnostic::new(title, Place::File(TEMPLATE)).help(error.why);
        context.report(
            diagnostic.help("write `name` in `[image]`: the values of `[matrix]` are part of its default"),
        )
    })
}

fn tags(field: &Field<'_>) -> Checked<BTreeMap<String, String>> {
    let tags = field.entries(|field| {
        check_key(field)?;
        let value = field.string()?;
        if value.chars().count() > LONGEST_VALUE {
            let title = format!("the value of tag `{}` is too long", field.name);
            return Err(field.wrong(title, format!("expected at most {LONGEST_VALUE} characters")));
        }
        Ok(value)
    })?;
    if tags.len() > MOST_TAGS {
        let title = format!("an image can have at most {MOST_TAGS} tags");
        return Err(field.wrong(title, format!("these are {}", tags.len())));
    }
    Ok(tags.into_iter().collect())
}

fn check_key(field: &Field<'_>) -> Checked<()> {
    let key = &field.name;
    let label = match key.chars().count() {
        0 => "is empty".to_owned(),
        count if count > LONGEST_KEY => format!("expected at most {LONGEST_KEY} characters"),
        _ if key.to_lowercase().starts_with("aws:") => "keys that start with `aws:` are reserved".to_owned(),
        _ => return Ok(()),
    };
    let title = format!("{} cannot be the key of a tag", quoted(key));
    Err(field.context.report(Diagnostic::at(field.key.clone(), title).label(label)))
}
