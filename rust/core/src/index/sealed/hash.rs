//! Tags as numbers.

use siphasher::sip::SipHasher13;
use uuid::Uuid;

/// Hashes tags with the store's id as the key: nobody who does not know the id can make tags collide. The hash is part of the
/// file format.
#[derive(Clone, Copy, Debug)]
pub(super) struct TagHasher {
    keyed: SipHasher13,
    is_weak: bool,
}

impl TagHasher {
    pub(super) fn new(store: Uuid) -> Self {
        // Tests see what collisions do in a store with this id.
        let is_weak = cfg!(test) && store == Uuid::max();
        Self { keyed: SipHasher13::new_with_key(store.as_bytes()), is_weak }
    }

    pub(super) fn hash(&self, tag: &str) -> u64 {
        let hash = self.keyed.hash(tag.as_bytes());
        if self.is_weak { hash & (7 << 61 | 1) } else { hash }
    }
}
