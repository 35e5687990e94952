import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import fc from 'fast-check';
import { AsnConvert, OctetString } from '@peculiar/asn1-schema';
import { AlgorithmIdentifier, Extension } from '@peculiar/asn1-x509';
import { CertID, OCSPRequest, Request, TBSRequest } from '@peculiar/asn1-ocsp';
import {
  issuerKey,
  MALFORMED_REASONS,
  MAX_CERT_IDS,
  MAX_EXTENSIONS,
  parseRequest,
  type MalformedReason,
} from '../../src/core/ocsp/request.ts';
import { extension, tlv } from '../../src/core/der/writer.ts';
import { OID } from '../../src/core/der/oid.ts';
import { makeAuthority } from './ocsp-authority.ts';
import { mutated, NSS_EXTENSIONS, opensslRequest, ROOT_CA2_REQUESTS } from './ocsp-request-shapes.ts';

const SEED = 9_919_2026;
const authority = makeAuthority();
after(() => authority.remove());

const hex = (text: string): Buffer => Buffer.from(text.replace(/ /g, ''), 'hex');
const NULL = hex('0500');
const SHA1 = tlv(0x30, tlv(0x06, OID.sha1), NULL);
const NAME = Buffer.alloc(20, 0x11);
const KEY = Buffer.alloc(20, 0x22);

/** The pieces of a good request; a test replaces one. */
function request(change: {
  version?: Buffer;
  requestorName?: Buffer;
  algorithm?: Buffer;
  name?: Buffer;
  key?: Buffer;
  serial?: Buffer;
  single?: Buffer;
  list?: Buffer;
  extensions?: Buffer;
  signature?: Buffer;
}): Buffer {
  const none = Buffer.alloc(0);
  const certId = tlv(
    0x30,
    change.algorithm ?? SHA1,
    tlv(0x04, change.name ?? NAME),
    tlv(0x04, change.key ?? KEY),
    change.serial ?? hex('02 01 05'),
  );
  const list = change.list ?? tlv(0x30, tlv(0x30, certId, change.single ?? none));
  const tbs = tlv(0x30, change.version ?? none, change.requestorName ?? none, list, change.extensions ?? none);
  return tlv(0x30, tbs, change.signature ?? none);
}

const requestExtensions = (...extensions: Buffer[]): Buffer => tlv(0xa2, tlv(0x30, ...extensions));
const nonceOf = (octets: number): Buffer => extension(OID.nonce, false, tlv(0x04, Buffer.alloc(octets, 7)));

function good(der: Uint8Array) {
  const parsed = parseRequest(der);
  assert.equal(parsed.kind, 'request', JSON.stringify(parsed));
  return parsed as Extract<typeof parsed, { kind: 'request' }>;
}

function refused(der: Uint8Array, reason: MalformedReason): void {
  assert.deepEqual(parseRequest(der), { kind: 'malformed', reason });
}

describe('parseRequest reads what real software sends', () => {
  it('the requests for the CAs under SECOM RootCA2', () => {
    for (const [text, serial] of ROOT_CA2_REQUESTS) {
      const parsed = good(Buffer.from(text, 'base64'));
      assert.equal(parsed.certIds.length, 1);
      assert.equal(parsed.certIds[0]?.hash, 'sha1');
      assert.equal(parsed.certIds[0]?.serial, serial);
      assert.equal(
        Buffer.from(parsed.certIds[0]?.issuerKey ?? '', 'latin1').toString('hex'),
        'f20ef3e3718f19d130d9cc7a2dc303161cb29cd0' + '0a85a9776505987c4081f80f972c38f10aec3ccf',
      );
      assert.equal(parsed.nonce, undefined);
      assert.equal(parsed.signed, false);
    }
  });

  it('openssl, SHA-1 and SHA-256, with and without nonce', () => {
    for (const [option, hash] of [
      ['-sha1', 'sha1'],
      ['-sha256', 'sha256'],
    ] as const) {
      const bare = good(opensslRequest(authority.dir, option, '-no_nonce', '-serial', '0x80ff01'));
      assert.deepEqual(bare.certIds, [
        { hash, issuerKey: issuerKey(authority.hashes[hash].name, authority.hashes[hash].key), serial: '0080ff01' },
      ]);
      const nonced = good(opensslRequest(authority.dir, option, '-nonce', '-serial', '0x01'));
      assert.equal(nonced.nonceLength, 16);
      assert.equal(nonced.nonce?.length, 16);
    }
  });

  it('openssl with another hash: a CertID that is not served (T-09)', () => {
    const parsed = good(opensslRequest(authority.dir, '-sha512', '-no_nonce', '-serial', '0x01'));
    assert.equal(parsed.certIds[0]?.hash, undefined);
  });

  it('openssl signed, with its requestorName and certificates (O-21, L-04)', () => {
    const parsed = good(
      opensslRequest(authority.dir, '-serial', '0x01', '-signer', 'responder.pem', '-signkey', 'responder.key'),
    );
    assert.equal(parsed.signed, true);
  });

  it('openssl asking for two certificates', () => {
    const parsed = good(opensslRequest(authority.dir, '-no_nonce', '-serial', '0x01', '-serial', '0x02'));
    assert.deepEqual(
      parsed.certIds.map((certId) => certId.serial),
      ['01', '02'],
    );
  });

  it('NSS, which says which response types it understands', () => {
    const parsed = good(request({ extensions: NSS_EXTENSIONS }));
    assert.equal(parsed.criticalUnknown, false);
  });

  it('the crt.sh monitor, whose serials put `//` and `+` into the path', () => {
    for (const serial of ['03fffc', '03fefc']) {
      const zero = Buffer.alloc(20);
      assert.equal(good(request({ name: zero, key: zero, serial: tlv(0x02, hex(serial)) })).certIds[0]?.serial, serial);
    }
  });

  it('the shape of RFC 9919 App. B: 99 octets, SHA-256, NULL parameters, a short serial', () => {
    const der = request({
      algorithm: tlv(0x30, tlv(0x06, OID.sha256), NULL),
      name: Buffer.alloc(32, 1),
      key: Buffer.alloc(32, 2),
      serial: hex('02 04 01 02 03 04'),
    });
    assert.equal(good(der).certIds[0]?.hash, 'sha256');
  });
});

