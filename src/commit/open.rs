//! An open transaction at a node: the roles that the node plays in it, and their timers.

use alloc::{boxed::Box, vec::Vec};

use super::{
    Acceptor, Config, Effect, Learning, Message, Metrics, Part, Record, ResourceManager, Time, Transaction,
    TransactionManager,
    playing::Playing,
    reserve::Reserve,
    timers::{Role, Timers},
};
use crate::{NodeId, Refusal, TxId};

/// A transaction that is not over, as one node sees it.
// What a message to an acceptor looks at lies together: where a million are open, each further place is a missed cache.
// So a process with one role has room for another that it does not play.
#[derive(Clone, Debug, PartialEq)]
#[repr(C)]
pub(crate) struct Open {
    /// The transaction's own, where it is found without another look at memory.
    pub(crate) id: TxId,
    pub(crate) transaction: Transaction,
    /// Apart, for it is the largest, and of the nodes of a cluster few need it.
    pub(crate) tm: Option<Box<Playing<TransactionManager>>>,
    pub(crate) acceptor: Option<Playing<Acceptor>>,
    /// When the node first saw it, as the first tick after that said.
    pub(crate) since: Option<Time>,
    /// Whether it is among the armed.
    armed: bool,
    pub(crate) rm: Option<Playing<ResourceManager>>,
}

/// What the open transactions of a node share.
#[derive(Clone, Debug)]
pub(crate) struct Common {
    /// Durable.
    pub(crate) rounds: Reserve,
    pub(crate) timers: Timers,
    pub(crate) metrics: Metrics,
}

/// The roles that a message is for.
#[derive(Clone, Copy)]
enum Addressees {
    Only(Role),
    /// Both learn from it: a transaction manager that is at work overhears what the resource manager of its node learns.
    ResourceManagerAndManager,
}

impl Open {
    pub(crate) fn new(transaction: Transaction) -> Self {
        let id = transaction.id();
        Self { id, transaction, acceptor: None, rm: None, tm: None, since: None, armed: false }
    }

    /// Whether all resource managers have finished it, as the transaction manager here knows.
    #[inline]
    pub(crate) fn is_completed(&self) -> bool {
        self.tm.as_ref().is_some_and(|tm| tm.is_completed())
    }

    /// Gives `message` to the roles that it is for. It is refused if all of them refuse it.
    #[inline]
    pub(crate) fn receive(
        &mut self,
        config: &Config,
        from: NodeId,
        message: &Message,
        common: &mut Common,
        effects: &mut Vec<Effect>,
    ) -> Result<(), Refusal> {
        match self.addressees(config, message)? {
            Addressees::Only(Role::Acceptor) => {
                self.as_acceptor(config, common, |acceptor| acceptor.receive(from, message, effects))
            }
            Addressees::Only(Role::ResourceManager) => {
                self.as_rm(config, common, |rm| rm.receive(from, message, effects))
            }
            Addressees::Only(Role::TransactionManager) => {
                self.as_tm(config, common, effects, |tm, effects| tm.receive(from, message, effects))
            }
            Addressees::ResourceManagerAndManager => {
                let result = self.as_rm(config, common, |rm| rm.receive(from, message, effects));
                self.as_tm(config, common, effects, |tm, effects| tm.receive(from, message, effects)).or(result)
            }
        }
    }

    #[inline]
    fn as_acceptor(
        &mut self,
        config: &Config,
        common: &mut Common,
        act: impl FnOnce(&mut Acceptor) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        let new = || Ok(new_acceptor(config, &self.transaction)?.into());
        let unstarted = take_part(&mut self.acceptor, new, |acceptor| acceptor.act(&mut common.timers, act))?;
        self.note(unstarted, common);
        Ok(())
    }

    #[inline]
    fn as_rm(
        &mut self,
        config: &Config,
        common: &mut Common,
        act: impl FnOnce(&mut ResourceManager) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        let new = || Ok(new_rm(config, &self.transaction)?.into());
        let unstarted = take_part(&mut self.rm, new, |rm| rm.act(&mut common.timers, act))?;
        self.note(unstarted, common);
        Ok(())
    }

