"""PostgreSQL as a part of a transaction, by psycopg.

The branch is a transaction of PostgreSQL that is prepared under a name from which its agent, which runs beside the cluster, can tell
everything. Beside it, in the same transaction, goes a row of `synod.fence`, which tells later that it was there. The agent makes the
tables; names and rows are those of the package synod-postgres.
"""

from __future__ import annotations

import base64
import math
import os
import secrets
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import errors as pg
from psycopg.conninfo import conninfo_to_dict

from .client import Outcome, TxId
from .errors import SynodError
from .transaction import RolledBack

# Of the name of a prepared transaction.
_PREFIX = "synod_"
_LONGEST = 199
# In place of the participant's place, where there is no room for all participants.
_LISTED = 255

# The function of the server that waits for standbys, as its messages name it in every language.
_WAITS = "SyncRepWaitForLSN"
_WARN = "SET client_min_messages = warning"

# Whether the transaction has written anything. Writing into foreign tables only needs no number here: it is PREPARE that refuses such a
# branch, and to commit it as one that has only read would be to commit what it has written elsewhere.
_HAS_WRITTEN = (
    "SELECT pg_current_xact_id_if_assigned() IS NOT NULL OR CASE WHEN EXISTS (SELECT FROM pg_foreign_table) "
    "THEN EXISTS (SELECT FROM pg_locks JOIN pg_foreign_table ON ftrelid = relation "
    "WHERE pid = pg_backend_pid() AND mode = 'RowExclusiveLock') ELSE false END"
)

# What comes before PREPARE, whatever the statements have set: nobody but the agent's role can end what is prepared, and a promise
# waits for the standby. It holds for the session, and so when the branch is ended as well.
_AS_ITSELF = (
    "RESET ROLE; SELECT set_config('synchronous_commit', 'on', false) "
    "WHERE current_setting('synchronous_commit') IN ('off', 'local')"
)


class _Late(psycopg.OperationalError):
    """The answer to a statement has not come in time. What the statement has done is not known."""


class _Connection(psycopg.Connection[Any]):
    """A connection that can be told until when to wait for answers."""

    # In the time of `time.monotonic`.
    until: float | None = None
    # How often the server has stopped waiting for a standby, and answered as if it had it.
    given_up = 0

    def wait(self, gen: Any, *args: Any, **kwargs: Any) -> Any:
        return super().wait(gen if self.until is None else _limited(gen, self.until), *args, **kwargs)


