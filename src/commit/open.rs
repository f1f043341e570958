//! An open transaction at a node: the roles that the node plays in it, and their timers.

use alloc::{boxed::Box, vec::Vec};

use super::{
    Acceptor, Config, Effect, Learning, Message, Part, ResourceManager, Time, Transaction, TransactionManager, Wait,
    timers::{Role, Timers},
};
use crate::{NodeId, Refusal, TxId};

/// A transaction that is not over, as one node sees it.
#[derive(Clone, Debug)]
pub(crate) struct Open {
    pub(crate) transaction: Transaction,
    pub(crate) acceptor: Option<Box<Acceptor>>,
    pub(crate) rm: Option<Box<ResourceManager>>,
    pub(crate) tm: Option<Box<TransactionManager>>,
    /// When the node first saw it, as the first tick after that said.
    pub(crate) since: Option<Time>,
    waits: [Waiting; 3],
    /// Whether it is among the armed.
    armed: bool,
}

/// One role's timer.
#[derive(Clone, Copy, Debug, Default)]
struct Waiting {
    wait: Option<Wait>,
    /// When it ends; none until it is started.
    due: Option<Time>,
}

/// The roles that a message is for: one, or two that both learn from it.
#[derive(Clone, Copy)]
struct Addressees {
    first: Role,
    second: Option<Role>,
}

const ROLES: [Role; 3] = [Role::Acceptor, Role::ResourceManager, Role::TransactionManager];

impl Open {
    pub(crate) fn new(transaction: Transaction) -> Self {
        Self {
            transaction,
            acceptor: None,
            rm: None,
            tm: None,
            since: None,
            waits: [Waiting::default(); 3],
            armed: false,
        }
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
        let mut newborn = Self::new(self.transaction.clone());
        match role {
            Role::Acceptor => match &self.acceptor {
                Some(acceptor) => acceptor.check_message(from, message),
                None => newborn.acceptor(config)?.check_message(from, message),
            },
            Role::ResourceManager => match &self.rm {
                Some(rm) => rm.check_message(from, message),
                None => newborn.rm(config)?.check_message(from, message),
            },
            Role::TransactionManager => match &self.tm {
                Some(tm) => tm.check_message(from, message),
                None => newborn.tm(config)?.check_message(from, message),
            },
        }
    }

    /// Gives `message` to the roles that it is for. It is refused if all of them refuse it.
    pub(crate) fn receive(
        &mut self,
        config: &Config,
        from: NodeId,
        message: Message,
        effects: &mut Vec<Effect>,
    ) -> Result<(), Refusal> {
        let Addressees { first, second } = self.addressees(config, &message)?;
        let Some(second) = second else { return self.receive_role(first, config, from, message, effects) };
        let result = self.receive_role(first, config, from, message.clone(), effects);
        match self.receive_role(second, config, from, message, effects) {
            Ok(()) => Ok(()),
            Err(_) => result,
        }
    }

    fn receive_role(
        &mut self,
        role: Role,
        config: &Config,
        from: NodeId,
        message: Message,
        effects: &mut Vec<Effect>,
    ) -> Result<(), Refusal> {
        let existed = self.plays(role);
        let result = self.receive_playing(role, config, from, message, effects);
        if result.is_err() && !existed {
            // A refused message leaves nothing behind, not even a role that knows nothing.
            match role {
                Role::Acceptor => self.acceptor = None,
                Role::ResourceManager => self.rm = None,
                Role::TransactionManager => self.tm = None,
            }
        }
        result
    }

    fn receive_playing(
        &mut self,
        role: Role,
        config: &Config,
        from: NodeId,
        message: Message,
        effects: &mut Vec<Effect>,
    ) -> Result<(), Refusal> {
        match role {
            Role::Acceptor => self.acceptor(config)?.receive(from, message, effects),
            Role::ResourceManager => {
                let rm = self.rm(config)?;
                rm.check_message(from, &message)?;
                rm.receive(from, message, effects);
                Ok(())
            }
            Role::TransactionManager => {
                let tm = self.tm(config)?;
                tm.check_message(from, &message)?;
                tm.receive(from, message, effects);
                Ok(())
            }
        }
    }

