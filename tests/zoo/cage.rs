//! One type for all canaries: a world is compiled again for each type of node that it is peopled with, and that takes a while.
//!
//! Which canary a cage has is said beforehand, for the thread that runs the world.

use std::{cell::Cell, collections::BTreeSet};

use synod::{
    EffectSink, Machine, NodeId, Refusal, RestoreError, Scope, TxId, Urgency,
    commit::{Config, Decision, Effect, Input, Message, Node, Record},
    sim::Actor,
};

/// Any canary.
pub(crate) struct Caged(Box<dyn Bird>);

/// How a kind of canary comes into its cage.
#[derive(Clone, Copy)]
pub(crate) struct Keeper {
    create: fn(Config) -> (Caged, Vec<Effect>),
    join: fn(Config) -> (Caged, Vec<Effect>),
    restore: fn(Config, Vec<Record>) -> Result<Caged, RestoreError>,
    restore_damaged: fn(Config, Vec<Record>) -> Option<Caged>,
}

thread_local! {
    static ON_DUTY: Cell<Option<Keeper>> = const { Cell::new(None) };
}

impl Keeper {
    pub(crate) fn of<A: Actor + 'static>() -> Self {
        Self {
            create: |config| cage(A::create(config)),
            join: |config| cage(A::join(config)),
            restore: |config, records| Ok(Caged(Box::new(A::restore(config, records)?))),
            restore_damaged: |config, records| Some(Caged(Box::new(A::restore_damaged(config, records)?))),
        }
    }

    /// Runs worlds of this kind of canary.
    pub(crate) fn while_on_duty<T>(self, run: impl FnOnce() -> T) -> T {
        let before = ON_DUTY.replace(Some(self));
        let result = run();
        ON_DUTY.set(before);
        result
    }

    fn on_duty() -> Self {
        ON_DUTY.get().expect("a keeper is on duty while a world runs")
    }
}

fn cage<A: Actor + 'static>((actor, effects): (A, Vec<Effect>)) -> (Caged, Vec<Effect>) {
    (Caged(Box::new(actor)), effects)
}

/// What a world asks of a canary.
trait Bird {
    fn take(&mut self, input: Input, way: &mut dyn Way) -> Result<(), Refusal>;
    fn node(&self) -> &Node;
    fn lets_go(&self, held: &BTreeSet<TxId>) -> BTreeSet<TxId>;
}

impl<A: Actor> Bird for A {
    fn take(&mut self, input: Input, way: &mut dyn Way) -> Result<(), Refusal> {
        self.step_into(input, &mut Through(way))
    }

    fn node(&self) -> &Node {
        Actor::node(self)
    }

    fn lets_go(&self, held: &BTreeSet<TxId>) -> BTreeSet<TxId> {
        Actor::lets_go(self, held)
    }
}

/// The way of its effects, whatever it leads to.
trait Way {
    fn persist(&mut self, record: Record, urgency: Urgency) -> Scope;
    fn send(&mut self, to: NodeId, message: Message, after: Scope);
    fn decide(&mut self, decision: Decision, after: Scope);
}

impl<S: EffectSink<Record, Message, Decision>> Way for S {
    fn persist(&mut self, record: Record, urgency: Urgency) -> Scope {
        EffectSink::persist(self, record, urgency)
    }

    fn send(&mut self, to: NodeId, message: Message, after: Scope) {
        EffectSink::send(self, to, message, after);
    }

    fn decide(&mut self, decision: Decision, after: Scope) {
        EffectSink::decide(self, decision, after);
    }
}

struct Through<'a>(&'a mut dyn Way);

impl EffectSink<Record, Message, Decision> for Through<'_> {
    fn persist(&mut self, record: Record, urgency: Urgency) -> Scope {
        self.0.persist(record, urgency)
    }

    fn send(&mut self, to: NodeId, message: Message, after: Scope) {
        self.0.send(to, message, after);
    }

    fn decide(&mut self, decision: Decision, after: Scope) {
        self.0.decide(decision, after);
    }
}

impl Machine for Caged {
    type Input = Input;
    type Record = Record;
    type Message = Message;
    type Decision = Decision;

    fn step_into(
        &mut self,
        input: Input,
        effects: &mut impl EffectSink<Record, Message, Decision>,
    ) -> Result<(), Refusal> {
        self.0.take(input, effects)
    }
}

impl Actor for Caged {
    fn create(config: Config) -> (Self, Vec<Effect>) {
        (Keeper::on_duty().create)(config)
    }

    fn join(config: Config) -> (Self, Vec<Effect>) {
        (Keeper::on_duty().join)(config)
    }

    fn restore(config: Config, records: Vec<Record>) -> Result<Self, RestoreError> {
        (Keeper::on_duty().restore)(config, records)
    }

    fn restore_damaged(config: Config, records: Vec<Record>) -> Option<Self> {
        (Keeper::on_duty().restore_damaged)(config, records)
    }

    fn node(&self) -> &Node {
        self.0.node()
    }

    fn lets_go(&self, held: &BTreeSet<TxId>) -> BTreeSet<TxId> {
        self.0.lets_go(held)
    }
}
