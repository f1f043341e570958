"""A store of your own as a participant: it keeps what it has promised through any crash.

    class Seats(Participant):
        def prepare(self, tx, payload):
            free = self.db.execute("UPDATE seat SET held = 1 WHERE number = ? AND held = 0", (int(payload),))
            return free.rowcount == 1

        def commit(self, tx, payload):
            self.db.execute("UPDATE seat SET sold = 1 WHERE number = ?", (int(payload),))

        def abort(self, tx, payload):
            self.db.execute("UPDATE seat SET held = 0 WHERE number = ?", (int(payload),))

    serve(Seats("seats.db"), "127.0.0.1:7513", Tls.from_folder("synod-data", 13)).wait_for_termination()

Beside it runs its agent, which is a node of the cluster: `synod dev --database 13=store://127.0.0.1:7513`. The agent votes, repeats
what is lost, asks how transactions ended, and follows the members. What the store owes it is in store.proto, and kept here.

`payload` is what the transaction is about: what `Client.begin` says; or what an application has staged here for a transaction with
databases, by `synod.store.Store`.
"""

from __future__ import annotations

import logging
import re
import sqlite3
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc

from .client import Tls, TxId
from .errors import SynodError
from .v1 import store_pb2 as v1
from .v1 import store_pb2_grpc as services
from .v1 import types_pb2 as types

_LOG = logging.getLogger("synod")
_PAGE = 256

# As many bytes may be staged for one transaction.
MOST_STAGED = 1 << 20

# A name is 16 bytes, so that names are in order: SQLite has no unsigned numbers of 64 bits.
_TABLES = """
CREATE TABLE IF NOT EXISTS synod_owner (
    only INTEGER PRIMARY KEY CHECK (only = 1), cluster BLOB NOT NULL, participant TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS synod_work (
    name BLOB PRIMARY KEY CHECK (length(name) = 16),
    state TEXT NOT NULL CHECK (state IN ('prepared', 'committed', 'aborted')),
    record BLOB, payload BLOB
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS synod_prepared ON synod_work (name) WHERE state = 'prepared';
CREATE TABLE IF NOT EXISTS synod_staged (name BLOB PRIMARY KEY CHECK (length(name) = 16), content BLOB NOT NULL) WITHOUT ROWID;
"""

# Of what is staged: that it is neither promised nor over.
_IS_FREE = "NOT EXISTS (SELECT 1 FROM synod_work WHERE synod_work.name = synod_staged.name)"


class NotMine(SynodError):
    """The store is another participant's, or of another cluster, or nobody's yet."""


class TooLate(SynodError):
    """Whoever asked for a promise has given up."""


