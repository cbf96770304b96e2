//! Requests: filed, discussed, decided by other eyes than the author's, and put into force.

use serde_json::Value;
use tidings_core::id::{AppId, ApprovalId};

use super::{
    Actor, Control, Error, Plan, Scene, apps,
    model::{Approval, Comment, Decision, Kind, NotPending, RequestStatus, RoutingRevision, Signature, Target, Template, VersionStatus},
    plan::{Said, difference},
    snapshot::Kept,
};

/// A comment is a sentence or two.
pub const MAX_COMMENT_CHARS: usize = 2_000;
/// A trail longer than this is a discussion that belongs elsewhere.
const MAX_COMMENTS: usize = 200;

/// What a request asks for.
pub(super) struct Filing {
    pub target: Target,
    pub app: Option<AppId>,
    /// What would change, for the eyes of whoever decides.
    pub change: Value,
}

/// Adds a request to a plan.
pub(super) fn file(scene: &Scene<'_>, plan: &mut Plan, actor: &Actor, filing: Filing) -> Approval {
    let request = Approval {
        id: ApprovalId::new(scene.now, scene.clock.random()),
        target: filing.target,
        status: RequestStatus::Pending,
        app: filing.app,
        author: actor.id.clone(),
        author_maker: actor.maker.clone(),
        created_at: scene.now,
        change: filing.change,
        decided_by: None,
        decided_at: None,
        reason: None,
        comments: Vec::new(),
    };
    plan.create(&request);
    let after = serde_json::json!({"kind": request.target.kind(), "app": request.app, "change": request.change});
    plan.log(scene, actor, Said { action: "request.filed", object: request.id.to_string(), after: Some(after), ..Default::default() });
    request
}

impl Control {
    /// Decides a request and puts it into force if it was approved.
    ///
    /// # Errors
    /// It is decided, it is the actor's own, what it asks for cannot be done any more, the store is away.
    pub async fn decide(&self, actor: &Actor, id: ApprovalId, decision: Decision) -> Result<Approval, Error> {
        self.change(|scene| {
            let kept = scene.snapshot.approval(id).ok_or(Error::NotFound)?;
            let mut plan = Plan::default();
            let request = decide(scene, &mut plan, actor, kept, decision.clone())?;
            Ok((plan, request))
        })
        .await
    }

    /// Adds a comment to a pending request.
    ///
    /// # Errors
    /// It is decided, the text is not valid, the store is away.
    pub async fn comment(&self, actor: &Actor, id: ApprovalId, text: &str) -> Result<Approval, Error> {
        check_comment("/comment", text)?;
        self.change(|scene| {
            let kept = scene.snapshot.approval(id).ok_or(Error::NotFound)?;
            if kept.status != RequestStatus::Pending {
                return Err(Error::NotPending(kept.status));
            }
            if kept.comments.len() >= MAX_COMMENTS {
                return Err(Error::invalid("/comment", "range", "the request has enough comments"));
            }
            let mut request = kept.value.clone();
            request.comments.push(Comment { at: scene.now, by: actor.id.clone(), text: text.to_owned() });
            let mut plan = Plan::default();
            plan.update(kept, &request);
            plan.log(scene, actor, Said { action: "request.commented", object: id.to_string(), reason: Some(text), ..Default::default() });
            Ok((plan, request))
        })
        .await
    }
}

/// A reason or comment of a person.
///
/// # Errors
/// It is empty or too long.
pub(super) fn check_comment(pointer: &str, text: &str) -> Result<(), Error> {
    let length = text.trim().chars().count();
    if (1..=MAX_COMMENT_CHARS).contains(&length) {
        return Ok(());
    }
    Err(Error::invalid(pointer, "length", format!("must have 1 to {MAX_COMMENT_CHARS} characters")))
}

/// The decision and everything that follows from it, as one plan.
pub(super) fn decide(
    scene: &Scene<'_>,
    plan: &mut Plan,
    actor: &Actor,
    kept: &Kept<Approval>,
    decision: Decision,
) -> Result<Approval, Error> {
    match &decision {
        Decision::Reject { reason } => check_comment("/reason", reason)?,
        Decision::Approve { comment: Some(comment) } => check_comment("/comment", comment)?,
        Decision::Approve { comment: None } | Decision::Withdraw { .. } => {}
    }
    let mut request = kept.value.clone();
    request.decide(&actor.id, decision, scene.now).map_err(|error| match error {
        NotPending::Closed(status) => Error::NotPending(status),
        NotPending::Own => Error::OwnRequest,
        NotPending::NotTheAuthor => Error::NotFound,
    })?;
    plan.update(kept, &request);
    log_decision(scene, plan, actor, &request);
    put_into_force(scene, plan, actor, &request)?;
    Ok(request)
}

