//! A small set of providers by their place in the fleet.

/// The most providers that one routing revision may name.
pub const MOST: usize = 128;

/// Places in the fleet, as bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProviderSet(u128);

impl ProviderSet {
    pub const EMPTY: Self = Self(0);

    /// Adds a place; one beyond the most that a revision may name is ignored.
    pub const fn insert(&mut self, place: usize) {
        if place < MOST {
            self.0 |= 1 << place;
        }
    }

    pub const fn contains(self, place: usize) -> bool {
        place < MOST && self.0 & (1 << place) != 0
    }

    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The places in it, lowest first.
    pub fn places(self) -> impl Iterator<Item = usize> {
        (0..MOST).filter(move |place| self.contains(*place))
    }

    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    #[must_use]
    pub const fn minus(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

impl FromIterator<usize> for ProviderSet {
    fn from_iter<I: IntoIterator<Item = usize>>(places: I) -> Self {
        let mut set = Self::EMPTY;
        places.into_iter().for_each(|place| set.insert(place));
        set
    }
}
