//! Which providers could take a message, by the routing revision of its recipient: enough to refuse what nobody can take,
//! and to tell in a preview. Which of them does is decided when it is delivered.

use smallvec::SmallVec;
use tidings_core::{
    message::{Category, Channel},
    money::Amount,
};

use crate::control::{
    Snapshot,
    model::{Provider, RoutingDocument, SettingValue},
};

/// What a message asks of its providers.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    pub to: &'a str,
    pub channel: Channel,
    pub category: Category,
    pub app: &'a str,
    pub segments: u32,
    pub max_price: Option<Amount>,
    /// Only simulated providers may take it.
    pub test: bool,
}

pub type Candidates<'a> = SmallVec<[&'a Provider; 8]>;

/// Providers that could take the message, in the order of their route.
pub fn candidates<'a>(snapshot: &'a Snapshot, question: &Question<'_>) -> Candidates<'a> {
    let Some(revision) = snapshot.routing().for_recipient(question.to) else { return Candidates::new() };
    let document = &revision.document;
    let fits = |provider: &&Provider| {
        provider.channel == question.channel
            && question.max_price.is_none_or(|most| provider.price.times(question.segments) <= most)
            && (!question.test || is_simulated(provider))
    };
    let routed: Candidates<'a> = routed(document, question).into_iter().filter(fits).collect();
    // A test key reaches any simulated provider, whatever the routes say.
    if routed.is_empty() && question.test { document.providers.iter().filter(fits).collect() } else { routed }
}

fn routed<'a>(document: &'a RoutingDocument, question: &Question<'_>) -> Candidates<'a> {
    if document.routes.is_empty() {
        return document.providers.iter().collect();
    }
    let route = document.routes.iter().find(|route| route.matches.holds(question.channel, question.category, question.to, question.app));
    route.map_or_else(Candidates::new, |route| route.providers.iter().filter_map(|name| document.provider(name)).collect())
}

/// Whether this provider is sent the signature as part of the text, where it is billed, and not as a sender id.
pub fn signs_in_text(provider: &Provider) -> bool {
    match provider.kind.as_str() {
        "simulated" => false,
        // A body of its own that names the signature places it itself.
        "http" => match provider.settings.get("body") {
            Some(SettingValue::Plain(body)) => !body.to_string().contains("signature"),
            _ => true,
        },
        _ => true,
    }
}

fn is_simulated(provider: &Provider) -> bool {
    tidings_providers::registry::kind(&provider.kind).is_some_and(|kind| kind.simulated)
}
