//! States of the specification, packed into bits.
//!
//! For given numbers of resource managers, acceptors and ballots there are finitely many messages. The set of all that
//! were sent is one bit for each; `rmState` and `aState` are small numbers beside them.

use std::fmt::{self, Display, Formatter, Write};

use synod::commit::Vote;

/// How large a world is. The ballots are 0 to `ballots - 1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size {
    pub(crate) rms: usize,
    pub(crate) acceptors: usize,
    pub(crate) ballots: usize,
}

impl Display for Size {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let count = |number: usize, what: &str| format!("{number} {what}{}", if number == 1 { "" } else { "s" });
        let ballots: Vec<String> = (0..self.ballots).map(|bal| bal.to_string()).collect();
        let (rms, acceptors) = (count(self.rms, "resource manager"), count(self.acceptors, "acceptor"));
        write!(f, "{rms}, {acceptors}, ballots {{{}}}", ballots.join(","))
    }
}

/// `rmState[rm]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rm {
    Working,
    Prepared,
    Committed,
    Aborted,
}

/// A ballot and its value, where a value is accepted: `(bal, val)`, and none for `(-1, none)`.
pub(crate) type Accepted = Option<(usize, Vote)>;

/// `aState[rm][acc]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cell {
    pub(crate) mbal: usize,
    pub(crate) accepted: Accepted,
}

/// A state of the specification in `W` words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct State<const W: usize>([u64; W]);

/// Which bits of a state mean what.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    pub(crate) size: Size,
    cell_width: usize,
    cells: usize,
    one_a: usize,
    one_b: usize,
    two_a: usize,
    two_b: usize,
    pub(crate) commit: usize,
    pub(crate) abort: usize,
    bits: usize,
}

pub(crate) const VOTES: [Vote; 2] = [Vote::Prepared, Vote::Aborted];

impl<const W: usize> State<W> {
    pub(crate) fn has(&self, bit: usize) -> bool {
        self.0[bit / 64] >> (bit % 64) & 1 == 1
    }

    #[must_use]
    pub(crate) fn with(mut self, bit: usize) -> Self {
        self.0[bit / 64] |= 1 << (bit % 64);
        self
    }

    /// A number in bits of one word.
    fn number(&self, bit: usize, width: usize) -> usize {
        (self.0[bit / 64] >> (bit % 64) & ((1 << width) - 1)) as usize
    }

    fn with_number(mut self, bit: usize, width: usize, number: usize) -> Self {
        let word = &mut self.0[bit / 64];
        *word = *word & !(((1 << width) - 1) << (bit % 64)) | (number as u64) << (bit % 64);
        self
    }
}

impl Layout {
    pub(crate) fn new(size: Size) -> Self {
        let Size { rms, acceptors, ballots } = size;
        assert!(rms > 0 && acceptors > 0 && ballots > 0, "a world needs at least one of each: {size:?}");
        // Widths are powers of two and the numbers come first, so none of them lies across two words.
        let cell_values = (ballots * accepted_values(size)).next_power_of_two();
        let cell_width = (cell_values.trailing_zeros() as usize).next_power_of_two();
        let cells = (2 * rms).next_multiple_of(cell_width);
        let one_a = cells + rms * acceptors * cell_width;
        let one_b = one_a + rms * (ballots - 1);
        let two_a = one_b + rms * acceptors * (ballots - 1) * accepted_values(size);
        let two_b = two_a + rms * ballots * 2;
        let commit = two_b + rms * acceptors * ballots * 2;
        Self { size, cell_width, cells, one_a, one_b, two_a, two_b, commit, abort: commit + 1, bits: commit + 2 }
    }

    /// How many words a state takes.
    pub(crate) fn words(&self) -> usize {
        self.bits.div_ceil(64)
    }

    /// All resource managers working, `aState` all `(0, -1, none)`, and no message sent.
    pub(crate) fn initial<const W: usize>(&self) -> State<W> {
        assert!(self.bits <= 64 * W);
        State([0; W])
    }

    pub(crate) fn rm<const W: usize>(&self, state: &State<W>, rm: usize) -> Rm {
        [Rm::Working, Rm::Prepared, Rm::Committed, Rm::Aborted][state.number(2 * rm, 2)]
    }

    pub(crate) fn with_rm<const W: usize>(&self, state: State<W>, rm: usize, to: Rm) -> State<W> {
        state.with_number(2 * rm, 2, to as usize)
    }

