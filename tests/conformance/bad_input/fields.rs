//! Walks the fields of a request, and sets one of them to something bad.

use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, Value};
use std::collections::HashMap;

/// A field of a request, perhaps deep within it.
#[derive(Clone)]
pub struct Path(pub Vec<FieldDescriptor>);

/// All fields of a request that are not messages themselves.
pub fn leaves(message: &MessageDescriptor) -> Vec<Path> {
    let mut found = Vec::new();
    walk(message, &mut Vec::new(), &mut found);
    found
}

fn walk(message: &MessageDescriptor, above: &mut Vec<FieldDescriptor>, found: &mut Vec<Path>) {
    for field in message.fields() {
        above.push(field.clone());
        match field.kind() {
            // No request of this API holds itself.
            Kind::Message(inner) => walk(&inner, above, found),
            _ => found.push(Path(above.clone())),
        }
        above.pop();
    }
}

impl Path {
    /// `outer.inner`; the key and the value of a map are the map.
    pub fn name(&self) -> String {
        let mut names = Vec::new();
        for field in &self.0 {
            names.push(field.name().to_owned());
            if field.is_map() {
                break;
            }
        }
        names.join(".")
    }

    pub fn kind(&self) -> Kind {
        self.0[self.0.len() - 1].kind()
    }

    /// The request with this field set, and everything else as it was.
    pub fn set(&self, request: &DynamicMessage, value: Value) -> DynamicMessage {
        let mut request = request.clone();
        set(&mut request, &self.0, value);
        request
    }

    /// The bytes of the request with this field set to something that is no UTF-8.
    pub fn set_no_utf8(&self, request: &DynamicMessage) -> Vec<u8> {
        const MARK: &str = "(no UTF-8)";
        let mut bytes = encode(&self.set(request, Value::String(MARK.into())));
        let at = bytes.windows(MARK.len()).position(|window| window == MARK.as_bytes()).unwrap();
        bytes[at..at + MARK.len()].fill(0xff);
        bytes
    }
}

pub fn encode(message: &DynamicMessage) -> Vec<u8> {
    prost::Message::encode_to_vec(message)
}

fn set(message: &mut DynamicMessage, path: &[FieldDescriptor], value: Value) {
    let [field, below @ ..] = path else { return };
    if field.is_map() {
        let key = MapKey::String(if is_key(below) { text(&value) } else { "key".into() });
        let entry = if is_key(below) { Value::String("value".into()) } else { value };
        message.set_field(field, Value::Map(HashMap::from([(key, entry)])));
    } else if let Kind::Message(inner) = field.kind() {
        let new = || DynamicMessage::new(inner.clone());
        let mut element = match &*message.get_field(field) {
            Value::List(list) => list.first().and_then(Value::as_message).cloned().unwrap_or_else(new),
            Value::Message(element) => element.clone(),
            _ => new(),
        };
        set(&mut element, below, value);
        let element = Value::Message(element);
        message.set_field(field, if field.is_list() { Value::List(vec![element]) } else { element });
    } else {
        message.set_field(field, if field.is_list() { Value::List(vec![value]) } else { value });
    }
}

fn is_key(below: &[FieldDescriptor]) -> bool {
    below[0].name() == "key"
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
