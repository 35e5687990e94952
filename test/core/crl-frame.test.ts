import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { assembleCrl, CrlBuilder } from '../../src/core/crl/crl.ts';
import { CRL_EDGE_OCTETS, locateEntries, readFrame, type CrlFrame } from '../../src/core/crl/crl-frame.ts';
import { readCrl, type CrlView } from '../../src/core/crl/crl-reader.ts';
import { tlv } from '../../src/core/der/writer.ts';
import { crlPeriodMs } from '../../src/core/policy/freshness.ts';
import { Problem } from '../../src/core/problem.ts';
import { serialFromHex } from '../../src/core/serial.ts';
import { algorithmFor } from '../../src/core/signature-algorithm.ts';
import { DAY, HOUR } from '../../src/core/time.ts';
import { CA_NAME, ecKey, NOW, PROFILE } from './sample-pki.ts';

const algorithm = algorithmFor(ecKey().publicKey, 'key');

function crl(entries: number): Buffer {
  const builder = new CrlBuilder({
    issuerName: CA_NAME,
    authorityKeyIdentifier: Buffer.alloc(20, 7),
    algorithm,
    thisUpdate: NOW,
    nextUpdate: NOW + DAY,
    number: 300n,
    invalidityDate: 'omit',
  });
  for (let i = 0; i < entries; i++)
    builder.add({ serial: serialFromHex((4096 + i).toString(16)), revokedAt: NOW - DAY, reason: i % 2 ? 'superseded' : undefined }); // prettier-ignore
  return assembleCrl(builder.tbs(), algorithm, Buffer.alloc(70, 1));
}

/** As whoever has it on a disk reads it. */
function frameOf(der: Buffer): CrlFrame {
  const head = der.subarray(0, CRL_EDGE_OCTETS);
  const regions = locateEntries(head, der.length);
  return readFrame(head, regions, der.subarray(regions.entriesEnd));
}

/** What both readers say; offsets aside, which the entries move. */
function said(view: CrlFrame | CrlView): object {
  const { version, signature, signatureAlgorithm, signatureValue, issuer, thisUpdate, nextUpdate, octets } = view;
  const { crlExtensions, number, keyIdentifier, hasRevokedCertificates, deviations } = view;
  const kinds = deviations.map(({ kind, field }) => `${kind} ${field}`);
  return { version, signature, signatureAlgorithm, signatureValue, issuer, thisUpdate, nextUpdate, octets, crlExtensions, number, keyIdentifier, hasRevokedCertificates, kinds }; // prettier-ignore
}

function outcome(read: () => CrlFrame): object | 'refused' {
  try {
    return said(read());
  } catch (error) {
    assert.ok(error instanceof Problem, String(error));
    return 'refused';
  }
}

describe('readFrame', () => {
  for (const entries of [0, 1, 3, 5000]) {
    it(`reads around ${entries} entries what readCrl reads`, () => {
      const der = crl(entries);
      assert.deepEqual(said(frameOf(der)), said(readCrl(der)));
    });
  }

  it('refuses and reports what readCrl does, whichever octet around the entries is another', () => {
    const der = crl(3);
    const { entriesAt, entriesEnd } = locateEntries(der, der.length);
    let refused = 0;
    for (let at = 0; at < der.length; at++) {
      if (at >= entriesAt && at < entriesEnd) continue;
      for (const change of [0x01, 0x20, 0x80, 0xff]) {
        const other = Buffer.from(der);
        other.writeUInt8(other.readUInt8(at) ^ change, at);
        const [frame, whole] = [outcome(() => frameOf(other)), outcome(() => readCrl(other))];
        assert.deepEqual(frame, whole, `octet ${at} ^ ${change}`);
        if (frame === 'refused') refused += 1;
      }
    }
    assert.ok(refused > 100, `${refused} refused`);
  });

  it('refuses a file that ends early or late', () => {
    const der = crl(3);
    for (let length = 0; length < der.length; length++)
      assert.throws(() => frameOf(der.subarray(0, length)), Problem, `${length} octets`);
    assert.throws(() => frameOf(Buffer.concat([der, Buffer.of(0)])), Problem);
  });

  it('refuses first fields that take more than is read of them', () => {
    const name = tlv(0x30, Buffer.alloc(2 * CRL_EDGE_OCTETS));
    const tbs = tlv(0x30, Buffer.from('020101', 'hex'), algorithm.identifier, name);
    assert.throws(() => frameOf(tlv(0x30, tbs)), /take too much/);
  });
});

describe('crlPeriodMs', () => {
  it('is at most 4 days once a certificate names no OCSP responder, except for CRLs of CA certificates (B-13, T-42)', () => {
    const weekly = { ...PROFILE, crl: { ...PROFILE.crl, periodMs: 6 * DAY } };
    assert.equal(crlPeriodMs(weekly, true), 6 * DAY);
    assert.equal(crlPeriodMs(weekly, false), 4 * DAY);
    assert.equal(crlPeriodMs({ ...weekly, issues: 'ca-certificates' }, false), 6 * DAY);
    assert.equal(crlPeriodMs(PROFILE, false), 6 * HOUR);
    // SM-01, CS-02: neither asks; both TLS and S/MIME: the stricter; none of the three: likewise.
    assert.equal(crlPeriodMs({ ...weekly, authorities: ['rfc', 'cabf-smime'] }, false), 6 * DAY);
    assert.equal(crlPeriodMs({ ...weekly, authorities: ['rfc', 'cabf-cs'] }, false), 6 * DAY);
    assert.equal(crlPeriodMs({ ...weekly, authorities: ['rfc', 'cabf-smime', 'cabf-tls'] }, false), 4 * DAY);
    assert.equal(crlPeriodMs({ ...weekly, authorities: ['rfc'] }, false), 4 * DAY);
  });
});