    /// Lets the transaction manager act, and gives it the round that it may ask for then.
    #[inline]
    fn as_tm(
        &mut self,
        config: &Config,
        common: &mut Common,
        effects: &mut Vec<Effect>,
        act: impl FnOnce(&mut TransactionManager, &mut Vec<Effect>) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        let new = || Ok(Box::new(new_tm(config, &self.transaction)?.into()));
        let Common { rounds, timers, metrics } = common;
        let unstarted = take_part(&mut self.tm, new, |tm| {
            tm.act(timers, |tm| {
                act(tm, effects)?;
                give_round(tm, rounds, metrics, effects);
                Ok(())
            })
        })?;
        self.note(unstarted, common);
        Ok(())
    }

    /// The resource manager here has something from its resource.
    #[inline]
    pub(crate) fn hear_resource(
        &mut self,
        config: &Config,
        common: &mut Common,
        act: impl FnOnce(&mut ResourceManager) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        if self.rm.is_none() {
            return Err(Refusal::UnknownTransaction);
        }
        self.as_rm(config, common, act)
    }

    /// The transaction begins here. A node that is both starts as the transaction manager, and asks itself for its vote.
    pub(crate) fn begin(
        &mut self,
        config: &Config,
        common: &mut Common,
        effects: &mut Vec<Effect>,
    ) -> Result<(), Refusal> {
        if config.cluster.is_manager(config.id) {
            self.as_tm(config, common, effects, |tm, effects| {
                tm.begin(effects);
                Ok(())
            })
        } else {
            self.as_rm(config, common, |rm| {
                rm.begin(effects);
                Ok(())
            })
        }
    }

    /// Drives the transaction to its outcome: by every role that is played here.
    pub(crate) fn inquire(
        &mut self,
        config: &Config,
        common: &mut Common,
        effects: &mut Vec<Effect>,
    ) -> Result<(), Refusal> {
        if self.rm.is_some() {
            self.as_rm(config, common, |rm| {
                rm.inquire(effects);
                Ok(())
            })?;
        }
        if self.acceptor.is_some() {
            self.as_acceptor(config, common, |acceptor| {
                acceptor.inquire(effects);
                Ok(())
            })?;
        }
        if self.tm.is_some() {
            self.as_tm(config, common, effects, |tm, effects| {
                tm.inquire(effects);
                Ok(())
            })?;
        }
        Ok(())
    }

    #[inline]
    fn addressees(&self, config: &Config, message: &Message) -> Result<Addressees, Refusal> {
        let learners = || match self.tm {
            Some(_) => Addressees::ResourceManagerAndManager,
            None => Addressees::Only(Role::ResourceManager),
        };
        match message {
            Message::Begin { .. } | Message::Inquire { .. } | Message::Finished { .. } => {
                Ok(Addressees::Only(Role::TransactionManager))
            }
            Message::Vote { .. } => Ok(Addressees::Only(Role::Acceptor)),
            Message::Prepare { .. } => Ok(Addressees::Only(Role::ResourceManager)),
            Message::Outcome { .. } if self.transaction.has(config.id) => Ok(learners()),
            Message::Outcome { .. } if self.tm.is_some() => Ok(Addressees::Only(Role::TransactionManager)),
            Message::Outcome { .. } if config.cluster.is_manager(config.id) => Err(Refusal::UnknownTransaction),
            Message::Outcome { .. } => Err(Refusal::NotAParticipant),
            Message::Paxos { parts, .. } if Part::are_requests(parts) => Ok(Addressees::Only(Role::Acceptor)),
            Message::Paxos { .. } => match config.cluster.learning() {
                Learning::Everyone if self.transaction.has(config.id) => Ok(learners()),
                _ => Ok(Addressees::Only(Role::TransactionManager)),
            },
            Message::Retired { .. } | Message::RetiredNoted { .. } => Err(Refusal::NotForThisRole),
        }
    }

    /// The timer of `role` that was to end at `due` has ended, unless it was cancelled.
    pub(crate) fn timeout(&mut self, role: Role, due: Time, common: &mut Common, effects: &mut Vec<Effect>) {
        let Common { rounds, timers, metrics } = common;
        let unstarted = match role {
            Role::Acceptor => self.acceptor.as_mut().map(|acceptor| acceptor.timeout(due, timers, effects)),
            Role::ResourceManager => self.rm.as_mut().map(|rm| rm.timeout(due, timers, effects)),
            Role::TransactionManager => self.tm.as_mut().map(|tm| {
                let unstarted = tm.timeout(due, timers, effects);
                if unstarted {
                    give_round(tm, rounds, metrics, effects);
                }
                unstarted
            }),
        };
        self.note(unstarted.unwrap_or(false), common);
    }

