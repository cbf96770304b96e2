//! The samples behind the port: for tests of the pages and for the preview. It changes nothing and remembers nothing.

use std::{net::IpAddr, time::Duration};

use async_trait::async_trait;
use tidings_core::{
    id::MessageId,
    redact::{Redacted, Secret, Text},
    time::Timestamp,
};

use super as samples;
use crate::{
    backend::{Actor, Backend, Departure, Error, Fault, Return, SignedIn},
    views::{
        App, AppChange, AppDetail, AuditLine, AuditSearch, Listing, MessageDetail, MessageRow, NewApp, NewKey, NewSuppression, NewUser,
        Overview, Person, ProviderDetail, ProviderRow, RequestDetail, RequestRow, RequestStatus, Revealed, RevisionDetail, RevisionRow,
        Search, ShownKey, Signature, Steering, Suppression, Template, User, UserChange,
    },
};

/// The password of both sample people, `root` and `lin`.
const PASSWORD: &str = "a sample password";

/// An installation that answers everything from the samples.
pub struct SampleBackend;

fn token_of(person: &Person) -> String {
    format!("session-of-{}", person.name)
}

#[async_trait]
impl Backend for SampleBackend {
    fn now(&self) -> Timestamp {
        samples::NOW
    }

    fn random(&self) -> [u8; 32] {
        [7; 32]
    }

    async fn log_in(&self, name: &str, password: Secret, _: Option<IpAddr>) -> Result<SignedIn, Error> {
        let person = [samples::root(), samples::viewer()].into_iter().find(|person| person.name == name);
        match person.filter(|_| password.expose() == PASSWORD) {
            Some(person) => Ok(SignedIn { token: Secret::new(token_of(&person)), lasts: Duration::from_secs(3_600) }),
            None => Err(Error::WrongPassword),
        }
    }

    fn single_sign_on(&self) -> Option<String> {
        Some("Log in with Example Corp".to_owned())
    }

    async fn depart(&self, _: &str) -> Result<Departure, Error> {
        let address = "https://id.example.com/authorize?state=sample".to_owned();
        Ok(Departure { address, cookie: Secret::new("sample".to_owned()), lasts: Duration::from_secs(600) })
    }

    async fn arrive(&self, back: Return, _: Option<IpAddr>) -> Result<(SignedIn, String), Error> {
        if back.cookie.is_none() {
            return Err(Error::NotSignedOn("The single sign-on did not end well. Try again."));
        }
        Ok((SignedIn { token: Secret::new(token_of(&samples::root())), lasts: Duration::from_secs(3_600) }, "/admin".to_owned()))
    }

    async fn person(&self, token: &Secret) -> Result<Option<Person>, Error> {
        Ok([samples::root(), samples::viewer()].into_iter().find(|person| token_of(person) == *token.expose()))
    }

    async fn log_out(&self, _: &Secret) -> Result<(), Error> {
        Ok(())
    }

    async fn overview(&self) -> Result<Overview, Error> {
        Ok(samples::overview())
    }

    async fn messages(&self, search: &Search, _: Option<MessageId>, _: usize) -> Result<Listing<MessageRow>, Error> {
        let mut rows = samples::message_rows();
        rows.retain(|row| search.status.is_none_or(|status| row.status == status));
        rows.retain(|row| search.provider.is_none() || row.provider == search.provider);
        rows.retain(|row| search.reference.is_none() || row.reference == search.reference);
        rows.retain(|_| search.to.is_empty() || search.to.iter().any(|to| to.expose() == "+8613800138000"));
        Ok(Listing { next: (rows.len() > 5).then(|| rows[rows.len() - 1].id.to_string()), rows })
    }

    async fn message(&self, id: MessageId) -> Result<Option<MessageDetail>, Error> {
        let all = [
            samples::message_unknown(),
            samples::message_delivered_after_failover(),
            samples::message_undelivered(),
            samples::message_failed(),
            samples::message_scheduled(),
        ];
        Ok(all.into_iter().find(|message| message.row.id == id))
    }

    async fn reveal(&self, _: &Actor, _: MessageId, _: &str) -> Result<Revealed, Error> {
        Ok(Revealed { to: Redacted::new("+8613800138000".to_owned()), text: Redacted::new("Your order 8801 is on its way.".to_owned()) })
    }

    async fn cancel(&self, _: &Actor, _: MessageId) -> Result<(), Error> {
        Err(Error::Conflict("A provider has it already; a message can be cancelled until its first submission.".to_owned()))
    }

    async fn providers(&self) -> Result<Vec<ProviderRow>, Error> {
        Ok(samples::provider_rows())
    }

    async fn provider(&self, name: &str) -> Result<Option<ProviderDetail>, Error> {
        Ok(match name {
            "mail" => Some(samples::provider_healthy()),
            "tencent-main" => {
                Some(ProviderDetail { row: samples::provider_rows().remove(1), since: None, why: None, ..samples::provider_healthy() })
            }
            "aliyun-main" => Some(samples::provider_detail()),
            _ => None,
        })
    }

