/**
 * Plays one conversation on one listener, and holds every octet that comes back against what is owed: the right status, the
 * very answer for the certificate asked, in the order of the requests, with the fields of its kind, and nothing else.
 */
import { connect, type Socket } from 'node:net';
import type { Conversation, Pause } from './generate.ts';
import { REFUSALS, whatIsOwed, type Conditions, type Owed, type Reply, type Sent } from './http-model.ts';
import { isForeign, isUnchanged, listOf, rangeOf, type Known, type Target, type World } from './world.ts';

/** No reply for so long is a hang. */
const PATIENCE_MS = 10_000;
/** How the fault of a hang begins. */
export const HANG = 'nothing came';
const MOMENT_MS = 5;
const RESET_MS = 2;

export interface Played {
  /** What went wrong; undefined when nothing did. */
  readonly fault: string | undefined;
  /** Words for the tally, one for each reply. */
  readonly replies: readonly string[];
}

/** Calls `done` once, when the conversation is over. */
export class Play {
  readonly #world: World;
  readonly #target: Target;
  readonly #conversation: Conversation;
  readonly #done: (played: Played) => void;
  readonly #octets: Buffer;
  readonly #sent: Sent;
  readonly #socket: Socket;
  readonly #replies: string[] = [];
  /** World.now when the octets up to this offset had not been sent yet. */
  readonly #sentAt: (readonly [number, number])[] = [];
  #nextPiece = 0;
  #received: Buffer = Buffer.alloc(0);
  #owedAt = 0;
  #waitsForReplies = false;
  #ended = false;
  #wasReset = false;
  #over = false;
  #movedAt = Date.now();

