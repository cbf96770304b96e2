//! Times as a person reads them, in the zone that they chose, relative to the backend's now.

use std::time::Duration;

use jiff::{ToSpan, Zoned, civil, tz::TimeZone};
use tidings_core::time::Timestamp;

/// The zone that a visitor reads in, and the moment their page is made.
#[derive(Clone, Debug)]
pub struct Times {
    zone: TimeZone,
    pub zone_name: String,
    now: Timestamp,
}

/// Spans that the search form offers by name: value, label.
pub const SPANS: [(&str, &str); 7] = [
    ("hour", "Last hour"),
    ("day", "Last 24 hours"),
    ("today", "Today"),
    ("evening", "Yesterday evening"),
    ("yesterday", "Yesterday"),
    ("week", "Last 7 days"),
    ("month", "Last 30 days"),
];

/// Yesterday evening begins at five: whoever says "evening" about six means it too.
const EVENING_HOUR: i8 = 17;

impl Times {
    /// Reads times in the zone called `zone_name` (IANA), in UTC when nobody knows it.
    pub fn new(zone_name: &str, now: Timestamp) -> Self {
        match TimeZone::get(zone_name) {
            Ok(zone) => Self { zone, zone_name: zone_name.to_owned(), now },
            Err(_) => Self { zone: TimeZone::UTC, zone_name: "UTC".to_owned(), now },
        }
    }

    pub const fn now(&self) -> Timestamp {
        self.now
    }

    fn zoned(&self, at: Timestamp) -> Zoned {
        jiff::Timestamp::from_millisecond(at.as_millis()).unwrap_or(jiff::Timestamp::UNIX_EPOCH).to_zoned(self.zone.clone())
    }

    /// `19:42:10` today, `20 Nov 19:42:10` this year, else with the year.
    pub fn short(&self, at: &Timestamp) -> String {
        let (at, now) = (self.zoned(*at), self.zoned(self.now));
        let format = if at.date() == now.date() {
            "%H:%M:%S"
        } else if at.year() == now.year() {
            "%-d %b %H:%M:%S"
        } else {
            "%-d %b %Y %H:%M"
        };
        at.strftime(format).to_string()
    }

    /// Everything: `Fri 20 Nov 2026, 19:42:10.123 CET`.
    pub fn full(&self, at: &Timestamp) -> String {
        self.zoned(*at).strftime("%a %-d %b %Y, %H:%M:%S%.3f %Z").to_string()
    }

    /// Within a second's precision of a message's steps: `19:42:10.123`.
    pub fn precise(&self, at: &Timestamp) -> String {
        self.zoned(*at).strftime("%H:%M:%S%.3f").to_string()
    }

    /// `14:05`: labels of an axis.
    pub fn minute(&self, at: &Timestamp) -> String {
        self.zoned(*at).strftime("%H:%M").to_string()
    }

    /// `20 Nov 2026`.
    pub fn date(&self, at: &Timestamp) -> String {
        self.zoned(*at).strftime("%-d %b %Y").to_string()
    }

    /// `3 min ago`, `in 2 h`.
    pub fn ago(&self, at: &Timestamp) -> String {
        if *at > self.now {
            return format!("in {}", coarse(at.since(self.now)));
        }
        match self.now.since(*at) {
            since if since < Duration::from_secs(1) => "now".to_owned(),
            since => format!("{} ago", coarse(since)),
        }
    }

    /// The span that a name of [`SPANS`] means now: from, and until where it has an end.
    pub fn span(&self, name: &str) -> Option<(Timestamp, Option<Timestamp>)> {
        let back = |hours: u64| Some((self.now - Duration::from_secs(hours * 3_600), None));
        let today = self.zoned(self.now).date();
        let yesterday = today.checked_sub(1.day()).ok()?;
        match name {
            "hour" => back(1),
            "day" => back(24),
            "week" => back(7 * 24),
            "month" => back(30 * 24),
            "today" => Some((self.at(today.at(0, 0, 0, 0))?, None)),
            "yesterday" => Some((self.at(yesterday.at(0, 0, 0, 0))?, self.at(today.at(0, 0, 0, 0)))),
            "evening" => Some((self.at(yesterday.at(EVENING_HOUR, 0, 0, 0))?, self.at(today.at(0, 0, 0, 0)))),
            _ => None,
        }
    }

    /// Reads what `<input type="datetime-local">` sends, in the visitor's zone.
    pub fn read(&self, text: &str) -> Option<Timestamp> {
        self.at(text.trim().parse::<civil::DateTime>().ok()?)
    }

    fn at(&self, local: civil::DateTime) -> Option<Timestamp> {
        let zoned = local.to_zoned(self.zone.clone()).ok()?;
        Some(Timestamp::from_millis(zoned.timestamp().as_millisecond()))
    }
}

/// A length of time in its two largest units at most: `340 ms`, `1.2 s`, `2 min 5 s`, `3 h`, `4 d`.
pub fn length(of: &Duration) -> String {
    let millis = of.as_millis();
    match of.as_secs() {
        _ if millis < 1_000 => format!("{millis} ms"),
        0..=9 => format!("{:.1} s", of.as_secs_f64()),
        seconds @ 10..=59 => format!("{seconds} s"),
        seconds @ 60..=599 if seconds % 60 != 0 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => coarse(*of),
    }
}

fn coarse(of: Duration) -> String {
    match of.as_secs() {
        seconds @ 0..=59 => format!("{seconds} s"),
        seconds @ 60..=5_399 => format!("{} min", seconds / 60),
        seconds @ 5_400..=172_799 => format!("{} h", (seconds + 1_800) / 3_600),
        seconds => format!("{} d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shanghai() -> Times {
        // 10:00 on 21 November in Shanghai.
        Times::new("Asia/Shanghai", "2026-11-21T02:00:00Z".parse().unwrap())
    }

    #[test]
    fn yesterday_evening_is_that_of_the_reader() {
        let (from, until) = shanghai().span("evening").unwrap();
        assert_eq!(from.to_string(), "2026-11-20T09:00:00.000Z");
        assert_eq!(until.unwrap().to_string(), "2026-11-20T16:00:00.000Z");
    }

    #[test]
    fn a_local_time_is_read_in_the_readers_zone() {
        assert_eq!(shanghai().read("2026-11-20T18:30").unwrap().to_string(), "2026-11-20T10:30:00.000Z");
        assert!(shanghai().read("yesterday").is_none());
    }

    #[test]
    fn times_say_as_much_as_is_needed() {
        let times = shanghai();
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        assert_eq!(times.short(&at("2026-11-21T01:59:30Z")), "09:59:30");
        assert_eq!(times.short(&at("2026-11-20T11:42:10Z")), "20 Nov 19:42:10");
        assert_eq!(times.ago(&at("2026-11-21T01:57:00Z")), "3 min ago");
        assert_eq!(times.ago(&at("2026-11-21T04:00:00Z")), "in 2 h");
        assert_eq!(times.full(&at("2026-11-20T11:42:10.123Z")), "Fri 20 Nov 2026, 19:42:10.123 CST");
    }

    #[test]
    fn lengths_have_at_most_two_units() {
        let said = |millis| length(&Duration::from_millis(millis));
        assert_eq!(
            (said(340), said(1_240), said(125_000), said(7_200_000)),
            ("340 ms".into(), "1.2 s".into(), "2 min 5 s".into(), "2 h".into())
        );
    }

    #[test]
    fn an_unknown_zone_reads_as_utc() {
        assert_eq!(Times::new("Atlantis/Centre", Timestamp::default()).zone_name, "UTC");
    }
}