    /// Whether a timer of `role` ends at `due`.
    pub(crate) fn waits_until(&self, role: Role, due: Time) -> bool {
        match role {
            Role::Acceptor => self.acceptor.as_ref().is_some_and(|acceptor| acceptor.ends(due)),
            Role::ResourceManager => self.rm.as_ref().is_some_and(|rm| rm.ends(due)),
            Role::TransactionManager => self.tm.as_ref().is_some_and(|tm| tm.ends(due)),
        }
    }

    /// Whether a timer of any role has started.
    #[inline]
    pub(crate) fn is_waiting(&self) -> bool {
        self.acceptor.as_ref().is_some_and(Playing::is_waiting)
            || self.rm.as_ref().is_some_and(Playing::is_waiting)
            || self.tm.as_ref().is_some_and(|tm| tm.is_waiting())
    }

    /// Arms the timers of what was restored.
    pub(crate) fn arm(&mut self, common: &mut Common) {
        if let Some(acceptor) = &mut self.acceptor {
            acceptor.arm(&mut common.timers);
        }
        if let Some(rm) = &mut self.rm {
            rm.arm(&mut common.timers);
        }
        // If not for them, then for its age.
        self.note(true, common);
    }

    /// Has the next tick look at this transaction if that is to start a timer, or to tell the transaction's age.
    #[inline]
    fn note(&mut self, unstarted: bool, common: &mut Common) {
        if (unstarted || self.since.is_none()) && !self.armed {
            self.armed = true;
            common.timers.arm(self.id);
        }
    }

    /// Starts the timers that were armed.
    pub(crate) fn start(&mut self, now: Time, config: &Config, timers: &mut Timers) {
        self.armed = false;
        self.since.get_or_insert(now);
        self.acceptor.iter_mut().for_each(|acceptor| acceptor.start(now, self.id, config, timers));
        self.rm.iter_mut().for_each(|rm| rm.start(now, self.id, config, timers));
        self.tm.iter_mut().for_each(|tm| tm.start(now, self.id, config, timers));
    }

    /// Stops all timers, for good.
    pub(crate) fn stop(&mut self, timers: &mut Timers) {
        self.acceptor.iter_mut().for_each(|acceptor| acceptor.stop(timers));
        self.rm.iter_mut().for_each(|rm| rm.stop(timers));
        self.tm.iter_mut().for_each(|tm| tm.stop(timers));
    }
}

/// Lets a role act, a new one if need be. One that was new and refuses leaves nothing behind.
#[inline]
fn take_part<P>(
    role: &mut Option<P>,
    new: impl FnOnce() -> Result<P, Refusal>,
    act: impl FnOnce(&mut P) -> Result<bool, Refusal>,
) -> Result<bool, Refusal> {
    if let Some(role) = role {
        return act(role);
    }
    let result = act(role.insert(new()?));
    if result.is_err() {
        *role = None;
    }
    result
}

/// Gives a transaction manager the round that it asks for, if it does. That the round is reserved is written first.
#[inline]
fn give_round(tm: &mut TransactionManager, rounds: &mut Reserve, metrics: &mut Metrics, effects: &mut Vec<Effect>) {
    if !tm.wants_round {
        return;
    }
    match rounds.take(tm.highest_round.saturating_add(1)) {
        Some((round, reserved)) => {
            effects.extend(reserved.map(|reserved| Effect::Persist(Record::Rounds { reserved })));
            match tm.recover(round, effects) {
                Ok(()) => metrics.recoveries = metrics.recoveries.saturating_add(1),
                Err(refusal) => metrics.refuse(refusal),
            }
        }
        None => metrics.refuse(Refusal::RoundsUsedUp),
    }
}

fn new_acceptor(config: &Config, transaction: &Transaction) -> Result<Acceptor, Refusal> {
    if !config.cluster.acceptors().contains(config.id) {
        return Err(Refusal::NotAnAcceptor);
    }
    Ok(Acceptor::new(config.cluster.clone(), transaction.clone()))
}

fn new_rm(config: &Config, transaction: &Transaction) -> Result<ResourceManager, Refusal> {
    ResourceManager::new(config.cluster.clone(), config.id, transaction.clone())
}

fn new_tm(config: &Config, transaction: &Transaction) -> Result<TransactionManager, Refusal> {
    if !config.cluster.is_manager(config.id) {
        return Err(Refusal::NotAManager);
    }
    Ok(TransactionManager::new(config.cluster.clone(), config.id, transaction.clone()))
}
