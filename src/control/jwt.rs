//! Access tokens as they are written: JWTs (RFC 7519), signed by HMAC-SHA256.
//!
//! Every token of a key begins with the same header, so a header is compared as text and never parsed: nobody who sends a
//! token chooses how it is verified, and what is verified is what we would have written. Claims are parsed after the
//! signature was found good. A token costs one HMAC, two small base64 texts and one small parse.

use aws_lc_rs::hmac;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use tidings_core::time::Timestamp;

const MAC_BYTES: usize = 32;

/// A key that signs or has signed access tokens.
pub struct SigningKey {
    header: String,
    mac: hmac::Key,
    pub active_from: Timestamp,
    pub retires_at: Option<Timestamp>,
}

impl SigningKey {
    pub fn new(kid: &str, plain: &[u8], active_from: Timestamp, retires_at: Option<Timestamp>) -> Self {
        let header = format!(r#"{{"typ":"JWT","alg":"HS256","kid":"{kid}"}}"#);
        Self { header: URL_SAFE_NO_PAD.encode(header), mac: hmac::Key::new(hmac::HMAC_SHA256, plain), active_from, retires_at }
    }

    pub fn sign(&self, claims: &[u8]) -> String {
        let mut token = format!("{}.", self.header);
        URL_SAFE_NO_PAD.encode_string(claims, &mut token);
        let mac = hmac::sign(&self.mac, token.as_bytes());
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(mac, &mut token);
        token
    }

    /// Whether it may verify anything at `now`.
    pub fn verifies(&self, now: Timestamp) -> bool {
        self.retires_at.is_none_or(|end| now < end)
    }

    pub fn may_sign(&self, now: Timestamp) -> bool {
        self.active_from <= now && self.verifies(now)
    }

    pub fn has_header(&self, header: &str) -> bool {
        self.header == header
    }

    /// The claims of a token that this key signed.
    pub fn open(&self, token: &Token<'_>) -> Option<Vec<u8>> {
        let mut mac = [0; MAC_BYTES];
        let length = URL_SAFE_NO_PAD.decode_slice(token.mac, &mut mac).ok()?;
        // Compared in constant time.
        hmac::verify(&self.mac, token.signed.as_bytes(), &mac[..length]).ok()?;
        URL_SAFE_NO_PAD.decode(token.claims).ok()
    }
}

/// The parts of something that may be a token.
#[derive(Clone, Copy)]
pub struct Token<'a> {
    pub header: &'a str,
    signed: &'a str,
    claims: &'a str,
    mac: &'a str,
}

impl<'a> Token<'a> {
    pub fn split(text: &'a str) -> Option<Self> {
        let (signed, mac) = text.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        Some(Self { header, signed, claims, mac })
    }
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
    use serde_json::{Value, json};

    use super::*;

    const SECRET: [u8; 32] = [7; 32];

    fn key() -> SigningKey {
        SigningKey::new("key_1", &SECRET, Timestamp::default(), None)
    }

    fn opened(token: &str) -> Option<Value> {
        let token = Token::split(token)?;
        let claims = key().has_header(token.header).then(|| key().open(&token))??;
        serde_json::from_slice(&claims).ok()
    }

    #[test]
    fn others_read_what_is_written_and_what_they_write_is_read() {
        let claims = json!({"sub": "key_x", "exp": 4_000_000_000_u64});
        let written = key().sign(claims.to_string().as_bytes());
        let read = jsonwebtoken::decode::<Value>(&written, &DecodingKey::from_secret(&SECRET), &Validation::new(Algorithm::HS256)).unwrap();
        assert_eq!((read.header.kid.as_deref(), &read.claims), (Some("key_1"), &claims));
        let header = Header { kid: Some("key_1".to_owned()), ..Header::new(Algorithm::HS256) };
        let theirs = jsonwebtoken::encode(&header, &claims, &EncodingKey::from_secret(&SECRET)).unwrap();
        assert_eq!(opened(&theirs), Some(claims));
    }

    #[test]
    fn nothing_else_opens() {
        let written = key().sign(b"{}");
        assert_eq!(opened(&written), Some(json!({})));
        let (signed, mac) = written.rsplit_once('.').unwrap();
        let (_, claims) = signed.split_once('.').unwrap();
        let header = |text: &str| URL_SAFE_NO_PAD.encode(text);
        for text in [
            signed.to_owned(),
            format!("{signed}."),
            format!("{signed}.{}", &mac[1..]),
            format!("{signed}.{mac}="),
            format!("{signed}..{mac}"),
            format!("{}.{claims}.{mac}", header(r#"{"alg":"none","kid":"key_1"}"#)),
            format!("{}.{claims}.", header(r#"{"typ":"JWT","alg":"none","kid":"key_1"}"#)),
            format!("{}.{claims}.{mac}", header(r#"{"typ":"JWT","alg":"HS512","kid":"key_1"}"#)),
            String::new(),
            "..".to_owned(),
        ] {
            assert_eq!(opened(&text), None, "{text}");
        }
    }
}
