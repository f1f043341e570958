//! An open transaction at a node: the roles that the node plays in it, and their timers.

use alloc::{boxed::Box, vec::Vec};

use super::{
    Acceptor, Config, Effect, Learning, Message, Part, ResourceManager, Time, Transaction, TransactionManager,
    playing::Playing,
    timers::{Role, Timers},
};
use crate::{NodeId, Refusal, TxId};

/// A transaction that is not over, as one node sees it.
#[derive(Clone, Debug)]
pub(crate) struct Open {
    pub(crate) transaction: Transaction,
    pub(crate) acceptor: Option<Box<Playing<Acceptor>>>,
    pub(crate) rm: Option<Box<Playing<ResourceManager>>>,
    pub(crate) tm: Option<Box<Playing<TransactionManager>>>,
    /// When the node first saw it, as the first tick after that said.
    pub(crate) since: Option<Time>,
    /// Whether it is among the armed.
    armed: bool,
}

/// The roles that a message is for: one, or two that both learn from it.
#[derive(Clone, Copy)]
struct Addressees {
    first: Role,
    second: Option<Role>,
}

impl Open {
    pub(crate) fn new(transaction: Transaction) -> Self {
        Self { transaction, acceptor: None, rm: None, tm: None, since: None, armed: false }
    }

    /// Why `message` would be refused.
    pub(crate) fn check(&self, config: &Config, from: NodeId, message: &Message) -> Result<(), Refusal> {
        let Addressees { first, second } = self.addressees(config, message)?;
        match (self.check_role(first, config, from, message), second) {
            (Err(refusal), Some(second)) => self.check_role(second, config, from, message).map_err(|_| refusal),
            (result, _) => result,
        }
    }

    fn check_role(&self, role: Role, config: &Config, from: NodeId, message: &Message) -> Result<(), Refusal> {
        // A role that does not exist yet judges as it would at birth.
        match role {
            Role::Acceptor => match &self.acceptor {
                Some(acceptor) => acceptor.check_message(from, message),
                None => new_acceptor(config, &self.transaction)?.check_message(from, message),
            },
            Role::ResourceManager => match &self.rm {
                Some(rm) => rm.check_message(from, message),
                None => new_rm(config, &self.transaction)?.check_message(from, message),
            },
            Role::TransactionManager => match &self.tm {
                Some(tm) => tm.check_message(from, message),
                None => new_tm(config, &self.transaction)?.check_message(from, message),
            },
        }
    }

    /// Gives `message` to the roles that it is for. It is refused if all of them refuse it.
    pub(crate) fn receive(
        &mut self,
        config: &Config,
        from: NodeId,
        message: &Message,
        effects: &mut Vec<Effect>,
    ) -> Result<(), Refusal> {
        let Addressees { first, second } = self.addressees(config, message)?;
        let result = self.receive_role(first, config, from, message, effects);
        match second {
            Some(second) => self.receive_role(second, config, from, message, effects).or(result),
            None => result,
        }
    }

    fn receive_role(
        &mut self,
        role: Role,
        config: &Config,
        from: NodeId,
        message: &Message,
        effects: &mut Vec<Effect>,
    ) -> Result<(), Refusal> {
        let transaction = &self.transaction;
        match role {
            Role::Acceptor => {
                let new = || new_acceptor(config, transaction);
                Playing::act(&mut self.acceptor, new, |acceptor| acceptor.receive(from, message, effects))
            }
            Role::ResourceManager => {
                let new = || new_rm(config, transaction);
                Playing::act(&mut self.rm, new, |rm| rm.receive(from, message, effects))
            }
            Role::TransactionManager => {
                let new = || new_tm(config, transaction);
                Playing::act(&mut self.tm, new, |tm| tm.receive(from, message, effects))
            }
        }
    }

    /// The transaction begins here. A node that is both starts as the transaction manager, and asks itself for its vote.
    pub(crate) fn begin(&mut self, config: &Config, effects: &mut Vec<Effect>) -> Result<(), Refusal> {
        let transaction = &self.transaction;
        if config.cluster.is_manager(config.id) {
            let new = || new_tm(config, transaction);
            Playing::act(&mut self.tm, new, |tm| {
                tm.begin(effects);
                Ok(())
            })
        } else {
            let new = || new_rm(config, transaction);
            Playing::act(&mut self.rm, new, |rm| {
                rm.begin(effects);
                Ok(())
            })
        }
    }

