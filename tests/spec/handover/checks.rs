//! What must hold in every state of the handover.

use synod::commit::Vote;

use super::{
    state::{Ending, Set, State, Status},
    steps::Steps,
    world::Handover,
};

/// A property of `docs/spec/Handover.tla`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Property {
    Agreement,
    Validity,
    OracleHolds,
    OneEnding,
    Lemma,
    RetiredIsFinished,
    CommittedIsPrepared,
    SuccessorsKnow,
    NobodyIsLeft,
}

impl Property {
    pub(super) const ALL: [Self; 9] = [
        Self::Agreement,
        Self::Validity,
        Self::OracleHolds,
        Self::OneEnding,
        Self::Lemma,
        Self::RetiredIsFinished,
        Self::CommittedIsPrepared,
        Self::SuccessorsKnow,
        Self::NobodyIsLeft,
    ];

    /// Whether it holds in this state.
    pub(super) fn holds(self, handover: &Handover, state: &State) -> bool {
        let participants = handover.extent.participants();
        let status = &state.status[..participants];
        let all_prepared = || state.vote[..participants].iter().all(|vote| *vote == Some(Vote::Prepared));
        let ended = |ending| handover.ending_chosen(state, ending) > 0;
        match self {
            Self::Agreement => !(status.contains(&Status::Committed) && status.contains(&Status::Aborted)),
            Self::Validity => !status.contains(&Status::Committed) || all_prepared(),
            Self::OracleHolds => {
                let [committed, aborted] =
                    [Status::Committed, Status::Aborted].map(|outcome| handover.told(state, outcome) > 0);
                !(committed && (aborted || status.contains(&Status::Aborted))
                    || aborted && status.contains(&Status::Committed))
            }
            Self::OneEnding => {
                [Ending::Committed, Ending::Retired, Ending::Neither].iter().filter(|ending| ended(**ending)).count()
                    <= 1
            }
            Self::Lemma => {
                handover.some_ending_chosen(state) == 0
                    || ended(Ending::Retired)
                    || (handover.chosen_commit(state) == 0 || ended(Ending::Committed))
                        && (handover.chosen_abort(state) == 0 || ended(Ending::Neither))
            }
            Self::RetiredIsFinished => !ended(Ending::Retired) || handover.finished(state),
            Self::CommittedIsPrepared => !ended(Ending::Committed) || all_prepared(),
            Self::SuccessorsKnow => {
                let every = |quorums: &[Set], knows| quorums.iter().all(|quorum| quorum.meets(knows));
                match (state.old_gone, state.new_gone) {
                    (false, _) => true,
                    (true, false) => every(&handover.new_majorities, state.new_knows),
                    (true, true) => every(&handover.newest_majorities, state.newest_knows),
                }
            }
            // No step is undone by another, so every run ends. It may end only where no fair step is left: there is no
            // other way to wait for ever.
            Self::NobodyIsLeft => {
                if !handover.can_decide() || !status.contains(&Status::Prepared) {
                    return true;
                }
                let mut next = Vec::new();
                let mut steps = Steps::new(&mut next);
                handover.fair_successors(state, &mut steps);
                !steps.are_none()
            }
        }
    }
}

/// *StaysFrozen*: a frozen acceptor promises and accepts nothing in the instances, and stays frozen.
pub(super) fn stays_frozen(before: &State, after: &State) -> bool {
    before.old.iter().zip(&after.old).all(|(before, after)| {
        !before.frozen() || after.frozen() && (before.promised, before.accepted) == (after.promised, after.accepted)
    })
}
