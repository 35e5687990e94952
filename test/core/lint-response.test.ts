import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { X509Certificate } from 'node:crypto';
import { lintResponse, RESPONSE_RULES } from '../../src/core/lint/lint.ts';
import { compareResponse } from '../../src/core/lint/oracle.ts';
import type { ResponseContext } from '../../src/core/lint/rule.ts';
import type { StatusAnswer } from '../../src/core/ocsp/response.ts';
import { ERROR_RESPONSES, ResponseTemplate } from '../../src/core/ocsp/response.ts';
import { decodeResponse } from '../../src/core/ocsp/response-reader.ts';
import { extension, tlv } from '../../src/core/der/writer.ts';
import { OID } from '../../src/core/der/oid.ts';
import { loadIssuer } from '../../src/core/issuer.ts';
import { serialFromHex } from '../../src/core/serial.ts';
import { DAY, HOUR } from '../../src/core/time.ts';
import { makeAuthority, signWith } from './ocsp-authority.ts';

const authority = makeAuthority();
const stranger = makeAuthority();
after(() => {
  authority.remove();
  stranger.remove();
});

const SERIAL = serialFromHex('7f00a1b2c3');
const NOW = Math.floor(Date.now() / 1000) * 1000;
const GOOD: StatusAnswer = { revocation: undefined, thisUpdate: NOW, nextUpdate: NOW + 4 * DAY - 1000 };
const REVOKED: StatusAnswer = { ...GOOD, revocation: { revokedAt: NOW - DAY, reason: 'superseded' } };
const certificate = new X509Certificate(authority.responder.der);
const CONTEXT: ResponseContext = {
  authorities: ['rfc', 'cabf-tls', 'mozilla', 'microsoft', 'cybertrust'],
  issuer: authority.hashes,
  responder: {
    keyHash: authority.responder.keyHash,
    certificate: authority.responder.der,
    notBefore: Date.parse(certificate.validFrom),
    notAfter: Date.parse(certificate.validTo),
  },
  nowMs: NOW,
  subject: 'subscriber',
  validity: { minMs: 8 * HOUR, maxMs: 7 * DAY },
};

const hex = (text: string): Buffer => Buffer.from(text.replace(/ /g, ''), 'hex');
const time = (text: string): Buffer => tlv(0x18, Buffer.from(text, 'latin1'));
const at = (ms: number): Buffer => time(`${new Date(ms).toISOString().slice(0, 19).replace(/[-T:]/g, '')}Z`);

/** A good response, piece by piece and by other code than the template's; a test replaces one piece. */
interface Pieces {
  version?: Buffer;
  responderID?: Buffer;
  producedAt?: Buffer;
  hashAlgorithm?: Buffer;
  nameHash?: Buffer;
  keyHash?: Buffer;
  serial?: Buffer;
  certStatus?: Buffer;
  thisUpdate?: Buffer;
  nextUpdate?: Buffer;
  singleExtensions?: Buffer;
  responses?: (single: Buffer) => Buffer;
  responseExtensions?: Buffer;
  algorithm?: Buffer;
  certs?: Buffer;
}

function pieced(pieces: Pieces = {}): Buffer {
  const none = Buffer.alloc(0);
  const certId = tlv(
    0x30,
    pieces.hashAlgorithm ?? hex('300906052b0e03021a0500'),
    tlv(0x04, pieces.nameHash ?? authority.hashes.sha1.name),
    tlv(0x04, pieces.keyHash ?? authority.hashes.sha1.key),
    pieces.serial ?? hex('0205 7f00a1b2c3'),
  );
  const single = tlv(
    0x30,
    certId,
    pieces.certStatus ?? hex('8000'),
    pieces.thisUpdate ?? at(GOOD.thisUpdate),
    pieces.nextUpdate ?? tlv(0xa0, at(GOOD.nextUpdate)),
    pieces.singleExtensions ?? none,
  );
  const tbs = tlv(
    0x30,
    pieces.version ?? none,
    pieces.responderID ?? tlv(0xa2, tlv(0x04, authority.responder.keyHash)),
    pieces.producedAt ?? at(GOOD.thisUpdate),
    tlv(0x30, (pieces.responses ?? ((one) => one))(single)),
    pieces.responseExtensions ?? none,
  );
  const basic = tlv(
    0x30,
    tbs,
    pieces.algorithm ?? hex('300a06082a8648ce3d040302'),
    tlv(0x03, hex('00'), signWith(authority.responder, tbs)),
    pieces.certs ?? tlv(0xa0, tlv(0x30, authority.responder.der)),
  );
  return tlv(0x30, hex('0a0100'), tlv(0xa0, tlv(0x30, tlv(0x06, OID.ocspBasic), tlv(0x04, basic))));
}

