//! The OpenRPC document, to which every answer of a test is held.

#![allow(dead_code, reason = "each test program uses its part")]

use std::collections::BTreeMap;
use std::sync::LazyLock;

use jsonschema::Validator;
use serde_json::{Value, json};

pub(crate) static DOCUMENT: LazyLock<Document> = LazyLock::new(Document::read);

pub(crate) struct Document {
    pub(crate) text: Value,
    methods: BTreeMap<String, Method>,
}

struct Method {
    /// Each with whether it is required.
    params: Vec<(bool, Validator)>,
    result: Validator,
    errors: BTreeMap<i64, Option<Validator>>,
}

/// What any request may be answered with, whatever its method.
const OF_ALL: [i64; 1] = [-32005];

impl Document {
    fn read() -> Self {
        let text: Value = serde_json::from_str(include_str!("../../openrpc.json")).unwrap();
        let schema = |schema: &Value| {
            let mut whole = json!({ "components": text["components"] });
            whole.as_object_mut().unwrap().extend(schema.as_object().unwrap().clone());
            jsonschema::validator_for(&whole).unwrap()
        };
        let error = |reference: &Value| {
            let name = reference["$ref"].as_str().unwrap().rsplit('/').next().unwrap();
            let error = &text["components"]["errors"][name];
            (error["code"].as_i64().unwrap(), error.get("data").map(schema))
        };
        let methods = text["methods"].as_array().unwrap().iter().map(|method| {
            let params = method["params"].as_array().unwrap().iter();
            let params = params.map(|param| (param["required"].as_bool().unwrap(), schema(&param["schema"])));
            let read = Method {
                params: params.collect(),
                result: schema(&method["result"]["schema"]),
                errors: method["errors"].as_array().into_iter().flatten().map(error).collect(),
            };
            (method["name"].as_str().unwrap().to_owned(), read)
        });
        let methods = methods.collect();
        Self { text, methods }
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.methods.keys().map(String::as_str)
    }

    /// Holds what went in and came out to the document. Parameters that were refused as malformed may be.
    pub(crate) fn check(&self, method: &str, params: &Value, outcome: Result<&Value, &Value>) {
        let known = self.methods.get(method).unwrap_or_else(|| panic!("{method} is not in the document"));
        if !matches!(outcome, Err(error) if error["code"] == -32602) {
            known.check_params(method, params);
        }
        match outcome {
            Ok(result) => valid(&known.result, result, &format!("the result of {method}")),
            Err(error) => known.check_error(method, error),
        }
    }
}

impl Method {
    fn check_params(&self, method: &str, params: &Value) {
        let given = params.as_array().unwrap();
        let required = self.params.iter().filter(|(required, _)| *required).count();
        assert!((required..=self.params.len()).contains(&given.len()), "{method} with {given:?}");
        for ((_, schema), value) in self.params.iter().zip(given) {
            valid(schema, value, &format!("a parameter of {method}"));
        }
    }

    fn check_error(&self, method: &str, error: &Value) {
        let code = error["code"].as_i64().unwrap();
        let schema = self.errors.get(&code);
        assert!(schema.is_some() || OF_ALL.contains(&code), "{method} does not list {error}");
        if let Some(Some(schema)) = schema {
            valid(schema, &error["data"], &format!("the data of {code}"));
        }
    }
}

fn valid(schema: &Validator, value: &Value, what: &str) {
    let errors: Vec<_> = schema.iter_errors(value).map(|error| error.to_string()).collect();
    assert!(errors.is_empty(), "{what} is not as the document says: {errors:#?}\n{value:#}");
}
