//! `[variables]`: their declarations, and the values they have in this run.
//!
//! ```text
//! --var name=value  >  --var-file  >  the environment (`env`)  >  `default`
//! ```
//! Values are plain text: nothing in them is interpolated. What may be a secret, which is every value of a
//! sensitive variable and every value given under a name that is not known, is kept out of all messages.

use crate::{
    context::Context,
    given::{Given, Origin},
    interpolation::has_reference,
    model::{Text, Variable},
    names::{listed, nearest},
    reader::{Field, Table, all, no_spaces, quoted},
    report::{Checked, Diagnostic, Place, Reported, TEMPLATE},
    scope::Value,
};
use regex::Regex;
use std::collections::BTreeSet;

/// A variable as declared.
struct Declaration<'c> {
    field: Field<'c>,
    description: Option<String>,
    sensitive: bool,
    cache_key: bool,
    default: Option<(String, Field<'c>)>,
    env: Option<(String, Field<'c>)>,
    choices: Option<(Vec<String>, Field<'c>)>,
    pattern: Option<(Regex, Field<'c>)>,
}

/// Reads the declarations, settles every value and puts it into the scope.
pub(crate) fn read<'c>(
    context: &'c Context<'c>,
    table: &Checked<Option<Table<'c>>>,
    given: &Given,
) -> Checked<Vec<Variable>> {
    let fields = match table {
        Ok(table) => table.as_ref().map(Table::fields).unwrap_or_default(),
        Err(reported) => {
            context.scope.borrow_mut().fail("var", *reported);
            return Err(*reported);
        }
    };
    let variables = all(fields.iter().map(|field| {
        let variable = declaration(field, given).and_then(|declared| settle(context, &declared, given));
        let text = variable.as_ref().map(|variable| variable.value.clone()).map_err(|reported| *reported);
        let value = Value { text, uses: BTreeSet::from([field.name.clone()]) };
        context.scope.borrow_mut().insert(format!("var.{}", field.name), value);
        variable
    }));
    let names: Vec<&str> = fields.iter().map(|field| field.name.as_str()).collect();
    let unknown = given.iter().filter(|value| !names.contains(&value.name.as_str()));
    all(unknown.map(|value| -> Checked<()> {
        given.hide(context, &value.name);
        let title = match value.origin {
            Origin::CommandLine => format!("`--var {}=…`: no variable is named `{0}`", value.name),
            _ => format!("no variable is named `{}`", value.name),
        };
        let diagnostic = Diagnostic::new(title, value.origin.place()).label("not declared by the template");
        let known = match nearest(&value.name, names.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("variables of this template: {}", listed(names.iter().copied())),
        };
        Err(context.report(diagnostic.help(known)))
    }))?;
    variables
}

fn declaration<'c>(field: &Field<'c>, given: &Given) -> Checked<Declaration<'c>> {
    check_name(field, "variable")?;
    let mut table = declaration_table(field)?;
    let sensitive = table.or("sensitive", false, Field::boolean);
    let cache_key =
        table.optional("cache_key", |key| cache_key(key, sensitive)).map(Option::unwrap_or_default);
    let default = table.get("default");
    let choices = table.get("choices");
    if sensitive != Ok(false) {
        for hidden in default.iter().chain(&choices) {
            field.context.hide(TEMPLATE, hidden.span());
        }
        given.hide(field.context, &field.name);
    }
    let default = default.map(|default| Ok((literal(&default)?, default))).transpose();
    let choices = choices.map(|choices| Ok((choices.some(literal)?, choices))).transpose();
    let description = table.optional("description", plain);
    let env = table.optional("env", |env| {
        let name = plain(env)?;
        let well_made = !name.is_empty() && !name.contains('=') && no_spaces(&name).is_ok();
        let wrong =
            || env.wrong(format!("{} cannot name an environment variable", quoted(&name)), "not a name");
        if well_made { Ok((name, env.clone())) } else { Err(wrong()) }
    });
    let pattern = table.optional("pattern", |pattern| Ok((regex(pattern)?, pattern.clone())));
    table.finish()?;
    Ok(Declaration {
        field: field.clone(),
        description: description?,
        sensitive: sensitive?,
        cache_key: cache_key?,
        default: default?,
        env: env?,
        choices: choices?,
        pattern: pattern?,
    })
}

/// Opens a declaration, and helps who wrote a bare value.
fn declaration_table<'c>(field: &Field<'c>) -> Checked<Table<'c>> {
    if !field.is_table()
        && let Ok(_scalar) = field.scalar()
    {
        let title = format!("variable `{}` must be a table", field.name);
        let help = format!("write `{} = {{ default = {} }}`", field.name, &field.context.text[field.span()]);
        let diagnostic = Diagnostic::at(field.span(), title).label("expected a table").help(help);
        return Err(field.context.report(diagnostic));
    }
    field.table(format!("variable `{}`", field.name))
}

