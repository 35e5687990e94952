import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { CRL_RULES, lintCrl } from '../../src/core/lint/lint.ts';
import { compareCrl } from '../../src/core/lint/oracle.ts';
import type { CrlContext } from '../../src/core/lint/rule.ts';
import { assembleCrl, CrlBuilder } from '../../src/core/crl/crl.ts';
import { crlFromFile, readCrl } from '../../src/core/crl/crl-reader.ts';
import { readIssuingDistributionPoint } from '../../src/core/crl/idp.ts';
import { extension, tlv } from '../../src/core/der/writer.ts';
import { OID } from '../../src/core/der/oid.ts';
import { Problem } from '../../src/core/problem.ts';
import { serialFromHex } from '../../src/core/serial.ts';
import { loadIssuer } from '../../src/core/issuer.ts';
import { algorithmFor } from '../../src/core/signature-algorithm.ts';
import { DAY } from '../../src/core/time.ts';
import { makeAuthority, signWith } from './ocsp-authority.ts';

const authority = makeAuthority('rsa');
const other = makeAuthority('ec');
after(() => {
  authority.remove();
  other.remove();
});

const NOW = Math.floor(Date.now() / 1000) * 1000;
const CONTEXT: CrlContext = {
  authorities: ['rfc', 'cabf-tls', 'mozilla', 'microsoft', 'cybertrust'],
  issuer: { name: authority.ca.subject, keyIdentifier: authority.ca.keyHash },
  nowMs: NOW,
  subject: 'subscriber',
  maxValidityMs: 7 * DAY,
  previous: { number: 6n, thisUpdate: NOW - DAY, nextUpdate: NOW + 6 * DAY },
  expected: { number: 7n, entries: 2 },
};
/** For CRLs with an issuingDistributionPoint, which Cybertrust's profile does not know. */
const SHARDED: CrlContext = { ...CONTEXT, authorities: ['rfc', 'cabf-tls', 'ccadb'] };

const hex = (text: string): Buffer => Buffer.from(text.replace(/ /g, ''), 'hex');
const text = (value: string): Buffer => Buffer.from(value, 'latin1');
const digits = (ms: number): string => `${new Date(ms).toISOString().slice(0, 19).replace(/[-T:]/g, '')}Z`;
const utc = (ms: number): Buffer => tlv(0x17, text(digits(ms).slice(2)));
const generalized = (ms: number): Buffer => tlv(0x18, text(digits(ms)));
const RSA_SHA256 = hex('300d06092a864886f70d01010b0500');

/** A good CRL, piece by piece and by other code than CrlBuilder's; a test replaces one piece. */
interface Pieces {
  version?: Buffer;
  inner?: Buffer;
  outer?: Buffer;
  issuer?: Buffer;
  thisUpdate?: Buffer;
  nextUpdate?: Buffer;
  revoked?: Buffer;
  aki?: Buffer;
  number?: Buffer;
  more?: readonly Buffer[];
  signature?: Buffer;
}

const REASON = extension(OID.reasonCode, false, hex('0a0104'));
const entry = (serial: string, ...extensions: Buffer[]): Buffer =>
  tlv(0x30, tlv(0x02, hex(serial)), utc(NOW - DAY), ...(extensions.length === 0 ? [] : [tlv(0x30, ...extensions)]));
const revoked = (...entries: Buffer[]): Buffer => tlv(0x30, ...entries);
/** The second of the two entries, altered. */
const second = (altered: Buffer): Pieces => ({ revoked: revoked(entry('01', REASON), altered) });
const AKI = extension(OID.authorityKeyIdentifier, false, tlv(0x30, tlv(0x80, authority.ca.keyHash)));
const idp = (...fields: Buffer[]): Pieces => ({
  more: [extension(OID.issuingDistributionPoint, true, tlv(0x30, ...fields))],
});
const POINT = tlv(0xa0, tlv(0xa0, tlv(0x86, text('http://crl.example/1.crl'))));
const TRUE = hex('ff');
const SHARD = idp(POINT, tlv(0x81, TRUE));
const pointOf = (...uris: string[]): Buffer => tlv(0xa0, tlv(0xa0, ...uris.map((uri) => tlv(0x86, text(uri)))));
const access = (method: Buffer): Buffer =>
  extension(
    OID.authorityInfoAccess,
    false,
    tlv(0x30, tlv(0x30, tlv(0x06, method), tlv(0x86, text('http://ca.example/ca.cer')))),
  );
