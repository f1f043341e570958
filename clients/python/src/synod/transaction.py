"""One transaction over several databases.

    synod = Synod(client)
    with synod.transaction() as tx:
        tx.on(accounts).execute("UPDATE account SET balance = balance - %s WHERE name = %s", (30, "ann"))
        tx.on(orders).execute("INSERT INTO purchase VALUES (%s, %s)", ("ann", 30))

When the block ends, both have committed. When it raises, both are rolled back.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

from .client import Client, Names, Outcome, TxId
from .errors import Aborted, Forgotten, OldEpoch, OutcomeUnknown, Refused, SynodError

# As many names as a transaction manager gives away at once.
MOST_NAMES = 1024


class RolledBack(Exception):
    """A branch is rolled back, and never prepared: nobody can commit its transaction any more."""


class Branch(Protocol):
    """The part of a transaction in one database.

    One that has `commits_alone = False` is prepared even if it is all that the transaction has written.
    """

    def has_written(self) -> bool:
        """Whether it has written. One that has not is committed by this, and over."""

    def commit_alone(self) -> None:
        """Commits it by itself. Raises `RolledBack`, or anything else if that is not known."""

    def prepare(self, cluster: str, tx: TxId, epoch: int, participants: list[int]) -> None:
        """Prepares it. Raises `RolledBack`, or anything else if that is not known."""

    def finish(self, outcome: Outcome) -> None:
        """Carries the outcome out. What fails is left to the agent."""

    def roll_back(self) -> None:
        """Rolls back what is not prepared."""


class Database(Protocol):
    """A database: the application's way to it."""

    participant: int

    def open(self) -> Any:
        """Begins a branch."""


class Synod:
    """The front door: makes transactions. Threads may share it; each transaction is for one thread."""

    def __init__(self, client: Client):
        self.client = client
        self._lock = threading.Lock()
        self._free: list[tuple[TxId, int]] = []
        self._last_block = 0
        self._least_epoch = 0

    def transaction(self) -> Transaction:
        """A transaction, which is nowhere open yet."""
        return Transaction(self)

    def outcome(self, tx: TxId, patience: float | None = None) -> Outcome:
        """How the transaction `tx` ended, whose answer was lost. Waits until that is known."""
        return self.client.outcome(tx, patience)

    def _take_name(self) -> tuple[TxId, int]:
        # Each block is twice as large as the one before: whoever makes one transaction takes one name, and leaves no gap.
        with self._lock:
            if not self._free:
                count = min(max(self._last_block * 2, 1), MOST_NAMES)
                block: Names = self.client.names(count)
                self._last_block = block.count
                self._least_epoch = max(self._least_epoch, block.epoch)
                names = [TxId(block.first.origin, block.first.seq + offset) for offset in range(block.count)]
                self._free = [(name, block.epoch) for name in reversed(names)]
            return self._free.pop()

    def _leave(self, epoch: int) -> None:
        """The epoch is over: names of it are of no use any more."""
        with self._lock:
            self._least_epoch = max(self._least_epoch, epoch + 1)
            self._free = [name for name in self._free if name[1] >= self._least_epoch]


