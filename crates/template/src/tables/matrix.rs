//! `[matrix]`: the values that a template is built with, each with each.
//!
//! The rest of the template is read once for every combination, as if it stood there with the values put in.

use crate::{
    context::Context,
    model::{Combination, Step, Template},
    reader::{Field, Table, all, quoted},
    report::{Checked, Diagnostic},
    variables::check_name,
};
use std::{collections::BTreeMap, path::PathBuf};
use toml::de::DeTable;

/// Builds of one template; more are a mistake in the axes.
const MOST: usize = 64;

/// Characters of a value, which becomes part of names.
const LONGEST: usize = 64;

/// Reads the combinations: one that is empty where there is no matrix.
pub(crate) fn combinations<'c>(context: &'c Context<'c>, root: &'c DeTable<'c>) -> Checked<Vec<Combination>> {
    let Some(field) = matrix(context, root) else { return Ok(vec![Combination::default()]) };
    let mut table = field.table("`[matrix]`")?;
    let exclude = table.get("exclude");
    let axes = all(table.fields().iter().filter(|field| field.name != "exclude").map(axis))?;
    if axes.is_empty() {
        return Err(
            field.wrong("`[matrix]` has no axis", "expected a name and its values: `release = [\"…\"]`")
        );
    }
    let count = axes.iter().try_fold(1usize, |count, (_, values)| count.checked_mul(values.len()));
    if count.is_none_or(|count| count > MOST) {
        let title = format!("`[matrix]` has more than {MOST} combinations");
        return Err(field.wrong(title, "every value of an axis goes with every value of the others"));
    }
    let mut combinations = vec![Vec::new()];
    for (axis, values) in &axes {
        let with = |start: &Vec<(String, String)>| {
            let start = start.clone();
            let pairs = values.iter().map(|value| (axis.clone(), value.clone()));
            pairs.map(move |pair| start.iter().cloned().chain([pair]).collect()).collect::<Vec<_>>()
        };
        combinations = combinations.iter().flat_map(with).collect();
    }
    let mut combinations: Vec<_> = combinations.into_iter().map(Combination).collect();
    if let Some(exclude) = exclude {
        let excluded = exclude.some(|item| left_out(item, &combinations))?;
        combinations.retain(|combination| !excluded.iter().any(|excluded| covers(excluded, combination)));
        if combinations.is_empty() {
            return Err(exclude.wrong("`exclude` leaves nothing to build", "every combination is left out"));
        }
    }
    Ok(combinations)
}

/// Reports combinations of which one would take what another made.
pub(crate) fn distinct<'c>(context: &'c Context<'c>, root: &'c DeTable<'c>, templates: &[Template]) {
    let Some(field) = matrix(context, root) else { return };
    let mut taken: BTreeMap<(&'static str, PathBuf), &Template> = BTreeMap::new();
    for template in templates {
        for (what, key, made) in makes(template) {
            let shown = made.display().to_string();
            let Some(first) = taken.insert((what, made), template) else { continue };
            if first.combination == template.combination {
                continue;
            }
            let title = format!("two builds of the matrix make the same {what}, `{shown}`");
            let label = format!("{} and {}", first.combination, template.combination);
            let axis = template.combination.axes().next().map_or("", |(axis, _)| axis);
            let help = format!("use `${{matrix.{axis}}}`, and every other axis, in {key}");
            context.report(Diagnostic::at(field.key, title).label(label).help(help));
            return;
        }
    }
}

/// What a build leaves outside itself: what it is, the key that names it, and its name.
fn makes(template: &Template) -> impl Iterator<Item = (&'static str, &'static str, PathBuf)> {
    let image = ("image", "`name` of `[image]`", PathBuf::from(template.image.name.as_str()));
    let exports = template.exports.iter().map(|export| &export.path.path);
    let exports = exports.map(|path| ("export", "`path` of `[[export]]`", path.clone()));
    let downloads = template.provisioners.iter().filter_map(|provisioner| match &provisioner.step {
        Step::Download(download) if provisioner.skipped.is_none() => {
            Some(("download", "`destination` of the step", download.target()))
        }
        _ => None,
    });
    [image].into_iter().chain(exports).chain(downloads)
}

fn matrix<'c>(context: &'c Context<'c>, root: &'c DeTable<'c>) -> Option<Field<'c>> {
    Table::new(context, "a template", None, root).get("matrix")
}

/// Reads an axis: its name, and values that are taken as they are.
fn axis(field: &Field<'_>) -> Checked<(String, Vec<String>)> {
    check_name(field, "matrix's axis")?;
    let values = field.some(value)?;
    for (index, value) in values.iter().enumerate() {
        if values[..index].contains(value) {
            let title = format!("axis `{}` has {} twice", field.name, quoted(value));
            return Err(field.wrong(title, "each value is one build"));
        }
    }
    Ok((field.name.clone(), values))
}

fn value(field: &Field<'_>) -> Checked<String> {
    let value = field.scalar().map_err(|_found| field.wrong_type("a string"))?;
    let wrong = match value.chars().count() {
        0 => "is empty".to_owned(),
        count if count > LONGEST => format!("expected at most {LONGEST} characters"),
        _ if value.contains("${") => "no `${…}` is replaced here".to_owned(),
        _ if value.chars().any(char::is_control) => "holds a control character".to_owned(),
        _ => return Ok(value),
    };
    Err(field.wrong(format!("{} cannot be a value of an axis", quoted(&value)), wrong))
}

/// Reads an element of `exclude`: values of some axes, all of which a combination has to have to be left out.
fn left_out(field: &Field<'_>, combinations: &[Combination]) -> Checked<Vec<(String, String)>> {
    let excluded = field.entries(value)?;
    if excluded.is_empty() || !combinations.iter().any(|combination| covers(&excluded, combination)) {
        let diagnostic = Diagnostic::at(field.span(), "`exclude` leaves nothing out here");
        let help = "write axes and their values as they stand in `[matrix]`: `{ release = \"sid\" }`";
        return Err(field.context.report(diagnostic.label("no combination is like this").help(help)));
    }
    Ok(excluded)
}

fn covers(excluded: &[(String, String)], combination: &Combination) -> bool {
    excluded.iter().all(|(axis, value)| combination.axes().any(|pair| pair == (axis, value)))
}
