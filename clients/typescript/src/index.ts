// Commit in several databases together, or in none: a client of synod, the Paxos Commit cluster.

export { Client, type Named, type Patience } from "./client.js";
export {
  Aborted,
  BadInput,
  Forgotten,
  MayHaveBegun,
  OldEpoch,
  OutcomeUnknown,
  Refused,
  SynodError,
  Unknown,
  Unreachable,
} from "./errors.js";
export { tlsFromFiles, type Tls } from "./folder.js";
export { TxId, type Members, type Names, type Outcome, type Phase, type Status } from "./names.js";
export { RolledBack, Synod, Transaction, type Branch, type Database } from "./transaction.js";
