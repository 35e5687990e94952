import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, it } from 'node:test';
import { completeCrl, type CrlRecord } from '../../src/core/certificate.ts';
import { COMPLETE_ONLY, type CrlLayout } from '../../src/core/crl/shards.ts';
import { DAY, HOUR, MINUTE, SECOND } from '../../src/core/time.ts';
import { Downloads } from '../../src/flows/serve/downloads.ts';
import { PublicFiles } from '../../src/flows/serve/public-files.ts';
import type { StoreEvent } from '../../src/ports/store.ts';
import { settled } from './support-clock.ts';
import { say } from './support-client.ts';
import { CA_PATH, CRL_PATH, headersOf, makeIssuer, question, serials, sha256, TestService } from './support-service.ts';
import { PROFILE } from '../core/sample-pki.ts';

let services: TestService[] = [];
afterEach(async () => {
  for (const service of services) await service.remove();
  services = [];
});

async function running(...given: ConstructorParameters<typeof TestService>): Promise<TestService> {
  const service = await TestService.open(...given);
  services.push(service);
  await service.issue(serials(2));
  await service.publisher.start();
  await service.clock.advance(0);
  return service;
}

describe('PublicFiles', () => {
  it('serves what is current, from the feed and after a restart', async () => {
    const service = await running();
    const digest = async (): Promise<string> => sha256((await service.answer(question(CRL_PATH))).body);
    for (const restart of [false, true]) {
      await service.clock.advance(PROFILE.crl.periodMs);
      if (restart) {
        await service.close();
        await service.open();
      }
      const record = await service.store.current(completeCrl(service.served.tag));
      assert.equal(await digest(), record?.sha256);
      assert.equal(service.files.crl(completeCrl(service.served.tag))?.number, record?.number);
    }
  });

  it('lets caches keep a CRL until the next one is due and no longer (T-44)', async () => {
    const service = await running();
    const { periodMs } = PROFILE.crl;
    const from = service.clock.now();
    await service.publisher.stop();
    const seen = new Set<number>();
    for (; service.clock.now() < from + periodMs + HOUR; service.clock.step(5 * MINUTE)) {
      const headers = headersOf(await service.answer(question(CRL_PATH)));
      const maxAge = Number(/^max-age=(\d+),/.exec(headers['cache-control'] ?? '')?.[1]);
      assert.ok(service.clock.now() + maxAge * SECOND <= Math.max(from + periodMs, service.clock.now()));
      seen.add(maxAge);
    }
    assert.ok(seen.has(3600) && seen.has(0) && seen.size > 4, [...seen].join());
  });

  it('has max-age as before when a clock that went ahead is right again', async () => {
    const service = await running();
    const maxAge = async (): Promise<string | undefined> =>
      headersOf(await service.answer(question(CRL_PATH)))['cache-control'];
    await service.publisher.stop();
    const before = await maxAge();
    service.clock.step(DAY);
    assert.match((await maxAge()) ?? '', /^max-age=0,/);
    service.clock.step(-DAY);
    assert.equal(await maxAge(), before);
  });

  it('reports an archive that was tampered with, and goes on answering OCSP', async () => {
    const service = await running();
    const record = await service.store.current(completeCrl(service.served.tag));
    assert.ok(record !== undefined);
    await service.close();
    const file = join(service.dir, 'crl', service.served.tag, `${record.number}.crl`);
    writeFileSync(file, Buffer.alloc(record.bytes, 'not what was published'));
    await service.open();
    service.signer.start();
    await settled();
    assert.match(service.errors.join(), /unreadable CRL: .*SHA-256 differs/);
    assert.equal((await service.answer(question(CRL_PATH))).status, 503);
    assert.equal((await say(service, serials(1)[0] as ReturnType<typeof serials>[0])).status, 'good');
  });

  it('serves the CA certificate with the same validators on every node and after every start', async () => {
    const at = makeIssuer();
    const [one, two] = [await running([at]), await running([at], { now: Date.UTC(2027, 0, 1) })];
    const first = await one.answer(question(CA_PATH));
    const second = await two.answer(question(CA_PATH));
    assert.deepEqual(first.body, at.caDer);
    assert.equal(headersOf(first)['content-type'], 'application/pkix-cert');
    for (const field of ['etag', 'last-modified']) assert.equal(headersOf(first)[field], headersOf(second)[field]);
    assert.match(headersOf(first)['cache-control'] ?? '', new RegExp(`max-age=${DAY / SECOND}`));
  });

  it('serves every shard that the layout or the shelf knows, and those that appear later', async () => {
    const crls = {
      ...COMPLETE_ONLY,
      caUrl: 'http://crl.example/ca.crl',
      shards: { count: 2, highest: 3, url: 'http://crl.example/s/{shard}.crl' },
    };
    // Nothing of it is published but what the test publishes.
    const service = await TestService.open([withLayout(crls)]);
    services.push(service);
    const { tag } = service.served;
    const status = async (path: string, host = 'crl.example'): Promise<number> =>
      (await service.answer(question(path, { host }))).status;
    // The layout's have their place before they have a CRL; what nobody knows has none.
    for (const path of ['/s/1.crl', '/s/2.crl', '/s/3.crl', '/ca.crl']) assert.equal(await status(path), 503, path);
    for (const path of ['/s/4.crl', '/s/0.crl', '/s/.crl', '/s/01.crl']) assert.equal(await status(path), 404, path);

    // Of an earlier layout, and of another process with a later one.
    await publish(service, '2', Buffer.alloc(1000, 2));
    await publish(service, '9', Buffer.alloc(1000, 9));
    await settled();
    for (const restart of [false, true]) {
      if (restart) {
        await service.close();
        await service.open();
      }
      for (const shard of ['2', '9']) {
        const reply = await service.answer(question(`/s/${shard}.crl`, { host: 'crl.example' }));
        assert.deepEqual([reply.status, reply.body[0]], [200, Number(shard)]);
        assert.equal(headersOf(reply)['etag'], `"${service.files.crl({ issuer: tag, shard })?.sha256}"`);
      }
      assert.equal(await status('/s/1.crl'), 503);
    }
    // The complete one is none of them.
    await service.publisher.publishNow();
    assert.equal((await service.answer(question(CRL_PATH))).body[0], 0x30);
  });

  it('replaces a shard by a greater number alone, and reads again what it has missed', async () => {
    const crls = { ...COMPLETE_ONLY, shards: { count: 1, highest: 1, url: 'http://crl.example/s/{shard}.crl' } };
    const service = await running([withLayout(crls)]);
    const served = async (): Promise<number | undefined> => (await service.answer(question('/s/1.crl'))).body[0];
    const first = await publish(service, '1', Buffer.alloc(1000, 1));
    await publish(service, '1', Buffer.alloc(1000, 2));
    assert.equal(await served(), 2);
    let follower: (event: StoreEvent) => void = () => assert.fail('nobody follows');
    const shelf = { record: first, der: Buffer.alloc(1000, 1) };
    const files = await PublicFiles.open(
      [service.served],
      {
        current: ({ shard }) => Promise.resolve(shard === '1' ? shelf.record : undefined),
        scopes: () => Promise.reject(new Error('away')),
        body: () => Promise.resolve(shelf.der),
        follow: (each) => (follower = each),
      },
      service.clock.now(),
      (_, error) => service.errors.push((error as Error).message),
      new Downloads(service.clock, setImmediate),
    );
    const held = (): number | undefined =>
      files.get({ kind: 'crl', issuer: first.issuer, shard: '1' }, service.clock.now())?.reply.body[0];
    assert.equal(held(), 1, 'the layout is enough to find it');
    assert.deepEqual(service.errors, ['away']);
    Object.assign(shelf, { record: { ...first, number: first.number + 5n }, der: Buffer.alloc(1000, 6) });
    follower({ type: 'gap', issuer: first.issuer });
    await settled();
    assert.equal(held(), 6);
    follower({ type: 'crl', record: { ...first, number: first.number + 4n }, der: Buffer.alloc(1000, 5) });
    assert.equal(held(), 6);
  });

  it('holds no CRL in a process that serves nobody, and knows them all the same', async () => {
    const service = await running();
    let follower: (event: StoreEvent) => void = () => undefined;
    const record = service.files.crl(completeCrl(service.served.tag));
    assert.ok(record !== undefined);
    const files = await PublicFiles.open(
      [service.served],
      {
        current: () => Promise.resolve(record),
        scopes: () => Promise.resolve([]),
        body: () => Promise.reject(new Error('it is not to be read')),
        follow: (each) => (follower = each),
      },
      service.clock.now(),
      (_, error) => assert.fail(error as Error),
      undefined,
    );
    const file = { kind: 'crl', ...completeCrl(record.issuer) } as const;
    assert.equal(files.crl(file)?.number, record.number);
    follower({ type: 'crl', record: { ...record, number: record.number + 1n }, der: Buffer.alloc(10) });
    assert.equal(files.crl(file)?.number, record.number + 1n);
    assert.equal(files.get(file, service.clock.now()), undefined);
  });
});

function withLayout(crls: CrlLayout): ReturnType<typeof makeIssuer> {
  const issuer = makeIssuer();
  return { ...issuer, served: { ...issuer.served, crls } };
}

/** What a signer would have published: serving does not look into it. */
async function publish(service: TestService, shard: string, der: Buffer): Promise<CrlRecord> {
  const scope = { issuer: service.served.tag, shard };
  const now = service.clock.now();
  const previous = await service.store.current(scope);
  const draft = await service.store.draftCrl(scope);
  await draft.write(der);
  const record: CrlRecord = {
    ...scope,
    number: await service.store.reserveNumber(scope, 1n),
    ...{ thisUpdate: now, nextUpdate: now + 7 * DAY, publishedAt: now, scheduledAt: now, kind: 'scheduled' },
    ...{ scheduledAsOfSeq: 0, asOfSeq: 0, entries: 0, bytes: der.length, sha256: sha256(der) },
  };
  assert.ok(await service.store.publishCrl(record, draft, previous?.number));
  return record;
}