const CA = loadIssuer([authority.ca.der], 'ca');
const EC_CA = loadIssuer([other.ca.der], 'ca');

function pieced(pieces: Pieces = {}): Buffer {
  const tbs = tlv(
    0x30,
    pieces.version ?? hex('020101'),
    pieces.inner ?? RSA_SHA256,
    pieces.issuer ?? authority.ca.subject,
    pieces.thisUpdate ?? utc(NOW),
    pieces.nextUpdate ?? utc(NOW + 7 * DAY - 1000),
    pieces.revoked ?? revoked(entry('01', REASON), entry('02')),
    tlv(
      0xa0,
      tlv(
        0x30,
        pieces.aki ?? AKI,
        pieces.number ?? extension(OID.cRLNumber, false, hex('020107')),
        ...(pieces.more ?? []),
      ),
    ),
  );
  return tlv(
    0x30,
    tbs,
    pieces.outer ?? pieces.inner ?? RSA_SHA256,
    tlv(0x03, hex('00'), pieces.signature ?? signWith(authority.ca, tbs)),
  );
}

const rulesOf = (der: Uint8Array, context: CrlContext = CONTEXT): string[] =>
  lintCrl(der, context).map(({ rule }) => rule);

describe('lintCrl finds nothing wrong with', () => {
  for (const invalidityDate of ['omit', 'revocation-date'] as const) {
    it(`our own CRL, invalidityDate: ${invalidityDate}`, () => {
      const algorithm = algorithmFor(authority.ca.key, 'key');
      const builder = new CrlBuilder({
        issuerName: authority.ca.subject,
        authorityKeyIdentifier: authority.ca.keyHash,
        algorithm,
        thisUpdate: NOW,
        nextUpdate: NOW + 7 * DAY - 1000,
        number: 7n,
        invalidityDate,
      });
      builder.add({
        serial: serialFromHex('01'),
        revokedAt: NOW - DAY,
        reason: 'superseded',
      });
      builder.add({
        serial: serialFromHex('ff'),
        revokedAt: NOW,
        reason: undefined,
      });
      const tbs = builder.tbs();
      const der = assembleCrl(tbs, algorithm, signWith(authority.ca, tbs));
      assert.deepEqual(compareCrl(readCrl(der)), []);
      const findings = lintCrl(der, CONTEXT);
      if (invalidityDate === 'omit') assert.deepEqual(findings, []);
      else assert.deepEqual(findings.map(({ rule, severity }) => [rule, severity]), [['C-24', 'notice'], ['C-24', 'notice']]); // prettier-ignore
    });
  }
  it('the same CRL written by other code', () => assert.deepEqual(lintCrl(pieced(), CONTEXT), []));
  it('an empty CRL', () => {
    assert.deepEqual(
      lintCrl(pieced({ revoked: Buffer.alloc(0) }), { ...CONTEXT, expected: { number: 7n, entries: 0 } }),
      [],
    );
  });
  it('a shard with its distribution point, under its URL', () =>
    assert.deepEqual(lintCrl(pieced(SHARD), { ...SHARDED, url: 'http://crl.example/1.crl', form: 'der' }), []));
  it('the signature of the CA, and what is served in time', () => {
    const served = { ...CONTEXT, ca: CA, servedAt: NOW + 7 * DAY - 1000 };
    assert.deepEqual(lintCrl(pieced(), served), []);
    assert.deepEqual(lintCrl(pieced(), { ...served, servedAt: NOW + 4 * DAY, withoutOcsp: true }), []);
  });
  it('extensions that are discouraged, but as they should be', () => {
    const good = [
      access(OID.caIssuers),
      extension(OID.freshestCRL, false, tlv(0x30, tlv(0x30, POINT))),
      extension(OID.expiredCertsOnCRL, false, generalized(NOW)),
    ];
    for (const one of good)
      assert.deepEqual(rulesOf(pieced({ more: [one] }), { ...SHARDED, authorities: ['rfc'] }), []);
    const delta = { more: [extension(OID.deltaCRLIndicator, true, hex('020106'))] };
    assert.deepEqual(rulesOf(pieced(delta), { authorities: ['rfc'] }), ['T-36']);
  });
  it('certificateHold under S/MIME rules, and an invalidityDate as Code Signing has it', () => {
    const held = second(entry('02', extension(OID.reasonCode, false, hex('0a0106'))));
    assert.deepEqual(rulesOf(pieced(held), { authorities: ['cabf-smime'] }), []);
    const dated = second(entry('02', extension(OID.invalidityDate, false, generalized(NOW - DAY))));
    assert.deepEqual(rulesOf(pieced(dated), { authorities: ['cabf-cs'] }), []);
  });
  it('a CRL of CA certificates for 12 months, reasons given', () => {
    const der = pieced({
      ...second(entry('02', extension(OID.reasonCode, false, hex('0a0102')))),
      nextUpdate: utc(NOW + 365 * DAY - 1000),
    });
    assert.deepEqual(lintCrl(der, { subject: 'ca' }), []);
  });
  it('times from 2050 on as GeneralizedTime', () => {
    const from = Date.UTC(2050, 0, 1);
    const der = pieced({ thisUpdate: generalized(from), nextUpdate: generalized(from + DAY) });
    assert.deepEqual(lintCrl(der), []);
  });
});

