//! Maps that forget what nobody asked of for long, so that a world of a thousand days fits into
//! memory.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hash, Hasher};

/// FNV-1a: the keys are our own.
#[derive(Clone, Copy, Debug)]
pub struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xCBF2_9CE4_8422_2325)
    }
}

impl Hasher for Fnv {
    fn finish(&self) -> u64 {
        self.0 ^ (self.0 >> 32)
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01B3);
        }
    }
}

/// A map with that hash.
pub type Map<K, V> = HashMap<K, V, BuildHasherDefault<Fnv>>;

/// What was put there or changed since the turn before the last one. Whoever turns it decides how
/// long that is.
#[derive(Clone, Debug)]
pub struct Aging<K, V> {
    young: Map<K, V>,
    old: Map<K, V>,
}

impl<K, V> Default for Aging<K, V> {
    fn default() -> Self {
        Self { young: Map::default(), old: Map::default() }
    }
}

impl<K: Eq + Hash, V> Aging<K, V> {
    pub fn get<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.young.get(key).or_else(|| self.old.get(key))
    }

    pub fn contains_key<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.get(key).is_some()
    }

    /// The value before, if any.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        let old = self.old.remove(&key);
        self.young.insert(key, value).or(old)
    }

    /// The value to be changed; it is young again.
    pub fn of(&mut self, key: K) -> &mut V
    where
        V: Default,
    {
        let old = self.old.remove(&key);
        self.young.entry(key).or_insert_with(|| old.unwrap_or_default())
    }

    /// All values.
    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.young.values_mut().chain(self.old.values_mut())
    }

    /// The value, if any, is young again.
    pub fn keep(&mut self, key: &K)
    where
        K: Clone,
    {
        if let Some(value) = self.old.remove(key) {
            self.young.insert(key.clone(), value);
        }
    }

    /// All of them.
    pub fn into_iter(self) -> impl Iterator<Item = (K, V)> {
        self.old.into_iter().chain(self.young)
    }

    /// What was not touched since the last turn is forgotten.
    pub fn turn(&mut self) {
        self.old = std::mem::take(&mut self.young);
    }
}

impl<K: Eq + Hash, V> FromIterator<(K, V)> for Aging<K, V> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        Self { young: pairs.into_iter().collect(), old: Map::default() }
    }
}