const singleExtensions = (...extensions: Buffer[]): Buffer => tlv(0xa1, tlv(0x30, ...extensions));
const responseExtensions = singleExtensions;
const revokedInfo = (reason: number): Buffer => tlv(0xa1, at(NOW - DAY), tlv(0xa0, tlv(0x0a, Buffer.of(reason))));
const fraction = time('20261120080000.5Z');
const rulesOf = (der: Buffer, context = CONTEXT): string[] => lintResponse(der, context).map(({ rule }) => rule);

describe('lintResponse finds nothing wrong with', () => {
  for (const hash of ['sha1', 'sha256'] as const) {
    for (const [name, answer, nonce] of [
      ['good', GOOD, undefined],
      ['revoked', REVOKED, undefined],
      ['revoked without reason', { ...GOOD, revocation: { revokedAt: NOW - DAY, reason: undefined } }, undefined],
      ['good with nonce', GOOD, Buffer.alloc(32, 3)],
    ] as const) {
      it(`our own answer: ${name}, ${hash}`, () => {
        const signature = signWith(authority.responder, authority.template.tbs(hash, SERIAL, answer, nonce));
        const der = authority.template.assemble(hash, SERIAL, answer, signature, nonce);
        const expected = { hash, serial: SERIAL, answer, ...(nonce === undefined ? {} : { nonce }) };
        assert.deepEqual(lintResponse(der, { ...CONTEXT, expected }), []);
        assert.deepEqual(lintResponse(der), []);
        assert.deepEqual(compareResponse(decodeResponse(der)), []);
      });
    }
  }
  it('an answer that the CA signed itself', () => {
    const der = authority.direct.assemble(
      'sha1',
      SERIAL,
      GOOD,
      signWith(authority.ca, authority.direct.tbs('sha1', SERIAL, GOOD)),
    );
    const responder = { keyHash: authority.ca.keyHash, certificate: undefined, notBefore: 0, notAfter: NOW + 30 * DAY };
    assert.deepEqual(lintResponse(der, { ...CONTEXT, responder }), []);
  });
  it('the same answer written by other code', () => assert.deepEqual(lintResponse(pieced(), CONTEXT), []));
  it('an error response', () =>
    assert.deepEqual(
      Object.values(ERROR_RESPONSES).flatMap((der) => lintResponse(der)),
      [],
    ));
  it('an answer of exactly 7 days, 10 days and 8 hours, both ends counted (T-01)', () => {
    const valid = (ms: number): Buffer => pieced({ nextUpdate: tlv(0xa0, at(NOW + ms - 1000)) });
    const long = { ...CONTEXT, authorities: ['cabf-tls', 'cybertrust'] as const };
    assert.deepEqual(rulesOf(valid(7 * DAY)), []);
    assert.deepEqual(rulesOf(valid(8 * HOUR)), []);
    assert.deepEqual(rulesOf(valid(10 * DAY), long), []);
  });
});

