//! Short lists, which are most lists here, without an allocation of their own.

use alloc::{boxed::Box, vec::Vec};
use core::{
    fmt,
    hash::{Hash, Hasher},
    ops::{Deref, DerefMut},
};

/// A list that never changes its length. Up to `N` items are kept in place.
#[derive(Clone)]
pub(crate) enum Short<T, const N: usize> {
    InPlace(u8, [T; N]),
    Boxed(Box<[T]>),
}

impl<T: Copy + Default, const N: usize> Short<T, N> {
    /// So many items, all of them the default.
    pub(crate) fn filled(len: usize) -> Self {
        match u8::try_from(len) {
            Ok(short) if len <= N => Self::InPlace(short, [T::default(); N]),
            _ => Self::Boxed(alloc::vec![T::default(); len].into()),
        }
    }
}

impl<T: Copy + Default, const N: usize> From<Vec<T>> for Short<T, N> {
    fn from(items: Vec<T>) -> Self {
        let mut place = [T::default(); N];
        match (u8::try_from(items.len()), place.get_mut(..items.len())) {
            (Ok(len), Some(part)) => {
                part.copy_from_slice(&items);
                Self::InPlace(len, place)
            }
            _ => Self::Boxed(items.into()),
        }
    }
}

impl<T: Copy + Default, const N: usize> FromIterator<T> for Short<T, N> {
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
            Some(next) => Self::Boxed(place.into_iter().chain([next]).chain(items).collect()),
        }
    }
}

impl<T, const N: usize> Deref for Short<T, N> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        match self {
            Self::InPlace(len, items) => items.get(..usize::from(*len)).unwrap_or_default(),
            Self::Boxed(items) => items,
        }
    }
}

impl<T, const N: usize> DerefMut for Short<T, N> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [T] {
        match self {
            Self::InPlace(len, items) => items.get_mut(..usize::from(*len)).unwrap_or_default(),
            Self::Boxed(items) => items,
        }
    }
}

impl<T: fmt::Debug, const N: usize> fmt::Debug for Short<T, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: PartialEq, const N: usize> PartialEq for Short<T, N> {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<T: Eq, const N: usize> Eq for Short<T, N> {}

impl<T: Hash, const N: usize> Hash for Short<T, N> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (**self).hash(state);
    }
}
