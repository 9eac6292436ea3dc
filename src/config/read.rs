//! The file and the environment, read setting by setting, so that one start shows every mistake and its place.
//!
//! confique alone ignores keys that it doesn't know and stops at the first value that it can't read. What is written
//! in a file is never quoted: it may be a secret.

use super::{Config, Layer};
use confique::{
    Config as _, Layer as _,
    meta::{Field, FieldKind, Meta},
};
use serde::Deserialize as _;
use std::{ffi::OsString, ops::Range, path::Path};
use toml::{
    Deserializer, Spanned, Value,
    de::{DeString, DeTable, DeValue, Error},
};

/// How many letters may be wrong for a name to be taken for a misspelt one.
const NEAR: usize = 2;

/// The settings of a file. Mistakes are added to `mistakes`, and what is wrong is left out.
pub fn file(path: &Path, mistakes: &mut Vec<String>) -> Layer {
    let text = match std::fs::read(path).map(String::from_utf8) {
        Ok(Ok(text)) => text,
        Ok(Err(_)) => {
            mistakes.push(format!("{}: it is not text in UTF-8", path.display()));
            return Layer::empty();
        }
        Err(error) => {
            mistakes.push(format!("{}: {error}", path.display()));
            return Layer::empty();
        }
    };
    let (table, errors) = DeTable::parse_recoverable(&text);
    let mut reading = Reading { layer: Layer::empty(), mistakes: Vec::new() };
    for error in &errors {
        reading.mistakes.push((error.span().unwrap_or_default(), error.message().to_owned()));
    }
    // What was made out in a file that is not TOML may be anything.
    if errors.is_empty() {
        reading.table(&Config::META, &mut Vec::new(), table.get_ref());
    }
    reading.mistakes.sort_by_key(|(span, _)| span.start);
    for (span, wrong) in reading.mistakes {
        let line = text.bytes().take(span.start).filter(|byte| *byte == b'\n').count() + 1;
        mistakes.push(format!("{}, line {line}: {wrong}", path.display()));
    }
    reading.layer
}

struct Reading {
    layer: Layer,
    mistakes: Vec<(Range<usize>, String)>,
}

impl Reading {
    fn table(&mut self, meta: &'static Meta, path: &mut Vec<String>, table: &DeTable<'_>) {
        for (key, value) in table {
            path.push(key.get_ref().to_string());
            let name = path.join(".");
            let field = meta.fields.iter().find(|field| field.name == key.get_ref());
            let wrong = match (field.map(|field| field.kind), value.get_ref()) {
                (Some(FieldKind::Nested { meta }), DeValue::Table(inner)) => {
                    self.table(meta, path, inner);
                    None
                }
                (Some(FieldKind::Nested { .. }), _) => Some(format!("{name} is a section: write [{name}]")),
                (Some(FieldKind::Leaf { .. }), _) => match single(path, value.clone()) {
                    Ok(layer) => {
                        let before = std::mem::replace(&mut self.layer, Layer::empty());
                        self.layer = before.with_fallback(layer);
                        None
                    }
                    Err(error) => Some(format!("{name}: {}", unquoted(error.message()))),
                },
                (None, _) => Some(unknown(&name, meta, path)),
            };
            self.mistakes.extend(wrong.map(|wrong| (key.span(), wrong)));
            path.pop();
        }
    }
}

/// A layer with one setting.
fn single(path: &[String], value: Spanned<DeValue<'_>>) -> Result<Layer, Error> {
    let span = value.span();
    let mut value = value;
    for key in path.iter().rev() {
        let mut table = DeTable::new();
        table.insert(Spanned::new(span.clone(), DeString::Owned(key.clone())), value);
        value = Spanned::new(span.clone(), DeValue::Table(table));
    }
    let DeValue::Table(table) = value.into_inner() else { return Ok(Layer::empty()) };
    Layer::deserialize(Deserializer::from(Spanned::new(span, table)))
}

/// Without the value that serde quotes: `invalid type: string "abc", expected u64`.
fn unquoted(message: &str) -> String {
    match (message.strip_prefix("invalid type: "), message.rsplit_once(", expected ")) {
        (Some(found), Some((_, expected))) => {
            let kind = found.split([' ', ',']).next().unwrap_or_default();
            let expected = match expected {
                "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number",
                "a string" | "path string" | "socket address" => "text in quotes",
                "a sequence" => "a list",
                "a boolean" => "true or false",
                other => other,
            };
            format!("it must be {expected}, not {kind}")
        }
        _ => message.to_owned(),
    }
}

fn unknown(name: &str, meta: &Meta, path: &[String]) -> String {
    let last = path.last().map_or("", String::as_str);
    let near = nearest(last, meta.fields.iter().map(|field| field.name));
    let section = path.split_last().map_or(&[][..], |(_, section)| section).join(".");
    let full = |key: &str| if section.is_empty() { key.to_owned() } else { format!("{section}.{key}") };
    match near {
        Some(near) => format!("there is no setting {name}; did you mean {}?", full(near)),
        None => format!("there is no setting {name}"),
    }
}

