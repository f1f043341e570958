"""What can go wrong, and what is true then."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .client import TxId


class SynodError(Exception):
    """Any error of this package."""


class Refused(SynodError):
    """A node says no, and has done nothing. `reason` is the name of a `Reason` in transactions.proto."""

    def __init__(self, reason: str, message: str):
        super().__init__(f"{message} ({reason})")
        self.reason = reason


class OldEpoch(Refused):
    """The members of the cluster have changed since the transaction was named. It has not committed, and never will: it may be
    done again under a new name."""


class Unknown(Refused):
    """No node that answers has heard of the transaction."""


class Forgotten(SynodError):
    """The transaction is over, and no node that answers knows how it ended. It *has* happened: to do the same again under another
    name would do it twice."""


class Unreachable(SynodError):
    """No node has answered in time. What was asked may or may not have been done."""


class MayHaveBegun(Unreachable):
    """A transaction without a name was to begin, and the answer was lost. It may have begun; to begin it again would begin
    another one."""


class Aborted(SynodError):
    """The transaction is rolled back everywhere: nothing has changed, and it may be done again."""

    def __init__(self, message: str, tx: TxId | None = None):
        super().__init__(message)
        self.tx = tx


class OutcomeUnknown(SynodError):
    """The transaction may have committed, or will be; `Synod.outcome(error.tx)` finds out. Nobody is left hanging."""

    def __init__(self, message: str, tx: TxId | None = None):
        super().__init__(message)
        self.tx = tx
