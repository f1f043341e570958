"""The ledger of the examples, with one rule broken, which the conformance suite must find.

    broken_ledger.py FILE ADDRESS RULE
"""

import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "examples"))

from ledger import Ledger
from synod import participant
from synod.participant import serve

path, address, rule = sys.argv[1:]
if rule == "stages-nothing":
    # It breaks no rule: it is as a store was before there was `Stage`.
    for call in "Stage", "Unstage", "Staged":
        setattr(participant._Servicer, call, getattr(participant.services.StoreServicer, call))


class Broken(Ledger):
    def _stage(self, tx, content):
        if rule == "stages-before-it-is-durable":

            def write():
                time.sleep(0.02)
                super(Broken, self)._stage(tx, content)

            threading.Thread(target=write).start()
            return participant.v1.STAGE_DONE
        if rule == "takes-the-last-content":
            self._unstage([tx])
        if rule == "stages-what-is-over":
            with self._lock:
                if self._row(tx) is not None:
                    return participant.v1.STAGE_DONE
        return super()._stage(tx, content)

    def _unstage(self, txs):
        if rule == "takes-promises-back":
            with self._write() as db:
                for tx in txs:
                    db.execute("DELETE FROM synod_staged WHERE name = ?", (participant._name(tx),))
        elif rule != "takes-nothing-back":
            super()._unstage(txs)

    def _staged(self, after):
        staged = super()._staged(after)
        return staged[: participant._PAGE] if rule == "lists-one-page" else staged

    def _prepare(self, tx, record, payload, end):
        if rule == "promises-what-is-not-staged" and not payload:
            super()._stage(tx, b"nothing")
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

    def _end(self, tx, state):
        content = self._content(tx)
        super()._end(tx, state)
        if rule == "leaves-what-is-over-staged" and content is not None:
            self.db.execute("INSERT INTO synod_staged VALUES (?, ?)", (participant._name(tx), content))

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
