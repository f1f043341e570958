"""What an application is told when something else interrupts a commit, or when a database never answers. It needs no cluster:

    python clients/python/tests/interrupted.py
"""

import signal
import socket
import struct
import sys
import threading
import time
import unittest
from pathlib import Path
from unittest import mock

sys.path.insert(0, str(Path(__file__).parents[1] / "src"))

import psycopg

from synod import Aborted, Outcome, OutcomeUnknown, Synod, TxId, Unreachable
from synod.client import Names
from synod.postgres import Postgres, _gid
from synod.transaction import RolledBack

CLUSTER = "0123456789abcdef0123456789abcdef"
TX = TxId(1, 5)


class Naming(unittest.TestCase):
    def test_a_name_that_has_no_room_for_the_participants_is_the_one_that_agents_know(self):
        participants = [(1 << 60) + at for at in range(13)]
        name = _gid(b"an example of it".hex(), 1 << 60, TxId(1, 7), 0, participants)
        self.assertEqual(name, "synod_YW4gZXhhbXBsZSBvZiBpdP8IAAAAAAAAAAEAAAAAAAAABwAAAAAAAAAAEAAAAAAAAAAwBrx4b6msgQ")


class TimeIsUp(Exception):
    """What Celery's SoftTimeLimitExceeded is: an exception of a signal handler."""


class FakeClient:
    """A cluster that raises `error` where a transaction is to begin, if there is one."""

    cluster = CLUSTER
    patience = 0.0

    def __init__(self, error=None):
        self.error = error

    def names(self, count):
        return Names(TX, 1, 0)

    def begin(self, participants, *, id, epoch):
        if self.error:
            raise self.error

    def outcome(self, tx, patience):
        return Outcome.COMMITTED


class FakeBranch:
    """A database and its only branch, which notes what is asked of it. It raises `error` where it is prepared or commits alone."""

    def __init__(self, participant, error=None):
        self.participant = participant
        self.error = error
        self.calls = []

    def open(self):
        return self

    def has_written(self):
        return True

    def commit_alone(self):
        self.calls.append("commit_alone")
        if self.error:
            raise self.error

    def prepare(self, *_):
        self.calls.append("prepare")
        if self.error:
            raise self.error

    def finish(self, outcome):
        self.calls.append("finish")

    def roll_back(self):
        self.calls.append("roll_back")


def commit(client, *branches):
    with Synod(client).transaction() as tx:
        for branch in branches:
            tx.on(branch)


class Interrupted(unittest.TestCase):
    def test_an_exception_after_prepare_leaves_the_outcome_unknown(self):
        closed = ValueError("Cannot invoke RPC on closed channel!")
        for error in (TimeIsUp(), closed, RuntimeError("can't start new thread"), Unreachable("nobody"), Aborted("another", TxId(1, 4))):
            with self.subTest(error), self.assertRaises(OutcomeUnknown) as raised:
                branches = FakeBranch(11), FakeBranch(12)
                commit(FakeClient(error), *branches)
            self.assertEqual(raised.exception.tx, TX)
            self.assertIs(raised.exception.__cause__, error)
            self.assertEqual([branch.calls for branch in branches], [["prepare"]] * 2)

    def test_a_signal_while_branches_are_prepared_leaves_the_outcome_unknown(self):
        def ring(*_):
            raise TimeIsUp

        slow, quick = FakeBranch(11), FakeBranch(12)
        slow.prepare = lambda *_: time.sleep(0.5)
        self.addCleanup(signal.signal, signal.SIGALRM, signal.signal(signal.SIGALRM, ring))
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        with self.assertRaises(OutcomeUnknown) as raised:
            commit(FakeClient(), slow, quick)
        self.assertEqual(raised.exception.tx, TX)
        self.assertIsInstance(raised.exception.__cause__, TimeIsUp)
        self.assertNotIn("roll_back", quick.calls)

    def test_an_exception_before_any_branch_is_prepared_rolls_back(self):
        branches = FakeBranch(11), FakeBranch(12)
        with self.assertRaises(Aborted), mock.patch.object(threading.Thread, "start", side_effect=RuntimeError("can't start new thread")):
            commit(FakeClient(), *branches)
        self.assertEqual([branch.calls for branch in branches], [["roll_back"]] * 2)

    def test_a_branch_that_is_rolled_back_aborts_whatever_else_happens(self):
        with self.assertRaises(Aborted) as raised:
            commit(FakeClient(TimeIsUp()), FakeBranch(11), FakeBranch(12, RolledBack("deadlock")))
        self.assertEqual(raised.exception.tx, TX)

    def test_a_keyboard_interrupt_passes_and_notes_that_it_may_have_committed(self):
        with self.assertRaises(KeyboardInterrupt) as raised:
            commit(FakeClient(KeyboardInterrupt()), FakeBranch(11), FakeBranch(12))
        self.assertIn("1#5 may have committed", raised.exception.__notes__[0])
        with self.assertRaises(KeyboardInterrupt) as raised:
            commit(FakeClient(), FakeBranch(11, KeyboardInterrupt()))
        self.assertIn("may have committed in the database of participant 11", raised.exception.__notes__[0])

    def test_an_exception_while_one_database_commits_alone_leaves_the_outcome_unknown(self):
        with self.assertRaises(OutcomeUnknown) as raised:
            commit(FakeClient(), FakeBranch(11, TimeIsUp()))
        self.assertIsNone(raised.exception.tx)


