import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { verify } from 'node:crypto';
import { after, describe, it } from 'node:test';
import fc from 'fast-check';
import { AsnConvert } from '@peculiar/asn1-schema';
import { CertificateList } from '@peculiar/asn1-x509';
import { assembleCrl, CrlBuilder, MAX_CRL_NUMBER, type CrlParts, type ListedEntry } from '../../src/core/crl/crl.ts';
import { crlFromFile, MAX_CRL_OCTETS, readCrl } from '../../src/core/crl/crl-reader.ts';
import { extension, tlv } from '../../src/core/der/writer.ts';
import { OID } from '../../src/core/der/oid.ts';
import { Problem } from '../../src/core/problem.ts';
import { REASON_CODES, type Reason } from '../../src/core/reason.ts';
import { serialFromHex, type Serial } from '../../src/core/serial.ts';
import { algorithmFor } from '../../src/core/signature-algorithm.ts';
import { makeAuthority, signWith, type Authority } from './ocsp-authority.ts';
import { mutated } from './ocsp-request-shapes.ts';

const SEED = 5_280_2026;
const authority = makeAuthority();
const rsa = makeAuthority('rsa');
after(() => {
  authority.remove();
  rsa.remove();
});

const NOW = Math.floor(Date.now() / 1000) * 1000;

function partsOf(from: Authority, change: Partial<CrlParts> = {}): CrlParts {
  return {
    issuerName: from.ca.subject,
    authorityKeyIdentifier: from.ca.keyHash,
    algorithm: algorithmFor(from.ca.key, 'key'),
    thisUpdate: NOW,
    nextUpdate: NOW + 604_799_000,
    number: 7n,
    invalidityDate: 'omit',
    ...change,
  };
}

function entry(serial: string, revokedAt = NOW - 1000, reason?: Reason): ListedEntry {
  return { serial: serialFromHex(serial), revokedAt, reason };
}

function build(entries: readonly ListedEntry[], change: Partial<CrlParts> = {}, from = authority): Buffer {
  const parts = partsOf(from, change);
  const builder = new CrlBuilder(parts);
  for (const one of entries) builder.add(one);
  assert.equal(builder.entries, entries.length);
  const tbs = builder.tbs();
  return assembleCrl(tbs, parts.algorithm, signWith(from.ca, tbs));
}

/** openssl's reading of a CRL, its verdict on the signature included. */
function opensslSays(der: Uint8Array, from = authority): string {
  from.write('a.crl', der);
  const run = spawnSync('openssl', ['crl', '-inform', 'DER', '-in', 'a.crl', '-CAfile', 'ca.pem', '-noout', '-text'], { cwd: from.dir, encoding: 'utf8' }); // prettier-ignore
  assert.match(run.stderr, /verify OK/);
  return run.stdout;
}