  constructor(world: World, target: Target, conversation: Conversation, done: (played: Played) => void) {
    this.#world = world;
    this.#target = target;
    this.#conversation = conversation;
    this.#done = done;
    this.#octets = Buffer.concat(conversation.requests.map((request) => world.dress(request, target.place)));
    this.#sent = whatIsOwed(target.listener, this.#octets, world.site);
    this.#socket = connect({ port: target.port, host: '127.0.0.1', noDelay: true, allowHalfOpen: true });
    this.#socket.on('data', (chunk: Buffer) => {
      this.#movedAt = Date.now();
      this.#received = this.#received.length === 0 ? chunk : Buffer.concat([this.#received, chunk]);
      this.#look();
    });
    const ended = (): void => {
      this.#ended = true;
      this.#look();
    };
    this.#socket.on('end', ended);
    this.#socket.on('error', () => {
      this.#wasReset = true;
      ended();
    });
    this.#socket.on('close', ended);
  }

  start(): void {
    this.#send();
  }

  /** To be called now and then. */
  checkClock(nowMs: number): void {
    if (!this.#over && nowMs - this.#movedAt > PATIENCE_MS) this.#finish(`${HANG} for ${PATIENCE_MS} ms`);
  }

  /** What came and is not read yet, and what was owed. */
  describe(): string {
    const owed = this.#sent.owed[this.#owedAt];
    return [
      `listener: ${this.#target.name}`,
      `sent (hex): ${this.#octets.toString('hex')}`,
      `sent: ${JSON.stringify(this.#octets.toString('latin1'))}`,
      `pieces end at ${this.#conversation.cuts.join(', ')}; between them: ${this.#conversation.pauses.join(', ')}; then ${this.#conversation.ending}`,
      `replies so far: ${this.#replies.join(', ')} of ${this.#sent.owed.length}, then ${this.#sent.then}`,
      `expected: ${JSON.stringify(owed)}`,
      `received: ${JSON.stringify(this.#received.toString('latin1').slice(0, 600))}${this.#ended ? ', and the end' : ''}`,
    ].join('\n');
  }

  #send(): void {
    const { cuts, pauses, ending } = this.#conversation;
    while (!this.#over && this.#nextPiece < cuts.length) {
      const piece = this.#nextPiece++;
      // Dressing changes no length, so the cuts stay right.
      const [from, to] = [piece === 0 ? 0 : (cuts[piece - 1] as number), cuts[piece] as number];
      this.#sentAt.push([to, this.#world.now]);
      if (!this.#ended) this.#socket.write(this.#octets.subarray(from, to));
      if (this.#nextPiece === cuts.length) break;
      if (this.#paused(pauses[piece] as Pause, to)) return;
    }
    if (ending === 'reset') {
      // Late enough that some of it has been sent, early enough to cross with replies.
      setTimeout(() => {
        this.#socket.resetAndDestroy();
        this.#finish(undefined);
      }, RESET_MS);
    } else if (ending === 'half-close') this.#socket.end();
    // Where nothing is owed nothing may come; a moment is given for it.
    if (this.#sent.owed.length === this.#owedAt) setTimeout(() => this.#look(), MOMENT_MS);
  }

  #paused(pause: Pause, sentTo: number): boolean {
    if (pause === 'none') return false;
    if (pause === 'turn') setImmediate(() => this.#send());
    else if (pause === 'moment') setTimeout(() => this.#send(), MOMENT_MS);
    else if (this.#allRepliedTo(sentTo)) return false;
    else this.#waitsForReplies = true;
    return true;
  }

  #allRepliedTo(offset: number): boolean {
    const next = this.#sent.owed[this.#owedAt];
    return next === undefined || next.end > offset;
  }

  #look(): void {
    if (this.#over) return;
    const { owed, then } = this.#sent;
    while (this.#owedAt < owed.length) {
      const fault = this.#takeReply(owed[this.#owedAt] as Owed);
      if (fault === 'wait') break;
      if (fault !== undefined) return this.#finish(fault);
    }
    if (this.#over) return;
    const next = owed[this.#owedAt];
    if (next !== undefined) {
      if (this.#ended && (this.#mayEndNow || this.#mayBeLate())) return this.#finish(undefined);
      // A client that is done sending, and whose last words were none, hears the replies before them, and perhaps no refusal.
      const isRefusal = next.replies.every((reply) => reply.kind === 'status' && REFUSALS.has(reply.status));
      if (this.#ended && this.#conversation.ending === 'half-close' && isRefusal) return this.#finish(undefined);
      if (this.#ended && this.#sentTo > this.#lastEnd) return this.#finish(undefined);
      // Whose last words are no request may lose replies to a reset: its octets meet a closed socket (RFC 9112 §9.6). It is rare, and the test
      // counts them.
      if (this.#ended && this.#wasReset && then !== 'open') {
        this.#replies.push(LOST);
        return this.#finish(undefined);
      }
      if (this.#ended)
        return this.#finish(`the connection ended before the reply${this.#wasReset ? ', by a reset' : ''}`);
      return this.#goOn();
    }
    if (then === 'unknown') return this.#finish(undefined);
    if (then === 'broken') {
      // It may say so, or wait for the rest, ask for it (100), or just end.
      const status = /^HTTP\/1\.1 (\d{3}) /.exec(this.#received.toString('latin1', 0, 20))?.[1];
      if (this.#received.length > 12 && status !== '100' && !REFUSALS.has(Number(status))) return this.#finish('no refusal of what is no whole request'); // prettier-ignore
      if (this.#nextPiece === this.#conversation.cuts.length || this.#ended) this.#finish(undefined);
      else this.#goOn();
      return;
    }
    if (this.#received.length > 0) return this.#finish('octets that nothing was owed for');
    if (then === 'closed' || this.#conversation.ending === 'half-close') {
      if (this.#ended) this.#finish(undefined);
      else this.#goOn();
      return;
    }
    this.#finish(this.#ended && !this.#mayEndNow ? 'the connection ended, though it was to be kept' : undefined);
  }

  /**
   * What was revoked a moment ago waits for its signature; then the origin listener ends the connection for the request behind it
   * (see http-model.ts).
   */
  #mayBeLate(): boolean {
    if (this.#target.listener !== 'origin') return false;
    return this.#sent.owed.some(({ replies }) =>
      replies.some((reply) => {
        if (reply.kind !== 'certificate') return false;
        const from = this.#world.certificates[reply.certificate]?.revokedFrom ?? 0;
        return from > 0 && from !== Infinity;
      }),
    );
  }

  #goOn(): void {
    if (!this.#waitsForReplies || !this.#allRepliedTo(this.#sentTo)) return;
    this.#waitsForReplies = false;
    this.#send();
  }

  /** `wait`: it has not all come. */
  #takeReply(owed: Owed): string | undefined {
    const headEnd = this.#received.indexOf('\r\n\r\n', 0, 'latin1');
    if (headEnd < 0) return 'wait';
    const head = readHead(this.#received.toString('latin1', 0, headEnd));
    if (head === undefined) return 'no reply that is HTTP';
    const from = headEnd + 4;
    if (head.status === 100) {
      if (!owed.continues) return '100 without being asked';
      this.#received = this.#received.subarray(from);
      return this.#takeReply(owed);
    }
    // What is refused before its method is known has a body, whatever the method.
    const refused = REFUSALS.has(head.status) && head.closes && this.#received.length > from;
    const bodiless = head.status === 304 || (owed.headersOnly && !refused);
    let to = from;
    if (!bodiless) {
      if (head.length === undefined) {
        // RFC 9112 §6.3: then it ends with the connection. Only the engines' own refusals are so.
        if (!REFUSALS.has(head.status)) return 'no Content-Length';
        if (!this.#ended) return 'wait';
        to = this.#received.length;
      } else to = from + head.length;
    }
    if (to > this.#received.length) return this.#ended ? 'the connection ended in the middle of a reply' : 'wait';
    const body = this.#received.subarray(from, to);
    const word = owed.replies.reduce<string | undefined>(
      (found, reply) => found ?? this.#fits(reply, owed, head, bodiless ? undefined : body),
      undefined,
    );
    if (word === undefined) {
      if (this.#sentTo <= this.#sent.lostFrom || !REFUSALS.has(head.status) || !head.closes) return 'another reply than what is owed'; // prettier-ignore
      this.#finish(undefined);
      return 'wait';
    }
    this.#replies.push(word);
    this.#received = this.#received.subarray(to);
    this.#owedAt++;
    return undefined;
  }

  /** A word for the tally when the reply is what is owed. @param body undefined where none is sent */
  #fits(reply: Reply, owed: Owed, head: Head, body: Buffer | undefined): string | undefined {
    const { status, cacheControl } = head;
    switch (reply.kind) {
      case 'status':
        if (status !== reply.status) return undefined;
        // T-54, but for what the engine of the origin listener says for itself.
        if (cacheControl !== 'no-store' && !(this.#target.listener === 'origin' && REFUSALS.has(status)))
          return undefined;
        return `HTTP ${status}`;
      case 'error': {
        return isError(head, body, ERRORS[reply.word]) ? reply.word : undefined;
      }
      case 'certificate': {
        const { certificate, hash, conditions } = reply;
        const { place } = this.#target;
        const { revokedFrom, revokedSince } = this.#world.certificates[certificate] as World['certificates'][number];
        // P2: who asked after the acknowledgement hears `revoked`.
        const mayBeGood = this.#askedAt(owed.end) < revokedSince;
        const fits = (list: readonly Known[]): boolean =>
          list.some((known) => sameReply(known, conditions, head, body));
        if (mayBeGood && fits(listOf(place.good, certificate, hash))) return 'good';
        if (revokedFrom !== Infinity && fits(listOf(place.revoked, certificate, hash))) return 'revoked';
        // Revoked a moment ago, or signed again since, and its octets have not come yet: then only its fields can be judged.
        const unseen = revokedFrom !== Infinity && listOf(place.revoked, certificate, hash).length === 0;
        const known = [...listOf(place.good, certificate, hash), ...listOf(place.revoked, certificate, hash)];
        const isNew =
          revokedFrom !== Infinity && head.etag !== undefined && known.every(({ etag }) => etag !== head.etag);
        if (isNew && (status === 304 ? conditions !== undefined : body === undefined)) return 'revoked';
        // Its signature was waited for longer than a client is kept, on a machine with too much else to do. The test counts them.
        if (unseen && isError(head, body, TRY_LATER)) return LATE;
        if (body === undefined || status !== 200) return undefined;
        // Signed anew: look closely, and know it from now on.
        const taken = this.#world.take(place, certificate, hash, body, head.type);
        if (taken === undefined || !sameReply(taken, conditions, head, body)) return undefined;
        if (listOf(place.revoked, certificate, hash).includes(taken))
          return revokedFrom === Infinity ? undefined : 'revoked';
        return mayBeGood ? 'good' : undefined;
      }
      case 'file': {
        const { file, conditions } = reply;
        const known = this.#target.place.files[file] as Known[];
        for (const one of known) {
          const word = fileWord(one, conditions, head, body);
          if (word !== undefined) return word;
        }
        // Of a CRL that is new since then, and was not sent whole: only that it is another can be judged.
        if (file % 2 === 0 && known.every(({ etag }) => etag !== head.etag)) {
          if (status === 206) return conditions?.range === undefined ? undefined : 'part';
          const isOther = known.every(({ body: { length } }) => head.contentRange !== `bytes */${length}`);
          if (status === 416) return conditions?.range !== undefined && isOther ? 'HTTP 416' : undefined;
          if (status === 412) return (conditions?.ifMatch ?? '*') === '*' ? undefined : 'HTTP 412';
        }
        // A CRL that is new since then.
        if (file % 2 !== 0 || body === undefined) return file % 2 === 0 && status !== 404 ? 'file' : undefined;
        const fresh = this.#world.takeCrl(this.#target.place, file, body);
        return fresh && fileWord(fresh, conditions, head, body);
      }
    }
  }

  /**
   * Where the last request ends that the listener has to read. A client that sends more behind what it called its last
   * request meets a closed port, and its kernel may forget the replies (RFC 9112 §9.6).
   */
  get #lastEnd(): number {
    return this.#sent.then === 'closed' ? (this.#sent.owed.at(-1)?.end ?? 0) : Infinity;
  }

  get #mayEndNow(): boolean {
    return this.#sentTo >= this.#sent.endsFrom || this.#sentTo > this.#sent.lostFrom;
  }

  get #sentTo(): number {
    return this.#conversation.cuts[this.#nextPiece - 1] as number;
  }

  /** World.now before the last octet of a request was sent. */
  #askedAt(end: number): number {
    return this.#sentAt.find(([to]) => to >= end)?.[1] ?? this.#world.now;
  }

  #finish(fault: string | undefined): void {
    if (this.#over) return;
    this.#over = true;
    this.#socket.destroy();
    this.#done({ fault, replies: this.#replies });
  }
}

/** The words for them in the tally. */
export const LOST = 'lost to a reset';
export const LATE = 'tryLater';

/** @param body undefined where none is sent */
function isError({ status, type, cacheControl, etag, length }: Head, body: Buffer | undefined, word: Buffer): boolean {
  if (status !== 200 || type !== 'application/ocsp-response' || cacheControl !== 'no-store') return false;
  return etag === undefined && length === word.length && (body === undefined || body.equals(word));
}

/** RFC 9110 §13.2.2 in its order, for one that may be the current one. */
function fileWord(
  known: Known,
  conditions: Conditions | undefined,
  head: Head,
  body: Buffer | undefined,
): string | undefined {
  const { length } = known.body;
  if (conditions !== undefined && isForeign(known, conditions))
    return head.status === 412 && head.cacheControl === 'no-store' && head.etag === undefined ? 'HTTP 412' : undefined;
  const mayBeUnchanged = conditions?.unclear === true && head.status === 304;
  if (mayBeUnchanged || (conditions?.unclear === false && isUnchanged(known, conditions)))
    return sameReply(known, conditions, head, body) ? 'file' : undefined;
  const wanted = conditions && rangeOf(known, conditions);
  if (wanted === undefined) return sameReply(known, conditions, head, body) ? 'file' : undefined;
  if (wanted === 'none of it') {
    const told = head.status === 416 && head.cacheControl === 'no-store' && head.contentRange === `bytes */${length}`;
    return told ? 'HTTP 416' : undefined;
  }
  const { first, last } = wanted;
  const piece = known.body.subarray(first, last + 1);
  if (head.status !== 206 || head.contentRange !== `bytes ${first}-${last}/${length}`) return undefined;
  if (head.etag !== known.etag || head.lastModified !== known.lastModified || head.type !== known.type)
    return undefined;
  if (head.length !== piece.length || !CACHED.test(head.cacheControl)) return undefined;
  return body === undefined || body.equals(piece) ? 'part' : undefined;
}

function sameReply(
  known: Known,
  conditions: ({ readonly unclear: boolean } & Parameters<typeof isUnchanged>[1]) | undefined,
  head: Head,
  body: Buffer | undefined,
): boolean {
  if (head.etag !== known.etag || head.lastModified !== known.lastModified) return false;
  const unchanged = conditions !== undefined && isUnchanged(known, conditions);
  if (head.status === 304) return unchanged || conditions?.unclear === true;
  if (unchanged && conditions?.unclear !== true) return false;
  if (head.status !== 200 || head.type !== known.type || head.length !== known.body.length) return false;
  if (head.contentRange !== undefined || !CACHED.test(head.cacheControl)) return false;
  return body === undefined || body.equals(known.body);
}

interface Head {
  readonly status: number;
  readonly length: number | undefined;
  readonly type: string;
  readonly etag: string | undefined;
  readonly lastModified: number;
  readonly cacheControl: string;
  readonly contentRange: string | undefined;
  readonly closes: boolean;
}

/** Undefined when it is none, or is framed in another way than by its length (peers.md Part 2 §4.2). */
function readHead(text: string): Head | undefined {
  const known = heads.get(text);
  if (known !== undefined) return known;
  const [, code] = /^HTTP\/1\.1 (\d{3}) [A-Z][A-Za-z ]+(?:\r\n[A-Za-z-]+: [\x20-\x7e]*)*$/.exec(text) ?? [];
  if (code === undefined || /^(?:transfer-encoding|content-encoding|vary):/im.test(text)) return undefined;
  const field = (name: string): string | undefined => new RegExp(`^${name}: (.*)\r?$`, 'im').exec(text)?.[1]?.trim();
  const length = field('content-length');
  const status = Number(code);
  const head: Head = {
    status,
    length: length === undefined ? undefined : Number(length),
    type: field('content-type') ?? '',
    etag: field('etag'),
    lastModified: Date.parse(field('last-modified') ?? ''),
    cacheControl: field('cache-control') ?? '',
    contentRange: field('content-range'),
    closes: field('connection')?.toLowerCase() === 'close' || status === 505,
  };
  if (heads.size > 5000) heads.clear();
  heads.set(text, head);
  return head;
}

/** The same heads come thousands of times a second. */
const heads = new Map<string, Head>();

const ERRORS = {
  malformedRequest: Buffer.from('30030a0101', 'hex'),
  unauthorized: Buffer.from('30030a0106', 'hex'),
} as const;
const CACHED = /^max-age=\d+, public, no-transform/;
const TRY_LATER = Buffer.from('30030a0103', 'hex');
