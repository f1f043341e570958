// Money goes from one database to the other, through a cluster that runs. Whoever starts this says where that is:
// SYNOD_CLIENT is the folder of the client; SYNOD_ACCOUNTS and SYNOD_ORDERS are the databases of participants 11 and 12, of which ann has
// 100 in the first; SYNOD_MEMBER is the process of a member, to be killed.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

import pg from "pg";

import {
  Aborted,
  BadInput,
  Client,
  OutcomeUnknown,
  Refused,
  Synod,
  tlsFromFiles,
  TxId,
  Unknown,
  Unreachable,
} from "../src/index.js";
import { Postgres } from "../src/postgres.js";

const given = (name: string): string => {
  const value = process.env[name];
  assert.ok(value, `${name} is not set: the test typescript of crates/synod-server sets it`);
  return value;
};

const client = Client.fromFolder(given("SYNOD_CLIENT"), { patience: 20_000, attempt: 2_000 });
const synod = new Synod(client);
const accounts = new Postgres(given("SYNOD_ACCOUNTS"), 11);
const orders = new Postgres(given("SYNOD_ORDERS"), 12);

async function buy(price: number): Promise<void> {
  await synod.transaction(async (tx) => {
    const account = await tx.on(accounts);
    await account.query("UPDATE account SET balance = balance - $1 WHERE name = 'ann'", [price]);
    const order = await tx.on(orders);
    await order.query("INSERT INTO purchase VALUES ('ann', $1)", [price]);
  });
}

async function books(): Promise<string> {
  return synod.transaction(async (tx) => {
    const balance = (await (await tx.on(accounts)).query("SELECT balance FROM account")).rows[0]?.["balance"];
    const bought = await (await tx.on(orders)).query("SELECT count(*), coalesce(sum(price), 0) AS spent FROM purchase");
    return `${balance} left, ${bought.rows[0]?.["count"]} bought for ${bought.rows[0]?.["spent"]}`;
  });
}

before(() => buy(0));

after(async () => {
  client.close();
  await accounts.close();
  await orders.close();
});

test("two databases commit together", async () => {
  await buy(30);
  await buy(20);
  assert.equal(await books(), "50 left, 3 bought for 50");
});

test("a statement that fails, an exception and a deferred constraint roll back both", async () => {
  const purchase = "INSERT INTO purchase VALUES ('ann', 1)";
  const overdrawn = synod.transaction(async (tx) => {
    await (await tx.on(orders)).query(purchase);
    await (await tx.on(accounts)).query("UPDATE account SET balance = balance - 1000");
  });
  await assert.rejects(overdrawn, { code: "23514" });
  const mind = synod.transaction(async (tx) => {
    await (await tx.on(orders)).query(purchase);
    throw new RangeError("the application changes its mind");
  });
  await assert.rejects(mind, RangeError);
  const deferred = synod.transaction(async (tx) => {
    await (await tx.on(orders)).query(purchase);
    await (await tx.on(accounts)).query("INSERT INTO note VALUES (1), (1)");
  });
  const error: unknown = await deferred.catch((error: unknown) => error);
  assert.ok(error instanceof Aborted && error.tx);
  assert.equal(await synod.outcome(error.tx), "aborted");
  assert.equal(await books(), "50 left, 3 bought for 50");
});

test("one database alone is one plain commit", async () => {
  await synod.transaction(async (tx) => (await tx.on(accounts)).query("UPDATE account SET balance = balance + 5"));
  assert.equal(await books(), "55 left, 3 bought for 50");
});

test("addresses that are swapped are refused, and nothing has changed", async () => {
  const swapped = new Postgres(given("SYNOD_ORDERS"), 11);
  const work = synod.transaction(async (tx) => {
    await (await tx.on(swapped)).query("INSERT INTO purchase VALUES ('ann', 1)");
    await (await tx.on(orders)).query("INSERT INTO purchase VALUES ('ann', 1)");
  });
  await assert.rejects(work, (error) => error instanceof Aborted && error.message.includes("two addresses swapped"));
  await swapped.close();
  assert.equal(await books(), "55 left, 3 bought for 50");
});

