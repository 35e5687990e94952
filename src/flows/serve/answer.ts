/**
 * From a request to its reply. Synchronous when the answer is at hand; a look into the store, and if need be a signature, when
 * it is not. Never throws, never rejects.
 *
 *  0. spelling     the very words of a request that was answered before: its entry, if it is ready. Done, nothing decoded.
 *  1. route        OCSP mount, CRL, CA certificate, or 404 (core/route.ts).
 *  2. read         GET path or POST body → OCSPRequest (core/ocsp). Not one → malformedRequest.
 *  3. whose        issuer by (name hash, key hash) in the hash asked. Not ours → unauthorized.
 *     live         a nonce, where the profile answers it: an answer for this request alone (live.ts), else as without one.
 *  4. table hit    prebuilt reply, or 304. Done, no await.
 *  5. admit        a question that needs the store, and there is no budget for it (miss-budget.ts) → tryLater.
 *  6. store        never issued → unauthorized, never `good` (P3); past its life → unauthorized.
 *  7. sign         issued but not signed yet, or nothing servable: the signer is asked and waited for, within bounds;
 *                  beyond them tryLater. A store that cannot be read, likewise.
 */
import type { CertIdHash, IssuerTag } from '../../core/certificate.ts';
import { decodeGetPath } from '../../core/ocsp/get-path.ts';
import { issuerKey, parseRequest, type AskedCertificate } from '../../core/ocsp/request.ts';
import {
  isNotModified,
  isPreconditionFailed,
  ocspErrors,
  plainReplies,
  plainReply,
} from '../../core/policy/caching.ts';
import { answerable, servable } from '../../core/policy/freshness.ts';
import { askedRange, partialHeaders } from '../../core/policy/range.ts';
import { Problem } from '../../core/problem.ts';
import { LargeReply, Reply } from '../../core/reply.ts';
import { isRootPage, RouteTable, type PublicUrl } from '../../core/route.ts';
import type { Serial } from '../../core/serial.ts';
import { SECOND, type EpochMs } from '../../core/time.ts';
import type { Clock } from '../../ports/clock.ts';
import type { Answer, Question } from '../../ports/front.ts';
import type { ServedIssuer } from '../issuer-setup.ts';
import type { LiveAnswers, LiveReply } from './live.ts';
import type { Log } from '../log.ts';
import type { AnswerMetrics, Outcome } from '../metrics.ts';
import type { Admitted, MissBudget } from './miss-budget.ts';
import type { PublicFile, PublicFiles } from './public-files.ts';
import type { Entry, Loaded, ResponseTable } from './response-table.ts';

/** Apple 2020 (peers.md): a client is never left hanging. After this long it is told tryLater. */
const WAIT_MS = 2 * SECOND;
/** A certificate may change while it is being signed: look again, but not for ever. */
const ATTEMPTS = 4;

export interface AnswerParts {
  readonly issuers: readonly ServedIssuer[];
  readonly ocspUrls: readonly PublicUrl[];
  readonly files: readonly (PublicUrl & { readonly file: PublicFile })[];
  readonly publicFiles: PublicFiles;
  readonly table: ResponseTable;
  /** Absent: whatever is not in the table is looked up. */
  readonly misses?: MissBudget;
  /** Of this process, or elsewhere (ask-elsewhere.ts). Undefined when nobody can be asked; its answer, when too much is waiting. */
  readonly ask: ((issuer: IssuerTag, serial: Serial) => Promise<void> | undefined) | undefined;
  /** Undefined: no nonce is answered. */
  readonly live?: LiveAnswers | undefined;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: AnswerMetrics;
}

export function makeAnswer(parts: AnswerParts): Answer {
  const responder = new Responder(parts);
  return (question) => responder.answer(question);
}

class Responder {
  readonly #parts: AnswerParts;
  readonly #routes: RouteTable<PublicFile>;
  readonly #issuers: Record<CertIdHash, ReadonlyMap<string, ServedIssuer>>;

