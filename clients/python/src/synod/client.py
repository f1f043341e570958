"""The way to the nodes of a cluster: begins transactions, and asks how they ended.

Calls turn to the node that answered last. When it cannot be reached or gives no answer in time, the next one is asked, wherever that
does no harm. When an answer says that the members of the cluster have changed, the client learns the new transaction managers, so
one that was given the founders goes on when all of them are gone.
"""

from __future__ import annotations

import enum
import threading
import time
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import grpc

from .errors import Forgotten, MayHaveBegun, OldEpoch, Refused, SynodError, Unknown, Unreachable
from .v1 import transactions_pb2 as v1
from .v1 import transactions_pb2_grpc as services
from .v1 import types_pb2 as types

# Another node may know it, know how it ended, have room, be a transaction manager, or be further.
_TURNS = {
    "REASON_UNKNOWN",
    "REASON_FORGOTTEN",
    "REASON_TOO_MANY_OPEN",
    "REASON_TOO_MANY_WAITING",
    "REASON_NUMBERS_USED_UP",
    "REASON_NOT_A_MANAGER",
    "REASON_NEWER_EPOCH",
    "REASON_CHANGING",
}
# These say no for good, even without a reason.
_FINAL = {
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.PERMISSION_DENIED,
    grpc.StatusCode.OUT_OF_RANGE,
    grpc.StatusCode.UNIMPLEMENTED,
}


class TxId(NamedTuple):
    """The name of a transaction, used once, ever. As text, and for the operator's commands, it is `origin#seq`."""

    origin: int
    seq: int

    def __str__(self) -> str:
        return f"{self.origin}#{self.seq}"


class Outcome(enum.Enum):
    """How a transaction ended."""

    COMMITTED = "committed"
    ABORTED = "aborted"


class Phase(enum.Enum):
    """How far a transaction is at a node."""

    UNKNOWN = "unknown"
    OPEN = "open"
    RETIRED = "retired"
    FENCED = "fenced"


class Names(NamedTuple):
    """Names that were given away: `count` of them from `first` on. They are of use as long as the epoch lasts."""

    first: TxId
    count: int
    epoch: int


@dataclass(frozen=True)
class Status:
    """What a node knows of a transaction."""

    phase: Phase
    outcome: Outcome | None


@dataclass(frozen=True)
class Members:
    """The members of a cluster in one of its epochs."""

    epoch: int
    acceptors: list[int]
    managers: list[int]
    left: list[int]


@dataclass(frozen=True)
class Tls:
    """The authority of the cluster, and this client's certificate with its key, as PEM."""

    authority: bytes
    certificate: bytes
    key: bytes

    @classmethod
    def from_files(cls, authority: str | Path, certificate: str | Path, key: str | Path) -> Tls:
        return cls(Path(authority).read_bytes(), Path(certificate).read_bytes(), Path(key).read_bytes())

    @classmethod
    def from_folder(cls, folder: str | Path, node: int) -> Tls:
        """The certificate of a node in a folder that `synod` has made, as `synod-data` or `shop/agent-13`: for the store of its agent."""
        own = Path(folder) / f"node-{node}.pem"
        if not own.exists():
            raise ValueError(f"there is no {own}: name the folder with the certificate of the agent, such as synod-data")
        return cls.from_files(own.with_name("authority.pem"), own, own.with_suffix(".key"))


