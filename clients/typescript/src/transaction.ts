// One transaction over several databases.
//
//     const synod = new Synod(client);
//     await synod.transaction(async (tx) => {
//       await (await tx.on(accounts)).query("UPDATE account SET balance = balance - $1 WHERE name = $2", [30, "ann"]);
//       await (await tx.on(orders)).query("INSERT INTO purchase VALUES ($1, $2)", ["ann", 30]);
//     });
//
// When it returns, both have committed. When the function throws, both are rolled back.

import { setTimeout as sleep } from "node:timers/promises";

import type { Client } from "./client.js";
import { Aborted, BadInput, Forgotten, OldEpoch, OutcomeUnknown, Refused, said, SynodError } from "./errors.js";
import { TxId, u64, type Outcome } from "./names.js";

/** As many names as a transaction manager gives away at once. */
const MOST_NAMES = 1024;

/** A branch is rolled back, and never prepared: nobody can commit its transaction any more. */
export class RolledBack extends Error {}

/** The part of a transaction in one database. */
export interface Branch {
  /** Whether it has written. One that has not is committed by this, and over. */
  hasWritten(): Promise<boolean>;
  /** Unless this is `false`, it may be committed by itself; if it is, it is prepared even where it is all that has been written. */
  readonly commitsAlone?: boolean;
  /** Commits it by itself. Throws `RolledBack`, or anything else if that is not known. */
  commitAlone(): Promise<void>;
  /** Prepares it. Throws `RolledBack`, or anything else if that is not known. */
  prepare(cluster: string, tx: TxId, epoch: bigint, participants: readonly bigint[]): Promise<void>;
  /** Carries the outcome out. What fails is left to the agent. */
  finish(outcome: Outcome): Promise<void>;
  /** Rolls back what is not prepared. */
  rollBack(): Promise<void>;
}

/** A database: the application's way to it. */
export interface Database<B extends Branch> {
  readonly participant: bigint;
  /** Begins a branch. */
  open(): Promise<B>;
}

/** The front door: makes transactions. */
export class Synod {
  readonly client: Client;
  #free: { id: TxId; epoch: bigint }[] = [];
  #lastBlock = 0;
  #leastEpoch = 0n;

  constructor(client: Client) {
    this.client = client;
  }

  /**
   * Does `work` in one transaction, and commits it everywhere or nowhere.
   *
   * When it returns, everything is committed. `Aborted` says that nothing has changed. `OutcomeUnknown` says that it may have committed,
   * or will yet: `outcome` finds out. What `work` throws is thrown on, and everything is rolled back.
   */
  async transaction<T>(work: (tx: Transaction) => Promise<T>): Promise<T> {
    const tx = new Transaction(this);
    let result: T;
    try {
      result = await work(tx);
    } catch (error) {
      await tx.rollBack();
      throw error;
    }
    await tx.commit();
    return result;
  }

  /** A transaction to commit or to roll back by oneself. */
  begin(): Transaction {
    return new Transaction(this);
  }

  /** How the transaction `tx` ended, whose answer was lost. Waits until that is known. */
  outcome(tx: TxId, patience?: number): Promise<Outcome> {
    return this.client.outcome(tx, patience);
  }

