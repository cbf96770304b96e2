//! Whatever people try with a template's versions and in whatever order: what is sent was approved by others, and last.

use std::{cell::Cell, sync::Arc};

use proptest::prelude::*;
use serde_json::json;
use tidings::control::{
    Actor, Control,
    model::{Decision, RequestStatus, Target, VersionStatus},
};
use tidings_core::id::{AppId, ApprovalId};

use super::world::World;

/// One of these is made first; more come with [`Step::Write`].
const NAME: &str = "notice";

#[derive(Clone, Debug)]
enum Step {
    Write,
    Submit(u32),
    Withdraw(u32),
    /// Of the requests, the nth, by the nth person.
    Approve(usize, usize),
    Reject(usize, usize),
    TakeBack(usize, usize),
    Archive,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => Just(Step::Write),
        20 => (1..4_u32).prop_map(Step::Submit),
        4 => (1..4_u32).prop_map(Step::Withdraw),
        20 => (0..4_usize, 0..4_usize).prop_map(|(request, who)| Step::Approve(request, who)),
        6 => (0..4_usize, 0..4_usize).prop_map(|(request, who)| Step::Reject(request, who)),
        2 => (0..4_usize, 0..4_usize).prop_map(|(request, who)| Step::TakeBack(request, who)),
        1 => Just(Step::Archive),
    ];
    proptest::collection::vec(step, 8..32)
}

fn person(name: &str) -> Actor {
    Actor::own(serde_json::from_value(json!(name)).unwrap())
}

/// The author writes with a key that Ada made: neither of them decides.
fn author() -> Actor {
    Actor { maker: Some(person("ada").id), ..person("key_of_ada") }
}

struct Play {
    control: Arc<Control>,
    app: AppId,
    requests: Vec<ApprovalId>,
}

impl Play {
    async fn take(&mut self, step: &Step) {
        let people = [person("ada"), person("bob"), author(), person("eve")];
        let decided = async |at: &usize, who: &usize, decision: Decision| {
            // The nth of the newest: what was decided before matters less.
            if let Some(id) = self.requests.iter().rev().nth(at % self.requests.len().max(1)) {
                drop(self.control.decide(&people[*who], *id, decision).await);
            }
        };
        match step {
            Step::Write => {
                let text = json!({"text": format!("Version {}", self.requests.len())});
                drop(self.control.create_version(&author(), self.app, NAME, text.as_object().unwrap()).await);
            }
            Step::Submit(number) => {
                if let Ok(filed) = self.control.submit_version(&author(), self.app, NAME, *number).await {
                    self.requests.push(filed.id);
                }
            }
            Step::Withdraw(number) => drop(self.control.withdraw_version(&author(), self.app, NAME, *number).await),
            Step::Approve(at, who) => decided(at, who, Decision::Approve { comment: None }).await,
            Step::Reject(at, who) => decided(at, who, Decision::Reject { reason: "no".into() }).await,
            Step::TakeBack(at, who) => decided(at, who, Decision::Withdraw { for_app: false }).await,
            Step::Archive => drop(self.control.archive_template(&author(), self.app, NAME).await),
        }
    }

    /// What must hold after every step.
    fn check(&self) -> Result<(), TestCaseError> {
        let snapshot = self.control.snapshot();
        let template = snapshot.template(self.app, NAME).unwrap();
        let own = [person("ada").id, author().id];
        for request in snapshot.approvals() {
            let by_author = request.decided_by.as_ref().is_some_and(|by| own.contains(by));
            match request.status {
                RequestStatus::Pending => prop_assert!(request.decided_by.is_none()),
                RequestStatus::Approved | RequestStatus::Rejected => prop_assert!(!by_author, "decided by whose it is"),
                RequestStatus::Withdrawn => prop_assert!(by_author, "taken back by somebody else"),
            }
        }
        for version in &template.versions {
            let target = Target::TemplateVersion { template: template.id, version: version.version };
            let last = snapshot.approvals().filter(|request| request.target == target).max_by_key(|request| request.id);
            let says = match last.map(|request| request.status) {
                None => VersionStatus::Draft,
                Some(RequestStatus::Pending) => VersionStatus::Pending,
                Some(RequestStatus::Approved) => VersionStatus::Approved,
                Some(RequestStatus::Rejected) => VersionStatus::Rejected,
                Some(RequestStatus::Withdrawn) => VersionStatus::Withdrawn,
            };
            prop_assert_eq!(version.status, says, "version {}", version.version);
            let named = format!("{NAME}@{}", version.version);
            let sendable = snapshot.sendable(self.app, &named, None).is_ok();
            prop_assert_eq!(sendable, version.status == VersionStatus::Approved && !template.archived);
        }
        let newest = template.versions.iter().rev().find(|version| version.status == VersionStatus::Approved && !template.archived);
        let sent = snapshot.sendable(self.app, NAME, None).ok().map(|sendable| sendable.version.version);
        prop_assert_eq!(sent, newest.map(|version| version.version));
        Ok(())
    }
}

#[test]
fn whatever_is_tried_only_what_others_approved_last_is_sent() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(48));
    let (approved, archived) = (Cell::new(0), Cell::new(0));
    runner
        .run(&steps(), |steps| {
            runtime.block_on(async {
                let world = World::new();
                let control = world.ready().await;
                let app = control.snapshot().app_named("shop").unwrap().id;
                let made = json!({"name": NAME, "channel": "sms", "category": "transactional", "text": "Version 1"});
                control.create_template(&author(), app, made.as_object().unwrap()).await.unwrap();
                let mut play = Play { control, app, requests: Vec::new() };
                for step in &steps {
                    play.take(step).await;
                    play.check()?;
                }
                let snapshot = play.control.snapshot();
                let ever = snapshot.approvals().any(|request| request.status == RequestStatus::Approved);
                approved.set(approved.get() + u32::from(ever));
                archived.set(archived.get() + u32::from(snapshot.template(app, NAME).unwrap().archived));
                prop_assert!(play.control.verify_audit().await.unwrap().is_ok());
                Ok(())
            })
        })
        .unwrap();
    let (approved, archived) = (approved.get(), archived.get());
    println!("in {approved} something was approved, in {archived} archived");
    assert!(approved > 12 && archived > 2, "hardly anything happened: in {approved} something was approved, in {archived} archived");
}
