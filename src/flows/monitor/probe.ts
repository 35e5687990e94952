/**
 * A running service as an outsider sees it, whatever stands in front of it. The same question is asked as every client spells it;
 * what it is answered by POST, where no path can be damaged, is what each spelling must be answered.
 *
 *  1. reference    POST of a request whose base64 holds `//`, `+`, `/` and `=`. No answer: nothing else is asked.
 *  2. paths        the same as GET, in every spelling (core/probe/spellings.ts).
 *  3. dialects     HTTP/1.0 with and without Host, GET and POST.
 *  4. HEAD, conditional GET, freshness of what a cache gives out.
 *  5. nonces       a POST is for who sent it.
 *  6. refusals     what is not signed is kept by nobody.
 *  7. monitors     the questions of crt.sh's OCSP monitor that are not among the others (standards §13.3).
 */
import { randomBytes } from 'node:crypto';
import { findExtension } from '../../core/der/document.ts';
import { OID } from '../../core/der/oid.ts';
import type { Issuer } from '../../core/issuer.ts';
import { encodeGetPath } from '../../core/ocsp/get-path.ts';
import type { ProbeFinding } from '../../core/probe/finding.ts';
import { fieldOf, readHttpAnswer, type HttpAnswer } from '../../core/probe/http-answer.ts';
import { judgeConditional, judgeFreshness, judgeHead, judgeHttp, judgeUncached } from '../../core/probe/http-rules.ts';
import { judgeOcsp, said, type Said } from '../../core/probe/ocsp-rules.ts';
import {
  awkwardQuestion,
  NOBODY,
  noncedQuestion,
  plainQuestion,
  type ProbeSubject,
} from '../../core/probe/question.ts';
import { spellings, tellTales, type Spelling } from '../../core/probe/spellings.ts';
import { Problem } from '../../core/problem.ts';
import { serialFromHex } from '../../core/serial.ts';
import { SECOND } from '../../core/time.ts';
import type { Clock } from '../../ports/clock.ts';
import type { Received, Sent, Wire } from '../../ports/wire.ts';

/** Where, and about whom. */
export interface ProbeTarget {
  /** As in the AIA extension of a certificate. */
  readonly url: string;
  /** NOBODY when no certificate is at hand: then there is nothing signed to look at, but every path is still tried. */
  readonly subject: ProbeSubject;
  /** Of the subject: then signatures are verified. */
  readonly issuer?: Issuer | undefined;
  /** The responder behind it is this software: then a path that it repairs betrays itself too. */
  readonly ours: boolean;
}

export interface ProbeReport {
  readonly url: string;
  /** What the subject's certificate is: `good`, `unauthorized`…; undefined when nothing answered. */
  readonly answer: string | undefined;
  readonly asked: number;
  readonly findings: readonly ProbeFinding[];
}

/** @throws Problem `invalid` for a URL that OCSP is not asked at. */
export async function probe(target: ProbeTarget, wire: Wire, clock: Clock): Promise<ProbeReport> {
  const run = new Probe(target, wire, clock);
  try {
    await run.all();
  } catch (error) {
    if (error !== GIVEN_UP) throw error;
  }
  return { url: target.url, answer: run.answer, asked: run.asked, findings: run.findings };
}

