//! Times, ids and amounts as people read them.
//!
//! Invariant: times are in the company's zone, `YYYY-MM-DD HH:mm:ss`.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan, ZonedDateTime};

/// A moment; a dash for none.
pub(super) fn time(at_ms: i64, zone: &TimeZone) -> String {
    match zoned(at_ms, zone) {
        Some(at) if at_ms > 0 => at.strftime("%Y-%m-%d %H:%M:%S").to_string(),
        _ => "—".to_owned(),
    }
}

/// Only the time of day.
pub(super) fn clock(at_ms: i64, zone: &TimeZone) -> String {
    zoned(at_ms, zone).map_or_else(|| "—".to_owned(), |at| at.strftime("%H:%M:%S").to_string())
}

/// Month and day of a day.
pub(super) fn day(at_ms: i64, zone: &TimeZone) -> String {
    zoned(at_ms, zone).map_or_else(String::new, |at| at.strftime("%m-%d").to_string())
}

fn zoned(at_ms: i64, zone: &TimeZone) -> Option<ZonedDateTime> {
    Some(
        Timestamp::from_millisecond(at_ms)
            .ok()?
            .to_zoned_datetime(zone.clone()),
    )
}

/// Begins of the last `days` days and the end of today, Unix milliseconds.
pub(super) fn days(now_ms: i64, days: i32, zone: &TimeZone) -> Vec<i64> {
    let Some(now) = zoned(now_ms, zone) else {
        return vec![0, now_ms];
    };
    (1 - days..=1)
        .filter_map(|offset| {
            let date = now.date().checked_add(offset.days()).ok()?;
            start_ms(date, zone)
        })
        .collect()
}

/// Begin of a date such as `2026-03-02`, and of the day after it.
pub(super) fn date_span(text: &str, zone: &TimeZone) -> Option<(i64, i64)> {
    let date: Date = text.parse().ok()?;
    Some((
        start_ms(date, zone)?,
        start_ms(date.tomorrow().ok()?, zone)?,
    ))
}

fn start_ms(date: Date, zone: &TimeZone) -> Option<i64> {
    let start = date.to_zoned_datetime(zone.clone()).ok()?;
    Some(start.timestamp().as_millisecond())
}

/// Yuan of an amount in fen.
pub(super) fn yuan(fen: i64) -> String {
    let sign = if fen < 0 { "-" } else { "" };
    format!(
        "¥{sign}{}.{:02}",
        fen.unsigned_abs() / 100,
        fen.unsigned_abs() % 100
    )
}

/// The first digits of an id, enough to tell ids apart on one page.
pub(super) fn short(id: &str) -> &str {
    id.get(..8).unwrap_or(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_begin_at_midnight_of_the_company() {
        let zone = TimeZone::get("Asia/Shanghai").unwrap();
        let bounds = days(1_772_416_800_000, 2, &zone);
        let text: Vec<_> = bounds.iter().map(|at| time(*at, &zone)).collect();
        assert_eq!(
            text,
            [
                "2026-03-01 00:00:00",
                "2026-03-02 00:00:00",
                "2026-03-03 00:00:00"
            ]
        );
        assert_eq!(date_span("2026-03-02", &zone), Some((bounds[1], bounds[2])));
        assert_eq!(date_span("gestern", &zone), None);
        assert_eq!(yuan(123_456), "¥1234.56");
    }
}
