//! What a mutant is shown first: all that is quick, as one program, which links once. See `.cargo/mutants.toml`.

#![allow(clippy::duplicate_mod, reason = "each of these files is a program of its own, with support of its own")]
#![allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "as in tests/outbox.rs")]

#[path = "../acceptor_rules.rs"]
mod acceptor_rules;
#[path = "../adversity.rs"]
mod adversity;
#[path = "../codec/main.rs"]
mod codec;
#[path = "../codec_alloc.rs"]
mod codec_alloc;
#[path = "../cost.rs"]
mod cost;
#[path = "../events.rs"]
mod events;
#[path = "../golden/main.rs"]
mod golden;
#[path = "../node/main.rs"]
mod node;
#[path = "../outbox.rs"]
mod outbox;
#[path = "../outbox_scopes.rs"]
mod outbox_scopes;
#[path = "../paxos/main.rs"]
mod paxos;
#[path = "../perform/main.rs"]
mod perform;
#[path = "../places.rs"]
mod places;
#[path = "../published_bugs_paxos.rs"]
mod published_bugs_paxos;
#[path = "../seed_faults.rs"]
mod seed_faults;
#[path = "../seed_faults_commit.rs"]
mod seed_faults_commit;
#[path = "../serde.rs"]
mod serde;
#[path = "../strategies.rs"]
mod strategies;
#[path = "../vocabulary.rs"]
mod vocabulary;
