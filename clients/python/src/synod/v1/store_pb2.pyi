from synod.v1 import types_pb2 as _types_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class End(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    END_UNSPECIFIED: _ClassVar[End]
    END_DONE: _ClassVar[End]
    END_LOST: _ClassVar[End]
    END_OTHERWISE: _ClassVar[End]

class Stage(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    STAGE_UNSPECIFIED: _ClassVar[Stage]
    STAGE_DONE: _ClassVar[Stage]
    STAGE_OTHERWISE: _ClassVar[Stage]
    STAGE_LATE: _ClassVar[Stage]
END_UNSPECIFIED: End
END_DONE: End
END_LOST: End
END_OTHERWISE: End
STAGE_UNSPECIFIED: Stage
STAGE_DONE: Stage
STAGE_OTHERWISE: Stage
STAGE_LATE: Stage

class Agent(_message.Message):
    __slots__ = ("cluster", "participant")
    CLUSTER_FIELD_NUMBER: _ClassVar[int]
    PARTICIPANT_FIELD_NUMBER: _ClassVar[int]
    cluster: bytes
    participant: int
    def __init__(self, cluster: _Optional[bytes] = ..., participant: _Optional[int] = ...) -> None: ...

class OpenRequest(_message.Message):
    __slots__ = ("agent",)
    AGENT_FIELD_NUMBER: _ClassVar[int]
    agent: Agent
    def __init__(self, agent: _Optional[_Union[Agent, _Mapping]] = ...) -> None: ...

class OpenReply(_message.Message):
    __slots__ = ("is_new",)
    IS_NEW_FIELD_NUMBER: _ClassVar[int]
    is_new: bool
    def __init__(self, is_new: _Optional[bool] = ...) -> None: ...

class WorkRequest(_message.Message):
    __slots__ = ("agent", "transaction", "meta")
    AGENT_FIELD_NUMBER: _ClassVar[int]
    TRANSACTION_FIELD_NUMBER: _ClassVar[int]
    META_FIELD_NUMBER: _ClassVar[int]
    agent: Agent
    transaction: _types_pb2.Transaction
    meta: bytes
    def __init__(self, agent: _Optional[_Union[Agent, _Mapping]] = ..., transaction: _Optional[_Union[_types_pb2.Transaction, _Mapping]] = ..., meta: _Optional[bytes] = ...) -> None: ...

class PrepareReply(_message.Message):
    __slots__ = ("vote",)
    VOTE_FIELD_NUMBER: _ClassVar[int]
    vote: _types_pb2.Vote
    def __init__(self, vote: _Optional[_Union[_types_pb2.Vote, str]] = ...) -> None: ...

class EndRequest(_message.Message):
    __slots__ = ("agent", "id")
    AGENT_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    agent: Agent
    id: _types_pb2.TxId
    def __init__(self, agent: _Optional[_Union[Agent, _Mapping]] = ..., id: _Optional[_Union[_types_pb2.TxId, _Mapping]] = ...) -> None: ...

class EndReply(_message.Message):
    __slots__ = ("end",)
    END_FIELD_NUMBER: _ClassVar[int]
    end: End
    def __init__(self, end: _Optional[_Union[End, str]] = ...) -> None: ...

class ListRequest(_message.Message):
    __slots__ = ("agent", "after")
    AGENT_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    agent: Agent
    after: _types_pb2.TxId
    def __init__(self, agent: _Optional[_Union[Agent, _Mapping]] = ..., after: _Optional[_Union[_types_pb2.TxId, _Mapping]] = ...) -> None: ...

class PreparedReply(_message.Message):
    __slots__ = ("works", "more")
    WORKS_FIELD_NUMBER: _ClassVar[int]
    MORE_FIELD_NUMBER: _ClassVar[int]
    works: _containers.RepeatedCompositeFieldContainer[Work]
    more: bool
    def __init__(self, works: _Optional[_Iterable[_Union[Work, _Mapping]]] = ..., more: _Optional[bool] = ...) -> None: ...

class Work(_message.Message):
    __slots__ = ("transaction", "meta")
    TRANSACTION_FIELD_NUMBER: _ClassVar[int]
    META_FIELD_NUMBER: _ClassVar[int]
    transaction: _types_pb2.Transaction
    meta: bytes
    def __init__(self, transaction: _Optional[_Union[_types_pb2.Transaction, _Mapping]] = ..., meta: _Optional[bytes] = ...) -> None: ...

class EndedReply(_message.Message):
    __slots__ = ("ids", "more")
    IDS_FIELD_NUMBER: _ClassVar[int]
    MORE_FIELD_NUMBER: _ClassVar[int]
    ids: _containers.RepeatedCompositeFieldContainer[_types_pb2.TxId]
    more: bool
    def __init__(self, ids: _Optional[_Iterable[_Union[_types_pb2.TxId, _Mapping]]] = ..., more: _Optional[bool] = ...) -> None: ...

class ForgetRequest(_message.Message):
    __slots__ = ("agent", "range")
    AGENT_FIELD_NUMBER: _ClassVar[int]
    RANGE_FIELD_NUMBER: _ClassVar[int]
    agent: Agent
    range: _types_pb2.TxRange
    def __init__(self, agent: _Optional[_Union[Agent, _Mapping]] = ..., range: _Optional[_Union[_types_pb2.TxRange, _Mapping]] = ...) -> None: ...

class ForgetReply(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class StageRequest(_message.Message):
    __slots__ = ("agent", "id", "content")
    AGENT_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    agent: Agent
    id: _types_pb2.TxId
    content: bytes
    def __init__(self, agent: _Optional[_Union[Agent, _Mapping]] = ..., id: _Optional[_Union[_types_pb2.TxId, _Mapping]] = ..., content: _Optional[bytes] = ...) -> None: ...

class StageReply(_message.Message):
    __slots__ = ("stage",)
    STAGE_FIELD_NUMBER: _ClassVar[int]
    stage: Stage
    def __init__(self, stage: _Optional[_Union[Stage, str]] = ...) -> None: ...

class UnstageRequest(_message.Message):
    __slots__ = ("agent", "ids")
    AGENT_FIELD_NUMBER: _ClassVar[int]
    IDS_FIELD_NUMBER: _ClassVar[int]
    agent: Agent
    ids: _containers.RepeatedCompositeFieldContainer[_types_pb2.TxId]
    def __init__(self, agent: _Optional[_Union[Agent, _Mapping]] = ..., ids: _Optional[_Iterable[_Union[_types_pb2.TxId, _Mapping]]] = ...) -> None: ...

class UnstageReply(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class StagedReply(_message.Message):
    __slots__ = ("ids", "more")
    IDS_FIELD_NUMBER: _ClassVar[int]
    MORE_FIELD_NUMBER: _ClassVar[int]
    ids: _containers.RepeatedCompositeFieldContainer[_types_pb2.TxId]
    more: bool
    def __init__(self, ids: _Optional[_Iterable[_Union[_types_pb2.TxId, _Mapping]]] = ..., more: _Optional[bool] = ...) -> None: ...
