/**
 * A CRL URL as an outsider sees it, whatever stands in front of it: crt.sh, SSLMate CRL Watch, CRLite's aggregator.
 *
 *  1. GET       over plain HTTP without redirect: one DER CRL, of the right CA, for this URL, fresh, lintable.
 *  2. clients   HTTP/1.0, HEAD, conditional GET, ranges: as OpenSSL, curl and mirrors ask.
 *  3. again     a second GET is not older.
 */
import { readCrl, type CrlView } from '../../core/crl/crl-reader.ts';
import type { Issuer } from '../../core/issuer.ts';
import { judgeCrl, judgeCrlHttp, judgeRange, judgeSuccessor } from '../../core/probe/crl-rules.ts';
import type { ProbeFinding } from '../../core/probe/finding.ts';
import { fieldOf, readHttpAnswer, type HttpAnswer } from '../../core/probe/http-answer.ts';
import { judgeConditional, judgeFreshness, judgeHead } from '../../core/probe/http-rules.ts';
import { Problem } from '../../core/problem.ts';
import { rfc3339, SECOND } from '../../core/time.ts';
import type { Clock } from '../../ports/clock.ts';
import type { Wire } from '../../ports/wire.ts';
import { probeUrl, type ProbeReport } from './probe.ts';

const RANGE_OCTETS = 64;
const MOST_OCTETS = (256 << 20) + (64 << 10);
const WITHIN_MS = 60 * SECOND;
/** HTTP/1.0 clients wait for the end of the connection. */
const CLOSE_WITHIN_MS = SECOND;

export interface CrlProbeTarget {
  /** As in the crlDistributionPoints of a certificate. */
  readonly url: string;
  /** CA certificates that may have signed it; none: the signature is not looked at. */
  readonly issuers: readonly Issuer[];
  /** URLs of the CA's other CRLs. */
  readonly known: readonly string[];
}

/** A URL that is probed as that of a CRL, where nobody says of what it is. */
export const isCrlUrl = (url: string): boolean => /\.crl(?:$|\?)/i.test(url);

/** @throws Problem `invalid` for a URL that is not plain HTTP. */
export async function probeCrl(target: CrlProbeTarget, wire: Wire, clock: Clock): Promise<ProbeReport> {
  const { url, issuers, known } = target;
  const { host, port, authority, path } = probeUrl(url);
  const findings: ProbeFinding[] = [];
  const report = (finding: ProbeFinding): void => void findings.push(finding);
  let asked = 0;

  const ask = async (
    how: string,
    method: 'GET' | 'HEAD',
    version: '1.0' | '1.1',
    fields: readonly string[] = [],
  ): Promise<HttpAnswer | undefined> => {
    // prettier-ignore
    asked += 1;
    const head = [`${method} ${path} HTTP/${version}`, `Host: ${authority}`, ...(version === '1.1' ? ['Connection: close'] : []), ...fields]; // prettier-ignore
    try {
      const { octets } = await wire.exchange({
        host,
        port,
        octets: Buffer.from(`${head.join('\r\n')}\r\n\r\n`, 'latin1'),
        isWhole: (some) => readHttpAnswer(some, method === 'HEAD', false) !== undefined,
        closeWithinMs: version === '1.0' ? CLOSE_WITHIN_MS : 0,
        mostOctets: MOST_OCTETS,
        withinMs: WITHIN_MS,
      });
      const answer = readHttpAnswer(octets, method === 'HEAD', true);
      if (answer !== undefined && answer !== 'not-http') return answer;
      const cause = 'a proxy that refuses this kind of request, or cuts long answers off';
      report({ severity: 'error', asked: how, message: 'no whole HTTP answer', cause, rule: 'RFC 9112' });
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      const cause = 'nobody listens there, a firewall, or a name that leads elsewhere from here';
      report({ severity: 'error', asked: how, message: error.line, cause, rule: 'BR 4.10.2' });
    }
    return undefined;
  };
  const done = (answer?: string): ProbeReport => ({ url, answer, asked, findings });

  const get = await ask('GET', 'GET', '1.1');
  if (get === undefined || !judgeCrlHttp('GET', get, report)) return done();
  const nowMs = clock.now();
  const view = judgeCrl('GET', get.body, { url, issuers, known, nowMs }, report);
  if (view === undefined) return done();
  findings.push(...judgeFreshness('GET', get, view.nextUpdate, nowMs));

  const old = await ask('GET with HTTP/1.0', 'GET', '1.0');
  if (old !== undefined && judgeCrlHttp('GET with HTTP/1.0', old, report) && old.framing === 'chunked')
    report({ severity: 'error', asked: 'GET with HTTP/1.0', message: 'the body is chunked', cause: 'a proxy that streams anew', rule: 'RFC 9112 §6.1' }); // prettier-ignore
  const head = await ask('HEAD', 'HEAD', '1.1');
  const etag = fieldOf(get, 'etag');
  const conditional = etag === undefined ? undefined : await ask('GET with If-None-Match', 'GET', '1.1', [`If-None-Match: ${etag}`]); // prettier-ignore
  const range = await ask('GET of a range', 'GET', '1.1', [`Range: bytes=0-${RANGE_OCTETS - 1}`]);
  const again = await ask('GET again', 'GET', '1.1');
  const second = again?.status === 200 ? readable(again.body) : undefined;
  if (second === undefined) return done(said(view));
  findings.push(...judgeSuccessor('GET again', view, second));
  // A CRL that was published meanwhile has another length, ETag and beginning.
  if (Buffer.from(view.der).equals(second.der)) {
    if (head !== undefined) findings.push(...judgeHead('HEAD', head, get));
    if (conditional !== undefined) findings.push(...judgeConditional('GET with If-None-Match', conditional));
    if (range !== undefined) findings.push(...judgeRange('GET of a range', range, get.body, RANGE_OCTETS));
  }
  return done(said(second));
}

function said({ number, thisUpdate }: CrlView): string {
  return `CRL ${number ?? 'without number'} of ${rfc3339(thisUpdate)}`;
}

/** Undefined: it was said of the first what is wrong with such a file, or it is the same as the first. */
function readable(body: Buffer): CrlView | undefined {
  try {
    return readCrl(body);
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    return undefined;
  }
}