class Postgres:
    """A database that is `participant` in the cluster: the number that its agent has. Threads may share it.

    Up to `idle` connections are kept for the next branch. Connecting, preparing a branch and ending it may take `wait` seconds each, and
    a connection whose server is unreachable fails after that time, unless `conninfo` sets `connect_timeout`, `tcp_user_timeout` or
    `keepalives_idle`. Your own statements have no deadline: set `statement_timeout` and `lock_timeout` of PostgreSQL for them.
    """

    def __init__(self, conninfo: str, participant: int, *, idle: int = 4, wait: float = 30.0):
        self.participant = participant
        self.wait = wait
        self._conninfo = conninfo
        self._most_idle = idle
        self._lock = threading.Lock()
        self._idle: list[_Connection] = []
        self._joined: str | None = None

    def open(self) -> PostgresBranch:
        """Begins a branch."""
        connection = self._connection()
        try:
            with _in_time(connection, self.wait):
                connection.execute("BEGIN")
        except psycopg.OperationalError:
            # It was idle for too long. A new one says what is wrong.
            connection.close()
            connection = self._connect()
            with _in_time(connection, self.wait):
                connection.execute("BEGIN")
        return PostgresBranch(self, connection)

    def close(self) -> None:
        """Closes the connections that are idle."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def _connection(self) -> _Connection:
        with self._lock:
            if self._idle:
                return self._idle.pop()
        return self._connect()

    def _connect(self) -> _Connection:
        # What psycopg prepares is dropped with everything else before a connection is used again.
        connection = _Connection.connect(self._conninfo, autocommit=True, prepare_threshold=None, **self._patience())

        def hear(notice: psycopg.errors.Diagnostic) -> None:
            connection.given_up += notice.source_function == _WAITS

        connection.add_notice_handler(hear)
        return connection

    def _patience(self) -> dict[str, Any]:
        """The parameters by which an unreachable server is noticed, except those that are set already."""
        given = conninfo_to_dict(self._conninfo)
        if "PGCONNECT_TIMEOUT" in os.environ:
            given["connect_timeout"] = os.environ["PGCONNECT_TIMEOUT"]
        # For libpq 0 means the system's default, or for ever, and 2 is the least for connecting.
        seconds = max(math.ceil(self.wait), 1)
        patience = {
            "connect_timeout": max(seconds, 2),
            "tcp_user_timeout": max(math.ceil(self.wait * 1000), 1),
            "keepalives_idle": seconds,
        }
        return {name: value for name, value in patience.items() if name not in given}

    def _give_back(self, connection: _Connection) -> None:
        """Keeps a connection in which nothing is open, as clean as a new one."""
        try:
            with _in_time(connection, self.wait):
                connection.execute("DISCARD ALL")
        except BaseException as error:
            connection.close()
            if isinstance(error, psycopg.Error):
                return
            raise
        with self._lock:
            if len(self._idle) < self._most_idle:
                self._idle.append(connection)
                return
        connection.close()

    def _join(self, cluster: str) -> None:
        """Makes sure that the database is this participant's, in this cluster. Its agent says so there."""
        if self._joined == cluster:
            return
        with self._connect() as connection:
            try:
                with _in_time(connection, self.wait):
                    row = connection.execute("SELECT participant, cluster FROM synod.identity").fetchone()
            except (pg.UndefinedTable, pg.InvalidSchemaName):
                row = None
        if row is None or row[1] is None:
            raise SynodError(
                f"the database of participant {self.participant} is in no cluster yet: start its agent, which says of which"
            )
        if row[0] != str(self.participant):
            raise SynodError(
                f"this is the database of participant {row[0]}, and not of {self.participant}: are two addresses swapped?"
            )
        if row[1] != cluster:
            raise SynodError(f"the database of participant {row[0]} is in cluster {row[1]}, and not in {cluster}")
        self._joined = cluster


