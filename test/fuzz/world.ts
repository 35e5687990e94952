/**
 * Two services for the same two CAs, one for each way in which the public listener holds connections, and what is known about
 * their certificates. Answers are taken in by another decoder (test/support/ocsp-client.ts), signature and all; from then on
 * they are compared octet by octet.
 */
import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { exchange } from '../support/http.ts';
import {
  issuerFromFile,
  ocspRequest,
  readAnswer,
  readCrl,
  type CertIdHash,
  type OcspIssuer,
} from '../support/ocsp-client.ts';
import { OpensslCa } from '../support/openssl-ca.ts';
import { Service } from '../support/service.ts';
import { damage, type Material } from './generate.ts';
import type { Conditions, Listener, Site } from './http-model.ts';
import { makeRandom } from '../support/random.ts';

export interface Certificate {
  readonly issuer: 0 | 1;
  readonly serial: string;
  /** Events so far (World.now) when the revocation was sent, and when it was acknowledged by all services. */
  revokedFrom: number;
  revokedSince: number;
}

/** Octets that may be served, and the validators that they are served with. */
export interface Known {
  readonly body: Buffer;
  readonly etag: string;
  readonly lastModified: number;
  readonly type: string;
}

/** A listener of a running service. */
export interface Target {
  readonly name: 'public, bare' | 'public, socket' | 'origin';
  readonly listener: Listener;
  readonly port: number;
  readonly place: Place;
}

/** What one service has published, as seen so far. */
export interface Place {
  readonly service: Service;
  readonly good: Map<string, Known[]>;
  readonly revoked: Map<string, Known[]>;
  readonly files: Known[][];
}

const ISSUERS = [
  { id: 'first', host: 'a.test', ocsp: 'a.test/OcspServer' },
  { id: 'second', host: 'b.test', ocsp: 'b.test/ocsp/ev' },
] as const;
/** Of both issuers, so that only Host tells whose is meant. */
const FILES = ['/a.crl', '/a.crt'];
const GOOD_OF_EACH = 110;
const REVOKED_OF_EACH = 20;
const NEVER_OF_EACH = 20;

export class World {
  readonly places: readonly Place[];
  readonly targets: readonly Target[];
  readonly site: Site;
  readonly material: Material;
  readonly certificates: readonly Certificate[];
  /** Counts sendings and acknowledgements of revocations. */
  now = 0;
  readonly #cas: readonly OpensslCa[];
  readonly #issuers: readonly OcspIssuer[];
  /** Not asked to be revoked yet. */
  readonly #unrevoked: number[] = [];
  readonly #recent: Buffer[] = [];
  /** Key of the certificate by the last segment of a GET path. */
  readonly #spelled = new Map<string, string>();