class Client:
    """The way to a cluster. Threads may share it.

    `cluster` is the cluster's id in 32 hexadecimal digits, `nodes` the addresses (`host:port`) of some of its transaction managers by
    their numbers. Without `tls` nothing is protected, and everybody believed.

    A call takes `patience` seconds at most, and waits `attempt` seconds for one node while there are others.
    """

    def __init__(
        self,
        cluster: str,
        nodes: Mapping[int, str],
        tls: Tls | None = None,
        *,
        patience: float = 30.0,
        attempt: float = 5.0,
    ):
        digits = cluster.lower()
        if len(digits) != 32 or set(digits) - set("0123456789abcdef"):
            raise ValueError(f"a cluster's id has 32 hexadecimal digits, and this is {cluster!r}")
        if not nodes:
            raise ValueError("name the address of one transaction manager at least, as in {1: 'localhost:7101'}")
        self.cluster = digits
        self.patience = patience
        self.attempt = attempt
        self._credentials = tls and grpc.ssl_channel_credentials(tls.authority, tls.key, tls.certificate)
        self._lock = threading.Lock()
        self._epoch = 0
        self._ways = {node: _Way(self, node, address) for node, address in nodes.items()}
        self._favourite = next(iter(self._ways))

    @classmethod
    def from_folder(cls, folder: str | Path, **options: Any) -> Client:
        """The client of a folder that `synod` has made, as `synod-data/client-1000`: with its certificate, and with `cluster.toml` in it
        or beside it."""
        folder = Path(folder)
        if not folder.is_dir():
            raise ValueError(
                f"there is no folder {folder.absolute()}: `synod dev` makes synod-data/client-1000 in the folder where it runs"
            )
        keys = sorted(folder.glob("client-*.key"))
        if len(keys) != 1:
            raise ValueError(f"{folder} has {len(keys)} files like client-1000.key, and must have one: name the folder of a client")
        files = [folder / "cluster.toml", folder.resolve().parent / "cluster.toml"]
        found = next((file for file in files if file.exists()), None)
        if found is None:
            raise ValueError(f"there is no cluster.toml in {folder} nor beside it: copy that of the cluster's folder there")
        with found.open("rb") as file:
            known = tomllib.load(file)
        nodes = {int(node): address for node, address in known["members"].items()}
        tls = Tls.from_files(folder / "authority.pem", keys[0].with_suffix(".pem"), keys[0])
        return cls(known["id"], nodes, tls, **options)

    def close(self) -> None:
        """Closes all connections."""
        with self._lock:
            ways = list(self._ways.values())
        for way in ways:
            way.channel.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def epoch(self) -> int:
        """The latest epoch that this client has heard of: that of names of its own."""
        return self._epoch

    @property
    def nodes(self) -> dict[int, str]:
        """The nodes that it turns to, and their addresses."""
        with self._lock:
            return {node: way.address for node, way in self._ways.items()}

    # What a node is asked for.

    def begin(
        self,
        participants: Iterable[int],
        meta: bytes = b"",
        *,
        id: TxId | None = None,
        epoch: int = 0,
    ) -> TxId:
        """Begins a transaction among `participants`, about `meta`, and returns its name.

        With a name of the caller's own (see `names`, which also says the `epoch`) it may be begun again, here or elsewhere: it begins
        once. Without one the node gives a name, and an answer that is lost is `MayHaveBegun`.
        """
        request = v1.BeginRequest(participants=list(participants), meta=meta, epoch=epoch)
        if id is not None:
            request.id.CopyFrom(types.TxId(origin=id.origin, seq=id.seq))
        doubt = [False]
        try:
            reply = self._ask("Begin", request, is_harmless=id is not None, doubt=doubt)
        except Refused as error:
            # The answer was lost, and not the request.
            if id is not None and doubt[0] and error.reason == "REASON_OVER":
                return id
            raise
        return _tx(reply.id)

    def names(self, count: int = 1) -> Names:
        """Up to `count` names, of 1,024, for transactions that are begun by them. What is not used leaves a gap for ever."""
        reply = self._ask("Names", v1.NamesRequest(count=count))
        names = reply.names
        return Names(TxId(names.origin, names.first), names.last - names.first + 1, reply.epoch)

    def outcome(self, tx: TxId, patience: float | None = None) -> Outcome:
        """Waits until a node knows how `tx` ended, and says it. `Unreachable` after `patience` seconds: it goes on after that."""
        request = v1.OutcomeRequest(id=types.TxId(origin=tx.origin, seq=tx.seq))
        reply = self._ask("Outcome", request, waits=True, patience=patience)
        outcome = _outcome(reply.outcome)
        if outcome is None:
            raise SynodError(f"a node says that {tx} has ended, and not how")
        return outcome

    def status(self, tx: TxId) -> Status:
        """What the first node that answers knows of `tx`, at once."""
        reply = self._ask("Status", v1.StatusRequest(id=types.TxId(origin=tx.origin, seq=tx.seq)))
        return Status(Phase(v1.Phase.Name(reply.phase).removeprefix("PHASE_").lower()), _outcome(reply.outcome))

    def inquire(self, tx: TxId) -> None:
        """Has a node drive `tx` to its outcome now: to abort, where a vote is missing."""
        self._ask("Inquire", v1.InquireRequest(id=types.TxId(origin=tx.origin, seq=tx.seq)))

    def members(self) -> Members | None:
        """Who the members of the cluster are; `None` if the first node that answers is a newcomer that does not know yet."""
        reply = self._ask("Members", v1.MembersRequest())
        if not reply.HasField("epoch"):
            return None
        membership = reply.membership
        acceptors = [acceptor.node for acceptor in membership.acceptors]
        return Members(reply.epoch, acceptors, list(membership.managers), list(reply.left))

    # How it is asked.

    def _ask(
        self,
        call: str,
        request: Any,
        *,
        is_harmless: bool = True,
        waits: bool = False,
        patience: float | None = None,
        doubt: list[bool] | None = None,
    ) -> Any:
        """The answer of the first node that has one. An error is that of the node that knew the most."""
        doubt = doubt if doubt is not None else [False]
        end = time.monotonic() + (self.patience if patience is None else patience)
        last: SynodError = Unreachable("there was no time to ask")
        while True:
            worst: SynodError | None = None
            has_waited = False
            for way in self._turns():
                left = end - time.monotonic()
                if left <= 0:
                    raise worst or last
                try:
                    answer, metadata = getattr(way, call)(request, min(self.attempt, left))
                except grpc.RpcError as error:
                    code, reason = error.code(), _said(error.trailing_metadata(), "synod-reason")
                    self._hear(way, error.trailing_metadata())
                    told = f"node {way.node}: {error.details()}"
                    if code == grpc.StatusCode.DEADLINE_EXCEEDED:
                        has_waited, doubt[0] = True, True
                        if not is_harmless:
                            raise MayHaveBegun(told) from error
                        last = Unreachable(told)
                        continue
                    known = _judge(code, reason, told)
                    if reason not in _TURNS and (reason is not None or code in _FINAL) and not isinstance(known, Unreachable):
                        raise known from error
                    if isinstance(known, Unreachable) and not way.was_refused(error):
                        doubt[0] = True
                        if not is_harmless:
                            raise MayHaveBegun(told) from error
                    if worst is None or _weight(known) >= _weight(worst):
                        worst = known
                else:
                    with self._lock:
                        self._favourite = way.node
                    self._hear(way, metadata)
                    return answer
            # Somebody waited with us, and may know soon.
            if not (waits and has_waited and (worst is None or isinstance(worst, Unreachable))):
                raise worst or last

    def _turns(self) -> list[_Way]:
        with self._lock:
            nodes = list(self._ways)
            at = nodes.index(self._favourite) if self._favourite in self._ways else 0
            return [self._ways[node] for node in nodes[at:] + nodes[:at]]

    def _hear(self, way: _Way, metadata: Any) -> None:
        """If a node says that it is in a later epoch, learns the transaction managers of that."""
        said = _said(metadata, "synod-epoch")
        if said is None or not said.isdecimal() or int(said) <= self._epoch:
            return
        try:
            reply, _ = way.Members(v1.MembersRequest(), self.attempt)
        except grpc.RpcError:
            # The next answer has this asked again.
            return
        with self._lock:
            if not reply.HasField("epoch") or reply.epoch <= self._epoch:
                return
            ways = {node: known for node, known in self._ways.items() if node not in reply.left}
            contacts = {contact.node: _address(contact.contact) for contact in reply.membership.contacts}
            for manager in reply.membership.managers:
                address = contacts.get(manager)
                if address and (manager not in ways or ways[manager].address != address):
                    ways[manager] = _Way(self, manager, address)
            self._epoch = reply.epoch
            # Whoever has left may still answer, and is better than nobody.
            if ways:
                self._ways = ways