  /** @internal */
  async takeName(): Promise<{ id: TxId; epoch: bigint }> {
    // Each block is twice as large as the one before: whoever makes one transaction takes one name, and leaves no gap.
    let name = this.#free.shift();
    while (!name) {
      const { first, count, epoch } = await this.client.names(Math.min(Math.max(this.#lastBlock * 2, 1), MOST_NAMES));
      this.#lastBlock = count;
      if (epoch >= this.#leastEpoch) {
        this.#leastEpoch = epoch;
        const block = Array.from({ length: count }, (_, at) => ({ id: new TxId(first.origin, first.seq + BigInt(at)), epoch }));
        this.#free.push(...block);
      }
      name = this.#free.shift();
    }
    return name;
  }

  /** The epoch is over: names of it are of no use any more. @internal */
  leave(epoch: bigint): void {
    this.#leastEpoch = epoch >= this.#leastEpoch ? epoch + 1n : this.#leastEpoch;
    this.#free = this.#free.filter((name) => name.epoch >= this.#leastEpoch);
  }
}

/** A transaction over several databases. */
export class Transaction {
  readonly #door: Synod;
  readonly #branches = new Map<bigint, Promise<Branch>>();
  #isOver = false;

  /** @internal */
  constructor(door: Synod) {
    this.#door = door;
  }

  /** The branch in `database`, which begins with the first call. */
  on<B extends Branch>(database: Database<B>): Promise<B> {
    if (this.#isOver) {
      return Promise.reject(over());
    }
    const node = database.participant;
    const branch = (this.#branches.get(node) as Promise<B> | undefined) ?? database.open();
    this.#branches.set(node, branch);
    // One that cannot be opened is no branch, and the caller hears of it.
    branch.catch(() => this.#branches.delete(node));
    return branch;
  }

  /** Rolls back what every branch has done. */
  async rollBack(): Promise<void> {
    this.#isOver = true;
    await Promise.all([...(await this.#opened()).values()].map((branch) => branch.rollBack()));
  }

  /** Commits what the branches have done, everywhere or nowhere; see `Synod.transaction`. */
  async commit(): Promise<void> {
    if (this.#isOver) {
      throw over();
    }
    this.#isOver = true;
    const branches = await this.#opened();
    let written: [bigint, Branch][];
    try {
      const asked = [...branches].map(async ([node, branch]) => ({ node, branch, has: await branch.hasWritten() }));
      written = (await settled(asked)).filter(({ has }) => has).map(({ node, branch }) => [node, branch]);
    } catch (error) {
      await this.rollBack();
      throw new Aborted(`a database could not say whether it has changed: ${said(error)}`, undefined, { cause: error });
    }
    const [first, second] = written;
    if (first && !second && first[1].commitsAlone !== false) {
      await commitAlone(...first);
    } else if (first) {
      await this.#commitTogether(new Map(written.sort(([one], [other]) => (one < other ? -1 : 1))));
    }
  }

  async #opened(): Promise<Map<bigint, Branch>> {
    const opened = [...this.#branches].map(async ([node, branch]) => [node, await branch.catch(() => undefined)] as const);
    const branches = (await Promise.all(opened)).filter((entry): entry is [bigint, Branch] => entry[1] !== undefined);
    return new Map(branches);
  }

  async #commitTogether(branches: Map<bigint, Branch>): Promise<void> {
    const { client } = this.#door;
    const participants = [...branches.keys()];
    let name: { id: TxId; epoch: bigint };
    try {
      name = await this.#door.takeName();
    } catch (error) {
      await this.rollBack();
      throw new Aborted(`no transaction manager gives it a name: ${said(error)}`, undefined, { cause: error });
    }
    const { id, epoch } = name;
    const failed: { node: bigint; error: unknown }[] = [];
    const prepare = async ([node, branch]: [bigint, Branch]) => {
      try {
        await branch.prepare(client.cluster, id, epoch, participants);
      } catch (error) {
        failed.push({ node, error });
      }
    };
    await Promise.all([...branches].map(prepare));
    const lost = failed.find(({ error }) => error instanceof RolledBack);
    let outcome: Outcome;
    try {
      outcome = await this.#decide(name, participants);
    } catch (error) {
      if (lost) {
        throw new Aborted(`participant ${lost.node} is rolled back: ${said(lost.error)}`, id, { cause: lost.error });
      }
      throw new OutcomeUnknown(`how ${id} ends is not known: ${said(error)}`, id, { cause: error });
    }
    // What cannot be carried out here is left to the agents.
    await Promise.all([...branches.values()].map((branch) => branch.finish(outcome).catch(() => undefined)));
    if (outcome === "aborted") {
      const why = lost ?? failed[0];
      const told = why ? `participant ${why.node}: ${said(why.error)}` : "it was decided to abort";
      throw new Aborted(`${id} is rolled back everywhere: ${told}`, id, { cause: why?.error });
    }
  }

  /** Begins it until somebody knows how it ends, or the patience is over. */
  async #decide(name: { id: TxId; epoch: bigint }, participants: readonly bigint[]): Promise<Outcome> {
    const { client } = this.#door;
    const end = performance.now() + client.patience;
    for (;;) {
      try {
        await client.begin(participants, "", name);
        return await client.outcome(name.id, Math.max(end - performance.now(), 0));
      } catch (error) {
        if (error instanceof OldEpoch) {
          // It has not committed, and never will. What else was named in its epoch would end in the same way.
          this.#door.leave(name.epoch);
          return "aborted";
        }
        const isOver = error instanceof Refused && error.reason === "REASON_OVER";
        if (!(error instanceof SynodError) || error instanceof Forgotten || isOver || performance.now() >= end) {
          throw error;
        }
        await sleep(20);
      }
    }
  }
}

function over(): BadInput {
  return new BadInput("the transaction is over", "make another one with synod.transaction");
}

/** What all of `promises` yield, once none of them is under way any more. */
async function settled<T>(promises: Promise<T>[]): Promise<T[]> {
  await Promise.allSettled(promises);
  return Promise.all(promises);
}

/** Only one database has changed: that is one plain commit. */
async function commitAlone(node: bigint, branch: Branch): Promise<void> {
  try {
    await branch.commitAlone();
  } catch (error) {
    if (error instanceof RolledBack) {
      throw new Aborted(`participant ${node} is rolled back: ${error.message}`, undefined, { cause: error });
    }
    const told = `the answer of participant ${node} to its commit is lost: ${said(error)}`;
    throw new OutcomeUnknown(told, undefined, { cause: error });
  }
}

/** The number of a participant, checked. @internal */
export function participantNumber(value: bigint | number): bigint {
  return u64("the number of a participant", value);
}
