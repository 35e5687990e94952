/**
 * Whether a CRL can be used by those who take revocation from CRLs: CRLite's aggregator, crt.sh, SSLMate CRL Watch, OpenSSL and Java.
 * Each rule is what one of them refuses, or what the BR and CCADB say of the file.
 */
import { verify } from 'node:crypto';
import { findExtension } from '../der/document.ts';
import { OID } from '../der/oid.ts';
import { readCrl, type CrlView } from '../crl/crl-reader.ts';
import { readIssuingDistributionPoint } from '../crl/idp.ts';
import type { Issuer } from '../issuer.ts';
import { lintCrlView } from '../lint/lint.ts';
import { Problem } from '../problem.ts';
import { verifierOf } from '../signature-algorithm.ts';
import { rfc3339, type EpochMs } from '../time.ts';
import type { ProbeFinding } from './finding.ts';
import { fieldOf, type HttpAnswer } from './http-answer.ts';

/** Microsoft 3.1.10, P-17: a CRL that is larger must be sharded. */
const MOST_CRL_OCTETS = 10_000_000;

export interface CrlProbeContext {
  readonly url: string;
  /** CA certificates that may have signed it; none: the signature is not looked at. */
  readonly issuers: readonly Issuer[];
  /** URLs of all CRLs of the CA that are known: a shard names its own alone (P-21). */
  readonly known: readonly string[];
  readonly nowMs: EpochMs;
}

/** Status, Content-Type, encoding, size. False when there is no CRL to look at. */
export function judgeCrlHttp(asked: string, answer: HttpAnswer, report: (finding: ProbeFinding) => void): boolean {
  const note = noting(asked, report);
  const { status, body } = answer;
  if (status !== 200) {
    const to = fieldOf(answer, 'location');
    const cause =
      to === undefined ? 'the path is not served there' : 'a redirect, to HTTPS perhaps: CRL clients follow none';
    note('error', `HTTP status ${status}${to === undefined ? '' : ` to ${to}`}`, cause, 'BR 4.10.2, P-11');
    return false;
  }
  const type = fieldOf(answer, 'content-type');
  if (type?.toLowerCase() !== 'application/pkix-crl')
    note('warning', `Content-Type ${type ?? 'is missing'}`, 'a web server that guesses types', 'C-29, T-43');
  const encoding = fieldOf(answer, 'content-encoding');
  if (encoding !== undefined)
    note('error', `Content-Encoding ${encoding}`, 'a proxy that compresses in spite of no-transform', 'T-43');
  if (answer.framing === 'close') note('warning', 'no Content-Length', 'a proxy that dropped it: a cut-off CRL looks whole', 'RFC 9112 §6.3'); // prettier-ignore
  if (body.length > MOST_CRL_OCTETS)
    note('warning', `${body.length} octets`, 'a CRL that is to be sharded', 'Microsoft 3.1.10');
  if (body.subarray(0, 11).toString('latin1') === '-----BEGIN ') {
    note('error', 'PEM, not DER', 'a file in the form that openssl crl writes by default', 'C-29, T-43');
    return false;
  }
  return true;
}

/** What the CRL itself says. Undefined when it cannot be read. */
export function judgeCrl(
  asked: string,
  body: Buffer,
  context: CrlProbeContext,
  report: (finding: ProbeFinding) => void,
): CrlView | undefined {
  const note = noting(asked, report);
  let view: CrlView;
  try {
    view = readCrl(body);
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    note('error', `no CRL: ${error.line}`, 'an error page in its place, or a file that was cut off', 'C-29');
    return undefined;
  }
  const { nowMs, issuers } = context;
  const named = issuers.filter(({ nameDer }) => nameDer.equals(view.issuer));
  if (issuers.length > 0 && named.length === 0)
    note('error', 'its issuer is not the subject of the CA certificate, octet for octet', 'another CA, or a name that was encoded anew', 'C-06, T-15'); // prettier-ignore
  else if (issuers.length > 0 && !named.some((issuer) => signed(view, issuer)))
    note('error', 'its signature does not verify with the CA certificate', 'a CA with two keys, or a file that was changed', 'C-32, T-19'); // prettier-ignore
  if (view.nextUpdate !== undefined && nowMs > view.nextUpdate)
    note('error', `nextUpdate was ${rfc3339(view.nextUpdate)}`, 'a cache that serves stale files, or a signer that stands still', 'P4'); // prettier-ignore
  if (nowMs < view.thisUpdate)
    note('error', `thisUpdate is ${rfc3339(view.thisUpdate)}`, 'a signer whose clock is fast', 'C-07');
  judgeScope(view, context, note);
  const issuer = named[0];
  const lintContext = { nowMs, ...(issuer && { issuer: { name: issuer.nameDer, keyIdentifier: issuer.subjectKeyIdentifier } }) }; // prettier-ignore
  for (const { severity, rule, message } of lintCrlView(view, lintContext)) {
    if (severity !== 'notice') note(severity, message, 'the signer of the CRL', rule);
  }
  return view;
}