/** One defect each, named after it; and the rules that must say so, all of them. */
const DEFECTS: readonly (readonly [string, readonly string[], Pieces, CrlContext?])[] = [
  ['v1', ['C-01'], { version: Buffer.alloc(0) }],
  ['no nextUpdate', ['C-02'], { nextUpdate: Buffer.alloc(0) }],
  ['nextUpdate before thisUpdate', ['C-02', 'C-08'], { nextUpdate: utc(NOW - DAY) }],
  ['thisUpdate in the future', ['C-02'], { thisUpdate: utc(NOW + 60_000) }],
  ['no cRLNumber', ['C-03'], { number: Buffer.alloc(0) }],
  ['critical cRLNumber', ['C-03', '5280-5.2'], { number: extension(OID.cRLNumber, true, hex('020107')) }],
  ['cRLNumber that is no INTEGER', ['C-03'], { number: extension(OID.cRLNumber, false, hex('0a0107')) }],
  ['negative cRLNumber', ['C-03', 'C-10'], { number: extension(OID.cRLNumber, false, hex('0201ff')) }],
  ['cRLNumber of 2^159', ['C-03'], { number: extension(OID.cRLNumber, false, tlv(0x02, hex(`0080${'00'.repeat(19)}`))) }],
  ['cRLNumber other than reserved', ['C-03'], { number: extension(OID.cRLNumber, false, hex('020108')) }],
  ['no authorityKeyIdentifier', ['C-04'], { aki: Buffer.alloc(0) }],
  ['authorityKeyIdentifier of another key', ['C-04'], { aki: extension(OID.authorityKeyIdentifier, false, tlv(0x30, tlv(0x80, Buffer.alloc(20)))) }],
  ['critical authorityKeyIdentifier', ['C-04', '5280-5.2'], { aki: extension(OID.authorityKeyIdentifier, true, tlv(0x30, tlv(0x80, authority.ca.keyHash))) }],
  ['authorityKeyIdentifier with issuer and serial', ['B-27'], { aki: extension(OID.authorityKeyIdentifier, false, tlv(0x30, tlv(0x80, authority.ca.keyHash), tlv(0xa1), tlv(0x82, hex('01')))) }],
  ['algorithms that differ', ['C-05', 'B-35'], { outer: hex('300b06092a864886f70d01010b') }],
  ['empty issuer', ['C-06'], { issuer: hex('3000') }],
  ['issuer in another string type', ['C-06'], { issuer: Buffer.from(authority.ca.subject.toString('latin1').replace('\x13\x02JP', '\x0c\x02JP'), 'latin1') }],
  ['GeneralizedTime before 2050 in thisUpdate', ['C-07'], { thisUpdate: generalized(NOW) }],
  ['GeneralizedTime before 2050 in nextUpdate', ['C-07'], { nextUpdate: generalized(NOW + 7 * DAY - 1000) }],
  ['GeneralizedTime before 2050 in revocationDate', ['C-07'], second(tlv(0x30, hex('020102'), generalized(NOW - DAY)))],
  ['UTCTime without seconds', ['C-07'], { thisUpdate: tlv(0x17, text('2611200800Z')) }],
  ['revocationDate without seconds', ['C-07'], second(tlv(0x30, hex('020102'), tlv(0x17, text('2611200800Z'))))],
  ['nextUpdate earlier than before', ['C-08'], { nextUpdate: utc(NOW + 5 * DAY) }],
  ['empty revokedCertificates', ['C-09', 'P5'], { revoked: hex('3000') }],
  ['cRLNumber used before', ['C-03', 'C-10'], { number: extension(OID.cRLNumber, false, hex('020106')) }],
  ['thisUpdate earlier than before', ['C-10', 'T-32', 'T-32', 'B-24', 'profile-validity', 'CT-4.9.7-c'], { thisUpdate: utc(NOW - 5 * DAY) }],
  ['deltaCRLIndicator not critical', ['C-12', 'T-36', 'B-27-other'], { more: [extension(OID.deltaCRLIndicator, false, hex('020101'))] }, SHARDED],
  ['critical freshestCRL', ['C-15', '5280-5.2', 'B-27-other'], { more: [extension(OID.freshestCRL, true, hex('3000'))] }, SHARDED],
  ['freshestCRL in a delta', ['C-15', 'T-36', 'B-27-other'], { more: [extension(OID.deltaCRLIndicator, true, hex('020101')), extension(OID.freshestCRL, false, hex('3000'))] }, SHARDED],
  ['issuingDistributionPoint not critical', ['C-16'], { more: [extension(OID.issuingDistributionPoint, false, tlv(0x30, POINT, tlv(0x81, TRUE)))] }, SHARDED],
  ['empty issuingDistributionPoint', ['C-16', 'B-32', 'X-03'], idp(), SHARDED],
  ['issuingDistributionPoint that cannot be read', ['C-16'], { more: [extension(OID.issuingDistributionPoint, true, hex('0500'))] }, SHARDED],
  ['onlyContainsUserCerts and onlyContainsCACerts', ['C-19'], idp(POINT, tlv(0x81, TRUE), tlv(0x82, TRUE)), SHARDED],
  ['indirectCRL', ['C-20', 'B-32', 'X-03'], idp(POINT, tlv(0x84, TRUE)), SHARDED],
  ['onlyContainsAttributeCerts', ['B-32', 'X-03'], idp(POINT, tlv(0x85, TRUE)), SHARDED],
  ['a shard without distributionPoint', ['B-32'], idp(tlv(0x81, TRUE)), SHARDED],
  ['a shard at an https URI', ['B-32'], idp(tlv(0xa0, tlv(0xa0, tlv(0x86, text('https://crl.example/1.crl')))), tlv(0x81, TRUE)), SHARDED],
  ['a shard named by a directory name', ['B-32'], idp(tlv(0xa0, tlv(0xa0, tlv(0xa4, hex('3000')))), tlv(0x81, TRUE)), SHARDED],
  ['a shard named relative to its issuer', ['B-32'], idp(tlv(0xa0, tlv(0xa1)), tlv(0x81, TRUE)), SHARDED],
  ['a shard without any name', ['B-32'], idp(tlv(0xa0, tlv(0xa0)), tlv(0x81, TRUE)), SHARDED],
  ['onlySomeReasons', ['C-21', '5280-5.2.5', 'X-03'], idp(POINT, tlv(0x83, hex('0640'))), SHARDED],
  ['onlySomeReasons with trailing zero bits', ['C-21', 'C-31', '5280-5.2.5', 'X-03'], idp(POINT, tlv(0x83, hex('0040'))), SHARDED],
  ['onlyContainsUserCerts FALSE written out', ['C-31', 'X-03'], idp(POINT, tlv(0x81, hex('00'))), SHARDED],
  ['onlyContainsUserCerts TRUE as 01', ['C-31'], idp(POINT, tlv(0x81, hex('01'))), SHARDED],
  ['critical reasonCode', ['C-23'], second(entry('02', extension(OID.reasonCode, true, hex('0a0104'))))],
  ['reasonCode unspecified', ['C-23', 'B-30', 'CT-B-CRL'], second(entry('02', extension(OID.reasonCode, false, hex('0a0100'))))],
  ['reasonCode 7', ['C-23', 'B-30', 'CT-B-CRL'], second(entry('02', extension(OID.reasonCode, false, hex('0a0107'))))],
  ['removeFromCRL in a full CRL', ['C-23', 'B-30', 'CT-B-CRL'], second(entry('02', extension(OID.reasonCode, false, hex('0a0108'))))],
  ...[2, 6, 10].map((reason) => [`reasonCode ${reason}`, ['B-30', 'CT-B-CRL'], second(entry('02', extension(OID.reasonCode, false, tlv(0x0a, Buffer.of(reason)))))] as const),
  ['invalidityDate', ['C-24'], second(entry('02', extension(OID.invalidityDate, false, generalized(NOW - DAY))))],
  ['invalidityDate other than revocationDate', ['C-24', 'CT-B-CRL'], second(entry('02', extension(OID.invalidityDate, false, generalized(NOW - 2 * DAY))))],
  ['critical invalidityDate', ['C-24', 'C-25'], second(entry('02', extension(OID.invalidityDate, true, generalized(NOW - DAY))))],
  ['invalidityDate with fraction', ['C-24', 'C-25', 'CT-B-CRL'], second(entry('02', extension(OID.invalidityDate, false, tlv(0x18, text('20261120080000.5Z')))))],
  ['certificateIssuer in a direct CRL', ['C-24', 'C-26', 'CT-B-CRL'], second(entry('02', extension(OID.certificateIssuer, true, hex('3000'))))],
  ['certificateIssuer not critical', ['C-24', 'C-26', 'CT-B-CRL'], second(entry('02', extension(OID.certificateIssuer, false, hex('3000'))))],
  ['unknown critical entry extension', ['C-24', '5280-5.2', 'CT-B-CRL'], second(entry('02', extension(hex('2a0304'), true, hex('0500'))))],
  ['critical authorityInfoAccess', ['C-27', '5280-5.2', 'B-27-other'], { more: [extension(OID.authorityInfoAccess, true, hex('3000'))] }, SHARDED],
  ['authorityInfoAccess', ['B-27-other', 'CT-B-CRL'], { more: [access(OID.caIssuers)] }],
  ['empty authorityInfoAccess', ['C-27', 'B-27-other'], { more: [extension(OID.authorityInfoAccess, false, hex('3000'))] }, SHARDED],
  ['authorityInfoAccess with an OCSP URL', ['C-27', 'B-27-other'], { more: [access(hex('2b06010505073001'))] }, SHARDED],
  ['authorityCertIssuer without its serial', ['C-04', 'B-27'], { aki: extension(OID.authorityKeyIdentifier, false, tlv(0x30, tlv(0x80, authority.ca.keyHash), tlv(0xa1))) }],
  ['BaseCRLNumber over cRLNumber', ['C-12', 'T-36', 'B-27-other'], { more: [extension(OID.deltaCRLIndicator, true, hex('020108'))] }, SHARDED],
  ['deltaCRLIndicator that is no INTEGER', ['C-12', 'T-36', 'B-27-other'], { more: [extension(OID.deltaCRLIndicator, true, hex('0a0106'))] }, SHARDED],
  ['freshestCRL with reasons', ['C-15', 'B-27-other'], { more: [extension(OID.freshestCRL, false, tlv(0x30, tlv(0x30, POINT, tlv(0x81, hex('0640')))))] }, SHARDED],
  ['freshestCRL that names nothing', ['C-15', 'B-27-other'], { more: [extension(OID.freshestCRL, false, hex('3000'))] }, SHARDED],
  ['a shard under the URL of another', ['P-11'], SHARD, { ...SHARDED, url: 'http://crl.example/2.crl' }],
  ['a shard under its URL in capitals', ['P-11'], SHARD, { ...SHARDED, url: 'http://CRL.example/1.crl' }],
  ['a URI with a blank', ['C-17'], idp(pointOf('http://crl.example/a b.crl'), tlv(0x81, TRUE)), SHARDED],
  ['a URI that is no ASCII', ['C-17'], idp(pointOf('http://crl.example/\xe9.crl'), tlv(0x81, TRUE)), SHARDED],
  ['two URIs', ['T-37'], idp(pointOf('http://crl.example/1.crl', 'http://crl.example/one.crl'), tlv(0x81, TRUE)), SHARDED],
  ['a shard of CA certificates for subscriber certificates', ['X-03'], idp(POINT, tlv(0x82, TRUE)), SHARDED],
  ['PEM under a URL', ['C-29'], {}, { ...CONTEXT, url: 'http://crl.example/ca.crl', form: 'pem' }],
  ['critical expiredCertsOnCRL', ['C-34', '5280-5.2', 'B-27-other'], { more: [extension(OID.expiredCertsOnCRL, true, generalized(NOW))] }, SHARDED],
  ['expiredCertsOnCRL as UTCTime', ['C-34', 'B-27-other'], { more: [extension(OID.expiredCertsOnCRL, false, utc(NOW))] }, SHARDED],
  ['revoked in 1970', ['e_crl_revocation_date_too_early'], second(tlv(0x30, hex('020102'), utc(0)))],
  ['certificateHold of a CA certificate', ['SM-03'], second(entry('02', extension(OID.reasonCode, false, hex('0a0106')))), { authorities: ['cabf-smime'], subject: 'ca' }],
  ['a CA certificate without reason (S/MIME)', ['SM-03'], {}, { authorities: ['cabf-smime'], subject: 'ca' }],
  ['invalidityDate other than revocationDate (code signing)', ['CS-05'], second(entry('02', extension(OID.invalidityDate, false, generalized(NOW - 2 * DAY)))), { authorities: ['cabf-cs'] }],
  ['a signature by another key', ['5280-5.1.1.3'], { signature: Buffer.alloc(256, 1) }, { ...CONTEXT, ca: CA }],
  ['a CA without cRLSign', ['C-30'], {}, { ...CONTEXT, ca: { ...CA, keyUsage: { crlSign: false, digitalSignature: true } } }],
  ['an algorithm of another kind of key', ['5280-5.1.1.3', 'B-35'], {}, { ...CONTEXT, ca: EC_CA }],
  ['a hash that is not that of the curve', ['5280-5.1.1.3', 'B-35', 'CT-B-CRL'], { inner: hex('300a06082a8648ce3d040303') }, { ...CONTEXT, ca: EC_CA }],
  ['served after nextUpdate', ['P-12', 'B-13'], {}, { ...CONTEXT, servedAt: NOW + 7 * DAY + 1000 }],
  ['served 4 days after thisUpdate, without OCSP', ['B-13'], {}, { ...CONTEXT, servedAt: NOW + 4 * DAY + 1000, withoutOcsp: true }],
  ['negative serial', ['C-28'], second(entry('80'))],
  ['serial of 21 octets', ['C-28'], second(entry('01'.repeat(21)))],
  ['serial zero', ['C-28'], { revoked: revoked(entry('00'), entry('01')) }],
  ['critical FALSE written out in an entry', ['C-31'], second(entry('02', tlv(0x30, tlv(0x06, OID.reasonCode), hex('010100'), tlv(0x04, hex('0a0104')))))],
  ['empty crlEntryExtensions', ['C-31'], second(tlv(0x30, hex('020102'), utc(NOW - DAY), hex('3000')))],
  ['reasonCode twice', ['C-31', 'C-24', 'CT-B-CRL'], second(entry('02', REASON, REASON))],
  ['extension twice', ['C-31'], { more: [AKI] }],
  ['revocationDate after thisUpdate', ['T-32'], second(tlv(0x30, hex('020102'), utc(NOW + 1000)))],
  ['serial listed twice', ['e_crl_unique_revoked_certificate'], { revoked: revoked(entry('01'), entry('01')) }],
  ['an entry too few', ['P5'], { revoked: revoked(entry('01')) }],
  ['10 days and a second', ['B-24', 'CT-4.9.7-c', 'profile-validity'], { nextUpdate: utc(NOW + 10 * DAY) }],
  ['7 days and a second', ['profile-validity'], { nextUpdate: utc(NOW + 7 * DAY) }],
  ['a year and a second for CA certificates', ['B-24', 'B-30'], { nextUpdate: utc(NOW + 365 * DAY) }, { subject: 'ca' }],
  ['SHA-1 signature', ['B-35', 'CT-B-CRL'], { inner: hex('300d06092a864886f70d0101050500') }],
  ['ECDSA where the profile says RSA', ['CT-B-CRL'], { inner: hex('300a06082a8648ce3d040302') }],
  ['a shard where the profile says full', ['CT-B-CRL'], idp(POINT, tlv(0x81, TRUE))],
]; // prettier-ignore

