//! Two master keys: the first seals, all open, and whoever has another one is refused.

use std::sync::Arc;

use tidings::{
    clock::Clock,
    queue::{Envelopes, Fact},
    seal::Keyring,
    store::{
        Messages,
        postgres::{Connections, PostgresStore, SchemaError},
    },
};
use tidings_core::message::Category;

use crate::{
    servers,
    suites::queue::cases::{message, new},
};

fn ring(keys: &[u8]) -> Arc<Keyring> {
    let lines: Vec<String> = keys.iter().map(|key| Keyring::line(&[*key; 32])).collect();
    Arc::new(Keyring::parse(&lines.join("\n")).unwrap())
}

#[tokio::test]
async fn a_rotated_master_key_opens_what_the_old_one_sealed_and_shuts_the_old_one_out() {
    let Some(database) = servers::database().await else { return };
    let connections = Connections::new(&database).unwrap();
    PostgresStore::migrate(&connections).await.unwrap();
    let open = async |keys: &[u8]| PostgresStore::open(connections.clone(), ring(keys), Clock::system()).await;
    let accept = async |store: &PostgresStore| {
        let sent = message(Category::Otp);
        store.accept(vec![new(sent.clone())]).await.unwrap();
        sent
    };
    let before = accept(&open(&[1]).await.unwrap()).await;

    let rotated = open(&[2, 1]).await.unwrap();
    assert_eq!(rotated.get(before.id).await.unwrap().unwrap().message, before, "the old key still opens");
    let after = accept(&rotated).await;
    let refused = open(&[1]).await.err();
    assert!(matches!(refused, Some(SchemaError::OtherKey { .. })), "a node that knows only the old key is refused: {refused:?}");
    assert_eq!(open(&[2]).await.unwrap().get(after.id).await.unwrap().unwrap().message, after, "the new key seals");
    assert_eq!(open(&[2]).await.unwrap().get(before.id).await.unwrap().unwrap().message, before, "what was there before needs no old key");
    assert!(matches!(open(&[3]).await.err(), Some(SchemaError::OtherKey { .. })));
}

#[test]
fn an_envelope_that_was_under_way_while_keys_were_rotated_is_read() {
    let sent = message(Category::Otp);
    let written = Envelopes::new(ring(&[1])).write(&Fact::Accepted(new(sent.clone()))).unwrap();
    let Fact::Accepted(read) = Envelopes::new(ring(&[2, 1])).read(&written).unwrap() else { panic!("an accepted message was written") };
    assert_eq!(*read.message, sent);
    assert!(Envelopes::new(ring(&[2])).read(&written).is_err());
}
