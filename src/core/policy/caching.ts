/**
 * HTTP caching of what is served: the header blocks of a reply, the moment until which they are right, and the answer to
 * a conditional request. RFC 9919 §6 and §7.2 for OCSP, RFC 9110 §8.8 and §13, RFC 9111; T-44 for CRLs. Header blocks are
 * whole lines without Date, Connection and the blank line, which belong to the front (ports/front.ts).
 *
 * Header names stay within [A-Za-z0-9-]: nginx drops a reply that has `_` or `.` in one (measured; peers.md Part 2 §4.2).
 * No Vary (T-55). Made once per block, never per request (design decision 6).
 */
import { hash } from 'node:crypto';
import { Reply, type ReplyStatus } from '../reply.ts';
import { DAY, SECOND, wholeSecond, type EpochMs } from '../time.ts';

/** The bytes to be served and the instants that bound their freshness. */
export interface Cacheable {
  readonly body: Uint8Array;
  readonly thisUpdate: EpochMs;
  readonly nextUpdate: EpochMs;
  /** When its successor is planned to be served. */
  readonly refreshAt: EpochMs;
  /** Longest max-age (ms): bounds the exposure after a revocation without purging (design decision 7). */
  readonly maxAgeCapMs: number;
  /** entityTag(body), when it is known already: a CRL need not be hashed again for each block. */
  readonly etag?: string;
}

const OCSP_RESPONSE = 'application/ocsp-response';

/** Prebuilt header blocks. */
export interface CachingBlock {
  /** For 200 (and HEAD). */
  readonly headers: string;
  /** From then on max-age would promise too much: make a new block. Never later than nextUpdate. */
  readonly goodUntil: EpochMs;
  readonly etag: string;
  readonly lastModifiedMs: EpochMs;
}

/**
 * A signed OCSP response (T-46: the content type exactly so). must-revalidate keeps a cut-off cache from serving it on
 * (H-10), no-transform from touching the DER.
 */
export function ocspCaching(response: Cacheable, nowMs: EpochMs): CachingBlock {
  return block(OCSP_RESPONSE, 'public, no-transform, must-revalidate', response, nowMs);
}

/**
 * A CRL. Its refreshAt is the next publication: B-14 relies on caches having it then, so nextUpdate is far too long
 * (T-44), for max-age as for Expires, which is what a cache of HTTP/1.0 goes by (RFC 9111 §5.3). In place of must-revalidate a cache may go on serving it until nextUpdate while the origin fails (RFC 5861 §4):
 * a relying party is better off with it than with none. No Content-Disposition: the type alone makes a browser save it, under the
 * name that the URL has.
 */
export function crlCaching(crl: Cacheable, nowMs: EpochMs): CachingBlock {
  const ifErrorS = Math.max(0, Math.floor((crl.nextUpdate - Math.max(crl.refreshAt, nowMs)) / SECOND) - 1);
  const expiresMs = Math.min(crl.refreshAt, crl.nextUpdate);
  return block('application/pkix-crl', `public, no-transform, stale-if-error=${ifErrorS}`, crl, nowMs, expiresMs);
}

/**
 * A CA certificate (RFC 5280 §4.2.2.1: DER, application/pkix-cert). It does not change; `since` is when it came to be
 * served, `maxAgeMs` how long a wrong one may linger in caches.
 */
export function certificateCaching(
  certificate: {
    readonly body: Uint8Array;
    readonly since: EpochMs;
    readonly notAfter: EpochMs;
    readonly maxAgeMs: number;
  },
  nowMs: EpochMs,
): CachingBlock {
  const { body, since, notAfter, maxAgeMs } = certificate;
  const cacheable = { body, thisUpdate: since, nextUpdate: notAfter, refreshAt: notAfter, maxAgeCapMs: maxAgeMs };
  return block('application/pkix-cert', 'public, no-transform', cacheable, nowMs);
}

/** Strong and the same on every node, because the bytes are (RFC 9919 §7.2, L-18, H-03, T-51). */
export function entityTag(body: Uint8Array): string {
  return `"${hash('sha256', body)}"`;
}

/** @param expiresMs for OCSP nextUpdate, by RFC 9919 §7.2 (L-18). */
function block(
  contentType: string,
  directives: string,
  item: Cacheable,
  nowMs: EpochMs,
  expiresMs = item.nextUpdate,
): CachingBlock {
  const etag = item.etag ?? entityTag(item.body);
  const { maxAgeS, goodUntil } = maxAge(item, nowMs);
  // H-02: never later than Date, whatever the signer's clock said; then the block changes once our clock has caught up.
  const early = item.thisUpdate > nowMs;
  const lastModifiedMs = wholeSecond(early ? nowMs : item.thisUpdate);
  // Files can be had in pieces (range.ts); a signed answer is one.
  const ranges = contentType === OCSP_RESPONSE ? '' : 'Accept-Ranges: bytes\r\n';
  const caching =
    `Cache-Control: max-age=${maxAgeS}, ${directives}\r\n` +
    `ETag: ${etag}\r\n` +
    `Expires: ${httpDate(expiresMs)}\r\n` +
    `Last-Modified: ${httpDate(lastModifiedMs)}\r\n`;
  return {
    headers: `Content-Length: ${item.body.length}\r\nContent-Type: ${contentType}\r\n${ranges}${caching}`,
    goodUntil: early ? Math.min(goodUntil, item.thisUpdate) : goodUntil,
    etag,
    lastModifiedMs,
  };
}

