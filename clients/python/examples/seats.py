"""A PostgreSQL database and a store of one's own in one transaction: a seat is sold, and paid for, or neither.

    seats.py serve          the store, beside its agent
    seats.py buy URL SEAT   the application: URL is the database of participant 11

The store is the file seats.db, and participant 13. Both commands run where `synod dev` runs, in the folder with synod-data. Another
address than 127.0.0.1:7513 goes into the variable SEATS.
"""

import os
import sys

from synod import Aborted, Client, Synod, Tls
from synod.participant import Participant, serve
from synod.store import Store

FILE, ADDRESS, PARTICIPANT = "seats.db", os.environ.get("SEATS", "127.0.0.1:7513"), 13


class Seats(Participant):
    """The store. What a transaction wants of it is the number of a seat."""

    def __init__(self, path):
        super().__init__(path)
        self.db.execute("CREATE TABLE IF NOT EXISTS seat (number INTEGER PRIMARY KEY, held_by TEXT, is_sold INTEGER DEFAULT 0)")
        self.db.execute("INSERT OR IGNORE INTO seat (number) VALUES (1), (2), (3)")

    def prepare(self, tx, payload):
        held = "UPDATE seat SET held_by = ? WHERE number = ? AND held_by IS NULL"
        return self.db.execute(held, (str(tx), int(payload))).rowcount == 1

    def commit(self, tx, payload):
        self.db.execute("UPDATE seat SET is_sold = 1 WHERE held_by = ?", (str(tx),))

    def abort(self, tx, payload):
        self.db.execute("UPDATE seat SET held_by = NULL WHERE held_by = ?", (str(tx),))


def buy(url, seat):
    from synod.postgres import Postgres

    client = Client.from_folder("synod-data/client-1000")
    synod, accounts, seats = Synod(client), Postgres(url, participant=11), Store(client, ADDRESS, PARTICIPANT)
    try:
        with synod.transaction() as tx:
            tx.on(accounts).execute("UPDATE account SET balance = balance - 30 WHERE name = 'ann'")
            tx.on(seats).stage(seat.encode())
        print(f"seat {seat} is sold and paid for")
    except Aborted as error:
        print(f"nothing has changed: {error}")
    finally:
        seats.close()
        accounts.close()
        client.close()


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["serve"]:
            server = serve(Seats(FILE), ADDRESS, Tls.from_folder("synod-data", PARTICIPANT))
            print(f"the seats are served at {ADDRESS}", flush=True)
            server.wait_for_termination()
        case ["buy", url, seat]:
            buy(url, seat)
        case _:
            sys.exit(__doc__)
