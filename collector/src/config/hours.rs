//! Settings of working hours.

use jiff::civil::{Date, Time};
use mingjing_proto::pb;
use serde::Deserialize;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Hours {
    zone: String,
    weekdays: Vec<u32>,
    spans: Vec<String>,
    holidays: Vec<String>,
}

impl Hours {
    /// As phones and the store carry it.
    pub(super) fn schedule(&self) -> Result<pb::Schedule, String> {
        jiff::tz::TimeZone::get(&self.zone)
            .map_err(|_| format!("hours.zone {:?} is not an IANA zone", self.zone))?;
        let spans: Vec<_> = self
            .spans
            .iter()
            .map(|span| minutes(span))
            .collect::<Result<_, _>>()?;
        let mut weekly = Vec::new();
        for &weekday in &self.weekdays {
            if !(1..=7).contains(&weekday) {
                return Err(format!(
                    "hours.weekdays holds {weekday}; Monday is 1, Sunday 7"
                ));
            }
            weekly.extend(
                spans
                    .iter()
                    .map(|&(from_minute, to_minute)| pb::WeeklyHours {
                        weekday,
                        from_minute,
                        to_minute,
                    }),
            );
        }
        let days = self
            .holidays
            .iter()
            .map(|date| {
                let parsed: Date = date
                    .parse()
                    .map_err(|_| format!("hours.holidays holds {date:?}; write 2027-01-01"))?;
                Ok(pb::DayHours {
                    date: days_since_epoch(parsed),
                    spans: Vec::new(),
                    why: "holiday".to_owned(),
                })
            })
            .collect::<Result<_, String>>()?;
        Ok(pb::Schedule {
            zone: self.zone.clone(),
            weekly,
            days,
        })
    }
}

/// Days since 1970-01-01 of a civil date.
pub fn days_since_epoch(date: Date) -> i32 {
    let epoch = jiff::civil::date(1970, 1, 1);
    epoch.until(date).map_or(0, |span| span.get_days())
}

fn minutes(span: &str) -> Result<(u32, u32), String> {
    let wrong = || format!("hours.spans holds {span:?}; write \"08:30-12:00\"");
    let (from, to) = span.split_once('-').ok_or_else(wrong)?;
    let minute = |text: &str| {
        if text.trim() == "24:00" {
            return Ok(1440);
        }
        let time: Time = text.trim().parse().map_err(|_| wrong())?;
        u32::try_from(i32::from(time.hour()) * 60 + i32::from(time.minute())).map_err(|_| wrong())
    };
    let (from, to) = (minute(from)?, minute(to)?);
    if from >= to {
        return Err(wrong());
    }
    Ok((from, to))
}
