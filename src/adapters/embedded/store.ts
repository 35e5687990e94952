/**
 * The store of a single machine: LevelDB, owned by one process, plus an archive of the CRLs.
 *
 * Writes are not synced one by one: the journal is, and it is replayed from `appliedSeq` at start, which LevelDB keeps in the
 * same atomic batch as what was applied. CRL numbers and CRL publications are synced, because they are not derived.
 *
 * Crash table: after a journal append and before apply → replayed at start. After apply and before the write reached the disk
 * → appliedSeq is old as well: replayed. After signing and before publish → the item is still queued. In publishCrl after the
 * file and before the record → the CRL before stays current, until restoreCrl finds the newer one in the archive.
 */
import type {
  Certificate,
  CrlRecord,
  CrlScope,
  IssuerTag,
  Lane,
  PublishedResponse,
  RevokedEntry,
} from '../../core/certificate.ts';
import type { ResponderUse } from '../../core/policy/responder-choice.ts';
import type { Serial } from '../../core/serial.ts';
import type { EpochMs } from '../../core/time.ts';
import type { CrlArchive, CrlDraft, CrlFile } from '../../ports/crl-archive.ts';
import type {
  AnswerTimes,
  Change,
  Lookup,
  Population,
  PublishOutcome,
  QueueItem,
  Relay,
  Store,
  StoreEvent,
} from '../../ports/store.ts';
import { APPLIED_SEQ_KEY, entrySerial, issuerOf, queuePlace, range, scopeRange, serialKey, serialOf } from './keys.ts';
import { copyDatabase } from './copy.ts';
import { Crls, type Told } from './crl-shelf.ts';
import { openDatabase, scan, type Database } from './database.ts';
import { pages } from './pages.ts';
import { publishAnswers, type Answer } from './publish-answers.ts';
import { recordChanges } from './record-changes.ts';
import { decodeCertificate, decodeEntry, decodeResponse, decodeTimes, encodeResponse } from './records.ts';
import { type Operation, WorkQueue } from './work-queue.ts';

export class EmbeddedStore implements Store, Population, Relay {
  /** One process: nobody else can have forgotten, or changed, anything. */
  readonly failure = undefined;
  readonly mustVouch = false;
  readonly propagationMs = 0;
  readonly #db: Database;
  readonly #archive: CrlArchive;
  readonly #crls: Crls;
  readonly #followers: ((event: StoreEvent) => void)[] = [];
  #relay: ((events: readonly StoreEvent[]) => Promise<void> | undefined) | undefined;
  readonly #queue: WorkQueue;
  /** Serialises every read-modify-write of certificates, answers and queue, so that compare-and-swap is one. */
  #writing: Promise<unknown> = Promise.resolve();

  private constructor(db: Database, archive: CrlArchive) {
    this.#db = db;
    this.#archive = archive;
    this.#crls = new Crls(db, archive, (record, der) => this.#tell([{ type: 'crl', record, der }]));
    this.#queue = new WorkQueue(db);
  }

  /**
   * Opens or creates the store in `<dataDir>/store`.
   * @param archive what holds the bytes of every CRL that is published here.
   * @throws Problem `unavailable` when another process owns it, `config` when the directory cannot be used.
   */
  static async open(dataDir: string, archive: CrlArchive): Promise<EmbeddedStore> {
    const db = await openDatabase(dataDir);
    const store = new EmbeddedStore(db, archive);
    // Counted in the background: the scan reads a snapshot of this moment, what changes from here on is counted as it happens.
    void store.#queue.load(pages(db.keys(range('q')), queuePlace)).catch(() => undefined);
    return store;
  }

  // Ledger

  async appliedSeq(): Promise<number> {
    const value = await this.#db.get(APPLIED_SEQ_KEY);
    return value === undefined ? 0 : Number(value.toString());
  }

  newestSeq(): Promise<number> {
    return this.appliedSeq();
  }

  async find(issuer: IssuerTag, serials: readonly Serial[]): Promise<readonly (Certificate | undefined)[]> {
    const values = await this.#db.getMany(serials.map((serial) => serialKey('c', issuer, serial)));
    return values.map((value, i) =>
      value === undefined ? undefined : decodeCertificate(issuer, serials[i] as Serial, value),
    );
  }

  async apply(changes: readonly Change[], seq: number): Promise<'applied'> {
    await this.replay(changes, seq);
    return 'applied';
  }

