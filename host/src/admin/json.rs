//! The JSON that operators send: how much there may be in it, and what it is made into.

use http::StatusCode;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::answer::{Answer, problem};

/// How deep tables and lists may stand in each other.
const DEEPEST: usize = 8;

/// How many keys a table may have; no configuration has so many.
const MOST_KEYS: usize = 1_000;

/// How many keys all tables may have together.
const MOST_KEYS_IN_ALL: usize = 20_000;

/// A body that has to be an object.
///
/// # Errors
/// The answer to one that is none, has too much in it, or is not what is asked for here.
pub(super) fn object<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Box<Answer>> {
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
    most: usize,
) -> Result<(Vec<T>, bool), Box<Answer>> {
    match value(bytes)? {
        object @ Value::Object(_) => Ok((vec![of(object)?], false)),
        Value::Array(list) if list.is_empty() => Err(refused("the list has nothing in it")),
        Value::Array(list) if list.len() > most => {
            let count = list.len();
            Err(refused(&format!(
                "the list may have {most} elements, not {count}"
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
fn value(bytes: &[u8]) -> Result<Value, Box<Answer>> {
    let value = serde_json::from_slice(bytes).map_err(|error| refused(&error.to_string()))?;
    let mut left = MOST_KEYS_IN_ALL;
    check(&value, DEEPEST, &mut left).map_err(|reason| refused(&reason))?;
    Ok(value)
}

fn of<T: DeserializeOwned>(value: Value) -> Result<T, Box<Answer>> {
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
            if entries.len() > MOST_KEYS {
                let count = entries.len();
                return Err(format!(
                    "a table of the body may have {MOST_KEYS} keys, not {count}"
                ));
            }
            *left = left.checked_sub(entries.len()).ok_or_else(|| {
                format!("the body may have {MOST_KEYS_IN_ALL} keys in all its tables")
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

fn refused(reason: &str) -> Box<Answer> {
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
            (keys(MOST_KEYS), None),
            (keys(MOST_KEYS + 1), Some("1000 keys, not 1001")),
            (keys(80_000), Some("1000 keys, not 80000")),
            (json!({ "a": vec![keys(900); 22] }), None),
            (
                json!({ "a": vec![keys(900); 23] }),
                Some("20000 keys in all"),
            ),
            (nested(DEEPEST), None),
            (nested(DEEPEST + 1), Some("tables in tables")),
            (json!([1]), Some("must be a JSON object")),
        ] {
            let read: Result<Value, _> = object(value.to_string().as_bytes());
            let refused = read.err().map(|answer| answer.into_body());
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