  constructor(parts: AnswerParts) {
    this.#parts = parts;
    this.#routes = new RouteTable(parts.ocspUrls, parts.files);
    parts.publicFiles.eachShard((placed) => this.#routes.place(placed));
    this.#issuers = { sha1: issuersBy('sha1', parts.issuers), sha256: issuersBy('sha256', parts.issuers) };
  }

  answer(question: Question): Reply | Promise<Reply> {
    try {
      const { method } = question;
      if (method === 'GET') {
        const entry = this.#parts.table.spelled(question.target, this.#parts.clock.now());
        if (entry !== undefined) return this.#said(question, entry);
      } else if (method !== 'POST' && method !== 'HEAD')
        return this.#plain(question, 'method-not-allowed', plainReplies.methodNotAllowed);
      const route = this.#routes.find(question);
      if (route.kind === 'ocsp') {
        if (method === 'POST') return this.#posted(question, question.body ?? NOTHING);
        if (isRootPage(route)) return this.#plain(question, 'root', ROOT);
        const der = decodeGetPath(route.rest);
        if (typeof der !== 'string' && (!route.atRoot || der[0] === SEQUENCE))
          return this.#ocsp(question, der, question.target);
        // Mounted at the root, every unknown path would be "OCSP"; what cannot be a request at all is an unknown path.
        if (route.atRoot) return this.#plain(question, 'not-found', plainReplies.notFound);
        return this.#malformed(question, `get-path ${typeof der === 'string' ? der : 'encoding'}`);
      }
      if (route.kind === 'file' && method !== 'POST') return this.#file(question, route.file);
      return route.kind === 'file'
        ? this.#plain(question, 'method-not-allowed', FILE_METHODS)
        : this.#plain(question, 'not-found', plainReplies.notFound);
    } catch (error) {
      return this.#broken(question, error);
    }
  }

  #posted(question: Question, body: Uint8Array): Reply | Promise<Reply> {
    const spelling = latin1(body);
    // What does not begin as a request is none, though it were word for word the target of a GET.
    if (body[0] === SEQUENCE) {
      const entry = this.#parts.table.spelled(spelling, this.#parts.clock.now());
      if (entry !== undefined) return this.#said(question, entry);
    }
    return this.#ocsp(question, body, spelling);
  }

  /** @param spelling of the request: what leads to the same entry next time. */
  #ocsp(question: Question, der: Uint8Array, spelling: string): Reply | Promise<Reply> {
    const { metrics, live } = this.#parts;
    const request = parseRequest(der);
    if (request.kind === 'malformed') return this.#malformed(question, request.reason);
    const asked = request.kind === 'request' && request.certIds.length === 1 ? request.certIds[0] : undefined;
    // T-56, L-01: several certificates in one request are valid syntax, but no pre-signed answer fits.
    if (asked === undefined || request.kind === 'too-many')
      return this.#refused(question, 'unauthorized-many', undefined);
    // O-19: a critical extension that is not understood gets no successful response.
    if (request.criticalUnknown) return this.#refused(question, 'unauthorized-extension', asked.hash);
    if (request.nonce !== undefined) metrics.withNonce.value += 1;
    // T-09: never an answer in another hash than the one asked.
    if (asked.hash === undefined) return this.#refused(question, 'unauthorized-hash', undefined);
    const issuer = this.#issuers[asked.hash].get(asked.issuerKey);
    if (issuer === undefined) return this.#refused(question, 'unauthorized-issuer', asked.hash);
    if (request.nonce !== undefined && live !== undefined && issuer.profile.ocsp.nonce === 'live') {
      const reply = this.#nonced(question, asked, asked.hash, issuer, live, Uint8Array.from(request.nonce));
      return reply instanceof Promise ? reply.catch((error: unknown) => this.#broken(question, error)) : reply;
    }
    // What carries a nonce is counted, and comes once.
    return this.#presigned(question, asked, asked.hash, issuer, request.nonce === undefined ? spelling : undefined);
  }

