/**
 * The Lua scripts: read from their files, run by digest, sent whole when the server does not know them (it was restarted).
 *
 * Not by ioredis's defineCommand: a reader's user may run scripts by EVALSHA_RO only, and with pipelining in a Cluster the slot
 * is found by the first key, which every script has in the same place.
 */
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Cluster, Redis } from 'ioredis';

export type Connection = Redis | Cluster;

/** ioredis has these for every command; its types leave some out. */
interface BinaryScripts {
  evalshaBuffer(sha: string, keys: 1, ...args: Argument[]): Promise<unknown>;
  evalBuffer(lua: string, keys: 1, ...args: Argument[]): Promise<unknown>;
  evalsha_roBuffer(sha: string, keys: 1, ...args: Argument[]): Promise<unknown>;
  eval_roBuffer(lua: string, keys: 1, ...args: Argument[]): Promise<unknown>;
}

export type Argument = string | number | Buffer;
/** What a script returns: bulk strings as octets, integers, arrays of these. */
export type Returned = Buffer | number | null | readonly Returned[];

export interface Script {
  readonly lua: string;
  readonly sha: string;
  readonly readOnly: boolean;
}

/** @param key the issuer's meta key: it decides the slot. */
export async function run(
  redis: Connection,
  script: Script,
  key: string,
  args: readonly Argument[],
): Promise<Returned> {
  const { lua, sha, readOnly } = script;
  const binary = redis as unknown as BinaryScripts;
  try {
    return (await (readOnly
      ? binary.evalsha_roBuffer(sha, 1, key, ...args)
      : binary.evalshaBuffer(sha, 1, key, ...args))) as Returned;
  } catch (error) {
    if (!(error as Error).message.startsWith('NOSCRIPT')) throw error;
    return (await (readOnly
      ? binary.eval_roBuffer(lua, 1, key, ...args)
      : binary.evalBuffer(lua, 1, key, ...args))) as Returned;
  }
}

/** Beside this file in the sources; compiled, the sources lie beside `dist`. */
const directory = ['lua', '../../../../src/adapters/redis/lua']
  .map((path) => join(dirname(fileURLToPath(import.meta.url)), path))
  .find((path) => existsSync(path)) as string;
const common = readFileSync(join(directory, 'common.lua'), 'utf8');

function load(name: string, readOnly = false): Script {
  const lua = `${common}\n${readFileSync(join(directory, `${name}.lua`), 'utf8')}`;
  return { lua, sha: createHash('sha1').update(lua).digest('hex'), readOnly };
}

export const scripts = {
  addResponder: load('add-responder'),
  beat: load('beat'),
  claim: load('claim'),
  commit: load('commit'),
  due: load('due', true),
  found: load('found'),
  gauges: load('gauges', true),
  poll: load('poll', true),
  publishCrl: load('publish-crl'),
  read: load('read', true),
  release: load('release'),
  reserve: load('reserve'),
  retireResponder: load('retire-responder'),
  settle: load('settle'),
  spread: load('spread', true),
  take: load('take'),
  vouch: load('vouch'),
} as const;