class HangingServer:
    """Answers as PostgreSQL does, until a statement contains `hangs_at`: that one and all later ones have no answer."""

    def __init__(self, hangs_at):
        self.hangs_at = hangs_at
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.conninfo = f"postgresql://me@127.0.0.1:{self.listener.getsockname()[1]}/db?sslmode=disable&gssencmode=disable"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        with connection, connection.makefile("rb") as stream:
            stream.read(struct.unpack("!I", stream.read(4))[0] - 4)
            encoding = _message(b"S", b"client_encoding\0UTF8\0")
            connection.sendall(_message(b"R", struct.pack("!I", 0)) + encoding + _message(b"Z", b"I"))
            while kind := stream.read(1):
                statement = stream.read(struct.unpack("!I", stream.read(4))[0] - 4).rstrip(b"\0").decode()
                if kind != b"Q":
                    return
                if self.hangs_at in statement:
                    stream.read()
                    return
                rows = b""
                if "synod.identity" in statement:
                    columns = b"".join(name + b"\0" + struct.pack("!IHIhih", 0, 0, 25, -1, -1, 0) for name in (b"participant", b"cluster"))
                    values = b"".join(struct.pack("!I", len(value)) + value for value in (b"11", CLUSTER.encode()))
                    rows = _message(b"T", struct.pack("!H", 2) + columns) + _message(b"D", struct.pack("!H", 2) + values)
                connection.sendall(rows + _message(b"C", b"DONE\0") + _message(b"Z", b"I"))


def _message(kind, content):
    return kind + struct.pack("!I", len(content) + 4) + content


class Hanging(unittest.TestCase):
    def setUp(self):
        self.began = time.monotonic()

    def branch(self, hangs_at):
        server = HangingServer(hangs_at)
        self.addCleanup(server.listener.close)
        return Postgres(server.conninfo, 11, wait=0.5).open()

    def test_a_server_that_does_not_answer_to_prepare_is_not_waited_for_for_ever(self):
        branch = self.branch("PREPARE")
        with self.assertRaises(psycopg.OperationalError):
            branch.prepare(CLUSTER, TX, 0, [11, 12])
        self.assertLess(time.monotonic() - self.began, 5)

    def test_a_server_that_does_not_answer_to_commit_prepared_is_left_to_its_agent(self):
        branch = self.branch("COMMIT PREPARED")
        branch.prepare(CLUSTER, TX, 0, [11, 12])
        with self.assertRaises(psycopg.OperationalError):
            branch.finish(Outcome.COMMITTED)
        self.assertLess(time.monotonic() - self.began, 5)

    def test_a_connection_that_cannot_be_cleaned_in_time_is_not_kept(self):
        branch = self.branch("DISCARD")
        branch.prepare(CLUSTER, TX, 0, [11, 12])
        branch.finish(Outcome.COMMITTED)
        self.assertEqual(branch._postgres._idle, [])

    def test_what_the_address_says_of_deadlines_is_kept(self):
        patience = Postgres("postgresql://h/db", 11, wait=12.5)._patience()
        self.assertEqual(patience, {"connect_timeout": 13, "tcp_user_timeout": 12500, "keepalives_idle": 13})
        address = "postgresql://h/db?connect_timeout=3&tcp_user_timeout=4&keepalives_idle=5"
        self.assertEqual(Postgres(address, 11)._patience(), {})


def check():
    """Runs all of this, and ends the process if something is wrong."""
    tests = unittest.defaultTestLoader.loadTestsFromModule(sys.modules[__name__])
    if not unittest.TextTestRunner().run(tests).wasSuccessful():
        sys.exit("interrupted.py fails")


if __name__ == "__main__":
    check()