class _Way:
    """The connection to a node, which comes about with the first call."""

    def __init__(self, client: Client, node: int, address: str):
        self.node = node
        self.address = address
        # A node is known by its name in the cluster, wherever it is.
        name = f"node-{node}.{client.cluster}.synod"
        options = [
            ("grpc.ssl_target_name_override", name),
            ("grpc.initial_reconnect_backoff_ms", 50),
            ("grpc.max_reconnect_backoff_ms", 1000),
        ]
        if client._credentials is None:
            self.channel = grpc.insecure_channel(address, options)
        else:
            self.channel = grpc.secure_channel(address, client._credentials, options)
        self._stub = services.TransactionsStub(self.channel)

    def __getattr__(self, call: str) -> Callable[[Any, float], tuple[Any, Any]]:
        method = getattr(self._stub, call)

        def ask(request: Any, patience: float) -> tuple[Any, Any]:
            answer, made = method.with_call(request, timeout=patience)
            return answer, (*made.initial_metadata(), *made.trailing_metadata())

        return ask

    @staticmethod
    def was_refused(error: grpc.RpcError) -> bool:
        """Whether there was no connection, so that nothing was asked."""
        details = error.details() or ""
        return error.code() == grpc.StatusCode.UNAVAILABLE and (
            "failed to connect" in details.lower() or "connection refused" in details.lower()
        )


def _tx(name: Any) -> TxId:
    return TxId(name.origin, name.seq)


def _outcome(outcome: int) -> Outcome | None:
    return {types.OUTCOME_COMMITTED: Outcome.COMMITTED, types.OUTCOME_ABORTED: Outcome.ABORTED}.get(outcome)


def _address(contact: bytes) -> str | None:
    text = contact.decode(errors="replace")
    return text.removeprefix("https://").removeprefix("http://").rstrip("/") or None


def _said(metadata: Any, name: str) -> str | None:
    return next((value for key, value in metadata or () if key == name), None)


def _judge(code: grpc.StatusCode, reason: str | None, told: str) -> SynodError:
    if reason == "REASON_FORGOTTEN":
        return Forgotten(told)
    if reason == "REASON_OLD_EPOCH":
        return OldEpoch(reason, told)
    if reason == "REASON_UNKNOWN":
        return Unknown(reason, told)
    if reason in ("REASON_STOPPED", "REASON_BROKEN"):
        return Unreachable(told)
    if reason is not None or code in _FINAL:
        return Refused(reason or code.name, told)
    return Unreachable(told)


def _weight(error: SynodError) -> int:
    """How much an error says: one of a node that was reached says more than one of a node that was not."""
    if isinstance(error, Forgotten):
        return 3
    if isinstance(error, Unknown):
        return 2
    return 1 if isinstance(error, Refused) else 0
