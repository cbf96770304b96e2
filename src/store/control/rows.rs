//! What the control plane's rows say, whichever database they come from; and what a statement on them came to.

use tidings_core::{id::KeyId, time::Timestamp};

use super::{Columns, Commit, Document, Error, Linked};
use crate::{
    control::{
        audit::{Entry, Head},
        model::Kind,
    },
    store::{self, rows::Cells},
};

pub fn away(error: sqlx::Error) -> Error {
    Error::Store(error.into())
}

pub fn document(row: &impl Cells) -> Result<Document, Error> {
    let kind = row.text("kind")?.parse();
    Ok(Document {
        kind: kind.map_err(|_| store::Error::Broken(anyhow::anyhow!("control_documents.kind holds what it must not")))?,
        id: row.uuid("id")?,
        scope: row.text("scope")?,
        name: row.text("name")?,
        revision: row.number("revision")?,
        sequence: row.number("sequence")?,
        body: row.text_if_any("body")?,
    })
}

pub fn linked(row: &impl Cells) -> Result<Linked, Error> {
    Ok(Linked {
        number: row.number("number")?,
        columns: Columns { at: row.time("at")?, actor: row.text("actor")?, action: row.text("action")?, object: row.text("object")? },
        body: row.text("body")?,
        hash: row.bytes("hash")?.to_vec(),
    })
}

/// The end of the chain, as `control_head` says.
pub fn head(row: &impl Cells) -> Result<Head, Error> {
    Ok(Head { count: row.number("audit_count")?, hash: row.bytes("audit_hash")?.to_vec() })
}

pub fn key_use(row: &impl Cells) -> Result<(KeyId, Timestamp), Error> {
    Ok((KeyId::from_uuid(row.uuid("key")?), row.time("used_at")?))
}

/// The bytes of an entry, and the end of the chain once it is linked to `head`.
pub fn link(commit: &Commit, head: &Head, entry: &Entry) -> Result<(String, Head), Error> {
    let body = serde_json::to_string(entry).map_err(|error| store::Error::Broken(error.into()))?;
    let count = head.count + 1;
    let hash = commit.key.link(count, &head.hash, &body);
    Ok((body, Head { count, hash }))
}

/// What the statement that changes one document came to, by the rows that it changed.
pub fn applied(kind: Kind, changed: Result<u64, sqlx::Error>) -> Result<(), Error> {
    match changed {
        Ok(1) => Ok(()),
        Ok(_) => Err(Error::Conflict { kind }),
        Err(sqlx::Error::Database(error)) if error.is_unique_violation() => Err(Error::Exists { kind }),
        Err(error) => Err(away(error)),
    }
}
