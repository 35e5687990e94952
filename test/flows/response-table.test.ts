import assert from 'node:assert/strict';
import { afterEach, describe, it } from 'node:test';
import type { CertIdHash } from '../../src/core/certificate.ts';
import type { Serial } from '../../src/core/serial.ts';
import { DAY, HOUR, MINUTE, SECOND } from '../../src/core/time.ts';
import type { ServedIssuer } from '../../src/flows/issuer-setup.ts';
import { type Loaded, ResponseTable } from '../../src/flows/serve/response-table.ts';
import type { Lookup, StoreEvent } from '../../src/ports/store.ts';
import { settled } from './support-clock.ts';
import { getPath, read, requestFor, say } from './support-client.ts';
import { headersOf, makeIssuer, question, serials, START, TestService } from './support-service.ts';

let services: TestService[] = [];
afterEach(async () => {
  for (const service of services) await service.remove();
  services = [];
});

async function running(
  count: number,
  ...given: ConstructorParameters<typeof TestService>
): Promise<[TestService, Serial[]]> {
  const service = await TestService.open(...given);
  services.push(service);
  const issued = serials(count);
  service.signer.start();
  await service.issue(issued);
  await settled();
  return [service, issued];
}

describe('ResponseTable: revocations (P2)', () => {
  for (const moment of ['before it is signed', 'after it is published'] as const) {
    it(`does not take in a look-up that a revocation has overtaken, ${moment}`, async () => {
      const [service, [serial]] = (await running(1)) as [TestService, [Serial]];
      let release = (): void => undefined;
      const held = new Promise<void>((resolve) => (release = resolve));
      service.interfere.lookup = async (real, ...key) => {
        const found = await real(...key);
        await held;
        return found;
      };
      const answering = (['sha1', 'sha256'] as const).map((hash) =>
        service.answer(question(getPath(requestFor(service.at.caDer, serial, hash)))),
      );
      await settled();
      service.interfere = {};
      const signing = moment === 'before it is signed' ? service.holder.hang() : undefined;
      await service.revoke([serial], 'keyCompromise');
      await settled();
      release();
      await settled();
      signing?.();
      const [sha1, sha256] = [await answering[0], await answering[1]];
      assert.ok(sha1 !== undefined && sha256 !== undefined);
      assert.equal(read(sha1, service.at.caDer, serial, 'sha1').status, 'revoked');
      assert.equal(read(sha256, service.at.caDer, serial, 'sha256').status, 'revoked');
    });
  }

  it('takes the old answer out before the revocation is acknowledged', async () => {
    const [service, [serial]] = (await running(1)) as [TestService, [Serial]];
    for (const hash of ['sha1', 'sha256'] as const) await say(service, serial, hash);
    assert.equal(service.table.size, 2);
    const release = service.holder.hang();
    await service.revoke([serial]);
    assert.equal(service.table.size, 0);
    assert.equal(service.table.get('sha1', service.served.tag, serial, service.clock.now()), undefined);
    release();
    await settled();
  });

  it('keeps the readers of one look-up together: a change between them is seen by the later one', async () => {
    const at = makeIssuer();
    const [service, [serial]] = (await running(1, [at])) as [TestService, [Serial]];
    const found = await service.store.lookup(at.served.tag, serial);
    assert.ok(found.kind === 'published');
    const { certificate } = found;
    let follower: (event: StoreEvent) => void = () => undefined;
    let answer: (lookup: Lookup) => void = () => undefined;
    let looked = 0;
    const source = {
      failure: undefined,
      failureOf: () => undefined,
      propagationMs: 0,
      mustVouch: false,
      silentMs: () => 0,
      follow: (run: typeof follower) => void (follower = run),
      lookup: (): Promise<Lookup> => {
        looked += 1;
        // The second look comes after the revocation: nothing is published for it yet.
        return looked === 1
          ? new Promise<Lookup>((resolve) => (answer = resolve))
          : Promise.resolve({ kind: 'pending', certificate });
      },
    };
    const table = new ResponseTable([at.served as ServedIssuer], source, 1 << 20);
    const load = (hash: CertIdHash): Promise<Loaded> => table.load(hash, at.served.tag, serial, service.clock.now());
    const first = load('sha1');
    // The answer is there and wakes its first reader; then the revocation is told; then a second reader joins.
    answer(found);
    const change = { certificate: { ...certificate, revision: 2 }, lane: 'revocation' as const };
    const told = Promise.resolve().then(() => follower({ type: 'recorded', change }));
    const second = load('sha256');
    await told;
    assert.equal((await first).kind, 'entry');
    assert.equal((await second).kind, 'pending');
    assert.equal(table.size, 0, 'nothing of the first revision is left in the table');
  });
});

