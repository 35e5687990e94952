/**
 * What travels to a disconnected signer and back: a request with the octets to be signed, and the signed material. Octets are all that
 * counts; the text beside them is for people, and whoever has a key makes it anew from the octets before he believes it (describe.ts).
 */
import { createHash } from 'node:crypto';

export const REQUEST_FORMAT = 'certstatus offline request';
export const MATERIAL_FORMAT = 'certstatus offline material';
export const OFFLINE_VERSION = 1;

/** Of a file: a root lists a few hundred certificates, and 64 MiB are a CRL of a million entries as base64. */
export const MAX_OFFLINE_OCTETS = 64 << 20;
/** Things to be signed per file: so many signatures take an HSM minutes. */
export const MAX_OFFLINE_ITEMS = 20_000;

export interface OfflineRequest {
  /** Lines for people, as describeRequest makes them. */
  readonly summary: readonly string[];
  /** Id of the issuer where the request was made. */
  readonly issuer: string;
  readonly items: readonly RequestItem[];
}

export type RequestItem =
  | {
      readonly kind: 'crl';
      /** DER of TBSCertList. */
      readonly tbs: Buffer;
      /** DER of the CRL that it is to replace; undefined: there is none. */
      readonly previous: Buffer | undefined;
    }
  | {
      readonly kind: 'responder';
      /** DER of a PKCS#10 request. */
      readonly csr: Buffer;
      /** notAfter = notBefore + validity − 1 s (SR-6.3.2-b). */
      readonly validityMs: number;
      /** Where the key is that asks, as issuer.yaml will have it. Never the CA's. */
      readonly key: readonly string[];
    }
  | {
      readonly kind: 'ocsp';
      /** DER of ResponseData. */
      readonly tbs: Buffer;
    };

export interface OfflineMaterial {
  readonly summary: readonly string[];
  readonly issuer: string;
  /** SHA-256 of the request's file, hex. */
  readonly requestSha256: string;
  /** RFC 3339, by the clock of the machine that signed. */
  readonly signedAt: string;
  /** Who was there, as they said (SR-6.2.8). */
  readonly persons: readonly string[];
  readonly items: readonly MaterialItem[];
}

export type MaterialItem =
  /** DER of the CertificateList. */
  | { readonly kind: 'crl'; readonly der: Buffer }
  /** DER of the responder certificate. */
  | { readonly kind: 'responder'; readonly der: Buffer; readonly key: readonly string[] }
  /** DER of the OCSPResponse. */
  | { readonly kind: 'ocsp'; readonly der: Buffer };

export function sha256Hex(octets: Uint8Array): string {
  return createHash('sha256').update(octets).digest('hex');
}

/** In groups of four, to be read aloud. */
export function inGroups(hex: string): string {
  return (hex.match(/.{1,4}/g) ?? []).join(' ');
}