  /** L-08: what carries a nonce that is not answered gets the same. */
  #presigned(
    question: Question,
    asked: AskedCertificate,
    hash: CertIdHash,
    issuer: ServedIssuer,
    spelling: string | undefined,
  ): Reply | Promise<Reply> {
    const { table, misses, clock } = this.#parts;
    const entry = table.get(hash, issuer.tag, asked.serial, clock.now());
    if (entry !== undefined) {
      if (spelling !== undefined) table.keepSpelling(spelling, entry);
      return this.#entry(question, issuer, entry);
    }
    const admitted = misses?.admit(issuer.tag, asked.serial);
    if (admitted === 'never-issued') return this.#refused(question, 'unauthorized-serial', hash);
    if (admitted === 'try-later') return this.#tryLater(question, hash);
    return this.#miss(question, asked, hash, issuer, admitted);
  }

  /** RFC 9654: an answer signed for this request alone. @param nonce not a view of the question, which the front may use again. */
  #nonced(
    question: Question,
    asked: AskedCertificate,
    hash: CertIdHash,
    issuer: ServedIssuer,
    live: LiveAnswers,
    nonce: Uint8Array,
  ): Reply | Promise<Reply> {
    const sign = (): Promise<LiveReply | undefined> | undefined => live.answer(issuer, hash, asked.serial, nonce);
    // Looked up when it is given, not before: what was pre-signed then may have been revoked since (P2).
    const presigned = (): Reply | Promise<Reply> => this.#presigned(question, asked, hash, issuer, undefined);
    const signing = sign();
    if (signing !== undefined) {
      return signing.then((signed) => {
        if (signed === undefined) return presigned();
        this.#parts.metrics.count(signed.status, question.method, question.httpVersion, hash);
        return signed.reply;
      });
    }
    const reply = presigned();
    if (!(reply instanceof Promise)) return reply;
    // It was not in memory. Now it is, and counted, unless it was never issued: then nothing is signed for it (P3).
    return reply.then(async (first) => {
      const late = sign();
      return late === undefined ? first : ((await late)?.reply ?? presigned());
    });
  }

  #entry(question: Question, issuer: ServedIssuer, entry: Entry): Reply {
    // RFC 9919 §3.2.3, T-33: records of expired certificates may be dropped, never before notAfter (B-07).
    if (!answerable(issuer.profile, entry.notAfter, this.#parts.clock.now()))
      return this.#refused(question, 'unauthorized-expired', entry.hash);
    return this.#said(question, entry);
  }

  #said(question: Question, entry: Entry): Reply {
    const { hash } = entry;
    const { ifNoneMatch, ifModifiedSince, method, httpVersion } = question;
    if (
      (ifNoneMatch !== undefined || ifModifiedSince !== undefined) &&
      method !== 'POST' &&
      isNotModified(entry.notModified.etag, entry.lastModifiedMs, ifNoneMatch, ifModifiedSince)
    ) {
      this.#parts.metrics.count('not-modified', method, httpVersion, hash);
      return entry.notModified;
    }
    this.#parts.metrics.count(entry.outcome, method, httpVersion, hash);
    return entry;
  }

  /** Never rejects. Nearly always the answer is in the store: then nothing is set up to wait for. */
  async #miss(
    question: Question,
    asked: AskedCertificate,
    hash: CertIdHash,
    issuer: ServedIssuer,
    admitted: Admitted | undefined,
  ): Promise<Reply> {
    const { table, clock } = this.#parts;
    let open = admitted;
    try {
      const now = clock.now();
      const loaded = await table.load(hash, issuer.tag, asked.serial, now);
      open = undefined;
      admitted?.settle(loaded.kind === 'unknown' ? 'never-issued' : 'found');
      const found = this.#found(question, hash, issuer, loaded, now);
      return found === 'pending' ? await this.#signed(question, asked, hash, issuer) : found;
    } catch (error) {
      open?.settle('failed');
      // A store that cannot be relied on is said by the gauges, once, and not here for each request.
      if (error instanceof Problem && error.code === 'unavailable') return this.#tryLater(question, hash);
      return this.#broken(question, error);
    }
  }

  /** Once the signer, who is asked for it, has signed. */
  async #signed(question: Question, asked: AskedCertificate, hash: CertIdHash, issuer: ServedIssuer): Promise<Reply> {
    this.#parts.metrics.signOnMiss.value += 1;
    const { table, clock, ask } = this.#parts;
    let late = false;
    let giveUp = (): void => undefined;
    const waited = new Promise<void>((resolve) => (giveUp = resolve));
    // One timer for all attempts: it bounds the wait even when the clock is set back meanwhile.
    const timer = clock.after(WAIT_MS, () => {
      late = true;
      giveUp();
    });
    try {
      for (let attempt = 1; attempt < ATTEMPTS && !late; attempt++) {
        const signing = ask?.(issuer.tag, asked.serial);
        if (signing === undefined) break;
        await Promise.race([signing, waited]);
        if (late) break;
        const now = clock.now();
        const loaded = await table.load(hash, issuer.tag, asked.serial, now);
        const reply = this.#found(question, hash, issuer, loaded, now);
        if (reply !== 'pending') return reply;
      }
    } finally {
      timer.cancel();
    }
    return this.#tryLater(question, hash);
  }

  /** `pending`: the certificate is to be answered for, and nothing servable is there. */
  #found(
    question: Question,
    hash: CertIdHash,
    issuer: ServedIssuer,
    loaded: Loaded,
    askedAt: EpochMs,
  ): Reply | 'pending' {
    if (loaded.kind === 'entry') {
      // The store may have taken its time: what is right now, counts (P4, L-19).
      const now = this.#parts.clock.now();
      if (!servable(loaded.entry, now)) return 'pending';
      loaded.entry.dress(now);
      return this.#entry(question, issuer, loaded.entry);
    }
    if (loaded.kind === 'unknown') return this.#refused(question, 'unauthorized-serial', hash);
    if (!answerable(issuer.profile, loaded.certificate.notAfter, askedAt))
      return this.#refused(question, 'unauthorized-expired', hash);
    return 'pending';
  }

  /** P4: nothing servable is left. Said loudly by the freshness gauges; to the client, tryLater, never an expired answer. */
  #tryLater(question: Question, hash: CertIdHash): Reply {
    this.#parts.metrics.count('try-later', question.method, question.httpVersion, hash);
    return ocspErrors.tryLater;
  }

  /** Preconditions in the order of RFC 9110 §13.2.2; the range comes last, and is GET's alone (§14.2). */
  #file(question: Question, file: PublicFile): Reply {
    const { publicFiles, clock, metrics } = this.#parts;
    const found = publicFiles.get(file, clock.now());
    if (found === undefined) return this.#plain(question, 'try-later', plainReplies.unavailable);
    const { etag, lastModifiedMs } = found.block;
    const { method, httpVersion } = question;
    if (isPreconditionFailed(etag, lastModifiedMs, question.ifMatch, question.ifUnmodifiedSince))
      return this.#plain(question, 'precondition-failed', plainReplies.preconditionFailed);
    if (isNotModified(etag, lastModifiedMs, question.ifNoneMatch, question.ifModifiedSince)) {
      metrics.count('not-modified', method, httpVersion, undefined);
      return found.notModified;
    }
    const { reply } = found;
    const whole = reply.body.length;
    const asked = method === 'GET' ? askedRange(question.range, question.ifRange, etag, whole) : 'whole';
    if (asked === 'unsatisfiable') {
      const unsatisfiable = plainReply(416, 'Range not satisfiable\n', `Content-Range: bytes */${whole}\r\n`);
      return this.#plain(question, 'range-not-satisfiable', unsatisfiable);
    }
    const sent = asked === 'whole' ? reply : part(reply, asked);
    if (method === 'GET' && sent instanceof LargeReply && !sent.hasRoom())
      return this.#plain(question, 'busy', plainReplies.busy);
    metrics.count(asked === 'whole' ? file.kind : 'partial', method, httpVersion, undefined);
    return sent;
  }

  #malformed(question: Question, reason: string): Reply {
    this.#parts.metrics.malformed(reason);
    this.#parts.metrics.count('malformed', question.method, question.httpVersion, undefined);
    return ocspErrors.malformedRequest;
  }

  #refused(question: Question, outcome: Outcome, hash: CertIdHash | undefined): Reply {
    this.#parts.metrics.count(outcome, question.method, question.httpVersion, hash);
    return ocspErrors.unauthorized;
  }

  #plain(question: Question, outcome: Outcome, reply: Reply): Reply {
    this.#parts.metrics.count(outcome, question.method, question.httpVersion, undefined);
    return reply;
  }

  /** Our own fault, or the store's: internalError, uncacheable, logged without the question (it may be personal data). */
  #broken(question: Question, error: unknown): Reply {
    this.#parts.metrics.count('internal-error', question.method, question.httpVersion, undefined);
    this.#parts.log.error({ err: error }, 'a request could not be answered');
    return ocspErrors.internalError;
  }
}

function issuersBy(hash: CertIdHash, issuers: readonly ServedIssuer[]): ReadonlyMap<string, ServedIssuer> {
  return new Map(
    issuers.map((served) => [issuerKey(served.issuer.hashes[hash].name, served.issuer.hashes[hash].key), served]),
  );
}

/** A view of the one body. */
function part(reply: Reply, { first, last }: { readonly first: number; readonly last: number }): Reply {
  const headers = partialHeaders(reply.headers, { first, last }, reply.body.length);
  const body = reply.body.subarray(first, last + 1);
  return reply instanceof LargeReply ? reply.part(headers, body) : new Reply(206, headers, body);
}

function latin1(octets: Uint8Array): string {
  return Buffer.from(octets.buffer, octets.byteOffset, octets.length).toString('latin1');
}

const NOTHING = Buffer.alloc(0);
const SEQUENCE = 0x30;
const ROOT = plainReply(200, 'OCSP and CRL responder\n');
const FILE_METHODS = plainReply(405, 'Method not allowed\n', 'Allow: GET, HEAD\r\n');
