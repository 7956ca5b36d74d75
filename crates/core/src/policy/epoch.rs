//! When a session is valid.

use super::error::{EncodeError, TimeField};

/// The first and last second at which a session is valid, in seconds since 1970, each below 2^48.
///
/// 0 for the start means no start, 0 for the end no end. Both ends belong to it.
///
/// ```
/// use quorate_core::SessionEpoch;
///
/// let epoch = SessionEpoch::new(1_700_000_000, 1_700_086_400)?;
/// assert!(epoch.contains(1_700_086_400) && !epoch.contains(1_700_086_401));
/// assert!(SessionEpoch::UNLIMITED.contains(0));
/// # Ok::<(), quorate_core::EncodeError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct SessionEpoch {
    valid_after: u64,
    valid_until: u64,
}

impl SessionEpoch {
    /// Neither start nor end.
    pub const UNLIMITED: Self = Self { valid_after: 0, valid_until: 0 };

    /// The last time that can be encoded.
    pub const MAX_TIME: u64 = (1 << 48) - 1;

    /// An epoch from `valid_after` to `valid_until`, in seconds since 1970.
    ///
    /// # Errors
    /// [`EncodeError::TimeTooLarge`] for a time of 2^48 or more.
    pub const fn new(valid_after: u64, valid_until: u64) -> Result<Self, EncodeError> {
        if valid_after > Self::MAX_TIME {
            return Err(EncodeError::TimeTooLarge { field: TimeField::ValidAfter, value: valid_after });
        }
        if valid_until > Self::MAX_TIME {
            return Err(EncodeError::TimeTooLarge { field: TimeField::ValidUntil, value: valid_until });
        }
        Ok(Self { valid_after, valid_until })
    }

    /// The first second at which the session is valid; 0 means from the beginning.
    pub const fn valid_after(&self) -> u64 {
        self.valid_after
    }

    /// The last second at which the session is valid; 0 means without end.
    pub const fn valid_until(&self) -> u64 {
        self.valid_until
    }

    /// The end and the start as `abi.encodePacked` has two `uint48`: what leaves begin with.
    pub(crate) const fn packed(&self) -> [[u8; 6]; 2] {
        let [_, _, valid_until @ ..] = self.valid_until.to_be_bytes();
        let [_, _, valid_after @ ..] = self.valid_after.to_be_bytes();
        [valid_until, valid_after]
    }

    /// Whether the session is valid at `now`, in seconds since 1970.
    pub const fn contains(&self, now: u64) -> bool {
        self.valid_after <= now && (self.valid_until == 0 || now <= self.valid_until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_48_bits() {
        let max = SessionEpoch::MAX_TIME;
        assert_eq!(SessionEpoch::new(max, max).unwrap().valid_until(), max);
        assert_eq!(
            SessionEpoch::new(max + 1, 0),
            Err(EncodeError::TimeTooLarge { field: TimeField::ValidAfter, value: max + 1 })
        );
        assert_eq!(
            SessionEpoch::new(0, max + 1),
            Err(EncodeError::TimeTooLarge { field: TimeField::ValidUntil, value: max + 1 })
        );
    }

    #[test]
    fn both_ends_belong_to_it() {
        let epoch = SessionEpoch::new(10, 20).unwrap();
        assert_eq!([9, 10, 20, 21].map(|now| epoch.contains(now)), [false, true, true, false]);
    }
}