/** One defect each, named after it; and the rules that must say so, all of them. */
const DEFECTS: readonly (readonly [string, readonly string[], Pieces])[] = [
  ['version written out', ['O-04'], { version: hex('a003020100') }],
  ['no SingleResponse', ['O-05'], { responses: () => Buffer.alloc(0) }],
  ['byKey of another key', ['O-06'], { responderID: tlv(0xa2, tlv(0x04, Buffer.alloc(20))) }],
  ['byKey with SHA-256', ['O-06'], { responderID: tlv(0xa2, tlv(0x04, Buffer.alloc(32))) }],
  ['empty certs', ['O-09', 'L-09'], { certs: tlv(0xa0, tlv(0x30)) }],
  ['thisUpdate after producedAt', ['O-11'], { thisUpdate: at(NOW + 1000) }],
  ['nextUpdate before thisUpdate', ['O-11', 'B-19', 'CT-4.9.10-b', 'P-16', 'profile-validity'], { nextUpdate: tlv(0xa0, at(NOW - 2000)) }],
  ['producedAt in the future', ['O-11'], { producedAt: at(NOW + HOUR) }],
  ['fraction in producedAt', ['O-13', 'L-14'], { producedAt: fraction }],
  ['fraction in thisUpdate', ['O-13', 'L-14'], { thisUpdate: fraction }],
  ['fraction in nextUpdate', ['O-13', 'L-14'], { nextUpdate: tlv(0xa0, fraction) }],
  ['no seconds in revocationTime', ['O-13'], { certStatus: tlv(0xa1, time('202611200800Z')) }],
  ['critical extended-revoke', ['O-15', 'O-16', 'L-07', 'T-14'], { responseExtensions: responseExtensions(extension(OID.extendedRevoke, true, hex('0500'))) }],
  ['extended-revoke', ['O-15', 'L-07'], { responseExtensions: responseExtensions(extension(OID.extendedRevoke, false, hex('0500'))) }],
  ['extended-revoke in singleExtensions', ['O-16'], { singleExtensions: singleExtensions(extension(OID.extendedRevoke, false, hex('0500'))) }],
  ['name hash of another issuer', ['O-20'], { nameHash: Buffer.alloc(20) }],
  ['key hash of another issuer', ['O-20'], { keyHash: Buffer.alloc(20) }],
  ['SHA-256 hashes under SHA-1', ['O-20'], { nameHash: authority.hashes.sha256.name, keyHash: authority.hashes.sha256.key }],
  ['archive-cutoff with fraction', ['O-23'], { singleExtensions: singleExtensions(extension(OID.archiveCutoff, false, fraction)) }],
  ['hash without NULL', ['T-10'], { hashAlgorithm: hex('300706052b0e03021a') }],
  ['negative serial', ['C-28'], { serial: hex('020180') }],
  ['serial of 21 octets', ['C-28'], { serial: tlv(0x02, Buffer.alloc(21, 1)) }],
  ['critical FALSE written out', ['C-31'], { responseExtensions: responseExtensions(tlv(0x30, tlv(0x06, OID.nonce), hex('010100'), tlv(0x04, hex('04020102')))) }],
  ['critical TRUE as 01', ['C-31', 'T-14'], { responseExtensions: responseExtensions(tlv(0x30, tlv(0x06, OID.nonce), hex('010101'), tlv(0x04, hex('04020102')))) }],
  ['empty responseExtensions', ['T-14'], { responseExtensions: responseExtensions() }],
  ['empty singleExtensions', ['T-14'], { singleExtensions: singleExtensions() }],
  ['extension twice', ['T-14'], { responseExtensions: responseExtensions(...Array<Buffer>(2).fill(extension(OID.nonce, false, hex('04020102')))) }],
  ['critical single extension', ['T-14'], { singleExtensions: singleExtensions(extension(OID.crlReference, true, hex('3000'))) }],
  ['nonce without OCTET STRING', ['N-06'], { responseExtensions: responseExtensions(extension(OID.nonce, false, hex('0102'))) }],
  ['nonce of 129 octets', ['N-06'], { responseExtensions: responseExtensions(extension(OID.nonce, false, tlv(0x04, Buffer.alloc(129)))) }],
  ['two SingleResponses', ['L-06'], { responses: (one) => Buffer.concat([one, one]) }],
  ['unknown response extension', ['L-07'], { responseExtensions: responseExtensions(extension(hex('2a0304'), false, hex('0500'))) }],
  ["certs without the delegate's", ['L-09'], { certs: tlv(0xa0, tlv(0x30, authority.ca.der)) }],
  ['certs with the CA behind', ['T-16'], { certs: tlv(0xa0, tlv(0x30, authority.responder.der, authority.ca.der)) }],
  ['byName', ['L-11'], { responderID: tlv(0xa1, authority.responder.subject) }],
  ['byName of another', ['O-06', 'L-11'], { responderID: tlv(0xa1, authority.ca.subject) }],
  ['revoked after thisUpdate', ['T-32'], { certStatus: tlv(0xa1, at(NOW + 1000)) }],
  ['a crl reference that is no CrlID', ['O-22'], { singleExtensions: singleExtensions(extension(OID.crlReference, false, tlv(0x30, tlv(0x86, Buffer.from('http://x.example'))))) }],
  ['CertID by SHA-384', ['T-09'], { hashAlgorithm: hex('300d06096086480165030402020500'), nameHash: Buffer.alloc(48), keyHash: Buffer.alloc(48) }],
  ['no nextUpdate', ['L-13'], { nextUpdate: Buffer.alloc(0) }],
  ['5000 octets', ['T-16', 'T-48'], { certs: tlv(0xa0, tlv(0x30, authority.responder.der, tlv(0x30, Buffer.alloc(5000)))) }],
  ['10 days and a second', ['B-19', 'CT-4.9.10-b', 'P-16', 'profile-validity'], { nextUpdate: tlv(0xa0, at(NOW + 10 * DAY)) }],
  ['7 days and a second', ['P-16', 'profile-validity'], { nextUpdate: tlv(0xa0, at(NOW + 7 * DAY)) }],
  ['8 hours less a second', ['B-19', 'CT-4.9.10-b', 'P-16', 'profile-validity'], { nextUpdate: tlv(0xa0, at(NOW + 8 * HOUR - 2000)) }],
  ...[0, 2, 6, 7, 8, 10].map((reason) => [`revocationReason ${reason}`, ['B-33', 'CT-7.3-b'], { certStatus: revokedInfo(reason) }] as const),
  ['reasonCode in singleExtensions', ['B-34'], { singleExtensions: singleExtensions(extension(OID.reasonCode, false, hex('0a0101'))) }],
  ['SHA-1 signature', ['B-35'], { algorithm: hex('300d06092a864886f70d0101050500') }],
  ['RSA without NULL', ['B-35'], { algorithm: hex('300b06092a864886f70d01010b') }],
  ['ECDSA with NULL', ['B-35'], { algorithm: hex('300c06082a8648ce3d0403020500') }],
]; // prettier-ignore

