/**
 * Whether an HTTP answer can be used by everybody who asks OCSP: web servers that staple, old libraries, caches. Each rule is what
 * one of them was measured to need (peers.md Part 2 §4.2) or what the caching of RFC 9919 §7.2 says.
 */
import type { ProbeFinding } from './finding.ts';
import { fieldOf, type HttpAnswer } from './http-answer.ts';

/** Status, Content-Type, framing, header names, size. `closed`: the other side closed after an HTTP/1.0 request; undefined when it was none. */
export function judgeHttp(asked: string, answer: HttpAnswer, closed: boolean | undefined): ProbeFinding[] {
  const findings: ProbeFinding[] = [];
  const error = (message: string, cause: string, rule: string): void =>
    void findings.push({ severity: 'error', asked, message, cause, rule });
  const warn = (message: string, cause: string, rule: string): void =>
    void findings.push({ severity: 'warning', asked, message, cause, rule });
  const { status } = answer;
  if (status !== 200) {
    error(`HTTP status ${status}${fieldOf(answer, 'location') === undefined ? '' : ` to ${fieldOf(answer, 'location')}`}`, causeOf(status), 'RFC 9919 §7; peers.md 4.2'); // prettier-ignore
    return findings;
  }
  const type = fieldOf(answer, 'content-type');
  if (type?.toLowerCase() !== 'application/ocsp-response') {
    error(
      `Content-Type ${type ?? 'is missing'}`,
      'a proxy that adds a charset or guesses types; OpenSSL and nginx refuse the answer',
      'T-46, RFC 6960 App. A.2',
    );
  }
  if (answer.framing === 'chunked') {
    const message = 'the body is chunked';
    const cause = 'a proxy that buffers, compresses or streams anew; OpenSSL, nginx, Apache and GnuTLS cannot read it';
    if (closed === undefined) warn(message, cause, 'RFC 9112 §6.1');
    else error(message, cause, 'RFC 9112 §6.1');
  }
  if (answer.framing === 'close')
    warn('no Content-Length', 'a proxy that dropped it: a cut-off answer looks whole', 'RFC 9112 §6.3');
  if (closed === false) {
    error(
      'the connection stays open after HTTP/1.0',
      'a proxy that keeps connections of HTTP/1.0 clients; nginx waits for their end before it staples',
      'RFC 9112 §9.3',
    );
  }
  const odd = answer.fields.map(([name]) => name).find((name) => !/^[A-Za-z0-9-]+$/.test(name));
  if (odd !== undefined) {
    error(
      `the header name ${JSON.stringify(odd)}`,
      'a proxy or CDN that adds headers with _ or . in their names; nginx then does not staple',
      'peers.md 4.2',
    );
  }
  const octets = answer.headOctets + answer.body.length;
  if (octets > MOST_OCTETS) {
    const message = `${octets} octets with the head`;
    warn(message, 'a proxy or CDN that adds headers; nginx reads 16 KB, Apache keeps 10 KB', 'T-48');
  }
  if (answer.surplus > 0) error(`${answer.surplus} octets behind the answer`, 'a proxy or filter that appends', 'T-46');
  const encoding = fieldOf(answer, 'content-encoding');
  if (encoding !== undefined)
    error(`Content-Encoding ${encoding}`, 'a proxy that compresses in spite of no-transform', 'RFC 9111 §5.2.2.6');
  const hindrance = ['vary', 'set-cookie'].find((name) => fieldOf(answer, name) !== undefined);
  if (hindrance !== undefined)
    warn(`a ${hindrance} header`, 'a proxy that compresses or keeps sessions; caches keep such answers apart', 'T-55');
  return findings;
}

/** What caches in front did, and may do, with a signed answer. */
export function judgeFreshness(
  asked: string,
  answer: HttpAnswer,
  nextUpdate: number | undefined,
  nowMs: number,
): ProbeFinding[] {
  const findings: ProbeFinding[] = [];
  const report = (severity: ProbeFinding['severity'], message: string, cause: string, rule: string): void =>
    void findings.push({ severity, asked, message, cause, rule });
  const control = fieldOf(answer, 'cache-control') ?? '';
  const maxAgeS = directive(control, 's-maxage') ?? directive(control, 'max-age');
  if (/no-store|no-cache|private/i.test(control) || maxAgeS === undefined) {
    report(
      'warning',
      `a signed answer with ${control === '' ? 'no Cache-Control' : `Cache-Control ${JSON.stringify(control)}`}`,
      'a proxy that sets its own Cache-Control: every question reaches the responder, or caches guess',
      'L-20, RFC 9919 §7.2',
    );
    return findings;
  }
  const age = Number(fieldOf(answer, 'age') ?? 0);
  const sent = Date.parse(fieldOf(answer, 'date') ?? '');
  const ageS = Math.max(age, Number.isNaN(sent) ? 0 : Math.floor((nowMs - sent) / 1000));
  if (ageS > maxAgeS + SLOP_S) {
    report(
      'error',
      `served ${ageS} s old, with max-age ${maxAgeS}`,
      'a cache that serves stale answers: Varnish grace (10 s unless told otherwise), nginx proxy_cache_use_stale or proxy_cache_valid, stale-while-revalidate of a CDN',
      'P4, H-10',
    );
  }
  if (nextUpdate !== undefined && nowMs + (maxAgeS - ageS) * 1000 > nextUpdate) {
    report(
      'error',
      `may be kept for ${Math.max(0, maxAgeS - ageS)} s more, but nextUpdate is in ${Math.round((nextUpdate - nowMs) / 1000)} s`,
      'a CDN or proxy that sets a max-age of its own',
      'L-19, T-05',
    );
  }
  const etag = fieldOf(answer, 'etag');
  if (etag === undefined || etag.startsWith('W/'))
    report('warning', etag === undefined ? 'no ETag' : 'a weak ETag', 'a proxy that compresses or rewrites', 'L-18');
  return findings;
}