/**
 * For 304: the fields that the 200 with these would have had, without those of the content (RFC 9110 §15.4.5, H-05). Cut out when a
 * client asks so: kept beside the others they would be a tenth of what an answer takes in memory.
 */
export function notModifiedHeaders(headers: string): string {
  return headers.slice(headers.indexOf('Cache-Control: '));
}

/** The ETag that headers of these blocks have. */
export function entityTagIn(headers: string): string {
  const at = headers.indexOf('ETag: ') + 'ETag: '.length;
  return headers.slice(at, headers.indexOf('\r', at));
}

/**
 * L-19, T-05: a cached copy must run out before its successor is due and before nextUpdate. Far from that end the cap
 * holds and so does the block; near it, max-age falls in steps of at most an eighth of what is left, so that a block is
 * made a hundred times in the last hour and not 3600 times.
 */
function maxAge(item: Cacheable, nowMs: EpochMs): { maxAgeS: number; goodUntil: EpochMs } {
  const end = Math.min(item.refreshAt, item.nextUpdate - SECOND);
  const leftS = Math.floor((end - nowMs) / SECOND);
  if (leftS <= 0) return { maxAgeS: 0, goodUntil: item.nextUpdate };
  const step = 2 ** Math.max(0, Math.floor(Math.log2(leftS)) - 3);
  const maxAgeS = Math.min(Math.floor(item.maxAgeCapMs / SECOND), Math.floor(leftS / step) * step);
  // Right while now + max-age <= end; one millisecond later it is not.
  return { maxAgeS, goodUntil: end - maxAgeS * SECOND + 1 };
}

/**
 * Whether a GET or HEAD of a file is to be refused with 412 (RFC 9110 §13.2.2, steps 1 and 2): If-Match, by strong comparison, and
 * If-Unmodified-Since only without it, ignored when it is no HTTP-date.
 */
export function isPreconditionFailed(
  etag: string,
  lastModifiedMs: EpochMs,
  ifMatch: string | undefined,
  ifUnmodifiedSince: string | undefined,
): boolean {
  if (ifMatch !== undefined) {
    const tags: readonly string[] = ifMatch.match(/(?:W\/)?"[^"]*"/g) ?? [];
    return ifMatch.trim() !== '*' && !tags.includes(etag);
  }
  if (ifUnmodifiedSince === undefined) return false;
  const since = parseHttpDate(ifUnmodifiedSince, lastModifiedMs);
  return since !== undefined && wholeSecond(lastModifiedMs) > since;
}

/**
 * Whether a GET or HEAD may be answered 304 (RFC 9110 §13.2.2, H-04): If-None-Match decides alone when it is there,
 * by weak comparison; only then If-Modified-Since, ignored when it is no HTTP-date.
 */
export function isNotModified(
  etag: string,
  lastModifiedMs: EpochMs,
  ifNoneMatch: string | undefined,
  ifModifiedSince: string | undefined,
): boolean {
  if (ifNoneMatch !== undefined) {
    if (ifNoneMatch === etag || ifNoneMatch.trim() === '*') return true;
    // Commas may stand inside a tag, so take the quoted strings rather than split; W/ does not count (§8.8.3.2).
    const tags: readonly string[] = ifNoneMatch.match(/"[^"]*"/g) ?? [];
    return tags.includes(etag);
  }
  if (ifModifiedSince === undefined) return false;
  const since = parseHttpDate(ifModifiedSince, lastModifiedMs);
  return since !== undefined && wholeSecond(lastModifiedMs) <= since;
}

/**
 * IMF-fixdate (RFC 9110 §5.6.7): `Sun, 06 Nov 1994 08:49:37 GMT`. Answers are of few days and any second: the day's text is kept,
 * because a Date per instant costs as much as the ETag.
 */
function httpDate(ms: EpochMs): string {
  const day = Math.floor(ms / DAY);
  let date = dates.get(day);
  if (date === undefined) {
    if (dates.size === MAX_DATES) dates.clear();
    date = new Date(day * DAY).toUTCString().slice(0, -'00:00:00 GMT'.length);
    dates.set(day, date);
  }
  const second = Math.floor((ms - day * DAY) / SECOND);
  const minute = Math.floor(second / 60);
  return `${date}${TWO_DIGITS[Math.floor(minute / 60)]}:${TWO_DIGITS[minute % 60]}:${TWO_DIGITS[second % 60]} GMT`;
}