/// Settles the value of a variable: the first that is given, or the default; and checks it and the default.
fn settle(context: &Context<'_>, declared: &Declaration<'_>, given: &Given) -> Checked<Variable> {
    let name = &declared.field.name;
    let from_environment = || {
        let (env, field) = declared.env.as_ref()?;
        Some((context.inputs.env.get(env)?.clone(), Origin::Environment(env.clone(), field.span())))
    };
    let default =
        declared.default.as_ref().map(|(value, field)| (value.clone(), Origin::Default(field.span())));
    let default_holds =
        default.as_ref().map_or(Ok(()), |(value, origin)| check(context, declared, value, origin));
    let value = match given.last(name).or_else(from_environment) {
        Some((value, origin)) => check(context, declared, &value, &origin).map(|()| value),
        None => {
            default_holds.and_then(|()| default.map(|(value, _)| value).ok_or_else(|| no_value(declared)))
        }
    }?;
    default_holds?;
    let value =
        if declared.sensitive { Text::hidden(value, format!("${{var.{name}}}")) } else { Text::plain(value) };
    Ok(Variable {
        name: name.clone(),
        description: declared.description.clone(),
        value,
        sensitive: declared.sensitive,
        cache_key: declared.cache_key,
    })
}

/// Reads whether the value of a sensitive variable is part of cache keys.
fn cache_key(field: &Field<'_>, sensitive: Checked<bool>) -> Checked<bool> {
    let wanted = field.boolean()?;
    if wanted && sensitive == Ok(false) {
        let diagnostic = Diagnostic::at(field.key.clone(), "`cache_key` is for sensitive variables")
            .label("the value of any other is part of the key as it is");
        return Err(field.context.report(diagnostic.help("remove it, or add `sensitive = true`")));
    }
    Ok(wanted)
}

fn no_value(declared: &Declaration<'_>) -> Reported {
    let name = &declared.field.name;
    let mut diagnostic =
        Diagnostic::at(declared.field.key.clone(), format!("variable `{name}` has no value"))
            .label("no default, and no value is given")
            .help(format!("give it one: `--var {name}=…`"));
    if let Some((env, _)) = &declared.env {
        diagnostic = diagnostic.help(format!("or set the environment variable `{env}`"));
    }
    declared.field.context.report(diagnostic)
}

/// Compares a value with the choices and the pattern.
fn check(context: &Context<'_>, declared: &Declaration<'_>, value: &str, origin: &Origin) -> Checked<()> {
    let subject = origin.subject(&declared.field.name, (!declared.sensitive).then_some(value));
    let report = |problem: &str, rule: &Field<'_>, rule_label: &str, help: Option<String>| {
        let title = format!("{subject} {problem}");
        let mut diagnostic = match origin.place() {
            // The rule is the only part of a file that can be shown.
            Place::Outside => Diagnostic::at(rule.span(), title).label(rule_label),
            place => Diagnostic::new(title, place).context(rule.span(), rule_label),
        };
        if let Some(help) = help {
            diagnostic = diagnostic.help(help);
        }
        Err(context.report(diagnostic))
    };
    if value.contains('\0') {
        return report("holds a NUL character", &declared.field, "this variable", None);
    }
    if let Some((choices, field)) = &declared.choices
        && !choices.iter().any(|choice| choice == value)
    {
        let known = || choices.iter().map(String::as_str);
        let help = match nearest(value, known()).filter(|_| !declared.sensitive) {
            _ if declared.sensitive => None,
            Some(near) => Some(format!("did you mean `{near}`?")),
            None => Some(format!("choices: {}", listed(known()))),
        };
        return report("is not one of its choices", field, "the choices", help);
    }
    if let Some((pattern, field)) = &declared.pattern
        && !pattern.is_match(value)
    {
        return report("does not match its pattern", field, "the pattern, for the whole value", None);
    }
    Ok(())
}

/// Reads a value that is taken as it is.
fn literal(field: &Field<'_>) -> Checked<String> {
    let value = field.scalar().map_err(|_found| field.wrong_type("a string"))?;
    if has_reference(&value) {
        let title = format!("`{}` of a variable is taken as it is", field.name);
        let diagnostic = Diagnostic::at(field.span(), title)
            .label("no `${…}` is replaced here")
            .help("put a text made of others into `[locals]`");
        return Err(field.context.report(diagnostic));
    }
    Ok(value)
}

fn plain(field: &Field<'_>) -> Checked<String> {
    Ok(field.written()?.text.to_owned())
}

fn regex(field: &Field<'_>) -> Checked<Regex> {
    let pattern = field.written()?.text;
    // Compiled by itself first, so that `a)(b` is not made right by the group around it.
    let compiled = Regex::new(pattern).and_then(|_| Regex::new(&format!("^(?:{pattern})$")));
    compiled.map_err(|error| {
        let why = error.to_string();
        let last = why.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
        field.wrong(format!("{} is not a regular expression", quoted(pattern)), last)
    })
}

/// Checks the name of a variable or local.
pub(crate) fn check_name(field: &Field<'_>, what: &str) -> Checked<()> {
    let name = &field.name;
    let known = name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'));
    if known && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
        return Ok(());
    }
    let diagnostic = Diagnostic::at(field.key.clone(), format!("{} cannot name a {what}", quoted(name)))
        .label("expected a letter, then letters, digits, `_` and `-`");
    Err(field.context.report(diagnostic))
}