describe('parseRequest accepts what is harmless', () => {
  it('absent hash parameters (T-10)', () => {
    const without = good(request({ algorithm: tlv(0x30, tlv(0x06, OID.sha1)) }));
    assert.deepEqual(without.certIds, good(request({})).certIds);
  });
  it('version v1 written out', () => assert.ok(good(request({ version: hex('a0 03 02 01 00') }))));
  it('requestorName in an unsigned request (L-04)', () => {
    const name = tlv(0xa1, tlv(0xa4, tlv(0x30)));
    assert.equal(good(request({ requestorName: name })).signed, false);
  });
  it('unknown extensions that are not critical (O-19, L-05)', () => {
    const unknown = extension(hex('2a0304'), false, hex('0500'));
    const parsed = good(
      request({ single: tlv(0xa0, tlv(0x30, unknown)), extensions: requestExtensions(unknown, nonceOf(32)) }),
    );
    assert.equal(parsed.criticalUnknown, false);
    assert.equal(parsed.nonceLength, 32);
  });
  it('unknown critical extensions, and says so (O-19)', () => {
    const unknown = extension(hex('2a0304'), true, hex('0500'));
    assert.equal(good(request({ extensions: requestExtensions(unknown) })).criticalUnknown, true);
    assert.equal(good(request({ single: tlv(0xa0, tlv(0x30, unknown)) })).criticalUnknown, true);
  });
  it('a critical nonce or response-type list, which are understood', () => {
    for (const oid of [OID.nonce, OID.acceptableResponses, OID.preferredSignatureAlgorithms, OID.serviceLocator]) {
      const critical = extension(oid, true, tlv(0x04, Buffer.alloc(32)));
      assert.equal(good(request({ extensions: requestExtensions(critical) })).criticalUnknown, false);
    }
  });
  for (const octets of [1, 15, 16, 31, 32, 33, 127, 128]) {
    it(`a nonce of ${octets} octets (N-03, N-04)`, () => {
      const parsed = good(request({ extensions: requestExtensions(nonceOf(octets)) }));
      assert.deepEqual(Buffer.from(parsed.nonce ?? []), Buffer.alloc(octets, 7));
    });
  }
  it('serials up to 20 octets, the leading 00 included (T-12)', () => {
    for (const content of ['00', '7f', '0080', '01'.repeat(20), '00ff' + '00'.repeat(18)]) {
      assert.equal(good(request({ serial: tlv(0x02, hex(content)) })).certIds[0]?.serial, content);
    }
  });
  it('a Uint8Array that is part of a larger buffer', () => {
    const der = request({});
    const page = new Uint8Array(500);
    page.set(der, 123);
    assert.deepEqual(good(page.subarray(123, 123 + der.length)).certIds, good(der).certIds);
  });
});

