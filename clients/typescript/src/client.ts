// The way to the nodes of a cluster: begins transactions, and asks how they ended.
//
// Calls turn to the node that answered last. When it cannot be reached or gives no answer in time, the next one is asked, wherever
// that does no harm. When an answer says that the members of the cluster have changed, the client learns the new transaction managers,
// so one that was given the founders goes on when all of them are gone.

import type { DescMessage, MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import * as grpc from "@grpc/grpc-js";

import { BadInput, MayHaveBegun, Refused, SynodError, Unreachable } from "./errors.js";
import { read, type Tls } from "./folder.js";
import { TxId, u64, type Members, type Names, type Outcome, type Phase, type Status } from "./names.js";
import { Phase as WirePhase, Transactions, type MembersReply } from "./v1/transactions_pb.js";
import { Outcome as WireOutcome } from "./v1/types_pb.js";
import { epochIn, FINAL, isServiceError, judge, reasonIn, TURNS, wasRefused, Way, weight, type Call } from "./way.js";

/** How long calls take. */
export interface Patience {
  /** How many milliseconds a call takes at most: 30,000 unless given. */
  readonly patience?: number;
  /** How many of them it waits for one node while there are others: 5,000 unless given. */
  readonly attempt?: number;
}

/** The name under which to begin a transaction, and the epoch in which the name was given. */
export interface Named {
  readonly id: TxId;
  readonly epoch?: bigint;
}

interface How {
  /** Whether it may be asked twice. */
  readonly isHarmless?: boolean;
  /** Whether the node waits with us. */
  readonly waits?: boolean;
  readonly patience?: number | undefined;
  /** Told when a request may have come to a node, and its answer has not come back. */
  readonly inDoubt?: () => void;
}

/** The way to a cluster. */
export class Client {
  /** The cluster's id in 32 hexadecimal digits. */
  readonly cluster: string;
  readonly patience: number;
  readonly attempt: number;
  readonly #credentials: grpc.ChannelCredentials;
  #ways: Map<bigint, Way>;
  #favourite: bigint | undefined;
  #epoch = 0n;
  #isClosed = false;
  /** The ways to nodes that have left: something may be under way there. */
  readonly #gone: Way[] = [];

  /**
   * `cluster` is the cluster's id in 32 hexadecimal digits, `nodes` the addresses (`host:port`) of some of its transaction managers by
   * their numbers. With `tls` undefined nothing is protected, and everybody believed.
   */
  constructor(
    cluster: string,
    nodes: Readonly<Record<number | string, string>> | ReadonlyMap<bigint, string>,
    tls: Tls | undefined,
    { patience = 30_000, attempt = 5_000 }: Patience = {},
  ) {
    if (!/^[0-9a-f]{32}$/i.test(cluster)) {
      const remedy = "copy it from cluster.toml, or use Client.fromFolder";
      throw new BadInput(`a cluster's id has 32 hexadecimal digits, and this is ${JSON.stringify(cluster)}`, remedy);
    }
    this.cluster = cluster.toLowerCase();
    this.patience = patience;
    this.attempt = attempt;
    this.#credentials = tls
      ? grpc.credentials.createSsl(tls.authority, tls.key, tls.certificate)
      : grpc.credentials.createInsecure();
    const given = nodes instanceof Map ? [...nodes] : Object.entries(nodes);
    const known = given.map(([node, address]): [bigint, string] => [nodeNumber(node), address]);
    this.#ways = new Map(known.map(([node, address]) => [node, this.wayTo(node, address)]));
    this.#favourite = known[0]?.[0];
    if (this.#favourite === undefined) {
      throw new BadInput("the client is given no node", 'name one transaction manager at least, as in { 1: "localhost:7401" }');
    }
  }

  /**
   * The client of a folder that `synod` has made, as `synod-data/client-1000`: with its certificate, and with `cluster.toml` in it or
   * beside it.
   */
  static fromFolder(folder: string, options: Patience = {}): Client {
    const { cluster, nodes, tls } = read(folder);
    return new Client(cluster, nodes, tls, options);
  }

  /** Closes all connections. */
  close(): void {
    this.#isClosed = true;
    [...this.#gone, ...this.#ways.values()].forEach((way) => way.close());
  }

  /** The latest epoch that this client has heard of: that of names of its own. */
  get epoch(): bigint {
    return this.#epoch;
  }

  /** The nodes that it turns to, and their addresses. */
  get nodes(): Map<bigint, string> {
    return new Map([...this.#ways].map(([node, way]) => [node, way.address]));
  }

  // What a node is asked for.

  /**
   * Begins a transaction among `participants`, about `meta`, and returns its name.
   *
   * With a name of the caller's own (see `names`, which also says the `epoch`) it may be begun again, here or elsewhere: it begins once.
   * Without one the node gives a name, and an answer that is lost is `MayHaveBegun`.
   */
  async begin(participants: Iterable<bigint | number>, meta: Uint8Array | string = "", named?: Named): Promise<TxId> {
    const request = {
      participants: [...participants].map((node) => u64("the number of a participant", node)),
      meta: typeof meta === "string" ? new TextEncoder().encode(meta) : meta,
      epoch: named?.epoch ?? 0n,
      ...(named && { id: { origin: named.id.origin, seq: named.id.seq } }),
    };
    let doubt = false;
    try {
      const how = { isHarmless: named !== undefined, inDoubt: () => (doubt = true) };
      const { id } = await this.#ask(Transactions.method.begin, request, how);
      return new TxId(id?.origin ?? 0n, id?.seq ?? 0n);
    } catch (error) {
      // The answer was lost, and not the request.
      if (named && doubt && error instanceof Refused && error.reason === "REASON_OVER") {
        return named.id;
      }
      throw error;
    }
  }

  /** Up to `count` names, of 1,024, for transactions that are begun by them. What is not used leaves a gap for ever. */
  async names(count = 1): Promise<Names> {
    const reply = await this.#ask(Transactions.method.names, { count: u64("the count of names", count) });
    const { origin, first, last } = reply.names ?? { origin: 0n, first: 1n, last: 0n };
    return { first: new TxId(origin, first), count: Number(last - first) + 1, epoch: reply.epoch };
  }

  /** Waits until a node knows how `tx` ended. `Unreachable` after `patience` milliseconds: it goes on after that. */
  async outcome(tx: TxId, patience?: number): Promise<Outcome> {
    const reply = await this.#ask(Transactions.method.outcome, { id: wire(tx) }, { waits: true, patience });
    const outcome = outcomeOf(reply.outcome);
    if (outcome === undefined) {
      throw new SynodError(`a node says that ${tx} has ended, and not how`, "is the client older than the cluster? Take a newer one");
    }
    return outcome;
  }

  /** What the first node that answers knows of `tx`, at once. */
  async status(tx: TxId): Promise<Status> {
    const reply = await this.#ask(Transactions.method.status, { id: wire(tx) });
    return { phase: PHASES[reply.phase] ?? "unknown", outcome: outcomeOf(reply.outcome) };
  }

  /** Has a node drive `tx` to its outcome now: to abort, where a vote is missing. */
  async inquire(tx: TxId): Promise<void> {
    await this.#ask(Transactions.method.inquire, { id: wire(tx) });
  }

  /** Who the members of the cluster are; undefined if the first node that answers is a newcomer that does not know yet. */
  async members(): Promise<Members | undefined> {
    const { epoch, membership, left } = await this.#ask(Transactions.method.members, {});
    if (epoch === undefined) {
      return undefined;
    }
    const acceptors = membership?.acceptors.map((acceptor) => acceptor.node) ?? [];
    return { epoch, acceptors, managers: membership?.managers ?? [], left };
  }

  // How it is asked.

  /** The answer of the first node that has one. An error is that of the node that knew the most. */
  async #ask<I extends DescMessage, O extends DescMessage>(
    call: Call<I, O>,
    request: MessageInitShape<I>,
    { isHarmless = true, waits = false, patience, inDoubt = () => undefined }: How = {},
  ): Promise<MessageShape<O>> {
    const end = performance.now() + (patience ?? this.patience);
    let last: SynodError = new Unreachable("there was no time to ask", "give the call more patience");
    for (;;) {
      let worst: SynodError | undefined;
      let hasWaited = false;
      for (const way of this.#turns()) {
        if (this.#isClosed) {
          throw new BadInput("the client is closed", "make another one, or close it later");
        }
        const left = end - performance.now();
        if (left <= 0) {
          throw worst ?? last;
        }
        try {
          const { answer, epoch } = await way.ask(call, request, Math.min(this.attempt, left));
          this.#favourite = way.node;
          await this.#hear(way, epoch);
          return answer;
        } catch (error) {
          if (!isServiceError(error)) {
            throw error;
          }
          await this.#hear(way, epochIn(error.metadata));
          const told = `node ${way.node} at ${way.address}: ${error.details}`;
          const lost = () => new MayHaveBegun(told, "give it a name, with client.names(), to be able to begin it again", { cause: error });
          if (error.code === grpc.status.DEADLINE_EXCEEDED && reasonIn(error) === undefined) {
            hasWaited = true;
            inDoubt();
            if (!isHarmless) {
              throw lost();
            }
            last = judge(error, told);
            continue;
          }
          const known = judge(error, told);
          const reason = reasonIn(error);
          const isFinal = reason === undefined ? FINAL.has(error.code) : !TURNS.has(reason);
          if (isFinal && !(known instanceof Unreachable)) {
            throw known;
          }
          if (known instanceof Unreachable && !wasRefused(error)) {
            inDoubt();
            if (!isHarmless) {
              throw lost();
            }
          }
          if (!worst || weight(known) >= weight(worst)) {
            worst = known;
          }
        }
      }
      // Somebody waited with us, and may know soon.
      if (!(waits && hasWaited && (!worst || worst instanceof Unreachable))) {
        throw worst ?? last;
      }
    }
  }

  #turns(): Way[] {
    const ways = [...this.#ways.values()];
    const at = Math.max(ways.findIndex((way) => way.node === this.#favourite), 0);
    return [...ways.slice(at), ...ways.slice(0, at)];
  }

  /** The way to the node, or to its store, with this client's certificate. @internal */
  wayTo(node: bigint, address: string): Way {
    return new Way(node, address, this.cluster, this.#credentials);
  }

  /** If a node says that it is in a later epoch, learns the transaction managers of that. */
  async #hear(way: Way, said: bigint | undefined): Promise<void> {
    if (said === undefined || said <= this.#epoch) {
      return;
    }
    try {
      this.#enter((await way.ask(Transactions.method.members, {}, this.attempt)).answer);
    } catch (error) {
      if (!isServiceError(error)) {
        throw error;
      }
      // The next answer has this asked again.
    }
  }

  #enter({ epoch, membership, left }: MembersReply): void {
    if (epoch === undefined || epoch <= this.#epoch) {
      return;
    }
    const contacts = new Map(membership?.contacts.map(({ node, contact }) => [node, addressIn(contact)]));
    const ways = new Map([...this.#ways].filter(([node]) => !left.includes(node)));
    for (const manager of membership?.managers ?? []) {
      const address = contacts.get(manager);
      if (address && ways.get(manager)?.address !== address) {
        ways.set(manager, this.wayTo(manager, address));
      }
    }
    this.#epoch = epoch;
    // Whoever has left may still answer, and is better than nobody.
    if (ways.size > 0) {
      this.#gone.push(...[...this.#ways.values()].filter((way) => ways.get(way.node) !== way));
      this.#ways = ways;
    }
  }
}

const PHASES: Readonly<Partial<Record<WirePhase, Phase>>> = {
  [WirePhase.UNKNOWN]: "unknown",
  [WirePhase.OPEN]: "open",
  [WirePhase.RETIRED]: "retired",
  [WirePhase.FENCED]: "fenced",
};

function outcomeOf(outcome: WireOutcome): Outcome | undefined {
  switch (outcome) {
    case WireOutcome.COMMITTED:
      return "committed";
    case WireOutcome.ABORTED:
      return "aborted";
    default:
      return undefined;
  }
}

function wire(tx: TxId): { origin: bigint; seq: bigint } {
  return { origin: tx.origin, seq: tx.seq };
}

function nodeNumber(node: bigint | string): bigint {
  if (typeof node === "string" && !/^\d{1,20}$/.test(node)) {
    throw new BadInput(`${JSON.stringify(node)} is no number of a node`, 'write the numbers of cluster.toml, as in { 1: "localhost:7401" }');
  }
  return u64("the number of a node", BigInt(node));
}

/** The address in a contact. */
function addressIn(contact: Uint8Array): string | undefined {
  const text = new TextDecoder().decode(contact);
  return text.replace(/^https?:\/\//, "").replace(/\/+$/, "") || undefined;
}