    fn plays(&self, role: Role) -> bool {
        match role {
            Role::Acceptor => self.acceptor.is_some(),
            Role::ResourceManager => self.rm.is_some(),
            Role::TransactionManager => self.tm.is_some(),
        }
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

    /// The acceptor's part, new if need be.
    pub(crate) fn acceptor(&mut self, config: &Config) -> Result<&mut Acceptor, Refusal> {
        if !config.cluster.acceptors().contains(config.id) {
            return Err(Refusal::NotAnAcceptor);
        }
        let new = || Box::new(Acceptor::new(config.cluster.clone(), self.transaction.clone()));
        Ok(self.acceptor.get_or_insert_with(new))
    }

    /// The resource manager's part, new if need be.
    pub(crate) fn rm(&mut self, config: &Config) -> Result<&mut ResourceManager, Refusal> {
        let rm = match self.rm.take() {
            Some(rm) => rm,
            None => Box::new(ResourceManager::new(config.cluster.clone(), config.id, self.transaction.clone())?),
        };
        Ok(self.rm.insert(rm))
    }

    /// The transaction manager's part, new if need be.
    pub(crate) fn tm(&mut self, config: &Config) -> Result<&mut TransactionManager, Refusal> {
        if !config.cluster.is_manager(config.id) {
            return Err(Refusal::NotAManager);
        }
        let new = || Box::new(TransactionManager::new(config.cluster.clone(), config.id, self.transaction.clone()));
        Ok(self.tm.get_or_insert_with(new))
    }

    /// Gives `role` its timeout.
    pub(crate) fn timeout(&mut self, role: Role, effects: &mut Vec<Effect>) {
        match role {
            Role::Acceptor => self.acceptor.iter_mut().for_each(|acceptor| acceptor.timeout(effects)),
            Role::ResourceManager => self.rm.iter_mut().for_each(|rm| rm.timeout(effects)),
            Role::TransactionManager => self.tm.iter_mut().for_each(|tm| tm.timeout(effects)),
        }
    }

    /// Brings the timers in line with what the roles wait for now.
    pub(crate) fn arm(&mut self, timers: &mut Timers) {
        let tx = self.transaction.id();
        for (role, wait) in self.wanted() {
            let waiting = self.waiting(role);
            if waiting.wait != wait {
                if let Some(due) = waiting.due {
                    timers.cancel(due, tx, role);
                }
                *waiting = Waiting { wait, due: None };
            }
        }
        let unstarted = self.waits.iter().any(|waiting| waiting.wait.is_some() && waiting.due.is_none());
        // The next tick also tells its age.
        if !self.armed && (unstarted || self.since.is_none()) {
            self.armed = true;
            timers.arm(tx);
        }
    }

    /// Notes that the timer of `role` has ended: whatever the role waits for now, it waits anew.
    pub(crate) fn fired(&mut self, role: Role) {
        *self.waiting(role) = Waiting::default();
    }

    /// Starts the timers that were armed.
    pub(crate) fn start(&mut self, now: Time, config: &Config, timers: &mut Timers) {
        self.armed = false;
        self.since.get_or_insert(now);
        let tx = self.transaction.id();
        for role in ROLES {
            let waiting = self.waiting(role);
            if let (Some(wait), None) = (waiting.wait, waiting.due) {
                let wait = wait.duration(&config.cluster.timeouts(), jitter(config.seed, tx, role, wait));
                let due = Time(now.0.saturating_add(wait));
                waiting.due = Some(due);
                timers.start(due, tx, role);
            }
        }
    }

    /// Stops all timers, for good.
    pub(crate) fn stop(&mut self, timers: &mut Timers) {
        for role in ROLES {
            if let Some(due) = core::mem::take(self.waiting(role)).due {
                timers.cancel(due, self.transaction.id(), role);
            }
        }
    }

    fn wanted(&self) -> [(Role, Option<Wait>); 3] {
        [
            (Role::Acceptor, self.acceptor.as_ref().map(|acceptor| acceptor.wait())),
            (Role::ResourceManager, self.rm.as_ref().and_then(|rm| rm.wait())),
            (Role::TransactionManager, self.tm.as_ref().and_then(|tm| tm.wait())),
        ]
    }

    fn waiting(&mut self, role: Role) -> &mut Waiting {
        let [acceptor, rm, tm] = &mut self.waits;
        match role {
            Role::Acceptor => acceptor,
            Role::ResourceManager => rm,
            Role::TransactionManager => tm,
        }
    }
}

/// A number that looks random, and is the same whenever it is asked for.
fn jitter(seed: u64, tx: TxId, role: Role, wait: Wait) -> u64 {
    let repetition = match wait {
        Wait::Flush => 0,
        Wait::Recover(repetition) | Wait::Inquire(repetition) | Wait::Repeat(repetition) => repetition,
    };
    let words = [tx.origin.0, tx.seq, u64::from(repetition), role as u64];
    words.into_iter().fold(seed, |state, word| mix(state ^ word))
}

/// The finalizer of SplitMix64 (Steele, Lea and Flood 2014).
pub(crate) fn mix(word: u64) -> u64 {
    let word = word.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}
