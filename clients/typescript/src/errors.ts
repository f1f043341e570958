// What can go wrong, and what is true then. Each message says what failed and why; `remedy` says what to do.

import type { TxId } from "./names.js";

/** Any error of this package. */
export class SynodError extends Error {
  /** What to do about it. */
  readonly remedy: string;

  constructor(message: string, remedy = "see the message", options?: ErrorOptions) {
    super(message, options);
    this.name = new.target.name;
    this.remedy = remedy;
  }
}

/** An argument is invalid: a malformed cluster id, a number that does not fit into 64 bits, a folder without a certificate. */
export class BadInput extends SynodError {}

/** A node says no, and has done nothing. */
export class Refused extends SynodError {
  /** The name of a `Reason` in transactions.proto, or of a gRPC status where there is none. */
  readonly reason: string;

  constructor(reason: string, message: string, remedy?: string, options?: ErrorOptions) {
    super(`${message} (${reason})`, remedy, options);
    this.reason = reason;
  }
}

/** The members of the cluster have changed since the transaction was named. It has not committed, and never will. */
export class OldEpoch extends Refused {}

/** No node that answers has heard of the transaction. */
export class Unknown extends Refused {}

/**
 * The transaction is over, and no node that answers knows how it ended. It *has* happened: to do the same again under another name
 * would do it twice.
 */
export class Forgotten extends SynodError {}

/** No node has answered in time. What was asked may or may not have been done. */
export class Unreachable extends SynodError {}

/**
 * A transaction without a name was to begin, and the answer was lost. It may have begun; to begin it again would begin another one.
 */
export class MayHaveBegun extends Unreachable {}

/** The transaction is rolled back everywhere: nothing has changed, and it may be done again. */
export class Aborted extends SynodError {
  /** Its name, if it had come to one. */
  readonly tx: TxId | undefined;

  constructor(message: string, tx?: TxId, options?: ErrorOptions) {
    super(message, "nothing has changed anywhere: do it again", options);
    this.tx = tx;
  }
}

/** The transaction may have committed, or will be. Nobody is left hanging: the agents end it. */
export class OutcomeUnknown extends SynodError {
  /** Its name, by which `Synod.outcome` waits for the outcome. A commit in one database alone has none. */
  readonly tx: TxId | undefined;

  constructor(message: string, tx?: TxId, options?: ErrorOptions) {
    super(message, tx ? `await synod.outcome(error.tx), with tx ${tx}` : "read in the database whether it is there", options);
    this.tx = tx;
  }
}

/** The text of whatever was thrown. */
export function said(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
