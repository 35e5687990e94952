/**
 * PKCS#10 certification requests (RFC 2986) for responder certificates. A key that never leaves its token signs them, so the
 * part to be signed and the whole are made apart.
 */
import type { KeyObject } from 'node:crypto';
import {
  bitString,
  extKeyUsage,
  keyUsageExtension,
  ocspNoCheck,
  oid,
  sequence,
  tlv,
  writeExtension,
  writeName,
} from './certificate-writer.ts';
import type { Extension } from './certificate-reader.ts';
import { Problem } from './problem.ts';
import type { SignatureAlgorithm } from './signature-algorithm.ts';

/** What a responder certificate must have and a request can ask for (BR 7.1.2.8, R-05); the CA adds the key identifiers. */
const RESPONDER_EXTENSIONS: readonly Extension[] = [
  keyUsageExtension('digitalSignature'),
  extKeyUsage('OCSPSigning'),
  ocspNoCheck(),
];

/** CertificationRequestInfo, DER: what the key signs. @param publicKey of the key that will sign. */
export function requestToBeSigned(
  subjectDer: Uint8Array,
  publicKey: KeyObject,
  extensions: readonly Extension[] = RESPONDER_EXTENSIONS,
): Buffer {
  const attributes =
    extensions.length === 0
      ? []
      : [sequence(oid(EXTENSION_REQUEST), tlv(0x31, sequence(...extensions.map(writeExtension))))];
  return sequence(
    Buffer.of(0x02, 0x01, 0x00), // RFC 2986 §4.1: version 0 is the only one
    subjectDer,
    publicKey.export({ type: 'spki', format: 'der' }),
    tlv(0xa0, ...attributes), // not OPTIONAL: empty when nothing is asked for
  );
}

/** CertificationRequest, DER. @param signature of `tbs`, as the algorithm writes it into a BIT STRING. */
export function assembleRequest(tbs: Uint8Array, algorithm: SignatureAlgorithm, signature: Uint8Array): Buffer {
  return sequence(tbs, algorithm.identifier, bitString(signature));
}

const EXTENSION_REQUEST = '2a864886f70d01090e'; // RFC 2985 §5.4.2

const ATTRIBUTES = ['C', 'ST', 'L', 'O', 'OU', 'CN'] as const;
/** RFC 5280 App. A: ub-common-name and ub-organization-name are 64, the largest bound here 128. */
const LONGEST_VALUE = 128;

/**
 * A Name from OpenSSL's notation, `/C=JP/O=Example/CN=Example OCSP`; `\/` stands for a slash.
 * @throws Problem `invalid` naming `field` and the part that cannot be read.
 */
export function parseSubject(text: string, field: string): Buffer {
  const refuse = (message: string): Problem =>
    new Problem('invalid', message, { field, value: text, rule: 'RFC 5280 §4.1.2.6' });
  if (!text.startsWith('/')) throw refuse('must look like /C=JP/O=Example/CN=Example OCSP');
  const parts = text.slice(1).split(/(?<!\\)\//);
  const attributes = parts.map((part): readonly [(typeof ATTRIBUTES)[number], string] => {
    const [, name, value] = /^([A-Z]{1,2})=(.+)$/s.exec(part.replaceAll('\\/', '/')) ?? [];
    const type = ATTRIBUTES.find((known) => known === name);
    if (type === undefined || value === undefined)
      throw refuse(`${part || 'an empty part'}: not one of ${ATTRIBUTES.join(', ')} with a value`);
    if (Buffer.byteLength(value) > LONGEST_VALUE) throw refuse(`${type} is longer than ${LONGEST_VALUE} octets`);
    if (type === 'C' && !/^[A-Z]{2}$/.test(value)) throw refuse('C is a country in two capital letters');
    return [type, value];
  });
  return writeName(attributes);
}
