import { completeCrl } from '../../src/core/certificate.ts';
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, it } from 'node:test';
import { DAY, HOUR, MINUTE, SECOND } from '../../src/core/time.ts';
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
});
