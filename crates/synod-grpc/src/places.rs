//! Places for connections: how many there are, and for whom.
//!
//! A connection is a *newcomer* until it is known for whom it is: over TLS until its handshake is over, in plain text until
//! its first call, and for ever if its certificate is nobody's in this cluster. There are few places for newcomers, and
//! when they are taken, the oldest gives way: an honest caller is not a newcomer for long. Then it takes one of the places
//! for nodes or one of those for clients. Neither takes the other's, and nobody takes more than a few of them.
//!
//! In plain text anyone may call what is for nodes, and so take a node's place: that keeps clients that leak connections
//! from the places of nodes, and nobody who means harm.
//!
//! A connection over which no permitted call has come when its time is over is closed, with or without a place.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use synod::{NodeId, commit::EpochTag};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::{Fault, Options, listener::Caller, requests::Room, stats::ServerCounters};

/// The places of one server.
pub(crate) struct Places {
    options: Options,
    counters: Arc<ServerCounters>,
    newcomers: Arc<Semaphore>,
    /// For the half-sent requests of all together that are not proved to be nodes.
    room: Room,
    serial: AtomicU64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// By age.
    newcomers: BTreeMap<u64, Arc<Line>>,
    nodes: usize,
    clients: usize,
    /// How many places each of those has whose certificates are known.
    each: BTreeMap<Caller, usize>,
}

/// What is known of a connection, to itself and to the calls over it.
pub(crate) struct Line {
    serial: u64,
    places: Arc<Places>,
    standing: Mutex<Standing>,
    /// It has made a call that it may make.
    has_called: AtomicBool,
    over: watch::Sender<bool>,
    /// Of large answers there is one at a time.
    pub(crate) answers: Arc<Semaphore>,
    /// Of streams there are few at a time.
    pub(crate) streams: Arc<Semaphore>,
    /// And so of what tools watch and ask.
    pub(crate) lasting: Arc<Semaphore>,
    /// For half-sent requests.
    room: Room,
    /// Who was let speak last over this connection, and in which epoch of the node here.
    met: Mutex<Option<(Greeting, Option<EpochTag>)>>,
}

/// What a node says of itself before anything else. 0 does not tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Greeting {
    pub(crate) node: NodeId,
    /// Drawn when it was created.
    pub(crate) birth: u64,
    /// Drawn when its process started.
    pub(crate) life: u64,
    pub(crate) epoch: Option<EpochTag>,
}

/// A node needs one stream of packets at a time. It may have made the next before the end of the last is noticed.
const STREAMS: usize = 2;

/// A tool needs one or two.
const LASTING: usize = 16;

enum Standing {
    New { _place: OwnedSemaphorePermit },
    Settled { caller: Caller, side: Side },
    Over,
}

/// For whom a place is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Node,
    Client,
}

/// The place of a connection. Dropped, it is free.
pub(crate) struct Place(pub(crate) Arc<Line>);

impl Places {
    pub(crate) fn new(options: Options, counters: Arc<ServerCounters>) -> Arc<Self> {
        let newcomers = Arc::new(Semaphore::new(options.newcomers.min(Semaphore::MAX_PERMITS)));
        let room = Room::of_all(&options);
        Arc::new(Self { options, counters, newcomers, room, serial: AtomicU64::new(0), state: Mutex::default() })
    }

    /// A place for a connection that was just accepted, at the cost of the oldest newcomer if need be.
    pub(crate) async fn newcomer(self: &Arc<Self>) -> Place {
        let newcomers = Arc::clone(&self.newcomers);
        let place = match Arc::clone(&newcomers).try_acquire_owned() {
            Ok(place) => Ok(place),
            Err(_) => {
                let oldest = self.lock().newcomers.pop_first();
                if let Some((_, oldest)) = oldest {
                    self.counters.fault(Fault::Crowded);
                    oldest.end();
                }
                newcomers.acquire_owned().await
            }
        };
        // Nobody closes the semaphore.
        let standing = place.map_or(Standing::Over, |_place| Standing::New { _place });
        let serial = self.serial.fetch_add(1, Ordering::Relaxed);
        let line = Arc::new(Line {
            serial,
            places: Arc::clone(self),
            standing: Mutex::new(standing),
            has_called: AtomicBool::new(false),
            over: watch::channel(false).0,
            answers: Arc::new(Semaphore::new(1)),
            streams: Arc::new(Semaphore::new(STREAMS)),
            lasting: Arc::new(Semaphore::new(LASTING)),
            room: Room::of_one(&self.options),
            met: Mutex::default(),
        });
        self.lock().newcomers.insert(serial, Arc::clone(&line));
        Place(line)
    }

