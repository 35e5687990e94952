/**
 * Odd requests from a seed: a proper question, said in one of the ways that clients and proxies have (peers.md Part 2 §4.1
 * and §4.3), and then perhaps damaged. Up to sixteen of them go into one conversation, cut anywhere.
 */
import type { Random } from '../support/random.ts';

/** What is asked about; made by the world. */
export interface Material {
  /** DER of plain requests, several for each certificate, never-issued ones among them. */
  readonly requests: readonly Buffer[];
  /** Those of certificates that were revoked a moment ago; asked for most. */
  readonly recent: readonly Buffer[];
  readonly mounts: readonly string[];
  readonly files: readonly string[];
  readonly hosts: readonly string[];
  /** Stands where each service has its own: replaced by something of the same length. */
  readonly etagMark: string;
  readonly dateMark: string;
}

/** Requests on one connection. */
export interface Conversation {
  readonly requests: readonly Buffer[];
  /** Offsets in all of the octets at which a piece ends, ascending; the last is the end. */
  readonly cuts: readonly number[];
  /** Before each piece but the first. */
  readonly pauses: readonly Pause[];
  readonly ending: 'wait' | 'half-close' | 'reset';
}

export type Pause = 'none' | 'turn' | 'moment' | 'replies';

export class Generator {
  readonly #random: Random;
  readonly #material: Material;
  /** Words of former requests, to be said again (flows/serve/spellings.ts remembers them). */
  readonly #targets: string[] = [];
  readonly #bodies: Buffer[] = [];

  constructor(random: Random, material: Material) {
    this.#random = random;
    this.#material = material;
  }

