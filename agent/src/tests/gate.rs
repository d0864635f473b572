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

/// A chat page with one bubble of the other side under a time separator.
fn chat_page(phone: &Phone, shown: &str, text: &str) -> pb::Signal {
    let node = |class: &str, text: &str, desc: &str, edges: [i32; 4]| pb::Node {
        class: format!("android.widget.{class}"),
        text: text.into(),
        desc: desc.into(),
        left: edges[0],
        top: edges[1],
        right: edges[2],
        bottom: edges[3],
        ..Default::default()
    };
    phone.signal(signal::Body::Screen(pb::Screen {
        window: format!("{APP}.ui.chatting.ChattingUI"),
        width: 1080,
        height: 2400,
        nodes: vec![
            node("TextView", "妈妈", "", [480, 120, 600, 184]),
            node("TextView", shown, "", [480, 250, 600, 294]),
            node("ImageView", "", "妈妈头像", [24, 334, 128, 438]),
            node("TextView", text, "", [150, 334, 630, 430]),
            node("EditText", "", "", [130, 2225, 800, 2325]),
        ],
        ..Default::default()
    }))
}

#[test]
fn an_evening_on_another_account_leaves_nothing_the_next_morning() {
    let phone = Phone::capturing();
    phone.clock.advance(9 * HOUR);
    phone.see(phone.page(".plugin.setting.ui.setting.SettingsSwitchAccountUI", ""));
    assert_eq!(phone.see(phone.message("妈妈", TEXT)).events, 0);
    assert_eq!(phone.see(chat_page(&phone, "19:00", TEXT)).events, 0);
    // 09:01: the page of the evening is still open, on an account nobody has shown.
    phone.clock.advance(14 * HOUR + 60_000);
    assert_eq!(phone.see(chat_page(&phone, "昨天 19:00", TEXT)).events, 0);
    assert_eq!(phone.agent().status().state, "off_account");
    phone.prove();
    // Proven again, what the page shows of the evening is history.
    assert_eq!(phone.see(chat_page(&phone, "昨天 19:00", TEXT)).events, 0);
    assert_eq!(phone.see(phone.message("王经理", "早上好")).events, 1);
    assert!(!phone.is_on_disk(TEXT));
    assert!(phone.waiting().iter().all(|it| it.text != TEXT));
}

#[test]
fn a_login_is_told_once_the_account_is_shown_again() {
    let phone = Phone::capturing();
    phone.see(phone.page(".plugin.account.ui.LoginPasswordUI", TEXT));
    assert_eq!(phone.see(phone.message("王经理", TEXT)).events, 0);
    phone.prove();
    let kinds: Vec<_> = phone.waiting().iter().map(pb::Activity::kind).collect();
    assert_eq!(kinds, [pb::Kind::AccountLogout, pb::Kind::AccountLogin]);
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
