"""A ledger as a participant: each transaction adds an entry, which is whatever the transaction is about.

    ledger.py FILE ADDRESS [FOLDER PARTICIPANT]

FILE is the ledger, and ADDRESS is where its agent reaches it. FOLDER has the certificate of that agent, such as synod-data, and
PARTICIPANT is its number; without the two nothing is protected.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "src"))

from synod import Tls
from synod.participant import Participant, serve


class Ledger(Participant):
    def __init__(self, path):
        super().__init__(path)
        self.db.execute("CREATE TABLE IF NOT EXISTS entry (about TEXT NOT NULL)")

    def prepare(self, tx, payload):
        # Nothing is in the way of an entry, unless it says nothing.
        return bool(payload)

    def commit(self, tx, payload):
        self.db.execute("INSERT INTO entry VALUES (?)", (payload.decode(),))

    def abort(self, tx, payload):
        # Nothing was held.
        pass


if __name__ == "__main__":
    if len(sys.argv) not in (3, 5):
        sys.exit(__doc__)
    path, address, *certificate = sys.argv[1:]
    tls = Tls.from_folder(certificate[0], int(certificate[1])) if certificate else None
    server = serve(Ledger(path), address, tls)
    print(f"the ledger in {path} is served at {address}", flush=True)
    server.wait_for_termination()
