//! People, apps, requests and revisions.

use tidings_core::{
    message::{Category, Channel},
    redact::Text,
};

use super::before;
use crate::views::{
    App, AppDetail, AuditLine, ChangedField, Comment, Key, Person, RequestDetail, RequestKind, RequestRow, RequestStatus, RevisionDetail,
    RevisionRow, Role, Signature, Suppression, Template, TemplateVersion, User,
};

pub fn root() -> Person {
    Person { id: "usr_01kajt2q5ye0eabkz2d3m7r9v1".to_owned(), name: "root".to_owned(), role: Role::Admin }
}

pub fn viewer() -> Person {
    Person { id: "usr_01kajt2q5ye0eabkz2d3m7r9v2".to_owned(), name: "lin".to_owned(), role: Role::Viewer }
}

pub fn apps() -> Vec<App> {
    let app = |name: &str, live| App {
        id: "app_01kajt2q5ye0eabkz2d3m7r9vq".to_owned(),
        name: name.to_owned(),
        live,
        suspended: false,
        free_text: false,
        channels: vec!["sms".to_owned(), "email".to_owned()],
        countries: vec!["86".to_owned(), "49".to_owned()],
        max_per_s: 200,
        daily_quota: 1_000_000,
        created_at: before(9_000_000),
        keys: 2,
    };
    vec![
        app("shop", true),
        App { max_per_s: 0, daily_quota: 0, channels: Vec::new(), free_text: true, ..app("bank", true) },
        App { keys: 0, ..app("loyalty-pilot", false) },
        App { suspended: true, ..app("old-crm", true) },
    ]
}

pub fn app_detail() -> AppDetail {
    let key = |name: &str, test: bool, revoked: bool| Key {
        id: "key_01kajt2q5ye0eabkz2d3m7r9vw".to_owned(),
        name: name.to_owned(),
        scopes: vec!["messages:send".to_owned(), "messages:read".to_owned()],
        test,
        created_at: before(8_000_000),
        expires_at: None,
        last_used_at: (!revoked).then(|| before(4)),
        revoked,
    };
    AppDetail {
        app: apps().remove(0),
        keys: vec![key("shop-live", false, false), key("shop-test", true, false), key("shop-2025", false, true)],
        sent_today: Some(412_803),
    }
}

pub fn requests() -> Vec<RequestRow> {
    let row = |kind, title: &str, author: &str, seconds| RequestRow {
        id: "req_01kajt2q5ye0eabkz2d3m7r9va".to_owned(),
        kind,
        status: RequestStatus::Pending,
        title: title.to_owned(),
        app: Some("shop".to_owned()),
        author: author.to_owned(),
        created_at: before(seconds),
        decided_by: None,
        decided_at: None,
        reason: None,
    };
    vec![
        row(RequestKind::TemplateVersion, "order-shipped@4", "shop", 1_240),
        RequestRow { app: None, ..row(RequestKind::RoutingRevision, "Revision 13", "mei", 5_000) },
        row(RequestKind::AppChange, "Production access for loyalty-pilot", "lin", 90_000),
        RequestRow {
            status: RequestStatus::Rejected,
            decided_by: Some("root".to_owned()),
            decided_at: Some(before(80_000)),
            reason: Some("The link must be on a listed domain.".to_owned()),
            ..row(RequestKind::TemplateVersion, "spring-sale@1", "shop", 100_000)
        },
    ]
}

pub fn request_detail() -> RequestDetail {
    let change = |name: &str, before: Option<&str>, after: Option<&str>| ChangedField {
        name: name.to_owned(),
        before: before.map(ToOwned::to_owned),
        after: after.map(ToOwned::to_owned),
    };
    RequestDetail {
        row: requests().remove(0),
        author_id: "usr_01kajt2q5ye0eabkz2d3m7r9v7".to_owned(),
        changes: vec![
            change(
                "text",
                Some("Your order {{ order }} is on its way."),
                Some("Your order {{ order }} is on its way.\nTrack it: https://acme.example/t/{{ order }}"),
            ),
            change("parameters", Some("order"), Some("order")),
            change("segments", Some("1, gsm7"), Some("1, gsm7")),
        ],
        comments: vec![
            Comment { at: requests().remove(0).created_at, by: "otto".to_owned(), text: "Who pays for the second segment?".to_owned() },
            Comment { at: requests().remove(0).created_at, by: "anna".to_owned(), text: "The shop does, since spring.".to_owned() },
        ],
    }
}