/** The parts of an AIA URL, its path as it stands there. @throws Problem `invalid` */
export function probeUrl(url: string): { host: string; port: number; authority: string; path: string } {
  const [, authority, path] = /^http:\/\/([^/?#\s]+)(\/[^?#\s]*)?$/i.exec(url) ?? [];
  const [, name, port] = /^(\[[0-9a-f:.]+\]|[^:[\]@]+)(?::(\d{1,5}))?$/i.exec(authority ?? '') ?? [];
  if (authority === undefined || name === undefined || Number(port ?? 80) > 65_535) {
    const why = 'not a URL like http://ocsp.example.com/path (OCSP goes over plain HTTP)';
    throw new Problem('invalid', why, { field: 'url', value: url, rule: 'BR 7.1.2.7.7, RFC 6960 App. A' });
  }
  return { host: name.replace(/^\[|\]$/g, ''), port: Number(port ?? 80), authority, path: path ?? '/' };
}

/** How long after an HTTP/1.0 answer the connection may stay open: a client that waits for its end waits that long. */
const CLOSE_WITHIN_MS = SECOND;
/** After so many questions without any answer nobody is there, or nobody who wants to be asked more. */
const MOST_UNANSWERED = 3;
const GIVEN_UP = new Error('given up');
/** What crt.sh asks of every responder: base64 with two slashes in a row, and with a plus, both as they stand. */
const ZEROS = { name: Buffer.alloc(20), key: Buffer.alloc(20) };
const CRT_SH_PATHS = [
  { name: 'the forward-slash test of crt.sh', serial: serialFromHex('03fffc') },
  { name: 'the unencoded-plus test of crt.sh', serial: serialFromHex('03fefc') },
];
/** Caches tell the age of what they keep in whole seconds. */
const AGEING_MS = 1100;

interface Ask {
  readonly asked: string;
  readonly method: 'GET' | 'POST' | 'HEAD';
  readonly target: string;
  readonly version?: '1.0' | '1.1';
  readonly withHost?: boolean;
  readonly fields?: readonly string[];
  readonly body?: Uint8Array;
}

class Probe {
  readonly findings: ProbeFinding[] = [];
  asked = 0;
  answer: string | undefined;
  #unanswered = 0;
  readonly #target: ProbeTarget;
  readonly #wire: Wire;
  readonly #clock: Clock;
  readonly #at: ReturnType<typeof probeUrl>;

  constructor(target: ProbeTarget, wire: Wire, clock: Clock) {
    this.#target = target;
    this.#wire = wire;
    this.#clock = clock;
    this.#at = probeUrl(target.url);
  }

  note(severity: ProbeFinding['severity'], asked: string, message: string, cause: string, rule: string): void {
    this.findings.push({ severity, asked, message, cause, rule });
  }

  async all(): Promise<void> {
    const { subject, ours } = this.#target;
    const question = awkwardQuestion(subject);
    const reference = await this.#said({ asked: 'POST', method: 'POST', target: this.#at.path, body: question });
    if (reference === undefined) return;
    this.answer = reference.word;
    for (const spelling of spellings(this.#at.path, this.#at.authority, question)) {
      await this.#spelled(spelling, reference.word);
    }
    // Of nobody, so that no cache that knows several spellings of one path answers in place of the responder.
    if (ours) for (const tale of tellTales(this.#at.path, awkwardQuestion(NOBODY))) await this.#decodedBy(tale);
    await this.#dialects();
    await this.#caching();
    await this.#nonces();
    await this.#refusals();
    await this.#monitors(reference.word);
  }

  async #spelled({ name, target, cause, severity }: Spelling, wanted: string): Promise<void> {
    const answer = await this.#ask({ asked: name, method: 'GET', target });
    if (answer === undefined) return;
    const { word } = said(answer.body);
    const got = answer.status === 200 ? word : `HTTP status ${answer.status}`;
    if (got !== wanted) this.note(severity, name, `answered ${got}, and ${wanted} by POST`, cause, 'T-49');
  }

  async #decodedBy({ name, target, cause, severity }: Spelling): Promise<void> {
    const answer = await this.#ask({ asked: name, method: 'GET', target });
    if (answer?.status !== 200) return;
    const { word } = said(answer.body);
    if (word === 'malformedRequest' || word === 'unreadable') return;
    this.note(severity, name, `answered ${word}, so the path was decoded on the way`, cause, 'T-49');
  }

  /** Most stapling software speaks HTTP/1.0 (peers.md Part 2 §4.1). */
  async #dialects(): Promise<void> {
    const question = plainQuestion(this.#target.subject);
    const target = this.#getTarget(question);
    const asks: readonly Ask[] = [
      { asked: 'GET', method: 'GET', target },
      { asked: 'GET with HTTP/1.0', method: 'GET', target, version: '1.0' },
      { asked: 'GET with HTTP/1.0, without Host', method: 'GET', target, version: '1.0', withHost: false },
      { asked: 'POST with HTTP/1.0', method: 'POST', target: this.#at.path, version: '1.0', body: question },
    ];
    const words: (string | undefined)[] = [];
    for (const ask of asks) words.push((await this.#said(ask))?.word);
    words.forEach((word, i) => {
      if (word !== undefined && words[0] !== undefined && word !== words[0]) {
        const why = 'a cache that serves an old answer, or another server behind that name';
        this.note('error', asks[i]?.asked ?? '', `answered ${word}, and ${words[0]} to a GET with HTTP/1.1`, why, 'P4');
      }
    });
  }

  async #caching(): Promise<void> {
    const question = plainQuestion(this.#target.subject);
    const target = this.#getTarget(question);
    const get = await this.#ask({ asked: 'GET', method: 'GET', target });
    const head = await this.#ask({ asked: 'HEAD', method: 'HEAD', target });
    if (get === undefined || get.status !== 200) return;
    if (head !== undefined) this.findings.push(...judgeHead('HEAD', head, get));
    const single = said(get.body).decoded?.basic?.responses[0];
    if (single === undefined) return;
    const etag = fieldOf(get, 'etag');
    if (etag !== undefined) {
      const asked = 'GET with If-None-Match';
      const again = await this.#ask({ asked, method: 'GET', target, fields: [`If-None-Match: ${etag}`] });
      if (again !== undefined) this.findings.push(...judgeConditional(asked, again));
    }
    await this.#olderThanPost(single.thisUpdate, get, question);
  }

  /** What POST brings past every cache has been there for longer than the answer of GET may be kept. */
  async #olderThanPost(thisUpdate: number, get: HttpAnswer, question: Buffer): Promise<void> {
    const post = await this.#ask({ asked: 'POST', method: 'POST', target: this.#at.path, body: question });
    const fresh = post && said(post.body).decoded?.basic?.responses[0];
    if (fresh === undefined || !(fresh.thisUpdate > thisUpdate)) return;
    const maxAgeS = Number(/max-age=(\d+)/.exec(fieldOf(get, 'cache-control') ?? '')?.[1] ?? 0);
    if (this.#clock.now() - fresh.thisUpdate <= (maxAgeS + 2) * SECOND) return;
    const cause = 'a cache that serves stale answers (Varnish grace, nginx proxy_cache_use_stale or proxy_cache_valid)';
    this.note('error', 'GET', `an older answer than by POST, past its max-age of ${maxAgeS} s`, cause, 'P4, H-10');
  }

  /** RFC 9654: an answer with a nonce is for one client. Answering without is allowed (RFC 9919 §3.2.1). */
  async #nonces(): Promise<void> {
    const asked = 'POST with a nonce';
    for (let i = 0; i < 2; i++) {
      const nonce = randomBytes(32);
      const body = noncedQuestion(this.#target.subject, nonce);
      const answer = await this.#ask({ asked, method: 'POST', target: this.#at.path, body });
      const basic = answer && said(answer.body).decoded?.basic;
      const value = basic && findExtension(basic.responseExtensions, OID.nonce)?.value;
      if (value === undefined || Buffer.from(value).subarray(2).equals(nonce)) continue;
      this.note('error', asked, 'the nonce of another request', 'a cache that keeps answers to POST', 'RFC 9654 §2');
    }
  }

  async #refusals(): Promise<void> {
    const asked = 'GET for a certificate of nobody';
    const ask: Ask = { asked, method: 'GET', target: this.#getTarget(plainQuestion(NOBODY)) };
    const first = await this.#ask(ask);
    if (first?.status !== 200 || said(first.body).decoded?.status === 'successful') return;
    await new Promise<void>((done) => this.#clock.after(AGEING_MS, done));
    const again = await this.#ask(ask);
    if (again !== undefined) this.findings.push(...judgeUncached(asked, first, again));
  }

  async #monitors(wanted: string): Promise<void> {
    const { subject, issuer } = this.#target;
    const typed: Ask = {
      asked: 'GET with a Content-Type',
      method: 'GET',
      target: this.#getTarget(plainQuestion(subject)),
      fields: ['Content-Type: application/ocsp-request'],
    };
    await this.#mustSay(typed, wanted, 'a firewall that refuses a GET with a Content-Type');
    for (const { name, serial } of CRT_SH_PATHS) {
      const question = plainQuestion({ hash: 'sha1', issuer: ZEROS, serial });
      const target = `${this.#at.path.replace(/\/$/, '')}/${question.toString('base64')}`;
      const answer = await this.#ask({ asked: name, method: 'GET', target });
      const word = answer && (answer.status === 200 ? said(answer.body).word : `HTTP status ${answer.status}`);
      if (word === undefined || word === 'unauthorized' || word === 'unknown') continue;
      const cause = 'a proxy that merges slashes, or takes + for a space';
      this.note('error', name, `answered ${word}, for a CA that nobody has`, cause, 'T-49');
    }
    if (issuer === undefined) return;
    const hash = subject.hash === 'sha1' ? 'sha256' : 'sha1';
    const other = plainQuestion({ hash, issuer: issuer.hashes[hash], serial: subject.serial });
    const asked = `GET with a ${hash} CertID`;
    await this.#mustSay({ asked, method: 'GET', target: this.#getTarget(other) }, wanted, 'a responder that knows one hash alone'); // prettier-ignore
    // "crt.sh" and fourteen random octets: nobody has issued it (B-20).
    const serial = serialFromHex(`6372742e7368${randomBytes(14).toString('hex')}`);
    const nobodys = plainQuestion({ hash: 'sha1', issuer: issuer.hashes.sha1, serial });
    for (const ask of [
      { asked: 'GET for a serial that was never issued', method: 'GET', target: this.#getTarget(nobodys) },
      { asked: 'POST for a serial that was never issued', method: 'POST', target: this.#at.path, body: nobodys },
    ] as const) {
      const answer = await this.#ask(ask);
      if (answer !== undefined && said(answer.body).word === 'good')
        this.note(
          'error',
          ask.asked,
          'answered good',
          'a responder that takes what is not revoked for good',
          'B-20, P3',
        );
    }
  }

  async #mustSay(ask: Ask, wanted: string, cause: string): Promise<void> {
    const answer = await this.#ask(ask);
    if (answer === undefined) return;
    const got = answer.status === 200 ? said(answer.body).word : `HTTP status ${answer.status}`;
    if (got !== wanted) this.note('error', ask.asked, `answered ${got}, and ${wanted} by POST`, cause, 'T-09');
  }

  #getTarget(question: Buffer): string {
    return `${this.#at.path.replace(/\/$/, '')}/${encodeGetPath(question)}`;
  }

  /** An answer in full: whether everybody can read it, and whether it may be believed. */
  async #said(ask: Ask): Promise<Said | undefined> {
    const answer = await this.#ask(ask, true);
    if (answer?.status !== 200) return undefined;
    const read = said(answer.body);
    const { subject, issuer } = this.#target;
    const nowMs = this.#clock.now();
    this.findings.push(...judgeOcsp(ask.asked, read, subject, issuer, nowMs));
    const single = read.decoded?.basic?.responses[0];
    if (single !== undefined && ask.method === 'GET')
      this.findings.push(...judgeFreshness(ask.asked, answer, single.nextUpdate, nowMs));
    return read.word === 'unreadable' ? undefined : read;
  }

  async #ask(ask: Ask, judged = false): Promise<HttpAnswer | undefined> {
    const { asked, method, target, version = '1.1', withHost = true, fields = [], body } = ask;
    const isHead = method === 'HEAD';
    const head = [
      `${method} ${target} HTTP/${version}`,
      ...(withHost ? [`Host: ${this.#at.authority}`] : []),
      ...(version === '1.1' ? ['Connection: close'] : []),
      ...(body === undefined ? [] : ['Content-Type: application/ocsp-request', `Content-Length: ${body.length}`]),
      ...fields,
    ];
    const received = await this.#exchange(asked, {
      octets: Buffer.concat([Buffer.from(`${head.join('\r\n')}\r\n\r\n`, 'latin1'), body ?? Buffer.alloc(0)]),
      isWhole: (some) => readHttpAnswer(some, isHead, false) !== undefined,
      closeWithinMs: version === '1.0' ? CLOSE_WITHIN_MS : 0,
    });
    if (received === undefined) return undefined;
    const { octets, closed } = received;
    const answer = readHttpAnswer(octets, isHead, true);
    if (answer === undefined || answer === 'not-http') {
      const why = octets.length === 0 ? 'closed without an answer' : 'no whole HTTP answer';
      this.note('error', asked, why, 'a proxy that refuses this kind of request, or gives up on the responder', 'RFC 9112'); // prettier-ignore
      return undefined;
    }
    if (judged) this.findings.push(...judgeHttp(asked, answer, version === '1.0' ? closed : undefined));
    return answer;
  }

  /** Undefined, and a finding, when there is no connection or nothing comes. The first time there is nothing else to be learnt. */
  async #exchange(asked: string, sent: Omit<Sent, 'host' | 'port'>): Promise<Received | undefined> {
    this.asked += 1;
    try {
      return await this.#wire.exchange({ host: this.#at.host, port: this.#at.port, ...sent });
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      const cause =
        'nobody listens there, a firewall, a name that leads elsewhere from here, or a server that this request ended';
      this.note('error', asked, error.line, cause, 'BR 4.10.2');
      this.#unanswered += 1;
      if (this.answer === undefined || this.#unanswered === MOST_UNANSWERED) throw GIVEN_UP;
      return undefined;
    }
  }
}
