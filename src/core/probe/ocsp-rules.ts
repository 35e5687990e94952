/** Whether an OCSP answer may be believed about the certificate asked for, as a relying party with the CA certificate sees it. */
import type { Issuer } from '../issuer.ts';
import { lintDecodedResponse } from '../lint/lint.ts';
import { decodeResponse, type DecodedResponse } from '../ocsp/response-reader.ts';
import { whyUnbelievable } from '../ocsp/response-signer.ts';
import { Problem } from '../problem.ts';
import { rfc3339, type EpochMs } from '../time.ts';
import type { ProbeFinding } from './finding.ts';
import { certIdDer, type ProbeSubject } from './question.ts';

/** What an answer says, in a word that two answers to one question have in common. */
export interface Said {
  /** `good`, `revoked`, `unknown`, an OCSP error such as `unauthorized`, or `unreadable`. */
  readonly word: string;
  readonly decoded: DecodedResponse | undefined;
}

export function said(body: Buffer): Said {
  try {
    const decoded = decodeResponse(body);
    return { word: decoded.basic?.responses[0]?.certStatus ?? decoded.status, decoded };
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    return { word: 'unreadable', decoded: undefined };
  }
}

/** @param issuer when it is known: then the signature counts too. */
export function judgeOcsp(
  asked: string,
  { decoded }: Said,
  subject: ProbeSubject,
  issuer: Issuer | undefined,
  nowMs: EpochMs,
): ProbeFinding[] {
  if (decoded === undefined) {
    const message = 'the body is no OCSPResponse';
    return [{ severity: 'error', asked, message, cause: 'an error page in its place, or a filter that changed it', rule: 'RFC 6960 §4.2.1' }]; // prettier-ignore
  }
  const { basic } = decoded;
  if (basic === undefined) return [];
  const findings: ProbeFinding[] = lintDecodedResponse(decoded, { nowMs })
    .filter(({ severity }) => severity !== 'notice')
    .map(({ severity, rule, message }) => ({
      severity: severity === 'error' ? 'error' : 'warning',
      asked,
      message,
      cause: 'the responder itself, or an old answer in a cache',
      rule,
    }));
  const error = (message: string, cause: string, rule: string): void =>
    void findings.push({ severity: 'error', asked, message, cause, rule });
  const wanted = certIdDer(subject);
  const single = basic.responses.find(({ certID }) => wanted.equals(certID));
  if (single === undefined)
    error('an answer about another certificate', 'a cache whose key is not the whole path (T-49)', 'T-09');
  else if (single.nextUpdate !== undefined && nowMs > single.nextUpdate)
    error(
      `nextUpdate was ${rfc3339(single.nextUpdate)}`,
      'a cache that serves stale answers, or a signer that stands still',
      'P4',
    );
  const unbelievable = issuer && whyUnbelievable(basic, issuer, nowMs);
  if (unbelievable !== undefined)
    error(unbelievable, 'the issuer given is not the one of this URL, or the answer was changed', 'RFC 6960 §3.2');
  return findings;
}
