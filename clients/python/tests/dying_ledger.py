"""The ledger of the examples, which kills itself by SIGKILL, once, before or after it does something durably.

    dying_ledger.py FILE ADDRESS STEP

STEP is such as `before-stage` or `after-prepare`; with `never` it does not die, and with `stages-nothing` it does not offer `Stage`. When
it has died, the file FILE.died says so.
"""

import os
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "examples"))

from ledger import Ledger
from synod import participant
from synod.participant import serve

path, address, step = sys.argv[1:]
died = Path(path + ".died")
if step == "stages-nothing":
    for call in "Stage", "Unstage", "Staged":
        setattr(participant._Servicer, call, getattr(participant.services.StoreServicer, call))


def die(now):
    if now == step and not died.exists():
        died.touch()
        os.kill(os.getpid(), signal.SIGKILL)


class Dying(Ledger):
    def _stage(self, tx, content):
        return self._do("stage", super()._stage, tx, content)

    def _unstage(self, txs):
        return self._do("unstage", super()._unstage, txs)

    def _prepare(self, tx, record, payload, end):
        return self._do("prepare", super()._prepare, tx, record, payload, end)

    def _commit(self, tx):
        return self._do("commit", super()._commit, tx)

    def _abort(self, tx):
        return self._do("abort", super()._abort, tx)

    @staticmethod
    def _do(what, call, *given):
        die(f"before-{what}")
        answer = call(*given)
        die(f"after-{what}")
        return answer


serve(Dying(path), address).wait_for_termination()
