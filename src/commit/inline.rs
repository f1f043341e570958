//! Immutable lists: short ones are stored in place, long ones are shared, so that copying never allocates.

use alloc::{sync::Arc, vec::Vec};
use core::{
    fmt,
    hash::{Hash, Hasher},
    ops::Deref,
};

/// An immutable list. Up to `N` items are stored in place; longer lists are shared by their clones.
#[derive(Clone)]
pub(crate) enum InlineList<T, const N: usize> {
    InPlace(u8, [T; N]),
    Shared(Arc<[T]>),
}

impl<T: Copy + Default, const N: usize> From<&[T]> for InlineList<T, N> {
    fn from(items: &[T]) -> Self {
        let mut place = [T::default(); N];
        match (u8::try_from(items.len()), place.get_mut(..items.len())) {
            (Ok(len), Some(part)) => {
                part.copy_from_slice(items);
                Self::InPlace(len, place)
            }
            _ => Self::Shared(items.into()),
        }
    }
}

impl<T: Copy + Default, const N: usize> FromIterator<T> for InlineList<T, N> {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        let mut items = items.into_iter();
        let (mut len, mut place) = (0, [T::default(); N]);
        for slot in &mut place {
            let Some(item) = items.next() else { return Self::InPlace(len, place) };
            *slot = item;
            len = len.saturating_add(1);
        }
        match items.next() {
            None => Self::InPlace(len, place),
            Some(next) => Self::Shared(place.into_iter().chain([next]).chain(items).collect::<Vec<T>>().into()),
        }
    }
}

impl<T: PartialEq, const N: usize> InlineList<T, N> {
    /// The index of `item`, if the list is stored in place. `None` says nothing about a longer list.
    #[inline]
    pub(crate) fn position_in_place(&self, item: &T) -> Option<usize> {
        match self {
            Self::InPlace(len, items) => {
                items.iter().position(|other| other == item).filter(|place| *place < usize::from(*len))
            }
            Self::Shared(_) => None,
        }
    }
}

impl<T, const N: usize> InlineList<T, N> {
    /// How many bytes are not in place.
    #[inline]
    pub(crate) fn shared_bytes(&self) -> usize {
        match self {
            Self::InPlace(..) => 0,
            Self::Shared(items) => size_of_val::<[T]>(items),
        }
    }
}

impl<T, const N: usize> Deref for InlineList<T, N> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        match self {
            Self::InPlace(len, items) => items.get(..usize::from(*len)).unwrap_or_default(),
            Self::Shared(items) => items,
        }
    }
}

impl<T: fmt::Debug, const N: usize> fmt::Debug for InlineList<T, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: PartialEq, const N: usize> PartialEq for InlineList<T, N> {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            // Unused slots hold defaults, and two lists of equal length are stored the same way.
            (Self::InPlace(len, items), Self::InPlace(others, other)) => len == others && items == other,
            _ => **self == **other,
        }
    }
}

impl<T: Eq, const N: usize> Eq for InlineList<T, N> {}

impl<T: Hash, const N: usize> Hash for InlineList<T, N> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (**self).hash(state);
    }
}

#[cfg(all(test, feature = "std"))]
#[allow(clippy::arithmetic_side_effects, reason = "a test may panic")]
mod tests {
    use alloc::{format, vec::Vec};
    use core::hash::BuildHasher;

    use proptest::prelude::*;

    use super::InlineList;

    const ROOM: usize = 3;

    type List = InlineList<u8, ROOM>;

    fn items() -> impl Strategy<Value = Vec<u8>> {
        prop::collection::vec(0..3_u8, 0..6)
    }

    proptest! {
        #[test]
        fn a_list_is_what_it_was_made_of_however_it_is_stored(one in items(), other in items()) {
            let (list, collected): (List, List) = (one.as_slice().into(), one.iter().copied().collect());
            for list in [&list, &collected] {
                prop_assert_eq!(&**list, one.as_slice());
                prop_assert_eq!(matches!(list, List::InPlace(..)), one.len() <= ROOM);
                prop_assert_eq!(format!("{list:?}"), format!("{one:?}"));
                let hasher = foldhash::fast::FixedState::default();
                prop_assert_eq!(hasher.hash_one(list), hasher.hash_one(&one));
                prop_assert_eq!(*list == List::from(other.as_slice()), one == other);
                for item in 0..4 {
                    let place = one.iter().position(|known| *known == item).filter(|_| one.len() <= ROOM);
                    prop_assert_eq!(list.position_in_place(&item), place);
                }
            }
        }
    }
}