  async replay(changes: readonly Change[], seq: number): Promise<void> {
    const told = await this.#exclusively(async () => {
      const keys = changes.map(({ certificate }) => serialKey('c', certificate.issuer, certificate.serial));
      const [applied, ...recorded] = await this.#db.getMany([APPLIED_SEQ_KEY, ...keys]);
      const { operations, events, queued, first } = recordChanges(changes, keys, recorded);
      // A replay of what is in already leaves it.
      if (applied === undefined || Number(applied.toString()) < seq)
        operations.push({ type: 'put', key: APPLIED_SEQ_KEY, value: Buffer.from(String(seq)) });
      await this.#write(operations, [], queued, first);
      return this.#tell(events);
    });
    // Not within #exclusively: whoever is slow to hear holds up this change, not the others.
    await told.heard;
  }

  vouch(): Promise<void> {
    return Promise.resolve();
  }

  revokedEntries(scope: CrlScope): {
    readonly asOfSeq: Promise<number>;
    readonly pages: AsyncIterable<readonly RevokedEntry[]>;
  } {
    const snapshot = this.#db.snapshot();
    const asOfSeq = this.#db
      .get(APPLIED_SEQ_KEY, { snapshot })
      .then((value) => (value === undefined ? 0 : Number(value.toString())));
    const entries = scan(
      this.#db,
      scopeRange('r', scope),
      (key, value) => decodeEntry(entrySerial(key), value),
      snapshot,
    );
    return {
      asOfSeq,
      pages: (async function* () {
        try {
          yield* entries;
        } finally {
          await snapshot.close();
        }
      })(),
    };
  }

  certificates(issuer: IssuerTag): AsyncIterable<readonly Certificate[]> {
    return scan(this.#db, range('c', issuer), (key, value) => decodeCertificate(issuer, serialOf(key).serial, value));
  }

  // ResponseSource

  async lookup(issuer: IssuerTag, serial: Serial): Promise<Lookup> {
    const [recorded, published] = await this.#db.getMany([
      serialKey('c', issuer, serial),
      serialKey('o', issuer, serial),
    ]);
    if (recorded === undefined) return { kind: 'unknown' };
    const certificate = decodeCertificate(issuer, serial, recorded);
    if (published === undefined) return { kind: 'pending', certificate };
    const response = decodeResponse(issuer, serial, published);
    // P2: an answer of an older revision is never handed out, wherever a crash left it.
    return response.revision === certificate.revision
      ? { kind: 'published', certificate, response }
      : { kind: 'pending', certificate };
  }

  // IssuedSerials

  serials(issuer: IssuerTag): AsyncIterable<readonly Serial[]> {
    return pages(this.#db.keys(range('c', issuer)), (key) => serialOf(key).serial);
  }

  // RefreshQueue

  async takeDue(lane: Lane, nowMs: EpochMs, limit: number): Promise<readonly QueueItem[]> {
    const live: QueueItem[] = [];
    while (live.length < limit) {
      const taken = await this.#queue.take(lane, nowMs, limit - live.length).catch((error: unknown) => {
        this.#queue.release(live);
        throw error;
      });
      if (taken.length === 0) break;
      try {
        live.push(...(await this.#dropStale(taken)));
      } catch (error) {
        this.#queue.release([...live, ...taken]);
        throw error;
      }
    }
    return live;
  }

  /** An entry that a later publication has overtaken is no work any more: it is deleted when its time comes. */
  async #dropStale(items: readonly QueueItem[]): Promise<readonly QueueItem[]> {
    if (items.length === 0) return items;
    const keys = items.flatMap(({ issuer, serial }) => [
      serialKey('c', issuer, serial),
      serialKey('o', issuer, serial),
    ]);
    const values = await this.#db.getMany(keys);
    const live = items.filter((item, i) => {
      const [recorded, published] = [values[2 * i], values[2 * i + 1]];
      if (recorded === undefined) return false;
      if (published === undefined) return true;
      const response = decodeResponse(item.issuer, item.serial, published);
      const revision = decodeCertificate(item.issuer, item.serial, recorded).revision;
      return response.revision < revision || (item.lane === 'refresh' && response.refreshAt <= item.dueAt);
    });
    const kept = new Set(live);
    await this.drop(items.filter((item) => !kept.has(item)));
    return live;
  }

  postpone(items: readonly QueueItem[], dueAt: EpochMs): Promise<void> {
    return this.#exclusively(() => {
      const later = items.map((item) => ({ ...item, dueAt }));
      return this.#write([], items, later);
    });
  }

  drop(items: readonly QueueItem[]): Promise<void> {
    return this.#exclusively(() => this.#write([], items, []));
  }

  retire(items: readonly QueueItem[]): Promise<void> {
    return this.#exclusively(async () => {
      // Two items may be about one certificate: its answer goes once.
      const certificates = [...new Map(items.map((item) => [item.issuer + item.serial, item])).values()];
      const keys = certificates.map(({ issuer, serial }) => serialKey('o', issuer, serial));
      const values = await this.#db.getMany(keys);
      await this.#write(
        keys.map((key): Operation => ({ type: 'del', key })),
        items,
        [],
      );
      const events = values.flatMap((value, i): StoreEvent[] => {
        const { issuer, serial } = certificates[i] as QueueItem;
        return value === undefined ? [] : [{ type: 'retired', previous: decodeResponse(issuer, serial, value) }];
      });
      this.#tell(events);
    });
  }

  publish(answers: readonly Answer[]): Promise<readonly PublishOutcome[]> {
    return this.#exclusively(async () => {
      const keys = answers.flatMap(({ response: { issuer, serial } }) => [
        serialKey('c', issuer, serial),
        serialKey('o', issuer, serial),
      ]);
      const values = await this.#db.getMany(keys);
      const { outcomes, operations, events, done, queued } = publishAnswers(answers, keys, values);
      await this.#write(operations, done, queued);
      this.#tell(events);
      return outcomes;
    });
  }

  async refreshAll(issuer: IssuerTag, responder: string | undefined, dueAt: EpochMs): Promise<number> {
    // After every publication that was asked for before this call.
    const snapshot = await this.#exclusively(() => Promise.resolve(this.#db.snapshot()));
    const concerned = (response: PublishedResponse): boolean =>
      responder === undefined || response.responder === responder;
    let count = 0;
    try {
      const pages = scan(
        this.#db,
        range('o', issuer),
        (key, value) => ({ key, response: answerIn(key, value) }),
        snapshot,
      );
      for await (const page of pages) {
        const keys = page.flatMap(({ key, response }) => (concerned(response) ? [key] : []));
        if (keys.length === 0) continue;
        count += keys.length;
        await this.#exclusively(async () => {
          const values = await this.#db.getMany(keys);
          const operations: Operation[] = [];
          const queued: QueueItem[] = [];
          values.forEach((value, i) => {
            const key = keys[i] as Buffer;
            const response = value && answerIn(key, value);
            if (response === undefined || !concerned(response) || response.refreshAt <= dueAt) return;
            // The item of the later instant stays in the queue: it is dropped when its time comes, as overtaken.
            operations.push({ type: 'put', key, value: encodeResponse({ ...response, refreshAt: dueAt }) });
            queued.push({ issuer, serial: response.serial, lane: 'refresh', dueAt });
          });
          await this.#write(operations, [], queued);
        });
      }
    } finally {
      await snapshot.close();
    }
    return count;
  }

  backlog(lane: Lane, nowMs: EpochMs): number {
    return this.#queue.due(lane, nowMs);
  }

  oldestDue(lane: Lane): EpochMs | undefined {
    return this.#queue.oldest(lane);
  }

  /** Values alone, which is half of the work: so one issuer after the other. */
  async *published(): AsyncIterable<readonly AnswerTimes[]> {
    // Of this moment: what is published from here on is told to the followers.
    const snapshot = this.#db.snapshot();
    try {
      let rest = range('o');
      for (;;) {
        const [first] = await this.#db.keys({ ...rest, limit: 1, snapshot }).all();
        if (first === undefined) return;
        const issuer = issuerOf(first);
        const own = range('o', issuer);
        yield* pages(this.#db.values({ ...own, snapshot }), (value) => ({ issuer, ...decodeTimes(value) }));
        rest = { ...rest, gte: own.lt };
      }
    } finally {
      await snapshot.close();
    }
  }

  // CrlShelf

  current(scope: CrlScope): Promise<CrlRecord | undefined> {
    return this.#crls.current(scope);
  }

  scopes(issuer: IssuerTag): Promise<readonly CrlScope[]> {
    return this.#crls.scopes(issuer);
  }

  body(record: CrlRecord): Promise<Buffer> {
    return this.#archive.read(record);
  }

  openCrl(record: CrlRecord): Promise<CrlFile> {
    return this.#archive.open(record);
  }

  draftCrl(scope: CrlScope): Promise<CrlDraft> {
    return this.#archive.draft(scope);
  }

  reserveNumber(scope: CrlScope, atLeast: bigint): Promise<bigint> {
    return this.#crls.reserve(scope, atLeast);
  }

  publishCrl(record: CrlRecord, draft: CrlDraft, previous: bigint | undefined): Promise<boolean> {
    return this.#crls.publish(record, draft, previous);
  }

  isRelayed(record: CrlRecord): boolean {
    return this.#crls.isRelayed(record);
  }

  list(scope: CrlScope): AsyncIterable<CrlRecord> {
    return this.#crls.list(scope);
  }

  /** One process builds them all. */
  claimCrl(): Promise<boolean> {
    return Promise.resolve(true);
  }

  releaseCrl(): Promise<void> {
    return Promise.resolve();
  }

  restoreCrl(scope: CrlScope): Promise<CrlRecord | undefined> {
    return this.#crls.restore(scope);
  }

  // ResponderShelf: the issuer's directory is all that the one process needs.

  responders(): Promise<readonly Buffer[]> {
    return Promise.resolve([]);
  }

  async addResponder(issuer: IssuerTag, der: Buffer): Promise<void> {
    await this.#tell([{ type: 'responder', issuer, der }]).heard;
  }

  async retireResponder(issuer: IssuerTag, responder: string, use: Exclude<ResponderUse, 'signing'>): Promise<void> {
    await this.#tell([{ type: 'responder-retired', issuer, responder, use }]).heard;
  }

  retiredResponders(): Promise<ReadonlyMap<string, Exclude<ResponderUse, 'signing'>>> {
    return Promise.resolve(new Map());
  }

  // AskLine: whoever asks can sign.

  ask(): void {}

  onAsk(): void {}

  askLive(): Promise<'silence'> {
    return Promise.resolve('silence');
  }

  onLive(): void {}

  failureOf(): undefined {
    return undefined;
  }

  silentMs(): number {
    return 0;
  }

  // ChangeFeed

  follow(follower: (event: StoreEvent) => void): void {
    this.#followers.push(follower);
  }

  relay(tell: (events: readonly StoreEvent[]) => Promise<void> | undefined): void {
    this.#relay = tell;
  }

  // StoreCopies

  async copyTo(
    directory: string,
    breathe: (entries: number) => Promise<void>,
  ): Promise<{ readonly entries: number; readonly appliedSeq: number }> {
    const snapshot = await this.#exclusively(() => Promise.resolve(this.#db.snapshot()));
    try {
      const applied = await this.#db.get(APPLIED_SEQ_KEY, { snapshot });
      const entries = await copyDatabase(this.#db, snapshot, directory, breathe);
      return { entries, appliedSeq: Number(applied?.toString() ?? 0) };
    } finally {
      await snapshot.close();
    }
  }

  async close(): Promise<void> {
    await Promise.allSettled([this.#writing, this.#crls.idle()]);
    await this.#db.close();
  }

  #tell(events: readonly StoreEvent[]): Told {
    for (const event of events) for (const follower of this.#followers) follower(event);
    return { heard: events.length === 0 ? undefined : this.#relay?.(events) };
  }

  /** One atomic batch: the operations, and the change of the queue (work-queue.ts). Only from within #exclusively. */
  async #write(
    operations: readonly Operation[],
    done: readonly QueueItem[],
    queued: readonly QueueItem[],
    first: readonly QueueItem[] = [],
  ): Promise<void> {
    const change = await this.#queue.change(done, queued, first);
    const all = [...operations, ...change.operations];
    if (all.length > 0) await this.#db.batch(all);
    change.written();
  }

  #exclusively<T>(run: () => Promise<T>): Promise<T> {
    const result = this.#writing.then(run);
    this.#writing = result.catch(() => undefined);
    return result;
  }
}

function answerIn(key: Buffer, value: Buffer): PublishedResponse {
  const { issuer, serial } = serialOf(key);
  return decodeResponse(issuer, serial, value);
}
