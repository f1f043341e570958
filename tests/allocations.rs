//! What a step allocates: nothing in the machines of one decree, and in a node no more per transaction than what it
//! keeps, what it writes and what it sends. And how many bytes a vote takes.

use allocation_counter::measure;
use synod::{
    Ballot, Effect, Machine, NodeId, Quorums, TxId,
    codec::encode_frame,
    commit::{
        self, ClusterId, ClusterSpec, Config, Decision, Input, Learning, Limits, Message, Meta, Node, Outcome,
        Participants, Targets, Transaction, Vote, What,
    },
    paxos,
};

const ME: NodeId = NodeId(100);

/// Long enough not to fit in a few words.
type Value = [u8; 64];

fn acceptors(count: u64) -> Quorums {
    Quorums::majority((1..=count).map(NodeId)).unwrap()
}

/// How often `step` allocates, given a list with room.
fn allocations<M: Machine>(machine: &mut M, input: M::Input, effects: &mut Vec<synod::EffectOf<M>>) -> u64 {
    effects.clear();
    let counts = measure(|| {
        let _ = machine.step_into(input, effects);
    });
    assert!(!effects.is_empty() || counts.count_total == 0, "what has no effect allocates nothing");
    counts.count_total
}

fn receive(from: u64, message: paxos::Message<Value>) -> paxos::Input<Value> {
    paxos::Input::Receive { from: NodeId(from), message }
}

#[test]
fn an_acceptor_allocates_nothing() {
    let mut acceptor = paxos::Acceptor::<Value>::new(None);
    let mut effects = Vec::with_capacity(8);
    for round in 1..100 {
        let (ballot, value) = (Ballot::new(round, NodeId(1 + round % 3)), [round as u8; 64]);
        let from = ballot.node.0;
        for message in [paxos::Message::Prepare { ballot }, paxos::Message::Accept { ballot, value }] {
            assert_eq!(allocations(&mut acceptor, receive(from, message), &mut effects), 0);
            assert_eq!(effects.len(), 2, "it writes and answers");
            assert_eq!(allocations(&mut acceptor, receive(from, message), &mut effects), 0, "again");
        }
        let stale = paxos::Message::Prepare { ballot: Ballot::new(round - 1, NodeId(1)) };
        assert_eq!(allocations(&mut acceptor, receive(1, stale), &mut effects), 0);
    }
}

#[test]
fn a_proposer_allocates_nothing() {
    for count in [3, 5] {
        let config = paxos::ProposerConfig::new(ME, acceptors(count), [ME, NodeId(101)]);
        let mut proposer = paxos::Proposer::<Value>::new(config);
        let mut effects = Vec::with_capacity(16);
        assert_eq!(allocations(&mut proposer, paxos::Input::Propose([7; 64]), &mut effects), 0);
        for round in 1..10 {
            let ballot = Ballot::new(round, ME);
            assert_eq!(proposer.ballot(), Some(ballot));
            for from in 1..=count {
                let accepted = Some((Ballot::new(0, NodeId(5)), [8; 64]));
                let promise = paxos::Message::Promise { ballot, accepted };
                assert_eq!(allocations(&mut proposer, receive(from, promise), &mut effects), 0);
            }
            let promised = Ballot::new(round, NodeId(101));
            let reject = paxos::Message::Reject { ballot, promised };
            assert_eq!(allocations(&mut proposer, receive(1, reject), &mut effects), 0);
            assert_eq!(allocations(&mut proposer, paxos::Input::Timeout, &mut effects), 0);
        }
        let ballot = proposer.ballot().unwrap();
        for from in 1..=count {
            let promise = paxos::Message::Promise { ballot, accepted: None };
            assert_eq!(allocations(&mut proposer, receive(from, promise), &mut effects), 0);
        }
        for from in 1..=count {
            let accepted = paxos::Message::Accepted { ballot, value: [7; 64] };
            assert_eq!(allocations(&mut proposer, receive(from, accepted), &mut effects), 0);
        }
        assert_eq!(proposer.chosen(), Some(&[7; 64]));
    }
}

#[test]
fn a_learner_of_one_ballot_allocates_nothing() {
    for count in [3, 5] {
        let mut learner = paxos::Learner::<Value>::new(acceptors(count));
        let mut effects = Vec::with_capacity(1);
        for from in 1..=count {
            let accepted = paxos::Message::Accepted { ballot: Ballot::new(1, ME), value: [7; 64] };
            assert_eq!(allocations(&mut learner, receive(from, accepted), &mut effects), 0);
        }
        assert_eq!(learner.chosen(), Some(&[7; 64]));
    }
}

/// One transaction after the other among three resource managers, two of three acceptors and a transaction manager,
/// every one on a process of its own.
struct Group {
    nodes: Vec<Node>,
    effects: Vec<commit::Effect>,
    /// How often each node allocated since it was last asked.
    allocated: Vec<u64>,
}

const RMS: [NodeId; 3] = [NodeId(0), NodeId(1), NodeId(2)];
const ACCEPTORS: [NodeId; 3] = [NodeId(3), NodeId(4), NodeId(5)];
const MANAGER: NodeId = NodeId(6);

impl Group {
    fn new(learning: Learning) -> Self {
        let spec = ClusterSpec::new(ClusterId::default(), Quorums::majority(ACCEPTORS).unwrap(), [MANAGER]);
        // What is remembered of ended transactions grows up to this bound.
        let limits = Limits::default().with_history(1 << 10);
        let spec = spec.with_learning(learning).with_targets(Targets::Quorum).with_limits(limits);
        let cluster = spec.build().unwrap();
        let node = |id| Node::create(Config::new(cluster.clone(), NodeId(id), id)).0;
        Self { nodes: (0..7).map(node).collect(), effects: Vec::with_capacity(64), allocated: vec![0; 7] }
    }