describe('lintCrl names the defect', () => {
  for (const [name, rules, pieces, context] of DEFECTS) {
    it(name, () => assert.deepEqual(rulesOf(pieced(pieces), context).sort(), [...rules].sort()));
  }

  it('a CRL of 10 MB without OCSP (P-17), and shows five entries of a defect in all', () => {
    const list = Buffer.concat(Array.from({ length: 220_000 }, (_, i) => entry((i + 0x010000).toString(16).padStart(32, '01'), extension(OID.reasonCode, false, hex('0a0106')))));
    const findings = lintCrl(pieced({ revoked: tlv(0x30, list) }), { authorities: ['cabf-tls', 'microsoft'] });
    assert.deepEqual(findings.map(({ rule }) => rule), ['P-17', ...Array<string>(6).fill('B-30')]);
    assert.match(findings.at(-1)?.message ?? '', /219995 more entries/);
  }); // prettier-ignore

  it('octets that are no CRL, or whose entries end in the middle', () => {
    assert.deepEqual(rulesOf(Buffer.from('hello')), ['X.690 §10']);
    assert.deepEqual(rulesOf(pieced({ revoked: revoked(entry('01'), hex('0500')) }), {}), ['X.690 §10']);
  });

  it('the same serial twice in no order, and none when they differ', () => {
    assert.deepEqual(rulesOf(pieced({ revoked: revoked(entry('03'), entry('02'), entry('03')) }), {}), [
      'e_crl_unique_revoked_certificate',
    ]);
    assert.deepEqual(rulesOf(pieced({ revoked: revoked(entry('03'), entry('02')) }), {}), []);
  });

  it('with every rule there is', () => {
    const tested = new Set([...DEFECTS.flatMap(([, rules]) => rules), 'P-17']);
    assert.deepEqual(
      CRL_RULES.map(({ id }) => id).filter((id) => !tested.has(id)),
      [],
    );
  });
});

