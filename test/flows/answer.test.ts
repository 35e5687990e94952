import assert from 'node:assert/strict';
import { after, afterEach, describe, it } from 'node:test';
import fc from 'fast-check';
import { completeCrl } from '../../src/core/certificate.ts';
import { type Serial, serialFromHex } from '../../src/core/serial.ts';
import { DAY, HOUR, SECOND } from '../../src/core/time.ts';
import { type AnswerParts, makeAnswer } from '../../src/flows/serve/answer.ts';
import { Downloads } from '../../src/flows/serve/downloads.ts';
import { PublicFiles } from '../../src/flows/serve/public-files.ts';
import { type Outcome, OUTCOMES } from '../../src/flows/metrics.ts';
import type { Question, Reply } from '../../src/ports/front.ts';
import { issuerHashes } from '../core/ocsp-authority.ts';
import { mutated } from '../core/ocsp-request-shapes.ts';
import { settled } from './support-clock.ts';
import { certIdOf, getPath, requestFor, requestOf, say } from './support-client.ts';
import {
  CA_PATH,
  CRL_PATH,
  headersOf,
  makeIssuer,
  OCSP_PATH,
  question,
  serials,
  START,
  TestService,
} from './support-service.ts';

const SEED = 9919_2026;
const MALFORMED = '30030a0101';
const INTERNAL_ERROR = '30030a0102';
const TRY_LATER = '30030a0103';
const UNAUTHORIZED = '30030a0106';

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
  await service.publisher.start();
  await service.issue(issued);
  await service.clock.advance(0);
  return [service, issued];
}

const post = (der: Uint8Array): Question => question(OCSP_PATH, { method: 'POST', body: der });
const hexOf = (reply: Reply): string => reply.body.toString('hex');

/** Which outcome a question is counted under. */
async function outcomeOf(service: TestService, asked: Question): Promise<[Outcome, Reply]> {
  const before = new Map(
    OUTCOMES.map((outcome) => [outcome, service.counter('certstatus_answers_total', { outcome })]),
  );
  const answering = service.answer(asked);
  await settled();
  await service.clock.advance(3 * SECOND);
  const reply = await answering;
  const moved = OUTCOMES.filter(
    (outcome) => service.counter('certstatus_answers_total', { outcome }) !== before.get(outcome),
  );
  assert.equal(moved.length, 1, `one outcome, not ${moved.join()}`);
  return [moved[0] as Outcome, reply];
}