describe('parseRequest refuses', () => {
  const one = request({}).subarray(4);
  const entry = tlv(0x30, tlv(0x30, SHA1, tlv(0x04, NAME), tlv(0x04, KEY), hex('020105')));
  const cases: readonly (readonly [string, MalformedReason, Buffer])[] = [
    ['nothing', 'empty', Buffer.alloc(0)],
    ['8193 octets', 'too-large', Buffer.alloc(8193, 0x30)],
    ['text', 'encoding', Buffer.from('GET / HTTP/1.1')],
    ['octets after the request (T-56)', 'trailing-octets', Buffer.concat([request({}), hex('00')])],
    ['octets after the CertID', 'trailing-octets', request({ single: hex('0500') })],
    ['octets after requestExtensions', 'trailing-octets', request({ extensions: Buffer.concat([requestExtensions(nonceOf(32)), NULL]) })],
    ['octets after the signature', 'trailing-octets', request({ signature: hex('a0 02 30 00 05 00') })],
    ['an indefinite length', 'encoding', Buffer.concat([hex('3080'), one, hex('0000')])],
    ['a long length for a short request', 'encoding', Buffer.concat([hex('3081'), request({}).subarray(1)])],
    ['version v2', 'version', request({ version: hex('a0 03 02 01 01') })],
    ['an empty requestList', 'no-certificate', request({ list: hex('3000') })],
    ['hash parameters that are not NULL', 'hash-parameters', request({ algorithm: tlv(0x30, tlv(0x06, OID.sha1), hex('3000')) })],
    ['a NULL with content', 'hash-parameters', request({ algorithm: tlv(0x30, tlv(0x06, OID.sha1), hex('050100')) })],
    ['parameters twice', 'trailing-octets', request({ algorithm: tlv(0x30, tlv(0x06, OID.sha1), NULL, NULL) })],
    ['a name hash that is no SHA-1', 'hash-length', request({ name: Buffer.alloc(32) })],
    ['a key hash that is no SHA-1', 'hash-length', request({ key: Buffer.alloc(19) })],
    ['an empty serial', 'serial', request({ serial: hex('0200') })],
    ['a negative serial', 'serial', request({ serial: hex('020180') })],
    ['a serial that is not minimal', 'serial', request({ serial: hex('0202007f') })],
    ['a serial of 21 octets', 'serial', request({ serial: tlv(0x02, Buffer.alloc(21, 1)) })],
    ['a nonce of 0 octets (N-05)', 'nonce', request({ extensions: requestExtensions(nonceOf(0)) })],
    ['a nonce of 129 octets (N-05)', 'nonce', request({ extensions: requestExtensions(nonceOf(129)) })],
    ['a nonce without its OCTET STRING (N-01)', 'nonce', request({ extensions: requestExtensions(extension(OID.nonce, false, Buffer.alloc(32))) })],
    ['octets after the nonce', 'nonce', request({ extensions: requestExtensions(extension(OID.nonce, false, hex('04010700'))) })],
    ['an extension twice', 'extension', request({ extensions: requestExtensions(nonceOf(16), nonceOf(32)) })],
    ['an empty extension list', 'extension', request({ extensions: requestExtensions() })],
    ['an extension that is none', 'extension', request({ extensions: requestExtensions(hex('3000')) })],
    ['17 extensions', 'extension', request({ extensions: requestExtensions(...Array.from({ length: MAX_EXTENSIONS + 1 }, (_, i) => extension(Buffer.of(0x2a, i), false, NULL))) })],
    ['a list entry of another type', 'encoding', request({ list: tlv(0x30, entry, NULL) })],
  ]; // prettier-ignore
  for (const [name, reason, der] of cases) it(name, () => refused(der, reason));

  it('with every reason there is', () => {
    const covered = new Set(cases.map(([, reason]) => reason));
    assert.deepEqual(
      MALFORMED_REASONS.filter((reason) => !covered.has(reason)),
      [],
    );
  });

  it('more certificates than one request may name, without calling it malformed (T-56)', () => {
    const list = (count: number): Buffer => request({ list: tlv(0x30, ...Array<Buffer>(count).fill(entry)) });
    assert.equal(good(list(MAX_CERT_IDS)).certIds.length, MAX_CERT_IDS);
    assert.deepEqual(parseRequest(list(MAX_CERT_IDS + 1)), { kind: 'too-many' });
    refused(request({ list: tlv(0x30, ...Array<Buffer>(MAX_CERT_IDS + 1).fill(entry), NULL) }), 'encoding');
  });
});

