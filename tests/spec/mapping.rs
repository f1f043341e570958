//! What of the real machines is what in the specification.
//!
//! | specification | here |
//! |---|---|
//! | ballot 0 of an instance | round 0, of the instance's resource manager |
//! | ballots 1, 2, ... | the ballots of the transaction managers, in ascending order |
//! | `aState[rm][acc]` | the acceptor's record; a promise of none, or of the initial ballot, is `mbal` 0 |
//! | 1a, 2a | `Prepare`, `Accept`; one copy of what is sent to all acceptors |
//! | 1b, 2b | `Promise`, `Accepted` |
//! | nothing | `Reject`, and what proposers and learners have gathered so far |

use synod::{
    Ballot, Effect, NodeId, Quorums,
    commit::Vote,
    paxos::{AcceptorRecord, Message, ProposerConfig},
};

use super::layout::{Cell, Layout, State, VOTES};

pub(crate) struct Mapping {
    pub(crate) layout: Layout,
    pub(crate) acceptors: Quorums,
    /// Those above the initial ballot, in ascending order.
    ballots: Vec<Ballot>,
}

pub(crate) fn rm_node(rm: usize) -> NodeId {
    NodeId(1 + rm as u64)
}

pub(crate) fn acceptor_node(acc: usize) -> NodeId {
    NodeId(101 + acc as u64)
}

pub(crate) fn manager_node(manager: usize) -> NodeId {
    NodeId(201 + manager as u64)
}

impl Mapping {
    /// `ballots` are those above the initial one, in ascending order.
    pub(crate) fn new(layout: Layout, ballots: Vec<Ballot>) -> Self {
        assert!(ballots.is_sorted() && ballots.len() == layout.size.ballots - 1);
        let acceptors = Quorums::majority((0..layout.size.acceptors).map(acceptor_node)).expect("names are distinct");
        Self { layout, acceptors, ballots }
    }

    /// The configuration of a proposer `id` of the instance of `rm`.
    pub(crate) fn proposer(&self, rm: usize, id: NodeId) -> ProposerConfig {
        let proposers = self.ballots.iter().map(|ballot| ballot.node);
        ProposerConfig::new(id, self.acceptors.clone(), proposers).with_owner(rm_node(rm))
    }

    pub(crate) fn ballot(&self, rm: usize, bal: usize) -> Ballot {
        bal.checked_sub(1).map_or(Ballot::initial(rm_node(rm)), |above| self.ballots[above])
    }

    pub(crate) fn number(&self, rm: usize, ballot: Ballot) -> Result<usize, String> {
        let found = (0..self.layout.size.ballots).find(|bal| self.ballot(rm, *bal) == ballot);
        found.ok_or_else(|| format!("{ballot} is nobody's ballot"))
    }

    pub(crate) fn record(&self, rm: usize, cell: Cell) -> AcceptorRecord<Vote> {
        let accepted = cell.accepted.map(|(bal, val)| (self.ballot(rm, bal), val));
        AcceptorRecord { promised: Some(self.ballot(rm, cell.mbal)), accepted }
    }

    pub(crate) fn cell(&self, rm: usize, record: &AcceptorRecord<Vote>) -> Result<Cell, String> {
        let mbal = record.promised.map_or(Ok(0), |ballot| self.number(rm, ballot))?;
        Ok(Cell { mbal, accepted: self.accepted(rm, record.accepted)? })
    }

    fn accepted(&self, rm: usize, accepted: Option<(Ballot, Vote)>) -> Result<Option<(usize, Vote)>, String> {
        accepted.map(|(ballot, val)| Ok((self.number(rm, ballot)?, val))).transpose()
    }

    /// The bit of what a proposer sends.
    pub(crate) fn request(&self, rm: usize, message: &Message<Vote>) -> Result<usize, String> {
        let bal = self.number(rm, message.ballot())?;
        match message {
            Message::Prepare { .. } if bal > 0 => Ok(self.layout.one_a(rm, bal)),
            Message::Accept { value, .. } => Ok(self.layout.two_a(rm, bal, *value)),
            other => Err(format!("a proposer says {other:?}")),
        }
    }