    pub(crate) fn cell<const W: usize>(&self, state: &State<W>, rm: usize, acc: usize) -> Cell {
        let number = state.number(self.cell_at(rm, acc), self.cell_width);
        let values = accepted_values(self.size);
        Cell { mbal: number / values, accepted: accepted_of(number % values) }
    }

    pub(crate) fn with_cell<const W: usize>(&self, state: State<W>, rm: usize, acc: usize, cell: Cell) -> State<W> {
        let number = cell.mbal * accepted_values(self.size) + number_of(cell.accepted);
        state.with_number(self.cell_at(rm, acc), self.cell_width, number)
    }

    fn cell_at(&self, rm: usize, acc: usize) -> usize {
        self.cells + (rm * self.size.acceptors + acc) * self.cell_width
    }

    /// The bit of the message 1a(rm, bal).
    pub(crate) fn one_a(&self, rm: usize, bal: usize) -> usize {
        self.one_a + rm * (self.size.ballots - 1) + bal - 1
    }

    /// The bit of the message 1b(rm, mbal, bal, val, acc).
    pub(crate) fn one_b(&self, rm: usize, acc: usize, mbal: usize, accepted: Accepted) -> usize {
        let which = (rm * self.size.acceptors + acc) * (self.size.ballots - 1) + mbal - 1;
        self.one_b + which * accepted_values(self.size) + number_of(accepted)
    }

    /// The bit of the message 2a(rm, bal, val).
    pub(crate) fn two_a(&self, rm: usize, bal: usize, val: Vote) -> usize {
        self.two_a + (rm * self.size.ballots + bal) * 2 + val as usize
    }

    /// The bit of the message 2b(acc, rm, bal, val).
    pub(crate) fn two_b(&self, rm: usize, acc: usize, bal: usize, val: Vote) -> usize {
        self.two_b + ((rm * self.size.acceptors + acc) * self.size.ballots + bal) * 2 + val as usize
    }

    /// What an acceptor can have accepted: nothing, or a value in a ballot.
    pub(crate) fn acceptances(&self) -> impl Iterator<Item = Accepted> + use<> {
        (0..accepted_values(self.size)).map(accepted_of)
    }

    /// Whether all that was sent in `state` was sent in `other`, too.
    pub(crate) fn sent_within<const W: usize>(&self, state: &State<W>, other: &State<W>) -> bool {
        let messages = |word: usize| u64::MAX.checked_shl(self.one_a.saturating_sub(64 * word) as u32).unwrap_or(0);
        (0..W).all(|word| state.0[word] & !other.0[word] & messages(word) == 0)
    }

    /// The state in words, for those who look for what went wrong.
    pub(crate) fn describe<const W: usize>(&self, state: &State<W>) -> String {
        let mut text = String::new();
        let Size { rms, acceptors, ballots } = self.size;
        for rm in 0..rms {
            let _ = write!(text, "\n  rm {rm} {:?}; mbal and accepted of its acceptors:", self.rm(state, rm));
            for acc in 0..acceptors {
                let Cell { mbal, accepted } = self.cell(state, rm, acc);
                let _ = write!(text, " ({mbal}, {accepted:?})");
            }
            let _ = write!(text, "\n    sent:");
            let mut sent = |bit, name: String| {
                if state.has(bit) {
                    let _ = write!(text, " {name}");
                }
            };
            for bal in 0..ballots {
                if bal > 0 {
                    sent(self.one_a(rm, bal), format!("1a({bal})"));
                    for (acc, accepted) in (0..acceptors).flat_map(|acc| self.acceptances().map(move |a| (acc, a))) {
                        sent(self.one_b(rm, acc, bal, accepted), format!("1b({bal}, {accepted:?} by {acc})"));
                    }
                }
                for val in VOTES {
                    sent(self.two_a(rm, bal, val), format!("2a({bal}, {val:?})"));
                    for acc in 0..acceptors {
                        sent(self.two_b(rm, acc, bal, val), format!("2b({bal}, {val:?} by {acc})"));
                    }
                }
            }
        }
        for (bit, name) in [(self.commit, "Commit"), (self.abort, "Abort")] {
            if state.has(bit) {
                let _ = write!(text, "\n  {name} sent");
            }
        }
        text
    }
}

fn accepted_values(size: Size) -> usize {
    1 + 2 * size.ballots
}

fn number_of(accepted: Accepted) -> usize {
    accepted.map_or(0, |(bal, val)| 1 + 2 * bal + val as usize)
}

fn accepted_of(number: usize) -> Accepted {
    let number = number.checked_sub(1)?;
    Some((number / 2, VOTES[number % 2]))
}