class PostgresBranch:
    """A branch in PostgreSQL: `execute` is psycopg's, and so is `cursor`.

    `COMMIT`, `ROLLBACK` and `PREPARE TRANSACTION` are not for it; nor may it use `LISTEN`, `NOTIFY` or temporary tables, which
    PostgreSQL does not prepare.
    """

    def __init__(self, postgres: Postgres, connection: _Connection):
        self._postgres = postgres
        self._connection: _Connection | None = connection
        self._gid: str | None = None

    def execute(self, statement: Any, params: Any = None) -> psycopg.Cursor[Any]:
        """Runs one statement: `psycopg.Connection.execute`."""
        return self._open().execute(statement, params)

    def cursor(self, *args: Any, **kwargs: Any) -> psycopg.Cursor[Any]:
        """A cursor: `psycopg.Connection.cursor`."""
        return self._open().cursor(*args, **kwargs)

    def has_written(self) -> bool:
        connection = self._open()
        with _in_time(connection, self._postgres.wait):
            row = connection.execute(_HAS_WRITTEN).fetchone()
            if row and row[0]:
                return True
            connection.execute("COMMIT")
        self._end()
        return False

    def commit_alone(self) -> None:
        connection = self._open()
        # Drawn once, and longer than any other key. Whoever has lost the answer to the commit asks for this row.
        key = bytes(16) + self._postgres.participant.to_bytes(8, "big") + secrets.token_bytes(16) + b"\0"
        try:
            self._fence(connection, key, "COMMIT")
            if connection.given_up:
                raise psycopg.OperationalError("the wait for a standby was cancelled")
        except psycopg.Error as error:
            if _is_answer(error):
                self.roll_back()
                raise RolledBack(str(error)) from error
            self._drop()
            if not self._has_committed(key):
                raise RolledBack(str(error)) from error
            return
        except BaseException:
            self._drop()
            raise
        self._end()

    def prepare(self, cluster: str, tx: TxId, epoch: int, participants: list[int]) -> None:
        participant = self._postgres.participant
        try:
            self._postgres._join(cluster)
            gid = _gid(cluster, participant, tx, epoch, participants)
            numbers = (participant, tx.origin, tx.seq)
            key = bytes.fromhex(cluster) + b"".join(number.to_bytes(8, "big") for number in numbers)
            if _is_listed(gid):
                self._list(key, participants)
        except (SynodError, psycopg.Error) as error:
            # Whatever is wrong before PREPARE is sent ends the branch, and lets go of its locks.
            self.roll_back()
            raise RolledBack(str(error)) from error
        connection = self._open()
        try:
            self._fence(connection, key, f"{_AS_ITSELF}; PREPARE TRANSACTION '{gid}'")
        except BaseException as error:
            if isinstance(error, psycopg.Error) and _is_answer(error):
                self.roll_back()
                raise RolledBack(str(error)) from error
            self._drop()
            raise
        self._gid = gid

    def finish(self, outcome: Outcome) -> None:
        if self._gid is None or self._connection is None:
            return
        verb = "COMMIT" if outcome is Outcome.COMMITTED else "ROLLBACK"
        end = time.monotonic() + self._postgres.wait
        while True:
            try:
                with _in_time(self._connection, end - time.monotonic()):
                    self._connection.execute(f"{verb} PREPARED '{self._gid}'")
            except pg.UndefinedObject:
                # The agent was there first.
                break
            except pg.ObjectNotInPrerequisiteState:
                # It is at it.
                if time.monotonic() >= end:
                    self._drop()
                    return
                time.sleep(0.001)
            except BaseException:
                self._drop()
                raise
            else:
                break
        self._end()

    def roll_back(self) -> None:
        if self._connection is None or self._gid is not None:
            return
        try:
            with _in_time(self._connection, self._postgres.wait):
                self._connection.execute("ROLLBACK")
        except BaseException as error:
            # The server rolls back what its client leaves.
            self._drop()
            if not isinstance(error, psycopg.Error):
                raise
        else:
            self._end()

    def _open(self) -> _Connection:
        if self._connection is None:
            raise SynodError("the branch is over")
        return self._connection

    def _fence(self, connection: _Connection, key: bytes, last: str) -> None:
        """Puts the row there, and ends the transaction. In a failed one the first statement fails, and outside of any, too: without
        that, the last one would roll back or do nothing, and neither is an error."""
        row = f"INSERT INTO synod.fence (branch, state) VALUES ('\\x{key.hex()}', 'w')"
        # One text without parameters is one round trip.
        with _in_time(connection, self._postgres.wait):
            connection.execute(f"SAVEPOINT synod; RELEASE synod; {_WARN}; {row}; {last}")

    def _list(self, key: bytes, participants: list[int]) -> None:
        """Notes who takes part, where the name has no room for that: whoever finds the branch prepared must be able to find out."""
        row = "INSERT INTO synod.participants (branch, participants) VALUES (%s, %s)"
        with self._postgres._connect() as connection, _in_time(connection, self._postgres.wait):
            connection.execute(_WARN)
            connection.execute(row, (key, _wide(participants)))
            if connection.given_up:
                raise psycopg.OperationalError("the wait for a standby was cancelled")

    def _has_committed(self, key: bytes) -> bool:
        """Whether the row is there. If not, puts a tombstone there first: then it has not committed, and never will."""
        end = time.monotonic() + self._postgres.wait
        while True:
            try:
                with self._postgres._connect() as connection, _in_time(connection, self._postgres.wait):
                    try:
                        connection.execute(f"SET lock_timeout = '1s'; SET statement_timeout = 0; {_WARN}")
                        connection.execute("INSERT INTO synod.fence (branch, state) VALUES (%s, 't')", (key,))
                        return False
                    except pg.UniqueViolation:
                        row = connection.execute("SELECT state FROM synod.fence WHERE branch = %s", (key,)).fetchone()
                        if row is not None:
                            _confirm(connection)
                            if connection.given_up:
                                raise psycopg.OperationalError("the wait for a standby was cancelled")
                            return row[0] not in ("t", b"t")
            except psycopg.Error:
                if time.monotonic() >= end:
                    raise
            if time.monotonic() >= end:
                raise SynodError("the database does not say whether it has committed")
            time.sleep(0.05)

    def _end(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            self._postgres._give_back(connection)

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


@contextmanager
def _in_time(connection: _Connection, wait: float) -> Iterator[None]:
    """Gives the statements inside `wait` seconds, and then closes the connection: what comes over it next would be the late answer."""
    connection.until = time.monotonic() + wait
    try:
        yield
    except _Late:
        connection.close()
        raise
    finally:
        connection.until = None


def _limited(gen: Generator[Any, Any, Any], until: float) -> Generator[Any, Any, Any]:
    """Runs `gen`, a step of psycopg, until the time is over. It yields what it waits for, and is sent what is ready. psycopg sends
    "nothing" ten times a second, so that is when the time is checked."""
    try:
        awaited = next(gen)
        while True:
            ready = yield awaited
            if not ready and time.monotonic() >= until:
                raise _Late("the database has not answered in time")
            awaited = gen.send(ready)
    except StopIteration as end:
        return end.value


def _confirm(connection: _Connection) -> None:
    """Where commits wait for a standby, a row is seen before the standby has it. It does once a later write that waited has come
    back."""
    row = connection.execute("SELECT current_setting('synchronous_standby_names') <> ''").fetchone()
    if row is not None and row[0]:
        connection.execute("SELECT pg_logical_emit_message(true, 'synod', '')")


def _is_answer(error: psycopg.Error) -> bool:
    """Whether the server says that a statement has failed, and goes on: then nothing has happened. Whatever ends the session leaves
    that open."""
    code = error.sqlstate
    if code is None or code.startswith(("08", "57P0")) or code == "40003":
        return False
    return error.diag.severity_nonlocalized in (None, "ERROR")


def _gid(cluster: str, participant: int, tx: TxId, epoch: int, participants: list[int]) -> str:
    """The name of the prepared transaction: the cluster, the place of the participant, and all numbers, each with as many bytes as the
    largest one needs. Where there is no room for all participants, a digest of them."""

    def name(place: int, others: list[int]) -> str:
        numbers = [tx.origin, tx.seq, epoch, *others]
        width = max((max(numbers).bit_length() + 7) // 8, 1)
        content = bytes.fromhex(cluster) + bytes([place, width]) + b"".join(number.to_bytes(width, "big") for number in numbers)
        return _PREFIX + base64.urlsafe_b64encode(content).rstrip(b"=").decode()

    place = participants.index(participant)
    gid = name(place, participants) if place < _LISTED else None
    if gid is None or len(gid) > _LONGEST:
        # FNV-1a (Fowler, Noll and Vo).
        digest = 0xCBF29CE484222325
        for byte in _wide(participants):
            digest = (digest ^ byte) * 0x100000001B3 % 2**64
        gid = name(_LISTED, [participant, digest])
    return gid


def _is_listed(gid: str) -> bool:
    """Whether the name has no room for all participants."""
    content = gid.removeprefix(_PREFIX)
    return base64.urlsafe_b64decode(content + "=" * (-len(content) % 4))[16] == _LISTED


def _wide(numbers: list[int]) -> bytes:
    """8 bytes each."""
    return b"".join(number.to_bytes(8, "big") for number in numbers)
