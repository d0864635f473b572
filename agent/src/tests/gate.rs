//! No consent, off hours, another user, another app, an unproven account: nothing, anywhere.

use super::*;

const TEXT: &str = "这句话不该留在任何地方";

fn nothing_of(phone: &Phone, signal: pb::Signal, reason: &str) {
    let recorded = phone.see(signal);
    assert_eq!(recorded.events, 0, "{reason}");
    assert!(phone.waiting().is_empty(), "{reason}");
    assert!(!phone.is_on_disk(TEXT), "{reason}");
    let status = phone.agent().status();
    assert_eq!(status.dropped.get(reason), Some(&1), "{:?}", status.dropped);
}

#[test]
fn without_consent_nothing_is_kept() {
    let phone = Phone::enrolled();
    nothing_of(&phone, phone.message("王经理", TEXT), "no_policy");
    let phone = Phone::informed();
    assert_eq!(phone.agent().status().state, "no_consent");
    nothing_of(&phone, phone.message("王经理", TEXT), "no_consent");
    phone.prove();
    assert!(phone.agent().status().proven.is_empty());
}

#[test]
fn a_grant_without_its_receipt_opens_nothing() {
    let phone = Phone::informed();
    phone
        .decide(&[Category::Messages], Decision::Granted)
        .expect("recorded");
    assert_eq!(phone.agent().status().grant, "waiting");
    nothing_of(&phone, phone.message("王经理", TEXT), "no_consent");
    phone.answer(false, "password");
    assert_eq!(phone.agent().status().grant, "password");
    phone.answer(true, "");
    assert_eq!(phone.agent().status().granted, ["messages"]);
}

#[test]
fn out_of_scope_nothing_is_kept() {
    let phone = Phone::capturing();
    let mut other_user = phone.message("王经理", TEXT);
    other_user.user = 999;
    nothing_of(&phone, other_user, "other_user");
    let mut other_app = phone.message("王经理", TEXT);
    other_app.package = "com.bank".into();
    nothing_of(&phone, other_app, "other_app");
}

#[test]
fn off_hours_nothing_is_kept() {
    let phone = Phone::capturing();
    phone.clock.advance(9 * HOUR);
    assert_eq!(phone.agent().status().state, "off_hours");
    nothing_of(&phone, phone.message("王经理", TEXT), "off_hours");
}

#[test]
fn an_unproven_account_is_not_read() {
    let phone = Phone::informed();
    phone.grant(&Category::CONSENTED);
    assert_eq!(phone.agent().status().state, "off_account");
    nothing_of(&phone, phone.message("王经理", TEXT), "unproven");
    phone.prove();
    assert_eq!(phone.agent().status().proven, ["acc-1"]);
    phone.see(phone.page(".plugin.account.ui.LoginPasswordUI", TEXT));
    assert_eq!(phone.agent().status().state, "off_account");
    assert!(!phone.is_on_disk(TEXT));
}

#[test]
fn another_account_on_the_page_ends_the_proof() {
    let phone = Phone::capturing();
    let window = ".plugin.setting.ui.setting.SettingsPersonalInfoUI";
    phone.see(phone.page(window, "微信号：wxid_private"));
    assert_eq!(phone.agent().status().state, "off_account");
    assert!(!phone.is_on_disk("wxid_private"));
}

#[test]
fn a_start_begins_unproven() {
    let mut phone = Phone::capturing();
    phone.start();
    assert_eq!(phone.agent().status().state, "off_account");
    assert_eq!(phone.agent().status().granted.len(), 7);
}

#[test]
fn what_may_be_kept_is_kept_sealed() {
    let phone = Phone::capturing();
    let recorded = phone.see(phone.message("王经理", TEXT));
    assert_eq!(recorded.events, 1);
    let waiting = phone.waiting();
    assert_eq!(waiting.len(), 1);
    assert_eq!(waiting[0].text, TEXT);
    assert_eq!(waiting[0].at_ms, MORNING);
    assert!(!phone.is_on_disk(TEXT));
    assert!(!phone.is_on_disk("王经理"));
    assert_eq!(phone.agent().status().queued.get("messages"), Some(&1));
}

#[test]
fn a_category_that_was_not_granted_is_left_out() {
    let phone = Phone::informed();
    phone.grant(&[Category::Contacts]);
    phone.prove();
    let recorded = phone.see(phone.message("王经理", TEXT));
    assert_eq!(recorded.events, 0);
    assert!(!phone.is_on_disk(TEXT));
}

#[test]
fn a_pause_stops_capture_within_the_days_allowance() {
    let phone = Phone::capturing();
    let pause = |minutes| {
        phone.agent().record(pb::FromApp {
            body: Some(from_app::Body::Pause(pb::Pause { minutes })),
        })
    };
    pause(20).expect("paused");
    assert_eq!(phone.agent().status().state, "paused");
    nothing_of(&phone, phone.message("王经理", TEXT), "paused");
    phone.clock.advance(20 * 60_000);
    assert_eq!(phone.agent().status().state, "capturing");
    pause(60).expect("cut to what the day has left");
    phone.clock.advance(10 * 60_000);
    assert_eq!(phone.agent().status().state, "capturing");
    assert!(pause(1).is_err(), "thirty minutes are used up");
    phone.clock.advance(23 * HOUR + 30 * 60_000);
    pause(1).expect("a new day");
}

#[test]
fn a_private_conversation_is_dropped() {
    let phone = Phone::capturing();
    phone
        .agent()
        .record(pb::FromApp {
            body: Some(from_app::Body::PrivateMark(pb::PrivateMark {
                account: "acc-1".into(),
                conversation: "妈妈的家庭群".into(),
                reason: "family".into(),
                remove: false,
            })),
        })
        .expect("marked");
    phone.see(phone.message("妈妈的家庭群", TEXT));
    assert!(phone.waiting().is_empty());
    assert!(!phone.is_on_disk(TEXT));
    assert!(!phone.is_on_disk("妈妈的家庭群"));
}

#[test]
fn lost_signals_become_a_coverage_gap() {
    let phone = Phone::capturing();
    let message = pb::FromApp {
        body: Some(from_app::Body::Signals(pb::Signals {
            lost: 7,
            ..Default::default()
        })),
    };
    phone.agent().record(message).expect("recorded");
    let waiting = phone.waiting();
    assert_eq!(
        (waiting[0].kind(), waiting[0].count),
        (pb::Kind::Coverage, 7)
    );
}

#[test]
fn a_boot_without_an_anchor_is_timed_again_once_it_has_one() {
    let phone = Phone::capturing();
    phone.clock.reboot();
    // The wall clock is an hour slow; the truth comes with the anchor.
    phone.clock.set_wall(MORNING + 1_000);
    phone.see(phone.message("王经理", "早上好"));
    assert_eq!(phone.waiting()[0].time_source(), pb::TimeSource::Wall);
    phone.clock.advance(1_000);
    let truth = MORNING + 3_600_000;
    phone
        .agent()
        .shared
        .core()
        .anchored(truth + 1_000)
        .expect("anchored");
    let waiting = phone.waiting();
    assert_eq!(waiting[0].at_ms, truth);
    assert_eq!(waiting[0].time_source(), pb::TimeSource::Anchored);
    assert_eq!(waiting[0].wall_delta_ms, MORNING + 1_000 - truth);
}
