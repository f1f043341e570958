//! The nodes of a cluster in one process, and what connects them.

use std::{
    collections::BTreeMap,
    io,
    path::PathBuf,
    sync::{Arc, Mutex, OnceLock, PoisonError, Weak},
};

use synod::{
    NodeId, Packet,
    commit::{Config, Message},
    perform::{
        Start, Storage, Transport,
        fjall::FjallStorage,
        tokio::{Handle, Options, Resource, spawn},
    },
};
use tokio::task::spawn_blocking;

use super::{LocalError, write};

/// Where the nodes live.
#[derive(Clone)]
pub(super) struct Hall {
    pub(super) folder: PathBuf,
    pub(super) wires: Arc<Wires>,
    pub(super) options: Options,
}

impl Hall {
    /// Starts a node, and connects it with those that are there: what it holds says whether it is new.
    pub(super) async fn start(&self, config: Config, resource: impl Resource) -> Result<Handle, LocalError> {
        let (node, folder) = (config.id, self.folder.join(format!("node-{}", config.id.0)));
        let path = folder.clone();
        let opened = spawn_blocking(move || {
            let mut storage = FjallStorage::open(&path)?;
            let is_blank = storage.load()?.is_empty();
            Ok((storage, is_blank))
        });
        let opened = opened.await.map_err(|error| LocalError::Folder(folder.clone(), io::Error::other(error)))?;
        let (storage, is_blank) = opened.map_err(|error| LocalError::Storage(node, error))?;
        // A node that was there and has nothing to show has lost its promises, and must not make new ones.
        let mark = self.folder.join(format!("node-{}.created", node.0));
        let start = match (is_blank, mark.exists()) {
            (true, true) => return Err(LocalError::Gone { node, folder }),
            (true, false) => Start::Create,
            (false, _) => Start::Restore,
        };
        let port = Port { node, wires: Arc::downgrade(&self.wires) };
        let started = spawn(config, start, storage, port, resource, self.options).await;
        let (handle, _task) = started.map_err(|error| LocalError::Node(node, error))?;
        write(&mark, "")?;
        self.wires.join(handle.clone());
        Ok(handle)
    }
}

/// A network inside one process: everyone's handle, once it has started.
#[derive(Debug)]
pub(super) struct Wires {
    nodes: BTreeMap<NodeId, OnceLock<Handle>>,
    /// Nodes join one after the other, so each pair meets.
    turn: Mutex<()>,
}

impl Wires {
    pub(super) fn new(nodes: impl IntoIterator<Item = NodeId>) -> Self {
        let nodes = nodes.into_iter().map(|node| (node, OnceLock::new())).collect();
        Self { nodes, turn: Mutex::default() }
    }

    pub(super) fn get(&self, node: NodeId) -> Option<&Handle> {
        self.nodes.get(&node)?.get()
    }

    /// The nodes that have started, in order.
    pub(super) fn started(&self) -> impl Iterator<Item = &Handle> {
        self.nodes.values().filter_map(OnceLock::get)
    }

    /// Connects a node. It meets all others before anything passes between them.
    fn join(&self, handle: Handle) {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        for other in self.started() {
            for (one, other) in [(&handle, other), (other, &handle)] {
                if let Err(refusal) = one.meet(other.node(), other.birth().unwrap_or_default(), other.tag()) {
                    tracing::error!(node = %one.node(), other = %other.node(), %refusal, "a node was met");
                }
            }
        }
        let place = self.nodes.get(&handle.node());
        let joined = place.is_some_and(|place| place.set(handle).is_ok());
        debug_assert!(joined, "each node of the cluster joins once");
    }
}

/// A node's way to the others. It does not keep them running.
struct Port {
    node: NodeId,
    wires: Weak<Wires>,
}

impl Transport for Port {
    fn send(&mut self, packet: Packet<Message>) {
        if let Some(wires) = self.wires.upgrade()
            && wires.get(self.node).is_some()
            && let Some(handle) = wires.get(packet.to)
        {
            handle.deliver(self.node, packet.messages);
        }
    }
}