describe('lintResponse names the defect', () => {
  for (const [name, rules, pieces] of DEFECTS) {
    it(name, () => assert.deepEqual(rulesOf(pieced(pieces)).sort(), [...rules].sort()));
  }

  it('not what was meant: status, reason, times, certificate (P6, O-05)', () => {
    const der = pieced();
    const meant = (answer: StatusAnswer, serial = SERIAL, hash: 'sha1' | 'sha256' = 'sha1'): string[] =>
      rulesOf(der, { ...CONTEXT, expected: { hash, serial, answer } });
    assert.deepEqual(meant(GOOD), []);
    assert.deepEqual(meant(REVOKED), ['P6']);
    assert.deepEqual(meant({ ...GOOD, thisUpdate: NOW - 1000 }), ['P6']);
    assert.deepEqual(meant({ ...GOOD, nextUpdate: NOW }), ['P6']);
    assert.deepEqual(meant({ ...GOOD, producedAt: NOW + 1000 }), ['P6']);
    assert.deepEqual(meant(GOOD, serialFromHex('01')), ['O-05']);
    assert.deepEqual(meant(GOOD, SERIAL, 'sha256'), ['O-05']);
    const revoked = pieced({ certStatus: revokedInfo(4) });
    const said = (revocation: StatusAnswer['revocation']): string[] =>
      rulesOf(revoked, { ...CONTEXT, expected: { hash: 'sha1', serial: SERIAL, answer: { ...GOOD, revocation } } });
    assert.deepEqual(said({ revokedAt: NOW - DAY, reason: 'superseded' }), []);
    assert.deepEqual(said({ revokedAt: NOW - DAY, reason: 'keyCompromise' }), ['P6']);
    assert.deepEqual(said({ revokedAt: NOW - DAY, reason: undefined }), ['P6']);
    assert.deepEqual(said({ revokedAt: NOW, reason: 'superseded' }), ['P6']);
    assert.deepEqual(said(undefined), ['P6']);
  });

  it('another nonce, none, or one that nobody asked for (N-06)', () => {
    const expected = { hash: 'sha1' as const, serial: SERIAL, answer: GOOD };
    const nonced = pieced({
      responseExtensions: responseExtensions(extension(OID.nonce, false, tlv(0x04, Buffer.alloc(16, 1)))),
    });
    assert.deepEqual(rulesOf(nonced, { ...CONTEXT, expected: { ...expected, nonce: Buffer.alloc(16, 1) } }), []);
    assert.deepEqual(rulesOf(nonced, { ...CONTEXT, expected: { ...expected, nonce: Buffer.alloc(16, 2) } }), ['N-06']);
    assert.deepEqual(rulesOf(nonced, { ...CONTEXT, expected }), ['N-06']);
    assert.deepEqual(rulesOf(pieced(), { ...CONTEXT, expected: { ...expected, nonce: Buffer.alloc(16, 1) } }), [
      'N-06',
    ]);
  });

  it('a responder certificate that ends before nextUpdate, known or found in certs (R-10)', () => {
    const { responder } = CONTEXT;
    assert.ok(responder);
    assert.deepEqual(rulesOf(pieced(), { ...CONTEXT, responder: { ...responder, notAfter: GOOD.nextUpdate - 1000 } }), [
      'R-10',
    ]);
    assert.deepEqual(rulesOf(pieced(), { ...CONTEXT, responder: { ...responder, notAfter: GOOD.nextUpdate } }), []);
    const beyond = pieced({ nextUpdate: tlv(0xa0, at(Date.parse(certificate.validTo) + 1000)) });
    assert.deepEqual(rulesOf(beyond, { authorities: ['rfc'] }), ['R-10']);
    assert.deepEqual(rulesOf(pieced(), { ...CONTEXT, responder: { ...responder, notBefore: NOW + 1000 } }), [
      'R-11',
      'T-03',
    ]);
  });

  it('a CA certificate revoked without reason, and a year and a second (B-33, B-19)', () => {
    const bare = pieced({ certStatus: tlv(0xa1, at(NOW - DAY)) });
    const context: ResponseContext = { authorities: ['cabf-tls'], subject: 'ca' };
    assert.deepEqual(rulesOf(bare), []);
    assert.deepEqual(rulesOf(bare, context), ['B-33']);
    // cACompromise, as on the CRL (B-30); Cybertrust's documents do not list it.
    const caCompromise = pieced({ certStatus: revokedInfo(2) });
    assert.deepEqual(rulesOf(caCompromise, context), []);
    assert.deepEqual(rulesOf(caCompromise, { authorities: ['cabf-tls'] }), ['B-33']);
    assert.deepEqual(rulesOf(caCompromise, { authorities: ['cybertrust'], subject: 'ca' }), ['CT-7.3-b']);
    assert.deepEqual(rulesOf(pieced({ nextUpdate: tlv(0xa0, at(NOW + 365 * DAY - 1000)) }), context), []);
    assert.deepEqual(rulesOf(pieced({ nextUpdate: tlv(0xa0, at(NOW + 365 * DAY)) }), context), ['B-19']);
  });

  it('a certificate where the CA signed itself (T-16)', () => {
    const responder = {
      keyHash: authority.responder.keyHash,
      certificate: undefined,
      notBefore: 0,
      notAfter: NOW + 30 * DAY,
    };
    assert.deepEqual(rulesOf(pieced(), { ...CONTEXT, responder }), ['T-16']);
  });

  it('a crl reference as it should be', () => {
    const reference = tlv(
      0x30,
      tlv(0xa0, tlv(0x16, Buffer.from('http://x.example/c.crl'))),
      tlv(0xa1, hex('020107')),
      tlv(0xa2, at(NOW)),
    );
    assert.deepEqual(
      rulesOf(pieced({ singleExtensions: singleExtensions(extension(OID.crlReference, false, reference)) })),
      [],
    );
  });

  it('who signed, when the CA is known (O-07)', () => {
    const ca = loadIssuer([authority.ca.der], 'ca');
    assert.deepEqual(rulesOf(pieced(), { ...CONTEXT, ca }), []);
    assert.deepEqual(rulesOf(pieced({ certs: Buffer.alloc(0) }), { ca }), ['O-07']);
    assert.deepEqual(rulesOf(pieced({ certs: tlv(0xa0, tlv(0x30, authority.ca.der)) }), { ca }), ['O-07']);
    assert.deepEqual(rulesOf(pieced(), { ca: loadIssuer([stranger.ca.der], 'ca') }), ['O-07']);
    // Keys for which node:crypto throws at ecdsa-with-SHA256: they signed nothing, and the next one did.
    const odd = ['ed25519', 'x25519'].map((kind) => {
      authority.openssl('genpkey', '-algorithm', kind, '-out', `${kind}.key`);
      authority.openssl('pkey', '-in', `${kind}.key`, '-pubout', '-out', `${kind}.pub`);
      const args = ['-in', 'responder.csr', '-force_pubkey', `${kind}.pub`, '-CA', 'ca.pem', '-CAkey', 'ca.key'];
      authority.openssl('x509', '-req', ...args, '-set_serial', '0x1002', '-outform', 'DER', '-out', `${kind}.der`);
      return authority.read(`${kind}.der`);
    });
    const behind = tlv(0xa0, tlv(0x30, ...odd, authority.responder.der));
    assert.deepEqual(rulesOf(pieced({ certs: behind }), { ca }), ['T-16']);
    assert.deepEqual(rulesOf(pieced({ certs: tlv(0xa0, tlv(0x30, ...odd)) }), { ca }), ['T-16', 'O-07']);
    const signed = authority.direct.assemble(
      'sha1',
      SERIAL,
      GOOD,
      signWith(authority.ca, authority.direct.tbs('sha1', SERIAL, GOOD)),
    );
    assert.deepEqual(rulesOf(signed, { ca }), []);
    assert.deepEqual(rulesOf(signed, { ca: { ...ca, keyUsage: { crlSign: true, digitalSignature: false } } }), [
      'O-07',
    ]);
    assert.deepEqual(rulesOf(pieced(), { ca, servedAt: Date.parse(certificate.validTo) + 1000 }), [
      'O-07',
      'O-31',
      'B-19-served',
    ]);
  });

  it('what is served too old, or too early (O-31, B-19, P-16)', () => {
    const served = (servedAt: number, v: number): string[] =>
      rulesOf(pieced({ nextUpdate: tlv(0xa0, at(NOW + v - 1000)) }), {
        authorities: ['rfc', 'cabf-tls', 'microsoft'],
        servedAt,
      });
    assert.deepEqual(served(NOW + 2 * DAY, 4 * DAY), []);
    assert.deepEqual(served(NOW + 2 * DAY + 1000, 4 * DAY), ['P-16-served']);
    assert.deepEqual(served(NOW + 3.5 * DAY, 7 * DAY), []);
    assert.deepEqual(served(NOW + 4 * DAY + 1000, 7 * DAY), ['B-19-served', 'P-16-served']);
    assert.deepEqual(served(NOW + 5 * HOUR, 10 * HOUR), ['P-16-served']);
    assert.deepEqual(served(NOW + 5 * HOUR + 1000, 10 * HOUR), ['B-19-served', 'P-16-served']);
    assert.deepEqual(served(NOW + 4 * DAY, 4 * DAY), ['O-31', 'B-19-served', 'P-16-served']);
    assert.deepEqual(served(NOW - 1000, 4 * DAY), ['O-31']);
  });

  it('what S/MIME and Code Signing have of their own (SM-05, CS-03)', () => {
    const smime = (certStatus: Buffer, subject: 'ca' | 'subscriber' = 'subscriber'): string[] =>
      rulesOf(pieced({ certStatus }), { authorities: ['cabf-smime'], subject });
    assert.deepEqual(smime(revokedInfo(6)), []);
    assert.deepEqual(smime(revokedInfo(0)), ['SM-05']);
    assert.deepEqual(smime(tlv(0xa1, at(NOW - DAY)), 'ca'), ['SM-05']);
    const lasting = (ms: number): string[] =>
      rulesOf(pieced({ nextUpdate: tlv(0xa0, at(NOW + ms - 1000)) }), { authorities: ['cabf-cs'] });
    assert.deepEqual([lasting(10 * DAY), lasting(10 * DAY + 1000)], [[], ['CS-03']]);
  });

  it('octets that are no response, with the rule that the decoder gives', () => {
    assert.deepEqual(rulesOf(Buffer.from('30030a0104', 'hex')), ['O-03']);
    assert.deepEqual(rulesOf(Buffer.concat([pieced(), Buffer.of(0)])), ['T-56']);
    assert.deepEqual(
      lintResponse(Buffer.from('<html>')).map(({ severity }) => severity),
      ['error'],
    );
  });

  it('with every rule there is', () => {
    const tested = new Set([
      ...DEFECTS.flatMap(([, rules]) => rules),
      'P6',
      'R-10',
      'R-11',
      'O-07',
      'T-03',
      'O-31',
      'B-19-served',
      'P-16-served',
      'SM-05',
      'CS-03',
    ]);
    assert.deepEqual(
      RESPONSE_RULES.map(({ id }) => id).filter((id) => !tested.has(id)),
      [],
    );
  });
});

