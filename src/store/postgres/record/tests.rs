use std::{collections::BTreeMap, time::Duration};

use tidings_core::{
    attempt::{Ended, Opened, Outcome},
    id::AppId,
    message::{Category, Channel, Message},
    redact::Redacted,
};

use super::{super::read::plans::database, *};
use crate::{
    clock::Clock,
    seal::{Keyring, LookupKey},
};

fn message(now: Timestamp) -> Message {
    Message {
        id: MessageId::new(now, [1; 10]),
        app: AppId::new(now, [1; 10]),
        key: None,
        to: Redacted::new("+8613800138000".to_owned()),
        channel: Channel::Sms,
        category: Category::Marketing,
        text: Redacted::new("Hello".to_owned()),
        subject: None,
        template: None,
        params: Redacted::new(BTreeMap::new()),
        signature: None,
        encoding: None,
        segments: 1,
        reference: Some("order-1".to_owned()),
        metadata: BTreeMap::new(),
        accepted_at: now,
        send_at: None,
        expires_at: now + Duration::from_secs(300),
        hold: false,
        max_price: None,
        test: false,
        traceparent: None,
    }
}

/// Updates and how many of them touched no index, of this transaction.
async fn updates(connection: &mut PgConnection) -> (i64, i64) {
    let counts = "SELECT sum(pg_stat_get_xact_tuples_updated(oid))::bigint, sum(pg_stat_get_xact_tuples_hot_updated(oid))::bigint \
         FROM pg_class WHERE relname LIKE 'messages%' AND relkind = 'r'";
    sqlx::query_as(counts).fetch_one(connection).await.unwrap()
}

#[tokio::test]
async fn the_end_of_an_ordinary_message_touches_no_index() {
    let Some(connections) = database().await else { return };
    let mut held = connections.acquire().await.unwrap();
    // One transaction around all, because its counts are there at once.
    let mut all = held.connection().unwrap().begin().await.unwrap();
    let now = Clock::system().now();
    let codec = Codec::new(Keyring::parse(&Keyring::line(&[7; 32])).unwrap(), LookupKey::new(&[1; 32]));
    let new = NewMessage::waiting(message(now));
    let recorded = |next: Option<(Next, Outcome)>| {
        let settled = next.map(|(next, outcome)| {
            let opened = Opened { number: 1, provider: "a".to_owned(), revision: 1, receipts: true, started_at: now, why: String::new() };
            let provider_message_id = Some("v-1".to_owned());
            let ended = Ended { outcome, code: None, duration: Duration::ZERO, provider_message_id, segments: 1, cost: None };
            Settled { new: new.clone(), attempts: vec![Attempt { opened, ended: Some(ended) }], next, at: now }
        });
        Recorded::of(&codec, &(new.clone(), settled), now).unwrap()
    };
    let joined = JoinedReceipts::default();
    fold(&mut all, &[recorded(None)], &joined).await.unwrap();
    fold(&mut all, &[recorded(Some((Next::Continue, Outcome::Unavailable)))], &joined).await.unwrap();
    assert_eq!(updates(&mut all).await, (1, 1), "what goes on");
    fold(&mut all, &[recorded(Some((Next::Close(Status::Submitted), Outcome::Accepted)))], &joined).await.unwrap();
    assert_eq!(updates(&mut all).await, (2, 2), "what ends");
    let status: i16 = sqlx::query_scalar("SELECT status FROM messages").fetch_one(&mut *all).await.unwrap();
    assert_eq!(status, number(Status::Submitted));
}
