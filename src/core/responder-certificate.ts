/** A responder certificate as it is loaded; whether it may sign is asked of signer-checks.ts. */
import { createHash, type KeyObject } from 'node:crypto';
import { type CertificateFields, readCertificate } from './certificate-reader.ts';
import { isCertificateAuthority } from './certificate-extensions.ts';
import { publicKeyOf } from './issuer.ts';
import { algorithmFor, type KeyType } from './signature-algorithm.ts';
import type { EpochMs } from './time.ts';

export interface ResponderCertificate {
  readonly der: Buffer;
  /** First four octets of the SHA-256 of the DER, hex: picks the response template (PublishedResponse.responder). */
  readonly id: string;
  readonly notBefore: EpochMs;
  /** No answer's nextUpdate lies after it (R-10, T-17). */
  readonly notAfter: EpochMs;
  /** SHA-1 of the key bits, 20 octets: the byKey responderID (RFC 6960 §4.2.1). */
  readonly keyHash: Buffer;
  readonly publicKey: KeyObject;
  readonly keyType: KeyType;
  /** False for a CA certificate that signs its own answers: then it stays out of `certs` (T-16). */
  readonly delegated: boolean;
  readonly fields: CertificateFields;
}

/** @throws Problem `invalid` when it is no certificate, `config` when its key is of a kind that nothing here signs with. */
export function loadResponderCertificate(der: Uint8Array, field = 'responder certificate'): ResponderCertificate {
  const fields = readCertificate(Buffer.from(der), field);
  const publicKey = publicKeyOf(fields, field);
  return {
    der: fields.der,
    id: createHash('sha256').update(fields.der).digest('hex').slice(0, 8),
    notBefore: fields.notBefore,
    notAfter: fields.notAfter,
    keyHash: createHash('sha1').update(fields.keyBits).digest(),
    publicKey,
    keyType: algorithmFor(publicKey, field).keyType,
    delegated: !isCertificateAuthority(fields),
    fields,
  };
}