describe('compareResponse', () => {
  it('agrees on what openssl and other code wrote, and on every defect that both can read', () => {
    for (const [name, , pieces] of DEFECTS) {
      if (/fraction|seconds|written out|as 01|empty|5000|no SingleResponse|without OCTET/.test(name)) continue;
      assert.deepEqual(compareResponse(decodeResponse(pieced(pieces))), [], name);
    }
  });
  it('reports each field that a decoder would see differently', () => {
    const decoded = decodeResponse(pieced({ certStatus: revokedInfo(1) }));
    const { basic } = decoded;
    assert.ok(basic);
    const [single] = basic.responses;
    assert.ok(single);
    const altered = (change: object): string[] => compareResponse({ ...decoded, basic: { ...basic, ...change } }).map((text) => text.split(':')[0] ?? ''); // prettier-ignore
    assert.deepEqual(altered({ producedAt: 0 }), ['producedAt']);
    assert.deepEqual(altered({ signature: Buffer.alloc(3) }), ['signature']);
    assert.deepEqual(altered({ certs: [] }), ['certs']);
    assert.deepEqual(altered({ responses: [] }), ['responses']);
    for (const [field, value] of Object.entries({
      thisUpdate: 0,
      nextUpdate: 0,
      revocationTime: 0,
      revocationReason: 3,
      certStatus: 'good',
      issuerKeyHash: Buffer.alloc(20),
    })) {
      assert.deepEqual(altered({ responses: [{ ...single, [field]: value }] }), [`responses[0].${field}`]);
    }
    assert.deepEqual(compareResponse({ ...decoded, status: 'tryLater' }).length, 1);
  });
});

describe('a template for another issuer', () => {
  it('is caught by the issuer that the context names (O-20)', () => {
    const other = new ResponseTemplate({
      issuer: { sha1: { name: Buffer.alloc(20), key: Buffer.alloc(20) }, sha256: authority.hashes.sha256 },
      responderKeyHash: authority.responder.keyHash,
      responderCertificate: authority.responder.der,
      algorithm: authority.template.algorithm,
    });
    assert.deepEqual(rulesOf(other.assemble('sha1', SERIAL, GOOD, Buffer.alloc(70))), ['O-20']);
    assert.deepEqual(rulesOf(other.assemble('sha256', SERIAL, GOOD, Buffer.alloc(70))), []);
  });
});