  private constructor(
    cas: readonly OpensslCa[],
    services: readonly Service[],
    serials: readonly (readonly string[])[],
  ) {
    this.#cas = cas;
    this.#issuers = cas.map((ca) => issuerFromFile(ca.certificateFile));
    this.places = services.map((service) => ({
      service,
      good: new Map(),
      revoked: new Map(),
      files: [[], [], [], []],
    }));
    const [bare, socket] = this.places as [Place, Place];
    this.targets = [
      { name: 'public, bare', listener: 'public', port: bare.service.ports.public, place: bare },
      { name: 'origin', listener: 'origin', port: bare.service.ports.origin, place: bare },
      { name: 'public, socket', listener: 'public', port: socket.service.ports.public, place: socket },
    ];
    this.certificates = serials.flatMap((list, issuer) =>
      list.map((serial): Certificate => {
        const hex = serial.toLowerCase();
        return { issuer: issuer as 0 | 1, serial: parseInt(hex.slice(0, 2), 16) & 0x80 ? `00${hex}` : hex, revokedFrom: Infinity, revokedSince: Infinity }; // prettier-ignore
      }),
    );
    const issuers = new Map<string, 0 | 1>();
    for (const [i, { name, key }] of this.#issuers.entries())
      for (const hash of ['sha1', 'sha256'] as const) {
        const digest = (octets: Buffer): string => createHash(hash).update(octets).digest('hex');
        issuers.set(`${hash}${digest(name)}${digest(key)}`, i as 0 | 1);
      }
    const bySerial = new Map(this.certificates.map(({ issuer, serial }, i) => [`${issuer}${serial}`, i]));
    this.site = {
      mounts: ['/OcspServer', '/ocsp/ev', ''],
      paths: new Set(FILES),
      files: new Map(ISSUERS.flatMap(({ host }, i) => FILES.map((path, j) => [host + path, FILES.length * i + j]))),
      find: (hash, issuer, serial) => {
        const which = issuers.get(hash + issuer);
        return which === undefined ? undefined : (bySerial.get(`${which}${serial}`) ?? 'never issued');
      },
    };
    this.material = {
      requests: this.#requests(),
      recent: this.#recent,
      mounts: this.site.mounts,
      files: FILES,
      hosts: ['a.test', 'b.test', 'A.TEST:8080', '127.0.0.1', 'other.test', ''],
      etagMark: 'e'.repeat(64),
      dateMark: 'Sat, 01 Jan 2000 00:00:00 GMT',
    };
  }

  static async open(): Promise<World> {
    const cas = ISSUERS.map(({ id }) => new OpensslCa({ subject: `/C=JP/O=certstatus tests/CN=Fuzzed ${id}` }));
    const responders = cas.map((ca) => ca.issueResponder());
    const serials = cas.map((ca) => ca.issue({ count: GOOD_OF_EACH }).map(({ serial }) => serial));
    const revoked = cas.map((ca) => {
      const issued = ca.issue({ count: REVOKED_OF_EACH });
      for (const certificate of issued) ca.revoke(certificate, '-crl_reason', 'superseded');
      return issued.map(({ serial }) => serial);
    });
    const services = await Promise.all(['bare', 'socket'].map((hold) => startService(hold, cas, responders)));
    const world = new World(
      cas,
      services,
      serials.map((list, i) => [...list, ...(revoked[i] as readonly string[])]),
    );
    for (const [i, certificate] of world.certificates.entries()) {
      const wasRevoked = (revoked[certificate.issuer] as readonly string[]).some((serial) =>
        certificate.serial.endsWith(serial.toLowerCase()),
      );
      if (wasRevoked) certificate.revokedFrom = certificate.revokedSince = 0;
      else world.#unrevoked.push(i);
    }
    for (const place of world.places) await world.#learn(place);
    return world;
  }

  /** Whether these octets may be what the service says about the file or the certificate now; learns them if so. */
  take(place: Place, certificate: number, hash: CertIdHash, body: Buffer, type: string): Known | undefined {
    const { issuer, serial } = this.certificates[certificate] as Certificate;
    try {
      const seen = { status: 200, headers: { 'content-type': type }, body };
      const { status, thisUpdate } = readAnswer(seen, this.#issuers[issuer] as OcspIssuer, serial, hash);
      if (status !== 'good' && status !== 'revoked') return undefined;
      const known = knownAs(body, type, thisUpdate as number);
      listOf(place[status], certificate, hash).push(known);
      return known;
    } catch {
      return undefined;
    }
  }

  /** The same for a CRL. */
  takeCrl(place: Place, file: number, body: Buffer): Known | undefined {
    try {
      const { thisUpdate } = readCrl(body, this.#issuers[file >> 1] as OcspIssuer);
      const known = knownAs(body, 'application/pkix-crl', thisUpdate);
      (place.files[file] as Known[]).push(known);
      return known;
    } catch {
      return undefined;
    }
  }

  /** Revokes the next certificate in each service; from the acknowledgement on nobody may hear `good`. False: none is left. */
  async revokeNext(): Promise<boolean> {
    const at = this.#unrevoked.pop();
    if (at === undefined) return false;
    const certificate = this.certificates[at] as Certificate;
    certificate.revokedFrom = ++this.now;
    const { id } = ISSUERS[certificate.issuer];
    const body = { revocations: [{ serial: certificate.serial, reason: 'superseded' }] };
    await Promise.all(
      this.places.map(async ({ service }) => {
        const answer = await service.api('POST', `/v1/issuers/${id}/revocations`, body);
        if (answer.status !== 200) throw new Error(`revocation refused: ${JSON.stringify(answer)}`);
      }),
    );
    certificate.revokedSince = ++this.now;
    this.#recent.push(...this.#requestsOf(certificate));
    if (this.#recent.length > 30) this.#recent.splice(0, this.#recent.length - 30);
    return true;
  }

  async close(): Promise<void> {
    await Promise.all(this.places.map(({ service }) => service.remove()));
    for (const ca of this.#cas) ca.remove();
  }

  /** Puts the service's own validators in place of the marks. */
  dress(octets: Buffer, place: Place): Buffer {
    const { etagMark, dateMark } = this.material;
    if (!octets.includes(etagMark, 0, 'latin1') && !octets.includes(dateMark, 0, 'latin1')) return octets;
    const text = octets.toString('latin1');
    const [some] = place.good.get(keyOf(0, 'sha1')) as Known[];
    const known = this.#knownIn(text, place) ?? (some as Known);
    const date = new Date(known.lastModified).toUTCString();
    return Buffer.from(text.replaceAll(etagMark, known.etag.slice(1, -1)).replaceAll(dateMark, date), 'latin1');
  }

  /** Of the usual spellings; the others get the validators of some certificate, which do not match. */
  #knownIn(text: string, place: Place): Known | undefined {
    const [, path = ''] = /^\s*\S+ (\S+)/.exec(text) ?? [];
    const key = this.#spelled.get(path.slice(path.lastIndexOf('/') + 1));
    if (key !== undefined) return (place.revoked.get(key) ?? place.good.get(key))?.at(-1);
    const file = this.site.files.get(ISSUERS[0].host + path);
    return file === undefined ? undefined : place.files[file]?.at(-1);
  }

  #requests(): Buffer[] {
    const random = makeRandom(1);
    const never = this.#issuers.flatMap((issuer) =>
      Array.from({ length: NEVER_OF_EACH }, () =>
        ocspRequest(issuer, random.serial(), random.chance(0.5) ? 'sha1' : 'sha256'),
      ),
    );
    const issued = this.certificates.flatMap((certificate) => this.#requestsOf(certificate));
    const stranger = { name: Buffer.from('nobody'), key: Buffer.from('nothing') };
    const nonces = this.certificates
      .slice(0, 20)
      .flatMap(({ issuer, serial }) =>
        [1, 16, 32, 128, 129].map((length) =>
          ocspRequest(this.#issuers[issuer] as OcspIssuer, serial, 'sha1', random.bytes(length)),
        ),
      );
    const wrongIssuer = this.certificates
      .slice(0, 10)
      .map(({ issuer, serial }) => ocspRequest(this.#issuers[1 - issuer] as OcspIssuer, serial));
    const shaped = issued.slice(0, 40).flatMap((der) => shapes(der, issued));
    return [
      ...issued,
      ...issued,
      ...never,
      ...nonces,
      ...wrongIssuer,
      ...shaped,
      ocspRequest(stranger, '01'),
      damage(issued[0] as Buffer, random),
    ];
  }

  #requestsOf({ issuer, serial }: Certificate): Buffer[] {
    return (['sha1', 'sha256'] as const).map((hash) => ocspRequest(this.#issuers[issuer] as OcspIssuer, serial, hash));
  }

  /** Asks for everything once, so that what comes later can be compared. */
  async #learn(place: Place): Promise<void> {
    const { service } = place;
    const port = service.ports.public;
    for (const [i, { issuer, serial, revokedSince }] of this.certificates.entries()) {
      for (const hash of ['sha1', 'sha256'] as const) {
        const der = ocspRequest(this.#issuers[issuer] as OcspIssuer, serial, hash);
        if (place === this.places[0]) this.#spelled.set(encodeURIComponent(der.toString('base64')), keyOf(i, hash));
        const headers = { 'content-type': 'application/ocsp-request' };
        const answer = await exchange({ port, path: '/OcspServer', method: 'POST', headers, body: der });
        const known = this.take(place, i, hash, answer.body, String(answer.headers['content-type']));
        const expected = revokedSince === 0 ? place.revoked : place.good;
        if (known === undefined || listOf(expected, i, hash).length !== 1)
          throw new Error(`certificate ${i}: ${answer.status} ${answer.body.toString('hex').slice(0, 40)}`);
      }
    }
    for (const [file, { host }] of ISSUERS.flatMap((issuer) => [issuer, issuer]).entries()) {
      const answer = await exchange({ port, path: file % 2 === 0 ? '/a.crl' : '/a.crt', headers: { host } });
      if (file % 2 === 0 && this.takeCrl(place, file, answer.body) !== undefined) continue;
      const der = (this.#issuers[file >> 1] as OcspIssuer).certificate.raw;
      if (file % 2 === 0 || !der.equals(answer.body)) throw new Error(`file ${file}: ${answer.status}`);
      place.files[file]?.push(
        knownAs(der, 'application/pkix-cert', Date.parse(String(answer.headers['last-modified']))),
      );
    }
  }
}

async function startService(
  hold: string,
  cas: readonly OpensslCa[],
  responders: readonly { file: string; keyFile: string }[],
): Promise<Service> {
  const service = await Service.create();
  const run = async (...args: readonly string[]): Promise<void> => {
    const { code, stderr } = await service.run(...args);
    if (code !== 0) throw new Error(`${args.join(' ')}: ${stderr}`);
  };
  await run('init');
  const config = join(service.data, 'certstatus.yaml');
  writeFileSync(config, readFileSync(config, 'utf8').replace('hold: bare', `hold: ${hold}`));
  for (const [i, { id, host, ocsp }] of ISSUERS.entries()) {
    const [ca, responder] = [cas[i] as OpensslCa, responders[i] as { file: string; keyFile: string }];
    await run('issuer', 'add', id, '--ca', ca.certificateFile, '--responder-cert', responder.file, '--responder-key', responder.keyFile, '--crl-key', ca.keyFile, '--preset', 'baseline',
      '--ocsp-path', ocsp, '--ocsp-path', `${host}/`, '--crl-path', `${host}/a.crl`, '--ca-path', `${host}/a.crt`); // prettier-ignore
    await run('import', 'index', ca.indexFile, '--issuer', id);
  }
  await service.start();
  return service;
}

/** A request in the forms that are seldom or never sent: signed, named, with extensions, for several certificates, with another hash. */
function shapes(der: Buffer, others: readonly Buffer[]): Buffer[] {
  const single = der.subarray(der[1] === undefined ? 0 : 6);
  const request = (list: Buffer, { before = NONE, after = NONE, signature = NONE } = {}): Buffer =>
    sequence(sequence(before, sequence(list), after), signature);
  const extension = (oid: string, value: Buffer, critical?: number): Buffer =>
    sequence(
      wrap(0x06, Buffer.from(oid, 'hex')),
      critical === undefined ? NONE : Buffer.of(1, 1, critical),
      wrap(0x04, value),
    );
  const list = (...extensions: Buffer[]): Buffer => wrap(0xa2, sequence(...extensions));
  const nonce = extension('2b0601050507300102', wrap(0x04, Buffer.alloc(16, 5)));
  const response = extension('2b0601050507300104', sequence(wrap(0x06, Buffer.from('2b0601050507300101', 'hex'))));
  const many = (count: number): Buffer => Buffer.concat(others.slice(0, count).map((other) => other.subarray(6)));
  return [
    request(single, { before: Buffer.from('a003020100', 'hex') }),
    request(single, { before: Buffer.from('a003020101', 'hex') }),
    request(single, { before: wrap(0xa1, wrap(0xa4, sequence())) }),
    request(single, { after: list(response) }),
    request(single, { after: list(response, nonce) }),
    request(single, { after: list(nonce, nonce) }),
    request(single, { after: list(extension('2a0304', NONE, 0xff)) }),
    request(single, { after: list(extension('2a0304', NONE, 0)) }),
    request(single, { after: list(extension('2a0304', NONE)) }),
    request(single, { after: list(extension('2b0601050507300104', NONE, 0xff)) }),
    request(single, { after: list(...Array.from({ length: 17 }, (_, i) => extension(`2a03${(i + 1).toString(16).padStart(2, '0')}`, NONE))) }),
    request(single, { after: list() }),
    request(single, { signature: wrap(0xa0, sequence(sequence(), wrap(0x03, Buffer.alloc(65)))) }),
    request(Buffer.concat([sequence(single.subarray(2), wrap(0xa0, sequence(nonce)))])),
    request(Buffer.concat([sequence(single.subarray(2), wrap(0xa0, sequence(extension('2a0304', NONE, 1))))])),
    request(NONE), request(many(2)), request(many(8)), request(many(9)), request(many(40)),
    // SHA-384 is a hash, but none that is served (T-09).
    request(sequence(sequence(sequence(wrap(0x06, Buffer.from('608648016503040202', 'hex')), Buffer.of(5, 0)), wrap(4, Buffer.alloc(48, 1)), wrap(4, Buffer.alloc(48, 2)), Buffer.of(2, 1, 7)))),
    Buffer.from(der.toString('hex').replace('06052b0e03021a0500', '06052b0e03021a'), 'hex'),
    Buffer.concat([der, Buffer.of(0)]), NONE, Buffer.of(0x30, 0), Buffer.of(0x30, 0x80, 0, 0),
  ]; // prettier-ignore
}

const NONE: Buffer = Buffer.alloc(0);
const sequence = (...parts: readonly Buffer[]): Buffer => wrap(0x30, Buffer.concat(parts));

function wrap(tag: number, content: Buffer): Buffer {
  const { length } = content;
  const header = length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.of(tag, ...header), content]);
}

function knownAs(body: Buffer, type: string, sinceMs: number): Known {
  // L-18: the tag is made of the octets. A copy: what comes off a connection is part of something larger.
  const etag = `"${createHash('sha256').update(body).digest('hex')}"`;
  return { body: Buffer.from(body), etag, lastModified: Math.floor(sinceMs / 1000) * 1000, type };
}

const keyOf = (certificate: number, hash: CertIdHash): string => hash + String(certificate);

export function listOf(known: Map<string, Known[]>, certificate: number, hash: CertIdHash): Known[] {
  const key = keyOf(certificate, hash);
  let list = known.get(key);
  if (list === undefined) known.set(key, (list = []));
  return list;
}

/** RFC 9110 §13.1.1 and §13.1.4: what the client wants is another one, so 412. */
export function isForeign({ etag, lastModified }: Known, { ifMatch, ifUnmodifiedSince }: Conditions): boolean {
  // Strong comparison: a weak tag matches nothing.
  if (ifMatch !== undefined) return ifMatch.trim() !== '*' && !(ifMatch.match(/(?:W\/)?"[^"]*"/g) ?? []).some((tag) => tag === etag); // prettier-ignore
  const until = ifUnmodifiedSince === undefined ? NaN : instantOf(ifUnmodifiedSince);
  return lastModified > until;
}

/** RFC 9110 §14.2 and §13.1.5: undefined for the whole. Several ranges are answered with it too. */
export function rangeOf(
  { etag, body: { length } }: Known,
  { range, ifRange }: Conditions,
): { readonly first: number; readonly last: number } | 'none of it' | undefined {
  if (range === undefined || (ifRange !== undefined && ifRange !== etag)) return undefined;
  const [, unit, from = '', to = ''] = /^([a-z]+)=(\d*)-(\d*)$/i.exec(range) ?? [];
  if (unit?.toLowerCase() !== 'bytes' || from + to === '') return undefined;
  if (from === '')
    return BigInt(to) === 0n ? 'none of it' : { first: Math.max(0, length - Number(to)), last: length - 1 };
  if (to !== '' && BigInt(to) < BigInt(from)) return undefined;
  if (BigInt(from) >= BigInt(length)) return 'none of it';
  return { first: Number(from), last: to === '' ? length - 1 : Math.min(length - 1, Number(to)) };
}

/** RFC 9110 §13.2.2. */
export function isUnchanged({ etag, lastModified }: Known, { ifNoneMatch, ifModifiedSince }: Conditions): boolean {
  if (ifNoneMatch !== undefined) {
    if (ifNoneMatch.trim() === '*') return true;
    return (ifNoneMatch.match(/"[^"]*"/g) as string[] | null)?.includes(etag) === true;
  }
  return ifModifiedSince !== undefined && lastModified <= instantOf(ifModifiedSince);
}

/** NaN for what is no HTTP-date, which is ignored (RFC 9110 §13.1.3, §13.1.4). */
function instantOf(text: string): number {
  if (!isHttpDate(text)) return NaN;
  // RFC 9110 §5.6.7: 94 and 99, which the generator has, would be over 50 years ahead.
  const year = text.replace(/-(\d\d) /, '-19$1 ');
  return Date.parse(year.endsWith('GMT') ? year : `${year} GMT`);
}

/** The three forms of RFC 9110 §5.6.7, a word at a time: Date.parse makes a date of nearly anything. */
function isHttpDate(text: string): boolean {
  const days = ['Sun', 'Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat'];
  const months = 'Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec'.split(' ');
  const isTime = (word = ''): boolean => /^\d\d:\d\d:\d\d$/.test(word);
  const [first = '', ...words] = text.split(' ');
  if (days.includes(first)) {
    // asctime: a day below ten has a space of its own in front.
    if (words[1] === '' && /^\d$/.test(words[2] ?? '')) words.splice(1, 2, `0${words[2]}`);
    const [month = '', day = '', time, year = '', ...rest] = words;
    const numbers = /^\d\d$/.test(day) && /^\d{4}$/.test(year);
    return months.includes(month) && numbers && isTime(time) && rest.length === 0;
  }
  if (!first.endsWith(',')) return false;
  if (days.includes(first.slice(0, -1))) {
    const [day = '', month = '', year = '', time, zone, ...rest] = words;
    const numbers = /^\d\d$/.test(day) && /^\d{4}$/.test(year);
    return months.includes(month) && numbers && isTime(time) && zone === 'GMT' && rest.length === 0;
  }
  const weekdays = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday'];
  const [date = '', time, zone, ...rest] = words;
  const [day = '', month = '', year = '', ...more] = date.split('-');
  const numbers = /^\d\d$/.test(day) && /^\d\d$/.test(year) && more.length === 0;
  const isDate = numbers && months.includes(month) && weekdays.includes(first.slice(0, -1));
  return isDate && isTime(time) && zone === 'GMT' && rest.length === 0;
}