describe('ResponseTable: memory', () => {
  it('stays within its bytes and drops what was asked for longest ago', async () => {
    const [service, issued] = await running(60, [makeIssuer()], { tableBytes: 50_000 });
    for (const serial of issued) assert.equal((await say(service, serial)).status, 'good');
    assert.ok(service.table.bytes <= 50_000);
    assert.ok(service.table.size >= 10 && service.table.size < 40, `${service.table.size} entries`);
    const here = (serial: Serial): boolean =>
      service.table.get('sha1', service.served.tag, serial, service.clock.now()) !== undefined;
    assert.equal(here(issued[0] as Serial), false);
    assert.equal(here(issued.at(-1) as Serial), true);
    assert.equal((await say(service, issued[0] as Serial)).status, 'good', 'loaded again');
  });

  it('answers even when no entry fits', async () => {
    const [service, [serial]] = (await running(1, [makeIssuer()], { tableBytes: 100 })) as [TestService, [Serial]];
    assert.equal((await say(service, serial)).status, 'good');
    assert.equal(service.table.size, 0);
  });
});

describe('ResponseTable: headers', () => {
  it('lowers max-age as the refresh comes near, never past it, and keeps the ETag (L-19, T-05)', async () => {
    const [service, [serial]] = (await running(1)) as [TestService, [Serial]];
    const { clock, table, served } = service;
    await say(service, serial);
    await service.signer.stop();
    const seen = new Set<number>();
    let etag: string | undefined;
    const found = await service.store.lookup(served.tag, serial);
    assert.ok(found.kind === 'published');
    const { refreshAt, nextUpdate } = found.response;
    for (; clock.now() < nextUpdate; clock.step(7 * MINUTE)) {
      const entry = table.get('sha1', served.tag, serial, clock.now());
      assert.ok(entry !== undefined);
      const headers = headersOf(entry);
      const maxAge = Number(/^max-age=(\d+),/.exec(headers['cache-control'] ?? '')?.[1]);
      assert.ok(clock.now() + maxAge * SECOND <= Math.max(refreshAt, clock.now()), 'not past the planned refresh');
      assert.ok(maxAge <= served.profile.ocsp.maxAgeMs / SECOND);
      etag ??= headers['etag'];
      assert.equal(headers['etag'], etag);
      assert.ok(entry.notModified.headers.includes(`max-age=${maxAge},`));
      seen.add(maxAge);
    }
    assert.ok(seen.size > 5 && seen.has(0) && seen.has(served.profile.ocsp.maxAgeMs / SECOND), [...seen].join());
  });

  it('has the new answer in place of the old one when it is published', async () => {
    const [service, [serial]] = (await running(1)) as [TestService, [Serial]];
    const before = await say(service, serial);
    await service.clock.stride(DAY, HOUR);
    const entry = service.table.get('sha1', service.served.tag, serial, service.clock.now());
    assert.ok(entry !== undefined && entry.thisUpdate > before.thisUpdate, 'without a question in between');
    assert.equal(entry.thisUpdate > START, true);
  });
});
