//! Sets of participants and their votes, beside plain sets.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use synod::commit::{Places, Vote, Votes};

/// Places on both sides of every boundary between words.
fn place() -> impl Strategy<Value = usize> {
    prop_oneof![8 => 0..4_usize, 4 => 60..68_usize, 2 => 126..130_usize, 1 => 0..1_000_usize]
}

fn set() -> impl Strategy<Value = BTreeSet<usize>> {
    prop::collection::btree_set(place(), 0..6)
}

fn places(set: &BTreeSet<usize>) -> Places {
    set.iter().copied().collect()
}

fn vote() -> impl Strategy<Value = Vote> {
    prop_oneof![Just(Vote::Prepared), Just(Vote::Aborted)]
}

proptest! {
    #[test]
    fn a_set_of_places_is_what_was_put_into_it(set in set(), probe in place()) {
        let collected = places(&set);
        let mut inserted = Places::default();
        set.iter().rev().for_each(|place| inserted.insert(*place));
        prop_assert_eq!(&collected, &inserted, "the order of insertion does not show");
        prop_assert_eq!(collected.iter().collect::<Vec<_>>(), set.iter().copied().collect::<Vec<_>>());
        prop_assert_eq!(collected.len(), set.len());
        prop_assert_eq!(collected.is_empty(), set.is_empty());
        prop_assert_eq!(collected.has(probe), set.contains(&probe));
        prop_assert_eq!(collected.is_within(probe), set.iter().all(|place| *place < probe));
    }

    #[test]
    fn sets_of_places_are_united_met_and_parted_as_sets_are(left in set(), right in set()) {
        let (a, b) = (places(&left), places(&right));
        prop_assert_eq!(a.union(&b), places(&left.union(&right).copied().collect()));
        prop_assert_eq!(a.intersection(&b), places(&left.intersection(&right).copied().collect()));
        prop_assert_eq!(a.difference(&b), places(&left.difference(&right).copied().collect()));
        prop_assert_eq!(a.is_subset(&b), left.is_subset(&right));
        prop_assert_eq!(a == b, left == right);
    }

    #[test]
    fn a_set_of_places_is_its_words_and_trailing_zeros_add_nothing(set in set(), zeros in 0..3_usize) {
        let whole = places(&set);
        let words: Vec<u64> = whole.words().collect();
        prop_assert!(words.len() == 1 || words.last() != Some(&0), "{:?}", words);
        let longer = words.into_iter().chain(std::iter::repeat_n(0, zeros)).collect();
        prop_assert_eq!(Places::from_words(longer), whole);
    }

    #[test]
    fn the_first_places_are_those_below_their_count(count in prop_oneof![0..5_usize, 62..67_usize, 127..130_usize]) {
        prop_assert_eq!(Places::first(count), (0..count).collect::<Places>());
    }

    #[test]
    fn votes_are_kept_by_place_and_the_first_of_a_place_stays(cast in prop::collection::vec((place(), vote()), 0..8)) {
        let votes: Votes = cast.iter().copied().collect();
        let mut model = BTreeMap::new();
        cast.iter().for_each(|(place, vote)| _ = model.entry(*place).or_insert(*vote));
        prop_assert_eq!(votes.iter().collect::<Vec<_>>(), model.iter().map(|(p, v)| (*p, *v)).collect::<Vec<_>>());
        prop_assert_eq!(votes.is_empty(), model.is_empty());
        for probe in 0..130 {
            prop_assert_eq!(votes.get(probe), model.get(&probe).copied());
        }
        prop_assert_eq!(Votes::new(votes.cast().clone(), votes.prepared().clone()), Some(votes));
    }

    #[test]
    fn nobody_is_prepared_without_having_voted(cast in set(), prepared in set()) {
        let votes = Votes::new(places(&cast), places(&prepared));
        prop_assert_eq!(votes.is_some(), prepared.is_subset(&cast));
    }
}
