use std::time::Duration;

use super::*;

fn at(seconds: u64) -> Moment {
    Moment::from_start(Duration::from_secs(seconds))
}

fn course(category: Category) -> Course {
    Course::new(category, at(300), [0, 1])
}

#[test]
fn another_revision_keeps_who_was_tried_under_their_new_places() {
    let mut course = Course::new(Category::Otp, Moment::from_start(Duration::from_secs(60)), [0, 1, 2]);
    course.ended(Moment::ZERO, 0, Outcome::RejectedContent);
    course.ended(Moment::ZERO, 2, Outcome::Unavailable);
    let course = course.moved([0, 1], |place| place.checked_sub(1));
    assert_eq!(course.excluded().places().collect::<Vec<_>>(), [1], "the first has gone, the last is second now");
    assert_eq!(course.attempts(), 2);
}

#[test]
fn an_accepted_message_is_submitted() {
    assert_eq!(course(Category::Marketing).ended(at(1), 0, Outcome::Accepted), Decision::Done(Status::Submitted));
}

#[test]
fn only_a_code_goes_to_another_provider_after_an_ambiguous_attempt() {
    assert_eq!(course(Category::Otp).ended(at(1), 0, Outcome::Ambiguous), Decision::NextProvider);
    assert_eq!(course(Category::Transactional).ended(at(1), 0, Outcome::Ambiguous), Decision::Unknown);
    assert_eq!(course(Category::Marketing).left(at(1), 0), Decision::Unknown);
}

#[test]
fn a_bad_recipient_ends_the_message_at_the_first_provider() {
    assert_eq!(course(Category::Otp).ended(at(1), 0, Outcome::RejectedRecipient), Decision::GiveUp(Status::Failed));
}

#[test]
fn refused_content_fails_only_when_the_last_provider_has_refused_it() {
    let mut message = course(Category::Transactional);
    assert_eq!(message.ended(at(1), 0, Outcome::RejectedContent), Decision::NextProvider);
    assert_eq!(message.ended(at(1), 1, Outcome::RejectedAccount), Decision::GiveUp(Status::Failed));
}

#[test]
fn who_refused_a_text_is_not_asked_again_in_the_next_round() {
    let mut message = course(Category::Transactional);
    message.ended(at(1), 0, Outcome::RejectedContent);
    message.ended(at(1), 1, Outcome::Unavailable);
    assert!(matches!(message.exhausted(at(1), || true, &mut Dice::new(1)), Decision::RetryAt(_)));
    assert!(message.excluded().contains(0) && !message.excluded().contains(1));
}

#[test]
fn ten_attempts_end_it_and_throttled_ones_do_not_count() {
    let mut message = Course::new(Category::Transactional, at(300), [0, 1]);
    for _ in 0..20 {
        assert_eq!(message.ended(at(1), 0, Outcome::Throttled), Decision::NextProvider);
    }
    for _ in 0..9 {
        assert_eq!(message.ended(at(1), 0, Outcome::Unavailable), Decision::NextProvider);
    }
    assert_eq!(message.ended(at(1), 1, Outcome::Unavailable), Decision::GiveUp(Status::Failed));
}

#[test]
fn without_a_clear_end_an_ambiguous_attempt_makes_it_unknown() {
    let mut message = course(Category::Otp);
    assert_eq!(message.expired(), Decision::GiveUp(Status::Expired));
    message.ended(at(1), 0, Outcome::Ambiguous);
    assert_eq!(message.expired(), Decision::Unknown);
    assert_eq!(message.ended(at(1), 1, Outcome::RejectedRecipient), Decision::Unknown);
}

#[test]
fn nothing_is_retried_past_expiry() {
    let mut message = course(Category::Transactional);
    assert_eq!(message.ended(at(300), 0, Outcome::Unavailable), Decision::GiveUp(Status::Expired));
    assert_eq!(message.exhausted(at(300), || true, &mut Dice::new(1)), Decision::GiveUp(Status::Expired));
}

#[test]
fn an_empty_budget_costs_a_second_more() {
    let mut budget = Budget::new(BudgetSettings::new(0.0, 0.0, 1.0).unwrap(), Moment::ZERO);
    let mut pause = || match course(Category::Otp).exhausted(at(1), || budget.withdraw(at(1)), &mut Dice::new(3)) {
        Decision::RetryAt(moment) => moment.since(at(1)),
        other => panic!("{other:?}"),
    };
    let paid = pause();
    assert_eq!(pause(), paid + WITHOUT_TOKEN);
}

#[test]
fn a_course_continues_from_what_is_on_record() {
    let past = [(Some(0), Outcome::Unavailable), (None, Outcome::Ambiguous), (Some(1), Outcome::RejectedContent)];
    let message = course(Category::Otp).resumed(past);
    assert_eq!(message.attempts(), 3);
    assert!(message.may_have_been_sent());
    assert!(!message.excluded().contains(0) && message.excluded().contains(1));
}
