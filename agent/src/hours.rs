//! The agreed hours (requirements O1 O4, wire.md §6): may anything be looked at at this moment?
//!
//! Invariants: intervals are half-open and of the local wall clock in the schedule's own zone; a dated
//! entry replaces the weekly hours of that date; outside every interval the answer is no.

mod zones;

use jiff::Timestamp;
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;
use mingjing_proto::pb::{MinuteSpan, Schedule};

const DAY_MINUTES: u32 = 24 * 60;
const EPOCH: Date = Date::constant(1970, 1, 1);

/// A schedule that can't be used; capture stays off.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum HoursError {
    /// Not an IANA zone this app knows.
    #[error(
        "this phone knows no time zone of the schedule's name; update the phone or name another zone"
    )]
    Zone,
    /// An interval that ends before it begins, or outside the day.
    #[error("the schedule has an interval that is not within a day")]
    Span,
    /// Not Monday to Sunday.
    #[error("the schedule has a weekday outside 1 to 7")]
    Weekday,
}

type Span = (u32, u32);

/// A schedule that was checked.
#[derive(Clone, Debug)]
pub struct Hours {
    name: String,
    zone: TimeZone,
    weekly: [Vec<Span>; 7],
    days: Vec<(i32, Vec<Span>)>,
}

/// Sorted, without overlaps or empty spans.
fn normal(spans: impl Iterator<Item = Span>) -> Result<Vec<Span>, HoursError> {
    let mut spans: Vec<Span> = spans.collect();
    if spans
        .iter()
        .any(|(from, to)| from > to || *to > DAY_MINUTES)
    {
        return Err(HoursError::Span);
    }
    spans.retain(|(from, to)| from < to);
    spans.sort_unstable();
    let mut merged: Vec<Span> = Vec::new();
    for (from, to) in spans {
        match merged.last_mut() {
            Some(last) if from <= last.1 => last.1 = last.1.max(to),
            _ => merged.push((from, to)),
        }
    }
    Ok(merged)
}

fn within(inner: &[Span], outer: &[Span]) -> bool {
    inner
        .iter()
        .all(|(from, to)| outer.iter().any(|(low, high)| low <= from && to <= high))
}

impl Hours {
    /// The hours somebody agreed to. A schedule that can't be read (any more) allows no moment, and
    /// whatever would replace it is wider.
    pub fn agreed(schedule: &Schedule) -> Self {
        Self::new(schedule).unwrap_or_else(|_| Self {
            name: schedule.zone.clone(),
            zone: TimeZone::UTC,
            weekly: Default::default(),
            days: Vec::new(),
        })
    }

    /// Checks a schedule.
    pub fn new(schedule: &Schedule) -> Result<Self, HoursError> {
        let zone = zones::get(&schedule.zone).ok_or(HoursError::Zone)?;
        if schedule
            .weekly
            .iter()
            .any(|it| !(1..=7).contains(&it.weekday))
        {
            return Err(HoursError::Weekday);
        }
        let mut weekly: [Vec<Span>; 7] = Default::default();
        for (weekday, spans) in (1..).zip(&mut weekly) {
            let of_day = schedule.weekly.iter().filter(|it| it.weekday == weekday);
            *spans = normal(of_day.map(|it| (it.from_minute, it.to_minute)))?;
        }
        let span = |it: &MinuteSpan| (it.from_minute, it.to_minute);
        let days = schedule
            .days
            .iter()
            .map(|day| Ok((day.date, normal(day.spans.iter().map(span))?)))
            .collect::<Result<_, HoursError>>()?;
        Ok(Self {
            name: schedule.zone.clone(),
            zone,
            weekly,
            days,
        })
    }

    fn local(&self, at_ms: i64) -> Option<DateTime> {
        let at = Timestamp::from_millisecond(at_ms).ok()?;
        Some(self.zone.to_datetime(at))
    }

    fn spans(&self, date: i32) -> &[Span] {
        if let Some((_, spans)) = self.days.iter().find(|(day, _)| *day == date) {
            return spans;
        }
        // 1970-01-01 was a Thursday.
        let weekday = usize::try_from((date + 3).rem_euclid(7)).unwrap_or(0);
        &self.weekly[weekday]
    }