  conversation(): Conversation {
    const random = this.#random;
    const alone = random.chance(0.4);
    // One whole request after another over a kept connection is what the listeners are quick at.
    const plain = random.chance(0.5);
    const count = alone ? 1 : 2 + random.below(15);
    const requests = Array.from({ length: count }, (_, i) => (plain && i < count - 1 ? this.#plain() : this.#odd()));
    const length = requests.reduce((sum, { length }) => sum + length, 0);
    const cuts = new Set<number>([length]);
    const pauses = new Map<number, Pause>();
    if (plain || random.chance(0.3)) {
      let at = 0;
      for (const request of requests) {
        at += request.length;
        cuts.add(at);
        pauses.set(at, plain ? 'replies' : 'turn');
      }
    }
    if (!plain || random.chance(0.1)) {
      for (let extra = random.chance(0.5) ? random.below(4) : 0; extra > 0; extra--) {
        const at = 1 + random.below(length);
        cuts.add(at);
        if (!pauses.has(at)) pauses.set(at, random.chance(0.9) ? 'turn' : random.chance(0.9) ? 'none' : 'moment');
      }
    }
    const ascending = [...cuts].sort((a, b) => a - b);
    return {
      requests,
      cuts: ascending,
      pauses: ascending.slice(0, -1).map((at) => pauses.get(at) ?? 'none'),
      ending: random.chance(0.02) ? 'reset' : random.chance(0.15) ? 'half-close' : 'wait',
    };
  }

  /** Whole, and as a usual client says it. */
  #plain(): Buffer {
    const random = this.#random;
    if (random.chance(0.03))
      return latin1(`GET ${this.#pick(this.#material.files)} HTTP/1.1\r\nHost: ${this.#host()}\r\n${this.#condition()}\r\n`); // prettier-ignore
    if (random.chance(0.75)) {
      const version = random.chance(0.03) ? '1.0' : '1.1';
      return latin1(`${random.chance(0.03) ? 'HEAD' : 'GET'} ${this.#target()} HTTP/${version}\r\nHost: ${this.#host()}\r\n${random.chance(0.2) ? this.#condition() : ''}\r\n`); // prettier-ignore
    }
    const body = this.#body();
    return Buffer.concat([
      latin1(`POST ${this.#mount() || '/'} HTTP/1.1\r\nHost: ${this.#host()}\r\nContent-Type: application/ocsp-request\r\nContent-Length: ${body.length}\r\n\r\n`),
      body,
    ]); // prettier-ignore
  }

  #odd(): Buffer {
    const random = this.#random;
    let method = random.chance(0.6)
      ? 'GET'
      : random.chance(0.75)
        ? 'POST'
        : random.chance(0.5)
          ? 'HEAD'
          : this.#pick(METHODS);
    if (random.chance(0.005)) method = method.toLowerCase();
    let target = method === 'POST' ? this.#mount() + this.#pick(['', '', '/', '?a=b', '/more']) : this.#target();
    if (target === '') target = '/';
    if (random.chance(0.03)) target = this.#pick(this.#material.files) + this.#pick(['', '', '?x', '/', '#x']);
    if (random.chance(0.02)) target = this.#pick(ODD_TARGETS);
    if (random.chance(0.02)) target = `http://${this.#host()}${target}`;
    let version = random.chance(0.08) ? '1.0' : '1.1';
    if (random.chance(0.004)) version = this.#pick(['0.9', '1.2', '2.0', '3.0', '1.9']);
    const fields: string[] = [];
    if (!random.chance(version === '1.0' ? 0.4 : 0.004)) fields.push(`${this.#case('Host')}: ${this.#host()}`);
    if (random.chance(0.004)) fields.push(`Host: ${this.#host()}`);
    if (random.chance(0.3)) fields.push(...this.#condition().split('\r\n').slice(0, -1));
    if (random.chance(0.3)) fields.push(this.#pick(HARMLESS));
    if (random.chance(0.1)) fields.push(`${this.#case('Connection')}: ${this.#pick(CONNECTIONS)}`);
    if (random.chance(0.02)) fields.push(`X-Padding: ${'x'.repeat(this.#pick([100, 1000, 4000, 9000]))}`);
    if (random.chance(0.003)) fields.push(`X-Padding: ${'x'.repeat(18_000)}`);
    if (random.chance(0.02)) fields.push(this.#pick(EXPECTATIONS));
    let body: Buffer = Buffer.alloc(0);
    if (method === 'POST' || random.chance(0.03)) {
      body = method === 'POST' ? this.#body() : random.bytes(random.below(40));
      if (random.chance(0.01)) body = Buffer.alloc(this.#pick([8191, 8192, 8193, 9000, 20_000]), 0x30);
      const framing = random.below(100);
      if (framing < 75)
        fields.push(`${this.#case('Content-Length')}:${this.#pick([' ', '', '  ', '\t'])}${body.length}`);
      else if (framing < 93) {
        fields.push(`${this.#case('Transfer-Encoding')}: ${this.#case('chunked')}`);
        body = this.#chunked(body);
      } else if (framing < 95) fields.push(`Content-Length: ${body.length + 1 + random.below(30)}`);
      else if (framing < 96) fields.push(`Content-Length: ${this.#pick(ODD_LENGTHS)}`);
      else if (framing < 97)
        fields.push(`Content-Length: ${body.length}`, `Content-Length: ${body.length + random.below(2)}`);
      else if (framing < 98) fields.push(`Content-Length: ${body.length}`, 'Transfer-Encoding: chunked');
      else if (framing < 99)
        fields.push(`Transfer-Encoding: ${this.#pick(['gzip', 'chunked, gzip', 'identity', 'xchunked'])}`);
      else body = Buffer.alloc(0);
    }
    shuffle(fields, random);
    let head = `${method} ${target} HTTP/${version}\r\n${fields.map((field) => `${field}${random.chance(0.02) && !FRAMING.test(field) ? ' \t' : ''}\r\n`).join('')}\r\n`;
    if (random.chance(0.005)) head = `\r\n${head}`;
    let octets: Buffer = Buffer.concat([latin1(head), body]);
    if (random.chance(0.02)) octets = damage(octets, random);
    if (random.chance(0.005)) octets = Buffer.from(octets.subarray(0, random.below(octets.length)));
    return octets;
  }

  #target(): string {
    const random = this.#random;
    if (this.#targets.length > 50 && random.chance(0.6)) return this.#pick(this.#targets);
    const target = this.#spell(this.#der());
    this.#keep(this.#targets, target);
    return target;
  }

  #spell(der: Buffer): string {
    const random = this.#random;
    let text = der.toString('base64');
    if (random.chance(0.3)) text = text.replace(/=+$/, '');
    if (random.chance(0.2)) text = text.replaceAll('+', '-');
    if (random.chance(0.2)) text = text.replaceAll('/', '_');
    if (random.chance(0.05)) text = text.replace(/.{64}/g, '$&\n');
    const escape = random.below(6);
    if (escape <= 1) text = encodeURIComponent(text);
    else if (escape === 2) text = encodeURIComponent(text).replace(/%../g, (found) => found.toLowerCase());
    else if (escape === 3)
      text = text.replace(/[^\n]/g, (character) => (random.chance(0.1) ? percent(character) : character));
    text = text.replaceAll('+', () => (random.chance(0.03) ? '%20' : '+')).replaceAll('\n', '%0A');
    if (random.chance(0.05)) text = text.replaceAll('%', '%25');
    if (random.chance(0.03))
      text = damage(latin1(text), random)
        .toString('latin1')
        .replace(/[\s\x00-\x1f\x7f]/g, '!');
    if (random.chance(0.1)) text += this.#pick(['/', '?', '?a=b', '#x', '//', '=', '==', '===', '%', 'A', '/?x']);
    return `${this.#mount()}${random.chance(0.1) ? '//' : '/'}${text}`;
  }

  #body(): Buffer {
    const random = this.#random;
    if (this.#bodies.length > 50 && random.chance(0.6)) return this.#pick(this.#bodies);
    const body = this.#der();
    this.#keep(this.#bodies, body);
    return body;
  }

  #der(): Buffer {
    const random = this.#random;
    const { requests, recent } = this.#material;
    let der = recent.length > 0 && random.chance(0.15) ? this.#pick(recent) : this.#pick(requests);
    if (random.chance(0.15)) der = damage(der, random);
    if (random.chance(0.03)) der = damage(der, random);
    return der;
  }

  #keep<Word>(words: Word[], word: Word): void {
    if (words.length < 2000) words.push(word);
    else words[this.#random.below(words.length)] = word;
  }

  #condition(): string {
    const { etagMark, dateMark } = this.#material;
    const etag = `"${etagMark}"`;
    const matches = [
      etag,
      `W/${etag}`,
      `"x", ${etag}`,
      '"x"',
      '*',
      `"a,b" , W/"c",${etag}`,
      etagMark,
      '',
      `"${'0'.repeat(64)}"`,
    ];
    const dates = [dateMark, 'Sun, 06 Nov 1994 08:49:37 GMT', 'Sunday, 06-Nov-94 08:49:37 GMT', 'Sun Nov  6 08:49:37 1994', 'Thu, 01 Jan 2099 00:00:00 GMT', 'Thursday, 01-Jan-99 00:00:00 GMT', 'Thu Jan  1 00:00:00 2099', 'tomorrow', '2099', '4102444800']; // prettier-ignore
    const names = [['If-None-Match', matches], ['If-Modified-Since', dates]] as const; // prettier-ignore
    const once = [['If-Match', matches], ['If-Unmodified-Since', dates], ['Range', RANGES], ['If-Range', [...matches, ...dates]]] as const; // prettier-ignore
    let text = '';
    for (const [name, values] of once)
      if (this.#random.chance(name === 'Range' ? 0.3 : 0.1)) text += `${this.#case(name)}: ${this.#pick(values)}\r\n`;
    for (const [name, values] of names) {
      for (let times = this.#random.chance(0.6) ? 1 : 0; times > 0; times -= this.#random.chance(0.95) ? 1 : 0.5)
        text += `${this.#case(name)}: ${this.#pick(values)}\r\n`;
    }
    return text;
  }

  #chunked(body: Buffer): Buffer {
    const random = this.#random;
    const parts: Buffer[] = [];
    for (let at = 0; at < body.length;) {
      const size = Math.min(body.length - at, 1 + random.below(body.length));
      const extension = random.chance(0.05) ? ';name=value' : '';
      parts.push(latin1(`${random.chance(0.1) ? '00' : ''}${size.toString(16)}${extension}\r\n`), body.subarray(at, at + size), latin1('\r\n')); // prettier-ignore
      at += size;
    }
    parts.push(latin1(random.chance(0.05) ? '0\r\nX-Trailer: a\r\n\r\n' : '0\r\n\r\n'));
    return Buffer.concat(parts);
  }

  #mount(): string {
    return this.#pick(this.#material.mounts);
  }

  #host(): string {
    return this.#pick(this.#material.hosts);
  }

