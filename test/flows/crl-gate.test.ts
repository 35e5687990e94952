/** The gate alone, over octets in memory: what it must find, and what it must not mind. */
import assert from 'node:assert/strict';
import { constants, createHash, sign } from 'node:crypto';
import { describe, it } from 'node:test';
import { COMPLETE, type Certificate, type CrlRecord } from '../../src/core/certificate.ts';
import { CrlBuilder, assembleCrl, type CrlParts, type ListedEntry } from '../../src/core/crl/crl.ts';
import { issuingDistributionPoint } from '../../src/core/crl/idp.ts';
import { OID } from '../../src/core/der/oid.ts';
import { extension, tlv } from '../../src/core/der/writer.ts';
import { Problem } from '../../src/core/problem.ts';
import { serialFromHex, type Serial } from '../../src/core/serial.ts';
import { algorithmFor } from '../../src/core/signature-algorithm.ts';
import { DAY, SECOND } from '../../src/core/time.ts';
import { checkCrl, type CrlAbout, type GateParts, type PassedCrl } from '../../src/flows/crl/crl-gate.ts';
import type { CrlFile } from '../../src/ports/crl-archive.ts';
import { ecKey, PROFILE, rsaKey } from '../core/sample-pki.ts';
import { makeRandom } from '../support/random.ts';
import { makeIssuer, START } from './support-service.ts';

const ca = ecKey();
const { served } = makeIssuer({ ca });
const algorithm = algorithmFor(ca.publicKey, 'key');
const scope = { issuer: served.tag, shard: COMPLETE };
const URI = 'http://crl.example/1.crl';

const serialAt = (i: number): Serial => serialFromHex((0x40000000 + i * 977).toString(16).padStart(32, '5a'));
const entryAt = (i: number): ListedEntry => ({
  serial: serialAt(i),
  revokedAt: START - DAY,
  reason: i % 2 ? 'superseded' : undefined,
});
const entries = (count: number): ListedEntry[] => Array.from({ length: count }, (_, i) => entryAt(i));

function signed(list: readonly ListedEntry[], change: Partial<CrlParts> = {}): Buffer {
  const builder = new CrlBuilder({
    issuerName: served.issuer.nameDer,
    authorityKeyIdentifier: served.issuer.subjectKeyIdentifier,
    algorithm,
    thisUpdate: START,
    nextUpdate: START + DAY,
    number: 1n,
    invalidityDate: 'omit',
    ...change,
  });
  for (const entry of list) builder.add(entry);
  const tbs = builder.tbs();
  return assembleCrl(tbs, algorithm, sign(algorithm.hash, tbs, { key: ca.privateKey, dsaEncoding: 'der' }));
}

function recordOf(der: Buffer, count: number, change: Partial<CrlRecord> = {}): CrlRecord {
  return {
    ...scope,
    number: 1n,
    thisUpdate: START,
    nextUpdate: START + DAY,
    publishedAt: START,
    kind: 'scheduled',
    scheduledAt: START,
    scheduledAsOfSeq: 5,
    entries: count,
    bytes: der.length,
    sha256: createHash('sha256').update(der).digest('hex'),
    asOfSeq: 5,
    ...change,
  };
}

const fileOf = (der: Buffer): CrlFile => ({
  octets: der.length,
  read: (at, length) => Promise.resolve(Buffer.from(der.subarray(at, at + length))),
  digest: () => Promise.resolve(createHash('sha256').update(der).digest('hex')),
  close: () => Promise.resolve(),
});

/** What the ledger says of a certificate on the list: revoked as listed, and valid for long. */
const certificateOf = (entry: ListedEntry, change: Partial<Certificate> = {}): Certificate => ({
  issuer: served.tag,
  serial: entry.serial,
  revision: 2,
  notBefore: START - 9 * DAY,
  notAfter: START + 90 * DAY,
  precertificate: false,
  crlShard: undefined,
  withoutOcsp: false,
  spkiHash: undefined,
  revocation: { revokedAt: entry.revokedAt, reason: entry.reason },
  recordedAt: START,
  recordedSeq: 5,
  ...change,
});

