//! What a world is made of.

use serde::{Deserialize, Serialize};

use super::Rng;
use crate::{
    NodeId, Phase, Quorums, TxId,
    commit::{Cluster, ClusterId, ClusterSpec, Learning, Limits, Targets, Timeouts},
};

/// What a liar does that can hurt others: the two lies that the protocol does not rule out.
///
/// See [`Schedule::hurt`](super::Schedule::hurt) for an example.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Hurt {
    /// It votes a second time, and differently.
    SecondVotes,
    /// It uses names that other nodes number, for transactions of its own.
    Names,
}

impl Hurt {
    /// Whether a transaction of this name may be hurt: one in two may, by its number, so that it is known beforehand which.
    pub fn may_hit(tx: TxId) -> bool {
        tx.seq % 2 == 1
    }
}

/// What a world is made of.
///
/// See [`World`](super::World) for an example.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Setup {
    /// The configuration that all nodes share.
    pub cluster: Cluster,
    /// All nodes: acceptors, transaction managers and resource managers.
    pub nodes: Vec<NodeId>,
    /// Those that may take part in transactions.
    pub resource_managers: Vec<NodeId>,
    /// Those that stay dead while all else is healed. What must end without them does, and then they come back.
    #[serde(default)]
    pub stay_dead: Vec<NodeId>,
    /// Those of them whose storages are damaged at some moment, so that they never come back.
    #[serde(default)]
    pub damaged: Vec<NodeId>,
    /// Whether every effect waits for all records before it, and what is free for the next write. Otherwise each waits
    /// for the [scope](crate::Scope) that its node gave it, and leaves as soon as that is durable, also while another
    /// batch is being written.
    #[serde(default)]
    pub in_order: bool,
    /// Resource managers that may say falsely that they are done, or, in a world that is [hurt](Self::hurt), do what hurts
    /// others. They are neither acceptors nor transaction managers, unless all that they do is to use other nodes' names.
    #[serde(default)]
    pub liars: Vec<NodeId>,
    /// Whether nodes are told whom they meet. They meet all others when they start.
    #[serde(default)]
    pub acquainted: bool,
    /// Nodes that do not exist, and that some transactions name all the same. Only where nodes are told whom they meet.
    #[serde(default)]
    pub ghosts: Vec<NodeId>,
    /// How long the votes on each transaction are waited for that begins at a transaction manager, if clients say so.
    #[serde(default)]
    pub patience: Option<u64>,
    /// Resource managers whose votes are durable in their resources: these hold what they have prepared through
    /// everything, and may fail to find it for a while.
    #[serde(default)]
    pub votes_elsewhere: Vec<NodeId>,
    /// What the liars do that can hurt others, if they do.
    #[serde(default)]
    pub hurt: Option<Hurt>,
    /// Nodes that come later, to be members in the place of others.
    #[serde(default)]
    pub newcomers: Vec<NodeId>,
    /// Those of them that operators start with the first members in their configuration, however long these have been gone.
    #[serde(default)]
    pub old_files: Vec<NodeId>,
}

impl Setup {
    /// A world of these nodes in which everybody comes back and nobody lies.
    pub fn new(cluster: Cluster, nodes: Vec<NodeId>, resource_managers: Vec<NodeId>) -> Self {
        Self {
            cluster,
            nodes,
            resource_managers,
            stay_dead: Vec::new(),
            damaged: Vec::new(),
            in_order: false,
            liars: Vec::new(),
            acquainted: false,
            ghosts: Vec::new(),
            patience: None,
            votes_elsewhere: Vec::new(),
            hurt: None,
            newcomers: Vec::new(),
            old_files: Vec::new(),
        }
    }

    /// Whether a transaction of this name may be hurt.
    pub fn may_hurt(&self, tx: TxId) -> bool {
        self.hurt.is_some() && Hurt::may_hit(tx)
    }

    /// Whether a name may be used twice.
    pub(super) fn may_use_twice(&self, tx: TxId) -> bool {
        self.hurt == Some(Hurt::Names) && self.may_hurt(tx)
    }

