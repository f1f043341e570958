"""The ledger of the examples, with one rule broken, which the conformance suite must find.

    broken_ledger.py FILE ADDRESS RULE
"""

import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "examples"))

from ledger import Ledger
from synod.participant import serve

path, address, rule = sys.argv[1:]


class Broken(Ledger):
    def _prepare(self, tx, record, payload, end):
        if rule != "votes-before-it-is-durable":
            return super()._prepare(tx, record, payload, end)
        with self._lock:
            row = self._row(tx)
        if row is not None:
            return row[0] != "aborted"

        def write():
            time.sleep(0.02)
            super(Broken, self)._prepare(tx, record, payload, end)

        threading.Thread(target=write).start()
        return True

    def _abort(self, tx):
        end = super()._abort(tx)
        if rule == "leaves-no-tombstone":
            self._forget(tx, tx)
        return end

    def _commit(self, tx):
        if rule == "commits-what-it-does-not-hold":
            with self._write():
                if self._row(tx) is None:
                    self._end(tx, "committed")
        if rule == "commits-twice":
            with self._write() as db:
                if (self._row(tx) or ("",))[0] == "committed":
                    db.execute("INSERT INTO entry SELECT 'work-' || ?", (tx.seq,))
        return super()._commit(tx)

    def _check(self, cluster, participant):
        if rule != "lets-anyone-in":
            super()._check(cluster, participant)

    def _forget(self, first, last):
        if rule != "forgets-nothing":
            super()._forget(first, last)


serve(Broken(path), address).wait_for_termination()
