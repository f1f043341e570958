// What needs neither a cluster nor a database: input that is refused with the remedy, and a database that never answers.

import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

import { BadInput, Client, SynodError, TxId } from "../src/index.js";
import { Postgres } from "../src/postgres.js";

const CLUSTER = "0123456789abcdef0123456789abcdef";

test("a name of a transaction is read as it is printed, with all of its 64 bits", () => {
  const largest = (1n << 64n) - 1n;
  assert.equal(TxId.parse(`n1#${largest}`).toString(), `1#${largest}`);
  assert.ok(TxId.parse("1#5").equals(new TxId(1, 5)));
  for (const wrong of ["", "1", "1#", "#5", "1#x", "-1#5", `1#${largest + 1n}`]) {
    assert.throws(() => TxId.parse(wrong), BadInput, wrong);
  }
  assert.throws(() => new TxId(1, 2 ** 53), BadInput, "it may have lost its last bit");
});

test("a client without a cluster, a node or a certificate is refused with the remedy", () => {
  const without = (make: () => Client, remedy: RegExp) =>
    assert.throws(make, (error) => error instanceof BadInput && remedy.test(error.remedy));
  without(() => new Client("no cluster", { 1: "localhost:1" }, undefined), /cluster.toml/);
  without(() => new Client(CLUSTER, {}, undefined), /localhost:7401/);
  without(() => new Client(CLUSTER, { one: "localhost:1" }, undefined), /numbers/);
  without(() => Client.fromFolder("/nowhere"), /synod-data\/client-1000/);
  const folder = mkdtempSync(join(tmpdir(), "synod-"));
  writeFileSync(join(folder, "client-1000.key"), "");
  without(() => Client.fromFolder(folder), /copy/);
  writeFileSync(join(folder, "cluster.toml"), 'id = "1"\n[members]\n1 = 5\n');
  without(() => Client.fromFolder(folder), /three files/);
});

/** Answers as PostgreSQL does, until a statement contains `hangsAt`: that one and all later ones have no answer. */
async function hanging(hangsAt: string): Promise<{ url: string; close: () => void }> {
  const message = (kind: string, content: Buffer) => {
    const head = Buffer.from(`${kind}....`);
    head.writeUInt32BE(content.length + 4, 1);
    return Buffer.concat([head, content]);
  };
  const ready = message("Z", Buffer.from("I"));
  const identity = ["11", CLUSTER].map((value) => Buffer.from(`....${value}`));
  identity.forEach((value) => value.writeUInt32BE(value.length - 4));
  const columns = ["participant", "cluster"].map((name) => {
    const rest = Buffer.alloc(18);
    rest.writeUInt32BE(25, 6); // text
    return Buffer.concat([Buffer.from(`${name}\0`), rest]);
  });
  const two = Buffer.from([0, 2]);
  const row = Buffer.concat([message("T", Buffer.concat([two, ...columns])), message("D", Buffer.concat([two, ...identity]))]);
  const server = createServer((socket) => {
    let [unread, isLetIn, hangs] = [Buffer.alloc(0), false, false];
    socket.on("error", () => undefined);
    socket.on("data", (data) => {
      unread = Buffer.concat([unread, data]);
      for (;;) {
        const at = isLetIn ? 1 : 0;
        const end = unread.length < at + 4 ? Infinity : at + unread.readUInt32BE(at);
        if (hangs || unread.length < end) {
          return;
        }
        const statement = unread.toString("latin1", at + 4, end);
        unread = unread.subarray(end);
        if (!isLetIn) {
          isLetIn = true;
          socket.write(Buffer.concat([message("R", Buffer.alloc(4)), ready]));
        } else if (statement.includes(hangsAt)) {
          hangs = true;
        } else {
          const rows = statement.includes("synod.identity") ? row : Buffer.alloc(0);
          socket.write(Buffer.concat([rows, message("C", Buffer.from("DONE\0")), ready]));
        }
      }
    });
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  const address = server.address();
  assert.ok(address && typeof address === "object");
  return { url: `postgres://me@127.0.0.1:${address.port}/db`, close: () => server.close() };
}

test("transactions that have all connections are not waited for for ever", async () => {
  const server = await hanging("nothing");
  const database = new Postgres(server.url, 11, { connections: 1, wait: 200 });
  const first = await database.open();
  await assert.rejects(database.open(), (error) => error instanceof SynodError && /become free within 200 ms/.test(error.message));
  await first.rollBack();
  await (await database.open()).rollBack();
  await database.close();
  server.close();
});

test("a server that does not answer to PREPARE or COMMIT PREPARED is not waited for for ever", async () => {
  for (const hangsAt of ["PREPARE TRANSACTION", "COMMIT PREPARED"]) {
    const server = await hanging(hangsAt);
    const database = new Postgres(server.url, 11, { connections: 1, wait: 200 });
    const branch = await database.open();
    const ended = branch.prepare(CLUSTER, new TxId(1, 5), 0n, [11n, 12n]).then(() => branch.finish("committed"));
    const isLost = (error: unknown) => error instanceof SynodError && /not answered/.test(error.message);
    await assert.rejects(ended, isLost, hangsAt);
    // The connection is thrown away, and its place is free.
    await (await database.open()).rollBack();
    await database.close();
    server.close();
  }
});