interface Case {
  readonly next: Buffer;
  readonly count: number;
  readonly previous?: { readonly der: Buffer; readonly record: CrlRecord };
  readonly about?: Partial<CrlAbout>;
  readonly parts?: Partial<GateParts>;
  readonly ledger?: readonly Certificate[];
}

function check({ next, count, previous, about, parts, ledger = [] }: Case): Promise<PassedCrl> {
  const bySerial = new Map(ledger.map((certificate) => [certificate.serial, certificate]));
  return checkCrl(
    fileOf(next),
    { scope, kind: 'revocation', expected: { number: 2n, entries: count }, asOfSeq: 6, ...about },
    previous?.record,
    {
      served,
      publicKey: ca.publicKey,
      store: {
        find: (_, serials) => Promise.resolve(serials.map((serial) => bySerial.get(serial))),
        openCrl: () => Promise.resolve(fileOf(previous?.der as Buffer)),
      },
      nowMs: START + SECOND,
      idp: undefined,
      previousPassed: { marks: [] },
      lookUpNew: true,
      ...parts,
    },
  );
}

const refusedWith =
  (rule: RegExp, message: RegExp) =>
  (error: unknown): boolean =>
    error instanceof Problem && rule.test(error.rule ?? '') && message.test(error.message);

const later = { thisUpdate: START + SECOND, number: 2n };

