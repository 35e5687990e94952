/**
 * What may be served without a second look (ResponseTable.spelled): whatever happens to the certificate, to the store or to the
 * clock, the short way never says what the long way would not. And what the long way says is right at the moment when it is said.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { CertIdHash, Certificate, PublishedResponse } from '../../src/core/certificate.ts';
import { answerable, servable } from '../../src/core/policy/freshness.ts';
import type { Serial } from '../../src/core/serial.ts';
import { notModifiedHeaders } from '../../src/core/policy/caching.ts';
import { DAY, HOUR, MINUTE, SECOND, wholeSecond, type EpochMs } from '../../src/core/time.ts';
import { type Entry, ResponseTable } from '../../src/flows/serve/response-table.ts';
import type { Lookup, StoreEvent } from '../../src/ports/store.ts';
import { headersOf, makeIssuer, RESPONDER_SPAN, serials, START } from './support-service.ts';

const SILENCE_LIMIT_MS = 15 * MINUTE;
/** For how long an entry is ready at most. */
const READY_MS = 10 * SECOND;

/** A store whose truth the test sets, and which tells of it what the test wants told. */
class Truth {
  readonly at = makeIssuer({ responders: [RESPONDER_SPAN, RESPONDER_SPAN] });
  readonly failure = undefined;
  readonly failureOf = (): undefined => undefined;
  readonly mustVouch = false;
  readonly propagationMs = 0;
  silent = 0;
  responder = 0;
  readonly known = new Map<Serial, { certificate: Certificate; response: PublishedResponse | undefined }>();
  /** What a look-up waits for, and what it does before it returns. */
  lookup_: (serial: Serial) => Promise<Lookup> | undefined = () => undefined;
  #followers: ((event: StoreEvent) => void)[] = [];

  get tag(): Certificate['issuer'] {
    return this.at.served.tag;
  }

  follow(follower: (event: StoreEvent) => void): void {
    this.#followers.push(follower);
  }

