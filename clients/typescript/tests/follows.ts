// Commits a transaction for each line that it reads, whoever the transaction managers are by then.
//
//     follows.js FOLDER CLUSTER NODE=ADDRESS,NODE=ADDRESS... PARTICIPANT...
//
// FOLDER has authority.pem, client.pem and client.key, for client 9; CLUSTER is the cluster in hexadecimal, and NODE the number of the
// transaction manager at ADDRESS.

import { createInterface } from "node:readline";

import { Client, OldEpoch, tlsFromFiles, TxId, type Outcome } from "../src/index.js";

const CLIENT = 9;

const [folder = "", cluster = "", managers = "", ...participants] = process.argv.slice(2);
const nodes = Object.fromEntries(managers.split(",").map((manager) => manager.split("=")));
const tls = tlsFromFiles(`${folder}/authority.pem`, `${folder}/client.pem`, `${folder}/client.key`);
const client = new Client(cluster, nodes, tls, { patience: 60_000 });
let seq = 0n;
console.log("ready");
for await (const _ of createInterface({ input: process.stdin })) {
  let outcome: Outcome | undefined;
  while (outcome !== "committed") {
    seq += 1n;
    const id = new TxId(CLIENT, seq);
    try {
      await client.begin(participants.map(BigInt), "", { id, epoch: client.epoch });
      outcome = await client.outcome(id);
    } catch (error) {
      if (!(error instanceof OldEpoch)) {
        throw error;
      }
      // It has not committed, and never will: under a new name it may.
    }
  }
  const known = [...client.nodes.keys()].sort((one, other) => Number(one - other));
  console.log("committed", `${seq}`, `${client.epoch}`, known.join(" "));
}
client.close();
