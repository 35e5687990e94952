/** A CA and a responder certificate that pass every check, and the means to spoil one thing at a time. */
import { createHash, generateKeyPairSync, type KeyObject, randomBytes } from 'node:crypto';
import type { Extension } from '../../src/core/certificate-reader.ts';
import * as write from '../../src/core/certificate-writer.ts';
import type { Profile } from '../../src/core/policy/profile.ts';
import { DAY, HOUR, MINUTE, SECOND } from '../../src/core/time.ts';

export const NOW = Date.UTC(2026, 10, 20, 8);

export interface KeyPair {
  readonly publicKey: KeyObject;
  readonly privateKey: KeyObject;
}

export const ecKey = (namedCurve = 'P-256'): KeyPair => generateKeyPairSync('ec', { namedCurve });
export const rsaKey = (modulusLength = 2048, publicExponent = 65537): KeyPair =>
  generateKeyPairSync('rsa', { modulusLength, publicExponent });

export const spkiOf = (key: KeyPair): Buffer => key.publicKey.export({ type: 'spki', format: 'der' });
export const keyIdOf = (key: KeyPair): Buffer => createHash('sha1').update(keyBits(key)).digest();

export const CA_NAME = write.writeName([
  ['C', 'JP'],
  ['O', 'Example'],
  ['CN', 'Example CA'],
]);
export const RESPONDER_NAME = write.writeName([
  ['C', 'JP'],
  ['O', 'Example'],
  ['CN', 'Example CA OCSP Responder'],
]);

export function caCertificate(key: KeyPair, change: Partial<write.CertificateDraft> = {}): Buffer {
  return write.writeCertificate(
    {
      serial: write.serialFromRandom(randomBytes(16)),
      issuerDer: CA_NAME,
      subjectDer: CA_NAME,
      notBefore: NOW - 365 * DAY,
      notAfter: NOW + 3650 * DAY,
      spkiDer: spkiOf(key),
      extensions: [
        write.basicConstraints(true, 0),
        write.keyUsageExtension('keyCertSign', 'cRLSign'),
        write.subjectKeyIdentifierExtension(keyIdOf(key)),
      ],
      ...change,
    },
    key.privateKey,
  );
}

export function responderExtensions(ca: KeyPair, key: KeyPair): Extension[] {
  return [
    write.basicConstraints(false),
    write.ocspNoCheck(),
    write.keyUsageExtension('digitalSignature'),
    write.extKeyUsage('OCSPSigning'),
    write.authorityKeyIdentifierExtension(keyIdOf(ca)),
    write.subjectKeyIdentifierExtension(keyIdOf(key)),
  ];
}

export function responderCertificate(ca: KeyPair, key: KeyPair, change: Partial<write.CertificateDraft> = {}): Buffer {
  return write.writeCertificate(
    {
      serial: write.serialFromRandom(randomBytes(16)),
      issuerDer: CA_NAME,
      subjectDer: RESPONDER_NAME,
      notBefore: NOW - DAY,
      notAfter: NOW + 89 * DAY - SECOND,
      spkiDer: spkiOf(key),
      extensions: responderExtensions(ca, key),
      ...change,
    },
    ca.privateKey,
  );
}

/** The values of deploy/presets/baseline.yaml. */
export const PROFILE: Profile = {
  preset: 'baseline',
  authorities: ['rfc', 'cabf-tls', 'mozilla', 'microsoft'],
  issues: 'subscriber-certificates',
  ocsp: {
    validityMs: 4 * DAY,
    refreshAfterMs: DAY,
    maxAgeMs: HOUR,
    afterExpiryMs: DAY,
    nonce: 'ignore',
    live: { perSecond: 20, waiting: 64 },
  },
  crl: {
    periodMs: 6 * HOUR,
    validityMs: 7 * DAY,
    coalesceMs: 5 * MINUTE,
    invalidityDate: 'omit',
    keyUse: 'held',
    afterExpiryMs: 0,
  },
  responder: { maxValidityMs: 125 * DAY, keyTypes: ['RSA-2048', 'RSA-3072', 'RSA-4096', 'P-256', 'P-384'] },
  archive: { retentionMs: undefined },
  reasons: {
    permitted: ['keyCompromise', 'affiliationChanged', 'superseded', 'cessationOfOperation', 'privilegeWithdrawn'],
    hold: 'refuse',
    redate: 'key-compromise',
  },
};

/** The subjectPublicKey bits: everything after the BIT STRING's unused-bits octet, found from the end of the SPKI. */
function keyBits(key: KeyPair): Buffer {
  const spki = spkiOf(key);
  if (key.publicKey.asymmetricKeyType === 'rsa') return key.publicKey.export({ type: 'pkcs1', format: 'der' });
  return spki.subarray(spki.indexOf(Buffer.from('0004', 'hex'), 20) + 1); // uncompressed point: unused bits 00, then 04
}
