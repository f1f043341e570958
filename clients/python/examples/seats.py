"""A PostgreSQL database and a store of one's own in one transaction: a seat is sold, and paid for, or neither.

    seats.py serve          the store, beside its agent
    seats.py buy URL SEAT   the application: URL is the database of participant 11

The store is the file seats.db, and participant 13. Both commands run where `synod dev` runs, in the folder with synod-data.
"""

import sqlite3
import sys

from synod import Aborted, Client, Outcome, RolledBack, Synod, Tls
from synod.participant import Participant, serve

FILE, ADDRESS, PARTICIPANT = "seats.db", "127.0.0.1:7513", 13


class Store(Participant):
    """The store. What a transaction wants of it is in the table `plan`, under the transaction's name."""

    def __init__(self, path):
        super().__init__(path)
        self.db.execute("CREATE TABLE IF NOT EXISTS seat (number INTEGER PRIMARY KEY, held_by TEXT, is_sold INTEGER DEFAULT 0)")
        self.db.execute("CREATE TABLE IF NOT EXISTS plan (tx TEXT PRIMARY KEY, seat INTEGER, made TEXT DEFAULT CURRENT_TIMESTAMP)")
        self.db.execute("INSERT OR IGNORE INTO seat (number) VALUES (1), (2), (3)")
        # A plan that was made and never begun holds nothing.
        self.db.execute("DELETE FROM plan WHERE made < datetime('now', '-1 day')")

    def prepare(self, tx, payload):
        plan = self.db.execute("SELECT seat FROM plan WHERE tx = ?", (str(tx),)).fetchone()
        if plan is None:
            return False
        self.db.execute("DELETE FROM plan WHERE tx = ?", (str(tx),))
        held = "UPDATE seat SET held_by = ? WHERE number = ? AND held_by IS NULL"
        return self.db.execute(held, (str(tx), *plan)).rowcount == 1

    def commit(self, tx, payload):
        self.db.execute("UPDATE seat SET is_sold = 1 WHERE held_by = ?", (str(tx),))

    def abort(self, tx, payload):
        self.db.execute("UPDATE seat SET held_by = NULL WHERE held_by = ?", (str(tx),))


class Seats:
    """The application's way to the store, for `tx.on`: a `synod.Database`."""

    participant = PARTICIPANT

    def open(self):
        return SeatsBranch()


class SeatsBranch:
    """A transaction's part in the store: a `synod.Branch`."""

    def __init__(self):
        self.seat = self.tx = None

    def take(self, seat):
        self.seat = seat

    def has_written(self):
        return self.seat is not None

    def prepare(self, cluster, tx, epoch, participants):
        # The agent asks the store for its promise, and only once this has returned: then the plan is there.
        self.tx = str(tx)
        _run("INSERT INTO plan (tx, seat) VALUES (?, ?)", (self.tx, self.seat))

    def finish(self, outcome):
        # What was promised is committed, or let go of, by the agent. A plan that was refused is nobody's.
        if outcome is Outcome.ABORTED:
            _run("DELETE FROM plan WHERE tx = ?", (self.tx,))

    def commit_alone(self):
        # Nothing else has changed in this transaction.
        sold = "UPDATE seat SET held_by = 'a sale', is_sold = 1 WHERE number = ? AND held_by IS NULL"
        if _run(sold, (self.seat,)) == 0:
            raise RolledBack(f"seat {self.seat} is taken")

    def roll_back(self):
        pass  # so far it is only in memory


def _run(statement, values):
    """One statement of the application, in a transaction of the file. Returns how many rows it has changed."""
    db = sqlite3.connect(FILE, timeout=30.0, isolation_level=None)
    try:
        return db.execute(statement, values).rowcount
    finally:
        db.close()


def buy(url, seat):
    from synod.postgres import Postgres

    client = Client.from_folder("synod-data/client-1000")
    synod, accounts, seats = Synod(client), Postgres(url, participant=11), Seats()
    try:
        with synod.transaction() as tx:
            tx.on(accounts).execute("UPDATE account SET balance = balance - 30 WHERE name = 'ann'")
            tx.on(seats).take(seat)
        print(f"seat {seat} is sold and paid for")
    except Aborted as error:
        print(f"nothing has changed: {error}")
    finally:
        accounts.close()
        client.close()


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["serve"]:
            server = serve(Store(FILE), ADDRESS, Tls.from_folder("synod-data", PARTICIPANT))
            print(f"the seats are served at {ADDRESS}", flush=True)
            server.wait_for_termination()
        case ["buy", url, seat]:
            buy(url, int(seat))
        case _:
            sys.exit(__doc__)