    /// Between one and five acceptors, one and three transaction managers and five resource managers, each of them a
    /// node of its own or beside another.
    pub(super) fn draw(rng: &mut Rng) -> Self {
        let acceptors: Vec<NodeId> = (1..=[1, 3, 3, 3, 5][rng.below(5) as usize]).map(NodeId).collect();
        let managers = rng.between(1, 3);
        let mut place = |count: u64, base: u64| -> Vec<NodeId> {
            let beside = rng.once_in(2);
            (1..=count).map(|number| NodeId(if beside { number } else { base + number })).collect()
        };
        let managers = place(managers, 20);
        let resource_managers = place(5, 10);
        let cluster = draw_cluster(rng, &acceptors, &managers);
        let mut nodes: Vec<NodeId> =
            acceptors.into_iter().chain(managers).chain(resource_managers.iter().copied()).collect();
        nodes.sort_unstable();
        nodes.dedup();
        Self::new(cluster, nodes, resource_managers)
    }

    /// In some worlds a node has room for one or two transactions, and refuses most.
    pub(super) fn draw_room(&mut self, rng: &mut Rng) {
        let open = *rng.pick(&[1, 2, 1_000, 1_000, 1_000, 1_000]).unwrap_or(&1_000);
        self.limit(self.cluster.limits().with_open(open));
    }

    /// In some worlds nodes are told whom they meet, and some transactions name a node that does not exist.
    pub(super) fn draw_ghosts(&mut self, rng: &mut Rng) {
        self.acquainted = rng.once_in(2);
        if self.acquainted && rng.once_in(2) {
            self.ghosts.push(NodeId(2_000));
        }
    }

    /// In some worlds a transaction manager recovers one or two transactions at a time.
    pub(super) fn draw_turns(&mut self, rng: &mut Rng) {
        if rng.once_in(3) {
            self.limit(self.cluster.limits().with_recoveries(rng.between(1, 2) as usize));
        }
    }

    /// In some worlds clients say how long the votes on their transactions are waited for.
    pub(super) fn draw_patience(&mut self, rng: &mut Rng) {
        if rng.once_in(4) {
            self.patience = Some(rng.between(1, 3_000));
        }
    }

    /// In some worlds effects are carried out in order, and in most of them by their scopes.
    pub(super) fn draw_order(&mut self, rng: &mut Rng) {
        self.in_order = rng.once_in(3);
    }

    /// In some worlds the votes of some resource managers are durable in their resources.
    pub(super) fn draw_kinds(&mut self, rng: &mut Rng) {
        if rng.once_in(3) {
            self.votes_elsewhere = rng.some(&self.resource_managers, 1);
            // One that forgets what it has voted and lies about its end hurts itself, and nobody else.
            self.votes_elsewhere.retain(|node| !self.liars.contains(node));
        }
    }

    /// In some worlds a resource manager lies.
    pub(super) fn draw_liars(&mut self, rng: &mut Rng) {
        if rng.once_in(4) {
            self.liars.extend(rng.pick(&self.mere_participants()));
        }
    }

    /// Resource managers that are neither acceptors nor transaction managers.
    fn mere_participants(&self) -> Vec<NodeId> {
        let is_keeper = |node: &NodeId| self.cluster.acceptors().contains(*node) || self.cluster.is_manager(*node);
        self.resource_managers.iter().copied().filter(|node| !is_keeper(node)).collect()
    }

    /// A resource manager hurts others. A transaction that is blocked by that keeps its room, so there is room enough.
    pub(super) fn draw_hurt(&mut self, rng: &mut Rng) {
        match rng.pick(&self.mere_participants()).copied().filter(|_| rng.once_in(2)) {
            Some(liar) => {
                self.limit(self.cluster.limits().with_open(1_000));
                self.liars = vec![liar];
                self.votes_elsewhere.retain(|node| *node != liar);
                self.hurt = Some(Hurt::SecondVotes);
            }
            None => self.draw_names(rng),
        }
    }

    /// Names are used twice. Then nothing may go by names alone: no history, and no resource that knows what it holds by its
    /// name. And there is room enough for what that blocks.
    pub(super) fn draw_names(&mut self, rng: &mut Rng) {
        self.limit(self.cluster.limits().with_open(1_000).with_history(0));
        self.liars = rng.pick(&self.resource_managers).copied().into_iter().collect();
        self.votes_elsewhere.clear();
        self.hurt = Some(Hurt::Names);
    }