test("who takes part is told where a name has no room for them", async () => {
  const { first: id, epoch } = await client.names(1);
  const many = [11n, ...Array.from({ length: 12 }, (_, at) => (1n << 63n) + BigInt(at))];
  const branch = await accounts.open();
  await branch.query("UPDATE account SET balance = balance - 1");
  await branch.prepare(client.cluster, id, epoch, many);
  const books = new pg.Client(given("SYNOD_ACCOUNTS"));
  await books.connect();
  const prepared = async () => (await books.query("SELECT 1 FROM pg_prepared_xacts WHERE database = current_database()")).rowCount;
  assert.equal(await prepared(), 1);
  assert.equal((await books.query("SELECT 1 FROM synod.participants")).rowCount, 1);
  // Its agent reads who they are, and asks how this ended.
  while (await prepared()) {
    await sleep(100);
  }
  await books.end();
  await branch.finish("aborted");
  assert.equal(await client.outcome(id, 10_000), "aborted");
});

test("a wait for a standby that is cancelled is no answer", async () => {
  const operator = new pg.Client(given("SYNOD_ACCOUNTS"));
  await operator.connect();
  const standby = async (setting: string, shown: string) => {
    await operator.query(`ALTER SYSTEM ${setting}`);
    await operator.query("SELECT pg_reload_conf()");
    while ((await operator.query("SHOW synchronous_standby_names")).rows[0]?.synchronous_standby_names !== shown) {
      await sleep(20);
    }
  };
  await standby("SET synchronous_standby_names = 'missing'", "missing");
  let waits = true;
  const cancels = (async () => {
    while (waits) {
      await operator.query("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'");
      await sleep(20);
    }
  })();
  // The server answers as if the standby had it.
  const hasty = new Postgres(given("SYNOD_ACCOUNTS"), 11, { wait: 1_000 });
  const work = synod.transaction(async (tx) => (await tx.on(hasty)).query("UPDATE account SET balance = balance"));
  const ended = await work.catch((error: unknown) => error);
  waits = false;
  await cancels;
  await standby("RESET synchronous_standby_names", "");
  await hasty.close();
  await operator.end();
  assert.ok(ended instanceof OutcomeUnknown, String(ended));
});

test("a name begins one transaction, however often it is begun, and no other", async () => {
  const { first: id, epoch } = await client.names(1);
  assert.ok((await client.begin([11, 12], "", { id, epoch })).equals(id));
  assert.ok((await client.begin([11n, 12n], "", { id, epoch })).equals(id));
  assert.equal(await client.outcome(id, 10_000), "aborted", "nobody has prepared");
  const other = client.begin([11, 12], "other", { id, epoch });
  await assert.rejects(other, (error) => error instanceof Refused && error.reason === "REASON_OTHER_TRANSACTION");
});

test("what is not known, and who the members are, is told", async () => {
  const never = new TxId(1, 1n << 40n);
  assert.equal((await client.status(never)).phase, "unknown");
  await assert.rejects(client.inquire(never), Unknown);
  await assert.rejects(client.outcome(never, 300), Unreachable);
  const members = await client.members();
  assert.deepEqual([members?.epoch, members?.managers], [0n, [1n, 2n, 3n]]);
  await assert.rejects(client.names(0), (error) => error instanceof Refused && error.remedy === "ask for 1 to 1,024 names");
});

test("it goes on when a member is killed, with many at once", async () => {
  process.kill(Number(given("SYNOD_MEMBER")), "SIGKILL");
  await Promise.all(Array.from({ length: 20 }, () => buy(1)));
  assert.equal(await books(), "35 left, 23 bought for 70");
});

test("a cluster that is not there is Unreachable, and a certificate of nobody's is not believed", async () => {
  const folder = given("SYNOD_CLIENT");
  const nobody = new Client(client.cluster, { 1: "127.0.0.1:1" }, undefined, { patience: 1_000 });
  await assert.rejects(nobody.names(), (error) => error instanceof Unreachable && error.message.includes("127.0.0.1:1"));
  nobody.close();
  const [[node, address] = assert.fail("no node")] = client.nodes;
  const plain = new Client(client.cluster, new Map([[node, address]]), undefined, { patience: 1_000 });
  await assert.rejects(plain.names(), Unreachable);
  plain.close();
  const tls = tlsFromFiles(`${folder}/authority.pem`, `${folder}/client-1000.pem`, `${folder}/client-1000.key`);
  const mistaken = new Client("0".repeat(32), new Map([[node, address]]), tls, { patience: 1_000 });
  await assert.rejects(mistaken.names(), Unreachable, "the node is not of that cluster");
  mistaken.close();
  await assert.rejects(mistaken.names(), BadInput, "it is closed");
});
