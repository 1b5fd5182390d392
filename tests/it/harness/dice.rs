//! Chance that can be had again, by its seed.

/// Throws the same for the same seed (SplitMix64).
pub struct Dice(u64);

impl Dice {
    /// By this seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// By the seed in `WSEXEC_SEED`, else by one of its own; says which.
    pub fn any() -> Self {
        let given = std::env::var("WSEXEC_SEED").ok();
        let seed = given.map_or_else(
            || u64::from_ne_bytes(wsexec::domain::random_bytes()),
            |text| text.parse().expect("WSEXEC_SEED is a number"),
        );
        println!("WSEXEC_SEED={seed}");
        Self(seed)
    }

    /// From 0 up to this, and not this.
    pub fn below(&mut self, limit: i64) -> i64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        i64::try_from((z ^ (z >> 31)) % u64::try_from(limit).unwrap()).unwrap()
    }
}
