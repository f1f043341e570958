from synod.v1 import types_pb2 as _types_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Reason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    REASON_UNSPECIFIED: _ClassVar[Reason]
    REASON_UNKNOWN: _ClassVar[Reason]
    REASON_FORGOTTEN: _ClassVar[Reason]
    REASON_OVER: _ClassVar[Reason]
    REASON_OTHER_TRANSACTION: _ClassVar[Reason]
    REASON_PARTICIPANTS: _ClassVar[Reason]
    REASON_CONTENT: _ClassVar[Reason]
    REASON_NOT_A_MANAGER: _ClassVar[Reason]
    REASON_TOO_MANY_OPEN: _ClassVar[Reason]
    REASON_TOO_MANY_WAITING: _ClassVar[Reason]
    REASON_NUMBERS_USED_UP: _ClassVar[Reason]
    REASON_BROKEN: _ClassVar[Reason]
    REASON_STOPPED: _ClassVar[Reason]
    REASON_COUNT: _ClassVar[Reason]
    REASON_OLD_EPOCH: _ClassVar[Reason]
    REASON_NEWER_EPOCH: _ClassVar[Reason]
    REASON_CHANGING: _ClassVar[Reason]

class Phase(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PHASE_UNSPECIFIED: _ClassVar[Phase]
    PHASE_UNKNOWN: _ClassVar[Phase]
    PHASE_OPEN: _ClassVar[Phase]
    PHASE_RETIRED: _ClassVar[Phase]
    PHASE_FENCED: _ClassVar[Phase]

class Fence(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FENCE_UNSPECIFIED: _ClassVar[Fence]
    FENCE_ACCEPTOR_WENT_BACK: _ClassVar[Fence]
    FENCE_RESOURCE_MANAGER_WENT_BACK: _ClassVar[Fence]
    FENCE_META_LOST: _ClassVar[Fence]
    FENCE_ENDLESS_EXCHANGE: _ClassVar[Fence]

class ResourceState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RESOURCE_STATE_UNSPECIFIED: _ClassVar[ResourceState]
    RESOURCE_STATE_WORKING: _ClassVar[ResourceState]
    RESOURCE_STATE_PREPARED: _ClassVar[ResourceState]
    RESOURCE_STATE_COMMITTED: _ClassVar[ResourceState]
    RESOURCE_STATE_ABORTED: _ClassVar[ResourceState]
REASON_UNSPECIFIED: Reason
REASON_UNKNOWN: Reason
REASON_FORGOTTEN: Reason
REASON_OVER: Reason
REASON_OTHER_TRANSACTION: Reason
REASON_PARTICIPANTS: Reason
REASON_CONTENT: Reason
REASON_NOT_A_MANAGER: Reason
REASON_TOO_MANY_OPEN: Reason
REASON_TOO_MANY_WAITING: Reason
REASON_NUMBERS_USED_UP: Reason
REASON_BROKEN: Reason
REASON_STOPPED: Reason
REASON_COUNT: Reason
REASON_OLD_EPOCH: Reason
REASON_NEWER_EPOCH: Reason
REASON_CHANGING: Reason
PHASE_UNSPECIFIED: Phase
PHASE_UNKNOWN: Phase
PHASE_OPEN: Phase
PHASE_RETIRED: Phase
PHASE_FENCED: Phase
FENCE_UNSPECIFIED: Fence
FENCE_ACCEPTOR_WENT_BACK: Fence
FENCE_RESOURCE_MANAGER_WENT_BACK: Fence
FENCE_META_LOST: Fence
FENCE_ENDLESS_EXCHANGE: Fence
RESOURCE_STATE_UNSPECIFIED: ResourceState
RESOURCE_STATE_WORKING: ResourceState
RESOURCE_STATE_PREPARED: ResourceState
RESOURCE_STATE_COMMITTED: ResourceState
RESOURCE_STATE_ABORTED: ResourceState

class BeginRequest(_message.Message):
    __slots__ = ("participants", "meta", "id", "epoch")
    PARTICIPANTS_FIELD_NUMBER: _ClassVar[int]
    META_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    participants: _containers.RepeatedScalarFieldContainer[int]
    meta: bytes
    id: _types_pb2.TxId
    epoch: int
    def __init__(self, participants: _Optional[_Iterable[int]] = ..., meta: _Optional[bytes] = ..., id: _Optional[_Union[_types_pb2.TxId, _Mapping]] = ..., epoch: _Optional[int] = ...) -> None: ...

class BeginReply(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: _types_pb2.TxId
    def __init__(self, id: _Optional[_Union[_types_pb2.TxId, _Mapping]] = ...) -> None: ...

class NamesRequest(_message.Message):
    __slots__ = ("count",)
    COUNT_FIELD_NUMBER: _ClassVar[int]
    count: int
    def __init__(self, count: _Optional[int] = ...) -> None: ...

class NamesReply(_message.Message):
    __slots__ = ("names", "epoch")
    NAMES_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    names: _types_pb2.TxRange
    epoch: int
    def __init__(self, names: _Optional[_Union[_types_pb2.TxRange, _Mapping]] = ..., epoch: _Optional[int] = ...) -> None: ...

class OutcomeRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: _types_pb2.TxId
    def __init__(self, id: _Optional[_Union[_types_pb2.TxId, _Mapping]] = ...) -> None: ...

class OutcomeReply(_message.Message):
    __slots__ = ("outcome",)
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    outcome: _types_pb2.Outcome
    def __init__(self, outcome: _Optional[_Union[_types_pb2.Outcome, str]] = ...) -> None: ...

class StatusRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: _types_pb2.TxId
    def __init__(self, id: _Optional[_Union[_types_pb2.TxId, _Mapping]] = ...) -> None: ...

class StatusReply(_message.Message):
    __slots__ = ("phase", "state", "outcome", "fence", "reason")
    PHASE_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    FENCE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    phase: Phase
    state: ResourceState
    outcome: _types_pb2.Outcome
    fence: Fence
    reason: str
    def __init__(self, phase: _Optional[_Union[Phase, str]] = ..., state: _Optional[_Union[ResourceState, str]] = ..., outcome: _Optional[_Union[_types_pb2.Outcome, str]] = ..., fence: _Optional[_Union[Fence, str]] = ..., reason: _Optional[str] = ...) -> None: ...

class InDoubtRequest(_message.Message):
    __slots__ = ("after", "limit")
    AFTER_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    after: _types_pb2.TxId
    limit: int
    def __init__(self, after: _Optional[_Union[_types_pb2.TxId, _Mapping]] = ..., limit: _Optional[int] = ...) -> None: ...

class InDoubtReply(_message.Message):
    __slots__ = ("in_doubt", "more")
    IN_DOUBT_FIELD_NUMBER: _ClassVar[int]
    MORE_FIELD_NUMBER: _ClassVar[int]
    in_doubt: _containers.RepeatedCompositeFieldContainer[InDoubt]
    more: bool
    def __init__(self, in_doubt: _Optional[_Iterable[_Union[InDoubt, _Mapping]]] = ..., more: _Optional[bool] = ...) -> None: ...

class InDoubt(_message.Message):
    __slots__ = ("transaction", "state", "age")
    TRANSACTION_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    AGE_FIELD_NUMBER: _ClassVar[int]
    transaction: _types_pb2.Transaction
    state: ResourceState
    age: int
    def __init__(self, transaction: _Optional[_Union[_types_pb2.Transaction, _Mapping]] = ..., state: _Optional[_Union[ResourceState, str]] = ..., age: _Optional[int] = ...) -> None: ...

class InquireRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: _types_pb2.TxId
    def __init__(self, id: _Optional[_Union[_types_pb2.TxId, _Mapping]] = ...) -> None: ...

class InquireReply(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class MembersRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class MembersReply(_message.Message):
    __slots__ = ("epoch", "membership", "left")
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    MEMBERSHIP_FIELD_NUMBER: _ClassVar[int]
    LEFT_FIELD_NUMBER: _ClassVar[int]
    epoch: int
    membership: _types_pb2.Membership
    left: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, epoch: _Optional[int] = ..., membership: _Optional[_Union[_types_pb2.Membership, _Mapping]] = ..., left: _Optional[_Iterable[int]] = ...) -> None: ...
