// The connection to one node, and what its errors mean.

import { create, fromBinary, toBinary, type DescMessage, type MessageInitShape, type MessageShape } from "@bufbuild/protobuf";
import * as grpc from "@grpc/grpc-js";

import { Forgotten, OldEpoch, Refused, Unknown, Unreachable, type SynodError } from "./errors.js";

/** A call of a service, with what it takes and gives. */
export interface Call<I extends DescMessage, O extends DescMessage> {
  readonly name: string;
  readonly parent: { readonly typeName: string };
  readonly input: I;
  readonly output: O;
}

/** An answer, or an error, with what the node said beside it. */
export interface Answered<O> {
  readonly answer: O;
  readonly epoch: bigint | undefined;
}

/** The connection to a node, which comes about with the first call. */
export class Way {
  readonly node: bigint;
  readonly address: string;
  readonly #client: grpc.Client;

  constructor(node: bigint, address: string, cluster: string, credentials: grpc.ChannelCredentials) {
    this.node = node;
    this.address = address;
    this.#client = new grpc.Client(address, credentials, {
      // A node is known by its name in the cluster, wherever it is.
      "grpc.ssl_target_name_override": `node-${node}.${cluster}.synod`,
      "grpc.default_authority": `node-${node}.${cluster}.synod`,
      "grpc.initial_reconnect_backoff_ms": 50,
      "grpc.max_reconnect_backoff_ms": 1_000,
    });
  }

  close(): void {
    this.#client.close();
  }

  /** One call, which takes `patience` milliseconds at most. It fails with a `grpc.ServiceError`. */
  ask<I extends DescMessage, O extends DescMessage>(
    call: Call<I, O>,
    request: MessageInitShape<I>,
    patience: number,
  ): Promise<Answered<MessageShape<O>>> {
    const write = (message: MessageShape<I>): Buffer => Buffer.from(toBinary(call.input, message));
    const read = (bytes: Buffer): MessageShape<O> => fromBinary(call.output, bytes);
    return new Promise((resolve, reject) => {
      let epoch: bigint | undefined;
      const made = this.#client.makeUnaryRequest(
        `/${call.parent.typeName}/${call.name}`,
        write,
        read,
        create(call.input, request),
        new grpc.Metadata(),
        { deadline: Date.now() + patience },
        (error, answer) => {
          if (error) {
            reject(error);
          } else if (answer) {
            resolve({ answer, epoch });
          }
        },
      );
      made.on("metadata", (metadata: grpc.Metadata) => (epoch = epochIn(metadata)));
    });
  }
}

export function isServiceError(error: unknown): error is grpc.ServiceError {
  return error instanceof Error && "code" in error && "metadata" in error;
}

/** The epoch that a node says it is in. */
export function epochIn(metadata: grpc.Metadata): bigint | undefined {
  const text = metadata.get("synod-epoch")[0]?.toString() ?? "";
  return /^\d{1,20}$/.test(text) ? BigInt(text) : undefined;
}

/** The reason of the node itself, if it is the node that says no. */
export function reasonIn(error: grpc.ServiceError): string | undefined {
  return error.metadata.get("synod-reason")[0]?.toString();
}

/** Whether there was no connection, so that nothing was asked. */
export function wasRefused(error: grpc.ServiceError): boolean {
  return error.code === grpc.status.UNAVAILABLE && /no connection established|name resolution failed/i.test(error.details);
}

/** These say no for good, even without a reason. */
export const FINAL: ReadonlySet<grpc.status> = new Set([
  grpc.status.INVALID_ARGUMENT,
  grpc.status.PERMISSION_DENIED,
  grpc.status.OUT_OF_RANGE,
  grpc.status.UNIMPLEMENTED,
]);

/** Another node may know it, know how it ended, have room, be a transaction manager, or be further. */
export const TURNS: ReadonlySet<string> = new Set([
  "REASON_UNKNOWN",
  "REASON_FORGOTTEN",
  "REASON_TOO_MANY_OPEN",
  "REASON_TOO_MANY_WAITING",
  "REASON_NUMBERS_USED_UP",
  "REASON_NOT_A_MANAGER",
  "REASON_NEWER_EPOCH",
  "REASON_CHANGING",
]);

const REMEDIES: Readonly<Record<string, string>> = {
  REASON_PARTICIPANTS: "name each participant once, and at least one; `synod status` shows their numbers",
  REASON_CONTENT: "say in fewer bytes what it is about",
  REASON_OTHER_TRANSACTION: "use each name once: take a new one with client.names()",
  REASON_OVER: "it is over: client.outcome(tx) may tell how it ended; for another transaction take a new name",
  REASON_NOT_A_MANAGER: "give the client the addresses of transaction managers: the members in cluster.toml",
  REASON_TOO_MANY_OPEN: "wait a little, and begin it again",
  REASON_TOO_MANY_WAITING: "wait for fewer outcomes at once",
  REASON_COUNT: "ask for 1 to 1,024 names",
  REASON_NEWER_EPOCH: "ask again in a moment",
  REASON_CHANGING: "ask again in a moment: the members are about to change",
  PERMISSION_DENIED: "use a client's certificate of this very cluster: `synod certs client 1000 --cluster FOLDER` issues one",
};

/** What a node's error means. */
export function judge(error: grpc.ServiceError, told: string): SynodError {
  const reason = reasonIn(error);
  const options = { cause: error };
  switch (reason) {
    case "REASON_FORGOTTEN":
      return new Forgotten(told, "do not do it again under another name: look at its participants, who know how it ended", options);
    case "REASON_OLD_EPOCH":
      return new OldEpoch(reason, told, "it has not committed, and never will: begin it again under a new name", options);
    case "REASON_UNKNOWN":
      return new Unknown(reason, told, "is it a name of this cluster? It may not have been begun yet", options);
    case "REASON_STOPPED":
    case "REASON_BROKEN":
      return new Unreachable(told, "ask another node, or see `synod status` at this one", options);
    default:
  }
  if (reason !== undefined || FINAL.has(error.code)) {
    const name = reason ?? grpc.status[error.code] ?? String(error.code);
    return new Refused(name, told, REMEDIES[name] ?? "correct what the message names", options);
  }
  const remedy = "see whether the members run (`synod status`), and whether this machine reaches their addresses";
  return new Unreachable(told, remedy, options);
}

/** How much an error says: one of a node that was reached says more than one of a node that was not. */
export function weight(error: SynodError): number {
  if (error instanceof Forgotten) {
    return 3;
  }
  if (error instanceof Unknown) {
    return 2;
  }
  return error instanceof Refused ? 1 : 0;
}

