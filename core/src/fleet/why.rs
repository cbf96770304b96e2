//! Why this provider: numbers while the message is hot, one line a person understands when it is stored or read.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use crate::{health::Signal, select::Select};

/// The reason for one choice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Why {
    pub manner: Manner,
    /// 0–100.
    pub score: u8,
    /// Configured weight, and the sum over all candidates of the route.
    pub weight: u32,
    pub of: u32,
    /// Who was passed over, as far as there was a reason.
    #[serde(default, skip_serializing_if = "SmallVec::is_empty")]
    pub passed: SmallVec<[Passed; 2]>,
}

/// How the choice came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Manner {
    /// By the route's way of selecting.
    Selected(Select),
    /// Nobody else was left.
    Only,
    /// To find out whether it is back.
    Probe,
    /// Everybody is out and this one is the least bad.
    LeastBad,
    /// Whoever is well was tried or is full, if there is anybody; this one is out, but fails a part of its calls only.
    PartlyIll,
}

/// A candidate that was not considered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Passed {
    pub provider: Arc<str>,
    pub because: Because,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Because {
    /// Out since so many seconds, by this signal.
    Out(Signal, u32),
    /// Calls hang, too few to be sure; nothing new is sent until they answer.
    Suspected,
    /// Paused by a person.
    Paused,
    /// Its rate is used up.
    Rate,
    /// Its slots are taken.
    InFlight,
    /// Tried before.
    Tried,
    /// Dearer than the message may be.
    Price,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "score {}, weight {} of {}", self.score, self.weight, self.of)?;
        match self.manner {
            Manner::Selected(Select::Weighted) => {}
            Manner::Selected(select) => write!(f, ", {select}")?,
            Manner::Only => f.write_str(", the only one left")?,
            Manner::Probe => f.write_str(", probe of an ejected provider")?,
            Manner::LeastBad => f.write_str(", all are out and this is the least bad")?,
            Manner::PartlyIll => f.write_str(", nobody else can take it and this one fails only a part of its calls")?,
        }
        for Passed { provider, because } in &self.passed {
            write!(f, "; {provider} ")?;
            match because {
                Because::Out(signal, seconds) => write!(f, "ejected {seconds} s ago: {signal}")?,
                Because::Suspected => f.write_str("held back: calls are hanging")?,
                Because::Paused => f.write_str("paused by an operator")?,
                Because::Rate => f.write_str("at its rate limit")?,
                Because::InFlight => f.write_str("at its limit of calls in flight")?,
                Because::Tried => f.write_str("tried before")?,
                Because::Price => f.write_str("too expensive")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_reads_as_one_line() {
        let out = Passed { provider: "tencent-main".into(), because: Because::Out(Signal::ConsecutiveTimeouts, 12) };
        let tried = Passed { provider: "b".into(), because: Because::Tried };
        let why = Why {
            manner: Manner::Selected(Select::Weighted),
            score: 96,
            weight: 100,
            of: 180,
            passed: SmallVec::from_vec(vec![out, tried]),
        };
        assert_eq!(why.to_string(), "score 96, weight 100 of 180; tencent-main ejected 12 s ago: consecutive_timeouts; b tried before");
        let stored = serde_json::to_string(&why).unwrap();
        assert_eq!(serde_json::from_str::<Why>(&stored).unwrap(), why);
    }
}