describe('answer: outcomes', () => {
  it('reaches every outcome, with the exact octets of each error and no-store on it (RFC 6960 §4.2.1, L-21, T-24)', async () => {
    const service = await TestService.open();
    services.push(service);
    const [good, revoked, expired, unsigned] = serials(4) as [Serial, Serial, Serial, Serial];
    const { caDer } = service.at;
    const { name, key } = issuerHashes(caDer).sha1;
    service.signer.start();
    const asks: [Outcome, Question, string | undefined, number?][] = [];
    await service.issue([good, revoked, unsigned]);
    await service.issue([expired], START + HOUR);
    await service.revoke([revoked]);
    await settled();
    const wrongKey = requestOf([certIdOf('1.3.14.3.2.26', name, Buffer.alloc(20), good)]);
    const sha512 = requestOf([certIdOf('2.16.840.1.101.3.4.2.3', Buffer.alloc(64), Buffer.alloc(64), good)]);
    const two = requestOf([good, revoked].map((serial) => certIdOf('1.3.14.3.2.26', name, key, serial)));
    // singleRequestExtensions with one unknown critical extension, spliced in behind the CertID.
    const critical = withCriticalExtension(requestFor(caDer, good));
    asks.push(
      ['good', post(requestFor(caDer, good)), undefined],
      ['revoked', question(getPath(requestFor(caDer, revoked, 'sha256'))), undefined],
      ['malformed', post(Buffer.from('3000', 'hex')), MALFORMED],
      ['malformed', question(`${OCSP_PATH}/%%%`), MALFORMED],
      ['malformed', question(OCSP_PATH, { method: 'POST' }), MALFORMED],
      ['unauthorized-issuer', post(wrongKey), UNAUTHORIZED],
      ['unauthorized-hash', post(sha512), UNAUTHORIZED],
      ['unauthorized-serial', question(getPath(requestFor(caDer, serialFromHex('77')))), UNAUTHORIZED],
      ['unauthorized-many', post(two), UNAUTHORIZED],
      ['unauthorized-extension', post(critical), UNAUTHORIZED],
      ['not-found', question('/elsewhere'), undefined, 404],
      ['method-not-allowed', question(OCSP_PATH, { method: 'PUT' }), undefined, 405],
      ['method-not-allowed', question(CRL_PATH, { method: 'POST' }), undefined, 405],
      ['try-later', question(CRL_PATH), undefined, 503],
      ['ca-certificate', question(CA_PATH), undefined],
    );
    const reached = new Set<Outcome>();
    const check = async ([outcome, asked, body, status = 200]: (typeof asks)[number]): Promise<Reply> => {
      const [counted, reply] = await outcomeOf(service, asked);
      assert.equal(counted, outcome, `${asked.method} ${asked.target}`);
      assert.equal(reply.status, status);
      reached.add(outcome);
      if (body !== undefined) {
        assert.equal(hexOf(reply), body);
        assert.equal(headersOf(reply)['content-type'], 'application/ocsp-response');
      }
      if (body !== undefined || status >= 400) assert.equal(headersOf(reply)['cache-control'], 'no-store');
      if (reply.status !== 304) assert.equal(headersOf(reply)['content-length'], String(reply.body.length));
      return reply;
    };
    for (const ask of asks) await check(ask);
    assert.equal(
      headersOf(await check(['method-not-allowed', question(CRL_PATH, { method: 'POST' }), undefined, 405]))['allow'],
      'GET, HEAD',
    );

    const etag = headersOf(await service.answer(question(getPath(requestFor(caDer, good)))))['etag'];
    await check(['not-modified', question(getPath(requestFor(caDer, good)), { ifNoneMatch: etag }), undefined, 304]);
    service.clock.step(DAY + 2 * HOUR);
    await check(['unauthorized-expired', question(getPath(requestFor(caDer, expired))), UNAUTHORIZED]);
    await service.publisher.start();
    await service.clock.advance(SECOND);
    await check(['crl', question(CRL_PATH), undefined]);
    await check(['partial', question(CRL_PATH, { range: 'bytes=0-9' }), undefined, 206]);
    await check(['range-not-satisfiable', question(CRL_PATH, { range: 'bytes=100000-' }), undefined, 416]);
    await check(['precondition-failed', question(CRL_PATH, { ifMatch: '"other"' }), undefined, 412]);

    service.holder.behave = () => 'fail';
    await service.revoke([unsigned]);
    await check(['try-later', question(getPath(requestFor(caDer, unsigned))), TRY_LATER]);
    service.interfere.lookup = () => Promise.reject(new Error('EIO'));
    await check(['internal-error', question(getPath(requestFor(caDer, expired, 'sha256'))), INTERNAL_ERROR]);
    service.interfere = {};
    const parts: AnswerParts = {
      issuers: [service.served],
      ocspUrls: [{ path: '/' }],
      files: [],
      publicFiles: service.files,
      table: service.table,
      ask: undefined,
      clock: service.clock,
      log: { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined },
      metrics: service.metrics.answer,
    };
    const atRoot = makeAnswer(parts);
    // A CRL above LARGE_BODY, and no place for its download.
    const crl = service.files.crl(completeCrl(service.served.tag));
    assert.ok(crl !== undefined);
    const full = await PublicFiles.open(
      [service.served],
      {
        current: () => Promise.resolve({ ...crl, bytes: 100_000 }),
        scopes: () => Promise.resolve([]),
        body: () => Promise.resolve(Buffer.alloc(100_000)),
        follow: () => undefined,
      },
      service.clock.now(),
      () => undefined,
      new Downloads(service.clock, setImmediate, { places: 0, heldOctets: 0 }),
    );
    const busy = makeAnswer({
      ...parts,
      files: [{ path: CRL_PATH, file: { kind: 'crl', ...completeCrl(service.served.tag) } }],
      publicFiles: full,
    });
    service.answer = busy;
    assert.ok(headersOf(await check(['busy', question(CRL_PATH), undefined, 503]))['retry-after'] !== undefined);
    await check(['crl', question(CRL_PATH, { method: 'HEAD' }), undefined]);
    await check(['partial', question(CRL_PATH, { range: 'bytes=-1000' }), undefined, 206]);
    service.answer = atRoot;
    await check(['root', question('/'), undefined]);
    await check(['not-found', question('/favicon.ico'), undefined, 404]);
    await check(['not-found', question('/wp-admin/setup'), undefined, 404]);
    await check(['good', question(`/${Buffer.from(requestFor(caDer, good)).toString('base64')}`), undefined]);
    await check(['malformed', question(`/${Buffer.from('3000', 'hex').toString('base64')}`), MALFORMED]);
    assert.deepEqual(
      OUTCOMES.filter((outcome) => !reached.has(outcome)),
      [],
    );
  });

  it('says good of nothing that was not issued, however it is asked (P3, BR 4.9.9)', async () => {
    const other = makeIssuer({ id: 'other', name: 'Other CA' });
    const service = await TestService.open([makeIssuer(), other]);
    services.push(service);
    const [mine, theirs] = serials(2) as [Serial, Serial];
    const { caDer } = service.at;
    const strangers = makeIssuer();
    const asks: (readonly [Buffer, Serial])[] = [
      [caDer, serialFromHex('0123456789abcdef')],
      [other.caDer, mine],
      [caDer, theirs],
      // The same name with another key, and a CA that is not here at all (T-19, C-32).
      [strangers.caDer, mine],
      [makeIssuer({ name: 'Nobody' }).caDer, mine],
    ];
    const refused = async (): Promise<void> => {
      for (const hash of ['sha1', 'sha256'] as const) {
        for (const [ca, serial] of asks) {
          const der = requestFor(ca, serial, hash);
          for (const asked of [post(der), question(getPath(der)), question(getPath(der), { method: 'HEAD' })]) {
            const reply = await service.answer(asked);
            assert.equal(hexOf(reply), UNAUTHORIZED);
            assert.equal(headersOf(reply)['cache-control'], 'no-store', 'T-24: issued in a moment, good in a moment');
          }
        }
      }
    };
    await refused(); // before anything is there
    service.signer.start();
    await service.issue([mine]);
    await service.issue([theirs], START + 90 * DAY, other.served);
    await settled();
    await refused();
    await say(service, mine);
    await refused(); // with an answer in the table
    const sha1 = issuerHashes(caDer).sha1;
    const mixed = requestOf([certIdOf('1.3.14.3.2.26', sha1.name, issuerHashes(other.caDer).sha1.key, mine)]);
    assert.equal(hexOf(await service.answer(post(mixed))), UNAUTHORIZED);
  });
});

