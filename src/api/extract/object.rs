//! A JSON object whose fields a use case reads by name, so that everything wrong with it is told at once.

use serde::de::MapAccess;
use serde_json::{Map, Value};

use crate::accept::given::{FromJson, Misfit};

/// Any object.
pub struct Object(pub Map<String, Value>);

impl FromJson for Object {
    const EXPECTED: &'static str = "an object";

    fn from_object<'de, A: MapAccess<'de>>(mut object: A) -> Result<Result<Self, Misfit>, A::Error> {
        let mut map = Map::new();
        while let Some((name, value)) = object.next_entry()? {
            map.insert(name, value);
        }
        Ok(Ok(Self(map)))
    }

    /// These bodies are small and rare: their text is as good as any other form.
    fn feed(&self, out: &mut Vec<u8>) {
        out.extend(Value::Object(self.0.clone()).to_string().into_bytes());
    }
}
