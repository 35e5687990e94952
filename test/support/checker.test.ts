/** The checker itself: a history in which everything is as it must be, and for each rule one that breaks it. */
import { describe, it } from 'node:test';
import assert from 'node:assert/strict';
import { check, type History, type SeenAnswer, type SeenCrl, type SentEvent } from './checker.ts';

const T0 = Date.parse('2026-11-21T00:00:00Z');
const DAY = 86_400_000;
const [ISSUED, REVOKED, NEVER] = ['4a01', '4a02', '4a03'];
const REVOKED_AT = T0 + 10_000;
const SETTLED = T0 + 100_000;
const CERTIFICATE = { notBefore: T0 - DAY, notAfter: T0 + 90 * DAY };

const event = (kind: SentEvent['kind'], serial: string, sentAt: number, acknowledgedAt = sentAt + 5): SentEvent => ({
  kind,
  serial,
  sentAt,
  acknowledgedAt,
  ...(kind === 'revoke' && { reason: 'superseded' }),
});

function answer(
  serial: string,
  status: SeenAnswer['status'],
  askedAt: number,
  more: Partial<SeenAnswer> = {},
): SeenAnswer {
  const success = status === 'good' || status === 'revoked' || status === 'unknown';
  return {
    responder: 'responder-1',
    how: 'GET',
    hash: 'sha1',
    serial,
    ours: true,
    askedAt,
    answeredAt: askedAt + 3,
    status,
    ...(success && { thisUpdate: T0 - 1000, nextUpdate: T0 + 4 * DAY, certificate: CERTIFICATE }),
    ...(status === 'revoked' && { revokedAt: REVOKED_AT, reason: 'superseded' }),
    ...more,
  };
}

function crl(askedAt: number, number: bigint, serials: readonly string[], more: Partial<SeenCrl> = {}): SeenCrl {
  return {
    responder: 'responder-1',
    askedAt,
    answeredAt: askedAt + 3,
    number,
    thisUpdate: T0 - 10_000 + Number(number) * 1000,
    nextUpdate: T0 + 7 * DAY,
    sha256: `${number}`,
    entries: new Map(serials.map((serial) => [serial.toUpperCase(), { revokedAt: REVOKED_AT, reason: 'superseded' }])),
    ...more,
  };
}

const AFTER = SETTLED + 100;
const sound: History = {
  responders: ['responder-1'],
  intakes: ['intake-1'],
  events: [event('issue', ISSUED, T0), event('issue', REVOKED, T0), event('revoke', REVOKED, REVOKED_AT)],
  answers: [
    answer(REVOKED, 'good', T0 + 1000),
    answer(REVOKED, 'good', REVOKED_AT + 500),
    answer(REVOKED, 'revoked', REVOKED_AT + 1500),
    answer(NEVER, 'unauthorized', T0 + 1000),
    answer(ISSUED, 'unauthorized', T0 + 1000, { ours: false }),
    answer(ISSUED, 'tryLater', T0 + 2000),
    ...(['sha1', 'sha256'] as const).flatMap((hash) => [
      answer(ISSUED, 'good', AFTER, { hash }),
      answer(REVOKED, 'revoked', AFTER, { hash }),
    ]),
  ],
  crls: [crl(T0 + 1000, 1n, []), crl(AFTER, 2n, [REVOKED])],
  ledger: [
    { intake: 'intake-1', serial: ISSUED, askedAt: AFTER, status: 'good' },
    { intake: 'intake-1', serial: REVOKED, askedAt: AFTER, status: 'revoked' },
  ],
  disturbances: [],
  settledAt: SETTLED,
};

const promises = (change: Partial<History>): readonly string[] => [
  ...new Set(check({ ...sound, ...change }).map(({ promise }) => promise)),
];
const withAnswer = (...more: readonly SeenAnswer[]): Partial<History> => ({ answers: [...sound.answers, ...more] });
const withCrl = (...more: readonly SeenCrl[]): Partial<History> => ({ crls: [...sound.crls, ...more] });

