/**
 * To-be-signed octets, read before there is a signature: put into the whole that they are a part of, with octets of the right length
 * where the signature will be. So what a person is shown and what lint judges is read by the same readers as anything that is served.
 */
import type { KeyObject } from 'node:crypto';
import { assembleCrl } from '../crl/crl.ts';
import { readCrl, type CrlView } from '../crl/crl-reader.ts';
import { OID } from '../der/oid.ts';
import { tlv } from '../der/writer.ts';
import { decodeResponse, type DecodedBasicResponse, type DecodedResponse } from '../ocsp/response-reader.ts';
import { Problem } from '../problem.ts';
import { algorithmFor, type SignatureAlgorithm } from '../signature-algorithm.ts';

/** Any; the longest of the algorithms here is RSA-4096. */
const NO_SIGNATURE = Buffer.alloc(512);

/** @throws Problem `corrupt` when these octets are no TBSCertList. */
export function readUnsignedCrl(tbs: Uint8Array, caKey: KeyObject): CrlView {
  return readCrl(assembleCrl(tbs, algorithmFor(caKey, 'CA key'), NO_SIGNATURE));
}

/** @throws Problem `corrupt` when these octets are no ResponseData. */
export function readUnsignedResponse(
  tbs: Uint8Array,
  caKey: KeyObject,
): DecodedResponse & { readonly basic: DecodedBasicResponse } {
  return readBasic(assembleResponse(tbs, algorithmFor(caKey, 'CA key'), NO_SIGNATURE));
}

/** @throws Problem `corrupt` also for an error response. */
export function readBasic(der: Uint8Array): DecodedResponse & { readonly basic: DecodedBasicResponse } {
  const decoded = decodeResponse(der);
  const { basic } = decoded;
  if (basic === undefined)
    throw new Problem('corrupt', `an OCSP error (${decoded.status}) is no answer`, { field: 'OCSPResponse' });
  return { ...decoded, basic };
}

/** DER of an OCSPResponse of the CA itself: without certs (T-16). */
export function assembleResponse(tbs: Uint8Array, algorithm: SignatureAlgorithm, signature: Uint8Array): Buffer {
  const basic = tlv(0x30, tbs, algorithm.identifier, tlv(0x03, Buffer.of(0), signature));
  const bytes = tlv(0x30, tlv(0x06, OID.ocspBasic), tlv(0x04, basic));
  return tlv(0x30, tlv(0x0a, Buffer.of(0)), tlv(0xa0, bytes));
}
