//! The port to messages: every case on every backend, listed once.
//!
//! A backend is a function that makes an empty store; a case is a function that is given one. A new backend is one line in
//! `suite!`, a new case one function and one line.

mod cases;
mod forgetting;
pub mod samples;
mod unended;
mod weeks;

use std::sync::Arc;

use tempfile::TempDir;
use tidings::{
    clock::Clock,
    seal::Keyring,
    store::{
        Messages, Sqlite,
        postgres::{Connections, PostgresStore},
    },
};

use crate::{servers, suites};

pub type Backend = suites::Backend<Arc<dyn Messages>>;

pub fn keyring() -> Arc<Keyring> {
    Arc::new(Keyring::parse(&Keyring::line(&[7; 32])).unwrap())
}

pub async fn sqlite() -> Option<Backend> {
    let folder = TempDir::new().unwrap();
    let (store, _writer) = Sqlite::open(&folder.path().join("tidings.db"), keyring(), Clock::system(), |_| {}).await.unwrap();
    Some((Arc::new(store), Box::new(folder)))
}

/// On this database, whose schema is brought up to date.
pub async fn postgres_on(database: &str) -> PostgresStore {
    let connections = Connections::new(database).unwrap();
    PostgresStore::migrate(&connections).await.unwrap();
    PostgresStore::open(connections, keyring(), Clock::system()).await.unwrap()
}

pub async fn postgres() -> Option<Backend> {
    Some(suites::anywhere(Arc::new(postgres_on(&servers::database().await?).await)))
}

crate::suites::suite! {
    backends: [sqlite, postgres],
    cases: [
        an_accepted_message_is_found_as_it_was_sent,
        an_idempotency_key_is_accepted_once,
        a_batch_answer_is_kept_with_its_key,
        due_messages_are_leased_once_until_the_lease_is_over,
        messages_that_are_not_due_are_not_leased,
        a_message_born_leased_belongs_to_its_owner,
        a_message_born_with_its_first_attempt_open_is_found_so_after_a_crash,
        only_the_owner_opens_an_attempt,
        a_settled_message_leaves_the_queue,
        a_waiting_message_comes_back_when_it_is_due,
        an_open_attempt_survives_its_worker,
        a_late_outcome_is_recorded_and_moves_unknown,
        receipts_move_a_message_forward_only,
        a_receipt_before_the_answer_is_joined,
        a_receipt_is_found_by_our_own_reference,
        a_held_message_waits_for_its_release,
        a_cancelled_message_cannot_be_opened,
        cancel_is_too_late_while_an_attempt_is_out,
        cancel_by_reference_counts,
        a_cancelled_message_is_never_opened_again,
        a_listing_is_newest_first_and_pages_are_stable,
        a_listing_obeys_every_filter,
        open_messages_are_counted_by_lane,
        closed_messages_are_forgotten_when_their_categorys_time_is_over,
        a_message_that_is_not_closed_is_never_forgotten,
        forgetting_goes_on_where_it_stopped,
        what_led_to_forgotten_messages_is_swept,
        one_recipients_messages_are_erased_and_nobody_elses,
    ]
}