    /// Takes a place. Returns false if all are taken.
    fn take(&self, serial: u64, caller: Caller, side: Side) -> bool {
        let mut state = self.lock();
        let (taken, most) = match side {
            Side::Node => (state.nodes, self.options.node_connections),
            Side::Client => (state.clients, self.options.connections),
        };
        let own = state.each.get(&caller).copied().unwrap_or(0);
        if taken >= most {
            self.counters.fault(Fault::TooManyConnections);
            return false;
        }
        if caller != Caller::Anyone && own >= self.options.connections_each {
            self.counters.fault(Fault::TooManyOfOne);
            return false;
        }
        state.newcomers.remove(&serial);
        match side {
            Side::Node => state.nodes += 1,
            Side::Client => state.clients += 1,
        }
        state.each.insert(caller, own + 1);
        true
    }

    fn leave(&self, serial: u64, standing: &Standing) {
        let mut state = self.lock();
        state.newcomers.remove(&serial);
        let Standing::Settled { caller, side } = standing else { return };
        match side {
            Side::Node => state.nodes -= 1,
            Side::Client => state.clients -= 1,
        }
        match state.each.get_mut(caller) {
            Some(own) if *own > 1 => *own -= 1,
            _ => drop(state.each.remove(caller)),
        }
    }

    /// Nothing that panics is done with the lock held, so that a poisoned one is as good.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Line {
    /// Takes a place for `caller`, unless it has one. Returns false if all are taken.
    pub(crate) fn settle(&self, caller: Caller, side: Side) -> bool {
        let mut standing = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        match &*standing {
            Standing::Settled { .. } => true,
            Standing::Over => false,
            Standing::New { .. } => {
                let has_place = self.places.take(self.serial, caller, side);
                if has_place {
                    *standing = Standing::Settled { caller, side };
                }
                has_place
            }
        }
    }

    /// Where half-sent requests must have room.
    pub(crate) fn rooms(&self) -> impl Iterator<Item = &Room> {
        let standing = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        let is_node = matches!(*standing, Standing::Settled { caller: Caller::Node(_), .. });
        // Nobody else takes the room of nodes.
        [&self.room].into_iter().chain((!is_node).then_some(&self.places.room))
    }

    /// Asks `meet` whether a node that greets like this may speak, unless it was the last to speak over this connection, and the
    /// node here is in the same epoch, `own`, since. In a later one the other may be written off. The epoch that it has said is
    /// old by then, and is not said again.
    pub(crate) fn meet<E>(
        &self,
        greeting: Greeting,
        own: Option<EpochTag>,
        meet: impl FnOnce(Greeting) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut met = self.met.lock().unwrap_or_else(PoisonError::into_inner);
        if *met == Some((greeting, own)) {
            return Ok(());
        }
        let is_old = met.take().is_some_and(|(known, _)| known == greeting);
        meet(Greeting { epoch: greeting.epoch.filter(|_| !is_old), ..greeting })?;
        *met = Some((greeting, own));
        Ok(())
    }

    /// It has made a call that it may make.
    pub(crate) fn called(&self) {
        self.has_called.store(true, Ordering::Relaxed);
    }

    pub(crate) fn has_called(&self) -> bool {
        self.has_called.load(Ordering::Relaxed)
    }

    /// Has the connection end, whatever is under way.
    pub(crate) fn end(&self) {
        self.over.send_replace(true);
    }

    /// Done when it must end.
    pub(crate) fn over(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut over = self.over.subscribe();
        // The sender is gone with the connection.
        async move { drop(over.wait_for(|over| *over).await) }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut standing = self.0.standing.lock().unwrap_or_else(PoisonError::into_inner);
        self.0.places.leave(self.0.serial, &standing);
        *standing = Standing::Over;
    }
}