/** What caches in front did with an answer that nobody may keep. `again`: the same question a moment later. */
export function judgeUncached(asked: string, answer: HttpAnswer, again: HttpAnswer): ProbeFinding[] {
  const findings: ProbeFinding[] = [];
  if (!/no-store|no-cache/i.test(fieldOf(answer, 'cache-control') ?? '')) {
    findings.push({
      severity: 'error',
      asked,
      message: `an answer that is not signed, with ${JSON.stringify(fieldOf(answer, 'cache-control') ?? 'no Cache-Control')}`,
      cause:
        'a proxy that sets its own Cache-Control: a certificate issued a moment later stays unknown to its clients',
      rule: 'L-21, T-24, RFC 9919 §7.2',
    });
  }
  const hit = HIT_FIELDS.find((name) => /\bhit\b/i.test(fieldOf(again, name) ?? ''));
  if (Number(fieldOf(again, 'age') ?? 0) >= 1 || hit !== undefined) {
    findings.push({
      severity: 'error',
      asked,
      message: `a cache keeps answers that say no-store (${hit ?? `Age ${fieldOf(again, 'age')}`})`,
      cause: 'nginx proxy_ignore_headers or proxy_cache_valid, a CDN rule that caches everything, a default TTL',
      rule: 'L-21, T-24',
    });
  }
  return findings;
}

/** A HEAD has the header of a GET and no body (RFC 9110 §9.3.2). */
export function judgeHead(asked: string, head: HttpAnswer, get: HttpAnswer): ProbeFinding[] {
  const [length, whole] = [fieldOf(head, 'content-length'), fieldOf(get, 'content-length')];
  const messages = [
    ...(head.status === get.status ? [] : [`HTTP status ${head.status}, and ${get.status} for GET`]),
    ...(head.surplus > 0 ? [`a body of ${head.surplus} octets`] : []),
    ...(length === undefined || whole === undefined || length === whole ? [] : [`Content-Length ${length}, and ${whole} for GET`]),
  ]; // prettier-ignore
  const cause = 'a proxy that answers HEAD itself, or turns it into GET';
  return messages.map((message) => ({ severity: 'warning', asked, message, cause, rule: 'RFC 9110 §9.3.2' }));
}

/** A conditional GET for what the client has already. */
export function judgeConditional(asked: string, answer: HttpAnswer): ProbeFinding[] {
  const wrong =
    answer.status !== 304
      ? `HTTP status ${answer.status}, not 304`
      : answer.surplus > 0
        ? 'a 304 with a body'
        : undefined;
  if (wrong === undefined) return [];
  const cause = 'a proxy that drops If-None-Match or ETag: each revalidation carries the whole answer';
  return [{ severity: answer.status === 304 ? 'error' : 'warning', asked, message: wrong, cause, rule: 'H-04, H-05' }];
}

/** T-48: nginx, Apache and small devices read no more. */
const MOST_OCTETS = 8192;
/** Caches count in whole seconds, and the clocks of two machines differ. */
const SLOP_S = 2;
const HIT_FIELDS = ['x-cache', 'x-cache-status', 'cf-cache-status', 'x-proxy-cache', 'cache-status'];

function directive(control: string, name: string): number | undefined {
  const found = new RegExp(`(?:^|[,\\s])${name}\\s*=\\s*"?(\\d+)`, 'i').exec(control)?.[1];
  return found === undefined ? undefined : Number(found);
}

function causeOf(status: number): string {
  if (status >= 300 && status < 400)
    return 'a redirect, to HTTPS or to a path without //: most OCSP clients follow none';
  if (status === 505)
    return 'the origin listener, which speaks HTTP/1.1 only, is asked directly: use the public listener, or deploy/edge';
  if (status === 400) return 'a proxy that insists on a Host, or refuses escapes in the path (encoded slashes)';
  if (status === 403 || status === 429) return 'a web application firewall or a rate limit';
  if (status === 404)
    return 'the path of the URL is not the one that is mounted, or the proxy takes %2F for a missing file';
  if (status === 405 || status === 411 || status === 415)
    return 'a proxy that permits other methods, lengths or types only';
  if (status === 413 || status === 414 || status === 431)
    return 'a limit of the proxy that is too small for a GET request (L-15)';
  if (status >= 500) return 'the proxy reaches no responder';
  return 'something in front answers itself';
}
