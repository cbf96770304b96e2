//! Sealing what must not lie about readable: message bodies, provider credentials, envelopes in Kafka.
//!
//! A master key file holds one key a line, 32 bytes in base64: the first seals, all open, so a key is rotated by putting a new one
//! on top, sealing again what is old, and dropping the last line. What there is much of is sealed with data keys, and only those
//! with the master key, so that little has to be sealed again. Every sealed blob names its key; the purpose is
//! authenticated, so a blob cannot be moved to where it means something else. AES-256-GCM with random nonces.
//!
//! Hashes for look-up are HMACs under a [`LookupKey`] of their own, which the store keeps sealed: rotating the master key
//! changes no hash.

use std::{fmt, sync::Arc};

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, Nonce, RandomizedNonceKey},
    digest, hmac,
};
use base64::{Engine, engine::general_purpose::STANDARD};

const KEY_BYTES: usize = 32;
const NONCE_BYTES: usize = 12;
const TAG_BYTES: usize = 16;
const ID_BYTES: usize = 4;
/// First byte of every blob: the format.
const FORMAT: u8 = 1;
const HEADER_BYTES: usize = 1 + ID_BYTES + NONCE_BYTES;

/// What keeps a key file from being used, or a blob from being opened.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("line {line} of the master key file is not 32 bytes in base64")]
    BadKey { line: usize },
    #[error("the master key file holds no key")]
    NoKey,
    #[error("sealed with a key that is not in the master key file")]
    UnknownKey,
    #[error("not a sealed blob, or it was changed")]
    Corrupt,
}

struct MasterKey {
    id: [u8; ID_BYTES],
    key: RandomizedNonceKey,
}

/// The master keys, in the order of their file.
pub struct Keyring {
    keys: Vec<Arc<MasterKey>>,
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keyring({} keys, {})", self.keys.len(), self.fingerprint())
    }
}

impl Keyring {
    /// Reads the text of a master key file.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let mut keys = Vec::new();
        for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let bad = Error::BadKey { line: index + 1 };
            let Ok(bytes) = STANDARD.decode(line.trim()) else { return Err(bad) };
            let Ok(key) = RandomizedNonceKey::new(&AES_256_GCM, &bytes) else { return Err(bad) };
            keys.push(Arc::new(MasterKey { id: key_id(&bytes), key }));
        }
        if keys.is_empty() { Err(Error::NoKey) } else { Ok(Self { keys }) }
    }

    /// The line of a new master key file, made of 32 random bytes.
    pub fn line(random: &[u8; KEY_BYTES]) -> String {
        STANDARD.encode(random)
    }

    /// The ring that seals with a data key and opens what either sealed. The data key itself lies sealed with this one, beside
    /// what it seals.
    #[must_use]
    pub fn with_data_key(&self, data: &[u8; KEY_BYTES]) -> Self {
        let key = RandomizedNonceKey::new(&AES_256_GCM, data).expect("a key of AES-256 has 32 bytes");
        let first = Arc::new(MasterKey { id: key_id(data), key });
        Self { keys: std::iter::once(first).chain(self.keys.iter().cloned()).collect() }
    }

    /// The ring that seals as this one does and opens what either sealed.
    #[must_use]
    pub fn opening_too(&self, other: &Self) -> Self {
        Self { keys: self.keys.iter().chain(&other.keys).cloned().collect() }
    }

    /// Names the sealing key without telling it: two nodes that work together must agree on it.
    pub fn fingerprint(&self) -> String {
        hex(&self.keys[0].id)
    }

    /// The fingerprints of all keys that can open.
    pub fn fingerprints(&self) -> Vec<String> {
        self.keys.iter().map(|key| hex(&key.id)).collect()
    }

    /// Seals `plain` for `purpose`, which [`Self::open`] must be given again.
    pub fn seal(&self, purpose: &str, plain: &[u8]) -> Vec<u8> {
        let first = &self.keys[0];
        let mut blob = Vec::with_capacity(HEADER_BYTES + plain.len() + TAG_BYTES);
        blob.push(FORMAT);
        blob.extend_from_slice(&first.id);
        blob.extend_from_slice(&[0; NONCE_BYTES]);
        blob.extend_from_slice(plain);
        let (nonce, tag) = first
            .key
            .seal_in_place_separate_tag(Aad::from(purpose.as_bytes()), &mut blob[HEADER_BYTES..])
            .expect("AES-GCM seals any message shorter than 64 GiB");
        blob[1 + ID_BYTES..HEADER_BYTES].copy_from_slice(nonce.as_ref());
        blob.extend_from_slice(tag.as_ref());
        blob
    }

    /// Opens what [`Self::seal`] made for the same purpose.
    pub fn open(&self, purpose: &str, blob: &[u8]) -> Result<Vec<u8>, Error> {
        if blob.len() < HEADER_BYTES + TAG_BYTES || blob[0] != FORMAT {
            return Err(Error::Corrupt);
        }
        let (header, body) = blob.split_at(HEADER_BYTES);
        let key = self.keys.iter().find(|key| header[1..=ID_BYTES] == key.id).ok_or(Error::UnknownKey)?;
        let nonce = Nonce::try_assume_unique_for_key(&header[1 + ID_BYTES..]).map_err(|_| Error::Corrupt)?;
        let mut body = body.to_vec();
        let length = key.key.open_in_place(nonce, Aad::from(purpose.as_bytes()), &mut body).map_err(|_| Error::Corrupt)?.len();
        body.truncate(length);
        Ok(body)
    }

    /// Whether a blob was sealed with the first key: others are to be sealed again.
    pub fn is_current(&self, blob: &[u8]) -> bool {
        blob.len() > ID_BYTES && blob[1..=ID_BYTES] == self.keys[0].id
    }
}