class Participant:
    """A store in a SQLite file. Override `prepare`, `commit` and `abort`; make tables of your own in `__init__`, after that of this class.

    Each of the three runs inside one transaction of the file, together with the record that it has happened: what it writes by
    `self.db` is done exactly once, whatever crashes. What it does elsewhere may be done again after a crash, and must then change
    nothing. It must not commit or roll back by itself. One call runs at a time.
    """

    def __init__(self, path: str | Path):
        self._lock = threading.RLock()
        self.db = sqlite3.connect(path, timeout=30.0, isolation_level=None, check_same_thread=False)
        # A commit is on the disk when it returns.
        self.db.execute("PRAGMA journal_mode = WAL")
        self.db.execute("PRAGMA synchronous = FULL")
        self.db.executescript(_TABLES)

    # What a store does.

    def prepare(self, tx: TxId, payload: bytes) -> bool:
        """Whether it can commit `tx`, which is about `payload`, whatever happens. What it holds for that is kept until `commit` or `abort`.
        If it returns `False`, or raises, what it has written is undone.

        Not asked for a transaction without a payload for which nothing is staged: that is refused."""
        raise NotImplementedError

    def commit(self, tx: TxId, payload: bytes) -> None:
        """Carries out what was promised. If it raises, it is asked again."""
        raise NotImplementedError

    def abort(self, tx: TxId, payload: bytes) -> None:
        """Lets go of what was held. Not asked for what was never prepared. If it raises, it is asked again."""
        raise NotImplementedError

    # What it keeps.

    def list_prepared(self) -> list[tuple[TxId, bytes]]:
        """What is prepared, and has no outcome yet, with what it is about."""
        rows = self._select(
            "SELECT name, coalesce(content, payload) FROM synod_work LEFT JOIN synod_staged USING (name) WHERE state = 'prepared' ORDER BY name"
        )
        return [(_tx(name), payload) for name, payload in rows]

    def list_staged(self) -> list[tuple[TxId, bytes]]:
        """What applications have left for transactions that are not prepared yet. It holds nothing."""
        rows = self._select(f"SELECT name, content FROM synod_staged WHERE {_IS_FREE} ORDER BY name")
        return [(_tx(name), content) for name, content in rows]

    def close(self) -> None:
        """Closes the file."""
        with self._lock:
            self.db.close()

    def _open(self, cluster: bytes, participant: int) -> bool:
        with self._write() as db:
            owner = db.execute("SELECT cluster, participant FROM synod_owner").fetchone()
            if owner is None:
                db.execute("INSERT INTO synod_owner VALUES (1, ?, ?)", (cluster, str(participant)))
                return True
            self._check(cluster, participant)
            return False

    def _check(self, cluster: bytes, participant: int) -> None:
        rows = self._select("SELECT cluster, participant FROM synod_owner")
        if not rows:
            raise NotMine("the store is nobody's: its agent has not opened it, or its file was lost since")
        ((owner, number),) = rows
        if (owner, number) != (cluster, str(participant)):
            raise NotMine(
                f"this is the store of participant {number} of cluster {owner.hex()}, and not of participant {participant} of cluster"
                f" {cluster.hex()}"
            )

    def _prepare(self, tx: TxId, record: bytes, payload: bytes, end: float) -> bool:
        with self._write() as db:
            if time.monotonic() > end:
                # Its tombstone may be gone already.
                raise TooLate("the caller has given up")
            if (row := self._row(tx)) is not None:
                return row[0] != "aborted"
            content = payload or self._content(tx)
            if content is None:
                # It is one of databases, and its application has left nothing here, or has taken it back.
                return False
            if payload:
                # What is staged is for a transaction without a payload.
                db.execute("DELETE FROM synod_staged WHERE name = ?", (_name(tx),))
            db.execute("SAVEPOINT work")
            if not self.prepare(tx, content):
                db.execute("ROLLBACK TO work")
                return False
            row = (_name(tx), record, payload)
            db.execute("INSERT INTO synod_work (name, state, record, payload) VALUES (?, 'prepared', ?, ?)", row)
            return True

    def _commit(self, tx: TxId) -> int:
        with self._write():
            match self._row(tx):
                case None:
                    return v1.END_LOST
                case ("aborted", _):
                    return v1.END_OTHERWISE
                case ("prepared", payload):
                    self.commit(tx, payload)
                    self._end(tx, "committed")
            return v1.END_DONE

    def _abort(self, tx: TxId) -> int:
        with self._write():
            match self._row(tx):
                case None:
                    self._end(tx, "aborted")
                case ("committed", _):
                    return v1.END_OTHERWISE
                case ("prepared", payload):
                    self.abort(tx, payload)
                    self._end(tx, "aborted")
            return v1.END_DONE

    def _stage(self, tx: TxId, content: bytes) -> int:
        with self._write() as db:
            if self._row(tx) is not None:
                return v1.STAGE_LATE
            if (staged := self._content(tx)) is not None:
                return v1.STAGE_DONE if staged == content else v1.STAGE_OTHERWISE
            db.execute("INSERT INTO synod_staged VALUES (?, ?)", (_name(tx), content))
            return v1.STAGE_DONE

    def _unstage(self, txs: list[TxId]) -> None:
        with self._write() as db:
            db.executemany(f"DELETE FROM synod_staged WHERE name = ? AND {_IS_FREE}", [(_name(tx),) for tx in txs])

    def _staged(self, after: bytes) -> list[Any]:
        staged = f"SELECT name FROM synod_staged WHERE name > ? AND {_IS_FREE} ORDER BY name LIMIT ?"
        return self._select(staged, (after, _PAGE + 1))

    def _content(self, tx: TxId) -> bytes | None:
        row = self.db.execute("SELECT content FROM synod_staged WHERE name = ?", (_name(tx),)).fetchone()
        return None if row is None else row[0]

    def _forget(self, first: TxId, last: TxId) -> None:
        with self._write() as db:
            ended = "DELETE FROM synod_work WHERE name BETWEEN ? AND ? AND state <> 'prepared'"
            db.execute(ended, (_name(first), _name(last)))

    def _held(self, after: bytes) -> list[Any]:
        held = "SELECT name, record, payload FROM synod_work WHERE state = 'prepared' AND name > ? ORDER BY name LIMIT ?"
        return self._select(held, (after, _PAGE + 1))

    def _ended(self, after: bytes) -> list[Any]:
        ended = "SELECT name FROM synod_work WHERE state <> 'prepared' AND name > ? ORDER BY name LIMIT ?"
        return self._select(ended, (after, _PAGE + 1))

    def _row(self, tx: TxId) -> Any:
        row = "SELECT state, coalesce(content, payload) FROM synod_work LEFT JOIN synod_staged USING (name) WHERE name = ?"
        return self.db.execute(row, (_name(tx),)).fetchone()

    def _end(self, tx: TxId, state: str) -> None:
        """Leaves a tombstone, or makes one of what was prepared."""
        self.db.execute("INSERT OR REPLACE INTO synod_work (name, state) VALUES (?, ?)", (_name(tx), state))
        self.db.execute("DELETE FROM synod_staged WHERE name = ?", (_name(tx),))

    def _select(self, statement: str, values: tuple[Any, ...] = ()) -> list[Any]:
        with self._lock:
            return self.db.execute(statement, values).fetchall()

    @contextmanager
    def _write(self) -> Iterator[sqlite3.Connection]:
        """One transaction of the file. When this is left, it is on the disk; or it is undone, and this raises."""
        with self._lock:
            self.db.execute("BEGIN IMMEDIATE")
            try:
                yield self.db
                self.db.execute("COMMIT")
            except BaseException:
                if self.db.in_transaction:
                    self.db.execute("ROLLBACK")
                raise


