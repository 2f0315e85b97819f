//! Whose entries are whose: the mark of a layer in the keys of its entries.

use super::core::Core;
use std::fmt;

/// The mark of a layer.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Instance(Box<[u8]>);

const NAMED: &[u8] = b"named";

impl Instance {
    /// One that no other layer has. The number of the first layer of a cache means the same in every process; which of the
    /// others is the second is a matter of one program, so that their numbers stand beside something random.
    pub(super) fn next_of(core: &Core) -> Self {
        let number = core.next_instance().to_le_bytes();
        match u32::from_le_bytes(number) {
            0 => Self(number.into()),
            _ => Self([&number[..], &core.token().to_le_bytes()].concat().into()),
        }
    }

    /// That of all layers with a name. It is none that `next_of` makes: those have four bytes, or twenty, of which the
    /// first four are a number that no program counts to.
    pub(super) fn named(name: &str) -> Self {
        Self([NAMED, name.as_bytes()].concat().into())
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The first layer of a cache and those that were given a name: the others mean nothing in another process.
    pub(super) fn is_shared_between_processes(&self) -> bool {
        *self.0 == 0_u32.to_le_bytes() || self.0.starts_with(NAMED)
    }
}

impl fmt::Debug for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Instance({})", self.0.escape_ascii())
    }
}
