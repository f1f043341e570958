// PostgreSQL as a part of a transaction, by pg.
//
// The branch is a transaction of PostgreSQL that is prepared under a name from which its agent, which runs beside the cluster, can tell
// everything. Beside it, in the same transaction, goes a row of `synod.fence`, which tells later that it was there. The agent makes the
// tables; names and rows are those of the package synod-postgres.

import { randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";

import pg from "pg";

import { said, SynodError } from "./errors.js";
import type { Outcome, TxId } from "./names.js";
import { participantNumber, RolledBack, type Branch, type Database } from "./transaction.js";

/** Of the name of a prepared transaction. */
const PREFIX = "synod_";
const LONGEST = 199;
/** In place of the participant's place, where there is no room for all participants. */
const LISTED = 255;
/** The function of the server that waits for standbys, as its messages name it in every language. */
const WAITS = "SyncRepWaitForLSN";
const WARN = "SET client_min_messages = warning";

/**
 * Whether the transaction has written anything. Writing into foreign tables only needs no number here: it is PREPARE that refuses such a
 * branch, and to commit it as one that has only read would be to commit what it has written elsewhere.
 */
const HAS_WRITTEN =
  "SELECT pg_current_xact_id_if_assigned() IS NOT NULL OR CASE WHEN EXISTS (SELECT FROM pg_foreign_table) " +
  "THEN EXISTS (SELECT FROM pg_locks JOIN pg_foreign_table ON ftrelid = relation " +
  "WHERE pid = pg_backend_pid() AND mode = 'RowExclusiveLock') ELSE false END AS written";

/**
 * What comes before PREPARE, whatever the statements have set: nobody but the agent's role can end what is prepared, and a promise waits
 * for the standby. It holds for the session, and so when the branch is ended as well.
 */
const AS_ITSELF =
  "RESET ROLE; SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') IN ('off', 'local')";

/** SQLSTATE. */
const UNDEFINED_OBJECT = "42704";
const UNDEFINED_TABLE = "42P01";
const INVALID_SCHEMA = "3F000";
const NOT_IN_STATE = "55000";

/** How a database is used. */
export interface PostgresOptions {
  /** How many connections at most: 10 unless given. */
  readonly connections?: number;
  /**
   * For how many milliseconds to wait for a connection, for what the agent is at, and for an answer as a branch ends: 30,000 unless
   * given. How long statements may take is for `statement_timeout` and `lock_timeout` to say, which PostgreSQL has.
   */
  readonly wait?: number;
}

/** A database that is `participant` in the cluster: the number that its agent has. */
export class Postgres implements Database<PostgresBranch> {
  readonly participant: bigint;
  readonly wait: number;
  readonly #connections: number;
  readonly #url: string;
  readonly #pool: pg.Pool;
  #joined: string | undefined;

  constructor(url: string, participant: bigint | number, { connections = 10, wait = 30_000 }: PostgresOptions = {}) {
    this.participant = participantNumber(participant);
    this.wait = wait;
    this.#connections = connections;
    this.#url = url;
    this.#pool = new pg.Pool({ connectionString: url, max: connections, connectionTimeoutMillis: wait });
    // A connection that is idle and breaks is replaced.
    this.#pool.on("error", () => undefined);
  }

  async open(): Promise<PostgresBranch> {
    const connection = await this.#connect();
    // One that breaks while nothing is asked says so with the next question.
    if (connection.listenerCount("error") === 0) {
      connection.on("error", () => undefined);
      listen(connection);
    }
    try {
      await inTime(connection.query("BEGIN"), this.wait);
    } catch (error) {
      connection.release(true);
      throw error;
    }
    return new PostgresBranch(this, connection);
  }

  /** Waits for a connection, but not for ever: of two databases, each may be used up by transactions that wait for the other. */
  async #connect(): Promise<pg.PoolClient> {
    try {
      return await this.#pool.connect();
    } catch (error) {
      // pg has three errors for this, and they differ in their text only.
      if (error instanceof pg.DatabaseError || !/timeout/i.test(said(error))) {
        throw error;
      }
      const { wait, participant } = this;
      if (this.#pool.totalCount >= this.#connections && this.#pool.idleCount === 0) {
        const what = `no connection to the database of participant ${participant} has become free within ${wait} ms`;
        const remedy = "have all transactions call `on` for their databases in the same order, or give `connections` more";
        throw new SynodError(`${what}: transactions have all ${this.#connections}`, remedy, { cause: error });
      }
      const what = `the database of participant ${participant} has not let anybody in within ${wait} ms`;
      throw new SynodError(what, "is it running there?", { cause: error });
    }
  }

  /** Closes the connections. */
  close(): Promise<void> {
    return this.#pool.end();
  }

  /** Does `work` on a connection of its own: those of the pool may all be waiting for what is asked here. @internal */
  async aside<T>(work: (connection: pg.Client) => Promise<T>): Promise<T> {
    const connection = new pg.Client({ connectionString: this.#url, connectionTimeoutMillis: this.wait });
    connection.on("error", () => undefined);
    listen(connection);
    await connection.connect();
    try {
      return await inTime(work(connection), this.wait);
    } finally {
      // If a query still runs, this cuts the connection.
      await inTime(connection.end(), this.wait).catch(() => undefined);
    }
  }

  /** Makes sure that the database is this participant's, in this cluster. Its agent says so there. @internal */
  async join(cluster: string): Promise<void> {
    if (this.#joined === cluster) {
      return;
    }
    let row: { participant: string; cluster: string | null } | undefined;
    try {
      const asked = "SELECT participant, cluster FROM synod.identity";
      row = (await this.aside((connection) => connection.query(asked))).rows[0];
    } catch (error) {
      if (![UNDEFINED_TABLE, INVALID_SCHEMA].includes(state(error) ?? "")) {
        throw error;
      }
    }
    if (!row?.cluster) {
      const what = `the database of participant ${this.participant} is in no cluster yet`;
      throw new SynodError(`${what}: start its agent, which says of which`, "start its agent");
    }
    if (row.participant !== String(this.participant)) {
      const what = `this is the database of participant ${row.participant}, and not of ${this.participant}`;
      throw new SynodError(`${what}: are two addresses swapped?`, "give each participant its own address");
    }
    if (row.cluster !== cluster) {
      const what = `the database of participant ${row.participant} is in cluster ${row.cluster}, and not in ${cluster}`;
      throw new SynodError(what, "use the folder of a client of that cluster");
    }
    this.#joined = cluster;
  }
}

/**
 * A branch in PostgreSQL: `query` is pg's.
 *
 * `COMMIT`, `ROLLBACK` and `PREPARE TRANSACTION` are not for it; nor may it use `LISTEN`, `NOTIFY` or temporary tables, which PostgreSQL
 * does not prepare.
 */
export class PostgresBranch implements Branch {
  readonly #postgres: Postgres;
  #connection: pg.PoolClient | undefined;
  #gid: string | undefined;

  /** @internal */
  constructor(postgres: Postgres, connection: pg.PoolClient) {
    this.#postgres = postgres;
    this.#connection = connection;
  }

  /** Runs one statement: `pg.Client.query`. */
  async query<R extends pg.QueryResultRow = Record<string, unknown>>(
    statement: string,
    values: unknown[] = [],
  ): Promise<pg.QueryResult<R>> {
    return this.#open().query<R>(statement, values);
  }

  async hasWritten(): Promise<boolean> {
    const asked = this.query<{ written: boolean }>(HAS_WRITTEN);
    if ((await inTime(asked, this.#postgres.wait)).rows[0]?.written) {
      return true;
    }
    await inTime(this.query("COMMIT"), this.#postgres.wait);
    await this.#end();
    return false;
  }

  async commitAlone(): Promise<void> {
    // Drawn once, and longer than any other key. Whoever has lost the answer to the commit asks for this row.
    const key = Buffer.concat([Buffer.alloc(16), wide(this.#postgres.participant), randomBytes(16), Buffer.alloc(1)]);
    try {
      await this.#fence(key, "COMMIT");
      atStandby(this.#open());
    } catch (error) {
      if (isAnswer(error)) {
        await this.rollBack();
        throw new RolledBack(said(error), { cause: error });
      }
      this.#drop();
      if (!(await this.#hasCommitted(key))) {
        throw new RolledBack(said(error), { cause: error });
      }
      return;
    }
    await this.#end();
  }

  async prepare(cluster: string, tx: TxId, epoch: bigint, participants: readonly bigint[]): Promise<void> {
    const { participant } = this.#postgres;
    const key = Buffer.concat([Buffer.from(cluster, "hex"), ...[participant, tx.origin, tx.seq].map(wide)]);
    let name: string;
    try {
      await this.#postgres.join(cluster);
      name = gid(cluster, participant, tx, epoch, participants);
      if (isListed(name)) {
        await this.#postgres.aside((connection) => list(connection, key, participants));
      }
    } catch (error) {
      // Whatever is wrong before PREPARE is sent ends the branch, and lets go of its locks.
      await this.rollBack();
      throw new RolledBack(said(error), { cause: error });
    }
    try {
      await this.#fence(key, `${AS_ITSELF}; PREPARE TRANSACTION '${name}'`);
    } catch (error) {
      if (isAnswer(error)) {
        await this.rollBack();
        throw new RolledBack(said(error), { cause: error });
      }
      this.#drop();
      throw error;
    }
    this.#gid = name;
  }

  async finish(outcome: Outcome): Promise<void> {
    if (this.#gid === undefined || !this.#connection) {
      return;
    }
    const verb = outcome === "committed" ? "COMMIT" : "ROLLBACK";
    const end = performance.now() + this.#postgres.wait;
    for (;;) {
      try {
        await inTime(this.#connection.query(`${verb} PREPARED '${this.#gid}'`), Math.max(end - performance.now(), 0));
        break;
      } catch (error) {
        if (state(error) === UNDEFINED_OBJECT) {
          // The agent was there first.
          break;
        }
        if (state(error) !== NOT_IN_STATE || performance.now() >= end) {
          this.#drop();
          throw error;
        }
        // The agent is at it.
        await sleep(1);
      }
    }
    await this.#end();
  }

  async rollBack(): Promise<void> {
    if (!this.#connection || this.#gid !== undefined) {
      return;
    }
    try {
      await inTime(this.#connection.query("ROLLBACK"), this.#postgres.wait);
    } catch {
      this.#drop();
      return;
    }
    await this.#end();
  }

  #open(): pg.PoolClient {
    if (!this.#connection) {
      throw new SynodError("the branch is over", "begin another transaction");
    }
    return this.#connection;
  }

  /**
   * Puts the row there, and ends the transaction. In a failed one the first statement fails, and outside of any, too: without that, the
   * last one would roll back or do nothing, and neither is an error.
   */
  async #fence(key: Buffer, last: string): Promise<void> {
    const row = `INSERT INTO synod.fence (branch, state) VALUES ('\\x${key.toString("hex")}', 'w')`;
    // One text without parameters is one round trip.
    await inTime(this.#open().query(`SAVEPOINT synod; RELEASE synod; ${WARN}; ${row}; ${last}`), this.#postgres.wait);
  }

  /** Whether the row is there. If not, puts a tombstone there first: then it has not committed, and never will. */
  async #hasCommitted(key: Buffer): Promise<boolean> {
    const end = performance.now() + this.#postgres.wait;
    for (;;) {
      try {
        const committed = await this.#postgres.aside((connection) => isThere(connection, key));
        if (committed !== undefined) {
          return committed;
        }
      } catch (error) {
        if (performance.now() >= end) {
          throw error;
        }
      }
      if (performance.now() >= end) {
        throw new SynodError("the database does not say whether it has committed", "read in the database whether it is there");
      }
      await sleep(50);
    }
  }

  /** Gives the connection back, as clean as a new one. */
  async #end(): Promise<void> {
    const connection = this.#take();
    if (connection) {
      const isClean = await inTime(connection.query("DISCARD ALL"), this.#postgres.wait).then(
        () => true,
        () => false,
      );
      connection.release(!isClean);
    }
  }

  #drop(): void {
    this.#take()?.release(true);
  }

  #take(): pg.PoolClient | undefined {
    const connection = this.#connection;
    this.#connection = undefined;
    return connection;
  }
}

/** Whether the row is there, and not as a tombstone; undefined if it has gone meanwhile. */
async function isThere(connection: pg.Client, key: Buffer): Promise<boolean | undefined> {
  await connection.query(`SET lock_timeout = '1s'; SET statement_timeout = 0; ${WARN}`);
  const make = "INSERT INTO synod.fence (branch, state) VALUES ($1, 't') ON CONFLICT DO NOTHING RETURNING branch";
  if ((await connection.query(make, [key])).rows.length > 0) {
    return false;
  }
  const found = await connection.query<{ state: string }>("SELECT state::text FROM synod.fence WHERE branch = $1", [key]);
  if (!found.rows[0]) {
    return undefined;
  }
  await confirm(connection);
  return found.rows[0].state !== "t";
}

/** Where commits wait for a standby, a row is seen before the standby has it. It does once a later write that waited has come back. */
async function confirm(connection: pg.Client): Promise<void> {
  const ask = "SELECT current_setting('synchronous_standby_names') <> '' AS waits";
  if ((await connection.query<{ waits: boolean }>(ask)).rows[0]?.waits) {
    await connection.query("SELECT pg_logical_emit_message(true, 'synod', '')");
    atStandby(connection);
  }
}

/** Connections whose server has stopped waiting for a standby, and has answered as if the standby had it. */
const givenUp = new WeakSet<pg.ClientBase>();

function listen(connection: pg.ClientBase): void {
  connection.on("notice", (notice) => {
    if (notice.routine === WAITS) {
      givenUp.add(connection);
    }
  });
}

function atStandby(connection: pg.ClientBase): void {
  if (givenUp.has(connection)) {
    throw new SynodError("the wait for a standby was cancelled", "see why the standby is away, and who cancels what waits for it");
  }
}

/** Notes who takes part, where the name has no room for that: whoever finds the branch prepared must be able to find out. */
async function list(connection: pg.Client, key: Buffer, participants: readonly bigint[]): Promise<void> {
  const row = "INSERT INTO synod.participants (branch, participants) VALUES ($1, $2)";
  await connection.query(WARN);
  await connection.query(row, [key, Buffer.concat(participants.map(wide))]);
  atStandby(connection);
}

/** Waits for an answer, but not for ever. The connection is of no use after that: what comes over it next is this answer. */
async function inTime<T>(answer: Promise<T>, wait: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    const remedy = "is it running, and is there a way to it?";
    timer = setTimeout(() => reject(new SynodError(`the database has not answered within ${Math.round(wait)} ms`, remedy)), wait);
  });
  try {
    return await Promise.race([answer, late]);
  } finally {
    clearTimeout(timer);
  }
}

function state(error: unknown): string | undefined {
  return error instanceof pg.DatabaseError ? error.code : undefined;
}

/** Whether the server says that a statement has failed, and goes on: then nothing has happened. Whatever ends the session leaves that open. */
function isAnswer(error: unknown): boolean {
  const code = state(error);
  if (code === undefined || /^(08|57P0)/.test(code) || code === "40003") {
    return false;
  }
  // A server that says this in another language is taken for one that has not answered: that is the safe side.
  return error instanceof pg.DatabaseError && error.severity === "ERROR";
}

/** 8 bytes. */
function wide(number: bigint): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(number);
  return bytes;
}

/**
 * The name of the prepared transaction: the cluster, the place of the participant, and all numbers, each with as many bytes as the largest
 * one needs. Where there is no room for all participants, a digest of them.
 */
function gid(cluster: string, participant: bigint, tx: TxId, epoch: bigint, participants: readonly bigint[]): string {
  const name = (place: number, others: readonly bigint[]): string => {
    const numbers = [tx.origin, tx.seq, epoch, ...others];
    const largest = numbers.reduce((most, number) => (number > most ? number : most));
    const width = Math.ceil(largest.toString(16).length / 2);
    const narrow = numbers.map((number) => wide(number).subarray(8 - width));
    return PREFIX + Buffer.concat([Buffer.from(cluster, "hex"), Buffer.from([place, width]), ...narrow]).toString("base64url");
  };
  const place = participants.indexOf(participant);
  const full = place < LISTED ? name(place, participants) : undefined;
  return full !== undefined && full.length <= LONGEST ? full : name(LISTED, [participant, digest(participants)]);
}

/** Whether the name has no room for all participants. */
function isListed(name: string): boolean {
  return Buffer.from(name.slice(PREFIX.length), "base64url")[16] === LISTED;
}

/** FNV-1a (Fowler, Noll and Vo) of the numbers, 8 bytes each. */
function digest(participants: readonly bigint[]): bigint {
  const bytes = Buffer.concat(participants.map(wide));
  return bytes.reduce((digest, byte) => BigInt.asUintN(64, (digest ^ BigInt(byte)) * 0x100000001b3n), 0xcbf29ce484222325n);
}
