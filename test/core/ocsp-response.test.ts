import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { verify, X509Certificate } from 'node:crypto';
import { after, describe, it } from 'node:test';
import fc from 'fast-check';
import { AsnConvert } from '@peculiar/asn1-schema';
import { BasicOCSPResponse, OCSPResponse } from '@peculiar/asn1-ocsp';
import type { Revocation } from '../../src/core/certificate.ts';
import { ERROR_RESPONSES, ResponseTemplate, type StatusAnswer } from '../../src/core/ocsp/response.ts';
import { decodeResponse, type DecodedBasicResponse } from '../../src/core/ocsp/response-reader.ts';
import { OID } from '../../src/core/der/oid.ts';
import { tlv } from '../../src/core/der/writer.ts';
import { Problem } from '../../src/core/problem.ts';
import { REASON_CODES, type Reason } from '../../src/core/reason.ts';
import { serialFromHex } from '../../src/core/serial.ts';
import { makeAuthority, signWith } from './ocsp-authority.ts';
import { mutated } from './ocsp-request-shapes.ts';

const SEED = 6_960_2026;
const authority = makeAuthority();
const rsa = makeAuthority('rsa');
after(() => {
  authority.remove();
  rsa.remove();
});

const SERIAL = serialFromHex('7f00a1b2c3d4e5f60011223344556601');
const NOW = Math.floor(Date.now() / 1000) * 1000;
const GOOD: StatusAnswer = { revocation: undefined, thisUpdate: NOW - 3_600_000, nextUpdate: NOW + 86_399_000 };
const REVOKED: StatusAnswer = { ...GOOD, revocation: { revokedAt: NOW - 86_400_000, reason: 'keyCompromise' } };

function respond(hash: 'sha1' | 'sha256', answer: StatusAnswer, nonce?: Uint8Array, from = authority): Buffer {
  const signature = signWith(from.responder, from.template.tbs(hash, SERIAL, answer, nonce));
  return from.template.assemble(hash, SERIAL, answer, signature, nonce);
}

function basicOf(der: Uint8Array): DecodedBasicResponse {
  const { basic } = decodeResponse(der);
  assert.ok(basic);
  return basic;
}