  #case(name: string): string {
    const random = this.#random;
    if (random.chance(0.7)) return name;
    return random.chance(0.5) ? name.toLowerCase() : name.toUpperCase();
  }

  #pick<Item>(items: readonly Item[]): Item {
    return items[this.#random.below(items.length)] as Item;
  }
}

/** llhttp minds a tab behind the value of one of these, which RFC 9110 §5.5 allows; nobody sends one. */
const FRAMING = /^(?:content-length|transfer-encoding|connection)/i;
const METHODS = ['PUT', 'DELETE', 'OPTIONS', 'TRACE', 'PATCH', 'PROPFIND', 'CONNECT', 'BREW', 'GETS', 'PURGE'];
const ODD_TARGETS = ['/', '//', '/?x', '*', '/#', '/OcspServers', '/OcspServer?MFEw', '/../etc/passwd', '/a.crl/', '/%', '/MA', '/MAA', '/OcspServer/MAA', 'http://', 'http://a.test', 'https://b.test/?', 'ftp://a.test/', 'a', '/metrics', '/livez']; // prettier-ignore
const HARMLESS = ['User-Agent: Java/17.0.15', 'Accept: */*', 'accept:text/html, image/gif, */*; q=0.2', 'Cache-Control: no-cache', 'Pragma:', 'X-Forwarded-For: 192.0.2.1', 'Cookie: a=b; c=d', 'Via: 1.1 proxy', 'X-Latin: \xe4\xf6\xfc', 'TE: trailers', 'Upgrade: h2c', 'Trailer: X', 'Accept-Encoding: gzip, br', 'Content-Type: text/plain', "x!#$%&'*+.^_`|~: odd name", 'Authorization: Basic eA=='].filter(Boolean); // prettier-ignore
const CONNECTIONS = [
  'close',
  'Close',
  'keep-alive',
  'Keep-Alive',
  'close, x',
  'x, close',
  'TE',
  'upgrade',
  'keep-alive, x',
];
const RANGES = ['bytes=0-0', 'bytes=0-', 'bytes=10-99', 'BYTES=1-2', 'bytes=-1', 'bytes=-0', 'bytes=-99999999', 'bytes=300-', 'bytes=0-99999999', 'bytes=99999999-', 'bytes=5-2', 'bytes=1-2,4-5', 'bytes=0-,-1', 'bytes=', 'bytes=-', 'bytes', 'bytes=a-b', 'bytes=0-0x5', 'bytes=1', 'items=0-5', 'bytes=007-0008', 'bytes=18446744073709551616-', 'bytes=0-18446744073709551616', '']; // prettier-ignore
const EXPECTATIONS = ['Expect: 100-continue', 'Expect: 100-Continue', 'Expect: 200-ok', 'expect: something'];
const ODD_LENGTHS = ['', '+5', '-1', '0x10', '5, 5', '1e2', '99999999999999999999', '5 5', 'five'];

/** One to three small injuries. */
export function damage(octets: Buffer, random: Random): Buffer {
  let changed: Buffer = Buffer.from(octets);
  for (let times = 1 + random.below(3); times > 0; times--) {
    const at = random.below(changed.length || 1);
    const kind = random.below(7);
    if (kind <= 2 && changed.length > 0) changed[at] = (changed[at] as number) ^ (1 << random.below(8));
    else if (kind === 3 && changed.length > 0) changed[at] = random.below(256);
    else if (kind === 4) changed = changed.subarray(0, at);
    else if (kind === 5)
      changed = Buffer.concat([changed.subarray(0, at), random.bytes(1 + random.below(4)), changed.subarray(at)]);
    else changed = Buffer.concat([changed, random.bytes(1 + random.below(20))]);
  }
  return changed;
}

function percent(character: string): string {
  return `%${character.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`;
}

function shuffle<Item>(items: Item[], random: Random): void {
  for (let i = items.length - 1; i > 0; i--) {
    const j = random.below(i + 1);
    [items[i], items[j]] = [items[j] as Item, items[i] as Item];
  }
}

const latin1 = (text: string): Buffer => Buffer.from(text, 'latin1');