describe('answer: conditional requests and HEAD', () => {
  it('answers 304 to GET and HEAD with the same validator, never to POST (H-04, H-05)', async () => {
    const [service, [serial]] = (await running(1)) as [TestService, [Serial]];
    const der = requestFor(service.at.caDer, serial);
    const target = getPath(der);
    const whole = await service.answer(question(target));
    const { etag, 'last-modified': lastModified } = headersOf(whole) as { etag: string; 'last-modified': string };
    const head = await service.answer(question(target, { method: 'HEAD' }));
    assert.equal(head.headers, whole.headers);
    const before = new Date(Date.parse(lastModified) - SECOND).toUTCString();
    for (const [asked, status] of [
      [question(target, { ifNoneMatch: etag }), 304],
      [question(target, { ifNoneMatch: `"x", W/${etag}`, method: 'HEAD' }), 304],
      [question(target, { ifNoneMatch: '"x"' }), 200],
      [question(target, { ifNoneMatch: '"x"', ifModifiedSince: lastModified }), 200],
      [question(target, { ifModifiedSince: lastModified }), 304],
      [question(target, { ifModifiedSince: before }), 200],
      [{ ...post(der), ifNoneMatch: etag }, 200],
    ] as const) {
      assert.equal((await service.answer(asked)).status, status, JSON.stringify(asked));
    }
    const crl = await service.answer(question(CRL_PATH));
    assert.equal((await service.answer(question(CRL_PATH, { ifNoneMatch: headersOf(crl)['etag'] }))).status, 304);
    const ca = await service.answer(question(CA_PATH));
    assert.deepEqual(ca.body, service.at.caDer);
  });

  it('serves the CRL until it expires, and then nothing (P4)', async () => {
    const [service] = await running(1);
    await service.publisher.stop();
    const { validityMs } = service.served.profile.crl;
    service.clock.step(validityMs - SECOND);
    const last = await service.answer(question(CRL_PATH));
    assert.equal(last.status, 200);
    assert.match(headersOf(last)['cache-control'] ?? '', /^max-age=0,/);
    service.clock.step(SECOND);
    const gone = await service.answer(question(CRL_PATH));
    assert.equal(gone.status, 503);
    assert.equal(headersOf(gone)['cache-control'], 'no-store');
  });

  it('dates nothing later than the clock, also when that was set back (H-02)', async () => {
    const [service] = await running(1);
    await service.answer(question(CRL_PATH));
    service.clock.step(-HOUR);
    const { 'last-modified': lastModified } = headersOf(await service.answer(question(CRL_PATH)));
    assert.ok(Date.parse(lastModified ?? '') <= service.clock.now());
  });
});