describe('ResponseTemplate', () => {
  for (const [who, from] of [
    ['P-256', authority],
    ['RSA-2048', rsa],
  ] as const) {
    for (const [what, answer, verdict] of [
      ['good', GOOD, /: good\n/],
      ['revoked', REVOKED, /: revoked\n[\s\S]*Reason: keyCompromise/],
      [
        'revoked without reason',
        { ...GOOD, revocation: { revokedAt: NOW - 1000, reason: undefined } },
        /: revoked\n(?![\s\S]*Reason)/,
      ],
    ] as const) {
      it(`openssl verifies a ${who} response: ${what}`, () => {
        for (const hash of ['sha1', 'sha256'] as const) {
          from.write('response.der', respond(hash, answer, undefined, from));
          const said = from.openssl('ocsp', '-respin', 'response.der', '-CAfile', 'ca.pem', '-issuer', 'ca.pem',
            `-${hash}`, '-serial', `0x${SERIAL}`); // prettier-ignore
          assert.match(said, verdict);
        }
      });
    }
  }

  it('GnuTLS verifies a response too, and refuses an altered one', (t) => {
    if (spawnSync('ocsptool', ['--version']).error !== undefined) return t.skip('ocsptool is not installed');
    const ask = (der: Buffer): string => {
      authority.write('response.der', der);
      const options = [
        '--verify-response',
        '--load-response=response.der',
        '--load-trust=ca.pem',
        '--load-issuer=ca.pem',
      ];
      return spawnSync('ocsptool', options, { cwd: authority.dir, encoding: 'utf8' }).stdout;
    };
    const der = respond('sha1', REVOKED);
    assert.match(ask(der), /Certificate Status: revoked[\s\S]*Verifying OCSP Response: Success/);
    const seconds = der.indexOf('180f', 'hex') + 15;
    der.writeUInt8(der.readUInt8(seconds) ^ 1, seconds);
    assert.match(ask(der), /Verifying OCSP Response: Failure/);
    return undefined;
  });

  it('openssl verifies a response that the CA itself signed, without certs (O-09)', () => {
    const signature = signWith(authority.ca, authority.direct.tbs('sha256', SERIAL, GOOD));
    const der = authority.direct.assemble('sha256', SERIAL, GOOD, signature);
    authority.write('response.der', der);
    const said = authority.openssl('ocsp', '-respin', 'response.der', '-CAfile', 'ca.pem', '-issuer', 'ca.pem', '-sha256', '-serial', `0x${SERIAL}`); // prettier-ignore
    assert.match(said, /: good\n/);
    assert.deepEqual(basicOf(der).certs, []);
  });

  it('openssl accepts the echoed nonce of its own request (N-06)', () => {
    authority.openssl('ocsp', '-issuer', 'ca.pem', '-serial', `0x${SERIAL}`, '-nonce', '-reqout', 'nonced.der');
    const request = authority.openssl('ocsp', '-reqin', 'nonced.der', '-req_text');
    const nonce = Buffer.from(/OCSP Nonce:\s*0410([0-9A-F]+)/.exec(request)?.[1] ?? '', 'hex');
    assert.equal(nonce.length, 16);
    authority.write('response.der', respond('sha1', GOOD, nonce));
    const said = authority.openssl('ocsp', '-reqin', 'nonced.der', '-respin', 'response.der', '-CAfile', 'ca.pem', '-issuer', 'ca.pem', '-resp_text'); // prettier-ignore
    assert.match(said, new RegExp(`OCSP Nonce: \\s*0410${nonce.toString('hex').toUpperCase()}`));
  });

  it('writes the exact octets of RFC 6960 and RFC 9919', () => {
    const at = Date.UTC(2026, 10, 20, 8, 0, 0);
    const tbs = authority.template.tbs('sha1', serialFromHex('80'), {
      revocation: { revokedAt: at - 1000, reason: 'superseded' },
      thisUpdate: at,
      nextUpdate: at + 1000,
    });
    const text = (value: string): string => Buffer.from(value, 'latin1').toString('hex');
    assert.equal(
      tbs.toString('hex'),
      '3081a6' + // no version: O-04
        `a2160414${authority.responder.keyHash.toString('hex')}` +
        `180f${text('20261120080000Z')}` +
        '307b3079' +
        `303b300906052b0e03021a05000414${authority.hashes.sha1.name.toString('hex')}0414${authority.hashes.sha1.key.toString('hex')}02020080` +
        `a116180f${text('20261120075959Z')}a0030a0104` +
        `180f${text('20261120080000Z')}` +
        `a011180f${text('20261120080001Z')}`,
    );
  });

  it('takes thisUpdate for producedAt unless one is given (X-04)', () => {
    assert.equal(basicOf(respond('sha1', GOOD)).producedAt, GOOD.thisUpdate);
    assert.equal(basicOf(respond('sha1', { ...GOOD, producedAt: NOW })).producedAt, NOW);
  });

  it('gives the same octets for the same arguments, whatever it wrote in between', () => {
    const signature = Buffer.alloc(71, 5);
    const first = authority.template.assemble('sha256', SERIAL, REVOKED, signature);
    const copy = Buffer.from(first);
    assert.throws(() => authority.template.tbs('sha1', SERIAL, { ...GOOD, thisUpdate: NaN }), Problem);
    assert.throws(() => authority.template.assemble('sha1', SERIAL, GOOD, signature, Buffer.alloc(0)), Problem);
    authority.template.assemble('sha1', serialFromHex('01'), GOOD, Buffer.alloc(256), Buffer.alloc(128));
    assert.deepEqual(authority.template.assemble('sha256', SERIAL, REVOKED, signature), copy);
    assert.deepEqual(first, copy);
  });

  it('refuses hashes of the wrong length and nonces of the wrong size', () => {
    const parts = { issuer: authority.hashes, responderKeyHash: authority.responder.keyHash, responderCertificate: undefined, algorithm: authority.template.algorithm }; // prettier-ignore
    assert.throws(() => new ResponseTemplate({ ...parts, responderKeyHash: Buffer.alloc(32) }), /SHA-1/);
    assert.throws(
      () => new ResponseTemplate({ ...parts, issuer: { ...authority.hashes, sha256: authority.hashes.sha1 } }),
      /sha256 are 32/,
    );
    for (const octets of [0, 129])
      assert.throws(() => authority.template.tbs('sha1', SERIAL, GOOD, Buffer.alloc(octets)), /nonce/);
  });

  const serials = fc
    .uint8Array({ minLength: 1, maxLength: 19 })
    .map((octets) => serialFromHex(Buffer.from(octets).toString('hex')));
  const reasons = (Object.keys(REASON_CODES) as Reason[]).filter(
    (name) => !['unspecified', 'removeFromCRL'].includes(name),
  );
  const second = fc.integer({ min: 0, max: 4_000_000_000 }).map((seconds) => seconds * 1000);
  const revocation: fc.Arbitrary<Revocation | undefined> = fc.option(
    fc.record({ revokedAt: second, reason: fc.constantFrom(undefined, ...reasons) }),
    { nil: undefined },
  );
  const question = fc.record({
    hash: fc.constantFrom('sha1' as const, 'sha256' as const),
    serial: serials,
    answer: fc.record({ revocation, thisUpdate: second, nextUpdate: second, producedAt: second }),
    signature: fc.uint8Array({ minLength: 1, maxLength: 512 }),
    nonce: fc.option(fc.uint8Array({ minLength: 1, maxLength: 128 }), { nil: undefined }),
    template: fc.constantFrom(authority.template, authority.direct, rsa.template),
  });

  it('writes what another library reads, re-encodes to the same octets, and our own decoder reads alike', () => {
    fc.assert(
      fc.property(question, ({ hash, serial, answer, signature, nonce, template }) => {
        const der = template.assemble(hash, serial, answer, signature, nonce);
        const outer = AsnConvert.parse(der, OCSPResponse);
        assert.deepEqual(Buffer.from(AsnConvert.serialize(outer)), der);
        const octets = outer.responseBytes?.response.buffer as ArrayBuffer;
        const theirs = AsnConvert.parse(octets, BasicOCSPResponse);
        assert.deepEqual(Buffer.from(AsnConvert.serialize(theirs)), Buffer.from(octets));
        assert.deepEqual(
          Buffer.from(theirs.tbsResponseDataRaw as ArrayBuffer),
          template.tbs(hash, serial, answer, nonce),
        );

        const ours = basicOf(der);
        assert.deepEqual(Buffer.from(ours.tbs), template.tbs(hash, serial, answer, nonce));
        const single = theirs.tbsResponseData.responses[0];
        const view = ours.responses[0];
        assert.ok(single && view && ours.responses.length === 1 && theirs.tbsResponseData.responses.length === 1);
        assert.equal(view.serial, serial);
        assert.equal(Buffer.from(single.certID.serialNumber).toString('hex'), serial);
        assert.equal(view.hash, hash);
        assert.deepEqual(Buffer.from(view.issuerKeyHash), Buffer.from(single.certID.issuerKeyHash.buffer));
        assert.equal(view.thisUpdate, single.thisUpdate.getTime());
        assert.equal(view.nextUpdate, single.nextUpdate?.getTime());
        assert.equal(ours.producedAt, theirs.tbsResponseData.producedAt.getTime());
        assert.equal(view.certStatus, answer.revocation === undefined ? 'good' : 'revoked');
        assert.equal(view.revocationTime, single.certStatus.revoked?.revocationTime.getTime());
        assert.equal(view.revocationTime, answer.revocation?.revokedAt);
        assert.equal(view.revocationReason, single.certStatus.revoked?.revocationReason?.reason);
        assert.deepEqual(Buffer.from(ours.signature), Buffer.from(signature));
        assert.equal(ours.responseExtensions.length, nonce === undefined ? 0 : 1);
        if (nonce !== undefined) {
          assert.deepEqual(
            Buffer.from(ours.responseExtensions[0]?.value.subarray(-nonce.length) ?? []),
            Buffer.from(nonce),
          );
        }
      }),
      { seed: SEED, numRuns: 300 },
    );
  });
});

