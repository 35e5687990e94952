/** The object identifiers that we speak, as the content octets of their OBJECT IDENTIFIER, each with its source. */
import { isObjectIdentifier } from './reader.ts';

const hex = (text: string): Buffer => Buffer.from(text, 'hex');

export const OID = {
  /** 1.3.14.3.2.26, RFC 3279 §2.1: a CertID hash; never a signature (B-35). */
  sha1: hex('2b0e03021a'),
  /** 2.16.840.1.101.3.4.2.1, RFC 5754 §2.2: the CertID hash that new clients must send (L-02). */
  sha256: hex('608648016503040201'),
  /** 1.3.6.1.5.5.7.48.1.1, RFC 6960 §4.2.1 (O-01). */
  ocspBasic: hex('2b0601050507300101'),
  /** 1.3.6.1.5.5.7.48.1.2, RFC 9654 §2.1. */
  nonce: hex('2b0601050507300102'),
  /** 1.3.6.1.5.5.7.48.1.3, RFC 6960 §4.4.2. */
  crlReference: hex('2b0601050507300103'),
  /** 1.3.6.1.5.5.7.48.1.4, RFC 6960 §4.4.3: which response types a client understands (NSS sends it). */
  acceptableResponses: hex('2b0601050507300104'),
  /** 1.3.6.1.5.5.7.48.1.5, RFC 6960 §4.2.2.2.1. */
  noCheck: hex('2b0601050507300105'),
  /** 1.3.6.1.5.5.7.48.1.6, RFC 6960 §4.4.4. */
  archiveCutoff: hex('2b0601050507300106'),
  /** 1.3.6.1.5.5.7.48.1.7, RFC 6960 §4.4.6. */
  serviceLocator: hex('2b0601050507300107'),
  /** 1.3.6.1.5.5.7.48.1.8, RFC 6960 §4.4.7. */
  preferredSignatureAlgorithms: hex('2b0601050507300108'),
  /** 1.3.6.1.5.5.7.48.1.9, RFC 6960 §4.4.8. */
  extendedRevoke: hex('2b0601050507300109'),
  /** 2.5.29.20, RFC 5280 §5.2.3. */
  cRLNumber: hex('551d14'),
  /** 2.5.29.21, RFC 5280 §5.3.1. */
  reasonCode: hex('551d15'),
  /** 2.5.29.24, RFC 5280 §5.3.2. */
  invalidityDate: hex('551d18'),
  /** 2.5.29.27, RFC 5280 §5.2.4. */
  deltaCRLIndicator: hex('551d1b'),
  /** 2.5.29.28, RFC 5280 §5.2.5. */
  issuingDistributionPoint: hex('551d1c'),
  /** 2.5.29.29, RFC 5280 §5.3.3. */
  certificateIssuer: hex('551d1d'),
  /** 2.5.29.35, RFC 5280 §5.2.1. */
  authorityKeyIdentifier: hex('551d23'),
  /** 2.5.29.46, RFC 5280 §5.2.6. */
  freshestCRL: hex('551d2e'),
  /** 2.5.29.60, X.509 §9.5.2.8 (C-34). */
  expiredCertsOnCRL: hex('551d3c'),
  /** 1.3.6.1.5.5.7.48.2, RFC 5280 §4.2.2.1: the only access method of a CRL (C-27). */
  caIssuers: hex('2b06010505073002'),
  /** 1.3.6.1.5.5.7.1.1, RFC 5280 §5.2.7. */
  authorityInfoAccess: hex('2b06010505070101'),
} as const satisfies Record<string, Buffer>;

/** Dotted form of an OBJECT IDENTIFIER's content octets, for people; `invalid` with the hex when they are none. */
export function dottedOid(content: Uint8Array): string {
  if (!isObjectIdentifier(content)) return `invalid(${Buffer.from(content.subarray(0, 16)).toString('hex')})`;
  const arcs: bigint[] = [];
  let arc = 0n;
  for (const octet of content) {
    arc = (arc << 7n) | BigInt(octet & 0x7f);
    if (octet >= 0x80) continue;
    if (arcs.length === 0) {
      const root = arc < 40n ? 0n : arc < 80n ? 1n : 2n;
      arcs.push(root, arc - 40n * root);
    } else {
      arcs.push(arc);
    }
    arc = 0n;
  }
  return arcs.join('.');
}