  tell(event: StoreEvent): void {
    for (const follower of this.#followers) follower(event);
  }

  silentMs(): number {
    return this.silent;
  }

  lookup(_: unknown, serial: Serial): Promise<Lookup> {
    return this.lookup_(serial) ?? Promise.resolve(this.now(serial));
  }

  now(serial: Serial): Lookup {
    const found = this.known.get(serial);
    if (found === undefined) return { kind: 'unknown' };
    const { certificate, response } = found;
    return response === undefined ? { kind: 'pending', certificate } : { kind: 'published', certificate, response };
  }

  issue(serial: Serial, notAfter: EpochMs | undefined, now: EpochMs): void {
    const { tag: issuer } = this;
    const certificate: Certificate = {
      issuer,
      serial,
      revision: 1,
      notBefore: START - DAY,
      notAfter,
      precertificate: false,
      crlShard: undefined,
      withoutOcsp: false,
      spkiHash: undefined,
      revocation: undefined,
      recordedAt: now,
      recordedSeq: 1,
    };
    this.known.set(serial, { certificate, response: undefined });
    this.sign(serial, now);
  }

  /** @returns the change, for whoever wants it told. */
  revoke(serial: Serial, now: EpochMs): StoreEvent {
    const found = this.known.get(serial);
    assert.ok(found);
    const revocation = { revokedAt: wholeSecond(now), reason: 'keyCompromise' as const };
    found.certificate = { ...found.certificate, revision: found.certificate.revision + 1, revocation };
    found.response = undefined;
    return { type: 'recorded', change: { certificate: found.certificate, lane: 'revocation' } };
  }

  /** @returns what a store of one process tells of it. */
  sign(serial: Serial, now: EpochMs): StoreEvent & { type: 'published' } {
    const found = this.known.get(serial);
    assert.ok(found);
    const { certificate, response: previous } = found;
    const thisUpdate = wholeSecond(now);
    const response: PublishedResponse = {
      issuer: this.tag,
      serial,
      revision: certificate.revision,
      revocation: certificate.revocation,
      thisUpdate,
      nextUpdate: thisUpdate + 4 * DAY - SECOND,
      refreshAt: thisUpdate + DAY,
      publishedAt: thisUpdate,
      responder: this.at.served.responders.signing[this.responder]?.certificate.id ?? '',
      signatures: { sha1: new Uint8Array(70), sha256: new Uint8Array(70) },
    };
    found.response = response;
    return { type: 'published', certificate, response, previous };
  }
}

function tableOf(truth: Truth, shared: boolean, bytes = 1 << 20): ResponseTable {
  const limit = shared ? { silenceLimitMs: SILENCE_LIMIT_MS } : undefined;
  return new ResponseTable([truth.at.served], truth, bytes, undefined, limit);
}

/** H-02, L-19: what the headers of an answer promise at the moment when it is sent. */
function assertDressed(entry: Entry, now: EpochMs): void {
  const headers = headersOf(entry);
  const maxAgeMs = Number(/max-age=(\d+)/.exec(headers['cache-control'] ?? '')?.[1]) * SECOND;
  const { refreshAt, nextUpdate } = entry;
  assert.ok(maxAgeMs === 0 || now + maxAgeMs <= Math.min(refreshAt, nextUpdate - SECOND), `max-age ${maxAgeMs} ms`);
  assert.ok(Date.parse(headers['last-modified'] ?? '') <= now, 'Last-Modified');
  assert.deepEqual(entry.notModified.headers, notModifiedHeaders(entry.headers));
  assert.equal(entry.notModified.etag, headers['etag']);
  assert.equal(entry.lastModifiedMs, Date.parse(headers['last-modified'] ?? ''));
}

const [FIRST] = serials(1) as [Serial];
const AFTER = START + 60 * DAY;

async function entryOf(
  table: ResponseTable,
  truth: Truth,
  serial: Serial,
  now: EpochMs,
  hash: CertIdHash = 'sha1',
): Promise<Entry> {
  const loaded = await table.load(hash, truth.tag, serial, now);
  assert.ok(loaded.kind === 'entry');
  return loaded.entry;
}

describe('ResponseTable.load', () => {
  it('renews the headers of what was kept back while the store was silent (L-19)', async () => {
    const truth = new Truth();
    const table = tableOf(truth, true);
    truth.issue(FIRST, AFTER, START);
    assertDressed(await entryOf(table, truth, FIRST, START), START);
    const now = START + DAY - MINUTE;
    truth.silent = SILENCE_LIMIT_MS + 1;
    assert.equal(table.get('sha1', truth.tag, FIRST, now), undefined);
    assertDressed(await entryOf(table, truth, FIRST, now), now);
  });
});

describe('ResponseTable.get', () => {
  it('makes nothing ready that the look for its successor made doubtful (P2)', async () => {
    const truth = new Truth();
    const table = tableOf(truth, true);
    truth.issue(FIRST, AFTER, START);
    const entry = await entryOf(table, truth, FIRST, START);
    const now = START + DAY + SECOND;
    truth.lookup_ = () => {
      truth.lookup_ = () => undefined;
      truth.tell({ type: 'gap', issuer: truth.tag });
      return undefined;
    };
    table.get('sha1', truth.tag, FIRST, now);
    table.keepSpelling('/words', entry);
    assert.equal(table.spelled('/words', now), undefined);
  });

  it('has max-age as before when a clock that went ahead is right again', async () => {
    const truth = new Truth();
    const table = tableOf(truth, false);
    truth.issue(FIRST, AFTER, START);
    await entryOf(table, truth, FIRST, START);
    const before = headersOf(table.get('sha1', truth.tag, FIRST, START + MINUTE) as Entry)['cache-control'];
    assert.match(
      headersOf(table.get('sha1', truth.tag, FIRST, START + 2 * DAY) as Entry)['cache-control'] ?? '',
      /max-age=0,/,
    );
    assert.equal(headersOf(table.get('sha1', truth.tag, FIRST, START + MINUTE) as Entry)['cache-control'], before);
  });

  it('finds the successor also when the clock went ahead and is right again', async () => {
    const truth = new Truth();
    const table = tableOf(truth, true);
    truth.issue(FIRST, AFTER, START);
    await entryOf(table, truth, FIRST, START);
    table.get('sha1', truth.tag, FIRST, START + 3 * DAY);
    await new Promise((resolve) => setImmediate(resolve));
    truth.sign(FIRST, START + 20 * HOUR);
    // The look is taken by one question, its result is for the next.
    table.get('sha1', truth.tag, FIRST, START + DAY + SECOND);
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(table.get('sha1', truth.tag, FIRST, START + DAY + SECOND)?.thisUpdate, START + 20 * HOUR);
  });
});

const SEED = 20261122;

type Step =
  | { readonly kind: 'ask'; readonly serial: number; readonly hash: CertIdHash; readonly hold: boolean }
  | { readonly kind: 'revoke' | 'sign' | 'sign untold' | 'revoke untold'; readonly serial: number }
  /** Time goes by; or the wall clock alone is set. */
  | { readonly kind: 'turn' | 'step'; readonly ms: number }
  | { readonly kind: 'silence' | 'heard' | 'gap' | 'retire' | 'release' };

const SERIALS = serials(7);
const wordsOf = (hash: CertIdHash, serial: Serial): string => `/${hash}/${serial}`;
const WORDS = SERIALS.flatMap((one) => [wordsOf('sha1', one), wordsOf('sha256', one)]);
const serial = fc.nat(SERIALS.length - 1);
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant('ask' as const),
      serial,
      hash: fc.constantFrom<CertIdHash>('sha1', 'sha256'),
      hold: fc.boolean(),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constantFrom('revoke' as const, 'sign', 'sign untold', 'revoke untold'), serial }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('turn' as const),
      ms: fc.oneof(fc.integer({ min: 1, max: 12_000 }), fc.constantFrom(14 * MINUTE + 55 * SECOND, HOUR, DAY)),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('step' as const),
      ms: fc.oneof(fc.integer({ min: -12_000, max: 12_000 }), fc.constantFrom(4 * DAY, -HOUR, -4 * DAY)),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constantFrom('silence' as const, 'heard', 'gap', 'retire', 'release', 'release') }),
  },
);

