//! A strict JSON reader, as the contract wants it: one object, no key twice at any level, no NUL in texts, limited
//! nesting and number of values.

use std::{cell::Cell, fmt};

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// The deepest nesting of objects and arrays, including the message itself.
pub(super) const NESTING: usize = 16;

/// The most values in one message, at any level. An honest one has fewer than two hundred.
const VALUES: usize = 1024;

/// Reads one JSON object. The error is a sentence for the sender.
pub(crate) fn object(text: &str) -> Result<Map<String, Value>, String> {
    let mut reader = serde_json::Deserializer::from_str(text);
    let values = Cell::new(VALUES);
    let strict = Strict { room: NESTING, values: &values };
    let value = strict.deserialize(&mut reader).and_then(|value| reader.end().map(|()| value));
    match value {
        Ok(Value::Object(map)) => Ok(map),
        Ok(_) => Err("the message must be a JSON object".into()),
        Err(e) => Err(format!("the message is not acceptable JSON: {e}")),
    }
}

/// Builds a value and counts the levels that may still be opened. What is too deep is never built, and the same count
/// limits the recursion of the reader.
#[derive(Clone, Copy)]
struct Strict<'a> {
    room: usize,
    /// How many values may still come.
    values: &'a Cell<usize>,
}

impl Strict<'_> {
    fn inside<E: Error>(self) -> Result<Self, E> {
        let room = self.room.checked_sub(1);
        room.map(|room| Self { room, ..self })
            .ok_or_else(|| E::custom(format_args!("nested deeper than {NESTING} levels")))
    }
}

fn text<E: Error>(text: &str) -> Result<&str, E> {
    if text.contains('\0') { Err(E::custom("a NUL in a text")) } else { Ok(text) }
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Value, D::Error> {
        match self.values.get().checked_sub(1) {
            Some(left) => self.values.set(left),
            None => return Err(D::Error::custom(format_args!("more than {VALUES} values"))),
        }
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("number out of range"))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(text(value)?.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let inside = self.inside()?;
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(inside)? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let inside = self.inside()?;
        let mut map = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            if map.contains_key(text(&key)?) {
                return Err(A::Error::custom("a key occurs twice"));
            }
            let value = entries.next_value_seed(inside)?;
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nesting_is_bounded_at_sixteen() {
        let deep = |levels: usize| format!("{}{}{}", r#"{"a":"#.repeat(levels - 1), "{}", "}".repeat(levels - 1));
        assert!(object(&deep(16)).is_ok());
        assert!(object(&deep(17)).unwrap_err().contains("deeper than 16"));
        assert!(object(&"[".repeat(30_000)).is_err());
        assert!(object(&format!("{{\"a\":{}", "[".repeat(30_000))).unwrap_err().contains("deeper"));
    }

    #[test]
    fn values_are_bounded_and_texts_have_no_nul() {
        let list = |n: usize| format!(r#"{{"a":[{}]}}"#, vec!["0"; n].join(","));
        assert!(object(&list(VALUES - 2)).is_ok());
        for text in [list(VALUES - 1), list(16_000), format!(r#"{{"a":[{}]}}"#, vec!["[]"; 10_000].join(","))] {
            assert!(object(&text).unwrap_err().contains("more than 1024 values"));
        }
        for text in [r#"{"a":"x\u0000"}"#, r#"{"a\u0000":1}"#, r#"{"a":[{"b":"\u0000"}]}"#, "{\"a\":\"\0\"}"] {
            assert!(object(text).is_err(), "{text}");
        }
    }

    #[test]
    fn keys_occur_once_at_every_level() {
        for twice in [r#"{"a":1,"a":1}"#, r#"{"b":{"a":1,"c":2,"a":3}}"#, r#"{"b":[{"a":1,"\u0061":3}]}"#] {
            assert!(object(twice).unwrap_err().contains("twice"), "{twice}");
        }
        assert!(object(r#"{"a":{"a":1},"b":{"a":2}}"#).is_ok());
    }

    #[test]
    fn only_one_whole_object_is_taken() {
        for bad in
            ["", "null", "[]", "1", "\"x\"", "{", "{} {}", "{}x", r#"{"a":1e999}"#, r#"{"a":"\ud800"}"#, "{'a':1}"]
        {
            assert!(object(bad).is_err(), "{bad}");
        }
    }
}
