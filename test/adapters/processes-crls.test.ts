/** CRLs of several scopes and the responder processes of one machine: real processes, which are told before a publication is done. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { FileCrlArchive } from '../../src/adapters/crl-archive/file-archive.ts';
import { EmbeddedStore } from '../../src/adapters/embedded/store.ts';
import { Desk } from '../../src/adapters/processes/desk.ts';
import { Supervisor } from '../../src/adapters/processes/supervisor.ts';
import { COMPLETE, type CrlScope } from '../../src/core/certificate.ts';
import { crlRecord, publishCrl, TAG } from '../contracts/store-records.ts';
import type { LinkedChildSettings } from './linked-child.ts';

const COUNT = 2;
const SLOW_MS = 100;

describe('CRLs and responder processes', () => {
  const root = mkdtempSync(join(tmpdir(), 'processes-crls-'));
  const archive = new FileCrlArchive(join(root, 'crl'));
  const heardBy = (index: number): string => join(root, `heard-${index}`);
  const heard = (index: number): string[] => readFileSync(heardBy(index), 'utf8').split('\n').slice(0, -1);
  const said: string[] = [];
  let store: EmbeddedStore;
  let supervisor: Supervisor;
  before(async () => {
    store = await EmbeddedStore.open(root, archive);
    const port = { host: '127.0.0.1', port: 0, handle: undefined, release: () => undefined };
    const note = (_about: object, message: string): void => void said.push(message);
    supervisor = new Supervisor({
      program: new URL('./linked-child.js', import.meta.url),
      env: process.env,
      count: COUNT,
      settings: (index): LinkedChildSettings => ({
        archive: join(root, 'crl'),
        heard: heardBy(index),
        slowMs: SLOW_MS,
      }),
      ports: { public: port, origin: undefined },
      desk: new Desk({
        store,
        responders: () => ({ ders: [], retired: new Map() }),
        sign: () => undefined,
        live: () => undefined,
      }),
      onTold: () => undefined,
      ends: { ended: { value: 0 }, stalled: { value: 0 }, start: { value: 0 } },
      log: { info: note, warn: note, error: note },
    });
    for (let index = 1; index <= COUNT; index++) writeFileSync(heardBy(index), '');
    await supervisor.start();
    store.relay((events) => supervisor.relay(events));
  });
  after(async () => {
    await supervisor.stop(0);
    await store.close();
    rmSync(root, { recursive: true });
  });

  const publish = (scope: CrlScope, number: bigint, previous?: bigint): Promise<boolean> => {
    const der = Buffer.alloc(100_000 + Number(number), scope.shard);
    return publishCrl(store, crlRecord(scope, number, der), der, previous);
  };

  it('every process has the CRL of a shard before its publication is done', async () => {
    for (const shard of [COMPLETE, '1', '2', 'ca']) {
      assert.equal(await publish({ issuer: TAG, shard }, 3n), true);
      for (let index = 1; index <= COUNT; index++) assert.equal(heard(index).at(-1), `${shard} 3 100003`);
    }
    assert.deepEqual(said, []);
  });

  it('none is told an older CRL of a scope after a newer one', async () => {
    const scope = { issuer: TAG, shard: '7' };
    const first = publish(scope, 1n);
    await new Promise((resolve) => store.follow((event) => event.type === 'crl' && resolve(undefined)));
    // The first is current, and its octets are still being read over there.
    assert.equal(await publish(scope, 2n, 1n), true);
    assert.equal(await first, true);
    for (let index = 1; index <= COUNT; index++) assert.deepEqual(heard(index).slice(-2), ['7 1 100001', '7 2 100002']);
  });
});