/// The settings of the environment. An empty variable counts as not set.
pub fn environment(variables: &[(OsString, OsString)], mistakes: &mut Vec<String>) -> Layer {
    let known = names();
    let mut layer = Layer::empty();
    for (name, value) in variables {
        let Some(name) = name.to_str().filter(|name| name.starts_with("NEXUS_")) else { continue };
        let Some((_, path)) = known.iter().find(|(known, _)| *known == name) else {
            // Others may use this prefix too: only what looks misspelt is a mistake.
            if let Some(near) = nearest(name, known.iter().map(|(known, _)| *known)) {
                mistakes.push(format!("{name}: there is no such setting; did you mean {near}?"));
            }
            continue;
        };
        let Some(value) = value.to_str() else {
            mistakes.push(format!("{name}: it is not text in UTF-8"));
            continue;
        };
        if value.is_empty() {
            continue;
        }
        match variable(path, value) {
            Ok(one) => layer = layer.with_fallback(one),
            Err(why) => mistakes.push(format!("{name}: {}", unquoted(&why))),
        }
    }
    layer
}

/// A variable is text: it is tried as every kind that a setting can be of.
fn variable(path: &[String], text: &str) -> Result<Layer, String> {
    let list = text.split(',').map(|item| Value::String(item.trim().into())).collect();
    let mut kinds = vec![Value::String(text.into())];
    kinds.extend(text.parse().ok().map(Value::Integer));
    kinds.extend(text.parse().ok().map(Value::Boolean));
    kinds.push(Value::Array(list));
    let mut wrong: Option<String> = None;
    for value in kinds {
        let whole = path
            .iter()
            .rev()
            .fold(value, |value, key| Value::Table([(key.clone(), value)].into_iter().collect()));
        match Layer::deserialize(whole) {
            Ok(layer) => return Ok(layer),
            // The error that says most is that of the right kind; failing that, that of text.
            Err(error) => {
                let message = error.message().to_owned();
                let vague = wrong.as_ref().is_none_or(|before| before.starts_with("invalid type"));
                if wrong.is_none() || (vague && !message.starts_with("invalid type")) {
                    wrong = Some(message);
                }
            }
        }
    }
    Err(wrong.unwrap_or_default())
}

/// The variable and the path of every setting.
fn names() -> Vec<(&'static str, Vec<String>)> {
    fn walk(fields: &'static [Field], path: &[String], names: &mut Vec<(&'static str, Vec<String>)>) {
        for field in fields {
            let path = [path, &[field.name.to_owned()]].concat();
            match field.kind {
                FieldKind::Nested { meta } => walk(meta.fields, &path, names),
                FieldKind::Leaf { env: Some(env), .. } => names.push((env, path)),
                FieldKind::Leaf { env: None, .. } => {}
            }
        }
    }
    let mut names = Vec::new();
    walk(Config::META.fields, &[], &mut names);
    names
}

/// What is misspelt in that way, if it is.
pub fn nearest<'a>(name: &str, all: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let near = all.map(|known| (strsim::damerau_levenshtein(name, known), known));
    near.filter(|(distance, _)| *distance <= NEAR).min().map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    /// Anything, and things that look like settings.
    fn texts() -> impl Strategy<Value = String> {
        let line = prop_oneof![
            "\\PC{0,40}",
            "\\[(core|gateway)(\\.(limits|log|tls|auth|x))?\\]",
            "(listen|mode|page|secret|upstreams|[a-zé]{1,8}) = (true|-?[0-9]{1,20}|\"\\PC{0,8}\"|\\[\\]|\\{ a = 1 \\})",
        ];
        proptest::collection::vec(line, 0..8).prop_map(|lines| lines.join("\n"))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]

        #[test]
        fn whatever_a_file_holds_is_read_or_told(text in texts()) {
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), &text).unwrap();
            let mut mistakes = Vec::new();
            super::file(file.path(), &mut mistakes);
            prop_assert_eq!(mistakes.is_empty(), settings(&text), "{:?}", mistakes);
        }

        #[test]
        fn whatever_the_environment_holds_is_read_or_told(value in "\\PC{0,40}", index in 0usize..200) {
            let known = names();
            let name = known[index % known.len()].0;
            let mut mistakes = Vec::new();
            environment(&[(name.into(), value.clone().into())], &mut mistakes);
            prop_assert!(mistakes.iter().all(|mistake| mistake.starts_with(name)), "{:?}", mistakes);
        }
    }

    #[test]
    fn what_was_found_before_is_read_or_told() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fuzz/corpus/configuration");
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let mut mistakes = Vec::new();
            super::file(&path, &mut mistakes);
            assert!(
                mistakes.iter().all(|mistake| mistake.starts_with(path.to_str().unwrap())),
                "{mistakes:?}"
            );
        }
    }

    /// Whether confique too takes it, and it has no keys besides.
    fn settings(text: &str) -> bool {
        fn known(meta: &Meta, table: &toml::Table) -> bool {
            table.iter().all(|(key, value)| {
                let field = meta.fields.iter().find(|field| field.name == key);
                match (field.map(|field| field.kind), value) {
                    (Some(FieldKind::Nested { meta }), Value::Table(inner)) => known(meta, inner),
                    (Some(FieldKind::Leaf { .. }), _) => true,
                    _ => false,
                }
            })
        }
        let table = toml::from_str::<toml::Table>(text);
        toml::from_str::<Layer>(text).is_ok() && table.is_ok_and(|table| known(&Config::META, &table))
    }
}
