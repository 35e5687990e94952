/** Would a careful client accept this answer (RFC 6960 §3.2)? For the load generator's samples: anybody's answers, not only ours. */
import { createPublicKey, verify, type KeyObject } from 'node:crypto';
import { readCertificate } from '../certificate-reader.ts';
import { extendedKeyUsage, OID } from '../certificate-extensions.ts';
import { isSignedBy, type Issuer } from '../issuer.ts';
import { Problem } from '../problem.ts';
import type { Serial } from '../serial.ts';
import { verifierOf } from '../signature-algorithm.ts';
import { rfc3339, type EpochMs } from '../time.ts';
import { decodeResponse, type DecodedBasicResponse } from './response-reader.ts';

/** @returns the first thing that a client would refuse it for; undefined when there is none. */
export function checkAnswer(der: Uint8Array, issuer: Issuer, serial: Serial, nowMs: EpochMs): string | undefined {
  try {
    const { status, basic } = decodeResponse(der);
    if (basic === undefined) return `OCSP error ${status}`;
    const single = basic.responses.find((one) => one.serial === serial);
    if (single === undefined || single.hash === undefined) return 'an answer about another certificate';
    const { name, key } = issuer.hashes[single.hash];
    if (!name.equals(single.issuerNameHash) || !key.equals(single.issuerKeyHash)) return 'an answer of another issuer';
    if (single.thisUpdate > nowMs) return `thisUpdate ${rfc3339(single.thisUpdate)} is in the future`;
    if (single.nextUpdate !== undefined && single.nextUpdate < nowMs)
      return `nextUpdate ${rfc3339(single.nextUpdate)} has passed`;
    return signedByAuthorized(basic, issuer, nowMs) ? undefined : 'no signature of an authorized responder';
  } catch (error) {
    // The readers' word for octets that are not what they should be; anything else is a defect here.
    if (error instanceof Problem) return error.line;
    throw error;
  }
}

/** RFC 6960 §4.2.2.2: the CA itself, or a certificate that it has issued for this. */
function signedByAuthorized(basic: DecodedBasicResponse, issuer: Issuer, nowMs: EpochMs): boolean {
  const delegates = basic.certs.flatMap((der): readonly KeyObject[] => {
    const certificate = readCertificate(der);
    const may = extendedKeyUsage(certificate)?.includes(OID.ocspSigning) === true;
    const valid = certificate.notBefore <= nowMs && nowMs <= certificate.notAfter;
    if (!may || !valid || !isSignedBy(issuer, certificate.der)) return [];
    return [createPublicKey({ key: certificate.spkiDer, format: 'der', type: 'spki' })];
  });
  return [...delegates, issuer.publicKey].some((publicKey) => {
    const by = verifierOf(basic.signatureAlgorithm, publicKey);
    return by !== undefined && verify(by.hash, basic.tbs, by.key, basic.signature);
  });
}