describe('checkCrl', () => {
  const list = entries(40);
  const [old, next] = [signed(list), signed([...list, entryAt(40)], later)];
  const previous = { der: old, record: recordOf(old, 40) };
  const good: Case = { next, count: 41, previous, ledger: [certificateOf(entryAt(40))] };

  it('passes what may follow, with what is new on it', async () => {
    for (const previousPassed of [{ marks: [] }, undefined]) {
      const { entries: count, added, changed, removed } = await check({ ...good, parts: { previousPassed } });
      assert.deepEqual([count, added, changed, removed], [41, 1, 0, []]);
    }
  });

  it('finds every single octet that is not as it was signed, though equal stretches are not parsed', async () => {
    for (let at = 0; at < next.length; at++) {
      const flipped = Buffer.from(next);
      flipped.writeUInt8(flipped.readUInt8(at) ^ 0x04, at);
      await assert.rejects(check({ ...good, next: flipped }), Problem, `octet ${at}`);
    }
  });

  it('finds every single octet of the previous CRL that is not as it was published, also when the new one has it too', async () => {
    for (let at = 0; at < old.length; at++) {
      const der = Buffer.from(old);
      der.writeUInt8(der.readUInt8(at) ^ 0x01, at);
      await assert.rejects(check({ ...good, previous: { ...previous, der } }), Problem, `octet ${at}`);
    }
    // A date that rotted on the disk, was copied from there and signed.
    const rotten = list.map((entry, i) => (i === 7 ? { ...entry, revokedAt: entry.revokedAt + SECOND } : entry));
    const copied = signed([...rotten, entryAt(40)], later);
    await assert.rejects(
      check({ ...good, next: copied, previous: { ...previous, der: signed(rotten) } }),
      refusedWith(/CT-5.5.1-3/, /not the one that was published/),
    );
  });

  it('finds the same in CRLs of many pieces, at places by chance', { timeout: 60_000 }, async () => {
    const many = entries(40_000);
    const der = signed(many);
    const mid = many.filter((_, i) => i !== 20_000);
    const without = signed(mid);
    const record = recordOf(without, mid.length);
    const big: Case = {
      next: signed(many, later),
      count: many.length,
      previous: { der: without, record },
      ledger: [certificateOf(entryAt(20_000))],
    };
    assert.ok(der.length > 3 * 512 * 1024);
    assert.equal((await check(big)).added, 1);
    const random = makeRandom(977);
    for (let i = 0; i < 25; i++) {
      const at = random.below(der.length);
      const flipped = Buffer.from(big.next);
      flipped.writeUInt8(flipped.readUInt8(at) ^ 0x10, at);
      await assert.rejects(check({ ...big, next: flipped }), Problem, `octet ${at}`);
    }
  });

  it('names the serial that would be lost, and lets go only what the ledger explains', async () => {
    const lost = entryAt(11);
    const shrunk = signed(
      list.filter(({ serial }) => serial !== lost.serial),
      later,
    );
    const losing = { next: shrunk, count: 39, previous };
    const named = refusedWith(/RFC 5280 §3.3/, new RegExp(`serial ${lost.serial} stands on CRL 1`));
    await assert.rejects(check(losing), named, 'the ledger knows nothing of it');
    await assert.rejects(check({ ...losing, ledger: [certificateOf(lost)] }), named, 'not expired');
    const expired = { notAfter: START - 2 * SECOND };
    await assert.rejects(
      check({ ...losing, ledger: [certificateOf(lost, { ...expired, recordedSeq: 6 })] }),
      named,
      'recorded after the last scheduled CRL was read from the ledger',
    );
    const { removed } = await check({ ...losing, ledger: [certificateOf(lost, expired)] });
    assert.deepEqual(removed, [lost.serial]);
    const released = { ...losing, ledger: [certificateOf(lost, { revocation: undefined, revision: 3 })] };
    await assert.rejects(check(released), named, 'no holds under this profile (T-29)');
    const holds = { ...served, profile: { ...PROFILE, reasons: { ...PROFILE.reasons, hold: 'allow' as const } } };
    await check({ ...released, parts: { served: holds } });
  });

  it('refuses a collapse of any size, by the first entry that nothing explains', async () => {
    const half = signed(list.slice(0, 20), later);
    await assert.rejects(
      check({ next: half, count: 20, previous, ledger: list.map((entry) => certificateOf(entry)) }),
      refusedWith(/RFC 5280 §3.3/, new RegExp(`serial ${serialAt(20)}`)),
    );
    await assert.rejects(check({ next: signed([], later), count: 0, previous }), refusedWith(/RFC 5280 §3.3/, /lost/));
  });

  it('refuses another date or reason than the ledger has, new or changed (T-59)', async () => {
    const moved = list.map((entry, i) => (i === 3 ? { ...entry, reason: 'keyCompromise' as const } : entry));
    const changing = { next: signed(moved, later), count: 40, previous };
    await assert.rejects(
      check({ ...changing, ledger: [certificateOf(entryAt(3))] }),
      refusedWith(/T-59/, new RegExp(`serial ${serialAt(3)}`)),
    );
    assert.equal((await check({ ...changing, ledger: [certificateOf(moved[3] as ListedEntry)] })).changed, 1);
    const wrong = { ...certificateOf(entryAt(40)), revocation: { revokedAt: START - 2 * DAY, reason: undefined } };
    await assert.rejects(check({ ...good, ledger: [wrong] }), refusedWith(/T-59/, /would be listed with/));
    await assert.rejects(check({ ...good, ledger: [] }), refusedWith(/T-59/, /not revoked/));
    // What has changed since the data was read is for the next CRL.
    await check({ ...good, ledger: [{ ...wrong, recordedSeq: 7 }] });
  });

  it('refuses a number, a thisUpdate or data that do not grow (C-10, T-34)', async () => {
    const same = (change: Partial<CrlParts>): Buffer => signed(list, { ...later, ...change });
    const expecting = (number: bigint): Partial<CrlAbout> => ({ expected: { number, entries: 40 } });
    await assert.rejects(
      check({ next: same({ number: 1n }), count: 40, previous, about: expecting(1n) }),
      refusedWith(/C-10/, /does not follow/),
    );
    await assert.rejects(
      check({ next: same({ thisUpdate: START }), count: 40, previous }),
      refusedWith(/T-34/, /thisUpdate is not later/),
    );
    await assert.rejects(
      check({ next: same({}), count: 40, previous, about: { asOfSeq: 4 } }),
      refusedWith(/T-59/, /data is older/),
    );
    await assert.rejects(check({ next: same({ number: 3n }), count: 40, previous }), refusedWith(/C-03/, /reserved/));
    await assert.rejects(
      check({ next: same({ nextUpdate: START + 8 * DAY }), count: 40, previous }),
      refusedWith(/profile-validity/, /lint/),
    );
  });

  it('verifies RSASSA-PSS, which an offline CA may sign with (BR 7.1.3.2.1)', async () => {
    const { publicKey, privateKey } = rsaKey();
    const hash = '300d06096086480165030402010500';
    const identifier = `304106092a864886f70d01010a3034a00f${hash}a11c301a06092a864886f70d010108${hash}a203020120`;
    const pss = { ...algorithm, identifier: Buffer.from(identifier, 'hex') };
    const made = (saltLength: number): Buffer => {
      const builder = new CrlBuilder({
        issuerName: served.issuer.nameDer,
        authorityKeyIdentifier: served.issuer.subjectKeyIdentifier,
        algorithm: pss,
        nextUpdate: START + DAY,
        invalidityDate: 'omit',
        ...later,
      });
      for (const entry of [...list, entryAt(40)]) builder.add(entry);
      const tbs = builder.tbs();
      const key = { key: privateKey, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength };
      return assembleCrl(tbs, pss, sign('sha256', tbs, key));
    };
    const parts = { publicKey };
    assert.equal((await check({ ...good, next: made(32), parts })).entries, 41);
    await assert.rejects(check({ ...good, next: made(20), parts }), refusedWith(/RFC 5280/, /does not verify/));
    await assert.rejects(check({ ...good, next: made(32) }), refusedWith(/BR 7.1.3.2/, /ec key/));
  });

  it('refuses a delta, though it lists the same (T-36)', async () => {
    const indicator = extension(OID.deltaCRLIndicator, true, tlv(0x02, Buffer.of(1)));
    const delta = signed([...list, entryAt(40)], { ...later, extensions: [indicator] });
    await assert.rejects(check({ ...good, next: delta }), refusedWith(/T-36/, /a delta CRL/));
  });

  it('refuses another scope than the one wanted, and than the one before (C-17, T-37)', async () => {
    const idp = issuingDistributionPoint(URI, 'user-certificates');
    const sharded = (point: Buffer): Buffer => signed(list, { ...later, extensions: [point] });
    const other = issuingDistributionPoint(URI.replace('1', '2'), 'user-certificates');
    await assert.rejects(
      check({ next: sharded(other), count: 40, parts: { idp } }),
      refusedWith(/T-37/, /not that of the scope/),
    );
    await assert.rejects(check({ next: sharded(idp), count: 40 }), refusedWith(/T-37/, /not that of the scope/));
    await assert.rejects(check({ next: signed(list, later), count: 40, parts: { idp } }), refusedWith(/T-37/, /scope/));
    await assert.rejects(
      check({ next: sharded(idp), count: 40, previous, parts: { idp } }),
      refusedWith(/C-17/, /certificates name the old one/),
    );
    await check({ next: sharded(idp), count: 40, parts: { idp, lookUpNew: false } });
  });

  it('refuses our own entries out of order, and compares those of others without order', async () => {
    const mixed = [...list].reverse();
    const parts = { lookUpNew: false };
    await assert.rejects(
      check({ next: signed(mixed, later), count: 40, previous, parts }),
      refusedWith(/P5/, /do not ascend/),
    );
    const about = { kind: 'imported' as const, expected: undefined };
    assert.equal((await check({ next: signed(mixed, later), count: 40, previous, parts, about })).entries, 40);
    const shuffled = { der: signed(mixed), record: recordOf(signed(mixed), 40) };
    const from = { der: shuffled.der, record: { ...recordOf(shuffled.der, 40), kind: 'imported' as const } };
    await check({
      next: signed(list, later),
      count: 40,
      previous: from,
      parts: { ...parts, previousPassed: undefined },
    });
    await assert.rejects(
      check({ next: signed(mixed.slice(1), later), count: 39, previous: from, parts, about }),
      refusedWith(/RFC 5280 §3.3/, new RegExp(`serial ${serialAt(39)}`)),
    );
    const twice = signed([...mixed, entryAt(5)], later);
    await assert.rejects(
      check({ next: twice, count: 41, previous, parts, about }),
      refusedWith(/unique/, /more than once/),
    );
  });
});
