// The files that `synod` makes for an application.

import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";

import { parse, type TomlTable } from "smol-toml";

import { BadInput, said } from "./errors.js";

/** The authority of the cluster, and this client's certificate with its key, as PEM. */
export interface Tls {
  readonly authority: Buffer;
  readonly certificate: Buffer;
  readonly key: Buffer;
}

/** Reads the three files. */
export function tlsFromFiles(authority: string, certificate: string, key: string): Tls {
  const file = (path: string) => {
    try {
      return readFileSync(path);
    } catch (error) {
      throw new BadInput(`${path} cannot be read: ${said(error)}`, "name the three files of a client's certificate", { cause: error });
    }
  };
  return { authority: file(authority), certificate: file(certificate), key: file(key) };
}

/** What is in a client's folder, as `synod-data/client-1000`. */
export function read(folder: string): { cluster: string; nodes: Map<bigint, string>; tls: Tls } {
  if (!existsSync(folder)) {
    const remedy = "`synod dev` makes synod-data/client-1000 in the folder where it runs; name the folder of a client";
    throw new BadInput(`there is no folder ${resolve(folder)}`, remedy);
  }
  const keys = readdirSync(folder).filter((name) => /^client-.*\.key$/.test(name));
  const [key] = keys;
  if (key === undefined || keys.length > 1) {
    const remedy = "name the folder of a client, such as synod-data/client-1000; `synod dev` and `synod init` make one";
    throw new BadInput(`${folder} has ${keys.length} files like client-1000.key, and must have one`, remedy);
  }
  const files = [join(folder, "cluster.toml"), join(dirname(resolve(folder)), "cluster.toml")];
  const file = files.find((candidate) => existsSync(candidate));
  if (file === undefined) {
    throw new BadInput(`there is no cluster.toml in ${folder} nor beside it`, "copy that of the cluster's folder there");
  }
  const certificate = join(folder, key.replace(/key$/, "pem"));
  const tls = tlsFromFiles(join(folder, "authority.pem"), certificate, join(folder, key));
  return { ...members(file), tls };
}

/** The cluster, and the addresses of its members. */
function members(file: string): { cluster: string; nodes: Map<bigint, string> } {
  const remedy = "copy the cluster.toml that `synod` made";
  let known: TomlTable;
  try {
    known = parse(readFileSync(file, "utf8"));
  } catch (error) {
    throw new BadInput(`${file} cannot be read: ${said(error)}`, remedy, { cause: error });
  }
  const { id, members } = known;
  if (typeof id !== "string" || typeof members !== "object" || members === null) {
    throw new BadInput(`${file} has no id, or no members`, remedy);
  }
  const nodes = new Map<bigint, string>();
  for (const [node, address] of Object.entries(members)) {
    if (!/^\d{1,20}$/.test(node) || typeof address !== "string") {
      throw new BadInput(`${file} has a member ${JSON.stringify(node)} that is no number with an address`, remedy);
    }
    nodes.set(BigInt(node), address);
  }
  return { cluster: id, nodes };
}
