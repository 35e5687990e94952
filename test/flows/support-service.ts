/** The flows wired as `serve` wires them, over the real store and journal in a directory of its own, with a turned clock. */
import type { CrlSource } from '../../src/ports/crl-archive.ts';
import { COMPLETE_ONLY } from '../../src/core/crl/shards.ts';
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { FileCrlArchive } from '../../src/adapters/crl-archive/file-archive.ts';
import { EmbeddedStore } from '../../src/adapters/embedded/store.ts';
import { FileJournal } from '../../src/adapters/journal/file-journal.ts';
import { writeName } from '../../src/core/certificate-writer.ts';
import { loadIssuer } from '../../src/core/issuer.ts';
import type { JournalEntry, JournalRecord } from '../../src/core/journal-record.ts';
import type { Profile } from '../../src/core/policy/profile.ts';
import { Problem } from '../../src/core/problem.ts';
import type { Reason } from '../../src/core/reason.ts';
import { completeCrl } from '../../src/core/certificate.ts';
import { loadResponderCertificate } from '../../src/core/responder-certificate.ts';
import { type Serial, serialFromHex } from '../../src/core/serial.ts';
import { DAY, type EpochMs, SECOND } from '../../src/core/time.ts';
import { makeAnswer } from '../../src/flows/serve/answer.ts';
import { FreshnessGauges } from '../../src/flows/freshness-gauges.ts';
import { LiveAnswers } from '../../src/flows/serve/live.ts';
import type { GaugeSources } from '../../src/flows/gauges.ts';
import type { ServedIssuer, SigningKey } from '../../src/flows/issuer-setup.ts';
import { type FlowMetrics, flowMetrics } from '../../src/flows/metrics.ts';
import { Downloads } from '../../src/flows/serve/downloads.ts';
import { PublicFiles } from '../../src/flows/serve/public-files.ts';
import { IssuerCrls } from '../../src/flows/crl/issuer-crls.ts';
import { type Receipt, Recorder } from '../../src/flows/record.ts';
import { ResponderNews } from '../../src/flows/sign/responder-news.ts';
import { Responders, servedResponder, type ServedResponder } from '../../src/flows/responders.ts';
import { MissBudget } from '../../src/flows/serve/miss-budget.ts';
import { ResponseTable } from '../../src/flows/serve/response-table.ts';
import { LiveSigner } from '../../src/flows/sign/sign-live.ts';
import { Signer, type SignerIssuer } from '../../src/flows/sign/sign.ts';
import type { Answer, Question, Reply } from '../../src/ports/front.ts';
import type { MeasuredJournal } from '../../src/ports/journal.ts';
import type { Population, Store, StoreEvent } from '../../src/ports/store.ts';
import { CA_NAME, caCertificate, ecKey, type KeyPair, NOW, PROFILE, responderCertificate } from '../core/sample-pki.ts';
import { FakeClock, settled, tracked, trackedPages } from './support-clock.ts';
import { TestKeyHolder } from './support-key-holder.ts';

export interface Span {
  readonly notBefore: EpochMs;
  readonly notAfter: EpochMs;
}

export interface TestIssuer extends SignerIssuer {
  readonly caDer: Buffer;
  readonly crlHolder: TestKeyHolder;
  /** By responder certificate id. */
  readonly holders: ReadonlyMap<string, TestKeyHolder>;
}

export interface IssuerOptions {
  readonly id?: string;
  readonly profile?: Profile;
  /** Newest first, as the configuration hands them over. */
  readonly responders?: readonly Span[];
  readonly caNotAfter?: EpochMs;
  /** Another common name than the sample CA's. */
  readonly name?: string;
  /** The CA's key, for who wants to issue with it. */
  readonly ca?: KeyPair;
}

export const OCSP_PATH = '/OcspServer';
export const CRL_PATH = '/ca.crl';
export const CA_PATH = '/ca.crt';
export const START = NOW;
/** Small enough to be used up by a test. */
export const LOOKUPS_PER_SECOND = 100;
export const RESPONDER_SPAN: Span = { notBefore: NOW - DAY, notAfter: NOW + 89 * DAY - SECOND };