    async fn steer(&self, _: &Actor, _: &str, _: Steering, _: &str) -> Result<(), Error> {
        Ok(())
    }

    async fn requests(&self, status: Option<RequestStatus>, _: Option<&str>) -> Result<Listing<RequestRow>, Error> {
        let mut rows = samples::requests();
        rows.retain(|row| status.is_none_or(|status| row.status == status));
        Ok(Listing::whole(rows))
    }

    async fn request(&self, id: &str) -> Result<Option<RequestDetail>, Error> {
        let detail = samples::request_detail();
        Ok((detail.row.id == id).then_some(detail))
    }

    async fn approve(&self, _: &Actor, _: &str, _: &str) -> Result<(), Error> {
        Ok(())
    }

    async fn reject(&self, _: &Actor, _: &str, _: &str) -> Result<(), Error> {
        Ok(())
    }

    async fn comment(&self, _: &Actor, _: &str, _: &str) -> Result<(), Error> {
        Ok(())
    }

    async fn withdraw(&self, _: &Actor, _: &str) -> Result<(), Error> {
        Ok(())
    }

    async fn apps(&self) -> Result<Vec<App>, Error> {
        Ok(samples::apps())
    }

    async fn app(&self, id: &str) -> Result<Option<AppDetail>, Error> {
        let detail = samples::app_detail();
        Ok((detail.app.id == id).then_some(detail))
    }

    async fn request_app(&self, _: &Actor, app: NewApp) -> Result<String, Error> {
        if samples::apps().iter().any(|known| known.name == app.name) {
            return Err(Error::Invalid(vec![Fault { field: "name".to_owned(), text: "There is an app of this name.".to_owned() }]));
        }
        Ok(samples::requests().remove(0).id)
    }

    async fn change_app(&self, _: &Actor, _: &str, change: AppChange) -> Result<Option<String>, Error> {
        Ok(change.live.map(|_| samples::requests().remove(0).id))
    }

    async fn create_key(&self, _: &Actor, _: &str, _: NewKey) -> Result<ShownKey, Error> {
        let id = "key_01kajt2q5ye0eabkz2d3m7r9vw".to_owned();
        Ok(ShownKey { id, secret: Secret::new("tk_live_5cJ0mW1sZ8yQ2vR7nK4xT9bL6dF3hG0a".to_owned()) })
    }

    async fn revoke_key(&self, _: &Actor, _: &str, _: &str) -> Result<(), Error> {
        Ok(())
    }

    async fn templates(&self) -> Result<Vec<Template>, Error> {
        Ok(samples::templates())
    }

    async fn signatures(&self) -> Result<Vec<Signature>, Error> {
        Ok(samples::signatures())
    }

    async fn revisions(&self) -> Result<Vec<RevisionRow>, Error> {
        Ok(samples::revisions())
    }

    async fn revision(&self, number: u32) -> Result<Option<RevisionDetail>, Error> {
        let row = samples::revisions().into_iter().find(|row| row.number == number);
        Ok(row.map(|row| RevisionDetail { row, ..samples::revision_detail() }))
    }

    async fn create_revision(&self, _: &Actor, document: Text) -> Result<u32, Error> {
        if document.expose().contains("[[providers]]") {
            return Ok(14);
        }
        Err(Error::Invalid(vec![Fault { field: "document".to_owned(), text: "No provider is named in it.".to_owned() }]))
    }

    async fn submit_revision(&self, _: &Actor, _: u32) -> Result<(), Error> {
        Ok(())
    }

    async fn activate_revision(&self, _: &Actor, _: u32, _: u8) -> Result<(), Error> {
        Err(Error::OwnRequest)
    }

    async fn suppressions(&self, _: Option<&str>) -> Result<Listing<Suppression>, Error> {
        Ok(Listing::whole(samples::suppressions()))
    }

    async fn suppress(&self, _: &Actor, _: NewSuppression) -> Result<(), Error> {
        Ok(())
    }

    async fn lift_suppression(&self, _: &Actor, _: &str) -> Result<(), Error> {
        Ok(())
    }

    async fn users(&self, actor: &Actor) -> Result<Vec<User>, Error> {
        if actor.person.role < crate::views::Role::Admin {
            return Err(Error::Role(crate::views::Role::Admin));
        }
        Ok(samples::users())
    }

    async fn create_user(&self, _: &Actor, _: NewUser) -> Result<(), Error> {
        Ok(())
    }

    async fn change_user(&self, _: &Actor, _: &str, _: UserChange) -> Result<(), Error> {
        Ok(())
    }

    async fn audit(&self, _: &Actor, _: &AuditSearch, _: Option<&str>) -> Result<Listing<AuditLine>, Error> {
        Ok(Listing::whole(samples::audit()))
    }
}
