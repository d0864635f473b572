//! Clocks that jump, boots without an anchor, hours that are judged anew (wire.md §6).

use super::*;

const DAY: i64 = 86_400_000;
const YEAR: i64 = 365 * DAY;

fn anchored(phone: &Phone, server_ms: i64) {
    let mut core = phone.agent().shared.core();
    core.anchored(server_ms).expect("anchored");
}

#[test]
fn a_wall_clock_that_jumps_moves_no_event_and_no_gate() {
    let phone = Phone::capturing();
    for jump in [YEAR, -YEAR, -3_600_000, 12 * 3_600_000] {
        phone.clock.set_wall(MORNING + jump);
        phone.clock.advance(1_000);
        assert_eq!(phone.agent().status().state, "capturing", "{jump}");
        phone.see(phone.message("王经理", &format!("钟跳了{jump}")));
        let waiting = phone.waiting();
        let last = waiting.last().expect("kept");
        assert!((MORNING..MORNING + 60_000).contains(&last.at_ms), "{jump}");
        assert_eq!(last.time_source(), pb::TimeSource::Anchored);
    }
}

/// A year ahead without an anchor: gated by that clock, timed right by the anchor that comes, and the
/// wrong clock has not moved the last known time.
#[test]
fn an_unanchored_year_ahead_is_forgotten_with_the_anchor() {
    let mut phone = Phone::capturing();
    phone.clock.reboot();
    phone.clock.set_wall(MORNING + YEAR + 2 * DAY);
    phone.start();
    phone.prove();
    phone.see(phone.message("王经理", "明年的钟"));
    assert_eq!(phone.waiting().len(), 1);
    phone.clock.advance(1_000);
    anchored(&phone, MORNING + 600_000);
    let waiting = phone.waiting();
    assert_eq!(waiting[0].time_source(), pb::TimeSource::Anchored);
    assert!(waiting[0].at_ms < MORNING + 600_000);
    phone.start();
    let now = phone.agent().shared.time.now();
    assert_eq!(now.at_ms, MORNING + 600_000);
}

/// A boot that never got an anchor keeps its wall clock, marked; the next boot's anchor does not move it.
#[test]
fn a_boot_that_never_had_an_anchor_keeps_its_wall_clock_and_says_so() {
    let mut phone = Phone::capturing();
    phone.clock.reboot();
    phone.clock.set_wall(MORNING + 1_800_000);
    phone.start();
    phone.prove();
    phone.see(phone.message("王经理", "没有锚的一天"));
    let at_ms = phone.waiting()[0].at_ms;
    phone.agent = None;
    phone.clock.reboot();
    phone.clock.set_wall(MORNING + 7_200_000);
    phone.start();
    anchored(&phone, MORNING + 7_200_000);
    let waiting = phone.waiting();
    assert_eq!(waiting[0].time_source(), pb::TimeSource::Wall);
    assert_eq!(waiting[0].at_ms, at_ms);
}

/// Captured within the hours of a wrong clock, off hours by the right one: a gap, not a record.
#[test]
fn what_turns_out_to_be_off_hours_becomes_a_gap() {
    let mut phone = Phone::capturing();
    phone.clock.reboot();
    phone.clock.set_wall(MORNING + 1_000);
    phone.start();
    phone.prove();
    phone.see(phone.message("王经理", "以为在上班"));
    assert_eq!(phone.waiting().len(), 1);
    // It is ten in the evening.
    anchored(&phone, MORNING + 12 * 3_600_000);
    assert!(phone.waiting().is_empty());
    let gaps = phone.gaps();
    assert_eq!(gaps.len(), 1);
    assert_eq!(gaps[0].reason(), pb::GapReason::OffHours);
    assert_eq!(gaps[0].counts[0].count, 1);
    assert!(!phone.is_on_disk("以为在上班"));
}
