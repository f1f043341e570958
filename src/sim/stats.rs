//! What has happened in a world, in numbers.

macro_rules! stats {
    ($($name:ident: $text:literal,)+) => {
        /// What has happened in a world, so that a summary can show that it did.
        ///
        /// See the [module](crate::sim) for an example.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Stats {
            $(#[doc = concat!("How many ", $text, ".")] pub $name: u64,)+
        }

        impl core::ops::AddAssign for Stats {
            fn add_assign(&mut self, other: Self) {
                $(self.$name += other.$name;)+
            }
        }

        impl core::fmt::Display for Stats {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                $(writeln!(f, "{:>12}  {}", self.$name, $text)?;)+
                Ok(())
            }
        }
    };
}

stats! {
    events: "events",
    begun: "transactions begun",
    named_by_clients: "transactions named by clients",
    haunted: "transactions begun that name a node which does not exist",
    patient: "transactions whose client says how long to wait for votes",
    committed: "transactions committed",
    aborted: "transactions aborted",
    votes_to_abort: "votes to abort",
    votes_lost: "votes lost between a resource and its node",
    orphans: "prepared transactions that a resource let go of when it recovered",
    retirements: "writes of retired ranges",
    lies: "false words of participants about their end",
    recoveries: "ballots above 0 started",
    waited_for_a_turn: "recoveries that waited for their turn",
    concurrent_recoveries: "transactions recovered by two transaction managers",
    delivered: "messages delivered",
    duplicated: "messages delivered twice",
    late: "messages delivered again, much later",
    remembered: "looks back at how a transaction ended",
    after_retirement: "inputs about retired transactions",
    refused: "inputs refused",
    lost: "messages lost",
    lost_to_cuts: "messages lost to a cut",
    partitions: "partitions, both ways",
    one_way_cuts: "partitions, one way",
    syncs: "writes synced",
    overtaking: "messages that left while a write was under way",
    unsynced_writes_lost: "unsynced writes lost",
    torn_writes: "writes torn",
    failed_writes: "writes failed",
    crashes: "crashes",
    restarts: "restarts",
    restarts_in_doubt: "restarts with a vote but no outcome",
    damaged: "storages damaged",
    kept_away: "times that a node with a damaged storage was started, and did not come up",
    compactions: "disks cut down to a snapshot",
    refused_for_room: "inputs refused for want of room",
    small_worlds: "worlds with room for one or two transactions",
    stayed_dead: "nodes that stayed dead while the rest came to its end",
    worlds_with_dead: "worlds with such nodes",
    worlds_with_dead_participants: "worlds in which such nodes take part in transactions",
    declined: "times that a resource could not prepare, and might not vote to abort",
    found: "prepared transactions that a resource found in itself",
    hidden: "prepared transactions that a resource did not find for a while",
    second_votes: "second and different votes of a participant",
    second_votes_refused: "second and different votes that an acceptor noticed",
    stolen_names: "transactions begun under a name that another node numbers",
    left_waiting: "times that a node of a healed world waits for an outcome which does not come",
    resolved: "times that an operator ends that",
    changes: "changes of the membership that were asked for",
    changes_refused: "changes that were refused",
    changed: "changes that came about as asked for",
    overtaken: "changes that another one overtook",
    epochs: "times that a node went to another epoch",
    switched_off: "machines switched off for good",
    woken: "nodes started again by their operators, since nobody was left whom they knew",
}
