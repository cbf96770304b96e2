//! As much of JSON Schema as the OpenAPI document uses. A keyword that is not known here fails, so that nothing is skipped.

use serde_json::Value;

/// Said for people, or about what is sent and not about what is answered.
const SILENT: [&str; 11] =
    ["description", "title", "example", "examples", "format", "pattern", "default", "deprecated", "propertyNames", "$ref", "const"];

pub struct Schemas {
    document: Value,
}

impl Schemas {
    pub fn of(document: &Value) -> Self {
        Self { document: document.clone() }
    }

    /// What a reference leads to.
    pub fn resolved<'a>(&'a self, schema: &'a Value) -> &'a Value {
        let mut schema = schema;
        while let Some(path) = schema["$ref"].as_str() {
            schema = self.document.pointer(path.trim_start_matches('#')).unwrap_or_else(|| panic!("{path} leads nowhere"));
        }
        schema
    }

    /// Whether a value is as a schema says; what is wrong with it.
    pub fn check(&self, schema: &Value, value: &Value) -> Result<(), String> {
        let schema = self.resolved(schema);
        let Some(keywords) = schema.as_object() else { return Ok(()) };
        for (keyword, says) in keywords {
            self.keyword(keyword, says, schema, value).map_err(|fault| format!("{keyword} of {value}: {fault}"))?;
        }
        Ok(())
    }

    fn keyword(&self, keyword: &str, says: &Value, schema: &Value, value: &Value) -> Result<(), String> {
        let fits = |fits: bool| if fits { Ok(()) } else { Err(says.to_string()) };
        let length = || value.as_str().map(|text| text.chars().count() as u64);
        let count = || value.as_array().map(|items| items.len() as u64);
        let number = |fits: fn(f64, f64) -> bool| value.as_f64().is_none_or(|value| says.as_f64().is_some_and(|says| fits(value, says)));
        match keyword {
            "type" => fits(is_of(says, value)),
            "enum" => fits(says.as_array().is_some_and(|words| words.contains(value))),
            "minimum" => fits(number(|value, least| value >= least)),
            "maximum" => fits(number(|value, most| value <= most)),
            "minLength" => fits(length().is_none_or(|length| Some(length) >= says.as_u64())),
            "maxLength" => fits(length().is_none_or(|length| Some(length) <= says.as_u64())),
            "minItems" => fits(count().is_none_or(|count| Some(count) >= says.as_u64())),
            "maxItems" => fits(count().is_none_or(|count| Some(count) <= says.as_u64())),
            "maxProperties" => fits(value.as_object().is_none_or(|members| Some(members.len() as u64) <= says.as_u64())),
            "required" => match value.as_object() {
                Some(members) => {
                    fits(says.as_array().is_some_and(|names| names.iter().all(|name| members.contains_key(name.as_str().unwrap()))))
                }
                None => Ok(()),
            },
            "properties" => match value.as_object() {
                Some(members) => {
                    members.iter().try_for_each(|(name, value)| says.get(name).map_or(Ok(()), |schema| self.check(schema, value)))
                }
                None => Ok(()),
            },
            "additionalProperties" => self.others(says, schema, value),
            "items" => value.as_array().into_iter().flatten().try_for_each(|item| self.check(says, item)),
            "allOf" => says.as_array().unwrap().iter().try_for_each(|part| self.check(part, value)),
            "anyOf" | "oneOf" => {
                let matching = says.as_array().unwrap().iter().filter(|part| self.check(part, value).is_ok()).count();
                if matching == 1 || keyword == "anyOf" && matching > 0 { Ok(()) } else { Err(format!("{matching} of them fit")) }
            }
            known if SILENT.contains(&known) => Ok(()),
            unknown => panic!("the document uses {unknown}, which this check does not know"),
        }
    }

    fn others(&self, says: &Value, schema: &Value, value: &Value) -> Result<(), String> {
        let known = |name: &str| schema["properties"].get(name).is_some();
        let mut others = value.as_object().into_iter().flatten().filter(|(name, _)| !known(name));
        match says {
            Value::Bool(true) => Ok(()),
            Value::Bool(false) => others.next().map_or(Ok(()), |(name, _)| Err(format!("{name} is not described"))),
            schema => others.try_for_each(|(_, value)| self.check(schema, value)),
        }
    }
}

fn is_of(says: &Value, value: &Value) -> bool {
    let is = |kind: &Value| match kind.as_str().unwrap() {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("{other} is no type"),
    };
    says.as_array().map_or_else(|| is(says), |kinds| kinds.iter().any(is))
}

#[test]
fn a_value_that_is_not_as_described_is_noticed() {
    let schemas = Schemas::of(&serde_json::json!({"components": {"schemas": {"Word": {"type": "string", "enum": ["a", "b"]}}}}));
    let schema = serde_json::json!({
        "type": "object", "required": ["word"], "additionalProperties": false,
        "properties": {"word": {"$ref": "#/components/schemas/Word"}, "count": {"type": ["integer", "null"], "minimum": 1}},
    });
    let check = |value: Value| schemas.check(&schema, &value).is_ok();
    assert!(check(serde_json::json!({"word": "a", "count": null})) && check(serde_json::json!({"word": "b", "count": 1})));
    for wrong in [
        serde_json::json!({}),
        serde_json::json!({"word": "c"}),
        serde_json::json!({"word": 1}),
        serde_json::json!({"word": "a", "count": 0}),
        serde_json::json!({"word": "a", "more": 1}),
        serde_json::json!([]),
    ] {
        assert!(!check(wrong.clone()), "{wrong}");
    }
}
