//! What a step allocates: nothing in the machines of one decree, and in a node no more per transaction than what it
//! keeps, what it writes and what it sends. And how many bytes a vote takes.

use allocation_counter::measure;
use synod::{
    Ballot, Effect, Machine, NodeId, Quorums, TxId,
    codec::encode_frame,
    commit::{
        self, Cluster, ClusterId, Config, Decision, Input, Learning, Message, Node, Outcome, Targets, Transaction, Vote,
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
    let counts = measure(|| _ = machine.step_into(input, effects));
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
        let config = paxos::ProposerConfig {
            id: ME,
            acceptors: acceptors(count),
            proposers: vec![ME, NodeId(101)],
            owner: None,
            eager: false,
        };
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
        let cluster = Cluster::new(ClusterId::default(), Quorums::majority(ACCEPTORS).unwrap(), [MANAGER]).unwrap();
        let cluster = cluster.with_learning(learning).with_targets(Targets::Quorum);
        let node = |id| Node::create(Config::new(cluster.clone(), NodeId(id), id)).0;
        Self { nodes: (0..7).map(node).collect(), effects: Vec::with_capacity(64), allocated: vec![0; 7] }
    }

    fn step(&mut self, at: NodeId, input: Input) -> Vec<commit::Effect> {
        let Self { nodes, effects, allocated } = self;
        let place = at.0 as usize;
        // The input is dropped by the step: what it frees does not count.
        allocated[place] += measure(|| _ = nodes[place].step_into(input, effects)).count_total;
        let mut all = Vec::with_capacity(effects.len());
        all.append(effects);
        all
    }

    /// Runs a transaction until every resource manager has finished it and every acceptor has acknowledged that.
    fn run(&mut self, transaction: &Transaction) {
        let mut inputs = vec![(MANAGER, Input::Begin(transaction.clone()))];
        let mut completed = false;
        for _ in 0..1_000 {
            let Some((at, input)) = inputs.pop() else { break };
            for effect in self.step(at, input) {
                match effect {
                    Effect::Persist(_) | Effect::Decide(Decision::Decided { .. }) => {}
                    Effect::Send { to, message } => inputs.insert(0, (to, Input::Receive { from: at, message })),
                    Effect::Decide(Decision::Vote(transaction)) => {
                        inputs.push((at, Input::Vote { tx: transaction.id(), vote: Vote::Prepared }));
                    }
                    Effect::Decide(Decision::Commit(tx)) => inputs.push((at, Input::Finished(tx))),
                    Effect::Decide(Decision::Abort(_)) => panic!("nobody aborts"),
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

/// How often each role allocates for one transaction, in the steady state.
fn allocations_per_transaction(learning: Learning) -> [u64; 3] {
    let mut group = Group::new(learning);
    // What grows up to a bound, as the list of transactions that the next tick looks at, has grown by then.
    let transactions: Vec<Transaction> = (1..=4_100).map(transaction).collect();
    let (warm_up, measured) = transactions.split_at(4_000);
    warm_up.iter().for_each(|transaction| group.run(transaction));
    group.allocated.fill(0);
    measured.iter().for_each(|transaction| group.run(transaction));
    // The last acceptor is not in the quorum, and only hears that all is over.
    let most = |nodes: &[NodeId]| nodes.iter().map(|node| group.allocated[node.0 as usize]).max().unwrap();
    [&RMS[..], &ACCEPTORS[..2], &[MANAGER]].map(|nodes| most(nodes).div_ceil(measured.len() as u64))
}

#[test]
fn a_node_allocates_no_more_for_a_transaction_than_what_it_keeps_writes_and_sends() {
    for learning in [Learning::Leader, Learning::Everyone] {
        let [rm, acceptor, manager] = allocations_per_transaction(learning);
        println!("{learning:?}: resource manager {rm}, acceptor {acceptor}, transaction manager {manager}");
        let faster = u64::from(learning == Learning::Everyone);
        // The transaction; where it learns by itself, what it has learned.
        assert_eq!(rm, 1 + faster);
        // The transaction, the instances of its record, and those of the bundle: one bundle for each who learns.
        assert_eq!(acceptor, 3 + 2 * faster);
        // The transaction, the transaction manager's part, and that part's instances.
        assert_eq!(manager, 3);
    }
}

#[test]
fn to_look_ahead_allocates_nothing() {
    let mut group = Group::new(Learning::Leader);
    let transaction = transaction(1);
    let messages: [Message; 8] = std::array::from_fn(|_| Message::Prepare { transaction: transaction.clone() });
    group.step(RMS[0], Input::Begin(transaction));
    let node = &group.nodes[RMS[0].0 as usize];
    assert_eq!(measure(|| _ = node.look_ahead(&messages)).count_total, 0);
}

#[test]
fn a_transaction_of_few_participants_and_little_content_is_one_allocation() {
    for (participants, content, expected) in [(1, 0, 1), (4, 22, 1), (5, 22, 2), (4, 23, 2), (300, 300, 3)] {
        let mut kept = None;
        let counts = measure(|| {
            let participants = (0..participants).map(NodeId);
            kept = Transaction::new(TxId::default(), participants, vec![0; content]).ok();
        });
        assert!(kept.is_some());
        assert_eq!(counts.count_current, expected, "{participants} participants, {content} bytes");
    }
}

#[test]
fn a_vote_among_three_takes_forty_bytes_at_most() {
    let vote = Message::Vote { transaction: transaction(1), vote: Vote::Prepared, manager: MANAGER };
    let frame = |messages: &[Message]| encode_frame(ClusterId::default(), RMS[0], ACCEPTORS[0], messages).len();
    let bytes = frame(std::slice::from_ref(&vote)) - frame(&[]);
    println!("{bytes} bytes, with 16 bytes of content");
    assert!(bytes <= 40, "{bytes} bytes");
}
