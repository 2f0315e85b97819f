//! Answers of the server, taken apart.

use super::error::RedisError;
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
        // A simple string is what the server says of a command, never something that was stored.
        _ => Err(RedisError::Reply),
    }
}

pub(super) fn all_bytes(value: Option<Value>) -> Result<Vec<Bytes>, RedisError> {
    list(value.ok_or(RedisError::Reply)?)?.map(|item| bytes(Some(item))).collect()
}

/// The answer to `SCAN` and its kin: where to go on, and what was found.
pub(super) fn page(answer: Value) -> Result<(Bytes, Value), RedisError> {
    let mut parts = list(answer)?;
    match (parts.next(), parts.next(), parts.next()) {
        (cursor, Some(found), None) => Ok((bytes(cursor)?, found)),
        _ => Err(RedisError::Reply),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Value {
        Value::BulkString(text.as_bytes().to_vec())
    }

    #[test]
    fn a_page_is_a_cursor_and_what_was_found() {
        let (cursor, found) = page(Value::Array(vec![name("7"), name("a")])).unwrap();
        assert_eq!((&*cursor, found), (&b"7"[..], name("a")));
        let odd = [vec![], vec![name("7")], vec![name("7"); 3], vec![Value::Int(7), name("a")]];
        for parts in odd.map(Value::Array).into_iter().chain([Value::Nil]) {
            assert_eq!(page(parts), Err(RedisError::Reply));
        }
    }

    #[test]
    fn what_was_stored_comes_in_bulk() {
        assert_eq!(bytes(Some(name("a"))).as_deref(), Ok(&b"a"[..]));
        assert_eq!(all_bytes(Some(Value::Array(vec![name("a"), Value::Nil]))), Err(RedisError::Reply));
        for odd in [None, Some(Value::Nil), Some(Value::Okay), Some(Value::SimpleString("a".to_owned()))] {
            assert_eq!(bytes(odd), Err(RedisError::Reply));
        }
    }

    #[test]
    fn pairs_come_by_either_protocol() {
        let expected = Ok(vec![(Bytes::from("a"), Bytes::from("1"))]);
        assert_eq!(pairs(Value::Map(vec![(name("a"), name("1"))])), expected);
        assert_eq!(pairs(Value::Array(vec![name("a"), name("1")])), expected);
        assert_eq!(pairs(Value::Nil), Err(RedisError::Reply));
    }
}