describe('CrlBuilder', () => {
  for (const [name, from] of [
    ['P-256', authority],
    ['RSA-2048', rsa],
  ] as const) {
    it(`openssl verifies a ${name} CRL and reads every field`, () => {
      const text = opensslSays(
        build([entry('7f', Date.UTC(2049, 11, 31), 'keyCompromise'), entry('80', Date.UTC(2050, 0, 1))], { number: 255n }, from),
        from,
      );
      assert.match(text, /Version 2/);
      assert.match(text, /Issuer: C = JP, O = Test, CN = Test CA/);
      assert.match(text, /X509v3 CRL Number: \s+255/);
      assert.match(text, new RegExp(from.ca.keyHash.toString('hex').toUpperCase().replace(/..(?=.)/g, '$&:')));
      assert.match(text, /Serial Number: 7F\s+Revocation Date: Dec 31 00:00:00 2049 GMT\s+CRL entry extensions:\s+X509v3 CRL Reason Code: \s+Key Compromise/);
      assert.match(text, /Serial Number: 80\s+Revocation Date: Jan  1 00:00:00 2050 GMT\s+Signature/);
    }); // prettier-ignore
  }

  it('leaves revokedCertificates out when nothing is revoked (C-09)', () => {
    const der = build([]);
    assert.match(opensslSays(der), /No Revoked Certificates/);
    assert.equal(readCrl(der).hasRevokedCertificates, false);
  });

  it('writes the exact octets of RFC 5280, invalidityDate first (CT-B-CRL-11, CT-B-CRL-12)', () => {
    const at = Date.UTC(2026, 10, 20, 8);
    const builder = new CrlBuilder(partsOf(authority, { thisUpdate: at, nextUpdate: Date.UTC(2050, 0, 1), number: 128n, invalidityDate: 'revocation-date' })); // prettier-ignore
    builder.add(entry('ff', at - 1000, 'privilegeWithdrawn'));
    const text = (value: string): string => Buffer.from(value, 'latin1').toString('hex');
    const tbs = builder.tbs().toString('hex');
    assert.ok(
      tbs.endsWith(
        `170d${text('261120080000Z')}180f${text('20500101000000Z')}` +
          `303d303b020200ff170d${text('261120075959Z')}3026` +
          `30180603551d180411180f${text('20261120075959Z')}300a0603551d1504030a0109` +
          `a030302e301f0603551d23041830168014${authority.ca.keyHash.toString('hex')}300b0603551d14040402020080`,
      ),
      tbs,
    );
    assert.ok(tbs.slice(6).startsWith('020101300a06082a8648ce3d040302'), tbs);
  });

  it('puts further extensions behind, an issuingDistributionPoint for one', () => {
    const idp = extension(OID.issuingDistributionPoint, true, tlv(0x30, tlv(0x81, Buffer.of(0xff))));
    assert.match(
      opensslSays(build([], { extensions: [idp] })),
      /Issuing Distribution Point: critical\s+Only User Certificates/,
    );
  });

  it('refuses numbers outside 0 to 2^159 - 1 (C-03, T-35) and times that no CRL can say', () => {
    for (const number of [-1n, MAX_CRL_NUMBER + 1n])
      assert.throws(() => new CrlBuilder(partsOf(authority, { number })), Problem);
    assert.equal(readCrl(build([], { number: MAX_CRL_NUMBER })).number, MAX_CRL_NUMBER);
    assert.equal(readCrl(build([], { number: 0n })).number, 0n);
    assert.throws(() => build([entry('01', Date.UTC(1949, 0, 1))]), Problem);
  });

  it('is used once', () => {
    const builder = new CrlBuilder(partsOf(authority));
    builder.tbs();
    assert.throws(() => builder.tbs());
    assert.throws(() => builder.add(entry('01')));
  });

  const reasons = (Object.keys(REASON_CODES) as Reason[]).filter(
    (name) => !['unspecified', 'removeFromCRL'].includes(name),
  );
  const second = fc.integer({ min: 0, max: 4_000_000_000 }).map((seconds) => seconds * 1000);
  const anyEntry = fc.record({
    serial: fc
      .uint8Array({ minLength: 1, maxLength: 19 })
      .map((octets) => serialFromHex(Buffer.from(octets).toString('hex'))),
    revokedAt: second,
    reason: fc.constantFrom(undefined, ...reasons),
  });

  it('writes what another library reads, re-encodes to the same octets, and our own reader reads alike', () => {
    const list = fc.array(anyEntry, { maxLength: 60 });
    const policy = fc.constantFrom('omit' as const, 'revocation-date' as const);
    const number = fc.bigInt({ min: 0n, max: MAX_CRL_NUMBER });
    fc.assert(
      fc.property(list, policy, number, second, second, (entries, invalidityDate, crlNumber, thisUpdate, nextUpdate) => {
        const parts = partsOf(authority, { invalidityDate, number: crlNumber, thisUpdate, nextUpdate });
        const builder = new CrlBuilder(parts);
        for (const one of entries) builder.add(one);
        const der = assembleCrl(builder.tbs(), parts.algorithm, Buffer.alloc(70, 1));
        const theirs = AsnConvert.parse(der, CertificateList);
        assert.deepEqual(Buffer.from(AsnConvert.serialize(theirs)), der);
        assert.deepEqual(
          (theirs.tbsCertList.revokedCertificates ?? []).map((one) => [Buffer.from(one.userCertificate).toString('hex'), one.revocationDate.getTime().getTime()]),
          entries.map((one) => [one.serial, one.revokedAt]),
        );
        const view = readCrl(der);
        assert.deepEqual(view.deviations, []);
        assert.deepEqual([view.number, view.thisUpdate, view.nextUpdate, view.version], [crlNumber, thisUpdate, nextUpdate, 2]);
        assert.deepEqual(
          [...view.entries()].map((one) => [one.serial, one.revocationDate, one.reason, one.invalidityDate, one.otherExtensions.length, one.deviations.length]),
          entries.map((one) => [one.serial, one.revokedAt, one.reason, invalidityDate === 'omit' ? undefined : one.revokedAt, 0, 0]),
        );
      }),
      { seed: SEED, numRuns: 150 },
    );
  }); // prettier-ignore

  it('fills its chunks to the last octet and not beyond', () => {
    // Entries of 20 octets behind a first one of any length: the end of a chunk falls on every octet of an entry.
    for (let octets = 1; octets <= 20; octets++) {
      const entries = [
        entry(`7f${'01'.repeat(octets - 1)}`),
        ...Array.from({ length: 500 }, (_, i) => entry(i % 2 ? '05' : '06')),
      ];
      assert.deepEqual(
        [...readCrl(build(entries)).entries()].map(({ serial }) => serial),
        entries.map(({ serial }) => serial),
      );
    }
  });

  it('writes 100,000 entries over many chunks: openssl verifies and counts them', () => {
    const entries: ListedEntry[] = [];
    for (let i = 0; i < 100_000; i++)
      entries.push(entry(`7f${i.toString(16).padStart(30, '0')}`, NOW - i * 1000, reasons[i % 8]));
    const der = build(entries);
    authority.write('big.crl', der);
    authority.openssl('crl', '-inform', 'DER', '-in', 'big.crl', '-CAfile', 'ca.pem', '-out', 'big.pem');
    assert.deepEqual(Buffer.from(crlFromFile(authority.read('big.pem'))), der);
    let count = 0;
    for (const one of readCrl(der).entries()) {
      if (one.serial !== entries[count]?.serial || one.reason !== entries[count]?.reason) assert.fail(`entry ${count}`);
      count++;
    }
    assert.equal(count, 100_000);
  });
});