describe('the checker', () => {
  it('finds nothing in a sound history', () => assert.deepEqual(check(sound), []));

  it('P1: an acknowledged event that the ledger has lost, has wrong, or was not asked for', () => {
    const [issued, revoked] = sound.ledger as [History['ledger'][number], History['ledger'][number]];
    assert.deepEqual(promises({ ledger: [{ ...issued, status: 'absent' }, revoked] }), ['P1']);
    assert.deepEqual(promises({ ledger: [issued, { ...revoked, status: 'good' }] }), ['P1']);
    assert.deepEqual(promises({ ledger: [issued] }), ['P1']);
    assert.deepEqual(promises({ intakes: ['intake-1', 'intake-2'] }), ['P1']);
  });

  it('P1: an acknowledged event that a responder does not know in the end, by one of the hashes', () => {
    const without = sound.answers.filter(({ serial, hash }) => !(serial === ISSUED && hash === 'sha256'));
    assert.deepEqual(promises({ answers: without }), ['P1']);
    assert.deepEqual(promises({ responders: ['responder-1', 'responder-2'] }), ['P1']);
    assert.deepEqual(promises(withAnswer(answer(ISSUED, 'tryLater', AFTER + 1))), ['P1']);
  });

  it('P1: an acknowledged revocation that is on no CRL in the end, and one that nobody could look up', () => {
    assert.ok(promises({ crls: [crl(AFTER, 2n, [])] }).includes('P1'));
    assert.ok(promises({ crls: [] }).includes('P1'));
  });

  it('P1: unauthorized for what was issued; not while the store is away', () => {
    const forgotten = withAnswer(answer(ISSUED, 'unauthorized', T0 + 5000));
    assert.deepEqual(promises(forgotten), ['P1']);
    const away = [{ what: 'store', from: T0, to: T0 + 9000, boundMs: 60_000 }];
    assert.deepEqual(promises({ ...forgotten, disturbances: away }), []);
  });

  it('P2: good after the bound, and good after revoked on one responder', () => {
    assert.deepEqual(promises(withAnswer(answer(REVOKED, 'good', REVOKED_AT + 1400))), ['P2']);
    const relapse = withAnswer(answer(REVOKED, 'revoked', REVOKED_AT + 100), answer(REVOKED, 'good', REVOKED_AT + 200));
    assert.deepEqual(promises(relapse), ['P2']);
    // Another responder may be a little ahead of the one that says good half a second after.
    assert.deepEqual(
      promises(withAnswer(answer(REVOKED, 'revoked', REVOKED_AT + 100, { responder: 'responder-2' }))),
      [],
    );
  });

  it('P2: while the store is away the bound is the silence limit, and ends soon after the store is back', () => {
    const late = withAnswer(answer(REVOKED, 'good', REVOKED_AT + 1450, { responder: 'responder-2' }));
    const away = (to: number, boundMs: number): Partial<History> => ({
      ...late,
      disturbances: [{ what: 'store', from: REVOKED_AT, to, boundMs }],
    });
    assert.deepEqual(promises(away(REVOKED_AT + 20_000, 5000)), []);
    assert.deepEqual(promises(away(REVOKED_AT + 20_000, 100)), ['P2']);
    assert.deepEqual(promises(away(REVOKED_AT + 100, 5000)), ['P2']);
  });

  it('P3: any status for what was never issued, not issued yet, not revoked yet, or is of another issuer', () => {
    for (const status of ['good', 'revoked', 'unknown'] as const)
      assert.ok(promises(withAnswer(answer(NEVER, status, T0 + 1000))).includes('P3'), status);
    assert.deepEqual(promises(withAnswer(answer(ISSUED, 'good', T0 - 100))), ['P3']);
    assert.deepEqual(
      promises(withAnswer(answer(REVOKED, 'revoked', REVOKED_AT - 5000, { responder: 'responder-2' }))),
      ['P3'],
    );
    assert.deepEqual(promises(withAnswer(answer(ISSUED, 'good', T0 + 1000, { ours: false }))), ['P3']);
    assert.deepEqual(promises(withAnswer(answer(ISSUED, 'unknown', T0 + 1000))), ['P3']);
  });

  it('P4: an answer out of its time, that no relying party takes, or that outlives its certificate', () => {
    const at = T0 + 50_000;
    assert.deepEqual(promises(withAnswer(answer(ISSUED, 'good', at, { nextUpdate: at - 1500 }))), ['P4']);
    assert.deepEqual(promises(withAnswer(answer(ISSUED, 'good', at, { nextUpdate: at - 500 }))), [], 'its last second');
    assert.deepEqual(promises(withAnswer(answer(ISSUED, 'good', at, { thisUpdate: at + 1000 }))), ['P4']);
    assert.deepEqual(promises(withAnswer(answer(ISSUED, 'unacceptable', at, { fault: 'signature' }))), ['P4']);
    const short = { certificate: { notBefore: T0 - DAY, notAfter: T0 + DAY } };
    assert.deepEqual(promises(withAnswer(answer(ISSUED, 'good', at, short))), ['P4']);
    const late = { certificate: { notBefore: T0, notAfter: T0 + 90 * DAY } };
    assert.deepEqual(promises(withAnswer(answer(ISSUED, 'good', at, late))), ['P4']);
  });

  it('P4: a CRL out of its time, or not signed by the CA', () => {
    assert.deepEqual(promises(withCrl(crl(AFTER + 1, 3n, [REVOKED], { nextUpdate: T0 }))), ['P4']);
    assert.deepEqual(promises(withCrl(crl(T0 + 500, 0n, [], { fault: 'the CRL is not signed by the CA' }))), ['P4']);
  });

  it('P5: OCSP and CRL that differ in serial, date or reason', () => {
    const entry = (revokedAt: number, reason: string): Partial<SeenCrl> => ({ entries: new Map([[REVOKED.toUpperCase(), { revokedAt, reason }]]) }); // prettier-ignore
    assert.deepEqual(promises(withCrl(crl(AFTER + 1, 3n, [], entry(REVOKED_AT + 1000, 'superseded')))), ['P5']);
    assert.deepEqual(promises(withCrl(crl(AFTER + 1, 3n, [], entry(REVOKED_AT, 'keyCompromise')))), ['P5']);
    assert.deepEqual(promises(withCrl(crl(AFTER + 1, 3n, [REVOKED, ISSUED]))), ['P5']);
    assert.deepEqual(promises(withCrl(crl(T0 + 99, 0n, [NEVER]), crl(T0 + 1200, 3n, [REVOKED, NEVER]))), ['P5']);
  });

  it('P5: a shard has its own numbers; the shards together are the complete CRL, each serial on one of them', () => {
    const shards = (one: readonly string[], two: readonly string[], numbers = [7n, 1n]): Partial<History> =>
      withCrl(
        crl(AFTER, numbers[0] as bigint, one, { shard: '1', sha256: 'one' }),
        crl(AFTER, numbers[1] as bigint, two, { shard: '2', sha256: 'two' }),
      );
    assert.deepEqual(promises(shards([REVOKED], [])), []);
    assert.deepEqual(promises(shards([], [REVOKED], [2n, 2n])), []);
    assert.deepEqual(promises(shards([], [])), ['P5'], 'on none');
    assert.deepEqual(promises(shards([REVOKED], [REVOKED])), ['P5'], 'on two');
    const alone = crl(AFTER, 1n, [], { shard: '1', sha256: 'one' });
    const older = crl(T0 + 1000, 2n, [], { shard: '1', sha256: 'two' });
    assert.deepEqual(promises(withCrl(older, alone, crl(AFTER, 1n, [REVOKED], { shard: '2' }))), ['P5'], 'falls');
    const unlisted = crl(AFTER, 1n, [ISSUED, REVOKED], { shard: '1', sha256: 'one' });
    assert.deepEqual(promises(withCrl(unlisted)), ['P5'], 'on a shard, and not on the complete one');
  });

  it('P5: CRL numbers that fall, are used twice, or do not mean newer; entries that vanish', () => {
    assert.deepEqual(promises(withCrl(crl(AFTER + 10, 1n, []), crl(AFTER + 20, 2n, [REVOKED]))), ['P5']);
    assert.deepEqual(promises(withCrl(crl(AFTER + 10, 2n, [REVOKED], { sha256: 'other' }))), ['P5']);
    assert.deepEqual(promises(withCrl(crl(AFTER + 10, 3n, [REVOKED], { thisUpdate: T0 - 20_000 }))), ['P5']);
    assert.ok(promises(withCrl(crl(AFTER + 10, 3n, []))).includes('P5'));
  });
});