    fn step(&mut self, at: NodeId, input: Input) -> Vec<commit::Effect> {
        let Self { nodes, effects, allocated } = self;
        let place = at.0 as usize;
        // The input is dropped by the step: what it frees does not count.
        let step = || nodes[place].step_into(input, effects).expect("nothing is refused");
        allocated[place] += measure(step).count_total;
        let mut all = Vec::with_capacity(effects.len());
        all.append(effects);
        all
    }

    /// Runs a transaction until every resource manager has finished it and every acceptor has acknowledged that.
    fn run(&mut self) {
        let begin = Input::Begin { participants: Participants::new(RMS).unwrap(), meta: Meta::from([0; 16]) };
        let mut inputs = vec![(MANAGER, begin)];
        let mut completed = false;
        for _ in 0..1_000 {
            let Some((at, input)) = inputs.pop() else { break };
            for effect in self.step(at, input) {
                match effect {
                    Effect::Persist(_)
                    | Effect::Decide(
                        Decision::Begun(_)
                        | Decision::Named(_)
                        | Decision::Decided { .. }
                        | Decision::Forget(_)
                        | Decision::Epoch { .. }
                        | Decision::Changed { .. },
                    ) => {}
                    Effect::Send { to, message } => inputs.insert(0, (to, Input::Receive { from: at, message })),
                    Effect::Decide(Decision::Vote { transaction, .. }) => {
                        inputs.push((at, Input::Vote { transaction, vote: Vote::Prepared }));
                    }
                    Effect::Decide(Decision::Commit { transaction, .. }) => {
                        inputs.push((at, Input::Finished(transaction.id())));
                    }
                    Effect::Decide(Decision::Abort { .. }) => panic!("nobody aborts"),
                    Effect::Decide(Decision::Completed { outcome, .. }) => completed = outcome == Outcome::Committed,
                }
            }
        }
        assert!(completed && inputs.is_empty());
    }
}

fn transaction(seq: u64) -> Transaction {
    Transaction::new(TxId { origin: MANAGER, seq }, RMS, [0; 16]).unwrap()
}

/// How many transactions are measured.
const MEASURED: u64 = 1_000;

/// How often each node allocates for one transaction, in the steady state.
fn allocations_per_transaction(learning: Learning) -> Vec<u64> {
    let mut group = Group::new(learning);
    // What grows up to a bound has grown by then.
    (0..4_000).for_each(|_| group.run());
    group.allocated.fill(0);
    (0..MEASURED).for_each(|_| group.run());
    group.allocated.iter().map(|count| count.div_ceil(MEASURED)).collect()
}

#[test]
fn a_node_allocates_nothing_for_a_transaction_in_the_steady_state() {
    for learning in [Learning::Leader, Learning::Everyone] {
        let allocated = allocations_per_transaction(learning);
        println!("{learning:?}: {allocated:?}");
        assert_eq!(allocated, [0; 7]);
    }
}

/// A packet is looked at before its messages are taken, to have the memory that they need at hand.
#[test]
fn a_packet_allocates_no_more_than_its_messages_one_by_one() {
    let transactions: Vec<Transaction> = (1..=8).map(transaction).collect();
    let prepares: Vec<Message> = transactions
        .iter()
        .map(|transaction| Message::about(transaction, What::prepare(Meta::from([0; 16]))))
        .collect();
    let mut group = Group::new(Learning::Leader);
    let rm = &mut group.nodes[RMS[0].0 as usize];
    let mut effects = Vec::with_capacity(64);
    rm.receive(MANAGER, &prepares, &mut effects);
    assert_eq!(effects.len(), 8, "it asks its resource eight times");
    // Said again, they need nothing at all.
    assert_eq!(measure(|| rm.receive(MANAGER, &prepares, &mut effects)).count_total, 0);
    assert_eq!(effects.len(), 8);
}

#[test]
fn a_transaction_of_few_participants_and_a_short_content_allocate_nothing() {
    // To sort what is not in a list in place takes a list, which is gone when the transaction is there.
    for (participants, content, expected) in [(1, 0, [0, 0]), (3, 22, [0, 0]), (4, 22, [1, 0]), (3, 23, [0, 1])] {
        let participants: Vec<NodeId> = (0..participants).map(NodeId).collect();
        let (mut meta, mut kept) = (None, None);
        let of_meta = measure(|| meta = Some(Meta::from(&vec![0; content][..])));
        let meta = meta.unwrap();
        let of_transaction = measure(|| {
            let participants = Participants::new(&participants).unwrap();
            kept = Some(Transaction::of(TxId::default(), participants, &meta));
        });
        let counts = [of_transaction.count_current, of_meta.count_current];
        assert_eq!(counts, expected, "{} participants, {content} bytes", participants.len());
        let kept = kept.unwrap();
        let mut again = None;
        let counts = measure(|| again = Some((kept.clone(), meta.clone())));
        assert_eq!(counts.count_total, 0, "a copy shares what does not fit");
    }
}

#[test]
fn a_vote_among_three_takes_forty_bytes_at_most() {
    let vote = Message::about(&transaction(1), What::Vote { vote: Vote::Prepared, manager: MANAGER });
    let frame = |messages: &[Message]| encode_frame(ClusterId::default(), RMS[0], ACCEPTORS[0], messages).len();
    let bytes = frame(std::slice::from_ref(&vote)) - frame(&[]);
    println!("{bytes} bytes, with 16 bytes of content");
    assert!(bytes <= 40, "{bytes} bytes");
}