describe('decodeResponse', () => {
  it('hands out the octets that were signed, the signer and its certificate', () => {
    for (const from of [authority, rsa]) {
      const basic = basicOf(respond('sha256', REVOKED, undefined, from));
      const certificate = new X509Certificate(Buffer.from(basic.certs[0] ?? []));
      assert.ok(verify('sha256', basic.tbs, certificate.publicKey, basic.signature));
      assert.ok(basic.responderID.by === 'key');
      assert.deepEqual(Buffer.from(basic.responderID.keyHash), from.responder.keyHash);
      assert.deepEqual(Buffer.from(basic.signatureAlgorithm), from.template.algorithm.identifier);
    }
  });

  it('reads the responses of the openssl responder, byName included', () => {
    authority.write('index.txt', Buffer.from(`V\t351231235959Z\t\t${SERIAL.toUpperCase()}\tunknown\t/CN=a\nR\t351231235959Z\t260101000000Z,superseded\t02\tunknown\t/CN=b\n`)); // prettier-ignore
    authority.openssl(
      'ocsp',
      '-issuer',
      'ca.pem',
      '-serial',
      `0x${SERIAL}`,
      '-serial',
      '2',
      '-serial',
      '3',
      '-reqout',
      'three.der',
    );
    for (const [option, by] of [
      [['-resp_key_id'], 'key'],
      [[], 'name'],
    ] as const) {
      authority.openssl('ocsp', '-index', 'index.txt', '-rsigner', 'responder.pem', '-rkey', 'responder.key', '-CA', 'ca.pem',
        '-ndays', '3', '-reqin', 'three.der', '-respout', 'three.response', ...option); // prettier-ignore
      const der = authority.read('three.response');
      const { basic, deviations } = decodeResponse(der);
      assert.deepEqual(deviations, []);
      assert.equal(basic?.responderID.by, by);
      assert.deepEqual(
        basic?.responses.map((single) => [
          single.serial,
          single.certStatus,
          single.revocationTime,
          single.revocationReason,
        ]),
        [
          [SERIAL, 'good', undefined, undefined],
          ['02', 'revoked', Date.UTC(2026, 0, 1), 4],
          ['03', 'unknown', undefined, undefined],
        ],
      );
      assert.equal(basic?.responseExtensions.length, 1);
    }
  });

  it('reads the five errors, and openssl gives them the same names (O-03)', () => {
    for (const [status, der] of Object.entries(ERROR_RESPONSES)) {
      const decoded = decodeResponse(der);
      assert.equal(decoded.status, status);
      assert.equal(decoded.basic, undefined);
      authority.write('error.der', der);
      const said = spawnSync('openssl', ['ocsp', '-respin', 'error.der', '-noverify'], {
        cwd: authority.dir,
        encoding: 'utf8',
      });
      assert.equal(said.stdout, `Responder Error: ${status.toLowerCase()} (${der[4] ?? 0})\n`);
    }
  });

  const der = respond('sha256', REVOKED);
  for (const [name, octets, message] of [
    ['nothing', Buffer.alloc(0), /truncated at octet 0/],
    ['status 4, which does not exist', Buffer.from('30030a0104', 'hex'), /OCSPResponseStatus at octet 2/],
    ['successful without a body', Buffer.from('30030a0100', 'hex'), /without responseBytes/],
    [
      'an error with a body',
      Buffer.concat([der.subarray(0, 6), Buffer.of(6), der.subarray(7)]),
      /responseBytes in an error/,
    ],
    ['octets behind', Buffer.concat([der, Buffer.of(0)]), /octets after the response/],
    ['half a response', der.subarray(0, 300), /truncated/],
    ['65,537 octets', Buffer.alloc(65_537), /over 65536 octets/],
  ] as const) {
    it(`refuses ${name}, naming the octet`, () => {
      assert.throws(() => decodeResponse(octets), (error) => error instanceof Problem && error.code === 'corrupt' && message.test(error.message)); // prettier-ignore
    });
  }

  it('refuses a good status with content', () => {
    const good = respond('sha1', GOOD).toString('hex');
    const certStatus = tlv(0x80, Buffer.of(0));
    const status = good.indexOf('8000180f');
    assert.ok(status > 0);
    const bare = decodeResponse(Buffer.from(good, 'hex')).basic?.responses[0];
    assert.ok(bare);
    const single = tlv(0x30, bare.certID, certStatus, Buffer.from(good.slice(status + 4, status + 4 + 72), 'hex'));
    const data = tlv(0x30, tlv(0xa2, tlv(0x04, Buffer.alloc(20))), Buffer.from(good.slice(status + 4, status + 4 + 34), 'hex'), tlv(0x30, single)); // prettier-ignore
    const basic = tlv(0x30, data, authority.template.algorithm.identifier, tlv(0x03, Buffer.of(0, 1)));
    const whole = (tbs: Buffer): Buffer =>
      tlv(0x30, Buffer.from('0a0100', 'hex'), tlv(0xa0, tlv(0x30, tlv(0x06, OID.ocspBasic), tlv(0x04, tbs))));
    assert.throws(() => decodeResponse(whole(basic)), /NULL with content/);
  });

  it('refuses each long form of a length, wherever it stands', () => {
    // Every header of the response with a minimal length gets a longer one: nothing of the kind may pass.
    let tried = 0;
    for (let at = 0; at + 1 < der.length - authority.responder.der.length; at++) {
      const tag = der[at] as number;
      const length = der[at + 1] as number;
      if (![0x30, 0xa0, 0xa1, 0xa2, 0x18].includes(tag) || length === 0 || length > 0x7f) continue;
      const longer = Buffer.concat([der.subarray(0, at + 1), Buffer.of(0x81), der.subarray(at + 1)]);
      assert.throws(() => decodeResponse(longer), Problem);
      tried++;
    }
    assert.ok(tried >= 10);
  });

  it('throws nothing but Problems on 50,000 mutated responses, and what it reads the other library reads alike', () => {
    const seeds = [
      der,
      respond('sha1', GOOD),
      respond('sha1', GOOD, Buffer.alloc(32, 9)),
      respond('sha256', REVOKED, undefined, rsa),
    ];
    let read = 0;
    fc.sample(mutated(seeds), { seed: SEED, numRuns: 50_000 }).forEach((octets, index) => {
      let basic: DecodedBasicResponse | undefined;
      try {
        basic = decodeResponse(octets).basic;
      } catch (error) {
        assert.ok(error instanceof Problem && error.code === 'corrupt', String(error));
        return;
      }
      read++;
      if (basic === undefined || index % 10 !== 0) return;
      const theirs = AsnConvert.parse(octets, OCSPResponse);
      assert.ok(theirs.responseBytes, octets.toString('hex'));
      assert.ok(Buffer.from(theirs.responseBytes.response.buffer).includes(Buffer.from(basic.tbs)));
    });
    assert.ok(read > 5000, `only ${read} were readable`);
  });
});
