/** What a status service needs of a certificate's extensions (RFC 5280 §4.2), read when it is asked for. */
import type { CertificateFields, Extension } from './certificate-reader.ts';
import { BIT_STRING, BOOLEAN, OBJECT_IDENTIFIER, OCTET_STRING, SEQUENCE, Walk } from './der/walk.ts';

/** OIDs as the hex of their content octets. */
export const OID = {
  subjectKeyIdentifier: '551d0e',
  keyUsage: '551d0f',
  subjectAltName: '551d11',
  basicConstraints: '551d13',
  nameConstraints: '551d1e',
  crlDistributionPoints: '551d1f',
  certificatePolicies: '551d20',
  authorityKeyIdentifier: '551d23',
  extKeyUsage: '551d25',
  authorityInfoAccess: '2b06010505070101',
  ocspNoCheck: '2b0601050507300105',
  poison: '2b06010401d679020403',
  sctList: '2b06010401d679020402',
  ocspSigning: '2b06010505070309',
  adOcsp: '2b06010505073001',
  adCaIssuers: '2b06010505073002',
} as const;

/** GeneralName uniformResourceIdentifier [6] IMPLICIT IA5String. */
const URI = 0x86;

/** The content of one extension; undefined when the certificate has none with this OID. */
export function extensionOf(certificate: CertificateFields, oid: string): Extension | undefined {
  return certificate.extensions.find((extension) => extension.oid === oid);
}

/** RFC 6962 §3.1: the poison extension makes it a precertificate. That it is critical, as it has to be, is not asked. */
export function isPrecertificate(certificate: CertificateFields): boolean {
  return extensionOf(certificate, OID.poison) !== undefined;
}

/** The AuthorityKeyIdentifier: its keyIdentifier, and whether it carries anything else. */
export function authorityKeyIdentifier(
  certificate: CertificateFields,
): { keyIdentifier: Buffer | undefined; more: boolean } | undefined {
  const extension = extensionOf(certificate, OID.authorityKeyIdentifier);
  if (extension === undefined) return undefined;
  const walk: Walk = new Walk(extension.value, 'authorityKeyIdentifier');
  const members = walk.members(walk.only(0, extension.value.length, SEQUENCE));
  const id = members.find((member) => member.tag === 0x80);
  return {
    keyIdentifier: id === undefined ? undefined : extension.value.subarray(id.start, id.end),
    more: members.some((member) => member.tag !== 0x80),
  };
}

export function subjectKeyIdentifier(certificate: CertificateFields): Buffer | undefined {
  const extension = extensionOf(certificate, OID.subjectKeyIdentifier);
  if (extension === undefined) return undefined;
  const octets = new Walk(extension.value, 'subjectKeyIdentifier').only(0, extension.value.length, OCTET_STRING);
  return extension.value.subarray(octets.start, octets.end);
}

/** RFC 5280 §4.2.1.9: cA is FALSE when the extension is absent. */
export function isCertificateAuthority(certificate: CertificateFields): boolean {
  const extension = extensionOf(certificate, OID.basicConstraints);
  if (extension === undefined) return false;
  const walk: Walk = new Walk(extension.value, 'basicConstraints');
  const [first] = walk.members(walk.only(0, extension.value.length, SEQUENCE));
  return first?.tag === BOOLEAN && extension.value[first.start] !== 0;
}

/** KeyUsage bits by name; undefined when the extension is absent, which RFC 5280 §4.2.1.3 reads as no restriction. */
export function keyUsage(certificate: CertificateFields): ReadonlySet<KeyUsageName> | undefined {
  const extension = extensionOf(certificate, OID.keyUsage);
  if (extension === undefined) return undefined;
  const bits = new Walk(extension.value, 'keyUsage').only(0, extension.value.length, BIT_STRING);
  const octets = extension.value.subarray(bits.start + 1, bits.end);
  return new Set(KEY_USAGE_NAMES.filter((_, bit) => ((octets[bit >> 3] ?? 0) >> (7 - (bit & 7))) & 1));
}

/** In the order of RFC 5280 §4.2.1.3, bit 0 first. */
export const KEY_USAGE_NAMES = [
  'digitalSignature',
  'nonRepudiation',
  'keyEncipherment',
  'dataEncipherment',
  'keyAgreement',
  'keyCertSign',
  'cRLSign',
  'encipherOnly',
  'decipherOnly',
] as const;
export type KeyUsageName = (typeof KEY_USAGE_NAMES)[number];

/** The purposes of ExtKeyUsage as OID hex; undefined when the extension is absent. */
export function extendedKeyUsage(certificate: CertificateFields): readonly string[] | undefined {
  const extension = extensionOf(certificate, OID.extKeyUsage);
  if (extension === undefined) return undefined;
  const walk: Walk = new Walk(extension.value, 'extKeyUsage');
  return walk
    .members(walk.only(0, extension.value.length, SEQUENCE))
    .map((member) => extension.value.toString('hex', member.start, member.end));
}

/** URIs of AuthorityInfoAccess: where the certificate itself says OCSP and its issuer's certificate are. */
export function accessUrls(certificate: CertificateFields): {
  readonly ocsp: readonly string[];
  readonly caIssuers: readonly string[];
} {
  const ocsp: string[] = [];
  const caIssuers: string[] = [];
  const extension = extensionOf(certificate, OID.authorityInfoAccess);
  if (extension !== undefined) {
    const walk: Walk = new Walk(extension.value, 'authorityInfoAccess');
    for (const description of walk.members(walk.only(0, extension.value.length, SEQUENCE))) {
      const [method, location] = walk.members(description);
      if (method?.tag !== OBJECT_IDENTIFIER || location?.tag !== URI) continue;
      const oid = extension.value.toString('hex', method.start, method.end);
      const uri = extension.value.toString('latin1', location.start, location.end);
      if (oid === OID.adOcsp) ocsp.push(uri);
      if (oid === OID.adCaIssuers) caIssuers.push(uri);
    }
  }
  return { ocsp, caIssuers };
}

/**
 * Whether nobody can learn of its revocation but from a CRL: what makes the issuer's CRLs be due every 4 days (B-13, T-42). A responder
 * certificate with ocsp-nocheck is not counted: it names no responder by its nature (BR 7.1.2.8.3), and an issuer that has one would
 * never be under the 7-day rule that BR 4.9.7 gives it.
 */
export function namesNoOcsp(certificate: CertificateFields): boolean {
  return accessUrls(certificate).ocsp.length === 0 && extensionOf(certificate, OID.ocspNoCheck) === undefined;
}

/** fullName URIs of CRLDistributionPoints: the shard of a certificate has one of these, byte for byte (B-32, P-11). */
export function crlDistributionPoints(certificate: CertificateFields): readonly string[] {
  const extension = extensionOf(certificate, OID.crlDistributionPoints);
  if (extension === undefined) return [];
  const walk: Walk = new Walk(extension.value, 'crlDistributionPoints');
  const uris: string[] = [];
  for (const point of walk.members(walk.only(0, extension.value.length, SEQUENCE))) {
    const name = walk.members(point).find((member) => member.tag === 0xa0);
    const fullName = name && walk.members(name).find((member) => member.tag === 0xa0);
    for (const general of fullName ? walk.members(fullName) : []) {
      if (general.tag === URI) uris.push(extension.value.toString('latin1', general.start, general.end));
    }
  }
  return uris;
}
