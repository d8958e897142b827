//! When a permission ends, as people write and read it. All dates are in UTC.

use crate::{log::date, owner::control_message::PermissionEnd};

const DAY: u64 = 86_400;
const HOUR: u64 = 3600;
const MINUTE: u64 = 60;
/// The longest time from now: a hundred years.
const DAYS_MAX: u64 = 36_525;
/// What can be given.
const FORMS: &str = "a date such as 2027-01-31, a time from now such as 30d or 12h, or never is possible";

/// Reads an end: a date, whose day is the last, or a time from now on. `now`: seconds since 1970, `None` if the clock
/// is not right.
pub(super) fn end(text: &str, now: Option<u64>) -> Result<PermissionEnd, String> {
    if text == "never" {
        return Ok(PermissionEnd::Never);
    }
    for (unit, seconds) in [('d', DAY), ('h', HOUR)] {
        let Some(number) = text.strip_suffix(unit).filter(|number| is_number(number)) else { continue };
        let span = number.parse::<u64>().ok().filter(|n| (1..=DAYS_MAX * DAY / seconds).contains(n));
        let span =
            span.ok_or_else(|| format!("{text:?} is too short or too long: up to {DAYS_MAX} days are possible"))?;
        let now =
            now.ok_or("the clock of this board is not right yet, so a time from now cannot be counted: give a date")?;
        return Ok(PermissionEnd::At(now + span * seconds));
    }
    let day = day(text).ok_or_else(|| format!("{text:?} is no end of a permission: {FORMS}"))?;
    Ok(PermissionEnd::At((day + 1) * DAY))
}

/// Reads a span of time: `30m`, `8h` or `7d`. The result is in seconds, `max` at most.
pub(super) fn span(text: &str, max: u64) -> Result<u64, String> {
    for (unit, seconds) in [('d', DAY), ('h', HOUR), ('m', MINUTE)] {
        let Some(number) = text.strip_suffix(unit).filter(|number| is_number(number)) else { continue };
        let span = number.parse::<u64>().ok().and_then(|n| n.checked_mul(seconds));
        let span = span.filter(|span| (1..=max).contains(span));
        return span.ok_or_else(|| format!("{text:?} is too short or too long: up to {} days are possible", max / DAY));
    }
    Err(format!("{text:?} is no span of time: 30m, 8h or 7d is possible"))
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

/// The day with this date, counted from 1970-01-01.
fn day(text: &str) -> Option<u64> {
    let mut parts = text.split('-');
    let mut next = |digits: usize| {
        parts.next().filter(|part| part.len() == digits && is_number(part)).and_then(|part| part.parse::<u64>().ok())
    };
    let wanted = (next(4)?, next(2)?, next(2)?);
    if parts.next().is_some() || !(1970..=9999).contains(&wanted.0) {
        return None;
    }
    // No more days than these can have passed. A year has at least 365.
    let first = (wanted.0 - 1970) * 365;
    let last = (wanted.0 - 1969) * 366;
    (first..=last).find(|day| date(*day) == wanted)
}

/// A time for people: `2026-11-29 16:20`, in UTC.
pub(super) fn moment(seconds: u64) -> String {
    let (year, month, day) = date(seconds / DAY);
    format!("{year}-{month:02}-{day:02} {:02}:{:02}", seconds / HOUR % 24, seconds / 60 % 60)
}

/// The end of a permission for people. One at midnight is shown as its last day.
pub(super) fn end_text(until: Option<u64>) -> String {
    match until {
        None => "never".to_owned(),
        Some(until) if until > 0 && until % DAY == 0 => {
            let (year, month, day) = date(until / DAY - 1);
            format!("{year}-{month:02}-{day:02}")
        }
        Some(until) => moment(until),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-29 16:20 UTC.
    const NOW: u64 = 1_795_969_200;

    #[test]
    fn an_end_is_a_date_or_a_time_from_now() {
        assert_eq!(moment(NOW), "2026-11-29 16:20");
        for (text, expected) in [
            ("never", Some("never")),
            ("2027-01-31", Some("2027-01-31")),
            ("2028-02-29", Some("2028-02-29")),
            ("2026-12-31", Some("2026-12-31")),
            ("9999-12-31", Some("9999-12-31")),
            ("30d", Some("2026-12-29 16:20")),
            ("1h", Some("2026-11-29 17:20")),
            ("2027-02-29", None),
            ("2027-13-01", None),
            ("2027-00-10", None),
            ("2027-1-31", None),
            ("2027-01-31-", None),
            ("1969-12-31", None),
            ("+027-01-31", None),
            ("0d", None),
            ("-3d", None),
            ("36526d", None),
            ("99999999999999999999d", None),
            ("30", None),
            ("d", None),
            ("30m", None),
            ("tomorrow", None),
            ("", None),
        ] {
            let read = end(text, Some(NOW)).ok().map(|end| match end {
                PermissionEnd::Never => end_text(None),
                PermissionEnd::At(until) => end_text(Some(until)),
            });
            assert_eq!(read.as_deref(), expected, "{text:?}");
        }
    }

    #[test]
    fn a_span_of_time_has_a_unit_and_a_limit() {
        for (text, expected) in [
            ("30m", Some(1800)),
            ("8h", Some(28_800)),
            ("7d", Some(604_800)),
            ("31d", Some(2_678_400)),
            ("744h", Some(2_678_400)),
            ("32d", None),
            ("0m", None),
            ("-1h", None),
            ("1.5h", None),
            ("8", None),
            ("h", None),
            ("8 h", None),
            ("8s", None),
            ("99999999999999999999h", None),
            ("9999999999999999999d", None),
            ("", None),
        ] {
            assert_eq!(span(text, 31 * DAY).ok(), expected, "{text:?}");
        }
    }

    #[test]
    fn without_a_right_clock_only_dates_can_be_given() {
        assert!(end("30d", None).unwrap_err().contains("give a date"));
        assert_eq!(end("2027-01-31", None), end("2027-01-31", Some(NOW)));
    }
}
