//! Randomness that a seed repeats: xorshift64*.

/// A generator. Equal seeds give equal sequences.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// Any seed will do.
    pub fn new(seed: u64) -> Self {
        // Mixed as splitmix64 does, so that neighboring seeds have nothing in common.
        let mut state = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
        state = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        state = (state ^ (state >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        // Zero is the one state that xorshift never leaves.
        Self((state ^ (state >> 31)).max(1))
    }

    /// The next 64 bits.
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// A number below `limit`; 0 if that is 0.
    pub fn below(&mut self, limit: u64) -> u64 {
        (self.next() >> 11).checked_rem(limit).unwrap_or(0)
    }

    /// True in `percent` of a hundred cases.
    pub fn happens(&mut self, percent: u8) -> bool {
        self.below(100) < u64::from(percent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_itself_and_chances_are_as_named() {
        let draw = |seed| {
            let mut random = Random::new(seed);
            (0..1000).filter(|_| random.happens(30)).count()
        };
        assert_eq!(draw(7), draw(7));
        assert!((250..350).contains(&draw(7)), "{}", draw(7));
        let mut random = Random::new(0);
        assert!(!random.happens(0) && random.happens(100));
        assert_eq!(random.below(0), 0);
    }
}
