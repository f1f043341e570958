//! What faulty participants say.

use super::{Actor, Hurt, Lie, Observation, Violation, World};
use crate::{
    NodeId, TxId,
    commit::{Key, Message, Outcome, Record, Transaction, TxRange, Vote, What},
};

impl<A: Actor> World<A> {
    /// A faulty participant says something about itself. Its node goes on as if it had not.
    pub(super) fn lie(&mut self, at: NodeId, to: NodeId, about: &Transaction, lie: Lie) -> Result<(), Violation> {
        let message = match lie {
            Lie::Committed => Message::about(about, What::Finished(Outcome::Committed)),
            Lie::Aborted => Message::about(about, What::Finished(Outcome::Aborted)),
            Lie::Retired => Message::retired(TxRange::only(about.id())),
        };
        self.stats.lies += 1;
        self.lied.insert((at, about.id()));
        self.send((at, to), message);
        self.observe(&Observation::Lied { at, tx: about.id() })
    }

    /// A faulty participant votes once more, and differently from what it has on its disk. Its node goes on as if it had not.
    pub(super) fn vote_again(&mut self, at: NodeId, to: NodeId, index: usize) {
        let is_liar = self.setup.hurt == Some(Hurt::SecondVotes) && self.setup.liars.contains(&at) && to != at;
        let about = self.shown(index).map(Transaction::id).filter(|tx| is_liar && Hurt::may_hit(*tx));
        let disk = self.processes.get(&at).map(|process| &process.disk);
        let written = about.and_then(|tx| disk?.get(Key::ResourceManager(tx)));
        let Some(Record::ResourceManager(record)) = written else { return };
        let vote = match record.vote {
            Some(Vote::Prepared) => Vote::Aborted,
            Some(Vote::Aborted) => Vote::Prepared,
            None => return,
        };
        let manager = self.setup.cluster.manager_of(record.transaction.id());
        let message = Message::about(&record.transaction, What::Vote { vote, manager });
        self.stats.second_votes += 1;
        self.send((at, to), message);
    }

    /// Whether a node may have the end of a transaction wrong by its own lie.
    pub(in super::super) fn has_lied(&self, at: NodeId, tx: TxId) -> bool {
        self.lied.contains(&(at, tx))
    }
}