    /// Members are replaced. All that were there at first and are up come back, unless they are switched off for good; and there
    /// is room enough. Whoever does not exist would be waited for until an operator writes it off: no acceptor of an epoch that
    /// is over can tell any more that it has not voted.
    pub(super) fn draw_newcomers(&mut self, rng: &mut Rng) {
        self.limit(self.cluster.limits().with_open(1_000));
        self.stay_dead.clear();
        self.ghosts.clear();
        self.newcomers = (1..=rng.between(1, 8)).map(|number| NodeId(30 + number)).collect();
        // In some worlds what is told of an epoch takes many pages, down to an entry on each.
        if rng.once_in(2) {
            let page = *rng.pick(&[1, 1, 40, 80, 160]).unwrap_or(&1);
            self.limit(self.cluster.limits().with_page(page));
        }
    }

    /// In some worlds operators start newcomers with an old file.
    pub(super) fn draw_old_files(&mut self, rng: &mut Rng) {
        if rng.once_in(4) {
            self.old_files = rng.some(&self.newcomers, 1);
        }
    }

    /// The storages of some nodes are damaged, at any moment. The others can bring every transaction to its outcome without them.
    pub(super) fn draw_damaged(&mut self, rng: &mut Rng) {
        for _ in 0..8 {
            if self.stay_dead.is_empty() {
                self.draw_dead(rng);
            }
        }
        self.damaged = rng.some(&self.stay_dead, 1);
    }

    fn limit(&mut self, limits: Limits) {
        if let Ok(cluster) = self.cluster.spec().clone().with_limits(limits).build() {
            self.cluster = cluster;
        }
    }

    /// In some worlds nodes stay dead: as many acceptors as the quorums can do without, and all transaction managers but
    /// one; sometimes resource managers as well.
    pub(super) fn draw_dead(&mut self, rng: &mut Rng) {
        if rng.once_in(2) {
            return;
        }
        let any = rng.once_in(3);
        let mut candidates = self.nodes.clone();
        candidates.retain(|node| any || !self.resource_managers.contains(node));
        while !candidates.is_empty() {
            let node = candidates.swap_remove(rng.below(candidates.len() as u64) as usize);
            self.stay_dead.push(node);
            // Now and then it is fewer than could be.
            if !self.can_go_on() || rng.once_in(5) {
                self.stay_dead.pop();
            }
        }
        self.stay_dead.sort_unstable();
    }

    /// Whether those that do not stay dead can bring every transaction to its outcome.
    fn can_go_on(&self) -> bool {
        let lives = |node: &NodeId| !self.stay_dead.contains(node);
        let acceptors = self.cluster.acceptors();
        let living = acceptors.members(acceptors.nodes().filter(lives));
        let quorums = [Phase::Prepare, Phase::Accept].into_iter().all(|phase| acceptors.is_quorum(phase, living));
        quorums && self.cluster.managers().iter().any(lives) && self.resource_managers.iter().any(lives)
    }
}

fn draw_cluster(rng: &mut Rng, acceptors: &[NodeId], managers: &[NodeId]) -> Cluster {
    let quorums = match acceptors {
        [_, _, _, _, _] if rng.once_in(3) => Quorums::flexible(acceptors, 4, 2),
        [heavy, one, two] if rng.once_in(6) => Quorums::weighted([(*heavy, 2), (*one, 1), (*two, 1)], 3, 2),
        _ => Quorums::majority(acceptors),
    };
    let timeouts = Timeouts { flush: 20, recover: 100, inquire: 150, repeat: 60, ceiling: 1_000 };
    let limits = Limits::new().with_open(1_000).with_participants(16).with_meta(64).with_history(128);
    let learning = if rng.once_in(2) { Learning::Everyone } else { Learning::Leader };
    let targets = if rng.once_in(2) { Targets::Quorum } else { Targets::All };
    let spec = ClusterSpec::new(
        ClusterId(*b"a simulated one."),
        quorums.expect("each of these is a valid quorum system"),
        managers,
    );
    let spec = spec.with_timeouts(timeouts).with_limits(limits).with_learning(learning).with_targets(targets);
    spec.build().expect("each of these is a valid configuration")
}
