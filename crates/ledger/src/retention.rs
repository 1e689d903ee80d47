//! How long free texts are kept.

use std::fmt;
use std::str::FromStr;

use jiff::{SignedDuration, Timestamp};

use crate::Error;

/// How long free texts are kept before a sweep erases them; the rows themselves stay.
///
/// The floor is six months, the least that the EU's AI Act asks deployers to keep logs for. Months are counted as 31
/// days and years as 366, so that no calendar makes a preset shorter than its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Retention {
    days: u32,
}

const PRESETS: [(&str, Retention); 3] =
    [("six-months", Retention::SIX_MONTHS), ("two-years", Retention::TWO_YEARS), ("ten-years", Retention::TEN_YEARS)];
const SECONDS_A_DAY: i64 = 24 * 60 * 60;

impl Retention {
    /// 186 days.
    pub const SIX_MONTHS: Self = Self { days: 6 * 31 };
    /// 732 days.
    pub const TWO_YEARS: Self = Self { days: 2 * 366 };
    /// 3660 days.
    pub const TEN_YEARS: Self = Self { days: 10 * 366 };
    /// The shortest there is.
    pub const FLOOR: Self = Self::SIX_MONTHS;

    /// Keeps texts for so many days.
    ///
    /// # Errors
    /// That is below the floor.
    pub fn of_days(days: u32) -> Result<Self, Error> {
        if days < Self::FLOOR.days {
            return Err(Error::BelowFloor { days, floor: Self::FLOOR.days });
        }
        Ok(Self { days })
    }

    /// How many days.
    pub fn days(self) -> u32 {
        self.days
    }

    /// Texts from before this time are no longer kept.
    pub(crate) fn cutoff(self, now: Timestamp) -> Timestamp {
        let kept = SignedDuration::from_secs(i64::from(self.days) * SECONDS_A_DAY);
        now.checked_sub(kept).unwrap_or(Timestamp::MIN)
    }
}

impl fmt::Display for Retention {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match PRESETS.iter().find(|(_, preset)| preset == self) {
            Some((name, _)) => f.write_str(name),
            None => write!(f, "{}-days", self.days),
        }
    }
}

impl FromStr for Retention {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        if let Some((_, preset)) = PRESETS.iter().find(|(name, _)| *name == text) {
            return Ok(*preset);
        }
        let days = text.strip_suffix("-days").and_then(|days| days.parse().ok());
        Self::of_days(days.ok_or_else(|| Error::Retention(text.chars().take(80).collect()))?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_retention_is_below_the_floor() {
        for (text, days) in
            [("six-months", 186), ("two-years", 732), ("ten-years", 3660), ("186-days", 186), ("400-days", 400)]
        {
            let retention: Retention = text.parse().unwrap();
            assert_eq!(retention.days(), days);
            assert_eq!(retention.to_string().parse::<Retention>().unwrap(), retention);
        }
        for text in ["185-days", "0-days"] {
            assert!(matches!(text.parse::<Retention>(), Err(Error::BelowFloor { .. })), "{text}");
        }
        for text in ["", "days", "-days", "one-year", "-400-days", "99999999999-days"] {
            assert!(matches!(text.parse::<Retention>(), Err(Error::Retention(_))), "{text}");
        }
    }
}
