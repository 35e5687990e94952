/** Reads a PKCS#10 certification request (RFC 2986) as far as a CA needs it: whose name, which key, and the proof that its holder asks. */
import { createPublicKey, type KeyObject, verify } from 'node:crypto';
import { DerDocument } from '../der/document.ts';
import { Problem } from '../problem.ts';
import { verifierOf } from '../signature-algorithm.ts';

export interface CertificationRequest {
  /** DER of the Name. */
  readonly subjectDer: Buffer;
  /** DER of the SubjectPublicKeyInfo. */
  readonly spkiDer: Buffer;
  /** The BIT STRING's octets: what key identifiers are made of. */
  readonly keyBits: Buffer;
  readonly publicKey: KeyObject;
}

/** @throws Problem `corrupt` when it cannot be read, `refused` when its signature is not by its key (RFC 2986 §3). */
export function readRequest(der: Uint8Array): CertificationRequest {
  const document: DerDocument = new DerDocument(der, 'CertificationRequest');
  const { cursor } = document;
  const whole = document.enter(0x30, 'CertificationRequest');
  const info = document.enter(0x30, 'certificationRequestInfo');
  const tbs = cursor.element();
  document.next(0x02, 'version');
  document.next(0x30, 'subject');
  const subjectDer = Buffer.from(cursor.element());
  const key = document.enter(0x30, 'subjectPKInfo');
  const spkiDer = Buffer.from(cursor.element());
  document.next(0x30, 'algorithm');
  const keyBits = Buffer.from(document.bitString('subjectPublicKey'));
  document.leave(key, 'subjectPKInfo');
  // The attributes are wishes. What the certificate has is the profile's business, not the asker's.
  document.next(0xa0, 'attributes');
  document.leave(info, 'certificationRequestInfo');
  document.next(0x30, 'signatureAlgorithm');
  const algorithm = cursor.element();
  const signature = document.bitString('signature');
  document.leave(whole, 'CertificationRequest');
  if (!cursor.atEnd) document.fail('octets behind it', 'CertificationRequest', 'T-56', cursor.position);

  const publicKey = publicKeyOf(spkiDer);
  const by = verifierOf(algorithm, publicKey);
  if (by === undefined || !verify(by.hash, tbs, by.key, signature)) {
    throw new Problem('refused', 'is not signed with the key that it is for', {
      field: 'CertificationRequest',
      rule: 'RFC 2986 §3',
    });
  }
  return { subjectDer, spkiDer, keyBits, publicKey };
}

function publicKeyOf(spkiDer: Buffer): KeyObject {
  try {
    return createPublicKey({ key: spkiDer, format: 'der', type: 'spki' });
  } catch (error) {
    throw new Problem('corrupt', `the key cannot be read: ${(error as Error).message}`, {
      field: 'subjectPKInfo',
      rule: 'SR-6.1.6-b',
    });
  }
}