describe('other CAs', () => {
  it('openssl ca: a shard with reasons and times is read, and only the non-profile parts are named', () => {
    authority.write('index.txt', Buffer.from('R\t351231235959Z\t260101000000Z,superseded\t02\tunknown\t/CN=b\nR\t351231235959Z\t260102000000Z,keyTime,20251231000000Z\tFF01\tunknown\t/CN=c\n'));
    authority.write('index.txt.attr', Buffer.from(''));
    authority.write('crlnumber', Buffer.from('1234\n'));
    authority.write('ca.cnf', Buffer.from('[ca]\ndefault_ca=d\n[d]\ndatabase=index.txt\ndefault_md=sha256\ncertificate=ca.pem\nprivate_key=ca.key\ncrlnumber=crlnumber\ncrl_extensions=x\n[x]\nauthorityKeyIdentifier=keyid\nissuingDistributionPoint=critical,@i\n[i]\nfullname=URI:http://crl.example/1.crl\nonlyuser=TRUE\n'));
    authority.openssl('ca', '-config', 'ca.cnf', '-gencrl', '-crldays', '7', '-out', 'shard.pem');
    const der = crlFromFile(authority.read('shard.pem'));
    assert.deepEqual(rulesOf(der, { subject: 'subscriber' }), ['C-24']);
    assert.deepEqual(compareCrl(readCrl(der)), []);
    const value = readCrl(der).crlExtensions.find(({ critical }) => critical)?.value;
    const point = readIssuingDistributionPoint(value ?? Buffer.alloc(0));
    assert.deepEqual([point.uris, point.onlyContainsUserCerts, point.deviations], [['http://crl.example/1.crl'], true, []]);
  }); // prettier-ignore

  it('readIssuingDistributionPoint throws nothing but Problems', () => {
    const good = tlv(0x30, POINT, tlv(0x81, TRUE));
    for (let at = 0; at < good.length; at++) {
      for (let value = 0; value < 256; value++) {
        const octets = Buffer.from(good);
        octets[at] = value;
        try {
          readIssuingDistributionPoint(octets);
        } catch (error) {
          assert.ok(error instanceof Problem);
        }
      }
    }
  });
});

describe('compareCrl', () => {
  it('agrees on every defect that both can read', () => {
    let compared = 0;
    for (const [name, , pieces] of DEFECTS) {
      // Not DER, so it re-encodes otherwise; and without nextUpdate the library loses the entries that follow.
      if (/seconds|fraction|written out|as 01|empty|no nextUpdate/.test(name)) continue;
      assert.deepEqual(compareCrl(readCrl(pieced(pieces))), [], name);
      compared++;
    }
    assert.ok(compared > 40);
  });
  it('reads more than 1,400 entries, where the library stops by default, and reports a changed field', () => {
    const list = Array.from({ length: 3000 }, (_, i) => entry((i + 0x010000).toString(16).padStart(6, '0'), REASON));
    const view = readCrl(pieced({ revoked: revoked(...list) }));
    assert.deepEqual(compareCrl(view), []);
    assert.deepEqual(compareCrl({ ...view, thisUpdate: 0 }).length, 1);
    assert.deepEqual(compareCrl({ ...view, entries: () => readCrl(pieced()).entries() }).length > 1, true);
  });
});
