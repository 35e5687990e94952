import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { COMPLETE, type Certificate, type IssuerTag } from '../../src/core/certificate.ts';
import {
  booksOf,
  ccadbFields,
  ccadbProblems,
  changesSince,
  dueBy,
  namedUrls,
  type UrlChange,
} from '../../src/core/crl/ccadb.ts';
import { Census } from '../../src/core/crl/census.ts';
import { CrlBuilder } from '../../src/core/crl/crl.ts';
import { CRL_OCTETS_LIMIT, forecast } from '../../src/core/crl/forecast.ts';
import type { CrlLayout } from '../../src/core/crl/shards.ts';
import { serialFromHex } from '../../src/core/serial.ts';
import { DAY, HOUR } from '../../src/core/time.ts';
import { algorithmFor } from '../../src/core/signature-algorithm.ts';
import { CA_NAME, ecKey, NOW, PROFILE } from './sample-pki.ts';

const url = (shard: string): string => `http://crl.example.test/${shard}.crl`;
const LAYOUT: CrlLayout = {
  complete: true,
  completeUrls: ['http://crl.example.test/ca.crl', '/any-host.crl'],
  shards: { count: 10, highest: 10, url: url('{shard}') },
  caUrl: url('arl'),
};
const SEED = 20261121;

function certificate(n: number, change: Partial<Certificate> = {}): Certificate {
  return {
    issuer: '0a0b0c0d' as IssuerTag,
    serial: serialFromHex((0x4f0000000000000000000000000000n + BigInt(n)).toString(16)),
    revision: 1,
    notBefore: NOW - DAY,
    notAfter: NOW + 90 * DAY,
    precertificate: false,
    crlShard: undefined,
    withoutOcsp: false,
    spkiHash: undefined,
    revocation: undefined,
    recordedAt: NOW,
    recordedSeq: n,
    ...change,
  };
}

function censusOf(...certificates: readonly Certificate[]): Census {
  const census = new Census();
  for (const one of certificates) census.count(one);
  return census;
}

describe('what the CCADB is told', () => {
  const fields = (census: Census): readonly (readonly string[])[] =>
    Object.values(ccadbFields(namedUrls(census, LAYOUT, NOW))) as (readonly string[])[];

  it('is an array with an empty name while nothing is issued', () => {
    assert.deepEqual(fields(new Census()), [[], ['']]);
  });

  it('is each URL that an unexpired certificate names, in the order of the shards', () => {
    const of = (n: number, crlShard: string): Certificate => certificate(n, { crlShard });
    assert.deepEqual(fields(censusOf(of(1, '10'), of(2, '9'), of(3, '9'), of(4, 'ca'))), [
      [],
      [url('9'), url('10'), url('arl')],
    ]);
  });

  it('is the whole URL of the complete CRL, where certificates have no shard', () => {
    assert.deepEqual(fields(censusOf(certificate(1))), [['http://crl.example.test/ca.crl'], []]);
    const bare = { ...LAYOUT, completeUrls: ['/any-host.crl'] };
    assert.match(ccadbProblems([], censusOf(certificate(1)), bare, NOW).join(), /no host/);
  });

  it('is said to be a transition when certificates name both', () => {
    const census = censusOf(certificate(1), certificate(2, { crlShard: '1' }));
    assert.match(ccadbProblems(namedUrls(census, LAYOUT, NOW), census, LAYOUT, NOW).join(), /transition/);
  });

  it('has a URL as long as a certificate that names it has not expired, or has no known end', () => {
    const ended = certificate(1, { crlShard: '1', notAfter: NOW - 1 });
    const now = certificate(2, { crlShard: '2', notAfter: NOW });
    const open = certificate(3, { crlShard: '3', notAfter: undefined });
    assert.deepEqual(fields(censusOf(ended, now, open)), [[], [url('2'), url('3')]]);
  });

  it('counts, in any order of events, exactly as the certificates themselves', () => {
    const one = fc.record({
      n: fc.integer({ min: 1, max: 30 }),
      crlShard: fc.constantFrom(undefined, '1', '2', 'ca'),
      notAfter: fc.option(
        fc.integer({ min: -40, max: 90 }).map((days) => NOW + days * DAY),
        { nil: undefined },
      ),
      withoutOcsp: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.uniqueArray(one, { selector: ({ n }) => n }), fc.array(fc.nat(29)), (list, again) => {
        const certificates = list.map(({ n, ...change }) => certificate(n, change));
        const census = censusOf(...certificates);
        // What the feed tells twice, or as a change, counts once.
        for (const i of again) if (certificates[i] !== undefined) census.note(certificates[i]);
        const lasting = certificates.filter(({ notAfter }) => notAfter === undefined || notAfter >= NOW);
        const named = new Set(lasting.map(({ crlShard }) => crlShard));
        assert.deepEqual(
          new Set(namedUrls(census, LAYOUT, NOW).map((found) => found.url)),
          new Set([...named].map((shard) =>
            shard === undefined ? 'http://crl.example.test/ca.crl' : url(shard === 'ca' ? 'arl' : shard))), // prettier-ignore
        );
        assert.equal(
          census.withoutOcsp(NOW),
          lasting.some(({ withoutOcsp }) => withoutOcsp),
        );
        // To the week: none that lasts is missing, and none that ended a week ago is in.
        const counted = census.of(COMPLETE).unexpired(NOW);
        const aWeekAgo = certificates.filter(({ notAfter }) => notAfter === undefined || notAfter >= NOW - 7 * DAY);
        assert.ok(counted >= lasting.length && counted <= aWeekAgo.length, `${counted} of ${lasting.length}`);
      }),
      { numRuns: 300, seed: SEED },
    );
  });
});

