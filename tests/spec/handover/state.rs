//! A state of the handover's specification, and how large a world is.
//!
//! Fields have the names of the variables and constants of `docs/spec/Handover.tla`, which says what they mean.

use synod::commit::Vote;

use super::faults::Fault;

/// The largest world that a state has room for.
pub(super) const OLD: usize = 5;
pub(super) const VOTERS: usize = 3;
pub(super) const PARTICIPANTS: usize = 4;
pub(super) const BALLOTS: usize = 4;
pub(super) const ROUNDS: usize = 3;
pub(super) const LATER: usize = 8;

/// A set of numbers below 8: of ballots, rounds or acceptors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Set(pub(super) u8);

impl Set {
    pub(super) const EMPTY: Self = Self(0);

    /// The numbers below `end`.
    pub(super) fn below(end: usize) -> Self {
        Self(((1u16 << end) - 1) as u8)
    }

    pub(super) fn has(self, member: usize) -> bool {
        self.0 >> member & 1 == 1
    }

    pub(super) fn with(self, member: usize) -> Self {
        Self(self.0 | 1 << member)
    }

    pub(super) fn minus(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    pub(super) fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    pub(super) fn within(self, other: Self) -> bool {
        self.0 & !other.0 == 0
    }

    pub(super) fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(super) fn lowest(self) -> Option<usize> {
        (!self.is_empty()).then(|| self.0.trailing_zeros() as usize)
    }

    pub(super) fn highest(self) -> Option<usize> {
        (!self.is_empty()).then(|| self.0.ilog2() as usize)
    }

    pub(super) fn iter(self) -> impl Iterator<Item = usize> {
        (0..8).filter(move |member| self.has(*member))
    }
}

impl FromIterator<usize> for Set {
    fn from_iter<I: IntoIterator<Item = usize>>(members: I) -> Self {
        members.into_iter().fold(Self::EMPTY, Self::with)
    }
}

/// What a participant is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Status {
    #[default]
    Working,
    Prepared,
    Committed,
    Aborted,
}

impl Status {
    pub(super) fn has_finished(self) -> bool {
        matches!(self, Self::Committed | Self::Aborted)
    }
}

/// What the handover's value says of the transaction. Neither committed nor retired means aborted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Ending {
    Committed,
    Retired,
    Neither,
}

/// What an acceptor reported with its promise of a round.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Report {
    #[default]
    Nothing,
    Retired,
    /// The ballot accepted in each voter's instance.
    Ballots([Option<u8>; VOTERS]),
}

/// An acceptor of the epoch that ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Acceptor {
    pub(super) promised: [u8; VOTERS],
    pub(super) accepted: [Set; VOTERS],
    pub(super) lost: [Set; VOTERS],
    pub(super) round: u8,
    pub(super) endorsed: Set,
    pub(super) report: [Report; ROUNDS],
    pub(super) thawed: bool,
    pub(super) retired: bool,
    pub(super) joined: bool,
}

impl Acceptor {
    pub(super) fn frozen(&self) -> bool {
        self.round > 0 && !self.thawed
    }

    pub(super) fn remembers(&self, voter: usize) -> Set {
        self.accepted[voter].minus(self.lost[voter])
    }
}

/// A state. Participants are the voters and then the settled; rounds are counted from 1 and kept from 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct State {
    pub(super) status: [Status; PARTICIPANTS],
    pub(super) vote: [Option<Vote>; PARTICIPANTS],
    /// By voter and ballot. That of ballot 0 stays empty: it is the vote.
    pub(super) proposal: [[Option<Vote>; BALLOTS]; VOTERS],
    pub(super) old: [Acceptor; OLD],
    pub(super) ending: [Option<Ending>; ROUNDS],
    pub(super) new_knows: Set,
    pub(super) newest_knows: Set,
    pub(super) old_gone: bool,
    pub(super) new_gone: bool,
}

impl State {
    pub(super) fn value_at(&self, voter: usize, ballot: usize) -> Option<Vote> {
        if ballot == 0 { self.vote[voter] } else { self.proposal[voter][ballot] }
    }
}

/// How large a world is, and what is wrong in it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Extent {
    pub(super) voters: usize,
    pub(super) settled: usize,
    pub(super) old: usize,
    /// How many of the old acceptors, the last of them, have yet to join.
    pub(super) late: usize,
    pub(super) new: usize,
    pub(super) newest: usize,
    pub(super) top_ballot: usize,
    pub(super) top_round: usize,
    pub(super) flexible: bool,
    pub(super) repeats: bool,
    /// How many acceptors of each epoch, the last of them, are dead.
    pub(super) dead: [usize; 3],
    pub(super) fault: Option<Fault>,
}

impl Extent {
    /// One acceptor before and after, one voter and one participant that is settled, a ballot beside 0 and a round.
    pub(super) const SMALL: Self = Self {
        voters: 1,
        settled: 1,
        old: 1,
        late: 0,
        new: 1,
        newest: 0,
        top_ballot: 1,
        top_round: 1,
        flexible: false,
        repeats: false,
        dead: [0; 3],
        fault: None,
    };

    /// Changes what is asked for, as in `old=3 rounds=2 flexible`.
    ///
    /// # Panics
    ///
    /// If a word is unknown, or the world is larger than a state.
    pub(super) fn asked(words: &str) -> Self {
        let mut asked = Self::SMALL;
        for word in words.split_whitespace() {
            let (name, number) = word.split_once('=').unwrap_or((word, "1"));
            let number: usize = number.parse().unwrap_or_else(|_| panic!("HANDOVER: no number in {word}"));
            match name {
                "voters" => asked.voters = number,
                "settled" => asked.settled = number,
                "old" => asked.old = number,
                "late" => asked.late = number,
                "new" => asked.new = number,
                "newest" => asked.newest = number,
                "ballots" => asked.top_ballot = number,
                "rounds" => asked.top_round = number,
                "flexible" => asked.flexible = number > 0,
                "repeats" => asked.repeats = number > 0,
                "dead" => asked.dead[0] = number,
                "dead_new" => asked.dead[1] = number,
                "dead_newest" => asked.dead[2] = number,
                _ => panic!(
                    "HANDOVER: {name} is unknown; known are voters, settled, old, late, new, newest, ballots, rounds, \
                     flexible, repeats, dead, dead_new and dead_newest"
                ),
            }
        }
        asked
    }

    pub(super) fn participants(&self) -> usize {
        self.voters + self.settled
    }

    /// # Panics
    ///
    /// If the world is larger than a state.
    pub(super) fn initial(&self) -> State {
        let fits = [
            ("voters", self.voters, VOTERS),
            ("participants", self.participants(), PARTICIPANTS),
            ("old acceptors", self.old, OLD),
            ("late acceptors", self.late, self.old),
            ("new acceptors", self.new, LATER),
            ("newest acceptors", self.newest, LATER),
            ("ballots", self.top_ballot, BALLOTS - 1),
            ("rounds", self.top_round, ROUNDS),
        ];
        for (what, number, most) in fits {
            assert!(number <= most, "{number} {what} are too many: at most {most}");
        }
        let mut state = State::default();
        for settled in self.voters..self.participants() {
            state.status[settled] = Status::Prepared;
            state.vote[settled] = Some(Vote::Prepared);
        }
        for acceptor in 0..self.old - self.late {
            state.old[acceptor].joined = true;
        }
        state
    }
}
