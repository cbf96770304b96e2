//! How a refresh token is written: its family, its generation, and a keyed hash over both that nobody else can make.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use subtle::ConstantTimeEq;
use tidings_core::redact::Secret;
use uuid::Uuid;

use super::{Snapshot, model::TokenFamily};

const PREFIX: &str = "tr_";
const FAMILY_BYTES: usize = 16;
const GENERATION_BYTES: usize = 4;
const MAC_BYTES: usize = 16;

fn mac(snapshot: &Snapshot, family: Uuid, generation: u32) -> Option<[u8; MAC_BYTES]> {
    Some(snapshot.opened().refresh()?.hash(&[b"refresh token", family.as_bytes(), &generation.to_be_bytes()]))
}

/// The refresh token of a family's present generation; `None` while the installation has no key for it.
pub(super) fn write(snapshot: &Snapshot, family: &TokenFamily) -> Option<Secret> {
    let mut bytes = family.id.as_bytes().to_vec();
    bytes.extend_from_slice(&family.generation.to_be_bytes());
    bytes.extend_from_slice(&mac(snapshot, family.id, family.generation)?);
    Some(Secret::new(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes))))
}

/// The family and generation of a refresh token that is genuinely ours.
pub(super) fn read(snapshot: &Snapshot, token: &Secret) -> Option<(Uuid, u32)> {
    let bytes = URL_SAFE_NO_PAD.decode(token.expose().strip_prefix(PREFIX)?).ok()?;
    let (family, rest) = bytes.split_at_checked(FAMILY_BYTES)?;
    let (generation, shown) = rest.split_at_checked(GENERATION_BYTES)?;
    let family = Uuid::from_slice(family).ok()?;
    let generation = u32::from_be_bytes(generation.try_into().ok()?);
    let genuine: bool = mac(snapshot, family, generation)?.ct_eq(shown).into();
    genuine.then_some((family, generation))
}
