//! Quorum systems, and the machines that count voices, against a twin that tries every subset.

use std::collections::BTreeSet;

use proptest::{prelude::*, test_runner::FileFailurePersistence};
use synod::{
    Ballot, Effect, MAX_ACCEPTORS, Machine, Members, NodeId, Phase, QuorumError, QuorumSpec, Quorums,
    paxos::{Input, Learner, Message, Proposer, ProposerConfig},
};

const PHASES: [Phase; 2] = [Phase::Prepare, Phase::Accept];

/// The node at a place. Names neither ascend nor start at zero, so that a place is never mistaken for a name.
fn node(place: usize) -> NodeId {
    NodeId(1000 - 7 * place as u64)
}

fn nodes(count: usize) -> Vec<NodeId> {
    (0..count).map(node).collect()
}

/// A quorum system by its definition: a set of places is a bit mask, and every subset is weighed.
#[derive(Clone, Debug)]
struct Twin {
    weights: Vec<u64>,
    prepare: u64,
    accept: u64,
}

impl Twin {
    fn real(&self) -> Result<Quorums, QuorumError> {
        let members = self.weights.iter().enumerate().map(|(place, weight)| (node(place), *weight));
        Quorums::weighted(members, self.prepare, self.accept)
    }

    fn total(&self) -> u64 {
        self.weights.iter().sum()
    }

    fn subsets(&self) -> std::ops::Range<u32> {
        0..1 << self.weights.len()
    }

    fn weight(&self, mask: u32) -> u64 {
        self.weights.iter().enumerate().filter(|(place, _)| mask >> place & 1 == 1).map(|(_, weight)| weight).sum()
    }

    fn is_quorum(&self, phase: Phase, mask: u32) -> bool {
        self.weight(mask) >= if phase == Phase::Prepare { self.prepare } else { self.accept }
    }

    fn always_meet(&self) -> bool {
        let quorums = |phase| self.subsets().filter(move |mask| self.is_quorum(phase, *mask));
        quorums(Phase::Prepare).all(|one| quorums(Phase::Accept).all(|other| one & other != 0))
    }

    /// Whether some quorum can still come about without those who refused.
    fn is_possible(&self, phase: Phase, refused: u32) -> bool {
        self.subsets().any(|mask| mask & refused == 0 && self.is_quorum(phase, mask))
    }

    fn members(&self, quorums: &Quorums, mask: u32) -> Members {
        quorums.members((0..self.weights.len()).filter(|place| mask >> place & 1 == 1).map(node))
    }
}

/// Up to eight acceptors; thresholds also where none is possible.
fn twins() -> impl Strategy<Value = Twin> {
    prop::collection::vec(1..=6u64, 1..=8).prop_flat_map(|weights| {
        let total: u64 = weights.iter().sum();
        (Just(weights), 0..=total + 1, 0..=total + 1).prop_map(|(weights, prepare, accept)| Twin {
            weights,
            prepare,
            accept,
        })
    })
}

