//! Answers of scripts, taken apart.

use crate::redis::RedisError;
use ::redis::Value;
use bytes::Bytes;

pub(super) fn list(value: Value) -> Result<std::vec::IntoIter<Value>, RedisError> {
    match value {
        Value::Array(items) => Ok(items.into_iter()),
        _ => Err(RedisError::Reply),
    }
}

pub(super) fn number(value: Option<Value>) -> Result<u64, RedisError> {
    match value.ok_or(RedisError::Reply)? {
        Value::Int(number) => u64::try_from(number).map_err(|_| RedisError::Reply),
        _ => Err(RedisError::Reply),
    }
}

pub(super) fn bytes(value: Option<Value>) -> Result<Bytes, RedisError> {
    match value {
        Some(Value::BulkString(bytes)) => Ok(bytes.into()),
        Some(Value::SimpleString(text)) => Ok(text.into_bytes().into()),
        _ => Err(RedisError::Reply),
    }
}

pub(super) fn all_bytes(value: Option<Value>) -> Result<Vec<Bytes>, RedisError> {
    list(value.ok_or(RedisError::Reply)?)?.map(|item| bytes(Some(item))).collect()
}

pub(super) fn texts(value: Option<Value>) -> Result<Vec<String>, RedisError> {
    let text = |bytes: Bytes| String::from_utf8_lossy(&bytes).into_owned();
    Ok(all_bytes(value)?.into_iter().map(text).collect())
}

/// The answer to `HGETALL`, whichever protocol it came by.
pub(super) fn pairs(value: Value) -> Result<Vec<(Bytes, Bytes)>, RedisError> {
    let pairs = match value {
        Value::Map(pairs) => pairs,
        Value::Array(items) => {
            let (chunks, _) = items.as_chunks::<2>();
            chunks.iter().map(|[field, value]| (field.clone(), value.clone())).collect()
        }
        _ => return Err(RedisError::Reply),
    };
    pairs.into_iter().map(|(field, value)| Ok((bytes(Some(field))?, bytes(Some(value))?))).collect()
}
