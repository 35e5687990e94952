/**
 * What each listener owes for the octets that a client has sent, by RFC 9110 and 9112 read slowly: one message after the
 * other, each by regular expressions. Where a listener may choose, the model says what it may choose from, and why.
 */
import { METHODS } from 'node:http';
import { readPath, readRequest } from './request-model.ts';

export type Listener = 'public' | 'origin';

/** What a whole request is owed. */
export type Reply =
  /** A reply of this listener with a small text, or the engine's own. */
  | { readonly kind: 'status'; readonly status: number }
  | { readonly kind: 'error'; readonly word: 'malformedRequest' | 'unauthorized' }
  | { readonly kind: 'certificate'; readonly certificate: number; readonly hash: 'sha1' | 'sha256'; readonly conditions: Conditions | undefined }
  | { readonly kind: 'file'; readonly file: number; readonly conditions: Conditions | undefined }; // prettier-ignore

export interface Conditions {
  readonly ifNoneMatch: string | undefined;
  readonly ifModifiedSince: string | undefined;
  /** These count for files alone. */
  readonly ifMatch: string | undefined;
  readonly ifUnmodifiedSince: string | undefined;
  /** Of GET alone (RFC 9110 §14.2). */
  readonly range: string | undefined;
  readonly ifRange: string | undefined;
  /** The listener may take either validator of a field sent twice. */
  readonly unclear: boolean;
}

export interface Owed {
  /** Where the request ends: from then on it is whole. */
  readonly end: number;
  /** One of these. */
  readonly replies: readonly Reply[];
  readonly headersOnly: boolean;
  /** 100 may come first. */
  readonly continues: boolean;
}

export interface Sent {
  readonly owed: readonly Owed[];
  /**
   * After the last reply: `open`; `closed` by the listener; `broken`: the rest is no whole request, and is refused by one of
   * `refusals`, or waited for; `unknown`: what the engine makes of the rest is not ours to say.
   */
  readonly then: 'open' | 'closed' | 'broken' | 'unknown';
  /**
   * From this offset on the origin listener's engine reads no request. It says so at once, ahead of the replies to whatever came in
   * the same packet, which are lost; and it closes with octets unread, so that even its refusal can be lost (RFC 9112 §9.6).
   */
  readonly lostFrom: number;
  /**
   * Once octets from here on have been sent, the listener may end the connection instead of replying. The origin listener does
   * when a request comes before the reply to the one before is ready; the replies to whatever came in the same packet are lost then. The
   * public listener does behind a request that wants 100 and stands in a pipeline: its reply says that it is the last.
   */
  readonly endsFrom: number;
}

/** The service as the model knows it. */
export interface Site {
  /** OCSP mounts without a slash at the end, longest first. */
  readonly mounts: readonly string[];
  /** Paths of which each host has its own file, and nobody else any. */
  readonly paths: ReadonlySet<string>;
  /** Number of the file by host and path. */
  readonly files: ReadonlyMap<string, number>;
  /** Number of the certificate; `never issued` by an issuer of ours; undefined: not ours. */
  find(hash: 'sha1' | 'sha256', issuer: string, serial: string): number | 'never issued' | undefined;
}

/** Octets of a refusal that the engine gives before it has seen a whole request. */
export const REFUSALS = new Set([400, 408, 413, 417, 431, 501, 505]);

const MAX_HEAD = 16_384;
const MAX_BODY = 8192;
const TOKEN = "[!#$%&'*+.^_`|~0-9A-Za-z-]+";
const REQUEST_LINE = new RegExp(`^(${TOKEN}) ([\\x21-\\x7e\\x80-\\xff]+) HTTP/(\\d)\\.(\\d)$`);
const CHUNK_EXTENSION = new RegExp(`^(?:;${TOKEN}(?:=(?:${TOKEN}|"[\\t !#-\\[\\]-~]*"))?)+$`);
const FIELD_LINE = new RegExp(`^(${TOKEN}):[ \\t]*([\\t\\x20-\\x7e\\x80-\\xff]*?)[ \\t]*$`);

