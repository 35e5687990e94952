/**
 * The answer that stands about a certificate, as a careful client would see it: assembled as it is served, decoded, its signature
 * verified again, and linted. For people who ask what is said and why.
 */
import type { CertIdHash, PublishedResponse } from '../../core/certificate.ts';
import type { Finding } from '../../core/lint/finding.ts';
import { decodeResponse, type DecodedBasicResponse } from '../../core/ocsp/response-reader.ts';
import { servable } from '../../core/policy/freshness.ts';
import type { EpochMs } from '../../core/time.ts';
import type { ServedIssuer } from '../issuer-setup.ts';
import { answerFindings, verified } from '../sign/check-answer.ts';

export interface CurrentAnswer {
  readonly hash: CertIdHash;
  /** OCSPResponse. */
  readonly der: Buffer;
  readonly decoded: DecodedBasicResponse;
  /** With the key of the responder certificate, now. */
  readonly verified: boolean;
  readonly findings: readonly Finding[];
  /** P4: thisUpdate ≤ now ≤ nextUpdate; else it is not served. */
  readonly servable: boolean;
  /** Of the responder certificate. */
  readonly responder: { readonly id: string; readonly notAfter: EpochMs };
}

/** Undefined when the responder certificate that signed it has not come here, or its answers are served no more. */
export async function currentAnswer(
  issuer: ServedIssuer,
  response: PublishedResponse,
  hash: CertIdHash,
  nowMs: EpochMs,
): Promise<CurrentAnswer | undefined> {
  const { serial, revocation, thisUpdate, nextUpdate, signatures } = response;
  const served = issuer.responders.find(response.responder);
  if (served === undefined) return undefined;
  const der = served.template.assemble(hash, serial, { revocation, thisUpdate, nextUpdate }, signatures[hash]);
  const decoded = decodeResponse(der);
  const basic = decoded.basic as DecodedBasicResponse;
  const { certificate } = served;
  return {
    hash,
    der,
    decoded: basic,
    verified: await verified(basic.tbs, basic.signature, certificate.publicKey, basic.signatureAlgorithm),
    findings: answerFindings(decoded, { hash, serial, revocation, thisUpdate, nextUpdate }, { served, issuer }),
    servable: servable({ thisUpdate, nextUpdate }, nowMs),
    responder: { id: certificate.id, notAfter: certificate.notAfter },
  };
}
