//! What waits for one other node.
//!
//! Anyone may [`push`](Queue::push) at any time, and nobody ever waits for that: what is too much pushes the oldest out,
//! which the protocol is the least likely to still need. One connection takes from the queue at a time, as much at once
//! as has gathered while the network was busy.

use std::{
    collections::VecDeque,
    future::poll_fn,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use synod::commit::Message;
use tonic::codegen::tokio_stream::Stream;

use crate::{Options, stats::PeerCounters, v1, wire};

/// A packet of more than one message has no more bytes than this.
const PACKET: usize = 1 << 16;

pub(crate) struct Queue {
    state: Mutex<State>,
    /// The largest message that may be sent, the most messages, and the most bytes.
    largest: usize,
    most: usize,
    most_bytes: usize,
    counters: Arc<PeerCounters>,
}

#[derive(Default)]
struct State {
    /// Each with a bound on its size.
    messages: VecDeque<(Message, usize)>,
    bytes: usize,
    /// Nothing more is taken in.
    closed: bool,
    /// Counts connections: only the last one may take from the queue.
    connection: u64,
    /// Whether that one may take already.
    open: bool,
    /// Whether it may at least say who this is.
    greets: bool,
    /// Whether there should be a connection even if nothing waits.
    wanted: bool,
    /// The task that waits for something to take.
    waker: Option<Waker>,
}

/// What one connection takes from a queue.
pub(crate) struct Outgoing {
    queue: Arc<Queue>,
    connection: u64,
    route: v1::Route,
    /// The first packet says who this is, and goes whether there is something to say or not.
    has_greeted: bool,
}

impl Queue {
    pub(crate) fn new(options: &Options, counters: Arc<PeerCounters>) -> Self {
        Self {
            state: Mutex::default(),
            largest: options.message.saturating_sub(wire::PACKET_OVERHEAD),
            most: options.queue,
            most_bytes: options.queue_bytes.max(options.message),
            counters,
        }
    }

    /// Appends `messages`, at the cost of the oldest ones.
    pub(crate) fn push(&self, messages: Vec<Message>) {
        let mut state = self.lock();
        if state.closed {
            self.counters.dropped.add(messages.len() as u64);
            return;
        }
        for message in messages {
            let size = wire::size(&message);
            if size > self.largest {
                self.counters.oversized.add(1);
            } else {
                state.bytes += size;
                state.messages.push_back((message, size));
            }
        }
        let mut dropped = 0;
        while state.messages.len() > self.most || state.bytes > self.most_bytes {
            let Some((_, size)) = state.messages.pop_front() else { break };
            state.bytes -= size;
            dropped += 1;
        }
        if dropped > 0 {
            self.counters.dropped.add(dropped);
        }
        let waker = state.waker.take();
        drop(state);
        waker.into_iter().for_each(Waker::wake);
    }

    /// How many messages wait.
    pub(crate) fn len(&self) -> usize {
        self.lock().messages.len()
    }

    /// Takes nothing more in. What waits may still be sent.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.waker.take().into_iter().for_each(Waker::wake);
    }

    /// Takes nothing more in, and drops what waits.
    pub(crate) fn clear(&self) {
        let mut state = self.lock();
        self.counters.dropped.add(state.messages.len() as u64);
        state.messages.clear();
        state.bytes = 0;
        drop(state);
        self.close();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// Says whether there should be a connection even if nothing waits.
    pub(crate) fn want(&self, wanted: bool) {
        let mut state = self.lock();
        state.wanted = wanted;
        state.waker.take().into_iter().for_each(Waker::wake);
    }

    /// Waits until there is something to send, or a connection is wanted for its own sake. False if there never will be.
    pub(crate) async fn wait(&self) -> bool {
        poll_fn(|context| {
            let mut state = self.lock();
            if !state.messages.is_empty() || (state.wanted && !state.closed) {
                return Poll::Ready(true);
            }
            if state.closed {
                return Poll::Ready(false);
            }
            state.waker = Some(context.waker().clone());
            Poll::Pending
        })
        .await
    }

    /// Waits until nothing more is taken in.
    pub(crate) async fn closed(&self) {
        poll_fn(|context| {
            let mut state = self.lock();
            if state.closed {
                return Poll::Ready(());
            }
            state.waker = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// For a new connection. It takes nothing before [`open`](Self::open); earlier ones end.
    pub(crate) fn attach(self: &Arc<Self>, route: v1::Route) -> Outgoing {
        Outgoing { queue: Arc::clone(self), connection: self.detach(), route, has_greeted: false }
    }

    /// Lets the last connection take what waits.
    pub(crate) fn open(&self) {
        let mut state = self.lock();
        state.open = true;
        state.waker.take().into_iter().for_each(Waker::wake);
    }

    /// Lets the last connection say who this is, and nothing more.
    pub(crate) fn greet(&self) {
        let mut state = self.lock();
        state.greets = true;
        state.waker.take().into_iter().for_each(Waker::wake);
    }

    /// Ends what any connection takes.
    pub(crate) fn detach(&self) -> u64 {
        let mut state = self.lock();
        state.connection += 1;
        (state.open, state.greets) = (false, false);
        state.waker.take().into_iter().for_each(Waker::wake);
        state.connection
    }

    /// Nothing that panics is done with the lock held, so that a poisoned one is as good.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The messages of the next packet: one, or as many as have no more than `most` bytes.
    fn packet(&mut self, most: usize) -> Vec<Message> {
        let (mut messages, mut bytes) = (Vec::new(), 0);
        while let Some((_, size)) = self.messages.front()
            && (messages.is_empty() || bytes + size <= most)
        {
            bytes += size;
            messages.extend(self.messages.pop_front().map(|(message, _)| message));
        }
        self.bytes -= bytes;
        messages
    }
}

impl Stream for Outgoing {
    type Item = v1::Packet;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<v1::Packet>> {
        let queue = Arc::clone(&self.queue);
        let mut state = queue.lock();
        if state.connection != self.connection || (state.closed && state.messages.is_empty()) {
            return Poll::Ready(None);
        }
        let has_more =
            if self.has_greeted { state.open && !state.messages.is_empty() } else { state.open || state.greets };
        if !has_more {
            state.waker = Some(context.waker().clone());
            return Poll::Pending;
        }
        let messages = if state.open { state.packet(queue.largest.min(PACKET)) } else { Vec::new() };
        drop(state);
        self.has_greeted = true;
        queue.counters.packets.add(u64::from(!messages.is_empty()));
        queue.counters.messages.add(messages.len() as u64);
        let messages = messages.iter().map(v1::Message::from).collect();
        Poll::Ready(Some(v1::Packet { route: Some(self.route.clone()), messages }))
    }
}