/** `Sun, 06 Nov 1994 ` by days since 1970. */
const dates = new Map<number, string>();
const MAX_DATES = 1000;
const TWO_DIGITS = Array.from({ length: 60 }, (_, number) => String(number).padStart(2, '0'));

/**
 * All three forms of RFC 9110 §5.6.7; undefined for anything else (Date.parse alone would take `2026`).
 * @param aboutMs an instant of these years: two digits of year that would lie over 50 years behind it are of the century before.
 */
function parseHttpDate(text: string, aboutMs: EpochMs): EpochMs | undefined {
  const found = IMF_FIXDATE.exec(text) ?? RFC_850.exec(text) ?? ASCTIME.exec(text);
  if (!found?.groups) return undefined;
  const { day, month, year, time } = found.groups as Record<'day' | 'month' | 'year' | 'time', string>;
  const inYear = (whole: number | string): EpochMs => Date.parse(`${day.trim()} ${month} ${whole} ${time} GMT`);
  let ms = inYear(year);
  if (year.length === 2) {
    const about = new Date(aboutMs).getUTCFullYear();
    const whole = about - (about % 100) + Number(year);
    ms = inYear(whole > about + 50 ? whole - 100 : whole);
  }
  return Number.isNaN(ms) ? undefined : ms;
}

const IMF_FIXDATE =
  /^(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), (?<day>\d\d) (?<month>[A-Z][a-z]{2}) (?<year>\d{4}) (?<time>\d\d:\d\d:\d\d) GMT$/;
const RFC_850 =
  /^(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day, (?<day>\d\d)-(?<month>[A-Z][a-z]{2})-(?<year>\d\d) (?<time>\d\d:\d\d:\d\d) GMT$/;
const ASCTIME =
  /^(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) (?<month>[A-Z][a-z]{2}) (?<day>[ \d]\d) (?<time>\d\d:\d\d:\d\d) (?<year>\d{4})$/;

/**
 * OCSPResponses without responseBytes (RFC 6960 §4.2.1), each prebuilt. HTTP 200, since clients drop the content of any
 * other status (T-47), and never cached, since they are not authoritative (RFC 9919 §7.2, L-21, T-24).
 */
export const ocspErrors = {
  malformedRequest: ocspError(1),
  internalError: ocspError(2),
  tryLater: ocspError(3),
  unauthorized: ocspError(6),
} as const;

function ocspError(responseStatus: number): Reply<200> {
  // SEQUENCE { responseStatus ENUMERATED }
  const body = Buffer.from([0x30, 0x03, 0x0a, 0x01, responseStatus]);
  return new Reply(
    200,
    `Content-Length: ${body.length}\r\nContent-Type: application/ocsp-response\r\nCache-Control: no-store\r\n`,
    body,
  );
}

/**
 * An answer signed for one request (RFC 9654): of no use to anybody else, so no cache may give it to another. RFC 9919 §7.2 forbids
 * no-store and no-cache on what is authoritative (L-20, T-53, conflict X-10). Without ETag, Last-Modified and Expires, because there
 * is nothing to revalidate, and an HTTP/1.0 cache would take the last for its leave to keep it.
 */
export function liveReply(body: Buffer): Reply<200> {
  const caching = 'private, max-age=0, must-revalidate, no-transform';
  return new Reply(
    200,
    `Content-Length: ${body.length}\r\nContent-Type: application/ocsp-response\r\nCache-Control: ${caching}\r\n`,
    body,
  );
}

/** For what is not OCSP. Every one says no-store: 404 and 405 are cacheable without it (H-09, T-54). */
export const plainReplies = {
  badRequest: plainReply(400, 'Bad request\n'),
  notFound: plainReply(404, 'Not found\n'),
  /** H-07. */
  methodNotAllowed: plainReply(405, 'Method not allowed\n', 'Allow: GET, HEAD, POST\r\n'),
  preconditionFailed: plainReply(412, 'Precondition failed\n'),
  tooLarge: plainReply(413, 'Too large\n'),
  unavailable: plainReply(503, 'Try again later\n', 'Retry-After: 5\r\n'),
  /** Too many downloads: one ends every few seconds, and a client of CRLs has hours. */
  busy: plainReply(503, 'Too many downloads\n', 'Retry-After: 30\r\n'),
} as const;

/** A small text that nobody may cache. `extra`: whole header lines. */
export function plainReply<const Status extends ReplyStatus>(status: Status, text: string, extra = ''): Reply<Status> {
  const body = Buffer.from(text, 'latin1');
  const headers = `Content-Length: ${body.length}\r\nContent-Type: text/plain\r\nCache-Control: no-store\r\n${extra}`;
  return new Reply(status, headers, body);
}