fn key_id(key: &[u8]) -> [u8; ID_BYTES] {
    let digest = digest::digest(&digest::SHA256, &[b"tidings master key id".as_slice(), key].concat());
    let mut id = [0; ID_BYTES];
    id.copy_from_slice(&digest.as_ref()[..ID_BYTES]);
    id
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The key of hashes that are looked up: recipients, references, idempotency keys, provider message ids.
pub struct LookupKey(hmac::Key);

impl fmt::Debug for LookupKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LookupKey")
    }
}

impl LookupKey {
    pub fn new(bytes: &[u8; KEY_BYTES]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, bytes))
    }

    /// 128 bits of the HMAC over the parts, each preceded by its length.
    pub fn hash(&self, parts: &[&[u8]]) -> [u8; 16] {
        let mut context = hmac::Context::with_key(&self.0);
        for part in parts {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        let mut hash = [0; 16];
        hash.copy_from_slice(&context.sign().as_ref()[..16]);
        hash
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(keys: &[u8]) -> Keyring {
        Keyring::parse(&keys.iter().map(|byte| Keyring::line(&[*byte; 32])).collect::<Vec<_>>().join("\n")).unwrap()
    }

    #[test]
    fn the_first_key_seals_and_all_open() {
        let old = ring(&[1]).seal("body", b"hello");
        let rotated = ring(&[2, 1]);
        assert_eq!(rotated.open("body", &old).unwrap(), b"hello");
        assert!(!rotated.is_current(&old));
        assert!(rotated.is_current(&rotated.seal("body", b"hello")));
        assert!(matches!(ring(&[2]).open("body", &old), Err(Error::UnknownKey)));
    }

    #[test]
    fn what_a_data_key_sealed_opens_under_any_master_key() {
        let (data, old) = ([9; 32], ring(&[1]));
        let sealed = old.with_data_key(&data).seal("body", b"hello");
        assert!(matches!(old.open("body", &sealed), Err(Error::UnknownKey)), "the master key alone opens it");
        assert_eq!(ring(&[2]).with_data_key(&data).open("body", &sealed).unwrap(), b"hello");
        assert_eq!(old.with_data_key(&data).open("body", &old.seal("body", b"earlier")).unwrap(), b"earlier");
    }

    #[test]
    fn a_blob_opens_only_unchanged_and_for_its_purpose() {
        let ring = ring(&[1]);
        let mut blob = ring.seal("body", b"hello");
        assert!(matches!(ring.open("credentials", &blob), Err(Error::Corrupt)));
        *blob.last_mut().unwrap() ^= 1;
        assert!(matches!(ring.open("body", &blob), Err(Error::Corrupt)));
        assert!(matches!(ring.open("body", b""), Err(Error::Corrupt)));
    }

    #[test]
    fn a_bad_key_file_names_its_line() {
        assert!(matches!(Keyring::parse("\n \n"), Err(Error::NoKey)));
        let text = format!("{}\nc2hvcnQ=", Keyring::line(&[1; 32]));
        assert!(matches!(Keyring::parse(&text), Err(Error::BadKey { line: 2 })));
    }

    #[test]
    fn parts_cannot_be_shifted_into_each_other() {
        let key = LookupKey::new(&[7; 32]);
        assert_ne!(key.hash(&[b"ab", b"c"]), key.hash(&[b"a", b"bc"]));
    }
}