pub fn templates() -> Vec<Template> {
    let version = |number, status: &str, text: &str, params: &[&str]| TemplateVersion {
        version: number,
        status: status.to_owned(),
        text: text.to_owned(),
        params: params.iter().map(ToString::to_string).collect(),
        reason: None,
    };
    let template = |name: &str, category, versions| Template {
        app: "shop".to_owned(),
        name: name.to_owned(),
        channel: Channel::Sms,
        category,
        locale: None,
        archived: false,
        versions,
    };
    vec![
        template("login-code", Category::Otp, vec![version(1, "approved", "Your code is {{ code }}.", &["code"])]),
        template(
            "order-shipped",
            Category::Transactional,
            vec![
                version(4, "pending", "Your order {{ order }} is on its way.\nTrack it: https://acme.example/t/{{ order }}", &["order"]),
                version(3, "approved", "Your order {{ order }} is on its way.", &["order"]),
            ],
        ),
        template(
            "spring-sale",
            Category::Marketing,
            vec![TemplateVersion {
                reason: Some("The link must be on a listed domain.".to_owned()),
                ..version(1, "rejected", "Spring sale: http://bit.example/x", &[])
            }],
        ),
    ]
}

pub fn signatures() -> Vec<Signature> {
    let signature = |name: &str, status: &str| Signature {
        app: "shop".to_owned(),
        name: name.to_owned(),
        channel: None,
        status: status.to_owned(),
        reason: None,
    };
    vec![signature("Acme", "approved"), signature("阿克米", "pending")]
}

const DOCUMENT: &str = r#"[[providers]]
name = "aliyun-main"
kind = "aliyun"
channel = "sms"
weight = 100
max_per_s = 100
max_in_flight = 256
timeout_ms = 3000
price = "0.0450"
currency = "CNY"

[[providers]]
name = "tencent-main"
kind = "tencent"
channel = "sms"
weight = 100
max_per_s = 200
max_in_flight = 256
timeout_ms = 3000
price = "0.0500"
currency = "CNY"

[[routes]]
match = { channel = "sms" }
select = "weighted"
providers = ["aliyun-main", "tencent-main"]
"#;

pub fn revisions() -> Vec<RevisionRow> {
    let row = |number, status: &str, percent, author: &str, seconds| RevisionRow {
        number,
        status: status.to_owned(),
        author: author.to_owned(),
        created_at: before(seconds),
        percent,
    };
    vec![
        row(14, "draft", 0, "root", 600),
        row(13, "approved", 10, "mei", 5_000),
        row(12, "approved", 90, "root", 700_000),
        row(1, "approved", 0, "bootstrap", 9_000_000),
    ]
}

pub fn revision_detail() -> RevisionDetail {
    RevisionDetail {
        row: revisions().remove(1),
        author_id: "usr_01kajt2q5ye0eabkz2d3m7r9v9".to_owned(),
        document: DOCUMENT.replace("max_per_s = 200", "max_per_s = 300"),
        compared_with: Some((12, DOCUMENT.to_owned())),
    }
}

pub fn suppressions() -> Vec<Suppression> {
    let row = |to: &str, app: Option<&str>, reason: &str, seconds| Suppression {
        id: "sup_01kajt2q5ye0eabkz2d3m7r9vb".to_owned(),
        to: to.to_owned(),
        app: app.map(ToOwned::to_owned),
        reason: reason.to_owned(),
        created_at: before(seconds),
    };
    vec![
        row("+49151****2345", Some("shop"), "answered STOP", 3_600),
        row("+86139****0001", None, "ticket 2210: asked not to be contacted at all", 800_000),
    ]
}

pub fn users() -> Vec<User> {
    let user = |id: &str, name: &str, role, disabled| User {
        id: id.to_owned(),
        name: name.to_owned(),
        role,
        disabled,
        created_at: before(9_000_000),
    };
    vec![
        user(&root().id, "root", Role::Admin, false),
        user("usr_9", "mei", Role::Approver, false),
        user(&viewer().id, "lin", Role::Viewer, false),
        user("usr_8", "max", Role::Operator, true),
    ]
}

pub fn audit() -> Vec<AuditLine> {
    let line = |seconds, actor: &str, action: &str, object: &str, reason: Option<&str>| AuditLine {
        id: "aud_01kajt2q5ye0eabkz2d3m7r9vc".to_owned(),
        at: before(seconds),
        actor: actor.to_owned(),
        action: action.to_owned(),
        object: object.to_owned(),
        before: None,
        after: None,
        reason: reason.map(ToOwned::to_owned),
        address: Some("203.0.113.9".to_owned()),
    };
    vec![
        line(30, "lin", "message.reveal", "msg_01h455vb4pex5vsknk084sn02q", Some("ticket 4711: customer asks")),
        AuditLine {
            before: Some(Text::new("{\"weight\": 80}".into())),
            after: Some(Text::new("{\"weight\": 100}".into())),
            ..line(86_000, "mei", "provider.weight", "aliyun-main", Some("contract raised, ticket 3391"))
        },
        AuditLine { address: None, ..line(9_000_000, "bootstrap", "app.create", "shop", None) },
    ]
}
