//! Envelopes that were ever shipped are read forever: `tests/golden` holds one of each version, sealed with a key of its own.

use std::sync::Arc;

use tidings::{
    queue::{Envelopes, Fact},
    seal::Keyring,
    store::NewMessage,
};

use crate::suites::messages::samples;

fn envelopes() -> Envelopes {
    Envelopes::new(Arc::new(Keyring::parse(&Keyring::line(&[42; 32])).unwrap()))
}

#[test]
fn an_envelope_of_version_1_is_read_forever() {
    let bytes = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/envelope-1.bin")).unwrap();
    assert_eq!(bytes[0], 1);
    let Fact::Accepted(new) = envelopes().read(&bytes).unwrap() else { panic!("the golden envelope is an accepted message") };
    let message = new.message;
    assert_eq!(message.id.to_string(), "msg_01h455vb4pex5vsknk084sn02q");
    assert_eq!((message.to.expose().as_str(), message.text.expose().as_str()), ("+4915112345678", "Your code is 482913."));
    assert_eq!((message.segments, message.expires_at.to_string().as_str()), (1, "2026-01-01T00:05:00.000Z"));
    assert_eq!(new.idempotency.map(|idempotency| (idempotency.key, idempotency.body)), Some(([1; 16], [2; 16])));
}

#[test]
fn what_is_no_envelope_is_refused_with_its_reason() {
    let refused = |bytes: &[u8]| envelopes().read(bytes).unwrap_err().to_string();
    assert_eq!(refused(b""), "an empty record");
    assert_eq!(refused(&[9, 1, 2]), "an envelope of version 9, which this program does not know");
    assert_eq!(refused(&[1, 1, 2]), "the envelope does not open");
}

#[test]
fn what_is_written_is_read_again() {
    let message = samples::message(tidings_core::message::Category::Otp);
    let fact = Fact::Accepted(NewMessage::waiting(message.clone()));
    let bytes = envelopes().write(&fact).unwrap();
    let Fact::Accepted(new) = envelopes().read(&bytes).unwrap() else { panic!("an accepted message was written") };
    assert_eq!(*new.message, message);
    assert!(!bytes.windows(5).any(|window| window == &message.to.expose().as_bytes()[..5]), "the recipient is sealed");
}