describe('the books of CRL URLs', () => {
  const at = new Date(NOW).toISOString();
  const added = (seq: number, shard: string): UrlChange => ({
    seq,
    at,
    change: 'added',
    url: url(shard),
    kind: 'partitioned',
    why: '',
  });

  it('find what was added and what has gone, once each', () => {
    const urls = namedUrls(censusOf(certificate(1, { crlShard: '2' })), LAYOUT, NOW);
    const changes = changesSince(booksOf([added(1, '1')]), urls);
    assert.deepEqual(
      changes.map(({ change, url: about }) => [change, about]),
      [
        ['added', url('2')],
        ['removed', url('1')],
      ],
    );
    assert.deepEqual(changesSince(booksOf([added(1, '2')]), urls), []);
  });

  it('keep a change open until it is acknowledged, and not those after it', () => {
    const acknowledged: UrlChange = { seq: 3, at, change: 'acknowledged', upTo: 1, why: '' };
    assert.deepEqual(
      booksOf([added(1, '1'), added(2, '2'), acknowledged]).open.map(({ seq }) => seq),
      [2],
    );
  });

  it('have 7 days, or 4 hours from the first revocation', () => {
    assert.equal(dueBy(added(1, '1'), { firstRevokedAt: Infinity }), NOW + 7 * DAY);
    assert.equal(dueBy(added(1, '1'), { firstRevokedAt: NOW + DAY }), NOW + DAY + 4 * HOUR);
    assert.equal(dueBy({ ...added(1, '1'), change: 'removed' }, undefined), undefined);
  });
});

describe('the forecast', () => {
  it('is close to what is built when everything is revoked, and never below', () => {
    for (const invalidityDate of ['omit', 'revocation-date'] as const) {
      const profile = { ...PROFILE, crl: { ...PROFILE.crl, invalidityDate } };
      const certificates = Array.from({ length: 5000 }, (_, n) => certificate(n, { crlShard: '1' }));
      const { scopes } = forecast(censusOf(...certificates), LAYOUT, profile, CA_NAME.length, NOW);
      const builder = new CrlBuilder({
        issuerName: CA_NAME,
        authorityKeyIdentifier: Buffer.alloc(20, 1),
        algorithm: algorithmFor(ecKey().publicKey, 'key'),
        thisUpdate: NOW,
        nextUpdate: NOW + 7 * DAY,
        number: 1n,
        invalidityDate,
      });
      for (const { serial } of certificates) builder.add({ serial, revokedAt: NOW, reason: 'superseded' });
      const built = builder.tbs().length;
      const said = scopes.find(({ shard }) => shard === '1')?.octetsIfAllRevoked as number;
      assert.ok(said >= built && said < built * 1.01, `said ${said}, built ${built}`);
    }
  });

  it('names the shard that would pass 10 MB, and how many would do', () => {
    const census = new Census();
    for (let n = 0; n < 250_000; n++) census.count(certificate(n, { crlShard: n < 210_000 ? '1' : '2' }));
    const { scopes, largest, shardsNeeded } = forecast(census, LAYOUT, PROFILE, CA_NAME.length, NOW);
    assert.deepEqual(
      scopes.map(({ shard, overLimit }) => [shard, overLimit]),
      [
        [COMPLETE, false],
        ['1', true],
        ['2', false],
      ],
    );
    // No certificate names the complete CRL here.
    assert.equal(largest?.shard, '1');
    assert.equal(shardsNeeded, 2);
    assert.ok((largest?.octetsIfAllRevoked ?? 0) > CRL_OCTETS_LIMIT);
    assert.equal(forecast(census, LAYOUT, PROFILE, CA_NAME.length, NOW + 98 * DAY).largest?.certificates, 0);
  });
});