class Transaction:
    """A transaction over several databases."""

    def __init__(self, door: Synod):
        self._door = door
        self._branches: dict[int, Any] = {}
        self._is_over = False

    def on(self, database: Database) -> Any:
        """The branch in `database`, which begins with the first call."""
        if self._is_over:
            raise SynodError("the transaction is over: make another one")
        if database.participant not in self._branches:
            self._branches[database.participant] = database.open()
        return self._branches[database.participant]

    def __enter__(self) -> Transaction:
        return self

    def __exit__(self, kind: Any, *_: Any) -> None:
        if self._is_over:
            return
        if kind is None:
            self.commit()
        else:
            self.roll_back()

    def roll_back(self) -> None:
        """Rolls back what every branch has done."""
        self._is_over = True
        for branch in self._branches.values():
            branch.roll_back()

    def commit(self) -> None:
        """Commits what the branches have done, everywhere or nowhere.

        When it returns, everything is committed. `Aborted` says that nothing has changed. `OutcomeUnknown` says that it may have
        committed, or will yet: `Synod.outcome` finds out. An unrelated exception that interrupts this, such as one of a signal handler,
        becomes one of the two. What is not an `Exception`, such as `KeyboardInterrupt`, passes; if it may have committed, with a note.
        """
        if self._is_over:
            raise SynodError("the transaction is over: make another one")
        self._is_over = True
        try:
            written = {node: branch for node, branch in self._branches.items() if branch.has_written()}
        except BaseException as error:
            self.roll_back()
            if not isinstance(error, Exception):
                raise
            raise Aborted(f"a database could not say whether it has changed: {error}") from error
        match list(written.items()):
            case []:
                return
            case [(node, branch)] if getattr(branch, "commits_alone", True):
                _commit_alone(node, branch)
            case _:
                self._commit_together(written)

    def _commit_together(self, branches: dict[int, Any]) -> None:
        try:
            tx, epoch = self._door._take_name()
        except BaseException as error:
            self.roll_back()
            if not isinstance(error, Exception):
                raise
            raise Aborted(f"no transaction manager gives it a name: {error}") from error
        gate = _Gate()
        try:
            self._commit_as(tx, epoch, branches, gate)
        except BaseException as error:
            # Not all exceptions are ours: a signal handler raises some, and so do a closed channel and a process that is out of threads.
            if isinstance(error, (Aborted, OutcomeUnknown)) and error.tx == tx:
                raise
            if gate.close():
                self.roll_back()
                if not isinstance(error, Exception):
                    raise
                raise Aborted(f"{tx} was not prepared anywhere: {error!r}", tx) from error
            # The branches that are prepared can still commit: their agents end the transaction.
            if not isinstance(error, Exception):
                error.add_note(f"The transaction {tx} may have committed, or will yet: Synod.outcome finds out.")
                raise
            raise OutcomeUnknown(f"how {tx} ends is not known: {error!r}", tx) from error

    def _commit_as(self, tx: TxId, epoch: int, branches: dict[int, Any], gate: _Gate) -> None:
        """Prepares, decides and finishes it under the name `tx`. Whatever this raises, it may have committed."""
        client = self._door.client
        participants = sorted(branches)
        failed: list[tuple[int, Exception]] = []

        def prepare(node: int) -> None:
            if not gate.enter():
                return
            try:
                branches[node].prepare(client.cluster, tx, epoch, participants)
            except Exception as error:
                failed.append((node, error))

        with ThreadPoolExecutor(len(branches)) as workers:
            list(workers.map(prepare, participants))
        lost = next(((node, error) for node, error in failed if isinstance(error, RolledBack)), None)
        try:
            outcome = self._decide(tx, epoch, participants)
        except Exception as error:
            if lost:
                raise Aborted(f"participant {lost[0]} is rolled back: {lost[1]}", tx) from lost[1]
            raise OutcomeUnknown(f"how {tx} ends is not known: {error}", tx) from error
        # What cannot be carried out here is left to the agents.
        with ThreadPoolExecutor(len(branches)) as workers:
            list(workers.map(lambda branch: _finish(branch, outcome), branches.values()))
        if outcome is Outcome.ABORTED:
            node, cause = lost or (failed[0] if failed else (None, None))
            why = "it was decided to abort" if node is None else f"participant {node}: {cause}"
            raise Aborted(f"{tx} is rolled back everywhere: {why}", tx) from cause

    def _decide(self, tx: TxId, epoch: int, participants: list[int]) -> Outcome:
        """Begins it until somebody knows how it ends, or the patience is over."""
        client = self._door.client
        end = time.monotonic() + client.patience
        while True:
            try:
                client.begin(participants, id=tx, epoch=epoch)
                return client.outcome(tx, max(end - time.monotonic(), 0.0))
            except OldEpoch:
                # It has not committed, and never will. What else was named in its epoch would end in the same way.
                self._door._leave(epoch)
                return Outcome.ABORTED
            except Forgotten:
                raise
            except SynodError as error:
                is_over = isinstance(error, Refused) and error.reason == "REASON_OVER"
                if is_over or time.monotonic() >= end:
                    raise
                time.sleep(0.02)


class _Gate:
    """Tells a transaction that has failed whether anything of it may be prepared. Once closed, nothing more is."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._is_closed = False
        self._was_entered = False

    def enter(self) -> bool:
        """Whether a branch may be prepared."""
        with self._lock:
            self._was_entered |= not self._is_closed
            return not self._is_closed

    def close(self) -> bool:
        """Whether no branch was prepared, so that none will be."""
        with self._lock:
            self._is_closed = True
            return not self._was_entered


def _commit_alone(node: int, branch: Any) -> None:
    """Only one database has changed: that is one plain commit."""
    try:
        branch.commit_alone()
    except RolledBack as error:
        raise Aborted(f"participant {node} is rolled back: {error}") from error
    except Exception as error:
        raise OutcomeUnknown(f"the answer of participant {node} to its commit is lost: {error}") from error
    except BaseException as error:
        error.add_note(f"The transaction may have committed in the database of participant {node}, the only one it has written in.")
        raise


def _finish(branch: Any, outcome: Outcome) -> None:
    try:
        branch.finish(outcome)
    except Exception:  # noqa: BLE001 - its agent does it
        pass
