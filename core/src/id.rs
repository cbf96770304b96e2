//! Ids: a prefix that names the kind and a UUIDv7 in Crockford base32 (the TypeID text form).
//!
//! A v7 id carries its millisecond, so ids sort by time, indexes grow at their end, and a reader can tell how old a
//! message is without asking the store.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::time::Timestamp;

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const ENCODED_LEN: usize = 26;

/// Text that is not an id of the kind asked for.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("not an id of the form {prefix}_ followed by 26 characters")]
pub struct NotAnId {
    prefix: &'static str,
}

/// A UUIDv7 made of a time and ten random bytes, which the caller draws.
pub fn uuid_v7(at: Timestamp, random: [u8; 10]) -> Uuid {
    uuid::Builder::from_unix_timestamp_millis(u64::try_from(at.as_millis()).unwrap_or(0), &random).into_uuid()
}

fn encode(uuid: Uuid, out: &mut [u8; ENCODED_LEN]) {
    let mut bits = uuid.as_u128();
    for slot in out.iter_mut().rev() {
        *slot = ALPHABET[(bits & 31) as usize];
        bits >>= 5;
    }
}

fn decode(text: &[u8]) -> Option<Uuid> {
    // 26 characters hold 130 bits: the first may only be 0 to 7.
    if text.len() != ENCODED_LEN || text[0] > b'7' {
        return None;
    }
    let mut bits: u128 = 0;
    for byte in text {
        let digit = ALPHABET.iter().position(|symbol| symbol == byte)?;
        bits = (bits << 5) | digit as u128;
    }
    Some(Uuid::from_u128(bits))
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Uuid);

        impl $name {
            pub const PREFIX: &'static str = $prefix;

            /// A new id; `random` is ten random bytes.
            pub fn new(at: Timestamp, random: [u8; 10]) -> Self {
                Self(uuid_v7(at, random))
            }

            pub const fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }

            pub const fn uuid(self) -> Uuid {
                self.0
            }

            /// The millisecond in which the id was made.
            pub fn made_at(self) -> Timestamp {
                Timestamp::from_millis((self.0.as_u128() >> 80) as i64)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let mut text = [0; ENCODED_LEN];
                encode(self.0, &mut text);
                f.write_str(concat!($prefix, "_"))?;
                f.write_str(std::str::from_utf8(&text).map_err(|_| fmt::Error)?)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = NotAnId;
            fn from_str(text: &str) -> Result<Self, NotAnId> {
                text.strip_prefix(concat!($prefix, "_"))
                    .and_then(|rest| decode(rest.as_bytes()))
                    .map(Self)
                    .ok_or(NotAnId { prefix: $prefix })
            }
        }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}

ids! {
    /// One message of one team to one recipient.
    MessageId = "msg";
    /// A team's application, the tenant.
    AppId = "app";
    /// An API key.
    KeyId = "key";
    TemplateId = "tpl";
    TemplateVersionId = "ver";
    SignatureId = "sig";
    WebhookId = "whk";
    /// One event on its way to one webhook.
    WebhookDeliveryId = "whd";
    VerificationId = "vrf";
    /// A request for approval.
    ApprovalId = "req";
    /// A person.
    UserId = "usr";
    SuppressionId = "sup";
    /// One line of the audit log.
    AuditId = "aud";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_carries_its_time_and_reads_back() {
        let id = MessageId::new(Timestamp::from_millis(1_767_225_600_000), [7; 10]);
        assert_eq!(id.made_at().as_millis(), 1_767_225_600_000);
        assert_eq!(id.to_string().parse::<MessageId>().unwrap(), id);
        assert!(id.to_string().starts_with("msg_01"));
    }

    #[test]
    fn the_text_form_is_that_of_typeid() {
        // Test vector of the TypeID specification (valid.yml, "uuidv7").
        let id = MessageId::from_uuid("01890a5d-ac96-774b-bcce-b302099a8057".parse().unwrap());
        assert_eq!(id.to_string(), "msg_01h455vb4pex5vsknk084sn02q");
    }

    #[test]
    fn what_is_no_id_is_refused() {
        for text in [
            "",
            "msg_",
            "app_01h455vb4pex5vsknk084sn02q",
            "msg_81h455vb4pex5vsknk084sn02q",
            "msg_01H455VB4PEX5VSKNK084SN02Q",
            "msg_01h455vb4pex5vsknk084sn02qq",
        ] {
            assert!(text.parse::<MessageId>().is_err(), "{text}");
        }
    }
}
