//! The template as a whole.

use crate::{
    context::Context,
    given::Given,
    locals,
    model::{Communicator, Machine, Sysprep, Template},
    reader::{Field, Table, quoted},
    report::Checked,
    tables::{
        bundle, cache_mount, communicator, condition::Run, export, image, machine, provisioner, source,
        sysprep, test,
    },
    variables,
};
use toml::de::DeTable;

/// Reads the whole template: first the names that others may use, then everything else.
pub(crate) fn read<'c>(context: &'c Context<'c>, root: &'c DeTable<'c>) -> Checked<Template> {
    let given = Given::read(context);
    let mut table = Table::new(context, "a template", None, root);
    // Read before: it says how often this is done.
    drop(table.get("matrix"));
    let mut header = table.required_table("template", "with a `name`");
    let name = match &mut header {
        Ok(header) => header.required("name", "\"debian-web\"", template_name),
        Err(reported) => Err(*reported),
    };
    let written_variables = table.optional("variables", |field| field.table("`[variables]`"));
    let variables = variables::read(context, &written_variables, &given);
    let written_locals = table.optional("locals", |field| field.table("`[locals]`"));
    let mut image = table.optional("image", |field| field.table("`[image]`"));
    let image_name = image::name(context, &mut image, &name);
    let locals = locals::read(context, &written_locals, image_name);
    let description = header.and_then(|mut header| {
        let description = header.optional("description", Field::string);
        header.finish()?;
        description
    });

    let communicator = table.or("communicator", Communicator::Agent, communicator::read);
    let image = image::read(context, image);
    let root = image.as_ref().ok().map(|image| &image.root_device_name);
    let machine = table.or("machine", Machine::default(), |field| machine::read(field, &communicator, root));
    let source = table.required_table("source", "with a `type`");
    let source = source.and_then(|table| source::read(table, &name, &machine));
    let run = Run::new(&name, &source, &machine, &communicator);
    let provisioners = table.or("provisioner", Vec::new(), |field| provisioner::read(field, &run));
    let sysprep = table.or("sysprep", Sysprep::default(), sysprep::read);
    let cache_mounts = table.or("cache_mount", Vec::new(), |field| cache_mount::read(field, &communicator));
    let tests = table.or("test", Vec::new(), |field| test::read(field, &run));
    let root = image.as_ref().map(|image| image.root_device_type).map_err(|reported| *reported);
    let bundle = bundle::read(&mut table, root);
    let exports = table.or("export", Vec::new(), export::read);
    table.finish()?;
    locals?;
    Ok(Template {
        name: name?,
        description: description?,
        combination: context.combination.clone(),
        variables: variables?,
        source: source?,
        machine: machine?,
        communicator: communicator?,
        cache_mounts: cache_mounts?,
        provisioners: provisioners?,
        sysprep: sysprep?,
        image: image?,
        tests: tests?,
        bundle: bundle?,
        exports: exports?,
    })
}

/// Reads the template's name. It is the start of other names, and so is taken as it is.
fn template_name(field: &Field<'_>) -> Checked<String> {
    let name = field.written()?.text;
    let known = name.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'));
    let ends = !name.starts_with('-') && !name.ends_with('-');
    if known && ends && (1..=63).contains(&name.len()) {
        return Ok(name.to_owned());
    }
    let title = format!("{} cannot name a template", quoted(name));
    Err(field.wrong(title, "expected 1 to 63 lower-case letters, digits and inner hyphens"))
}
