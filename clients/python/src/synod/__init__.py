"""Commit in several databases together, or in none: a client of synod, the Paxos Commit cluster."""

from .client import Client, Members, Names, Outcome, Phase, Status, Tls, TxId
from .errors import Aborted, Forgotten, MayHaveBegun, OldEpoch, OutcomeUnknown, Refused, SynodError, Unknown, Unreachable
from .transaction import Branch, Database, RolledBack, Synod, Transaction

__all__ = [
    "Aborted",
    "Branch",
    "Client",
    "Database",
    "Forgotten",
    "MayHaveBegun",
    "Members",
    "Names",
    "OldEpoch",
    "Outcome",
    "OutcomeUnknown",
    "Phase",
    "Refused",
    "RolledBack",
    "Status",
    "Synod",
    "SynodError",
    "Tls",
    "Transaction",
    "TxId",
    "Unknown",
    "Unreachable",
]
