//! An answer in bytes, as it was given, for processes that share it.

use super::{AuthorizerAnswer, Body};
use crate::{
    codec::{Reader, Writer},
    context::AuthorizerValue,
};

const POLICY: u8 = 1;
const SIMPLE: u8 = 2;
const JSON: u8 = 3;

impl AuthorizerAnswer {
    pub(in crate::authorizer) fn write(&self, out: &mut Writer) {
        match &self.body {
            Body::Policy { principal_id, document } => out.u8(POLICY).text(principal_id).bytes(document),
            Body::Simple(yes) => out.u8(SIMPLE).flag(*yes),
            Body::Json(json) => out.u8(JSON).bytes(json),
        };
        out.list(self.context.iter(), |out, (name, value)| {
            out.text(name).flag(value.is_string()).text(value.as_str());
        });
        out.option(self.usage_identifier_key.as_deref(), |out, key| {
            out.text(key);
        });
    }

    pub(in crate::authorizer) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let body = match reader.u8()? {
            POLICY => {
                Body::Policy { principal_id: reader.text()?.to_owned(), document: reader.bytes()?.to_vec() }
            }
            SIMPLE => Body::Simple(reader.flag()?),
            JSON => Body::Json(reader.bytes()?.to_vec()),
            _ => return None,
        };
        let mut context = Vec::new();
        for _ in 0..reader.u32()? {
            let (name, is_string, text) = (reader.text()?.into(), reader.flag()?, reader.text()?);
            let value = if is_string { AuthorizerValue::string(text) } else { AuthorizerValue::json(text) };
            context.push((name, value));
        }
        let usage_identifier_key = reader.option(|reader| reader.text().map(str::to_owned))?;
        Some(Self { body, context, usage_identifier_key })
    }
}
