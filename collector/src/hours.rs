//! Whether a moment lies within an employee's agreed hours (requirements O1 O3).
//!
//! Invariants: spans are half-open in the schedule's own zone; a date with its own entry ignores the
//! weekly hours; a schedule that can't be read is never open.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use mingjing_proto::pb;

use crate::config::days_since_epoch;

/// A schedule, ready to be asked.
#[derive(Clone, Debug)]
pub struct Hours {
    zone: TimeZone,
    schedule: pb::Schedule,
}

/// A moment on the wall of the schedule's zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Local {
    /// Days since 1970-01-01, local calendar.
    pub date: i32,
    /// 1 Monday … 7 Sunday.
    pub weekday: u8,
    /// Minutes since local midnight.
    pub minute: u16,
}

impl Hours {
    /// `None` when the zone is unknown.
    pub fn new(schedule: pb::Schedule) -> Option<Self> {
        let zone = TimeZone::get(&schedule.zone).ok()?;
        Some(Self { zone, schedule })
    }

    /// As it is stored and given to phones.
    pub fn schedule(&self) -> &pb::Schedule {
        &self.schedule
    }

    /// The moment as the employee's wall clock shows it; `None` out of range.
    pub fn local(&self, at_ms: i64) -> Option<Local> {
        let at = Timestamp::from_millisecond(at_ms)
            .ok()?
            .to_zoned_datetime(self.zone.clone());
        let minute = i32::from(at.hour()) * 60 + i32::from(at.minute());
        Some(Local {
            date: days_since_epoch(at.date()),
            weekday: at.weekday().to_monday_one_offset().cast_unsigned(),
            minute: u16::try_from(minute).ok()?,
        })
    }

    /// Whether `at_ms` is within agreed hours.
    pub fn open_at(&self, at_ms: i64) -> bool {
        let Some(local) = self.local(at_ms) else {
            return false;
        };
        let minute = u32::from(local.minute);
        if let Some(day) = self.schedule.days.iter().find(|day| day.date == local.date) {
            return day
                .spans
                .iter()
                .any(|span| (span.from_minute..span.to_minute).contains(&minute));
        }
        self.schedule.weekly.iter().any(|span| {
            span.weekday == u32::from(local.weekday)
                && (span.from_minute..span.to_minute).contains(&minute)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_half_open_and_dates_override_weeks() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap().as_millisecond();
        let holiday = days_since_epoch(jiff::civil::date(2026, 10, 1));
        let hours = Hours::new(pb::Schedule {
            zone: "Asia/Shanghai".into(),
            weekly: (1..=5)
                .map(|weekday| pb::WeeklyHours {
                    weekday,
                    from_minute: 540,
                    to_minute: 1080,
                })
                .collect(),
            days: vec![pb::DayHours {
                date: holiday,
                spans: vec![],
                why: "holiday".into(),
            }],
        })
        .unwrap();
        for (time, open) in [
            ("2026-11-23T08:59:59.999+08:00", false),
            ("2026-11-23T09:00:00+08:00", true),
            ("2026-11-23T17:59:59.999+08:00", true),
            ("2026-11-23T18:00:00+08:00", false),
            ("2026-11-22T10:00:00+08:00", false),
            ("2026-10-01T10:00:00+08:00", false),
            ("2026-11-23T01:00:00Z", true),
        ] {
            assert_eq!(hours.open_at(at(time)), open, "{time}");
        }
        assert!(
            Hours::new(pb::Schedule {
                zone: "Mars/Base".into(),
                ..Default::default()
            })
            .is_none()
        );
    }
}
