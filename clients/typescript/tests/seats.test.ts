// A seat is sold in a store of one's own, and paid for in PostgreSQL, or neither. Whoever starts this says where that is: SYNOD_CLIENT is
// the folder of the client, SYNOD_ACCOUNTS the database of participant 11, in which ann has 100, and SYNOD_SEATS the address of the store
// of participant 13, `seats.py` of the examples in Python.

import assert from "node:assert/strict";
import { after, test } from "node:test";

import { Aborted, BadInput, Client, Synod, Unreachable } from "../src/index.js";
import { Postgres } from "../src/postgres.js";
import { NotStaged, Store } from "../src/store.js";

const given = (name: string): string => {
  const value = process.env[name];
  assert.ok(value, `${name} is not set: the test typescript of crates/synod-server sets it`);
  return value;
};

const client = Client.fromFolder(given("SYNOD_CLIENT"), { patience: 20_000 });
const synod = new Synod(client);
const accounts = new Postgres(given("SYNOD_ACCOUNTS"), 11);
const seats = new Store(client, given("SYNOD_SEATS"), 13);

async function buy(seat: string): Promise<void> {
  await synod.transaction(async (tx) => {
    await (await tx.on(accounts)).query("UPDATE account SET balance = balance - 30 WHERE name = 'ann'");
    (await tx.on(seats)).stage(seat);
  });
}

after(async () => {
  seats.close();
  client.close();
  await accounts.close();
});

test("a seat is sold and paid for, and one that is taken is neither", async () => {
  await buy("1");
  await assert.rejects(buy("1"), (error) => error instanceof Aborted && error.tx !== undefined);
  await assert.rejects(buy("no number"), Aborted);
});

test("what a transaction wants of a store is said once, and is not sent when the function throws", async () => {
  const twice = synod.transaction(async (tx) => {
    const branch = await tx.on(seats);
    branch.stage("2");
    branch.stage("3");
  });
  await assert.rejects(twice, BadInput);
  const long = synod.transaction(async (tx) => (await tx.on(seats)).stage(new Uint8Array((1 << 20) + 1)));
  await assert.rejects(long, BadInput);
});

test("the database refuses at the end, and the seat is free", async () => {
  const refused = synod.transaction(async (tx) => {
    await (await tx.on(accounts)).query("CREATE TEMPORARY TABLE never_prepared (number int)");
    (await tx.on(seats)).stage("2");
  });
  await assert.rejects(refused, Aborted);
});

test("a transaction in the store alone goes through the cluster, and none is begun if nothing was staged", async () => {
  await synod.transaction(async (tx) => (await tx.on(seats)).stage("3"));
  await synod.transaction(async (tx) => {
    await tx.on(seats);
  });
  // It is paid for here.
  await synod.transaction(async (tx) => (await tx.on(accounts)).query("UPDATE account SET balance = balance - 30"));
});

test("a store that is not there, or another's, is told with the remedy", async () => {
  const nowhere = new Store(client, "127.0.0.1:1", 13, { wait: 500 });
  await assert.rejects(nowhere.open(), (error) => error instanceof Unreachable && error.message.includes("127.0.0.1:1"));
  nowhere.close();
  const member = [...client.nodes][0];
  assert.ok(member);
  const noStore = new Store(client, member[1], member[0]);
  await assert.rejects(noStore.open(), (error) => error instanceof NotStaged && error.remedy.includes("`Stage`"));
  noStore.close();
});