    /// Drives the transaction to its outcome.
    pub(crate) fn inquire(&mut self, effects: &mut Vec<Effect>) {
        self.rm.iter_mut().for_each(|rm| rm.inquire(effects));
        self.acceptor.iter_mut().for_each(|acceptor| acceptor.inquire(effects));
        self.tm.iter_mut().for_each(|tm| tm.inquire(effects));
    }

    fn addressees(&self, config: &Config, message: &Message) -> Result<Addressees, Refusal> {
        let only = |first| Ok(Addressees { first, second: None });
        // A transaction manager that is at work here overhears what its resource manager learns.
        let overheard = || {
            let second = self.tm.as_ref().map(|_| Role::TransactionManager);
            Ok(Addressees { first: Role::ResourceManager, second })
        };
        match message {
            Message::Begin { .. } | Message::Inquire { .. } | Message::Finished { .. } => {
                only(Role::TransactionManager)
            }
            Message::Vote { .. } => only(Role::Acceptor),
            Message::Prepare { .. } => only(Role::ResourceManager),
            Message::Outcome { .. } if self.transaction.has(config.id) => overheard(),
            Message::Outcome { .. } if self.tm.is_some() => only(Role::TransactionManager),
            Message::Outcome { .. } if config.cluster.is_manager(config.id) => Err(Refusal::UnknownTransaction),
            Message::Outcome { .. } => Err(Refusal::NotAParticipant),
            Message::Paxos { parts, .. } if Part::are_requests(parts) => only(Role::Acceptor),
            Message::Paxos { .. } => match config.cluster.learning() {
                Learning::Everyone if self.transaction.has(config.id) => overheard(),
                _ => only(Role::TransactionManager),
            },
            Message::Retired { .. } | Message::RetiredNoted { .. } => Err(Refusal::NotForThisRole),
        }
    }

    /// The timer of `role` has ended.
    pub(crate) fn timeout(&mut self, role: Role, effects: &mut Vec<Effect>) {
        match role {
            Role::Acceptor => self.acceptor.iter_mut().for_each(|acceptor| acceptor.timeout(effects)),
            Role::ResourceManager => self.rm.iter_mut().for_each(|rm| rm.timeout(effects)),
            Role::TransactionManager => self.tm.iter_mut().for_each(|tm| tm.timeout(effects)),
        }
    }

    /// Brings the timers in line with what the roles wait for now.
    pub(crate) fn arm(&mut self, tx: TxId, timers: &mut Timers) {
        // The next tick also tells its age.
        let mut unstarted = self.since.is_none();
        self.acceptor.iter_mut().for_each(|acceptor| unstarted |= acceptor.arm(tx, timers));
        self.rm.iter_mut().for_each(|rm| unstarted |= rm.arm(tx, timers));
        self.tm.iter_mut().for_each(|tm| unstarted |= tm.arm(tx, timers));
        if unstarted && !self.armed {
            self.armed = true;
            timers.arm(tx);
        }
    }

    /// Starts the timers that were armed.
    pub(crate) fn start(&mut self, now: Time, config: &Config, timers: &mut Timers) {
        self.armed = false;
        self.since.get_or_insert(now);
        let tx = self.transaction.id();
        self.acceptor.iter_mut().for_each(|acceptor| acceptor.start(now, tx, config, timers));
        self.rm.iter_mut().for_each(|rm| rm.start(now, tx, config, timers));
        self.tm.iter_mut().for_each(|tm| tm.start(now, tx, config, timers));
    }

    /// Stops all timers, for good.
    pub(crate) fn stop(&mut self, timers: &mut Timers) {
        let tx = self.transaction.id();
        self.acceptor.iter_mut().for_each(|acceptor| acceptor.stop(tx, timers));
        self.rm.iter_mut().for_each(|rm| rm.stop(tx, timers));
        self.tm.iter_mut().for_each(|tm| tm.stop(tx, timers));
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