    /// The bit of what an acceptor sends, if the specification has it.
    pub(crate) fn reply(&self, rm: usize, acc: usize, message: &Message<Vote>) -> Result<Option<usize>, String> {
        let bal = self.number(rm, message.ballot())?;
        match message {
            Message::Promise { accepted, .. } if bal > 0 => {
                Ok(Some(self.layout.one_b(rm, acc, bal, self.accepted(rm, *accepted)?)))
            }
            Message::Accepted { value, .. } => Ok(Some(self.layout.two_b(rm, acc, bal, *value))),
            Message::Reject { .. } => Ok(None),
            other => Err(format!("an acceptor says {other:?}")),
        }
    }

    /// All that was sent to the acceptors of the instance of `rm`.
    pub(crate) fn requests<const W: usize>(&self, state: &State<W>, rm: usize) -> Vec<Message<Vote>> {
        let mut requests = Vec::with_capacity(4);
        for bal in 0..self.layout.size.ballots {
            let ballot = self.ballot(rm, bal);
            if bal > 0 && state.has(self.layout.one_a(rm, bal)) {
                requests.push(Message::Prepare { ballot });
            }
            let proposed = VOTES.into_iter().filter(|val| state.has(self.layout.two_a(rm, bal, *val)));
            requests.extend(proposed.map(|value| Message::Accept { ballot, value }));
        }
        requests
    }

    /// All promises of ballot `bal` that the acceptor made: one, if it is right.
    pub(crate) fn promises<const W: usize>(
        &self,
        state: &State<W>,
        rm: usize,
        acc: usize,
        bal: usize,
    ) -> Vec<Message<Vote>> {
        let told = self.layout.acceptances().filter(|told| state.has(self.layout.one_b(rm, acc, bal, *told)));
        let told = told.map(|told| told.map(|(bal, val)| (self.ballot(rm, bal), val)));
        told.map(|accepted| Message::Promise { ballot: self.ballot(rm, bal), accepted }).collect()
    }

    /// All that the acceptor said about the instance of `rm`, but for rejections.
    pub(crate) fn replies<const W: usize>(&self, state: &State<W>, rm: usize, acc: usize) -> Vec<Message<Vote>> {
        let mut replies = Vec::new();
        for bal in 0..self.layout.size.ballots {
            if bal > 0 {
                replies.extend(self.promises(state, rm, acc, bal));
            }
            let accepted = VOTES.into_iter().filter(|val| state.has(self.layout.two_b(rm, acc, bal, *val)));
            let ballot = self.ballot(rm, bal);
            replies.extend(accepted.map(|value| Message::Accepted { ballot, value }));
        }
        replies
    }

    /// What these effects of a proposer send to every acceptor, if anything.
    pub(crate) fn broadcast<R: Copy, D>(
        &self,
        effects: &[Effect<R, Message<Vote>, D>],
    ) -> Result<Option<Broadcast<R>>, String> {
        let (record, sends) = match effects {
            [] => return Ok(None),
            [Effect::Persist(record), sends @ ..] => (Some(*record), sends),
            sends => (None, sends),
        };
        let Some(Effect::Send { message, .. }) = sends.first() else {
            return Err("a proposer sent nothing with what it wrote".into());
        };
        let to_everyone = self.acceptors.nodes().map(|acceptor| (acceptor, *message));
        let sent = sends.iter().map(|effect| match effect {
            Effect::Send { to, message } => Some((*to, *message)),
            Effect::Persist(_) | Effect::Decide(_) => None,
        });
        if !sent.eq(to_everyone.map(Some)) {
            return Err("a proposer did something else than to write and to tell every acceptor one thing".into());
        }
        Ok(Some(Broadcast { record, message: *message }))
    }
}

/// One message to every acceptor, and what is written before it leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Broadcast<R> {
    pub(crate) record: Option<R>,
    pub(crate) message: Message<Vote>,
}
