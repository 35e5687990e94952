/** CRLs as openssl signs them, and entries that it does not make: what may be learnt from them. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { appendFileSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { readCrl } from '../../src/core/crl/crl-reader.ts';
import { mustListOwn, ownEntries } from '../../src/core/crl/own-entries.ts';
import { OID } from '../../src/core/der/oid.ts';
import { encodeTime } from '../../src/core/der/time.ts';
import { extension, tlv } from '../../src/core/der/writer.ts';
import { Problem } from '../../src/core/problem.ts';
import { OpensslCa } from '../support/openssl-ca.ts';
import { CA_NAME, NOW } from './sample-pki.ts';

const refusedFor =
  (rule: string, value?: string) =>
  (error: unknown): boolean =>
    error instanceof Problem && error.code === 'refused' && error.rule === rule && error.value === value;

describe('a CRL to learn from', () => {
  const ca = new OpensslCa();
  after(() => ca.remove());
  const revoked = ca.issue({ count: 3 });
  for (const certificate of revoked) ca.revoke(certificate, '-crl_reason', 'superseded');
  appendFileSync(
    join(ca.directory, 'ca.cnf'),
    `
[plain]
1.2.3.4.5 = ASN1:NULL
[unknown]
authorityKeyIdentifier = keyid
1.2.3.4.5 = critical, ASN1:NULL
[delta]
2.5.29.27 = critical, ASN1:INTEGER:1
[shard]
issuingDistributionPoint = critical, @shard_point
[shard_point]
fullname = URI:http://crl.test/1.crl
onlyuser = TRUE
[indirect]
issuingDistributionPoint = critical, @indirect_point
[indirect_point]
indirectCRL = TRUE
[attributes]
issuingDistributionPoint = critical, @attributes_point
[attributes_point]
onlyAA = TRUE
`,
  );
  const signed = (section: string): Buffer => {
    const run = (...args: readonly string[]): void =>
      void execFileSync('openssl', args, { cwd: ca.directory, stdio: 'pipe' });
    run('ca', '-config', 'ca.cnf', '-gencrl', '-crlexts', section, '-out', 'other.pem');
    run('crl', '-in', 'other.pem', '-outform', 'DER', '-out', 'other.der');
    return readFileSync(join(ca.directory, 'other.der'));
  };

  for (const section of ['plain', 'delta', 'shard', 'indirect'])
    it(`lists its own: ${section}`, () => {
      const view = readCrl(signed(section));
      mustListOwn(view);
      const listed = [...ownEntries(view)].map(({ serial }) => BigInt(`0x${serial}`)).sort();
      assert.deepEqual(listed, revoked.map(({ serial }) => BigInt(`0x${serial}`)).sort());
    });

  it('is refused with a critical extension that is not understood (RFC 5280 §5.2)', () => {
    assert.throws(() => mustListOwn(readCrl(signed('unknown'))), refusedFor('RFC 5280 §5.2', '1.2.3.4.5'));
  });

  it('is refused when it lists attribute certificates (RFC 5280 §5.2.5)', () => {
    assert.throws(() => mustListOwn(readCrl(signed('attributes'))), refusedFor('RFC 5280 §5.2.5'));
  });

  describe('with entries', () => {
    const algorithm = Buffer.from('300a06082a8648ce3d040302', 'hex');
    const entry = (serial: number, ...extensions: readonly Buffer[]): Buffer =>
      tlv(
        0x30,
        tlv(0x02, Buffer.of(serial)),
        encodeTime(NOW),
        ...(extensions.length === 0 ? [] : [tlv(0x30, ...extensions)]),
      );
    const listing = (...entries: readonly Buffer[]): ReturnType<typeof readCrl> => {
      const times = [encodeTime(NOW), encodeTime(NOW + 1000)];
      const tbs = tlv(0x30, Buffer.from('020101', 'hex'), algorithm, CA_NAME, ...times, tlv(0x30, ...entries));
      return readCrl(tlv(0x30, tbs, algorithm, tlv(0x03, Buffer.alloc(72))));
    };
    const issuer = (critical: boolean): Buffer =>
      extension(OID.certificateIssuer, critical, tlv(0x30, tlv(0xa4, CA_NAME)));
    const odd = (critical: boolean): Buffer =>
      extension(Buffer.from('2a0304', 'hex'), critical, Buffer.from('0500', 'hex'));

    it('of another CA is refused, from the first of them on (RFC 5280 §5.3.3)', () => {
      for (const critical of [true, false]) {
        const view = listing(entry(1), entry(2, issuer(critical)), entry(3));
        assert.throws(() => [...ownEntries(view)], refusedFor('RFC 5280 §5.3.3', '02'));
      }
    });

    it('with a critical extension that is not understood is refused (RFC 5280 §5.3)', () => {
      assert.throws(() => [...ownEntries(listing(entry(1, odd(true))))], refusedFor('RFC 5280 §5.3', '1.2.3.4'));
      assert.equal([...ownEntries(listing(entry(1, odd(false))))].length, 1);
    });

    it('that cannot be recorded is no entry (RFC 5280 §5.3)', () => {
      const reason = (code: number): Buffer => extension(OID.reasonCode, false, tlv(0x0a, Buffer.of(code)));
      assert.throws(() => [...ownEntries(listing(entry(1, reason(7))))], { code: 'invalid' });
      assert.throws(() => [...ownEntries(listing(entry(0x81)))], { code: 'invalid' });
      assert.deepEqual(
        [...ownEntries(listing(entry(1, reason(6))))],
        [{ serial: '01', revokedAt: NOW, reason: 'certificateHold' }],
      );
    });
  });
});