/// An app takes back what it last asked for; `status` is how that stands.
pub(super) fn take_back(scene: &Scene<'_>, actor: &Actor, target: &Target, status: VersionStatus) -> Result<(Plan, Approval), Error> {
    let asked_for = scene.snapshot.approvals().filter(|request| request.target == *target).max_by_key(|request| request.id);
    let Some(request) = asked_for else { return Err(Error::NotPending(not_asked_for(status))) };
    let mut plan = Plan::default();
    let request = decide(scene, &mut plan, actor, request, Decision::Withdraw { for_app: true })?;
    Ok((plan, request))
}

/// How a thing without a request stands, in the words of requests.
const fn not_asked_for(status: VersionStatus) -> RequestStatus {
    match status {
        VersionStatus::Approved => RequestStatus::Approved,
        VersionStatus::Rejected => RequestStatus::Rejected,
        VersionStatus::Draft | VersionStatus::Pending | VersionStatus::Withdrawn => RequestStatus::Withdrawn,
    }
}

/// A request was decided: what the log says of it.
pub(super) fn log_decision(scene: &Scene<'_>, plan: &mut Plan, actor: &Actor, request: &Approval) {
    let action = match request.status {
        RequestStatus::Approved => "request.approved",
        RequestStatus::Rejected => "request.rejected",
        RequestStatus::Withdrawn | RequestStatus::Pending => "request.withdrawn",
    };
    let after = serde_json::json!({"kind": request.target.kind(), "status": request.status});
    let said = Said { action, object: request.id.to_string(), after: Some(after), reason: request.reason.as_deref(), ..Default::default() };
    plan.log(scene, actor, said);
}

fn put_into_force(scene: &Scene<'_>, plan: &mut Plan, actor: &Actor, request: &Approval) -> Result<(), Error> {
    let status = match request.status {
        RequestStatus::Approved => VersionStatus::Approved,
        RequestStatus::Rejected => VersionStatus::Rejected,
        RequestStatus::Withdrawn | RequestStatus::Pending => VersionStatus::Withdrawn,
    };
    let reason = request.reason.clone().filter(|_| status == VersionStatus::Rejected);
    let approved = status == VersionStatus::Approved;
    match &request.target {
        Target::App(app) if approved => {
            if scene.snapshot.app_named(&app.name).is_some() {
                return Err(Error::Exists(Kind::App));
            }
            plan.create(&**app);
            let after = serde_json::to_value(app).ok();
            plan.log(scene, actor, Said { action: "app.created", object: app.id.to_string(), after, ..Default::default() });
        }
        Target::AppChange { app, fields } if approved => {
            let kept = scene.snapshot.app(*app).ok_or(Error::NotFound)?;
            let mut faults = Vec::new();
            let changed = apps::apply(kept, fields, &mut faults);
            if !faults.is_empty() {
                return Err(Error::Invalid(faults));
            }
            let (before, after) = difference(&kept.value, &changed);
            plan.update(kept, &changed);
            let said =
                Said { action: "app.changed", object: app.to_string(), before: Some(before), after: Some(after), ..Default::default() };
            plan.log(scene, actor, said);
        }
        Target::App(_) | Target::AppChange { .. } => {}
        Target::TemplateVersion { template, version } => {
            let ready = scene.snapshot.template_by_id(*template).ok_or(Error::NotFound)?;
            let mut changed: Template = ready.template.value.clone();
            let entry = changed.version_mut(*version).ok_or(Error::NotFound)?;
            (entry.status, entry.reason) = (status, reason);
            plan.update(&ready.template, &changed);
        }
        Target::Signature { signature } => {
            let kept = scene.snapshot.signature_by_id(*signature).ok_or(Error::NotFound)?;
            plan.update(kept, &Signature { status, reason, ..kept.value.clone() });
        }
        Target::RoutingRevision { number } => {
            let kept = scene.snapshot.revision(*number).ok_or(Error::NotFound)?;
            plan.update(kept, &RoutingRevision { status, ..kept.value.clone() });
        }
    }
    Ok(())
}