interface Message {
  readonly method: string;
  readonly target: string;
  readonly version: string;
  readonly fields: ReadonlyMap<string, readonly string[]>;
  /** Octets after the head. */
  readonly bodyAt: number;
}

export function whatIsOwed(listener: Listener, octets: Buffer, site: Site): Sent {
  const owed: Owed[] = [];
  let at = 0;
  let endsFrom = Infinity;
  const over = (then: Sent['then']): Sent => {
    // The engine of the origin listener does not look at every octet of a head or a chunk.
    if (listener === 'origin' && then === 'broken') then = 'unknown';
    return { owed, then, lostFrom: listener === 'origin' && then !== 'open' ? at : Infinity, endsFrom };
  };
  for (;;) {
    if (at === octets.length) return over('open');
    if (octets[at] === 0x0d || octets[at] === 0x0a) {
      // RFC 9112 §2.2: an empty line before a request is passed over, a bare LF included. The origin listener gives no reply after one.
      if (listener === 'origin') return over('unknown');
      at++;
      continue;
    }
    const message = readHead(octets, at);
    if (message === undefined) {
      return over('broken');
    }
    const turn = (listener === 'public' ? publicTurn : originTurn)(message, octets, at, site);
    if (turn.owed !== undefined) owed.push(turn.owed);
    if (turn.lastly === true) endsFrom = Math.min(endsFrom, (turn.owed as Owed).end);
    if (turn.then !== 'next') return over(turn.then);
    at = (turn.owed as Owed).end;
  }
}

interface Turn {
  readonly owed?: Owed;
  readonly then: Sent['then'] | 'next';
  /** The connection may end instead of a reply to whatever follows, see Sent.endsFrom. */
  readonly lastly?: boolean;
}

