// A store of one's own as a part of a transaction: the application's side.
//
//     const seats = new Store(client, "127.0.0.1:7513", 13);
//     await synod.transaction(async (tx) => {
//       await (await tx.on(accounts)).query("UPDATE account SET balance = balance - 30 WHERE name = 'ann'");
//       (await tx.on(seats)).stage("7");
//     });
//
// What is staged is what the store is asked to promise. It is left with the store, durably and under the transaction's name, before the
// transaction begins. If the transaction is rolled back, or never begins, it goes again.

import { setTimeout as sleep } from "node:timers/promises";

import type { DescMessage, MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import * as grpc from "@grpc/grpc-js";

import type { Client } from "./client.js";
import { BadInput, SynodError, Unreachable } from "./errors.js";
import type { Outcome, TxId } from "./names.js";
import { participantNumber, RolledBack, type Branch, type Database } from "./transaction.js";
import { Stage, Store as Service } from "./v1/store_pb.js";
import { isServiceError, type Call, type Way } from "./way.js";

/** As many bytes may be staged for one transaction. */
const MOST_STAGED = 1 << 20;

/** The store takes nothing for this transaction. */
export class NotStaged extends SynodError {}

/** The store of a participant, for applications of a client's cluster. */
export class Store implements Database<StoreBranch> {
  readonly participant: bigint;
  readonly address: string;
  readonly #way: Way;
  readonly #agent: { cluster: Uint8Array; participant: bigint };
  readonly #wait: number;
  #isKnown = false;

  /** It is served at `address`, and asked with the certificate of `client`, for up to `wait` milliseconds: 10,000 unless given. */
  constructor(client: Client, address: string, participant: bigint | number, { wait = 10_000 }: { readonly wait?: number } = {}) {
    this.participant = participantNumber(participant);
    this.address = address;
    this.#wait = wait;
    this.#way = client.wayTo(this.participant, address);
    this.#agent = { cluster: Buffer.from(client.cluster, "hex"), participant: this.participant };
  }

  /** Begins a branch. */
  async open(): Promise<StoreBranch> {
    if (!this.#isKnown) {
      // A store that stages nothing might promise nothing at all, and that would commit.
      await this.unstage([]);
      this.#isKnown = true;
    }
    return new StoreBranch(this);
  }

  /** Closes the connection. */
  close(): void {
    this.#way.close();
  }

  /** @internal */
  async stage(id: TxId, content: Uint8Array): Promise<Stage> {
    const name = { origin: id.origin, seq: id.seq };
    return (await this.#ask(Service.method.stage, { agent: this.#agent, id: name, content })).stage;
  }

  /** @internal */
  async unstage(ids: readonly TxId[]): Promise<void> {
    const names = ids.map(({ origin, seq }) => ({ origin, seq }));
    await this.#ask(Service.method.unstage, { agent: this.#agent, ids: names });
  }

  /** Asks until there is an answer, or the time is over. */
  async #ask<I extends DescMessage, O extends DescMessage>(
    call: Call<I, O>,
    request: MessageInitShape<I>,
  ): Promise<MessageShape<O>> {
    const end = performance.now() + this.#wait;
    const where = `the store of participant ${this.participant} at ${this.address}`;
    for (;;) {
      try {
        return (await this.#way.ask(call, request, Math.max(end - performance.now(), 50))).answer;
      } catch (error) {
        if (!isServiceError(error)) {
          throw error;
        }
        if (error.code === grpc.status.UNIMPLEMENTED) {
          const remedy =
            "have it serve `Stage`, `Unstage` and `Staged` of store.proto, or begin transactions among stores alone, by `client.begin`";
          throw new NotStaged(`${where} does not stage what a transaction wants of it`, remedy, { cause: error });
        }
        if (error.code !== grpc.status.UNAVAILABLE && error.code !== grpc.status.DEADLINE_EXCEEDED) {
          const remedy = "give the address of the store, the number of its participant, and a client of its cluster";
          throw new NotStaged(`${where} refuses: ${error.details}`, remedy, { cause: error });
        }
        if (performance.now() >= end) {
          throw new Unreachable(`${where} does not answer: ${error.details}`, "is it running there?", { cause: error });
        }
        await sleep(50);
      }
    }
  }
}

/** A transaction's part in a store. */
export class StoreBranch implements Branch {
  /** Its agent promises, so a transaction of this alone is one of the cluster, too. */
  readonly commitsAlone = false;
  readonly #store: Store;
  #content: Uint8Array | undefined;
  #id: TxId | undefined;

  /** @internal */
  constructor(store: Store) {
    this.#store = store;
  }

  /**
   * Says what the transaction wants of the store, once: what belongs to one transaction goes into one content. It is sent when the
   * transaction commits, and may have 1,048,576 bytes.
   */
  stage(content: Uint8Array | string): void {
    if (this.#content !== undefined) {
      throw new BadInput("the transaction has said already what it wants of this store", "put all of it into one content");
    }
    const bytes = typeof content === "string" ? new TextEncoder().encode(content) : content.slice();
    if (bytes.length > MOST_STAGED) {
      throw new BadInput(`${bytes.length} bytes are to be staged, and ${MOST_STAGED} may be`, "leave there where the rest is");
    }
    this.#content = bytes;
  }

  hasWritten(): Promise<boolean> {
    return Promise.resolve(this.#content !== undefined);
  }

  commitAlone(): Promise<void> {
    return Promise.reject(new RolledBack("its agent alone has it commit"));
  }

  async prepare(_cluster: string, id: TxId): Promise<void> {
    // The agent asks the store for its promise, and only once this has returned.
    // It is never `RolledBack`: an answer that was lost may have staged it, and somebody else have begun it. Then it is promised.
    this.#id = id;
    const stage = await this.#store.stage(id, this.#content ?? new Uint8Array());
    if (stage === Stage.DONE) {
      return;
    }
    if (stage === Stage.OTHERWISE) {
      // As long as the other content is there, that could commit.
      await this.#store.unstage([id]);
      throw new NotStaged(`other content was staged under the name ${id}`, "use each name once");
    }
    throw new NotStaged(`the store has promised ${id} already, or it is over there`);
  }

  async finish(outcome: Outcome): Promise<void> {
    // What was promised is committed, or let go of, by the agent. What was refused is nobody's.
    if (outcome === "aborted" && this.#id) {
      await this.#store.unstage([this.#id]);
    }
  }

  rollBack(): Promise<void> {
    this.#content = undefined; // nothing is sent before `prepare`
    return Promise.resolve();
  }
}