describe('answer: waiting for a signature', () => {
  it('signs what is asked for before its turn, once for all who ask', async () => {
    const service = await TestService.open();
    services.push(service);
    const [serial] = serials(1) as [Serial];
    service.signer.start();
    service.interfere.takeDue = (real, lane, ...rest) => (lane === 'issue' ? Promise.resolve([]) : real(lane, ...rest));
    await service.issue([serial]);
    await settled();
    const replies = await Promise.all(
      Array.from({ length: 20 }, (_, i) => say(service, serial, i % 2 ? 'sha1' : 'sha256')),
    );
    for (const said of replies) assert.equal(said.status, 'good');
    assert.deepEqual(service.holder.calls, [2]);
  });

  it('gives up after 2 s when the key holder hangs, also when the clock is set back meanwhile', async () => {
    const service = await TestService.open();
    services.push(service);
    const [serial] = serials(1) as [Serial];
    const release = service.holder.hang();
    service.signer.start();
    await service.issue([serial]);
    let reply: Reply | undefined;
    const asking = Promise.resolve(service.answer(question(getPath(requestFor(service.at.caDer, serial))))).then(
      (got) => (reply = got),
    );
    await service.clock.advance(1999);
    assert.equal(reply, undefined);
    service.clock.step(-DAY);
    await service.clock.advance(1);
    await settled();
    assert.equal(reply && hexOf(reply), TRY_LATER);
    await asking;
    const timers = service.clock.timers;
    release();
    await settled();
    service.clock.step(DAY);
    assert.equal((await say(service, serial)).status, 'good');
    assert.ok(service.clock.timers <= timers, 'no timer is left behind');
  });

  it('has an expired answer signed anew, and says tryLater when that fails, never the expired one (P4)', async () => {
    const [service, [serial]] = (await running(1)) as [TestService, [Serial]];
    assert.equal((await say(service, serial)).status, 'good');
    await service.signer.stop();
    service.clock.step(4 * DAY - SECOND);
    assert.equal((await say(service, serial)).nextUpdate, service.clock.now(), 'its last second');
    service.clock.step(SECOND);
    assert.equal((await say(service, serial)).status, 'tryLater', 'no signer');
    service.signer.start();
    const said = await say(service, serial);
    assert.equal(said.status, 'good');
    assert.equal(said.thisUpdate, service.clock.now());
  });

  it('neither serves what expires while the store is read, nor promises what was right before (P4, L-19)', async () => {
    const [service, [first, second]] = (await running(2)) as [TestService, [Serial, Serial]];
    await service.signer.stop();
    const { clock, served, store } = service;
    /** The answer to a question that comes at one instant and whose look-up ends at another. */
    const askSlowly = async (serial: Serial, from: number, to: number): Promise<Reply> => {
      clock.step(from - clock.now());
      service.interfere.lookup = async (real, ...key) => {
        const found = await real(...key);
        clock.step(to - clock.now());
        return found;
      };
      const answering = service.answer(question(getPath(requestFor(service.at.caDer, serial))));
      await settled();
      service.interfere = {};
      await clock.advance(3 * SECOND);
      return answering;
    };
    const found = await store.lookup(served.tag, first);
    assert.ok(found.kind === 'published');
    const { refreshAt, nextUpdate } = found.response;
    const slow = await askSlowly(first, refreshAt - 2 * HOUR, refreshAt - SECOND);
    assert.match(headersOf(slow)['cache-control'] ?? '', /^max-age=1,/);
    assert.equal(hexOf(await askSlowly(second, nextUpdate - SECOND, nextUpdate + SECOND)), TRY_LATER);
  });

  it('takes no words for a request because a GET said them (L-01)', async () => {
    const [service, [serial]] = (await running(1)) as [TestService, [Serial]];
    const target = getPath(requestFor(service.at.caDer, serial));
    for (let i = 0; i < 3; i++) await service.answer(question(target));
    assert.equal(hexOf(await service.answer(post(Buffer.from(target)))), MALFORMED);
  });

  it('serves nothing from the future when the clock was set back, and serves it again when it is right', async () => {
    const [service, [serial]] = (await running(1)) as [TestService, [Serial]];
    assert.equal((await say(service, serial)).status, 'good');
    service.clock.step(-SECOND);
    assert.equal((await say(service, serial)).status, 'tryLater');
    service.clock.step(SECOND);
    assert.equal((await say(service, serial)).status, 'good');
  });
});