export function makeIssuer(options: IssuerOptions = {}): TestIssuer {
  const { id = 'test', profile = PROFILE, responders = [RESPONDER_SPAN] } = options;
  const { ca = ecKey() } = options;
  const subjectDer = options.name === undefined ? CA_NAME : writeName([['CN', options.name]]);
  const caDer = caCertificate(ca, {
    subjectDer,
    issuerDer: subjectDer,
    ...(options.caNotAfter !== undefined && { notAfter: options.caNotAfter }),
  });
  const issuer = loadIssuer([caDer], id);
  const holders = new Map<string, TestKeyHolder>();
  const ocsp = new Map<string, SigningKey>();
  const servedResponders = responders.map((span): ServedResponder => {
    const key = ecKey();
    const certificate = loadResponderCertificate(responderCertificate(ca, key, { ...span, issuerDer: subjectDer }));
    const holder = new TestKeyHolder(key, `test key ${certificate.id}`);
    holders.set(certificate.id, holder);
    ocsp.set(certificate.id, { holder, publicKey: certificate.publicKey });
    return servedResponder(issuer, certificate);
  });
  const served: ServedIssuer = {
    id,
    tag: issuer.tag,
    issuer,
    profile,
    crls: COMPLETE_ONLY,
    responders: new Responders(servedResponders),
  };
  const crlHolder = new TestKeyHolder(ca, `test key of ${id}`);
  return { served, caDer, holders, crlHolder, keys: { ocsp, crl: { holder: crlHolder, publicKey: issuer.publicKey } } };
}

/** Replaces a method of the store: gets the real one, bound, and what it was called with. */
export type Interference = {
  [Name in keyof StoreMethods]?: (
    real: StoreMethods[Name],
    ...values: Parameters<StoreMethods[Name]>
  ) => ReturnType<StoreMethods[Name]>;
};
type StoreMethods = {
  [Name in keyof Store as Store[Name] extends (...values: never[]) => unknown ? Name : never]: Store[Name];
};

/** A journal whose disk can be taken away. */
export class TestJournal implements MeasuredJournal {
  broken: string | undefined;
  /** Called before each append: to let something happen meanwhile. */
  before: ((entries: readonly JournalEntry[]) => Promise<void> | void) | undefined;
  #failure: string | undefined;
  readonly #real: FileJournal;

  constructor(real: FileJournal) {
    this.#real = real;
  }

  get head(): { readonly seq: number; readonly hash: string } {
    return this.#real.head;
  }

  get headAt(): EpochMs | undefined {
    return this.#real.headAt;
  }

  get bytes(): number {
    return this.#real.bytes;
  }

  get failure(): string | undefined {
    return this.#failure ?? this.#real.failure;
  }

  owe(entries: readonly JournalEntry[]): void {
    this.#real.owe(entries);
  }

