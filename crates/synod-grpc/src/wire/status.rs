//! What is known of a transaction at a node.

use synod::{
    Fence,
    commit::{InDoubt, ResourceManagerState, Status},
};

use super::{Needed, WireError, outcome, transaction};
use crate::v1;

impl From<Status> for v1::StatusReply {
    fn from(status: Status) -> Self {
        let (phase, state, outcome, fence) = match status {
            Status::Unknown => (v1::Phase::Unknown, None, None, None),
            Status::Open { state, outcome } => (v1::Phase::Open, state, outcome, None),
            Status::Retired { outcome } => (v1::Phase::Retired, None, outcome, None),
            Status::Fenced(fence) => (v1::Phase::Fenced, None, None, Some(fence)),
        };
        let reason = fence.map_or(String::new(), |fence| fence.to_string());
        let fence = fence.map_or(v1::Fence::Unspecified, v1::Fence::from);
        let state = state.map_or(v1::ResourceState::Unspecified, v1::ResourceState::from);
        let outcome = outcome.map_or(v1::Outcome::Unspecified, v1::Outcome::from);
        Self { phase: phase.into(), state: state.into(), outcome: outcome.into(), fence: fence.into(), reason }
    }
}

impl TryFrom<v1::StatusReply> for Status {
    type Error = WireError;

    fn try_from(reply: v1::StatusReply) -> Result<Self, WireError> {
        let known = reply.outcome != i32::from(v1::Outcome::Unspecified);
        let outcome = || known.then(|| outcome(reply.outcome)).transpose();
        match v1::Phase::try_from(reply.phase) {
            Ok(v1::Phase::Unknown) => Ok(Self::Unknown),
            Ok(v1::Phase::Retired) => Ok(Self::Retired { outcome: outcome()? }),
            Ok(v1::Phase::Fenced) => Ok(Self::Fenced(fence(reply.fence)?)),
            Ok(v1::Phase::Open) => Ok(Self::Open { state: state(reply.state)?, outcome: outcome()? }),
            Ok(v1::Phase::Unspecified) | Err(_) => Err(WireError::UnknownValue { kind: "phase", value: reply.phase }),
        }
    }
}

impl From<Fence> for v1::Fence {
    fn from(fence: Fence) -> Self {
        match fence {
            Fence::AcceptorWentBack => Self::AcceptorWentBack,
            Fence::ResourceManagerWentBack => Self::ResourceManagerWentBack,
            Fence::MetaLost => Self::MetaLost,
            Fence::EndlessExchange => Self::EndlessExchange,
            // A reason that this version has no number for; the reply says it in words.
            _ => Self::Unspecified,
        }
    }
}

fn fence(value: i32) -> Result<Fence, WireError> {
    match v1::Fence::try_from(value) {
        Ok(v1::Fence::AcceptorWentBack) => Ok(Fence::AcceptorWentBack),
        Ok(v1::Fence::ResourceManagerWentBack) => Ok(Fence::ResourceManagerWentBack),
        Ok(v1::Fence::MetaLost) => Ok(Fence::MetaLost),
        Ok(v1::Fence::EndlessExchange) => Ok(Fence::EndlessExchange),
        Ok(v1::Fence::Unspecified) | Err(_) => Err(WireError::UnknownValue { kind: "fence", value }),
    }
}

impl From<ResourceManagerState> for v1::ResourceState {
    fn from(state: ResourceManagerState) -> Self {
        match state {
            ResourceManagerState::Working => Self::Working,
            ResourceManagerState::Prepared => Self::Prepared,
            ResourceManagerState::Committed => Self::Committed,
            ResourceManagerState::Aborted => Self::Aborted,
        }
    }
}

fn state(value: i32) -> Result<Option<ResourceManagerState>, WireError> {
    match v1::ResourceState::try_from(value) {
        Ok(v1::ResourceState::Unspecified) => Ok(None),
        Ok(v1::ResourceState::Working) => Ok(Some(ResourceManagerState::Working)),
        Ok(v1::ResourceState::Prepared) => Ok(Some(ResourceManagerState::Prepared)),
        Ok(v1::ResourceState::Committed) => Ok(Some(ResourceManagerState::Committed)),
        Ok(v1::ResourceState::Aborted) => Ok(Some(ResourceManagerState::Aborted)),
        Err(_) => Err(WireError::UnknownValue { kind: "state of a resource", value }),
    }
}

impl From<&InDoubt> for v1::InDoubt {
    fn from(in_doubt: &InDoubt) -> Self {
        Self {
            transaction: Some((&in_doubt.transaction).into()),
            state: v1::ResourceState::from(in_doubt.state).into(),
            age: in_doubt.age,
        }
    }
}

impl TryFrom<v1::InDoubt> for InDoubt {
    type Error = WireError;

    fn try_from(in_doubt: v1::InDoubt) -> Result<Self, WireError> {
        let transaction = transaction(in_doubt.transaction)?;
        Ok(Self { transaction, state: state(in_doubt.state)?.needed("the state")?, age: in_doubt.age })
    }
}
