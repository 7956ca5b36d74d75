use serde::de::DeserializeOwned;

/// JSON that is not what was expected, and where.
#[derive(Debug, thiserror::Error)]
#[error("not valid at `{path}`: {source}")]
pub struct JsonError {
    path: String,
    source: serde_json::Error,
}

/// Reads one whole document; anything after it is an error.
pub(crate) fn read<T: DeserializeOwned>(text: &str) -> Result<T, JsonError> {
    let mut json = serde_json::Deserializer::from_str(text);
    let value = serde_path_to_error::deserialize(&mut json)
        .map_err(|error| JsonError { path: error.path().to_string(), source: error.into_inner() })?;
    json.end().map_err(|source| JsonError { path: ".".to_owned(), source })?;
    Ok(value)
}
