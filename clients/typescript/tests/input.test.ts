// What is given wrongly is told, with the remedy, before any node is asked.

import assert from "node:assert/strict";
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

import { BadInput, Client, TxId } from "../src/index.js";

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
