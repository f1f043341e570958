"""A store of one's own as a part of a transaction: the application's side.

    seats = Store(client, "127.0.0.1:7513", participant=13)
    with synod.transaction() as tx:
        tx.on(accounts).execute("UPDATE account SET balance = balance - 30 WHERE name = 'ann'")
        tx.on(seats).stage(b"7")

What is staged is what the store is asked to promise: the `payload` of a `synod.participant.Participant`. It is left with the store, durably
and under the transaction's name, before the transaction begins. If the transaction is rolled back, or never begins, it goes again.
"""

from __future__ import annotations

import time
from typing import Any

import grpc

from .client import Client, Outcome, TxId
from .errors import SynodError
from .participant import MOST_STAGED
from .transaction import RolledBack
from .v1 import store_pb2 as v1
from .v1 import store_pb2_grpc as services
from .v1 import types_pb2 as types

# It may answer later.
_AWAY = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED}


class NotStaged(SynodError):
    """The store takes nothing for this transaction."""


class Store:
    """The store of `participant`, served at `address`, for applications of `client`'s cluster. Threads may share it.

    A call is tried for `wait` seconds. The certificate is that of the client.
    """

    def __init__(self, client: Client, address: str, participant: int, *, wait: float = 10.0):
        self.participant = participant
        self.address = address
        self.wait = wait
        name = f"node-{participant}.{client.cluster}.synod"
        options = [
            ("grpc.ssl_target_name_override", name),
            ("grpc.default_authority", name),
            ("grpc.initial_reconnect_backoff_ms", 50),
            ("grpc.max_reconnect_backoff_ms", 1_000),
        ]
        if client._credentials is None:
            self._channel = grpc.insecure_channel(address, options)
        else:
            self._channel = grpc.secure_channel(address, client._credentials, options)
        self._stub = services.StoreStub(self._channel)
        self._agent = v1.Agent(cluster=bytes.fromhex(client.cluster), participant=participant)
        self._is_known = False

    def open(self) -> StoreBranch:
        """Begins a branch."""
        if not self._is_known:
            # A store that stages nothing might promise nothing at all, and that would commit.
            self._unstage([])
            self._is_known = True
        return StoreBranch(self)

    def close(self) -> None:
        """Closes the connection."""
        self._channel.close()

    def _stage(self, tx: TxId, content: bytes) -> int:
        request = v1.StageRequest(agent=self._agent, id=types.TxId(origin=tx.origin, seq=tx.seq), content=content)
        return self._ask(self._stub.Stage, request).stage

    def _unstage(self, txs: list[TxId]) -> None:
        ids = [types.TxId(origin=tx.origin, seq=tx.seq) for tx in txs]
        self._ask(self._stub.Unstage, v1.UnstageRequest(agent=self._agent, ids=ids))

    def _ask(self, call: Any, request: Any) -> Any:
        """Asks until there is an answer, or the time is over."""
        end = time.monotonic() + self.wait
        while True:
            try:
                return call(request, timeout=max(end - time.monotonic(), 0.05))
            except grpc.RpcError as error:
                code, said = error.code(), error.details()
                where = f"the store of participant {self.participant} at {self.address}"
                if code is grpc.StatusCode.UNIMPLEMENTED:
                    raise NotStaged(
                        f"{where} does not stage what a transaction wants of it: have it serve `Stage`, `Unstage` and `Staged` of"
                        " store.proto (one in Python: with this version of the package), or begin transactions among stores alone,"
                        " by `Client.begin` with a payload"
                    ) from error
                if code not in _AWAY:
                    raise NotStaged(
                        f"{where} refuses: {said} ({code.name}); give the address of the store, the number of its participant, and a"
                        " client of its cluster"
                    ) from error
                if time.monotonic() >= end:
                    raise SynodError(f"{where} does not answer: {said}; is it running there?") from error
            time.sleep(0.05)


class StoreBranch:
    """A transaction's part in a store."""

    # Its agent promises, so a transaction of this alone is one of the cluster, too.
    commits_alone = False

    def __init__(self, store: Store):
        self._store = store
        self._content: bytes | None = None
        self._tx: TxId | None = None

    def stage(self, content: bytes) -> None:
        """Says what the transaction wants of the store, once: what belongs to one transaction goes into one content. It is sent when the
        transaction commits, and may have 1,048,576 bytes."""
        if self._content is not None:
            raise SynodError("the transaction has said already what it wants of this store: put all of it into one content")
        if len(content) > MOST_STAGED:
            raise SynodError(f"{len(content)} bytes are to be staged, and {MOST_STAGED} may be: leave there where the rest is")
        self._content = bytes(content)

    def has_written(self) -> bool:
        return self._content is not None

    def commit_alone(self) -> None:
        raise RolledBack("its agent alone has it commit")

    def prepare(self, cluster: str, tx: TxId, epoch: int, participants: list[int]) -> None:
        # The agent asks the store for its promise, and only once this has returned.
        # It is never `RolledBack`: an answer that was lost may have staged it, and somebody else have begun it. Then it is promised.
        self._tx = tx
        stage = self._store._stage(tx, self._content or b"")
        if stage == v1.STAGE_DONE:
            return
        if stage == v1.STAGE_OTHERWISE:
            # As long as the other content is there, that could commit.
            self._store._unstage([tx])
            raise NotStaged(f"other content was staged under the name {tx}: use each name once")
        raise NotStaged(f"the store has promised {tx} already, or it is over there")

    def finish(self, outcome: Outcome) -> None:
        # What was promised is committed, or let go of, by the agent. What was refused is nobody's.
        if outcome is Outcome.ABORTED and self._tx is not None:
            self._store._unstage([self._tx])

    def roll_back(self) -> None:
        self._content = None  # nothing is sent before `prepare`
