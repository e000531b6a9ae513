//! The little of XML that a manifest needs, as a tree.
//!
//! Comments, CDATA, processing instructions and document types are refused: no bundler writes them. Every element knows where
//! it stands in the text: what a signature covers is the element that is read, and not another that looks like it.

use crate::Error;
use quick_xml::{
    Reader,
    escape::resolve_predefined_entity,
    events::{BytesStart, Event},
};
use std::ops::Range;

/// Deeper than a manifest goes.
const DEPTH: usize = 8;

/// An element.
#[derive(Debug, Default)]
pub(super) struct Node {
    pub(super) name: String,
    pub(super) attributes: Vec<(String, String)>,
    pub(super) text: String,
    pub(super) children: Vec<Self>,
    /// From its first tag to the end of its last.
    pub(super) span: Range<usize>,
}

/// Reads a document.
pub(super) fn parse(text: &str) -> Result<Node, Error> {
    let mut reader = Reader::from_str(text);
    let mut open: Vec<Node> = vec![Node::default()];
    loop {
        let from = position(&reader);
        let event = reader.read_event().map_err(|error| bad(error.to_string()))?;
        let depth = open.len();
        let top = open.last_mut().ok_or_else(|| bad("an element ends that did not begin"))?;
        match event {
            Event::Start(_) if depth > DEPTH => return Err(bad("elements lie too deep")),
            Event::Start(start) => open.push(Node { span: from..from, ..node(&start)? }),
            Event::Empty(start) => top.children.push(node(&start)?),
            Event::End(_) => close(&mut open, position(&reader))?,
            Event::Text(text) => top.text.push_str(&text.decode().map_err(|error| bad(error.to_string()))?),
            Event::GeneralRef(name) => {
                let character = name.resolve_char_ref().map_err(|error| bad(error.to_string()))?;
                let name = name.decode().map_err(|error| bad(error.to_string()))?;
                match character {
                    Some(character) => top.text.push(character),
                    None => top.text.push_str(
                        resolve_predefined_entity(&name).ok_or_else(|| bad(format!("entity `{name}`")))?,
                    ),
                }
            }
            Event::Decl(_) => {}
            Event::Eof => break,
            Event::Comment(_) | Event::CData(_) | Event::PI(_) | Event::DocType(_) => {
                return Err(bad("holds more than elements and text"));
            }
        }
    }
    let [root] = open.as_mut_slice() else { return Err(bad("ends inside an element")) };
    match root.children.pop() {
        Some(only) if root.children.is_empty() && root.text.trim().is_empty() => Ok(only),
        _ => Err(bad("is not one element")),
    }
}

fn position(reader: &Reader<&[u8]>) -> usize {
    usize::try_from(reader.buffer_position()).unwrap_or(usize::MAX)
}

fn close(open: &mut Vec<Node>, end: usize) -> Result<(), Error> {
    let mut done = open.pop().ok_or_else(|| bad("an element ends that did not begin"))?;
    let parent = open.last_mut().ok_or_else(|| bad("an element ends that did not begin"))?;
    done.span.end = end;
    parent.children.push(done);
    Ok(())
}

fn node(start: &BytesStart<'_>) -> Result<Node, Error> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).map_err(|error| bad(error.to_string()));
    let mut node = Node { name: text(start.name().as_ref())?, ..Node::default() };
    for attribute in start.attributes() {
        let attribute = attribute.map_err(|error| bad(error.to_string()))?;
        if attribute.value.iter().any(|byte| b"<&".contains(byte)) {
            return Err(bad("an attribute holds markup"));
        }
        node.attributes.push((text(attribute.key.as_ref())?, text(&attribute.value)?));
    }
    Ok(node)
}

/// Says what is wrong. A manifest is anybody's text: nothing in it may speak to the terminal.
pub(super) fn bad(reason: impl Into<String>) -> Error {
    let shown = |character: char| if character.is_control() { '\u{fffd}' } else { character };
    Error::Manifest(reason.into().chars().map(shown).collect())
}

impl Node {
    /// Finds a child that may be there once.
    pub(super) fn optional(&self, name: &str) -> Result<Option<&Self>, Error> {
        let mut found = self.children.iter().filter(|child| child.name == name);
        let first = found.next();
        if found.next().is_some() {
            return Err(bad(format!("`{name}` stands twice in `{}`", self.name)));
        }
        Ok(first)
    }

    /// Finds a child that must be there once.
    pub(super) fn child(&self, name: &str) -> Result<&Self, Error> {
        self.optional(name)?.ok_or_else(|| bad(format!("`{}` has no `{name}`", self.name)))
    }

    /// Returns the text of a child that must be there.
    pub(super) fn text_of(&self, name: &str) -> Result<String, Error> {
        Ok(self.child(name)?.text.trim().to_owned())
    }

    /// Returns the text of a child, where it is there and not empty.
    pub(super) fn text_if(&self, name: &str) -> Result<Option<String>, Error> {
        let text = self.optional(name)?.map(|child| child.text.trim().to_owned());
        Ok(text.filter(|text| !text.is_empty()))
    }

    pub(super) fn attribute(&self, name: &str) -> Result<&str, Error> {
        let found = self.attributes.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str()).ok_or_else(|| bad(format!("`{}` has no {name}", self.name)))
    }
}