def serve(participant: Participant, address: str, tls: Tls | None = None, *, workers: int = 8) -> grpc.Server:
    """Serves the store at `address`, and returns the server, which has started: see `grpc.Server`. Its agent must reach it there, and
    applications that stage what they want of it.

    `tls` is the certificate of the agent's node, as `Tls.from_folder("synod-data", 13)`: the two are one participant. Without it nothing
    is protected, and everybody believed.
    """
    server = grpc.server(ThreadPoolExecutor(workers), options=[("grpc.so_reuseport", 0)])
    services.add_StoreServicer_to_server(_Servicer(participant, tls is not None), server)
    try:
        if tls is None:
            server.add_insecure_port(address)
        else:
            pair = [(tls.key, tls.certificate)]
            credentials = grpc.ssl_server_credentials(pair, tls.authority, require_client_auth=True)
            server.add_secure_port(address, credentials)
    except RuntimeError as error:
        raise SynodError(
            f"the store cannot listen at {address}: {error}; name a free port of this machine, and the three files of a certificate"
        ) from error
    server.start()
    return server


class _Servicer(services.StoreServicer):
    """The calls of the agent, and of applications."""

    def __init__(self, participant: Participant, is_protected: bool):
        self._store = participant
        self._is_protected = is_protected

    def Open(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        with self._admitted(request, context, is_open=True):
            return v1.OpenReply(is_new=self._store._open(request.agent.cluster, request.agent.participant))

    def Prepare(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        left = context.time_remaining()
        end = time.monotonic() + (left if left is not None else 60.0)
        with self._admitted(request, context):
            record = request.transaction.SerializeToString()
            promised = self._store._prepare(_named(request.transaction.id), record, request.meta, end)
            return v1.PrepareReply(vote=types.VOTE_PREPARED if promised else types.VOTE_ABORTED)

    def Commit(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        with self._admitted(request, context):
            return v1.EndReply(end=self._store._commit(_named(request.id)))

    def Abort(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        with self._admitted(request, context):
            return v1.EndReply(end=self._store._abort(_named(request.id)))

    def Prepared(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        with self._admitted(request, context):
            rows = self._store._held(_after(request))
            works = [
                v1.Work(transaction=types.Transaction.FromString(record), meta=payload) for _, record, payload in rows[:_PAGE]
            ]
            return v1.PreparedReply(works=works, more=len(rows) > _PAGE)

    def Ended(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        with self._admitted(request, context):
            rows = self._store._ended(_after(request))
            ids = [types.TxId(origin=tx.origin, seq=tx.seq) for tx in (_tx(name) for (name,) in rows[:_PAGE])]
            return v1.EndedReply(ids=ids, more=len(rows) > _PAGE)

    def Forget(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        with self._admitted(request, context):
            range_ = request.range
            self._store._forget(TxId(range_.origin, range_.first), TxId(range_.origin, range_.last))
            return v1.ForgetReply()

    def Stage(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        if len(request.content) > MOST_STAGED:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"{len(request.content)} bytes are to be staged, and {MOST_STAGED} may be")
        with self._admitted(request, context, lets_clients=True):
            return v1.StageReply(stage=self._store._stage(_named(request.id), request.content))

    def Unstage(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        with self._admitted(request, context, lets_clients=True):
            if request.ids:
                self._store._unstage([_named(tx) for tx in request.ids])
            return v1.UnstageReply()

    def Staged(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        with self._admitted(request, context):
            rows = self._store._staged(_after(request))
            ids = [types.TxId(origin=tx.origin, seq=tx.seq) for tx in (_tx(name) for (name,) in rows[:_PAGE])]
            return v1.StagedReply(ids=ids, more=len(rows) > _PAGE)

    @contextmanager
    def _admitted(
        self, request: Any, context: grpc.ServicerContext, is_open: bool = False, lets_clients: bool = False
    ) -> Iterator[None]:
        """Lets the agent of this store through; clients of its cluster, too, if they may; and nobody else."""
        agent = request.agent
        if len(agent.cluster) != 16:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "the cluster of an agent has 16 bytes")
        name = f"node-{agent.participant}.{agent.cluster.hex()}.synod"
        if self._is_protected:
            names = context.auth_context().get("x509_subject_alternative_name", ())
            client = rb"client-\d+\." + agent.cluster.hex().encode() + rb"\.synod"
            if name.encode() not in names and not (lets_clients and any(re.fullmatch(client, other) for other in names)):
                others = ", nor that of a client of this cluster" if lets_clients else ""
                context.abort(grpc.StatusCode.PERMISSION_DENIED, f"the certificate is not that of {name}{others}")
        try:
            if not is_open:
                self._store._check(agent.cluster, agent.participant)
            yield
        except NotMine as error:
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, str(error))
        except TooLate as error:
            context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, str(error))
        except Exception as error:
            _LOG.exception("a call has failed; whoever made it asks again")
            context.abort(grpc.StatusCode.UNAVAILABLE, f"{type(error).__name__}: {error}")


def _name(tx: TxId) -> bytes:
    return tx.origin.to_bytes(8, "big") + tx.seq.to_bytes(8, "big")


def _tx(name: bytes) -> TxId:
    return TxId(int.from_bytes(name[:8], "big"), int.from_bytes(name[8:], "big"))


def _named(tx: Any) -> TxId:
    return TxId(tx.origin, tx.seq)


def _after(request: Any) -> bytes:
    return _name(_named(request.after)) if request.HasField("after") else b""
