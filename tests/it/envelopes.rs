//! Envelopes that were ever shipped are read forever: `tests/golden` holds one of each version, sealed with a key of its own.

use std::sync::Arc;

use tidings::{
    queue::{Envelopes, Fact, Settled},
    seal::Keyring,
    store::{NewMessage, Next, ReceiptFact},
};
use tidings_core::{
    attempt::Outcome,
    message::{Category, Status},
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
fn what_became_of_a_message_in_an_envelope_of_version_1_is_read_forever() {
    let bytes = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/envelope-1-settled.bin")).unwrap();
    assert_eq!(bytes[0], 1);
    let Fact::Settled(settled) = envelopes().read(&bytes).unwrap() else { panic!("the golden envelope says what became of a message") };
    assert_eq!(settled.attempts, settled_once().attempts);
    assert_eq!((settled.next, settled.at), (settled_once().next, settled_once().at));
    assert_eq!(settled.new.message.text.expose().as_str(), settled_once().new.message.text.expose().as_str());
}

#[test]
fn a_receipt_in_an_envelope_of_version_1_is_read_forever() {
    let bytes = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/envelope-1-receipt.bin")).unwrap();
    assert_eq!(bytes[0], 1);
    let Fact::Receipt(receipt) = envelopes().read(&bytes).unwrap() else { panic!("the golden envelope is a receipt") };
    assert_eq!(receipt, received_once());
}

/// Refused by one provider, taken by the next.
fn settled_once() -> Settled {
    let attempts = vec![samples::ended(1, Outcome::Unavailable, None), samples::ended(2, Outcome::Accepted, Some("v-2"))];
    let new = NewMessage::waiting(samples::message(Category::Transactional));
    Settled { new, attempts, next: Next::Close(Status::Submitted), at: samples::NOW }
}

fn received_once() -> ReceiptFact {
    ReceiptFact {
        provider: "a".to_owned(),
        provider_message_id: Some("v-2".to_owned()),
        reference: None,
        status: Status::Delivered,
        vendor_status: "DELIVRD".to_owned(),
        error_code: Some("000".to_owned()),
        at: samples::NOW,
    }
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
    let message = samples::message(Category::Otp);
    let fact = Fact::Accepted(NewMessage::waiting(message.clone()));
    let bytes = envelopes().write(&fact).unwrap();
    let Fact::Accepted(new) = envelopes().read(&bytes).unwrap() else { panic!("an accepted message was written") };
    assert_eq!(*new.message, message);
    assert!(!bytes.windows(5).any(|window| window == &message.to.expose().as_bytes()[..5]), "the recipient is sealed");
}
