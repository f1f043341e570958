// Names of transactions, and what is known of them.

import { BadInput } from "./errors.js";

const LARGEST = (1n << 64n) - 1n;

/** The name of a transaction, used once, ever. As text, and for the operator's commands, it is `origin#seq`. */
export class TxId {
  readonly origin: bigint;
  readonly seq: bigint;

  constructor(origin: bigint | number, seq: bigint | number) {
    this.origin = u64("the origin of a transaction's name", origin);
    this.seq = u64("the number of a transaction", seq);
  }

  /** Reads `1#5`, or `n1#5` as nodes print it. */
  static parse(text: string): TxId {
    const parts = /^n?(\d+)#(\d+)$/.exec(text);
    if (!parts) {
      throw new BadInput(`${JSON.stringify(text)} is no name of a transaction`, "write origin#seq, such as 1#5");
    }
    return new TxId(BigInt(parts[1] ?? ""), BigInt(parts[2] ?? ""));
  }

  equals(other: TxId): boolean {
    return this.origin === other.origin && this.seq === other.seq;
  }

  toString(): string {
    return `${this.origin}#${this.seq}`;
  }

  toJSON(): string {
    return this.toString();
  }
}

/** How a transaction ended. */
export type Outcome = "committed" | "aborted";

/** How far a transaction is at a node. */
export type Phase = "unknown" | "open" | "retired" | "fenced";

/** Names that were given away: `count` of them from `first` on. They are of use as long as the epoch lasts. */
export interface Names {
  readonly first: TxId;
  readonly count: number;
  readonly epoch: bigint;
}

/** What a node knows of a transaction. */
export interface Status {
  readonly phase: Phase;
  readonly outcome: Outcome | undefined;
}

/** The members of a cluster in one of its epochs. */
export interface Members {
  readonly epoch: bigint;
  readonly acceptors: readonly bigint[];
  readonly managers: readonly bigint[];
  readonly left: readonly bigint[];
}

/** `value` as the 64-bit number that the protocol has. */
export function u64(what: string, value: bigint | number): bigint {
  const isWhole = typeof value === "bigint" || Number.isSafeInteger(value);
  if (!isWhole || value < 0 || value > LARGEST) {
    throw new BadInput(`${what} is ${value}`, "give a whole number from 0 to 2^64 - 1; above 2^53 as a bigint, such as 5n");
  }
  return BigInt(value);
}
