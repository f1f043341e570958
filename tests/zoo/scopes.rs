//! Faults of scopes: a real node whose effects leave before what they rest on is durable.
//!
//! Nothing of it shows where effects are carried out in order. In the other worlds an outbox believes what it is told.

use synod::{
    EffectSink, Machine, NodeId, Refusal, RestoreError, Scope, Urgency,
    commit::{Config, Decision, Effect, Input, Message, Node, Record, What},
    sim::Actor,
};

/// Something that waits to leave.
#[derive(Clone, Copy)]
pub(crate) enum Leaving<'a> {
    Message(&'a Message),
    Decision(&'a Decision),
}

/// What is wrong with a hasty node.
pub(crate) trait Haste: 'static {
    /// What `leaving` rests on, as the hasty node says, where the real one says `after`.
    fn rests_on(&mut self, leaving: Leaving<'_>, after: Scope) -> Scope;

    /// A record was taken, and this is what rests on it.
    fn persisted(&mut self, _scope: Scope) {}
}

/// A node that is hasty. What it remembers of that is lost with the node's memory.
pub(crate) struct Hasty<H> {
    node: Node,
    haste: H,
}

/// The way of its effects.
struct Hastened<'a, S> {
    haste: &'a mut dyn Haste,
    effects: &'a mut S,
}

impl<S: EffectSink<Record, Message, Decision>> EffectSink<Record, Message, Decision> for Hastened<'_, S> {
    fn persist(&mut self, record: Record, urgency: Urgency) -> Scope {
        let scope = self.effects.persist(record, urgency);
        self.haste.persisted(scope);
        scope
    }

    fn send(&mut self, to: NodeId, message: Message, after: Scope) {
        let after = self.haste.rests_on(Leaving::Message(&message), after);
        self.effects.send(to, message, after);
    }

    fn decide(&mut self, decision: Decision, after: Scope) {
        let after = self.haste.rests_on(Leaving::Decision(&decision), after);
        self.effects.decide(decision, after);
    }
}

impl<H: Haste> Machine for Hasty<H> {
    type Input = Input;
    type Record = Record;
    type Message = Message;
    type Decision = Decision;

    fn step_into(
        &mut self,
        input: Input,
        effects: &mut impl EffectSink<Record, Message, Decision>,
    ) -> Result<(), Refusal> {
        self.node.step_into(input, &mut Hastened { haste: &mut self.haste, effects })
    }
}

impl<H: Haste + Default> Actor for Hasty<H> {
    fn create(config: Config) -> (Self, Vec<Effect>) {
        let (node, effects) = Node::create(config);
        (Self { node, haste: H::default() }, effects)
    }

    fn join(config: Config) -> (Self, Vec<Effect>) {
        let (node, effects) = Node::join(config);
        (Self { node, haste: H::default() }, effects)
    }

    fn restore(config: Config, records: Vec<Record>) -> Result<Self, RestoreError> {
        Ok(Self { node: Node::restore(config, records)?, haste: H::default() })
    }

    fn node(&self) -> &Node {
        &self.node
    }
}

/// A fault that lets some effects leave as if they rested on nothing.
macro_rules! leave_at_once {
    ($(#[doc = $doc:literal] $name:ident: $pattern:pat,)+) => {
        $(
            #[doc = $doc]
            #[derive(Default)]
            pub(crate) struct $name;

            impl Haste for $name {
                fn rests_on(&mut self, leaving: Leaving<'_>, after: Scope) -> Scope {
                    match leaving {
                        $pattern => Scope::NOTHING,
                        _ => after,
                    }
                }
            }
        )+
    };
}

leave_at_once! {
    /// A caller is told a name before the block of numbers that it is from is reserved.
    NamesToldEarly: Leaving::Decision(Decision::Begun(_)),
    /// Others are told a name before the block of numbers that it is from is reserved.
    NamesSentEarly: Leaving::Message(Message::About { what: What::Prepare { .. }, .. }),
    /// The local resource is asked under a name before the block of numbers that it is from is reserved.
    NamesHandedOverEarly: Leaving::Decision(Decision::Vote { .. }),
    /// Others are told that a transaction is over before that is written.
    RetirementSentEarly: Leaving::Message(Message::Retired { .. }),
    /// It is acknowledged that a transaction is over before that is written.
    RetirementNotedEarly: Leaving::Message(Message::RetiredNoted { .. }),
    /// A vote leaves before it is written.
    VotesSentEarly: Leaving::Message(Message::About { what: What::Vote { .. }, .. }),
    /// A ballot leaves before its round is reserved.
    BallotsSentEarly: Leaving::Message(Message::About { what: What::Phase1a { .. }, .. }),
    /// A promise leaves before it is written.
    PromisesSentEarly: Leaving::Message(Message::About { what: What::Phase1b { .. }, .. }),
    /// An acceptance leaves before it is written.
    AcceptancesSentEarly: Leaving::Message(Message::About { what: What::Phase2b { .. }, .. }),
    /// It is said that an outcome is carried out before that is written.
    FinishesSentEarly: Leaving::Message(Message::About { what: What::Finished(_), .. }),
    /// An outcome is told before the vote that it rests on is written.
    OutcomesToldEarly:
        Leaving::Decision(Decision::Commit { .. } | Decision::Abort { .. } | Decision::Decided { .. }),
}

/// The batch that gathers is taken for durable: what rests on it waits for the one before.
pub(crate) struct GatheringCountsAsDurable {
    before: Scope,
    gathering: Scope,
}

impl Default for GatheringCountsAsDurable {
    fn default() -> Self {
        Self { before: Scope::NOTHING, gathering: Scope::NOTHING }
    }
}

impl Haste for GatheringCountsAsDurable {
    fn rests_on(&mut self, _leaving: Leaving<'_>, after: Scope) -> Scope {
        if after == self.gathering { self.before } else { after }
    }

    fn persisted(&mut self, scope: Scope) {
        if scope != self.gathering {
            (self.before, self.gathering) = (self.gathering, scope);
        }
    }
}
