//! Phone and collector must agree, to the millisecond, on whether a moment is within the agreed hours:
//! daylight saving, holidays, leave, half-open ends (requirements O1 O3, wire.md §6).

use jiff::Timestamp;
use jiff::civil::{Date, date};
use jiff::tz::TimeZone;
use mingjing_proto::pb::{DayHours, MinuteSpan, Schedule, WeeklyHours};
use proptest::prelude::*;

/// Zones with every habit there is: none, an hour, half an hour, odd minutes, a skipped day.
const ZONES: [&str; 9] = [
    "Asia/Shanghai",
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "America/St_Johns",
    "Africa/Casablanca",
    "Pacific/Apia",
    "Asia/Kathmandu",
    "UTC",
];
const DAY_MS: i64 = 86_400_000;

fn span() -> impl Strategy<Value = (u32, u32)> {
    // Often at a whole hour, where the changes of the clock are.
    let minute = prop_oneof![0..=1440_u32, (0..=24_u32).prop_map(|hour| hour * 60)];
    (minute.clone(), minute).prop_map(|(one, other)| (one.min(other), one.max(other)))
}

fn schedule(near_day: i32) -> impl Strategy<Value = Schedule> {
    let weekly = prop::collection::vec((1..=7_u32, span()), 0..12);
    let spans = prop::collection::vec(span(), 0..3);
    let days = prop::collection::vec((-3..=3_i32, spans), 0..4);
    (prop::sample::select(&ZONES[..]), weekly, days).prop_map(move |(zone, weekly, days)| {
        Schedule {
            zone: zone.to_owned(),
            weekly: weekly
                .into_iter()
                .map(|(weekday, (from_minute, to_minute))| WeeklyHours {
                    weekday,
                    from_minute,
                    to_minute,
                })
                .collect(),
            days: days
                .into_iter()
                .map(|(offset, spans)| DayHours {
                    date: near_day + offset,
                    spans: spans
                        .into_iter()
                        .map(|(from_minute, to_minute)| MinuteSpan {
                            from_minute,
                            to_minute,
                        })
                        .collect(),
                    why: "holiday".to_owned(),
                })
                .collect(),
        }
    })
}

fn utc(date: Date) -> Timestamp {
    let midnight = date.at(0, 0, 0, 0);
    TimeZone::UTC
        .to_timestamp(midnight)
        .expect("a date of our time")
}

/// Moments near a change of some clock, at and beside the edges of minutes.
fn moments() -> impl Strategy<Value = i64> {
    let changes: Vec<i64> = ZONES
        .iter()
        .flat_map(|zone| {
            let zone = TimeZone::get(zone).expect("a zone the database has");
            let from = utc(date(2025, 1, 1));
            let next: Vec<i64> = zone
                .following(from)
                .take(6)
                .map(|change| change.timestamp().as_millisecond())
                .collect();
            next
        })
        .chain([utc(date(2026, 10, 1)).as_millisecond()])
        .collect();
    let near = (
        prop::sample::select(changes),
        -2 * 24 * 60..2 * 24 * 60_i64,
        prop::sample::select(&[-1, 0, 1, 59_999][..]),
    );
    near.prop_map(|(change, minutes, edge)| change + minutes * 60_000 + edge)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, ..ProptestConfig::default() })]

    #[test]
    fn phone_and_collector_agree_on_the_hours(
        (at_ms, schedule) in moments().prop_flat_map(|at_ms| {
            let day = i32::try_from(at_ms.div_euclid(DAY_MS)).expect("a day");
            (Just(at_ms), schedule(day))
        })
    ) {
        let phone = mingjing_agent::hours::Hours::new(&schedule).expect("a schedule");
        let collector = mingjing_collector::hours::Hours::new(schedule).expect("a schedule");
        prop_assert_eq!(phone.contains(at_ms), collector.open_at(at_ms));
        if let Some(since) = phone.since(at_ms) {
            // What was on the screen since then is within the same hours.
            prop_assert!(since <= at_ms && phone.contains(since));
        }
    }
}

/// What one accepts and the other does not would be captured and refused, or never captured.
#[test]
fn a_schedule_the_phone_refuses_is_never_open_wider_at_the_collector() {
    for zone in ["Mars/Base", "", "Asia/Shanghai2"] {
        let schedule = Schedule {
            zone: zone.to_owned(),
            ..Default::default()
        };
        assert!(
            mingjing_agent::hours::Hours::new(&schedule).is_err(),
            "{zone}"
        );
        assert!(
            mingjing_collector::hours::Hours::new(schedule).is_none(),
            "{zone}"
        );
    }
}