    /// When the interval around `at_ms` began; `None` outside the hours.
    pub fn since(&self, at_ms: i64) -> Option<i64> {
        let local = self.local(at_ms)?;
        let date = days_since_epoch(local.date());
        let minute = minute_of(local.time());
        let (from, _) = self
            .spans(date)
            .iter()
            .find(|(from, to)| (*from..*to).contains(&minute))?;
        let hour = i8::try_from(from / 60).ok()?;
        let minute = i8::try_from(from % 60).ok()?;
        let began = local.date().at(hour, minute, 0, 0);
        let began = self.zone.to_timestamp(began).ok()?;
        Some(began.as_millisecond().min(at_ms))
    }

    /// Whether `at_ms` lies within the hours.
    pub fn contains(&self, at_ms: i64) -> bool {
        self.since(at_ms).is_some()
    }

    /// The local date, days since 1970-01-01: what a day's pause is counted by.
    pub fn date(&self, at_ms: i64) -> i32 {
        self.local(at_ms)
            .map_or_else(|| crate::utc_day(at_ms), |it| days_since_epoch(it.date()))
    }

    /// Whether `self` covers any moment from `now_ms` on that `agreed` does not (O4: that needs a new
    /// notice and consent). Another zone counts as wider.
    pub fn is_wider_than(&self, agreed: &Self, now_ms: i64) -> bool {
        if self.name != agreed.name {
            return true;
        }
        let weekly = self
            .weekly
            .iter()
            .zip(&agreed.weekly)
            .any(|(ours, theirs)| !within(ours, theirs));
        let today = self.date(now_ms);
        let dates = self.days.iter().chain(&agreed.days).map(|(date, _)| *date);
        let dated = dates
            .filter(|date| *date >= today)
            .any(|date| !within(self.spans(date), agreed.spans(date)));
        weekly || dated
    }

    /// The weekly hours as text, such as `Mon–Fri 09:00–12:00, 13:00–18:00; Sat 09:00–12:00 (Asia/Shanghai)`.
    pub fn weekly_text(&self, weekday_names: [&str; 7]) -> String {
        let clock = |minute: u32| format!("{:02}:{:02}", minute / 60, minute % 60);
        let mut runs: Vec<String> = Vec::new();
        let mut first = 0;
        for run in self.weekly.chunk_by(|one, next| one == next) {
            let last = first + run.len() - 1;
            let spans: Vec<String> = run[0]
                .iter()
                .map(|(from, to)| format!("{}–{}", clock(*from), clock(*to)))
                .collect();
            if !spans.is_empty() {
                let (from, to) = (weekday_names[first], weekday_names[last]);
                let days = match run.len() {
                    1 => from.to_owned(),
                    _ => format!("{from}–{to}"),
                };
                runs.push(format!("{days} {}", spans.join(", ")));
            }
            first = last + 1;
        }
        format!("{} ({})", runs.join("; "), self.name)
    }
}

fn days_since_epoch(date: Date) -> i32 {
    (date - EPOCH).get_days()
}