/// The same, where the thresholds make a quorum system.
fn sound_twins() -> impl Strategy<Value = Twin> {
    prop::collection::vec(1..=6u64, 1..=8).prop_flat_map(|weights| {
        let total: u64 = weights.iter().sum();
        (Just(weights), 1..=total).prop_flat_map(move |(weights, prepare)| {
            (Just(weights), Just(prepare), total - prepare + 1..=total).prop_map(|(weights, prepare, accept)| Twin {
                weights,
                prepare,
                accept,
            })
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_failure_persistence(FileFailurePersistence::WithSource("failures")))]

    #[test]
    fn whatever_is_built_has_quorums_that_always_meet(twin in twins()) {
        let possible = |quorum| quorum > 0 && quorum <= twin.total();
        let adds_up = twin.prepare + twin.accept > twin.total();
        match twin.real() {
            Ok(_) => prop_assert!(possible(twin.prepare) && possible(twin.accept) && adds_up && twin.always_meet()),
            Err(QuorumError::Impossible { quorum, total }) => {
                prop_assert!(!possible(quorum) && (quorum == twin.prepare || quorum == twin.accept));
                prop_assert_eq!(total, twin.total());
            }
            Err(error) => {
                prop_assert!(!adds_up);
                let (prepare, accept, total) = (twin.prepare, twin.accept, twin.total());
                prop_assert_eq!(error, QuorumError::NeedNotIntersect { prepare, accept, total });
            }
        }
    }

    #[test]
    fn exactly_the_sets_that_weigh_enough_are_quorums(twin in sound_twins()) {
        let quorums = twin.real().unwrap();
        for mask in twin.subsets() {
            let members = twin.members(&quorums, mask);
            prop_assert_eq!(members.count(), mask.count_ones() as usize);
            for phase in PHASES {
                prop_assert_eq!(quorums.is_quorum(phase, members), twin.is_quorum(phase, mask));
            }
        }
    }

    #[test]
    fn those_who_have_not_refused_are_a_quorum_as_long_as_trying_every_subset_finds_one(twin in sound_twins()) {
        let quorums = twin.real().unwrap();
        let everyone = quorums.members(quorums.nodes());
        for refused in twin.subsets() {
            let gone = (0..quorums.len()).filter(|place| refused >> place & 1 == 1);
            let others = gone.fold(everyone, Members::without);
            for phase in PHASES {
                prop_assert_eq!(quorums.is_quorum(phase, others), twin.is_possible(phase, refused));
            }
        }
    }

    #[test]
    fn the_first_accept_quorum_is_a_least_one_of_the_first_acceptors_and_has_the_node(
        twin in sound_twins(),
        with in 0..10usize,
    ) {
        let quorums = twin.real().unwrap();
        for with in [None, Some(node(with))] {
            let chosen = quorums.first_accept_quorum(with);
            prop_assert!(quorums.is_quorum(Phase::Accept, chosen));
            let place = with.and_then(|with| quorums.position(with));
            prop_assert!(place.is_none_or(|place| chosen.has(place)));
            for other in (0..quorums.len()).filter(|other| chosen.has(*other) && Some(*other) != place) {
                prop_assert!(!quorums.is_quorum(Phase::Accept, chosen.without(other)), "{other} is superfluous");
                let earlier = (0..other).chain(place).fold(Members::default(), Members::with);
                prop_assert!(!quorums.is_quorum(Phase::Accept, earlier), "{other} comes too late");
            }
        }
    }

    #[test]
    fn among_equals_the_first_accept_quorum_is_the_node_and_then_the_first_in_order(
        (count, accept) in (1..=8usize).prop_flat_map(|count| (Just(count), 1..=count)),
        with in 0..10usize,
    ) {
        let quorums = Quorums::flexible(nodes(count), count - accept + 1, accept).unwrap();
        let others = (0..count).filter(|place| *place != with);
        let expected: BTreeSet<_> = (0..count).filter(|place| *place == with).chain(others).take(accept).collect();
        let chosen = quorums.first_accept_quorum(Some(node(with)));
        prop_assert_eq!((0..count).filter(|place| chosen.has(*place)).collect::<BTreeSet<_>>(), expected.clone());
        prop_assert_eq!(quorums.nodes_of(chosen).collect::<Vec<_>>(), expected.into_iter().map(node).collect::<Vec<_>>());
    }

    #[test]
    fn among_equals_the_rule_of_sums_is_exact(count in 1..=8usize, prepare in 1..=8usize, accept in 1..=8usize) {
        prop_assume!(prepare <= count && accept <= count);
        let twin = Twin { weights: vec![1; count], prepare: prepare as u64, accept: accept as u64 };
        prop_assert_eq!(Quorums::flexible(nodes(count), prepare, accept).is_ok(), twin.always_meet());
        prop_assert_eq!(Quorums::flexible(nodes(count), prepare, accept), twin.real());
    }

    #[test]
    fn a_learner_counts_each_acceptor_once_and_every_ballot_by_itself(
        twin in sound_twins(),
        events in prop::collection::vec((0..10usize, 0..3usize), 0..40),
    ) {
        let mut learner = Learner::new(twin.real().unwrap());
        let mut accepted = [0u32; 3];
        let mut chosen = None;
        for (place, which) in events {
            let input = accepts(place, BALLOTS[which], which);
            let mut effects = Vec::new();
            let counted = learner.step_into(input, &mut effects);
            prop_assert_eq!(counted.is_ok(), place < twin.weights.len());
            if counted.is_ok() {
                accepted[which] |= 1 << place;
            }
            let decides = chosen.is_none() && twin.is_quorum(Phase::Accept, accepted[which]);
            prop_assert_eq!(effects, Vec::from_iter(decides.then_some(Effect::Decide(which))));
            chosen = chosen.or(decides.then_some(which));
            prop_assert_eq!(learner.chosen(), chosen.as_ref());
        }
    }

    #[test]
    fn a_proposer_counts_each_acceptor_once_in_either_phase_and_its_own_ballot_only(
        twin in sound_twins(),
        events in prop::collection::vec((any::<bool>(), 0..10usize, 0..4usize), 0..60),
    ) {
        let config = ProposerConfig::new(BALLOTS[0].node, twin.real().unwrap(), [BALLOTS[0].node]);
        let mut proposer = Proposer::new(config);
        proposer.step(Input::Propose(0));
        prop_assert_eq!(proposer.ballot(), Some(BALLOTS[0]));
        let (mut promised, mut accepted) = (0u32, 0u32);
        for (promises, place, which) in events {
            // Two in four are of the ballot that is counted.
            let ballot = [BALLOTS[0], BALLOTS[0], BALLOTS[1], BALLOTS[2]][which];
            let input = if promises { promises_nothing_accepted(place, ballot) } else { accepts(place, ballot, 0) };
            let mut effects = Vec::new();
            let counted = proposer.step_into(input, &mut effects);
            let proposed = twin.is_quorum(Phase::Prepare, promised);
            let bit = if ballot == BALLOTS[0] && place < twin.weights.len() { 1 << place } else { 0 };
            prop_assert_eq!(counted.is_ok(), bit != 0 && promises != proposed);
            if promises && !proposed {
                promised |= bit;
            } else if !promises && proposed {
                accepted |= bit;
            }
            let proposes = effects.iter().any(|effect| matches!(effect, Effect::Send { message: Message::Accept { .. }, .. }));
            prop_assert_eq!(proposes, !proposed && twin.is_quorum(Phase::Prepare, promised));
            prop_assert_eq!(proposer.chosen().is_some(), twin.is_quorum(Phase::Accept, accepted));
            if proposer.chosen().is_some() {
                break;
            }
        }
    }
}

/// The first one is the first that its node comes to.
const BALLOTS: [Ballot; 3] =
    [Ballot { round: 1, node: NodeId(1) }, Ballot { round: 2, node: NodeId(1) }, Ballot { round: 1, node: NodeId(2) }];

fn accepts(place: usize, ballot: Ballot, value: usize) -> Input<usize> {
    Input::Receive { from: node(place), message: Message::Accepted { ballot, value } }
}

fn promises_nothing_accepted(place: usize, ballot: Ballot) -> Input<usize> {
    Input::Receive { from: node(place), message: Message::Promise { ballot, accepted: None } }
}

/// The rule of sums is sufficient, not necessary: with weights of 2, 2 and 2, quorums of 3 and 3 always meet.
#[test]
fn a_system_that_is_refused_although_it_is_sound_has_an_equal_that_is_built() {
    let mut refused = 0;
    for weights in (1..=4).flat_map(|count| (0..4u32.pow(count)).map(move |code| base_four(code, count))) {
        let total: u64 = weights.iter().sum();
        for (prepare, accept) in (1..=total).flat_map(|prepare| (1..=total).map(move |accept| (prepare, accept))) {
            let twin = Twin { weights: weights.clone(), prepare, accept };
            if twin.real().is_ok() || !twin.always_meet() {
                continue;
            }
            refused += 1;
            let attainable = twin.subsets().map(|mask| twin.weight(mask)).filter(|weight| *weight >= prepare);
            let equal = Twin { prepare: attainable.min().unwrap(), ..twin.clone() };
            assert!(equal.real().is_ok(), "{twin:?}");
            let same = |mask| equal.is_quorum(Phase::Prepare, mask) == twin.is_quorum(Phase::Prepare, mask);
            assert!(twin.subsets().all(same), "{twin:?}");
        }
    }
    assert!(refused > 0);
}

/// Weights of 1 to 4, by the digits of a number.
fn base_four(code: u32, count: u32) -> Vec<u64> {
    (0..count).map(|place| u64::from(code / 4u32.pow(place) % 4 + 1)).collect()
}

#[test]
fn any_majority_is_a_quorum_in_both_phases_and_no_less() {
    for count in 1..=9usize {
        let quorums = Quorums::majority(nodes(count)).unwrap();
        for mask in 0u32..1 << count {
            let members = (0..count).filter(|place| mask >> place & 1 == 1).fold(Members::default(), Members::with);
            for phase in PHASES {
                assert_eq!(quorums.is_quorum(phase, members), 2 * mask.count_ones() as usize > count);
            }
        }
    }
}

#[test]
fn what_is_no_quorum_system_is_refused_with_the_reason() {
    use QuorumError::*;
    let [a, b] = [NodeId(1), NodeId(2)];
    let none: [NodeId; 0] = [];
    let heavy = u64::MAX / 2 + 1;
    let cases = [
        (Quorums::majority(none), Empty),
        (Quorums::flexible(none, 1, 1), Empty),
        (Quorums::weighted([], 1, 1), Empty),
        (Quorums::majority([a, b, a]), Repeated(a)),
        (Quorums::flexible([b, a, b], 2, 2), Repeated(b)),
        (Quorums::weighted([(a, 1), (b, 1), (b, 1)], 2, 2), Repeated(b)),
        (Quorums::weighted([(a, 1), (b, 0)], 1, 1), Weightless(b)),
        (Quorums::weighted([(a, heavy), (b, heavy)], heavy, heavy), TooHeavy),
        (Quorums::flexible([a, b], 0, 2), Impossible { quorum: 0, total: 2 }),
        (Quorums::flexible([a, b], 2, 0), Impossible { quorum: 0, total: 2 }),
        (Quorums::flexible([a, b], 3, 1), Impossible { quorum: 3, total: 2 }),
        (Quorums::flexible([a, b], 1, 3), Impossible { quorum: 3, total: 2 }),
        (Quorums::flexible([a, b], 1, 1), NeedNotIntersect { prepare: 1, accept: 1, total: 2 }),
        (Quorums::weighted([(a, 3), (b, 2)], 2, 3), NeedNotIntersect { prepare: 2, accept: 3, total: 5 }),
        (Quorums::majority(nodes(MAX_ACCEPTORS + 1)), TooMany),
        (Quorums::weighted((0..=128).map(|id| (NodeId(id), 1)), 65, 65), TooMany),
    ];
    for (place, (built, expected)) in cases.into_iter().enumerate() {
        assert_eq!(built, Err(expected), "case {place}");
    }
}

#[test]
fn the_heaviest_weights_that_fit_make_a_quorum_system() {
    let [a, b] = [NodeId(1), NodeId(2)];
    let quorums = Quorums::weighted([(a, u64::MAX - 1), (b, 1)], u64::MAX, u64::MAX).unwrap();
    assert!(quorums.is_quorum(Phase::Prepare, quorums.members([a, b])));
    assert!(!quorums.is_quorum(Phase::Prepare, quorums.members([a])));
    assert!(!quorums.is_quorum(Phase::Accept, quorums.members([a, b]).without(1)));
}

#[test]
fn endless_lists_of_acceptors_are_refused_and_not_awaited() {
    assert_eq!(Quorums::majority((0..).map(NodeId)), Err(QuorumError::TooMany));
    assert_eq!(Quorums::flexible((0..).map(NodeId), 1, 1), Err(QuorumError::TooMany));
    assert_eq!(Quorums::weighted((0..).map(|id| (NodeId(id), 1)), 1, 1), Err(QuorumError::TooMany));
}

#[test]
fn the_last_of_128_acceptors_counts_like_the_first() {
    let quorums = Quorums::majority(nodes(MAX_ACCEPTORS)).unwrap();
    assert_eq!(quorums.len(), 128);
    let last_half = quorums.members(nodes(128).into_iter().skip(63));
    assert!(quorums.is_quorum(Phase::Accept, last_half));
    assert!(!quorums.is_quorum(Phase::Accept, last_half.without(127)));
    let mut learner = Learner::new(quorums.clone());
    for place in [127, 127].into_iter().chain(64..127) {
        assert_eq!(learner.step(accepts(place, BALLOTS[0], 0)), []);
    }
    assert_eq!(learner.step(accepts(63, BALLOTS[0], 0)), [Effect::Decide(0)]);
    assert_eq!(quorums.position(node(127)), Some(127));
}

#[test]
fn acceptors_keep_their_configured_order_and_strangers_have_no_place() {
    let quorums = Quorums::majority(nodes(5)).unwrap();
    assert_eq!(quorums.nodes().collect::<Vec<_>>(), nodes(5));
    assert!((0..5).all(|place| quorums.position(node(place)) == Some(place) && quorums.contains(node(place))));
    assert_eq!((quorums.position(node(5)), quorums.contains(node(5))), (None, false));
    assert_eq!(quorums.members([node(5), node(2), node(0), node(2)]).count(), 2);
    let some = quorums.members([node(4), node(1)]);
    assert_eq!(quorums.nodes_of(some).collect::<Vec<_>>(), [node(1), node(4)]);
}

#[test]
fn a_place_that_no_acceptor_can_have_is_in_no_set() {
    let members = Members::default().with(3);
    for place in [128, 129, usize::MAX] {
        assert_eq!(members.with(place), members);
        assert_eq!(members.without(place), members);
        assert!(!members.has(place));
    }
    assert_eq!(members.without(3), Members::default());
}

#[test]
fn plain_data_is_checked_like_everything_else() {
    let quorums = Quorums::flexible(nodes(4), 3, 2).unwrap();
    let spec = QuorumSpec::from(quorums.clone());
    assert_eq!(
        spec,
        QuorumSpec { members: nodes(4).into_iter().map(|node| (node, 1)).collect(), prepare: 3, accept: 2 }
    );
    assert_eq!(Quorums::try_from(spec.clone()), Ok(quorums.clone()));
    let bad = QuorumSpec { prepare: 2, ..spec };
    assert_eq!(Quorums::try_from(bad.clone()), Err(QuorumError::NeedNotIntersect { prepare: 2, accept: 2, total: 4 }));

    let text = serde_json::to_string(&quorums).unwrap();
    assert_eq!(serde_json::from_str::<Quorums>(&text).unwrap(), quorums);
    let error = serde_json::from_str::<Quorums>(&serde_json::to_string(&bad).unwrap()).unwrap_err();
    assert!(error.to_string().contains("need not intersect"), "{error}");
}
