//! Messages in every kind of end.

use std::{collections::BTreeMap, time::Duration};

use tidings_core::{
    attempt::Outcome,
    message::{Category, Channel, Encoding, Status},
    time::Timestamp,
};

use super::{before, id};
use crate::views::{AttemptView, MessageDetail, MessageRow, ReceiptView};

/// Fourteen hours before now: yesterday evening.
const EVENING: u64 = 14 * 3_600;

fn row(number: u8, status: Status, provider: Option<&str>, outcome: Option<Outcome>, code: Option<&str>) -> MessageRow {
    MessageRow {
        id: id(number),
        to: "+86138****8000".to_owned(),
        channel: Channel::Sms,
        category: Category::Transactional,
        status,
        app: "shop".to_owned(),
        template: Some("order-shipped@3".to_owned()),
        reference: Some(format!("order-88{number:02}")),
        accepted_at: before(EVENING + u64::from(number) * 97),
        test: false,
        attempts: 1,
        provider: provider.map(ToOwned::to_owned),
        outcome,
        code: code.map(ToOwned::to_owned),
    }
}

pub fn message_rows() -> Vec<MessageRow> {
    let otp = |row: MessageRow| MessageRow { category: Category::Otp, template: Some("login-code@1".to_owned()), reference: None, ..row };
    vec![
        row(1, Status::Unknown, Some("aliyun-main"), Some(Outcome::Ambiguous), Some("timeout")),
        MessageRow { attempts: 2, ..otp(row(2, Status::Delivered, Some("tencent-main"), Some(Outcome::Accepted), None)) },
        row(3, Status::Undelivered, Some("tencent-main"), Some(Outcome::Accepted), None),
        row(4, Status::Failed, Some("aliyun-main"), Some(Outcome::RejectedRecipient), Some("isv.MOBILE_NUMBER_ILLEGAL")),
        MessageRow {
            to: "+49151****2345".to_owned(),
            app: "bank".to_owned(),
            ..row(5, Status::Submitted, Some("tencent-main"), Some(Outcome::Accepted), None)
        },
        MessageRow { attempts: 0, template: None, ..row(6, Status::Scheduled, None, None, None) },
        MessageRow { test: true, ..row(7, Status::Delivered, Some("mail"), Some(Outcome::Accepted), None) },
        MessageRow { attempts: 0, ..row(8, Status::Accepted, None, None, None) },
        row(9, Status::Expired, Some("aliyun-main"), Some(Outcome::Throttled), Some("isv.BUSINESS_LIMIT_CONTROL")),
        MessageRow { attempts: 0, ..row(10, Status::Cancelled, None, None, None) },
    ]
}

fn attempt(number: u32, provider: &str, at: Timestamp, outcome: Outcome, code: Option<&str>, millis: u64, why: &str) -> AttemptView {
    AttemptView {
        number,
        provider: provider.to_owned(),
        revision: 12,
        started_at: at,
        outcome: Some(outcome),
        code: code.map(ToOwned::to_owned),
        duration: Some(Duration::from_millis(millis)),
        provider_message_id: (outcome == Outcome::Accepted).then(|| "900619746936498440^0".to_owned()),
        cost: (outcome == Outcome::Accepted).then(|| "0.0450 CNY".to_owned()),
        why: why.to_owned(),
    }
}

fn detail(row: MessageRow, attempts: Vec<AttemptView>, receipts: Vec<ReceiptView>, closed_at: Option<Timestamp>) -> MessageDetail {
    MessageDetail {
        app_id: "app_01kajt2q5ye0eabkz2d3m7r9vq".to_owned(),
        key: Some(("key_01kajt2q5ye0eabkz2d3m7r9vw".to_owned(), "shop-live".to_owned())),
        lane: row.category.lane(),
        encoding: Some(Encoding::Ucs2),
        segments: 2,
        signature: Some("Acme".to_owned()),
        metadata: BTreeMap::from([("shop".to_owned(), "berlin".to_owned())]),
        send_at: None,
        released_at: None,
        expires_at: row.accepted_at + Duration::from_secs(3_600),
        closed_at,
        due_at: None,
        max_price: None,
        cost: attempts.iter().find_map(|attempt| attempt.cost.clone()),
        traceparent: Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".to_owned()),
        attempts,
        receipts,
        row,
    }
}

pub fn message_unknown() -> MessageDetail {
    let row = message_rows().remove(0);
    let at = row.accepted_at + Duration::from_millis(12);
    let why = "score 91, weight 100 of 200; tencent-main score 97 was next in turn";
    let attempts = vec![attempt(1, "aliyun-main", at, Outcome::Ambiguous, Some("timeout"), 3_000, why)];
    detail(row, attempts, Vec::new(), Some(at + Duration::from_millis(3_001)))
}

pub fn message_delivered_after_failover() -> MessageDetail {
    let row = message_rows().remove(1);
    let at = row.accepted_at + Duration::from_millis(9);
    let again = at + Duration::from_millis(3_004);
    let attempts = vec![
        attempt(
            1,
            "aliyun-main",
            at,
            Outcome::Ambiguous,
            Some("timeout"),
            3_000,
            "score 91, weight 100 of 200; tencent-main score 97 was next in turn",
        ),
        attempt(
            2,
            "tencent-main",
            again,
            Outcome::Accepted,
            None,
            118,
            "score 97, weight 100 of 100; aliyun-main ejected 2 s ago: consecutive_timeouts 3",
        ),
    ];
    let receipt = ReceiptView {
        provider: "tencent-main".to_owned(),
        status: Status::Delivered,
        vendor_status: "DELIVRD".to_owned(),
        error_code: None,
        at: again + Duration::from_millis(2_740),
    };
    let closed = receipt.at;
    detail(row, attempts, vec![receipt], Some(closed))
}

pub fn message_undelivered() -> MessageDetail {
    let row = message_rows().remove(2);
    let at = row.accepted_at + Duration::from_millis(9);
    let receipt = ReceiptView {
        provider: "tencent-main".to_owned(),
        status: Status::Undelivered,
        vendor_status: "UNDELIV".to_owned(),
        error_code: Some("MK:0001".to_owned()),
        at: at + Duration::from_secs(31),
    };
    let closed = receipt.at;
    detail(
        row,
        vec![attempt(1, "tencent-main", at, Outcome::Accepted, None, 140, "the only provider of its route")],
        vec![receipt],
        Some(closed),
    )
}

pub fn message_failed() -> MessageDetail {
    let row = message_rows().remove(3);
    let at = row.accepted_at + Duration::from_millis(9);
    let attempts = vec![attempt(
        1,
        "aliyun-main",
        at,
        Outcome::RejectedRecipient,
        Some("isv.MOBILE_NUMBER_ILLEGAL"),
        88,
        "score 98, weight 100 of 200",
    )];
    detail(row, attempts, Vec::new(), Some(at + Duration::from_millis(90)))
}

/// Not begun yet; somebody may still cancel it.
pub fn message_scheduled() -> MessageDetail {
    let row = message_rows().remove(5);
    let send_at = super::NOW + Duration::from_secs(7_200);
    MessageDetail {
        send_at: Some(send_at),
        due_at: Some(send_at),
        expires_at: send_at + Duration::from_secs(3_600),
        ..detail(row, Vec::new(), Vec::new(), None)
    }
}
