//! A request for approval: what somebody wants to change, and what somebody else said to it.
//!
//! `pending` is the only status that anything follows: approved, rejected with a reason, or withdrawn. Drafts are the
//! things themselves (a template version, a routing revision) before a request is made for them. Four eyes is decided
//! here and nowhere else: neither the author nor the maker of the key that the author used decides.

use serde::{Deserialize, Serialize};
use tidings_core::{
    id::{AppId, ApprovalId, SignatureId, TemplateId},
    time::Timestamp,
};

use super::{ActorId, App, Kind, Record};

tidings_core::words! {
    RequestKind {
        App = "app",
        AppChange = "app_change",
        TemplateVersion = "template_version",
        Signature = "signature",
        RoutingRevision = "routing_revision",
    }
}

tidings_core::words! {
    RequestStatus { Pending = "pending", Approved = "approved", Rejected = "rejected", Withdrawn = "withdrawn", }
}

/// What an approval puts into force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// A new app as it would be.
    App(Box<App>),
    /// The fields of an app that change, as the PATCH named them.
    AppChange {
        app: AppId,
        fields: serde_json::Map<String, serde_json::Value>,
    },
    TemplateVersion {
        template: TemplateId,
        version: u32,
    },
    Signature {
        signature: SignatureId,
    },
    RoutingRevision {
        number: u32,
    },
}

impl Target {
    pub const fn kind(&self) -> RequestKind {
        match self {
            Self::App(_) => RequestKind::App,
            Self::AppChange { .. } => RequestKind::AppChange,
            Self::TemplateVersion { .. } => RequestKind::TemplateVersion,
            Self::Signature { .. } => RequestKind::Signature,
            Self::RoutingRevision { .. } => RequestKind::RoutingRevision,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    pub id: ApprovalId,
    pub target: Target,
    pub status: RequestStatus,
    pub app: Option<AppId>,
    pub author: ActorId,
    /// Who made the key that the author is, if it is one.
    #[serde(default)]
    pub author_maker: Option<ActorId>,
    pub created_at: Timestamp,
    /// What would change, for the eyes of whoever decides: fields with `from` and `to`, texts as line diffs, no secrets.
    pub change: serde_json::Value,
    #[serde(default)]
    pub decided_by: Option<ActorId>,
    #[serde(default)]
    pub decided_at: Option<Timestamp>,
    /// Why it was rejected, or the comment of whoever approved.
    #[serde(default)]
    pub reason: Option<String>,
    #[serde(default)]
    pub comments: Vec<Comment>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Comment {
    pub at: Timestamp,
    pub by: ActorId,
    pub text: String,
}

/// What may happen to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    Approve {
        comment: Option<String>,
    },
    Reject {
        reason: String,
    },
    /// By its author; or by the app that it is for, through any of its keys.
    Withdraw {
        for_app: bool,
    },
}

/// Why a decision is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotPending {
    #[error("the request is {0}")]
    Closed(RequestStatus),
    #[error("nobody decides their own request")]
    Own,
    #[error("only its author withdraws a request")]
    NotTheAuthor,
}

impl Approval {
    pub fn is_own(&self, actor: &ActorId) -> bool {
        self.author == *actor || self.author_maker.as_ref() == Some(actor)
    }

    /// Takes a decision, once.
    ///
    /// # Errors
    /// It was decided before, or not by this actor.
    pub fn decide(&mut self, by: &ActorId, decision: Decision, now: Timestamp) -> Result<(), NotPending> {
        if self.status != RequestStatus::Pending {
            return Err(NotPending::Closed(self.status));
        }
        let (status, reason) = match decision {
            Decision::Withdraw { for_app: false } if !self.is_own(by) => return Err(NotPending::NotTheAuthor),
            Decision::Withdraw { .. } => (RequestStatus::Withdrawn, None),
            Decision::Approve { .. } | Decision::Reject { .. } if self.is_own(by) => return Err(NotPending::Own),
            Decision::Approve { comment } => (RequestStatus::Approved, comment),
            Decision::Reject { reason } => (RequestStatus::Rejected, Some(reason)),
        };
        self.status = status;
        self.reason = reason;
        self.decided_by = Some(by.clone());
        self.decided_at = Some(now);
        Ok(())
    }
}

impl Record for Approval {
    const KIND: Kind = Kind::Approval;
    fn uuid(&self) -> uuid::Uuid {
        self.id.uuid()
    }
    fn name(&self) -> String {
        self.id.to_string()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const WITHDRAW: Decision = Decision::Withdraw { for_app: false };

    fn actor(name: &str) -> ActorId {
        serde_json::from_value(name.into()).unwrap()
    }

    fn request() -> Approval {
        Approval {
            id: ApprovalId::new(Timestamp::default(), [1; 10]),
            target: Target::RoutingRevision { number: 2 },
            status: RequestStatus::Pending,
            app: None,
            author: actor("key_x"),
            author_maker: Some(actor("ada")),
            created_at: Timestamp::default(),
            change: serde_json::Value::Null,
            decided_by: None,
            decided_at: None,
            reason: None,
            comments: Vec::new(),
        }
    }

    fn decisions() -> impl Strategy<Value = (ActorId, Decision)> {
        let who = prop_oneof![Just("ada"), Just("key_x"), Just("bob"), Just("eve")].prop_map(actor);
        let what = prop_oneof![
            Just(WITHDRAW),
            Just(Decision::Approve { comment: None }),
            "[a-z]{1,8}".prop_map(|reason| Decision::Reject { reason })
        ];
        (who, what)
    }

    proptest! {
        /// Whatever is tried in whatever order: a request is decided at most once, never by its own author or the maker of
        /// the author's key, withdrawn by nobody else, and what was decided never changes.
        #[test]
        fn a_request_is_decided_once_and_by_other_eyes(tries in proptest::collection::vec(decisions(), 0..12)) {
            let mut request = request();
            let mut decided: Option<Approval> = None;
            for (index, (by, decision)) in tries.into_iter().enumerate() {
                let own = by == actor("ada") || by == actor("key_x");
                let before = request.clone();
                let answer = request.decide(&by, decision.clone(), Timestamp::from_millis(index as i64));
                match (&decided, &answer) {
                    (Some(decided), Err(NotPending::Closed(status))) => prop_assert_eq!((&request, *status), (decided, decided.status)),
                    (None, Ok(())) => {
                        prop_assert_eq!(own, decision == WITHDRAW);
                        prop_assert_eq!(request.status == RequestStatus::Rejected, request.reason.is_some());
                        prop_assert_eq!(request.decided_by.as_ref(), Some(&by));
                        decided = Some(request.clone());
                    }
                    (None, Err(NotPending::Own)) => prop_assert!(own && decision != WITHDRAW && request == before),
                    (None, Err(NotPending::NotTheAuthor)) => prop_assert!(!own && decision == WITHDRAW && request == before),
                    other => prop_assert!(false, "{:?}", other),
                }
            }
        }
    }
}