  async append(entries: readonly JournalEntry[]): Promise<readonly JournalRecord[]> {
    await this.before?.(entries);
    this.#failure = this.broken;
    if (this.broken !== undefined) throw new Problem('unavailable', this.broken);
    return tracked(this.#real.append(entries));
  }

  read(after: number): AsyncIterable<JournalRecord> {
    return trackedPages(this.#real.read(after));
  }

  close(): Promise<void> {
    return tracked(this.#real.close());
  }
}

export class TestService {
  readonly dir = mkdtempSync(join(tmpdir(), 'certstatus-flows-'));
  readonly clock: FakeClock;
  readonly issuers: readonly TestIssuer[];
  readonly tableBytes: number;
  /** Errors that the flows logged. */
  readonly errors: string[] = [];
  /** Everything that the store told since the last start. */
  events: StoreEvent[] = [];
  interfere: Interference = {};
  /** What the store says of itself as a whole. */
  failure: string | undefined;
  store!: Store & Population;
  journal!: TestJournal;
  recorder!: Recorder;
  metrics!: FlowMetrics;
  signer!: Signer;
  live!: LiveSigner;
  publisher!: IssuerCrls;
  freshness!: FreshnessGauges;
  files!: PublicFiles;
  table!: ResponseTable;
  misses!: MissBudget;
  answer!: Answer;

  constructor(issuers: readonly TestIssuer[] = [makeIssuer()], options: { now?: EpochMs; tableBytes?: number } = {}) {
    this.issuers = issuers;
    this.clock = new FakeClock(options.now ?? START);
    this.tableBytes = options.tableBytes ?? 1 << 20;
  }

  static async open(...given: ConstructorParameters<typeof TestService>): Promise<TestService> {
    const service = new TestService(...given);
    await service.open();
    return service;
  }

  get at(): TestIssuer {
    return this.issuers[0] as TestIssuer;
  }

  get served(): ServedIssuer {
    return this.at.served;
  }

  get holder(): TestKeyHolder {
    return this.at.holders.get(this.served.responders.list[0]?.certificate.id ?? '') as TestKeyHolder;
  }

  /** Store, journal and flows; signer and publisher are not started. */
  async open(dir = this.dir): Promise<void> {
    const { clock } = this;
    this.events = [];
    this.store = this.#watched(await EmbeddedStore.open(dir, new FileCrlArchive(join(dir, 'crl'))));
    this.journal = new TestJournal(await FileJournal.open(join(dir, 'audit'), clock));
    this.recorder = new Recorder(this.store, this.journal, clock);
    await this.recorder.recover();
    this.store.follow((event) => this.events.push(event));
    this.metrics = flowMetrics();
    const served = this.issuers.map((issuer) => issuer.served);
    const log = {
      debug: () => undefined,
      info: () => undefined,
      warn: () => undefined,
      error: (about: object, message: string) =>
        void this.errors.push(`${message}: ${(about as { err?: Error }).err?.message ?? JSON.stringify(about)}`),
    };
    this.freshness = new FreshnessGauges(this.store);
    await this.freshness.load();
    const news = new ResponderNews(served, this.store, clock, log);
    this.table = new ResponseTable(served, this.store, this.tableBytes, (issuer) => news.meet(issuer));
    const unreadable = (_: ServedIssuer, error: unknown): void =>
      void this.errors.push(`unreadable CRL: ${(error as Error).message}`);
    this.files = await PublicFiles.open(
      served,
      this.store,
      clock.now(),
      unreadable,
      new Downloads(clock, setImmediate),
    );
    this.signer = new Signer(this.issuers, this.store, this.journal, clock, log, this.metrics.signer);
    this.live = new LiveSigner(this.issuers, this.store, this.journal, clock, log, this.metrics.signer);
    this.publisher = new IssuerCrls(this.at, this.store, this.journal, clock, log, this.metrics.crl(this.served.id));
    this.misses = new MissBudget({
      issuers: served.map(({ tag }) => tag),
      store: this.store,
      perSecond: LOOKUPS_PER_SECOND,
      seed: 1,
      clock,
      log,
      metrics: this.metrics.lookups,
    });
    this.answer = makeAnswer({
      issuers: served,
      ocspUrls: [{ path: OCSP_PATH }],
      files: [
        { path: CRL_PATH, file: { kind: 'crl', ...completeCrl(this.served.tag) } },
        { path: CA_PATH, file: { kind: 'ca-certificate', issuer: this.served.tag } },
      ],
      publicFiles: this.files,
      table: this.table,
      misses: this.misses,
      ask: (issuer, serial) => this.signer.ask(issuer, serial),
      live: new LiveAnswers(this.live, this.table, this.store, clock, this.metrics.live),
      clock,
      log,
      metrics: this.metrics.answer,
    });
  }

  get sources(): GaugeSources {
    const { store, freshness, files, table, journal, clock } = this;
    const publishers = new Map([[this.served.tag, this.publisher]]);
    return {
      issuers: this.issuers.map((issuer) => issuer.served),
      store,
      freshness,
      files,
      table,
      misses: undefined,
      connections: undefined,
      journal,
      publishers,
      signsWith: (issuer) => this.signer.signsWith(issuer),
      signers: this.issuers,
      tokens: () => [],
      clock,
    };
  }

  /** Stops what runs and closes; the directory stays. */
  async close(): Promise<void> {
    await this.signer.stop();
    await this.live.stop();
    await this.publisher.stop();
    await this.recorder.idle();
    await settled();
    await this.journal.close();
    await this.store.close();
  }

  async remove(): Promise<void> {
    await this.close();
    rmSync(this.dir, { recursive: true, force: true });
  }

  /** Certificates that end at `notAfter`, in one request. */
  issue(
    serials: readonly Serial[],
    notAfter: EpochMs = START + 90 * DAY,
    at = this.served,
  ): Promise<readonly Receipt[]> {
    const events = serials.map((serial) => ({
      serial,
      notBefore: START - DAY,
      notAfter,
      precertificate: false,
      crlShard: undefined,
      withoutOcsp: false,
      spkiHash: undefined,
    }));
    return this.recorder.issue(at, events, 'test');
  }

  revoke(
    serials: readonly Serial[],
    reason: Reason | 'removeFromCRL' | undefined = undefined,
  ): Promise<readonly Receipt[]> {
    const events = serials.map((serial) => ({ serial, reason, revokedAt: undefined }));
    return this.recorder.revoke(this.served, events, 'test');
  }

  /** Value of a counter, summed over the label sets that agree with `labels`. */
  counter(name: string, labels: Readonly<Record<string, string>> = {}): number {
    let sum = 0;
    for (const metric of this.metrics.set) {
      if (metric.kind !== 'counter' || metric.name !== name) continue;
      for (const { labels: own, slot } of metric.slots) {
        if (Object.entries(labels).every(([label, value]) => own[label] === value)) sum += slot.value;
      }
    }
    return sum;
  }

  /** Serials in the order of their first publication since the last start. */
  get publicationOrder(): readonly Serial[] {
    return this.events.flatMap((event) => (event.type === 'published' ? [event.response.serial] : []));
  }

  /** Every promise that leaves the store is counted, and every method can be interfered with. */
  #watched(real: EmbeddedStore): Store & Population {
    return new Proxy<Store & Population>(real, {
      get: (_, name: keyof StoreMethods | 'failure') => {
        if (name === 'failure') return this.failure;
        const member: unknown = real[name];
        if (typeof member !== 'function') return member;
        const method = (member as (...values: unknown[]) => unknown).bind(real);
        const counted = (...values: unknown[]): unknown => {
          const result = countedResult(method(...values));
          return name === 'draftCrl' || name === 'openCrl' ? (result as Promise<CrlSource>).then(countedFile) : result;
        };
        return (...values: unknown[]): unknown => {
          // What an interference holds back is not counted: the clock goes on meanwhile.
          const replaced = this.interfere[name] as ((real: unknown, ...values: unknown[]) => unknown) | undefined;
          return replaced === undefined ? counted(...values) : replaced(counted, ...values);
        };
      },
    });
  }
}

/** The same object, because an archive knows its own drafts; each of its methods is counted. */
function countedFile<T extends CrlSource>(file: T): T {
  for (const name of ['read', 'write', 'digest', 'discard', 'close'] as const) {
    const method = (file as unknown as Record<string, ((...values: unknown[]) => Promise<unknown>) | undefined>)[name];
    if (method !== undefined)
      Object.assign(file, { [name]: (...values: unknown[]) => tracked(method.apply(file, values)) });
  }
  return file;
}

/** Serial numbers that spread over the jitter: 0100…, the index in the last octets. */
export function serials(count: number, first = 0): Serial[] {
  return Array.from({ length: count }, (_, i) =>
    serialFromHex(
      `4100${createHash('sha256')
        .update(String(first + i))
        .digest('hex')
        .slice(0, 24)}`,
    ),
  );
}

export const sha256 = (octets: Uint8Array): string => createHash('sha256').update(octets).digest('hex');

export function question(target: string, given: Partial<Question> = {}): Question {
  return {
    method: 'GET',
    target,
    host: '',
    body: undefined,
    ifNoneMatch: undefined,
    ifModifiedSince: undefined,
    httpVersion: '1.1',
    ...given,
  };
}

/** The headers of a reply by lower-case name. */
export function headersOf(reply: Reply): Readonly<Record<string, string>> {
  return Object.fromEntries(
    reply.headers
      .split('\r\n')
      .filter(Boolean)
      .map((line) => [line.slice(0, line.indexOf(':')).toLowerCase(), line.slice(line.indexOf(':') + 2)]),
  );
}

function countedResult(result: unknown): unknown {
  if (result instanceof Promise) return tracked(result);
  if (typeof result !== 'object' || result === null) return result;
  if (Symbol.asyncIterator in result) return trackedPages(result as AsyncIterable<unknown>);
  if ('pages' in result && 'asOfSeq' in result) {
    const { asOfSeq, pages } = result as { asOfSeq: Promise<number>; pages: AsyncIterable<unknown> };
    return { asOfSeq: tracked(asOfSeq), pages: trackedPages(pages) };
  }
  return result;
}