function publicTurn(message: Message, octets: Buffer, at: number, site: Site): Turn {
  const { method, version, fields, target } = message;
  const refuse = (...statuses: number[]): Turn => ({
    owed: owe(octets.length, statuses.map(status), { headersOnly: method === 'HEAD', continues: fields.has('expect') }),
    then: 'closed',
  });
  if (message.bodyAt - at > MAX_HEAD) return refuse(431, 400);
  /** Refused when its head is read: what follows is unread, and may make the kernel forget the refusal. */
  const last = (...statuses: number[]): Turn => ({
    owed: owe(message.bodyAt, statuses.map(status), { headersOnly: method === 'HEAD' }),
    then: 'closed',
  });
  // llhttp knows a list of methods, and is done with a request at the first that is not on it.
  if (!METHODS.includes(method)) return refuse(400);
  if (method === 'CONNECT') return refuse(400, 405, 417);
  if (version !== '1.1' && version !== '1.0') return last(400, 417);
  // No URI has such octets (RFC 3986 §2).
  if (/[^!-~]/.test(target)) return refuse(400);
  if (!/^(?:\/|\*|[a-z]+:\/\/)/i.test(target)) return refuse(400);
  // llhttp looks at the characters of an authority, and we do not.
  const oddAuthority = /^\*.|^[a-z]+:\/\/(?![A-Za-z0-9.-]*(?::\d*)?(?:[/?#]|$))/i.test(target);
  const framing = readBody(message, octets);
  if (framing.kind === 'unclear') return refuse(400, 417);
  const hosts = fields.get('host') ?? [];
  // RFC 9112 §3.2.
  if (hosts.length > 1 || (hosts.length === 0 && version === '1.1')) return last(400, 417);
  // The engine keeps the words of Expect to HTTP/1.1 (RFC 9110 §10.1.1).
  const expect = version === '1.1' ? fields.get('expect') : undefined;
  const continues = expect !== undefined && /(?:^|\W)100-continue(?:$|\W)/i.test(expect.join(', '));
  if (expect !== undefined && !continues) return last(417);
  const headersOnly = method === 'HEAD';
  if (framing.declared > MAX_BODY || (framing.body?.length ?? 0) > MAX_BODY) {
    return {
      owed: owe(Math.min(framing.end, octets.length), [status(413)], { headersOnly, continues }),
      then: 'closed',
    };
  }
  if (framing.kind === 'incomplete') return { then: 'broken' };
  const { replies } = decide(message, framing.body ?? Buffer.alloc(0), 'public', site);
  // A recipient passes over the extensions that it does not know (RFC 9112 §7.1.1), and may refuse what is none.
  if (oddAuthority || framing.odd === true)
    return { owed: owe(octets.length, [...replies, status(400)], { headersOnly, continues }), then: 'unknown' };
  // That engine may lose what follows a request with Upgrade, so none is awaited.
  const isDeaf = fields.has('upgrade');
  const closes = version === '1.0' || tokens(fields.get('connection')).includes('close') || isDeaf;
  return {
    owed: owe(framing.end, replies, { headersOnly, continues }),
    then: closes ? 'closed' : 'next',
    lastly: continues,
  };
}

function originTurn(message: Message, octets: Buffer, at: number, site: Site): Turn {
  const { method, version, fields, target } = message;
  const refuse = (...statuses: number[]): Turn => ({
    owed: owe(octets.length, statuses.map(status), { headersOnly: method === 'HEAD' }),
    then: 'closed',
  });
  if (message.bodyAt - at > MAX_HEAD) return refuse(431);
  if (version !== '1.1') return refuse(505);
  if (!target.startsWith('/')) return refuse(400, 404, 505);
  const hosts = fields.get('host') ?? [];
  if (hosts.length !== 1) return refuse(400);
  const framing = readBody(message, octets);
  if (framing.kind === 'unclear') return { then: 'unknown' };
  const headersOnly = method === 'HEAD';
  // RFC 9110 §10.1.1 has it only where a body is to come; that engine says it to everyone who asks.
  const continues = fields.has('expect');
  // By GET and HEAD the body counts for nothing, and the reply does not wait for it.
  const waits = method !== 'GET' && method !== 'HEAD';
  if (waits && (framing.body?.length ?? 0) > MAX_BODY) {
    // What came in the same packet is still answered, if the connection lasts so long.
    return { owed: owe(framing.end, [status(413)], { headersOnly, continues }), then: 'unknown' };
  }
  if (framing.kind === 'incomplete' && (waits || framing.declared === 0)) return { then: 'broken' };
  const { replies, late } = decide(message, framing.body ?? Buffer.alloc(0), 'origin', site);
  const end = framing.kind === 'incomplete' ? octets.length : framing.end;
  if (framing.extended === true) {
    // It reads neither chunk extensions nor trailers, which RFC 9112 §7.1 would have it pass over.
    return { owed: owe(end, [...replies, status(400), status(505)], { headersOnly, continues }), then: 'unknown' };
  }
  const owed = owe(end, replies, { headersOnly, continues });
  // It may close behind such a request, and may go on with what came in the same packet.
  const isLast = tokens(fields.get('connection')).includes('close');
  const then = framing.kind === 'incomplete' ? 'broken' : isLast ? 'unknown' : 'next';
  return { owed, then, lastly: late };
}

/** Route, method and question: the same on both listeners. */
function decide(message: Message, body: Buffer, listener: Listener, site: Site): { replies: Reply[]; late: boolean } {
  const { method, fields } = message;
  const now = (...replies: Reply[]) => ({ replies, late: false });
  if (method !== 'GET' && method !== 'HEAD' && method !== 'POST') return now(status(405));
  let path = message.target;
  let host = fields.get('host')?.[0] ?? '';
  // RFC 9110 §4.2.1: without a host it is none.
  const absolute = /^https?:\/\/([^/?#]+)/i.exec(path);
  if (absolute !== null) {
    host = absolute[1] as string;
    path = path.slice(absolute[0].length) || '/';
  }
  const conditions = method === 'POST' ? undefined : readConditions(fields, listener, method === 'GET');
  const plain = path.replace(/[?#].*$/s, '');
  const file = site.files.get(host.replace(/:\d*$/, '').toLowerCase() + plain);
  if (file !== undefined) return now(method === 'POST' ? status(405) : { kind: 'file', file, conditions });
  if (site.paths.has(plain)) return now(status(404));
  const mount = site.mounts.find((prefix) => path.startsWith(prefix) && /^(?:[/?]|$)/.test(path.slice(prefix.length)));
  if (mount === undefined) return now(status(404));
  const rest = path.slice(mount.length);
  let der: Buffer | undefined = body;
  if (method !== 'POST') {
    // A person or a load balancer at the root of the site; and there, what can be no request is an unknown path.
    if (mount === '' && /^\/?(?:\?|$)/.test(rest)) return now(status(200));
    der = readPath(rest);
    if (mount === '' && der?.[0] !== 0x30) return now(status(404));
  }
  const asked = der === undefined ? { kind: 'malformed' as const } : cachedRequest(der);
  if (asked.kind === 'malformed') return now({ kind: 'error', word: 'malformedRequest' });
  const refused: Reply = { kind: 'error', word: 'unauthorized' };
  if (asked.kind === 'refused') return now(refused);
  const certificate = site.find(asked.hash, asked.issuer, asked.serial);
  if (certificate === undefined) return now(refused);
  if (certificate === 'never issued') return { replies: [refused], late: true };
  return now({ kind: 'certificate', certificate, hash: asked.hash, conditions });
}

const CONDITIONS = ['if-none-match', 'if-modified-since', 'if-match', 'if-unmodified-since', 'range'];

function readConditions(fields: Message['fields'], listener: Listener, isGet: boolean): Conditions | undefined {
  const [match, since] = [fields.get('if-none-match'), fields.get('if-modified-since')];
  if (!CONDITIONS.some((name) => fields.has(name))) return undefined;
  // If-None-Match is a list, so two fields are one (RFC 9110 §5.3); the origin listener reads the first, which costs a 200.
  const unclear = (match?.length ?? 0) > 1 || (since?.length ?? 0) > 1;
  // An empty field is as good as none to that engine.
  const absent = listener === 'origin' ? '' : undefined;
  const ifNoneMatch = match?.join(', ');
  // The generator sends each of these once.
  const only = (name: string): string | undefined => {
    const [value] = fields.get(name) ?? [];
    return value === absent ? undefined : value;
  };
  return {
    ifMatch: only('if-match'),
    ifUnmodifiedSince: only('if-unmodified-since'),
    range: isGet ? only('range') : undefined,
    ifRange: only('if-range'),
    ifNoneMatch: ifNoneMatch === absent ? undefined : ifNoneMatch,
    ifModifiedSince: since?.[0],
    unclear,
  };
}

interface Framing {
  readonly kind: 'whole' | 'incomplete' | 'unclear';
  readonly end: number;
  readonly body: Buffer | undefined;
  readonly declared: number;
  /** With chunk extensions or trailers. */
  readonly extended?: boolean;
  /** One of the extensions is not as RFC 9112 §7.1.1 has it. */
  readonly odd?: boolean;
}

/** RFC 9112 §6. `unclear`: what a server had better refuse, since another may read another length. */
function readBody({ fields, bodyAt }: Message, octets: Buffer): Framing {
  const coding = fields.get('transfer-encoding');
  const lengths = fields.get('content-length');
  const unclear: Framing = { kind: 'unclear', end: bodyAt, body: undefined, declared: 0 };
  if (coding !== undefined) {
    if (lengths !== undefined || coding.length > 1 || (coding[0] as string).toLowerCase() !== 'chunked') return unclear;
    return readChunks(octets, bodyAt);
  }
  if (lengths === undefined) return { kind: 'whole', end: bodyAt, body: undefined, declared: 0 };
  if (lengths.length > 1 || !/^\d{1,15}$/.test(lengths[0] as string)) return unclear;
  const declared = Number(lengths[0]);
  const end = bodyAt + declared;
  if (end > octets.length) return { kind: 'incomplete', end, body: octets.subarray(bodyAt), declared };
  return { kind: 'whole', end, body: octets.subarray(bodyAt, end), declared };
}

function readChunks(octets: Buffer, from: number): Framing {
  const parts: Buffer[] = [];
  let at = from;
  let extended = false;
  let odd = false;
  const soFar = (kind: Framing['kind'], end: number): Framing => ({
    kind,
    end,
    body: Buffer.concat(parts),
    declared: 0,
    extended,
    odd,
  });
  for (;;) {
    const lineEnd = octets.indexOf('\r\n', at, 'latin1');
    if (lineEnd < 0) return soFar('incomplete', octets.length);
    const [, digits, extension] = /^([0-9A-Fa-f]{1,8})(;[!-~]*)?$/.exec(octets.toString('latin1', at, lineEnd)) ?? [];
    if (digits === undefined) return soFar('incomplete', octets.length);
    if (extension !== undefined) extended = true;
    if (extension !== undefined && !CHUNK_EXTENSION.test(extension)) odd = true;
    const size = parseInt(digits, 16);
    at = lineEnd + 2;
    if (size === 0) break;
    parts.push(octets.subarray(at, at + size));
    at += size + 2;
    if (at > octets.length) return soFar('incomplete', octets.length);
    if (octets.toString('latin1', at - 2, at) !== '\r\n') return soFar('incomplete', octets.length);
  }
  for (;;) {
    const lineEnd = octets.indexOf('\r\n', at, 'latin1');
    if (lineEnd < 0) return soFar('incomplete', octets.length);
    const line = octets.toString('latin1', at, lineEnd);
    at = lineEnd + 2;
    if (line === '') return soFar('whole', at);
    extended = true;
    if (!FIELD_LINE.test(line)) return soFar('incomplete', octets.length);
  }
}

/** Undefined when it is not whole, or not HTTP. */
function readHead(octets: Buffer, at: number): Message | undefined {
  const headEnd = octets.indexOf('\r\n\r\n', at, 'latin1');
  if (headEnd < 0) return undefined;
  const [first = '', ...lines] = octets.toString('latin1', at, headEnd).split('\r\n');
  const [, method, target, major, minor] = REQUEST_LINE.exec(first) ?? [];
  if (method === undefined || target === undefined) return undefined;
  const fields = new Map<string, string[]>();
  for (const line of lines) {
    const [, name, value] = FIELD_LINE.exec(line) ?? [];
    if (name === undefined) return undefined;
    const known = fields.get(name.toLowerCase());
    if (known === undefined) fields.set(name.toLowerCase(), [value as string]);
    else known.push(value as string);
  }
  return { method, target, version: `${major}.${minor}`, fields, bodyAt: headEnd + 4 };
}

function tokens(values: readonly string[] | undefined): string[] {
  return (values ?? []).join(',').toLowerCase().split(',').map((token) => token.trim()); // prettier-ignore
}

const status = (code: number): Reply => ({ kind: 'status', status: code });

function owe(
  end: number,
  replies: readonly Reply[],
  { headersOnly, continues = false }: { readonly headersOnly: boolean; readonly continues?: boolean },
): Owed {
  return { end, replies, headersOnly, continues };
}

/** The same requests come again and again, and three listeners are asked each. */
function cachedRequest(der: Buffer): ReturnType<typeof readRequest> {
  const key = der.toString('latin1');
  let known = seen.get(key);
  if (known === undefined) {
    if (seen.size > 20_000) seen.clear();
    known = readRequest(der);
    seen.set(key, known);
  }
  return known;
}

const seen = new Map<string, ReturnType<typeof readRequest>>();