describe('readCrl', () => {
  const der = build([entry('01', NOW - 5000, 'superseded'), entry('02')], { invalidityDate: 'revocation-date' });

  it('hands out the octets that were signed, the algorithms and the issuer', () => {
    const view = readCrl(der);
    assert.ok(verify('sha256', view.tbs, authority.ca.key, view.signatureValue));
    assert.deepEqual(Buffer.from(view.issuer), authority.ca.subject);
    assert.deepEqual(Buffer.from(view.keyIdentifier ?? []), authority.ca.keyHash);
    assert.deepEqual(view.signature, view.signatureAlgorithm);
  });

  it('reads what `openssl ca` writes: v2 with reasons and invalidity dates, and v1', () => {
    authority.write('index.txt', Buffer.from(
      'R\t351231235959Z\t260101000000Z,superseded\t02\tunknown\t/CN=b\n' +
      'R\t351231235959Z\t260102000000Z,keyTime,20251231000000Z\tFF01\tunknown\t/CN=c\n' +
      'R\t351231235959Z\t260103000000Z\t03\tunknown\t/CN=d\n')); // prettier-ignore
    authority.write('index.txt.attr', Buffer.from(''));
    authority.write('crlnumber', Buffer.from('1234\n'));
    const config =
      '[ca]\ndefault_ca=d\n[d]\ndatabase=index.txt\ndefault_md=sha256\ncertificate=ca.pem\nprivate_key=ca.key\n';
    authority.write('v2.cnf', Buffer.from(`${config}crlnumber=crlnumber\ncrl_extensions=x\n[x]\nauthorityKeyIdentifier=keyid\nissuingDistributionPoint=critical,@i\n[i]\nfullname=URI:http://crl.example/1.crl\nonlyuser=TRUE\n`)); // prettier-ignore
    authority.write('v1.cnf', Buffer.from(config));
    authority.openssl('ca', '-config', 'v2.cnf', '-gencrl', '-crldays', '7', '-out', 'v2.pem');
    const v2 = readCrl(crlFromFile(authority.read('v2.pem')));
    assert.equal(v2.version, 2);
    assert.equal(v2.number, 0x1234n);
    assert.deepEqual(
      v2.crlExtensions.map((one) => one.critical),
      [false, true, false],
    );
    assert.deepEqual(
      [...v2.entries()].map((one) => [one.serial, one.revocationDate, one.reason, one.invalidityDate]),
      [
        ['02' as Serial, Date.UTC(2026, 0, 1), 'superseded', undefined],
        ['03' as Serial, Date.UTC(2026, 0, 3), undefined, undefined],
        ['00ff01' as Serial, Date.UTC(2026, 0, 2), 'keyCompromise', Date.UTC(2025, 11, 31)],
      ],
    );
    authority.write('index.txt', Buffer.from('R\t351231235959Z\t260103000000Z\t03\tunknown\t/CN=d\n'));
    authority.openssl('ca', '-config', 'v1.cnf', '-gencrl', '-crldays', '7', '-out', 'v1.pem');
    const v1 = readCrl(crlFromFile(authority.read('v1.pem')));
    assert.equal(v1.version, 1);
    assert.equal(v1.number, undefined);
    assert.deepEqual(
      [...v1.entries()].map((one) => one.serial),
      ['03'],
    );
  });

  for (const [name, octets, message] of [
    ['nothing', Buffer.alloc(0), /truncated at octet 0/],
    ['octets behind', Buffer.concat([der, Buffer.of(0)]), /octets after the CRL at octet/],
    ['half a CRL', der.subarray(0, 100), /truncated at octet 0/],
    [
      'version v3',
      Buffer.from(der.toString('hex').replace('020101300a', '020102300a'), 'hex'),
      /neither v1 \(absent\) nor v2/,
    ],
  ] as const) {
    it(`refuses ${name}, naming the octet`, () => {
      assert.throws(() => readCrl(octets), (error) => error instanceof Problem && error.code === 'corrupt' && message.test(error.message)); // prettier-ignore
    });
  }

  it('refuses an entry that is none, at the entry', () => {
    const text = der.toString('hex');
    const broken = Buffer.from(text.replace('020102170d', '030102170d'), 'hex');
    const entries = readCrl(broken).entries();
    assert.equal(entries.next().value?.serial, '01');
    assert.throws(() => entries.next(), (error) => error instanceof Problem && error.field === 'userCertificate'); // prettier-ignore
  });

  it('refuses files that hold no CRL, or two', () => {
    const pem = `-----BEGIN X509 CRL-----\n${der.toString('base64')}\n-----END X509 CRL-----\n`;
    assert.deepEqual(crlFromFile(Buffer.from(`some words\n${pem}`)), der);
    for (const bad of ['', 'hello', '-----BEGIN X509 CRL-----', pem + pem, pem.replace(/M/, '*')]) {
      assert.throws(() => crlFromFile(Buffer.from(bad)), Problem);
    }
    assert.throws(() => readCrl({ length: MAX_CRL_OCTETS + 1 } as Uint8Array), (error) => error instanceof Problem && error.code === 'too-large'); // prettier-ignore
  });

  it('throws nothing but Problems on 30,000 mutated CRLs, and reads entries as the other library does', () => {
    let read = 0;
    let compared = 0;
    fc.sample(mutated([der, build([]), build([entry('0a', NOW, 'keyCompromise')])]), { seed: SEED, numRuns: 30_000 }).forEach((octets) => {
      let serials: string[];
      let tbs: Uint8Array;
      try {
        const view = readCrl(octets);
        tbs = view.tbs;
        serials = [...view.entries()].map((one) => Buffer.from(one.serialOctets).toString('hex'));
      } catch (error) {
        assert.ok(error instanceof Problem && error.code === 'corrupt', String(error));
        return;
      }
      if (++read % 10 !== 0) return;
      let theirs: CertificateList;
      try {
        theirs = AsnConvert.parse(octets, CertificateList);
      } catch {
        return; // Names, algorithms and extension values are opaque here: what is in them is not for this reader to judge.
      }
      if (!Buffer.from(AsnConvert.serialize(theirs)).equals(octets)) return; // it read past an inner end
      compared++;
      assert.deepEqual((theirs.tbsCertList.revokedCertificates ?? []).map((one) => Buffer.from(one.userCertificate).toString('hex')), serials, octets.toString('hex'));
      assert.ok(octets.includes(Buffer.from(tbs)));
    });
    assert.ok(compared > 200, `only ${compared} of ${read} compared`);
  }); // prettier-ignore
});
