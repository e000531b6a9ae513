//! `[source]` of type `image`.

use crate::{
    model::ImageSource,
    reader::{Field, Table},
    report::Checked,
};

/// Keys that not every type has.
pub(super) const KEYS: [&str; 4] = ["id", "owners", "filters", "most_recent"];

/// Reads the source: one image by its id, or a search. What filters and owners there are is the catalogue's to say.
pub(super) fn read(mut table: Table<'_>) -> Checked<ImageSource> {
    let by = table.exactly_one(["id", "filters"]);
    let source = match &by {
        Ok(field) if field.name == "id" => {
            table.elsewhere(&["owners", "most_recent"], "sources that have `filters`");
            field.parse().map(ImageSource::Id)
        }
        Ok(field) => search(&mut table, field),
        Err(reported) => {
            // Which of the two was meant is not known: neither's keys are unknown.
            let _known = (table.get("owners"), table.get("most_recent"));
            Err(*reported)
        }
    };
    table.finish()?;
    source
}

fn search(table: &mut Table<'_>, filters: &Field<'_>) -> Checked<ImageSource> {
    let filters = filters.entries(values);
    let owners = table.or("owners", vec!["self".to_owned()], |field| field.some(Field::string));
    let most_recent = table.or("most_recent", false, Field::boolean);
    Ok(ImageSource::Search {
        owners: owners?,
        filters: filters?.into_iter().collect(),
        most_recent: most_recent?,
    })
}

/// Reads the values of a filter: a string, or strings of which one must fit.
fn values(field: &Field<'_>) -> Checked<Vec<String>> {
    if field.is_array() { field.some(Field::string) } else { field.string().map(|value| vec![value]) }
}
