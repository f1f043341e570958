from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Vote(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    VOTE_UNSPECIFIED: _ClassVar[Vote]
    VOTE_PREPARED: _ClassVar[Vote]
    VOTE_ABORTED: _ClassVar[Vote]

class Outcome(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    OUTCOME_UNSPECIFIED: _ClassVar[Outcome]
    OUTCOME_COMMITTED: _ClassVar[Outcome]
    OUTCOME_ABORTED: _ClassVar[Outcome]

class Learning(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    LEARNING_UNSPECIFIED: _ClassVar[Learning]
    LEARNING_LEADER: _ClassVar[Learning]
    LEARNING_EVERYONE: _ClassVar[Learning]

class Targets(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TARGETS_UNSPECIFIED: _ClassVar[Targets]
    TARGETS_ALL: _ClassVar[Targets]
    TARGETS_QUORUM: _ClassVar[Targets]
VOTE_UNSPECIFIED: Vote
VOTE_PREPARED: Vote
VOTE_ABORTED: Vote
OUTCOME_UNSPECIFIED: Outcome
OUTCOME_COMMITTED: Outcome
OUTCOME_ABORTED: Outcome
LEARNING_UNSPECIFIED: Learning
LEARNING_LEADER: Learning
LEARNING_EVERYONE: Learning
TARGETS_UNSPECIFIED: Targets
TARGETS_ALL: Targets
TARGETS_QUORUM: Targets

class TxId(_message.Message):
    __slots__ = ("origin", "seq")
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    origin: int
    seq: int
    def __init__(self, origin: _Optional[int] = ..., seq: _Optional[int] = ...) -> None: ...

class Transaction(_message.Message):
    __slots__ = ("id", "participants", "content", "epoch")
    ID_FIELD_NUMBER: _ClassVar[int]
    PARTICIPANTS_FIELD_NUMBER: _ClassVar[int]
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    id: TxId
    participants: _containers.RepeatedScalarFieldContainer[int]
    content: int
    epoch: int
    def __init__(self, id: _Optional[_Union[TxId, _Mapping]] = ..., participants: _Optional[_Iterable[int]] = ..., content: _Optional[int] = ..., epoch: _Optional[int] = ...) -> None: ...

class Over(_message.Message):
    __slots__ = ("origin", "first", "last", "outcomes")
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    FIRST_FIELD_NUMBER: _ClassVar[int]
    LAST_FIELD_NUMBER: _ClassVar[int]
    OUTCOMES_FIELD_NUMBER: _ClassVar[int]
    origin: int
    first: int
    last: int
    outcomes: _containers.RepeatedCompositeFieldContainer[OutcomeBlock]
    def __init__(self, origin: _Optional[int] = ..., first: _Optional[int] = ..., last: _Optional[int] = ..., outcomes: _Optional[_Iterable[_Union[OutcomeBlock, _Mapping]]] = ...) -> None: ...

class OutcomeBlock(_message.Message):
    __slots__ = ("number", "known", "committed")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    KNOWN_FIELD_NUMBER: _ClassVar[int]
    COMMITTED_FIELD_NUMBER: _ClassVar[int]
    number: int
    known: int
    committed: int
    def __init__(self, number: _Optional[int] = ..., known: _Optional[int] = ..., committed: _Optional[int] = ...) -> None: ...

class TxRange(_message.Message):
    __slots__ = ("origin", "first", "last")
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    FIRST_FIELD_NUMBER: _ClassVar[int]
    LAST_FIELD_NUMBER: _ClassVar[int]
    origin: int
    first: int
    last: int
    def __init__(self, origin: _Optional[int] = ..., first: _Optional[int] = ..., last: _Optional[int] = ...) -> None: ...

class Ballot(_message.Message):
    __slots__ = ("round", "node")
    ROUND_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    round: int
    node: int
    def __init__(self, round: _Optional[int] = ..., node: _Optional[int] = ...) -> None: ...

class Votes(_message.Message):
    __slots__ = ("cast", "prepared")
    CAST_FIELD_NUMBER: _ClassVar[int]
    PREPARED_FIELD_NUMBER: _ClassVar[int]
    cast: _containers.RepeatedScalarFieldContainer[int]
    prepared: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, cast: _Optional[_Iterable[int]] = ..., prepared: _Optional[_Iterable[int]] = ...) -> None: ...

class Begin(_message.Message):
    __slots__ = ("meta",)
    META_FIELD_NUMBER: _ClassVar[int]
    meta: bytes
    def __init__(self, meta: _Optional[bytes] = ...) -> None: ...

class Prepare(_message.Message):
    __slots__ = ("meta", "acceptors")
    META_FIELD_NUMBER: _ClassVar[int]
    ACCEPTORS_FIELD_NUMBER: _ClassVar[int]
    meta: bytes
    acceptors: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, meta: _Optional[bytes] = ..., acceptors: _Optional[_Iterable[int]] = ...) -> None: ...

class InitialVote(_message.Message):
    __slots__ = ("vote", "manager")
    VOTE_FIELD_NUMBER: _ClassVar[int]
    MANAGER_FIELD_NUMBER: _ClassVar[int]
    vote: Vote
    manager: int
    def __init__(self, vote: _Optional[_Union[Vote, str]] = ..., manager: _Optional[int] = ...) -> None: ...

class Phase1a(_message.Message):
    __slots__ = ("ballot", "instances")
    BALLOT_FIELD_NUMBER: _ClassVar[int]
    INSTANCES_FIELD_NUMBER: _ClassVar[int]
    ballot: Ballot
    instances: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, ballot: _Optional[_Union[Ballot, _Mapping]] = ..., instances: _Optional[_Iterable[int]] = ...) -> None: ...

class Phase1b(_message.Message):
    __slots__ = ("ballot", "instances", "votes", "higher")
    BALLOT_FIELD_NUMBER: _ClassVar[int]
    INSTANCES_FIELD_NUMBER: _ClassVar[int]
    VOTES_FIELD_NUMBER: _ClassVar[int]
    HIGHER_FIELD_NUMBER: _ClassVar[int]
    ballot: Ballot
    instances: _containers.RepeatedScalarFieldContainer[int]
    votes: Votes
    higher: _containers.RepeatedCompositeFieldContainer[Acceptance]
    def __init__(self, ballot: _Optional[_Union[Ballot, _Mapping]] = ..., instances: _Optional[_Iterable[int]] = ..., votes: _Optional[_Union[Votes, _Mapping]] = ..., higher: _Optional[_Iterable[_Union[Acceptance, _Mapping]]] = ...) -> None: ...

class Phase2a(_message.Message):
    __slots__ = ("ballot", "votes")
    BALLOT_FIELD_NUMBER: _ClassVar[int]
    VOTES_FIELD_NUMBER: _ClassVar[int]
    ballot: Ballot
    votes: Votes
    def __init__(self, ballot: _Optional[_Union[Ballot, _Mapping]] = ..., votes: _Optional[_Union[Votes, _Mapping]] = ...) -> None: ...

class Phase2b(_message.Message):
    __slots__ = ("votes", "higher")
    VOTES_FIELD_NUMBER: _ClassVar[int]
    HIGHER_FIELD_NUMBER: _ClassVar[int]
    votes: Votes
    higher: _containers.RepeatedCompositeFieldContainer[Acceptance]
    def __init__(self, votes: _Optional[_Union[Votes, _Mapping]] = ..., higher: _Optional[_Iterable[_Union[Acceptance, _Mapping]]] = ...) -> None: ...

class Acceptance(_message.Message):
    __slots__ = ("rm", "ballot", "vote")
    RM_FIELD_NUMBER: _ClassVar[int]
    BALLOT_FIELD_NUMBER: _ClassVar[int]
    VOTE_FIELD_NUMBER: _ClassVar[int]
    rm: int
    ballot: Ballot
    vote: Vote
    def __init__(self, rm: _Optional[int] = ..., ballot: _Optional[_Union[Ballot, _Mapping]] = ..., vote: _Optional[_Union[Vote, str]] = ...) -> None: ...

class Reject(_message.Message):
    __slots__ = ("ballot", "promised")
    BALLOT_FIELD_NUMBER: _ClassVar[int]
    PROMISED_FIELD_NUMBER: _ClassVar[int]
    ballot: Ballot
    promised: _containers.RepeatedCompositeFieldContainer[Obstacle]
    def __init__(self, ballot: _Optional[_Union[Ballot, _Mapping]] = ..., promised: _Optional[_Iterable[_Union[Obstacle, _Mapping]]] = ...) -> None: ...

class Obstacle(_message.Message):
    __slots__ = ("rm", "promised")
    RM_FIELD_NUMBER: _ClassVar[int]
    PROMISED_FIELD_NUMBER: _ClassVar[int]
    rm: int
    promised: Ballot
    def __init__(self, rm: _Optional[int] = ..., promised: _Optional[_Union[Ballot, _Mapping]] = ...) -> None: ...

class Inquire(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Decline(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Wait(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class OtherTransaction(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class About(_message.Message):
    __slots__ = ("transaction", "begin", "prepare", "vote", "phase1a", "phase1b", "phase2a", "phase2b", "reject", "inquire", "outcome", "finished", "decline", "wait", "other_transaction")
    TRANSACTION_FIELD_NUMBER: _ClassVar[int]
    BEGIN_FIELD_NUMBER: _ClassVar[int]
    PREPARE_FIELD_NUMBER: _ClassVar[int]
    VOTE_FIELD_NUMBER: _ClassVar[int]
    PHASE1A_FIELD_NUMBER: _ClassVar[int]
    PHASE1B_FIELD_NUMBER: _ClassVar[int]
    PHASE2A_FIELD_NUMBER: _ClassVar[int]
    PHASE2B_FIELD_NUMBER: _ClassVar[int]
    REJECT_FIELD_NUMBER: _ClassVar[int]
    INQUIRE_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    FINISHED_FIELD_NUMBER: _ClassVar[int]
    DECLINE_FIELD_NUMBER: _ClassVar[int]
    WAIT_FIELD_NUMBER: _ClassVar[int]
    OTHER_TRANSACTION_FIELD_NUMBER: _ClassVar[int]
    transaction: Transaction
    begin: Begin
    prepare: Prepare
    vote: InitialVote
    phase1a: Phase1a
    phase1b: Phase1b
    phase2a: Phase2a
    phase2b: Phase2b
    reject: Reject
    inquire: Inquire
    outcome: Outcome
    finished: Outcome
    decline: Decline
    wait: Wait
    other_transaction: OtherTransaction
    def __init__(self, transaction: _Optional[_Union[Transaction, _Mapping]] = ..., begin: _Optional[_Union[Begin, _Mapping]] = ..., prepare: _Optional[_Union[Prepare, _Mapping]] = ..., vote: _Optional[_Union[InitialVote, _Mapping]] = ..., phase1a: _Optional[_Union[Phase1a, _Mapping]] = ..., phase1b: _Optional[_Union[Phase1b, _Mapping]] = ..., phase2a: _Optional[_Union[Phase2a, _Mapping]] = ..., phase2b: _Optional[_Union[Phase2b, _Mapping]] = ..., reject: _Optional[_Union[Reject, _Mapping]] = ..., inquire: _Optional[_Union[Inquire, _Mapping]] = ..., outcome: _Optional[_Union[Outcome, str]] = ..., finished: _Optional[_Union[Outcome, str]] = ..., decline: _Optional[_Union[Decline, _Mapping]] = ..., wait: _Optional[_Union[Wait, _Mapping]] = ..., other_transaction: _Optional[_Union[OtherTransaction, _Mapping]] = ...) -> None: ...

class Membership(_message.Message):
    __slots__ = ("acceptors", "prepare", "accept", "managers", "learning", "targets", "contacts", "departed")
    ACCEPTORS_FIELD_NUMBER: _ClassVar[int]
    PREPARE_FIELD_NUMBER: _ClassVar[int]
    ACCEPT_FIELD_NUMBER: _ClassVar[int]
    MANAGERS_FIELD_NUMBER: _ClassVar[int]
    LEARNING_FIELD_NUMBER: _ClassVar[int]
    TARGETS_FIELD_NUMBER: _ClassVar[int]
    CONTACTS_FIELD_NUMBER: _ClassVar[int]
    DEPARTED_FIELD_NUMBER: _ClassVar[int]
    acceptors: _containers.RepeatedCompositeFieldContainer[Voice]
    prepare: int
    accept: int
    managers: _containers.RepeatedScalarFieldContainer[int]
    learning: Learning
    targets: Targets
    contacts: _containers.RepeatedCompositeFieldContainer[Contact]
    departed: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, acceptors: _Optional[_Iterable[_Union[Voice, _Mapping]]] = ..., prepare: _Optional[int] = ..., accept: _Optional[int] = ..., managers: _Optional[_Iterable[int]] = ..., learning: _Optional[_Union[Learning, str]] = ..., targets: _Optional[_Union[Targets, str]] = ..., contacts: _Optional[_Iterable[_Union[Contact, _Mapping]]] = ..., departed: _Optional[_Iterable[int]] = ...) -> None: ...

class Voice(_message.Message):
    __slots__ = ("node", "weight")
    NODE_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    node: int
    weight: int
    def __init__(self, node: _Optional[int] = ..., weight: _Optional[int] = ...) -> None: ...

class Contact(_message.Message):
    __slots__ = ("node", "contact")
    NODE_FIELD_NUMBER: _ClassVar[int]
    CONTACT_FIELD_NUMBER: _ClassVar[int]
    node: int
    contact: bytes
    def __init__(self, node: _Optional[int] = ..., contact: _Optional[bytes] = ...) -> None: ...

class Page(_message.Message):
    __slots__ = ("digest", "total", "first", "entries")
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    FIRST_FIELD_NUMBER: _ClassVar[int]
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    digest: int
    total: int
    first: int
    entries: _containers.RepeatedCompositeFieldContainer[Entry]
    def __init__(self, digest: _Optional[int] = ..., total: _Optional[int] = ..., first: _Optional[int] = ..., entries: _Optional[_Iterable[_Union[Entry, _Mapping]]] = ...) -> None: ...

class Entry(_message.Message):
    __slots__ = ("ready", "part", "committed", "retired", "peer")
    class Fingerprint(_message.Message):
        __slots__ = ("id", "digest")
        ID_FIELD_NUMBER: _ClassVar[int]
        DIGEST_FIELD_NUMBER: _ClassVar[int]
        id: TxId
        digest: int
        def __init__(self, id: _Optional[_Union[TxId, _Mapping]] = ..., digest: _Optional[int] = ...) -> None: ...
    class Part(_message.Message):
        __slots__ = ("transaction", "instances")
        TRANSACTION_FIELD_NUMBER: _ClassVar[int]
        INSTANCES_FIELD_NUMBER: _ClassVar[int]
        transaction: Entry.Fingerprint
        instances: _containers.RepeatedCompositeFieldContainer[Entry.Instance]
        def __init__(self, transaction: _Optional[_Union[Entry.Fingerprint, _Mapping]] = ..., instances: _Optional[_Iterable[_Union[Entry.Instance, _Mapping]]] = ...) -> None: ...
    class Instance(_message.Message):
        __slots__ = ("ballot", "vote")
        BALLOT_FIELD_NUMBER: _ClassVar[int]
        VOTE_FIELD_NUMBER: _ClassVar[int]
        ballot: Ballot
        vote: Vote
        def __init__(self, ballot: _Optional[_Union[Ballot, _Mapping]] = ..., vote: _Optional[_Union[Vote, str]] = ...) -> None: ...
    class Peer(_message.Message):
        __slots__ = ("node", "birth")
        NODE_FIELD_NUMBER: _ClassVar[int]
        BIRTH_FIELD_NUMBER: _ClassVar[int]
        node: int
        birth: int
        def __init__(self, node: _Optional[int] = ..., birth: _Optional[int] = ...) -> None: ...
    READY_FIELD_NUMBER: _ClassVar[int]
    PART_FIELD_NUMBER: _ClassVar[int]
    COMMITTED_FIELD_NUMBER: _ClassVar[int]
    RETIRED_FIELD_NUMBER: _ClassVar[int]
    PEER_FIELD_NUMBER: _ClassVar[int]
    ready: Entry.Fingerprint
    part: Entry.Part
    committed: Entry.Fingerprint
    retired: TxRange
    peer: Entry.Peer
    def __init__(self, ready: _Optional[_Union[Entry.Fingerprint, _Mapping]] = ..., part: _Optional[_Union[Entry.Part, _Mapping]] = ..., committed: _Optional[_Union[Entry.Fingerprint, _Mapping]] = ..., retired: _Optional[_Union[TxRange, _Mapping]] = ..., peer: _Optional[_Union[Entry.Peer, _Mapping]] = ...) -> None: ...

class Epoch(_message.Message):
    __slots__ = ("number", "invite", "ready", "hold", "prepare", "promise", "accept", "accepted", "reject", "frozen", "more", "newer", "wanted", "told", "noted", "drained")
    class Ready(_message.Message):
        __slots__ = ()
        def __init__(self) -> None: ...
    class Hold(_message.Message):
        __slots__ = ()
        def __init__(self) -> None: ...
    class Drained(_message.Message):
        __slots__ = ()
        def __init__(self) -> None: ...
    class Prepare(_message.Message):
        __slots__ = ("ballot",)
        BALLOT_FIELD_NUMBER: _ClassVar[int]
        ballot: Ballot
        def __init__(self, ballot: _Optional[_Union[Ballot, _Mapping]] = ...) -> None: ...
    class Promise(_message.Message):
        __slots__ = ("ballot", "accepted", "membership", "page")
        BALLOT_FIELD_NUMBER: _ClassVar[int]
        ACCEPTED_FIELD_NUMBER: _ClassVar[int]
        MEMBERSHIP_FIELD_NUMBER: _ClassVar[int]
        PAGE_FIELD_NUMBER: _ClassVar[int]
        ballot: Ballot
        accepted: Ballot
        membership: Membership
        page: Page
        def __init__(self, ballot: _Optional[_Union[Ballot, _Mapping]] = ..., accepted: _Optional[_Union[Ballot, _Mapping]] = ..., membership: _Optional[_Union[Membership, _Mapping]] = ..., page: _Optional[_Union[Page, _Mapping]] = ...) -> None: ...
    class Accept(_message.Message):
        __slots__ = ("ballot", "membership", "page")
        BALLOT_FIELD_NUMBER: _ClassVar[int]
        MEMBERSHIP_FIELD_NUMBER: _ClassVar[int]
        PAGE_FIELD_NUMBER: _ClassVar[int]
        ballot: Ballot
        membership: Membership
        page: Page
        def __init__(self, ballot: _Optional[_Union[Ballot, _Mapping]] = ..., membership: _Optional[_Union[Membership, _Mapping]] = ..., page: _Optional[_Union[Page, _Mapping]] = ...) -> None: ...
    class Accepted(_message.Message):
        __slots__ = ("ballot",)
        BALLOT_FIELD_NUMBER: _ClassVar[int]
        ballot: Ballot
        def __init__(self, ballot: _Optional[_Union[Ballot, _Mapping]] = ...) -> None: ...
    class Reject(_message.Message):
        __slots__ = ("ballot", "promised")
        BALLOT_FIELD_NUMBER: _ClassVar[int]
        PROMISED_FIELD_NUMBER: _ClassVar[int]
        ballot: Ballot
        promised: Ballot
        def __init__(self, ballot: _Optional[_Union[Ballot, _Mapping]] = ..., promised: _Optional[_Union[Ballot, _Mapping]] = ...) -> None: ...
    class Frozen(_message.Message):
        __slots__ = ("promised",)
        PROMISED_FIELD_NUMBER: _ClassVar[int]
        promised: Ballot
        def __init__(self, promised: _Optional[_Union[Ballot, _Mapping]] = ...) -> None: ...
    class More(_message.Message):
        __slots__ = ("digest", "next")
        DIGEST_FIELD_NUMBER: _ClassVar[int]
        NEXT_FIELD_NUMBER: _ClassVar[int]
        digest: int
        next: int
        def __init__(self, digest: _Optional[int] = ..., next: _Optional[int] = ...) -> None: ...
    class Newer(_message.Message):
        __slots__ = ()
        def __init__(self) -> None: ...
    class Wanted(_message.Message):
        __slots__ = ()
        def __init__(self) -> None: ...
    class Told(_message.Message):
        __slots__ = ("membership", "former", "page")
        MEMBERSHIP_FIELD_NUMBER: _ClassVar[int]
        FORMER_FIELD_NUMBER: _ClassVar[int]
        PAGE_FIELD_NUMBER: _ClassVar[int]
        membership: Membership
        former: _containers.RepeatedScalarFieldContainer[int]
        page: Page
        def __init__(self, membership: _Optional[_Union[Membership, _Mapping]] = ..., former: _Optional[_Iterable[int]] = ..., page: _Optional[_Union[Page, _Mapping]] = ...) -> None: ...
    class Noted(_message.Message):
        __slots__ = ()
        def __init__(self) -> None: ...
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    INVITE_FIELD_NUMBER: _ClassVar[int]
    READY_FIELD_NUMBER: _ClassVar[int]
    HOLD_FIELD_NUMBER: _ClassVar[int]
    PREPARE_FIELD_NUMBER: _ClassVar[int]
    PROMISE_FIELD_NUMBER: _ClassVar[int]
    ACCEPT_FIELD_NUMBER: _ClassVar[int]
    ACCEPTED_FIELD_NUMBER: _ClassVar[int]
    REJECT_FIELD_NUMBER: _ClassVar[int]
    FROZEN_FIELD_NUMBER: _ClassVar[int]
    MORE_FIELD_NUMBER: _ClassVar[int]
    NEWER_FIELD_NUMBER: _ClassVar[int]
    WANTED_FIELD_NUMBER: _ClassVar[int]
    TOLD_FIELD_NUMBER: _ClassVar[int]
    NOTED_FIELD_NUMBER: _ClassVar[int]
    DRAINED_FIELD_NUMBER: _ClassVar[int]
    number: int
    invite: Membership
    ready: Epoch.Ready
    hold: Epoch.Hold
    prepare: Epoch.Prepare
    promise: Epoch.Promise
    accept: Epoch.Accept
    accepted: Epoch.Accepted
    reject: Epoch.Reject
    frozen: Epoch.Frozen
    more: Epoch.More
    newer: Epoch.Newer
    wanted: Epoch.Wanted
    told: Epoch.Told
    noted: Epoch.Noted
    drained: Epoch.Drained
    def __init__(self, number: _Optional[int] = ..., invite: _Optional[_Union[Membership, _Mapping]] = ..., ready: _Optional[_Union[Epoch.Ready, _Mapping]] = ..., hold: _Optional[_Union[Epoch.Hold, _Mapping]] = ..., prepare: _Optional[_Union[Epoch.Prepare, _Mapping]] = ..., promise: _Optional[_Union[Epoch.Promise, _Mapping]] = ..., accept: _Optional[_Union[Epoch.Accept, _Mapping]] = ..., accepted: _Optional[_Union[Epoch.Accepted, _Mapping]] = ..., reject: _Optional[_Union[Epoch.Reject, _Mapping]] = ..., frozen: _Optional[_Union[Epoch.Frozen, _Mapping]] = ..., more: _Optional[_Union[Epoch.More, _Mapping]] = ..., newer: _Optional[_Union[Epoch.Newer, _Mapping]] = ..., wanted: _Optional[_Union[Epoch.Wanted, _Mapping]] = ..., told: _Optional[_Union[Epoch.Told, _Mapping]] = ..., noted: _Optional[_Union[Epoch.Noted, _Mapping]] = ..., drained: _Optional[_Union[Epoch.Drained, _Mapping]] = ...) -> None: ...

class Message(_message.Message):
    __slots__ = ("about", "retired", "retired_noted", "epoch")
    ABOUT_FIELD_NUMBER: _ClassVar[int]
    RETIRED_FIELD_NUMBER: _ClassVar[int]
    RETIRED_NOTED_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    about: About
    retired: Over
    retired_noted: TxRange
    epoch: Epoch
    def __init__(self, about: _Optional[_Union[About, _Mapping]] = ..., retired: _Optional[_Union[Over, _Mapping]] = ..., retired_noted: _Optional[_Union[TxRange, _Mapping]] = ..., epoch: _Optional[_Union[Epoch, _Mapping]] = ...) -> None: ...

class Route(_message.Message):
    __slots__ = ("cluster", "to")
    CLUSTER_FIELD_NUMBER: _ClassVar[int]
    FROM_FIELD_NUMBER: _ClassVar[int]
    TO_FIELD_NUMBER: _ClassVar[int]
    cluster: bytes
    to: int
    def __init__(self, cluster: _Optional[bytes] = ..., to: _Optional[int] = ..., **kwargs) -> None: ...