describe('answer: never throws', () => {
  const opened = TestService.open();
  after(async () => (await opened).remove());

  it(`replies to anything (seed ${SEED})`, async () => {
    const service = await opened;
    const issued = serials(4);
    service.signer.start();
    await service.issue(issued);
    await settled();
    const seeds = issued.flatMap((serial) => [
      requestFor(service.at.caDer, serial),
      requestFor(service.at.caDer, serial, 'sha256'),
    ]);
    const der = fc.oneof(
      mutated(seeds),
      fc.uint8Array({ maxLength: 300 }).map((octets) => Buffer.from(octets)),
      fc.constantFrom(...seeds),
    );
    const target = fc.oneof(
      der.map(getPath),
      der.map((octets) => `${OCSP_PATH}/${octets.toString('latin1')}`),
      fc.string({ unit: 'binary', maxLength: 60 }),
      fc.string({ maxLength: 60 }).map((text) => `/${text}`),
      fc.constantFrom(
        CRL_PATH,
        CA_PATH,
        OCSP_PATH,
        '*',
        '',
        'http://',
        'http://ca.test/OcspServer',
        '//',
        `${OCSP_PATH}?`,
      ),
    );
    const field = fc.option(fc.oneof(fc.string({ maxLength: 40 }), fc.constantFrom('*', '"', 'W/""')), {
      nil: undefined,
    });
    const asked = fc.record({
      method: fc.oneof(
        { weight: 5, arbitrary: fc.constantFrom('GET', 'POST', 'HEAD') },
        { weight: 1, arbitrary: fc.string({ maxLength: 8 }) },
      ),
      target,
      host: fc.string({ maxLength: 20 }),
      body: fc.option(der, { nil: undefined }),
      ifNoneMatch: field,
      ifModifiedSince: field,
      httpVersion: fc.constantFrom('1.0', '1.1', '2'),
    });
    let answered = 0;
    await fc.assert(
      fc.asyncProperty(asked, async (one) => {
        const reply = await service.answer(one);
        assert.ok([200, 304, 404, 405, 503].includes(reply.status));
        assert.notEqual(hexOf(reply), INTERNAL_ERROR);
        if (reply.status === 200 && reply.body.length > 5) answered += 1;
      }),
      { numRuns: 1500, seed: SEED },
    );
    assert.ok(answered > 50, 'some of them were real questions');
    assert.equal(service.errors.length, 0);
  });
});

/** The request with a critical extension 1.2.3 in singleRequestExtensions; every length is still below 128. */
function withCriticalExtension(request: Buffer): Buffer {
  const extension = Buffer.from('a010300e300c06022a030101ff040 30101ff'.replace(/ /g, ''), 'hex');
  const copy = Buffer.concat([request, extension]);
  // OCSPRequest, TBSRequest, requestList and Request are the first four headers, two octets each.
  for (const at of [1, 3, 5, 7]) copy.writeUInt8(copy.readUInt8(at) + extension.length, at);
  return copy;
}
