import assert from 'node:assert/strict';
import { afterEach, it } from 'node:test';
import { AsnConvert } from '@peculiar/asn1-schema';
import { OCSPResponse } from '@peculiar/asn1-ocsp';
import fc from 'fast-check';
import { type Serial, serialFromHex } from '../../src/core/serial.ts';
import { DAY, HOUR } from '../../src/core/time.ts';
import { makeAnswer } from '../../src/flows/serve/answer.ts';
import { explain } from '../../src/flows/serve/explain.ts';
import type { Reply } from '../../src/ports/front.ts';
import { Responders } from '../../src/flows/responders.ts';
import { mutated } from '../core/ocsp-request-shapes.ts';
import { settled } from './support-clock.ts';
import { getPath, read, requestFor } from './support-client.ts';
import { makeIssuer, OCSP_PATH, question, serials, START, TestService } from './support-service.ts';

const SEED = 6960_1;
let services: TestService[] = [];
afterEach(async () => {
  for (const service of services) await service.remove();
  services = [];
});

const ERRORS = { 1: 'malformedRequest', 2: 'internalError', 3: 'tryLater', 6: 'unauthorized' } as const;

/** The one word for a reply that `explain` would use. */
function word(reply: Reply, caDer: Buffer, serial: Serial | undefined, hash: 'sha1' | 'sha256'): string {
  if (reply.status !== 200 || reply.headers.includes('Content-Type: text')) return String(reply.status);
  const { responseBytes, responseStatus } = AsnConvert.parse(reply.body, OCSPResponse);
  if (responseBytes === undefined) return ERRORS[responseStatus as keyof typeof ERRORS];
  return serial === undefined ? 'good' : read(reply, caDer, serial, hash).status;
}

it(`says what the responder answers, for every kind of question and mount (seed ${SEED})`, async () => {
  const service = await TestService.open();
  services.push(service);
  const [good, revoked, expired, pending] = serials(4) as [Serial, Serial, Serial, Serial];
  const { caDer } = service.at;
  service.signer.start();
  await service.issue([good, revoked]);
  await service.issue([expired], START + HOUR);
  await service.revoke([revoked], 'superseded');
  await settled();
  await service.clock.stride(DAY + 2 * HOUR, HOUR);
  await service.signer.stop();
  await service.issue([pending]);
  const stranger = makeIssuer({ name: 'Nobody' }).caDer;
  const known = [good, revoked, expired, pending, serialFromHex('77')];
  const requests = known.flatMap((serial) =>
    (['sha1', 'sha256'] as const).map((hash) => ({ der: requestFor(caDer, serial, hash), serial, hash })),
  );
  const { table, files, clock, store } = service;
  const log = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };
  const seen = new Set<string>();
  const compare = async (
    mount: string,
    target: string,
    serial: Serial | undefined,
    hash: 'sha1' | 'sha256',
  ): Promise<void> => {
    const ocspUrls = [{ path: mount }];
    const answer = makeAnswer({
      issuers: [service.served],
      ocspUrls,
      files: [],
      publicFiles: files,
      table,
      ask: undefined,
      clock,
      log,
      metrics: service.metrics.answer,
    });
    const reply = word(await answer(question(target)), caDer, serial, hash);
    const explained = await explain(target, [service.served], ocspUrls, store, clock.now());
    // Without a signer here, what would be signed on demand is tryLater.
    const said = explained.answer === 'signed on demand' ? 'tryLater' : explained.answer;
    assert.equal(said, reply, `${mount} ${target}`);
    assert.ok(explained.steps.length > 0);
    seen.add(reply);
  };
  for (const mount of [OCSP_PATH, '/', `${OCSP_PATH}/`]) {
    const prefix = mount.replace(/\/$/, '');
    for (const { der, serial, hash } of requests) {
      const base64 = der.toString('base64');
      for (const rest of [
        encodeURIComponent(base64),
        base64,
        `/${base64}`,
        `${base64}?x=1`,
        base64.replace(/=+$/, ''),
      ]) {
        await compare(mount, `${prefix}/${rest}`, serial, hash);
        await compare(mount, `http://ocsp.test${prefix}/${rest}`, serial, hash);
      }
    }
    for (const path of ['', '/', '//', '/?a', '/x', '/MAAA', '/index.html', '/MA', '/%4d%41'])
      await compare(mount, `${prefix}${path}` || '/', undefined, 'sha1');
    await compare(mount, `${prefix}/${requestFor(stranger, good).toString('base64')}`, undefined, 'sha1');
  }
  await compare(OCSP_PATH, '/nowhere', undefined, 'sha1');
  const seeds = requests.map(({ der }) => der);
  await fc.assert(
    fc.asyncProperty(mutated(seeds), fc.constantFrom(OCSP_PATH, '/'), async (der, mount) => {
      const target = mount === '/' ? getPath(der).slice(OCSP_PATH.length) : getPath(der);
      const reply = await service.answer(question(getPath(der)));
      // A mutated request may ask about any serial: only whether there is an answer can be compared.
      if (reply.body.length > 5) return;
      await compare(mount, target, undefined, 'sha1');
    }),
    { numRuns: 600, seed: SEED },
  );
  assert.deepEqual([...seen].sort(), ['200', '404', 'good', 'malformedRequest', 'revoked', 'tryLater', 'unauthorized']);
});

it('says so when the responder certificate of an answer is not known or not served any more', async () => {
  const service = await TestService.open();
  services.push(service);
  const [serial] = serials(1) as [Serial];
  service.signer.start();
  await service.issue([serial]);
  await settled();
  const without = { ...service.served, responders: new Responders() };
  const der = requestFor(service.at.caDer, serial).toString('base64');
  const explained = await explain(der, [without], [{ path: OCSP_PATH }], service.store, service.clock.now());
  assert.equal(explained.answer, 'signed on demand');
  assert.match(explained.steps.at(-1)?.finding ?? '', /not known or not served any more/);
});

it('says what becomes of a nonce', async () => {
  const service = await TestService.open();
  services.push(service);
  const [serial] = serials(1) as [Serial];
  await service.issue([serial]);
  const der = requestFor(service.at.caDer, serial, 'sha256', Buffer.alloc(32)).toString('base64');
  const { profile } = service.served;
  for (const [nonce, finding] of [
    ['ignore', /answered without it/],
    ['live', /signed for this request alone while the budget lasts \(20 a second, 64 waiting\)/],
  ] as const) {
    const served = { ...service.served, profile: { ...profile, ocsp: { ...profile.ocsp, nonce } } };
    const { steps } = await explain(der, [served], [{ path: OCSP_PATH }], service.store, service.clock.now());
    assert.match(steps.find(({ step }) => step === 'nonce')?.finding ?? '', finding);
  }
});