function judgeScope(view: CrlView, { url, known }: CrlProbeContext, note: Note): void {
  const idp = findExtension(view.crlExtensions, OID.issuingDistributionPoint);
  // A complete CRL has none (C-18, T-40).
  if (idp === undefined) return;
  let uris: readonly string[] | undefined;
  try {
    ({ uris } = readIssuingDistributionPoint(idp.value));
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    note('error', error.line, 'the signer of the CRL', 'C-16');
    return;
  }
  if (uris === undefined) return;
  if (!uris.includes(url))
    note('error', `its issuingDistributionPoint is ${uris.join(', ') || 'empty'}`, 'a shard under the URL of another, or a URL that is spelled otherwise', 'P-11, T-37'); // prettier-ignore
  const other = uris.find((uri) => uri !== url && known.includes(uri));
  if (other !== undefined)
    note('error', `it names ${other} too, which is another known CRL`, 'two URLs in one shard: CRLite refuses the whole issuer', 'P-21, T-37'); // prettier-ignore
}

/** Of one URL, a moment later. */
export function judgeSuccessor(asked: string, first: CrlView, second: CrlView): ProbeFinding[] {
  const findings: ProbeFinding[] = [];
  const note = noting(asked, (finding) => void findings.push(finding));
  const cause = 'two servers or caches behind one name that do not have the same files';
  if (second.thisUpdate < first.thisUpdate)
    note('error', `thisUpdate ${rfc3339(second.thisUpdate)}, after one of ${rfc3339(first.thisUpdate)}`, cause, 'C-10, P-21'); // prettier-ignore
  if ((second.number ?? 0n) < (first.number ?? 0n))
    note('error', `number ${second.number}, after ${first.number}`, cause, 'C-10, T-34');
  if ((second.nextUpdate ?? Infinity) < (first.nextUpdate ?? 0))
    note('warning', 'a nextUpdate that is earlier than before', cause, 'C-08');
  if (second.number === first.number && !Buffer.from(first.der).equals(second.der))
    note('error', `other octets under the same number ${first.number}`, cause, 'C-10');
  return findings;
}

/** A request for the first octets. @param answer what came. */
export function judgeRange(asked: string, answer: HttpAnswer, whole: Buffer, octets: number): ProbeFinding[] {
  const findings: ProbeFinding[] = [];
  const note = noting(asked, (finding) => void findings.push(finding));
  const wanted = Math.min(octets, whole.length);
  if (answer.status === 200) note('warning', 'the whole file', 'a proxy or cache without ranges: a download that broke off begins anew', 'RFC 9110 §14.2'); // prettier-ignore
  else if (answer.status !== 206) note('error', `HTTP status ${answer.status}`, 'a proxy that refuses ranges', 'RFC 9110 §14.2'); // prettier-ignore
  else if (!answer.body.equals(whole.subarray(0, wanted)))
    note('error', `${answer.body.length} octets that are not the first ${wanted}`, 'a cache that mixes versions', 'RFC 9110 §14.4'); // prettier-ignore
  return findings;
}

type Note = (severity: ProbeFinding['severity'], message: string, cause: string, rule: string) => void;

function noting(asked: string, report: (finding: ProbeFinding) => void): Note {
  return (severity, message, cause, rule) => report({ severity, asked, message, cause, rule });
}

function signed({ tbs, signatureAlgorithm, signatureValue }: CrlView, { publicKey }: Issuer): boolean {
  const by = verifierOf(signatureAlgorithm, publicKey);
  return by !== undefined && verify(by.hash, tbs, by.key, signatureValue);
}