fn minute_of(time: Time) -> u32 {
    let (hour, minute) = (time.hour(), time.minute());
    u32::try_from(i32::from(hour) * 60 + i32::from(minute)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use mingjing_proto::pb::{DayHours, WeeklyHours};

    use super::*;

    /// Monday to Friday, 9 to 12 and 13 to 18.
    fn office(zone: &str) -> Schedule {
        let weekly = (1..=5)
            .flat_map(|weekday| {
                [(540, 720), (780, 1080)].map(|(from_minute, to_minute)| WeeklyHours {
                    weekday,
                    from_minute,
                    to_minute,
                })
            })
            .collect();
        Schedule {
            zone: zone.into(),
            weekly,
            days: Vec::new(),
        }
    }

    fn ms(text: &str) -> i64 {
        text.parse::<Timestamp>().expect("a time").as_millisecond()
    }

    #[test]
    fn days_with_equal_hours_are_told_together() {
        let days = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
        let mut schedule = office("Asia/Shanghai");
        let text = |schedule: &Schedule| {
            let hours = Hours::new(schedule).expect("a schedule");
            hours.weekly_text(days)
        };
        assert_eq!(
            text(&schedule),
            "Mon–Fri 09:00–12:00, 13:00–18:00 (Asia/Shanghai)"
        );
        schedule.weekly.retain(|it| it.weekday != 3);
        schedule.weekly.push(WeeklyHours {
            weekday: 7,
            from_minute: 540,
            to_minute: 720,
        });
        assert_eq!(
            text(&schedule),
            "Mon–Tue 09:00–12:00, 13:00–18:00; Thu–Fri 09:00–12:00, 13:00–18:00; \
             Sun 09:00–12:00 (Asia/Shanghai)"
        );
    }

    #[test]
    fn hours_are_half_open_in_their_own_zone() {
        let mut schedule = office("Asia/Shanghai");
        // Tuesday 2026-03-03 off, Saturday 2026-03-07 worked in the morning.
        let day = |date: &str, spans: &[(u32, u32)], why: &str| DayHours {
            date: days_since_epoch(date.parse().expect("a date")),
            spans: spans
                .iter()
                .map(|(from, to)| MinuteSpan {
                    from_minute: *from,
                    to_minute: *to,
                })
                .collect(),
            why: why.into(),
        };
        schedule.days = vec![
            day("2026-03-03", &[], "holiday"),
            day("2026-03-07", &[(540, 720)], "extra"),
        ];
        let hours = Hours::new(&schedule).expect("a schedule");
        let cases = [
            ("2026-03-02T00:59:59.999Z", false),
            ("2026-03-02T01:00:00Z", true),
            ("2026-03-02T03:59:59.999Z", true),
            ("2026-03-02T04:00:00Z", false),
            ("2026-03-02T05:00:00Z", true),
            ("2026-03-02T10:00:00Z", false),
            ("2026-03-03T02:00:00Z", false),
            ("2026-03-07T02:00:00Z", true),
            ("2026-03-07T06:00:00Z", false),
            ("2026-03-08T02:00:00Z", false),
        ];
        for (at, expected) in cases {
            assert_eq!(hours.contains(ms(at)), expected, "{at}");
        }
        assert_eq!(
            hours.since(ms("2026-03-02T06:30:00Z")),
            Some(ms("2026-03-02T05:00:00Z"))
        );
    }

    #[test]
    fn daylight_saving_moves_with_the_wall_clock() {
        let hours = Hours::new(&office("Europe/Berlin")).expect("a schedule");
        assert!(!hours.contains(ms("2026-03-27T07:59:00Z")), "still winter");
        assert!(hours.contains(ms("2026-03-27T08:00:00Z")));
        assert!(hours.contains(ms("2026-03-30T07:00:00Z")), "summer");
        assert!(!hours.contains(ms("2026-03-30T16:00:00Z")));
    }

    #[test]
    fn widening_is_seen_whatever_form_it_takes() {
        let now = ms("2026-03-02T02:00:00Z");
        let agreed = Hours::new(&office("Asia/Shanghai")).expect("a schedule");
        let wider = |change: &dyn Fn(&mut Schedule)| {
            let mut schedule = office("Asia/Shanghai");
            change(&mut schedule);
            Hours::new(&schedule)
                .expect("a schedule")
                .is_wider_than(&agreed, now)
        };
        assert!(!wider(&|_| ()));
        assert!(!wider(&|it| it.weekly.truncate(3)));
        assert!(wider(&|it| it.weekly[1].to_minute = 1081));
        assert!(wider(&|it| it.zone = "Asia/Tokyo".into()));
        let extra = |date: &str| DayHours {
            date: days_since_epoch(date.parse().expect("a date")),
            spans: vec![MinuteSpan {
                from_minute: 0,
                to_minute: 60,
            }],
            why: "extra".into(),
        };
        assert!(wider(&|it| it.days = vec![extra("2026-03-08")]));
        assert!(!wider(&|it| it.days = vec![extra("2026-02-08")]), "past");
    }

    #[test]
    fn agreed_hours_that_cannot_be_read_any_more_allow_nothing_and_nothing_wider() {
        let now = ms("2026-03-02T02:00:00Z");
        let gone = Hours::agreed(&office("Mars/One"));
        assert!(!gone.contains(now));
        let offered = Hours::new(&office("Asia/Shanghai")).expect("a schedule");
        assert!(offered.is_wider_than(&gone, now));
        assert!(Hours::agreed(&office("Asia/Shanghai")).contains(now));
    }

    #[test]
    fn a_schedule_that_makes_no_sense_is_refused() {
        let with = |change: &dyn Fn(&mut Schedule)| {
            let mut schedule = office("Asia/Shanghai");
            change(&mut schedule);
            Hours::new(&schedule).map(|_| ())
        };
        assert_eq!(
            with(&|it| it.zone = "Mars/One".into()),
            Err(HoursError::Zone)
        );
        assert_eq!(
            with(&|it| it.weekly[0].to_minute = 1441),
            Err(HoursError::Span)
        );
        assert_eq!(
            with(&|it| it.weekly[0].weekday = 0),
            Err(HoursError::Weekday)
        );
    }
}
