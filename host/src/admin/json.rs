//! The JSON that operators send: how much there may be in it, and what it is made into.

use http::StatusCode;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::response::{AdminResponse, problem};

/// How deep tables and lists may stand in each other.
const MAX_DEPTH: usize = 8;

/// How many keys a table may have; no configuration has so many.
const MAX_KEYS: usize = 1_000;

/// How many keys all tables may have together.
const MAX_KEYS_IN_ALL: usize = 20_000;

/// A body that has to be an object.
///
/// # Errors
/// The response to one that is invalid, too large, or not what this endpoint takes.
pub(super) fn object<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Box<AdminResponse>> {
    match value(bytes)? {
        object @ Value::Object(_) => of(object),
        _ => Err(refused("the body must be a JSON object")),
    }
}

/// A body that is an object, or a list of some. Whether it is a list is told.
///
/// # Errors
/// As [`object`].
pub(super) fn one_or_more<T: DeserializeOwned>(
    bytes: &[u8],
    limit: usize,
) -> Result<(Vec<T>, bool), Box<AdminResponse>> {
    match value(bytes)? {
        object @ Value::Object(_) => Ok((vec![of(object)?], false)),
        Value::Array(list) if list.is_empty() => Err(refused("the list has nothing in it")),
        Value::Array(list) if list.len() > limit => {
            let count = list.len();
            Err(refused(&format!(
                "the list may have {limit} elements, not {count}"
            )))
        }
        Value::Array(list) => {
            let list: Result<_, _> = list.into_iter().map(of).collect();
            Ok((list?, true))
        }
        _ => Err(refused("the body must be a JSON object, or a list of some")),
    }
}

/// Any body of bounded depth and number of keys.
fn value(bytes: &[u8]) -> Result<Value, Box<AdminResponse>> {
    let value = serde_json::from_slice(bytes).map_err(|error| refused(&error.to_string()))?;
    let mut left = MAX_KEYS_IN_ALL;
    check(&value, MAX_DEPTH, &mut left).map_err(|reason| refused(&reason))?;
    Ok(value)
}

fn of<T: DeserializeOwned>(value: Value) -> Result<T, Box<AdminResponse>> {
    serde_json::from_value(value).map_err(|error| refused(&error.to_string()))
}

/// Whether a value holds others up to so many deep, and no more than so many keys.
fn check(value: &Value, deepest: usize, left: &mut usize) -> Result<(), String> {
    let deeper = || {
        let reason = "the body has tables in tables in tables beyond what any configuration has";
        deepest.checked_sub(1).ok_or_else(|| reason.to_owned())
    };
    match value {
        Value::Object(entries) => {
            if entries.len() > MAX_KEYS {
                let count = entries.len();
                return Err(format!(
                    "a table of the body may have {MAX_KEYS} keys, not {count}"
                ));
            }
            *left = left.checked_sub(entries.len()).ok_or_else(|| {
                format!("the body may have {MAX_KEYS_IN_ALL} keys in all its tables")
            })?;
            let deepest = match entries.is_empty() {
                true => return Ok(()),
                false => deeper()?,
            };
            entries.values().try_for_each(|it| check(it, deepest, left))
        }
        Value::Array(elements) if elements.is_empty() => Ok(()),
        Value::Array(elements) => {
            let deepest = deeper()?;
            elements.iter().try_for_each(|it| check(it, deepest, left))
        }
        _ => Ok(()),
    }
}

fn refused(reason: &str) -> Box<AdminResponse> {
    Box::new(problem(StatusCode::BAD_REQUEST, reason))
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, json};

    use super::*;

    fn keys(count: usize) -> Value {
        let keys = (0..count).map(|key| (key.to_string(), Value::Null));
        Value::from(keys.collect::<Map<_, _>>())
    }

    fn nested(depth: usize) -> Value {
        (0..depth).fold(json!(1), |inner, _| json!({ "a": inner }))
    }

    #[test]
    fn bodies_have_bounded_depth_and_numbers_of_keys() {
        for (value, expected) in [
            (keys(MAX_KEYS), None),
            (keys(MAX_KEYS + 1), Some("1000 keys, not 1001")),
            (keys(80_000), Some("1000 keys, not 80000")),
            (json!({ "a": vec![keys(900); 22] }), None),
            (
                json!({ "a": vec![keys(900); 23] }),
                Some("20000 keys in all"),
            ),
            (nested(MAX_DEPTH), None),
            (nested(MAX_DEPTH + 1), Some("tables in tables")),
            (json!([1]), Some("must be a JSON object")),
        ] {
            let read: Result<Value, _> = object(value.to_string().as_bytes());
            let refused = read.err().map(|response| response.into_body());
            match (&refused, expected) {
                (None, None) => {}
                (Some(told), Some(expected)) => assert!(told.contains(expected), "{told}"),
                _ => panic!("{refused:?} instead of {expected:?}"),
            }
        }
    }

    #[test]
    fn one_is_told_from_a_list_of_one() {
        let read = |text: &str| one_or_more::<Value>(text.as_bytes(), 2);
        assert_eq!(read("{}").unwrap(), (vec![json!({})], false));
        assert_eq!(read("[{}]").unwrap(), (vec![json!({})], true));
        for text in ["[]", "[1,2,3]", "1", "{"] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
