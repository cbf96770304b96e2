//! Values that pass through an address bar without being readable there.
//!
//! A search by telephone number is a link that can be reloaded, paged and shared between one's own tabs; the number in it
//! is sealed (AES-256-GCM) under a key derived from the visitor's session, so logs, history and referrers hold nothing, no
//! server keeps state for it, and any node can open it. When the session is over the link means nothing.

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey},
    digest::{SHA256, digest},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use tidings_core::redact::Secret;

/// A purpose keeps keys for different uses apart.
fn derive(purpose: &[u8], token: &Secret) -> [u8; 32] {
    let mut input = purpose.to_vec();
    input.extend_from_slice(token.expose().as_bytes());
    let mut key = [0; 32];
    key.copy_from_slice(digest(&SHA256, &input).as_ref());
    key
}

fn key(token: &Secret) -> Option<RandomizedNonceKey> {
    RandomizedNonceKey::new(&AES_256_GCM, &derive(b"tidings admin: search terms\0", token)).ok()
}

/// Seals `text` for addresses of this session.
pub fn seal(token: &Secret, text: &str) -> Option<String> {
    let mut sealed = text.as_bytes().to_vec();
    let nonce = key(token)?.seal_in_place_append_tag(Aad::empty(), &mut sealed).ok()?;
    let mut whole = nonce.as_ref().to_vec();
    whole.append(&mut sealed);
    Some(URL_SAFE_NO_PAD.encode(whole))
}

/// Opens what [`seal`] made in the same session.
pub fn open(token: &Secret, sealed: &str) -> Option<String> {
    let whole = URL_SAFE_NO_PAD.decode(sealed).ok()?;
    let (nonce, body) = whole.split_at_checked(NONCE_LEN)?;
    let mut body = body.to_vec();
    let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
    let opened = key(token)?.open_in_place(nonce, Aad::empty(), &mut body).ok()?;
    String::from_utf8(opened.to_vec()).ok()
}

/// The token that every form of a session carries: derived, so it needs no store and dies with the session.
pub fn form_token(token: &Secret) -> String {
    URL_SAFE_NO_PAD.encode(derive(b"tidings admin: forms\0", token))
}

/// Random bytes as text that fits into cookies and attributes.
pub fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_number_opens_in_its_own_session_only() {
        let (mine, others) = (Secret::new("one".into()), Secret::new("two".into()));
        let sealed = seal(&mine, "+8613800138000").unwrap();
        assert_eq!(open(&mine, &sealed).as_deref(), Some("+8613800138000"));
        assert_eq!(open(&others, &sealed), None);
        assert_eq!(open(&mine, "nonsense"), None);
        assert!(!sealed.contains("138"));
    }
}
