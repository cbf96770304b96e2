//! Prices: decimal, exact, in millionths of a currency unit.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

const PER_UNIT: i64 = 1_000_000;
/// Beyond this a price is a typing error, and sums over segments could overflow.
const MAX: i64 = 1_000_000 * PER_UNIT;

/// An amount without its currency, ≥ 0. Shown with at least four decimals: `0.0100`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Amount(i64);

#[derive(Debug, thiserror::Error)]
#[error("not a price: a decimal from 0 to 1000000 with at most six decimals")]
pub struct NotAnAmount;

impl Amount {
    pub const ZERO: Self = Self(0);

    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// The price of `count` such things.
    #[must_use]
    pub const fn times(self, count: u32) -> Self {
        Self(self.0.saturating_mul(count as i64))
    }

    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (units, micros) = (self.0 / PER_UNIT, self.0 % PER_UNIT);
        if micros % 100 == 0 { write!(f, "{units}.{:04}", micros / 100) } else { write!(f, "{units}.{micros:06}") }
    }
}

impl FromStr for Amount {
    type Err = NotAnAmount;
    fn from_str(text: &str) -> Result<Self, NotAnAmount> {
        let (units, decimals) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |part: &str, most: usize| !part.is_empty() && part.len() <= most && part.bytes().all(|b| b.is_ascii_digit());
        if !digits(units, 7) || !digits(decimals, 6) {
            return Err(NotAnAmount);
        }
        let units: i64 = units.parse().map_err(|_| NotAnAmount)?;
        let decimals: i64 = format!("{decimals:0<6}").parse().map_err(|_| NotAnAmount)?;
        let micros = units * PER_UNIT + decimals;
        if micros > MAX { Err(NotAnAmount) } else { Ok(Self(micros)) }
    }
}

impl Serialize for Amount {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A decimal string, or a number as configuration files write it.
impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Text(String),
            Whole(u32),
            Number(f64),
        }
        let text = match Written::deserialize(deserializer)? {
            Written::Text(text) => text,
            Written::Whole(units) => units.to_string(),
            Written::Number(number) => {
                let fixed = format!("{number:.6}");
                fixed.trim_end_matches('0').trim_end_matches('.').to_owned()
            }
        };
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_exact_and_shown_with_four_decimals() {
        let price: Amount = "0.01".parse().unwrap();
        assert_eq!(price.times(3).to_string(), "0.0300");
        assert_eq!("0.000001".parse::<Amount>().unwrap().to_string(), "0.000001");
        assert_eq!("12".parse::<Amount>().unwrap().to_string(), "12.0000");
        for text in ["", ".", "1.", ".5", "-1", "1e3", "0.0000001", "99999999"] {
            assert!(text.parse::<Amount>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_number_in_a_file_is_read_as_it_is_written() {
        let read = |json: &str| serde_json::from_str::<Amount>(json).unwrap().to_string();
        assert_eq!((read("0.0100"), read("\"0.0100\""), read("2")), ("0.0100".into(), "0.0100".into(), "2.0000".into()));
    }
}