for (const shared of [false, true]) {
  describe(`ResponseTable.spelled, over ${shared ? 'a shared store' : 'a store of one process'}`, () => {
    it(`says of no entry what get would not (seed ${SEED})`, async () => {
      let ready = 0;
      await fc.assert(
        fc.asyncProperty(fc.array(step, { size: 'max', minLength: 30, maxLength: 60 }), async (steps) => {
          const truth = new Truth();
          // Four entries fit.
          const table = tableOf(truth, shared, 10_000);
          let now = START;
          for (const [i, one] of SERIALS.entries())
            truth.issue(one, i === 0 ? undefined : i === 1 ? START + 5 * SECOND : AFTER, now);
          /** Revocations that were told, or read from the store after a gap was. */
          const toldOf = new Set<Serial>();
          const untold = new Set<Serial>();
          let held: (() => void)[] = [];
          let failed: unknown;
          let silence = false;
          let setBack = 0;
          for (const one of steps) {
            const target = 'serial' in one ? (SERIALS[one.serial] as Serial) : FIRST;
            if (one.kind === 'ask') {
              const entry = table.get(one.hash, truth.tag, target, now);
              if (entry !== undefined) {
                assertDressed(entry, now);
                table.keepSpelling(wordsOf(one.hash, target), entry);
              } else {
                truth.lookup_ = (asked) => {
                  const found = truth.now(asked);
                  return one.hold ? new Promise((resolve) => held.push(() => resolve(found))) : undefined;
                };
                const loading = table.load(one.hash, truth.tag, target, now);
                truth.lookup_ = () => undefined;
                loading.catch((error: unknown) => (failed ??= error));
                await new Promise((resolve) => setImmediate(resolve));
              }
            } else if (one.kind === 'revoke' || one.kind === 'revoke untold') {
              if (truth.known.get(target)?.certificate.revocation !== undefined) continue;
              const event = truth.revoke(target, now);
              if (one.kind === 'revoke' || !shared) {
                truth.tell(event);
                toldOf.add(target);
              } else untold.add(target);
            } else if (one.kind === 'sign' || one.kind === 'sign untold') {
              const event = truth.sign(target, now);
              const { revision } = event.certificate;
              if (!shared) truth.tell(event);
              else if (one.kind === 'sign' && !untold.has(target))
                truth.tell({ type: 'answered', issuer: truth.tag, serial: target, revision });
            } else if (one.kind === 'turn') {
              now += one.ms;
              if (silence) truth.silent += one.ms;
            } else if (one.kind === 'step') {
              now += one.ms;
              if (one.ms < 0) setBack -= one.ms;
            } else if (one.kind === 'silence') silence = true;
            else if (one.kind === 'heard') {
              silence = false;
              truth.silent = 0;
              setBack = 0;
            } else if (one.kind === 'gap') {
              if (!shared) continue;
              for (const lost of untold) toldOf.add(lost);
              untold.clear();
              truth.tell({ type: 'gap', issuer: truth.tag });
            } else if (one.kind === 'retire') {
              const retired = truth.at.served.responders.signing[0];
              if (truth.at.served.responders.signing.length < 2 || retired === undefined) continue;
              const responder = retired.certificate.id;
              truth.at.served.responders.retire(responder, 'nothing');
              truth.tell({ type: 'responder-retired', issuer: truth.tag, responder, use: 'nothing' });
              for (const words of WORDS) assert.notEqual(table.spelled(words, now)?.responder, responder, 'retired');
            } else {
              for (const release of held) release();
              held = [];
              await new Promise((resolve) => setImmediate(resolve));
            }
            assert.equal(failed, undefined);
            for (const words of WORDS) {
              const entry = table.spelled(words, now);
              if (entry === undefined) continue;
              ready += 1;
              const { hash, serial, notAfter } = entry;
              assert.ok(servable(entry, now), 'P4');
              assert.ok(answerable(truth.at.served.profile, notAfter, now), 'T-33');
              if (toldOf.has(serial)) assert.equal(entry.outcome, 'revoked', 'P2');
              assertDressed(entry, now);
              if (shared && entry.outcome === 'good' && truth.silent > SILENCE_LIMIT_MS) {
                // A clock that was set back says the same times twice.
                assert.ok(setBack > 0 && truth.silent <= SILENCE_LIMIT_MS + READY_MS + setBack, 'silence');
                continue;
              }
              const { headers } = entry;
              assert.equal(table.get(hash, truth.tag, serial, now), entry, 'the long way');
              assert.equal(entry.headers, headers);
            }
          }
          for (const release of held) release();
        }),
        { seed: SEED, numRuns: 300 },
      );
      assert.ok(ready > 500, `${ready} entries were ready: enough to prove something`);
    });
  });
}
