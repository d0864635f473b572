//! Time separators of a chat page as moments.
//!
//! Invariant: a separator without a date is the latest such moment not after the signal; none is after it.

use jiff::civil::Date;

use crate::pack::Captured;

const MINUTE_MS: i64 = 60_000;
/// A phone's clock and the app's times may differ by this much.
const SKEW_MS: i64 = 2 * MINUTE_MS;
const DAY_MS: i64 = 24 * 60 * MINUTE_MS;

/// Unix milliseconds of the start of the minute a separator names.
pub(super) fn moment(found: &Captured<'_>, at_ms: i64, utc_offset_min: i32) -> Option<i64> {
    if !found.get("now").is_empty() {
        return Some(at_ms - at_ms.rem_euclid(MINUTE_MS));
    }
    if let Some(ago) = found.number("ago") {
        let then = at_ms.checked_sub(i64::from(ago) * MINUTE_MS)?;
        return Some(then - then.rem_euclid(MINUTE_MS));
    }
    if let Some(hours) = found.number("hours") {
        return at_ms.checked_sub(i64::from(hours) * 60 * MINUTE_MS);
    }
    let local_ms = at_ms.checked_add(i64::from(utc_offset_min) * MINUTE_MS)?;
    let today = local_ms.div_euclid(DAY_MS);
    let clock = clock_minutes(found)?;
    let day = match date_day(found, today) {
        Named::Day(day) => day,
        Named::Wrong => return None,
        Named::None => weekday_or_today(found, today),
    };
    let moment = day
        .checked_mul(DAY_MS)?
        .checked_add(i64::from(clock) * MINUTE_MS)?
        .checked_sub(i64::from(utc_offset_min) * MINUTE_MS)?;
    let undated = ["d0", "month", "day"]
        .iter()
        .all(|it| found.get(it).is_empty());
    let ahead = moment > at_ms.saturating_add(SKEW_MS);
    if undated && ahead {
        return Some(moment - DAY_MS);
    }
    // A date ahead of now was read the wrong way round.
    (!ahead).then_some(moment)
}

fn clock_minutes(found: &Captured<'_>) -> Option<u32> {
    let (mut hour, minute) = (found.number("hour")?, found.number("minute")?);
    if hour > 23 || minute > 59 {
        return None;
    }
    let is = |name: &str| !found.get(name).is_empty();
    if is("am") && hour == 12 {
        hour = 0;
    } else if (is("pm") && hour < 12) || (is("noon") && hour < 3) {
        hour += 12;
    }
    Some(hour * 60 + minute)
}

enum Named {
    Day(i64),
    Wrong,
    None,
}

fn date_day(found: &Captured<'_>, today: i64) -> Named {
    let month = found.number("month").or_else(|| {
        (1..=12).find(|it| {
            !found
                .get(MONTHS.get(*it as usize - 1).unwrap_or(&""))
                .is_empty()
        })
    });
    let (Some(month), Some(day)) = (month, found.number("day")) else {
        return Named::None;
    };
    let this_year = date_of(today).map_or(1970, |it| i32::from(it.year()));
    let in_year = |year: i32| {
        let date = Date::new(
            i16::try_from(year).ok()?,
            i8::try_from(month).ok()?,
            i8::try_from(day).ok()?,
        );
        date.ok().map(day_of)
    };
    let named = match found.number("year").and_then(|it| i32::try_from(it).ok()) {
        Some(year) if year < 100 => in_year(2000 + year),
        Some(year) => in_year(year),
        None => in_year(this_year)
            .filter(|day| *day <= today)
            .or_else(|| in_year(this_year - 1)),
    };
    named.map_or(Named::Wrong, Named::Day)
}

fn weekday_or_today(found: &Captured<'_>, today: i64) -> i64 {
    let is = |name: &str| !found.get(name).is_empty();
    if is("d1") {
        return today - 1;
    }
    if is("d2") {
        return today - 2;
    }
    // 1970-01-01 was a Thursday.
    let today_weekday = (today + 3).rem_euclid(7);
    WEEKDAYS
        .iter()
        .zip(0..)
        .find(|(name, _)| is(name))
        .map_or(today, |(_, weekday)| {
            // A separator names a weekday only for earlier days, so today's own is a week ago.
            match (today_weekday - weekday).rem_euclid(7) {
                0 => today - 7,
                days => today - days,
            }
        })
}

fn date_of(day: i64) -> Option<Date> {
    let days = jiff::Span::new().try_days(day).ok()?;
    Date::constant(1970, 1, 1).checked_add(days).ok()
}

fn day_of(date: Date) -> i64 {
    let epoch = Date::constant(1970, 1, 1);
    epoch
        .until(date)
        .map_or(0, |span| i64::from(span.get_days()))
}

const WEEKDAYS: [&str; 7] = ["w1", "w2", "w3", "w4", "w5", "w6", "w7"];
const MONTHS: [&str; 12] = [
    "m1", "m2", "m3", "m4", "m5", "m6", "m7", "m8", "m9", "m10", "m11", "m12",
];

#[cfg(test)]
mod tests {
    use crate::pack::{PackSet, Place};

    #[test]
    fn separators_are_moments() {
        let packs = PackSet::builtin();
        let (now, offset) =
            mingjing_proto::json::parse_rfc3339("2026-03-04T20:30:00+08:00", "t").expect("a time");
        for (text, expected) in [
            ("09:41", "2026-03-04T09:41:00+08:00"),
            ("上午9:41", "2026-03-04T09:41:00+08:00"),
            ("下午 3:05", "2026-03-04T15:05:00+08:00"),
            ("昨天 20:15", "2026-03-03T20:15:00+08:00"),
            ("星期一 09:00", "2026-03-02T09:00:00+08:00"),
            ("2026年3月1日 09:15", "2026-03-01T09:15:00+08:00"),
            ("11月20日 晚上8:00", "2025-11-20T20:00:00+08:00"),
            ("Yesterday 8:15 PM", "2026-03-03T20:15:00+08:00"),
            ("Mar 1, 2026 9:15 AM", "2026-03-01T09:15:00+08:00"),
            ("3/1/26 9:41 AM", "2026-03-01T09:41:00+08:00"),
            ("1 Mar 2026 9:15", "2026-03-01T09:15:00+08:00"),
            ("2026-03-01 9:15 PM", "2026-03-01T21:15:00+08:00"),
            ("5分钟前", "2026-03-04T20:25:00+08:00"),
            ("刚刚", "2026-03-04T20:30:00+08:00"),
        ] {
            let (_, found) = packs
                .first("com.tencent.mm", Place::Time, text)
                .expect("a separator");
            let moment = super::moment(&found, now, offset).expect("a moment");
            assert_eq!(
                mingjing_proto::json::rfc3339(moment, offset),
                expected,
                "{text}"
            );
        }
    }
}