describe('parseRequest agrees with another library', () => {
  const octets = (length: number) => fc.uint8Array({ minLength: length, maxLength: length });
  const certId = fc
    .constantFrom(['1.3.14.3.2.26', 20] as const, ['2.16.840.1.101.3.4.2.1', 32] as const)
    .chain(([algorithm, length]) =>
      fc.record({
        algorithm: fc.constant(algorithm),
        parameters: fc.constantFrom(null, undefined),
        name: octets(length),
        key: octets(length),
        serial: fc.bigInt({ min: 0n, max: (1n << 159n) - 1n }),
      }),
    );

  it('on requests that it writes', () => {
    const shape = fc.record({
      certIds: fc.array(certId, { minLength: 1, maxLength: MAX_CERT_IDS }),
      nonce: fc.option(fc.uint8Array({ minLength: 1, maxLength: 128 }), { nil: undefined }),
    });
    fc.assert(
      fc.property(shape, ({ certIds, nonce }) => {
        const tbsRequest = new TBSRequest({ requestList: certIds.map((id) => new Request({ reqCert: toCertId(id) })) });
        if (nonce !== undefined) {
          const value = AsnConvert.serialize(new OctetString(nonce));
          tbsRequest.requestExtensions = [
            new Extension({ extnID: '1.3.6.1.5.5.7.48.1.2', extnValue: new OctetString(value) }),
          ];
        }
        const parsed = good(new Uint8Array(AsnConvert.serialize(new OCSPRequest({ tbsRequest }))));
        assert.deepEqual(parsed.nonce && Buffer.from(parsed.nonce), nonce && Buffer.from(nonce));
        assert.deepEqual(
          parsed.certIds.map((id) => [id.hash, id.issuerKey, BigInt(`0x${id.serial}`)]),
          certIds.map((id) => [id.name.length === 20 ? 'sha1' : 'sha256', issuerKey(id.name, id.key), id.serial]),
        );
      }),
      { seed: SEED, numRuns: 300 },
    );
  });

  const seeds = [
    ...ROOT_CA2_REQUESTS.map(([text]) => Buffer.from(text, 'base64')),
    request({ extensions: requestExtensions(nonceOf(32)) }),
    request({ extensions: NSS_EXTENSIONS }),
  ];

  it('on mutated requests: what we take it takes with the same values, what is DER to it we refuse only for a rule', () => {
    const byRule = new Set<string>([
      'serial',
      'nonce',
      'hash-length',
      'hash-parameters',
      'no-certificate',
      'version',
      'extension',
    ]);
    let accepted = 0;
    let canonical = 0;
    fc.assert(
      fc.property(mutated(seeds), (der) => {
        const ours = parseRequest(der);
        let theirs: OCSPRequest | undefined;
        try {
          theirs = AsnConvert.parse(der, OCSPRequest);
        } catch {
          theirs = undefined;
        }
        if (ours.kind === 'request') {
          accepted++;
          assert.ok(theirs, `accepted here, refused there: ${der.toString('hex')}`);
          assert.deepEqual(
            ours.certIds.map((id) => [id.issuerKey, id.serial]),
            theirs.tbsRequest.requestList.map(({ reqCert }) => [
              issuerKey(new Uint8Array(reqCert.issuerNameHash.buffer), new Uint8Array(reqCert.issuerKeyHash.buffer)),
              Buffer.from(reqCert.serialNumber).toString('hex'),
            ]),
          );
        } else if (theirs !== undefined && Buffer.from(AsnConvert.serialize(theirs)).equals(der)) {
          canonical++;
          assert.ok(
            ours.kind === 'malformed' && byRule.has(ours.reason),
            `${JSON.stringify(ours)}: ${der.toString('hex')}`,
          );
        }
      }),
      { seed: SEED, numRuns: 8000 },
    );
    assert.ok(
      accepted > 400 && canonical > 20,
      `the mutations prove too little: ${accepted} accepted, ${canonical} refused by a rule`,
    );
  });

  it('and never throws: 100,000 mutated requests', () => {
    const outcomes = new Map<string, number>();
    for (const der of fc.sample(mutated(seeds), { seed: SEED, numRuns: 100_000 })) {
      const parsed = parseRequest(der);
      const outcome = parsed.kind === 'malformed' ? parsed.reason : parsed.kind;
      outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
    }
    assert.ok(outcomes.size >= 9, JSON.stringify([...outcomes]));
  });
});

function toCertId(id: {
  algorithm: string;
  parameters: null | undefined;
  name: Uint8Array;
  key: Uint8Array;
  serial: bigint;
}): CertID {
  const text = id.serial.toString(16);
  const even = text.length % 2 ? `0${text}` : text;
  return new CertID({
    hashAlgorithm: new AlgorithmIdentifier({
      algorithm: id.algorithm,
      ...(id.parameters === null ? { parameters: null } : {}),
    }),
    issuerNameHash: new OctetString(id.name),
    issuerKeyHash: new OctetString(id.key),
    serialNumber: new Uint8Array(Buffer.from(parseInt(even.slice(0, 2), 16) & 0x80 ? `00${even}` : even, 'hex')).buffer,
  });
}
