/**
 * Copies everything archived to a second place, soon after it is published (SR-5.5.4), in the background: a publication never waits
 * for it, and it waits for nobody but the other side.
 *
 * Of each scope in order of number, octets first and their record last. So whoever finds a record there finds everything up to it, and
 * what is left to do after a start, of this process or another, is what is newer than the newest record found. Nothing else is
 * remembered. What was removed over there later, or altered, is for a verification to find (archive-verify.ts).
 */
import { certificateName, crlName, recordName } from '../../core/archive/copy-name.ts';
import { recordText } from '../../core/archive/record-text.ts';
import type { CrlRecord, CrlScope, IssuerTag } from '../../core/certificate.ts';
import type { MetricSet, Slot } from '../../core/metric.ts';
import { Problem } from '../../core/problem.ts';
import { MINUTE, SECOND, type EpochMs } from '../../core/time.ts';
import type { ArchiveCopies } from '../../ports/archive-copies.ts';
import type { KeptArchive } from '../../ports/archive-upkeep.ts';
import type { Clock, Timer } from '../../ports/clock.ts';
import type { CrlFile } from '../../ports/crl-archive.ts';
import type { ChangeFeed } from '../../ports/store.ts';
import { digestOf } from '../sign/check-answer.ts';
import type { Log } from '../log.ts';

/** After a failure; doubled at each further one, up to the longest. */
const FIRST_RETRY_MS = SECOND;
const LONGEST_RETRY_MS = 5 * MINUTE;

/** What is known of the copies now. From memory. */
export interface CopyView {
  readonly describe: string;
  /** CRLs that are not copied yet; undefined while that is being found out. */
  readonly waiting: number | undefined;
  /** When the oldest of them was published. */
  readonly oldest: EpochMs | undefined;
  /** Why the last try failed, in a line. */
  readonly failure: string | undefined;
}

interface Line {
  readonly scope: CrlScope;
  /** Ascending by number. */
  readonly pending: CrlRecord[];
  /** False until what the other side has was looked at. */
  surveyed: boolean;
}

export class ArchiveCopier {
  readonly #archive: KeptArchive;
  readonly #copies: ArchiveCopies;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #copied: Slot;
  readonly #failed: Slot;
  readonly #lines = new Map<string, Line>();
  /** Issuers of whose certificates not all are known to be copied. */
  readonly #certificates = new Set<IssuerTag>();
  #failure: string | undefined;
  #retryMs = FIRST_RETRY_MS;
  #timer: Timer | undefined;
  #running: Promise<void> | undefined;
  #stopped = true;
  #found = false;

  constructor(archive: KeptArchive, copies: ArchiveCopies, feed: ChangeFeed, clock: Clock, log: Log, set: MetricSet) {
    this.#archive = archive;
    this.#copies = copies;
    this.#clock = clock;
    this.#log = log;
    this.#copied = set.counter('certstatus_archive_copied_total', 'CRLs copied to the second place.');
    this.#failed = set.counter(
      'certstatus_archive_copy_failures_total',
      'Tries to copy that failed; each is made again.',
    );
    set.gauge(
      'certstatus_archive_copy_lag_seconds',
      'Since the oldest CRL that is not in the second place yet was published; 0 when all are there (SR-5.5.4).',
      () => [[{}, this.view.oldest === undefined ? 0 : Math.max(0, clock.now() - this.view.oldest) / SECOND]],
    );
    set.gauge('certstatus_archive_copies_waiting', 'Number of CRLs that are not in the second place yet.', () =>
      this.view.waiting === undefined ? [] : [[{}, this.view.waiting]],
    );
    feed.follow((event) => {
      if (event.type !== 'crl') return;
      this.#line(event.record).pending.push(event.record);
      this.#wake();
    });
  }

  get view(): CopyView {
    const lines = [...this.#lines.values()];
    const known = this.#found && lines.every(({ surveyed }) => surveyed);
    const oldest = lines.flatMap(({ pending }) => pending[0]?.publishedAt ?? []);
    return {
      describe: this.#copies.describe,
      waiting: known ? lines.reduce((sum, { pending }) => sum + pending.length, 0) : undefined,
      oldest: oldest.length === 0 ? undefined : Math.min(...oldest),
      failure: this.#failure,
    };
  }

  start(): void {
    this.#stopped = false;
    this.#wake();
  }

  /** Resolves when nothing is under way. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#timer?.cancel();
    await this.#running;
  }

  /** Certificates of the issuer were archived. */
  copyCertificates(issuer: IssuerTag): void {
    this.#certificates.add(issuer);
    this.#wake();
  }

  #line(scope: CrlScope): Line {
    const key = `${scope.issuer} ${scope.shard}`;
    let line = this.#lines.get(key);
    if (line === undefined) {
      line = { scope: { issuer: scope.issuer, shard: scope.shard }, pending: [], surveyed: false };
      this.#lines.set(key, line);
    }
    return line;
  }

  #wake(): void {
    if (this.#stopped || this.#running !== undefined || this.#timer !== undefined) return;
    this.#running = this.#run()
      .then(
        () => this.#succeeded(),
        (error: unknown) => this.#sayFailed(error),
      )
      .then(() => {
        this.#running = undefined;
        // What came in while the last of it was being done.
        if (this.#timer === undefined && this.#hasWork()) this.#wake();
      });
  }

  #hasWork(): boolean {
    const lines = [...this.#lines.values()];
    return (
      !this.#found || this.#certificates.size > 0 || lines.some((line) => !line.surveyed || line.pending.length > 0)
    );
  }

  /** Until nothing is left. One that cannot be copied does not keep those of other scopes back. */
  async #run(): Promise<void> {
    let failure: Error | undefined;
    if (!this.#found) await this.#findScopes();
    for (const issuer of [...this.#certificates]) {
      if (this.#stopped) return;
      // Before: one that is archived meanwhile puts the issuer in again.
      this.#certificates.delete(issuer);
      try {
        await this.#copyCertificates(issuer);
      } catch (error) {
        this.#certificates.add(issuer);
        throw error;
      }
    }
    for (const line of this.#lines.values()) {
      try {
        await this.#copyLine(line);
      } catch (error) {
        // The other side is away: it is for every scope.
        if (error instanceof Problem && error.code === 'unavailable') throw error;
        failure ??= error as Error;
      }
      if (this.#stopped) return;
    }
    if (failure !== undefined) throw failure;
  }

  async #findScopes(): Promise<void> {
    for (const issuer of await this.#archive.issuers()) {
      this.#certificates.add(issuer);
      for (const scope of await this.#archive.scopes(issuer)) this.#line(scope);
    }
    this.#found = true;
  }

  async #copyLine(line: Line): Promise<void> {
    if (!line.surveyed) await this.#survey(line);
    for (let record = line.pending[0]; record !== undefined && !this.#stopped; record = line.pending[0]) {
      await this.#copy(record);
      line.pending.shift();
      this.#copied.value += 1;
      this.#recovered();
    }
  }

  /** From the newest back to the first that is there. */
  async #survey(line: Line): Promise<void> {
    const missing: CrlRecord[] = [];
    for await (const record of this.#archive.recent(line.scope)) {
      if (this.#stopped) return;
      if ((await this.#copies.size(recordName(record))) !== undefined) break;
      missing.push(record);
    }
    // What was published meanwhile stands in both.
    const newest = missing[0]?.number ?? -1n;
    const since = line.pending.filter(({ number }) => number > newest);
    line.pending.splice(0, line.pending.length, ...missing.reverse(), ...since);
    line.surveyed = true;
  }

  async #copy(record: CrlRecord): Promise<void> {
    if ((await this.#copies.size(crlName(record))) === undefined) await this.#copyOctets(record);
    const text = Buffer.from(recordText(record));
    await this.#copies.put(recordName(record), inMemory(text), digestOf(text));
  }

  async #copyOctets(record: CrlRecord): Promise<void> {
    if ((await this.#archive.dropped(record)) !== undefined) return;
    const file: CrlFile = await this.#archive.open(record);
    try {
      await this.#copies.put(crlName(record), file, record.sha256);
    } finally {
      await file.close();
    }
  }

  async #copyCertificates(issuer: IssuerTag): Promise<void> {
    for (const { sha256, der } of await this.#archive.certificates(issuer)) {
      if (this.#stopped) return;
      await this.#copies.put(certificateName(issuer, sha256), inMemory(der), sha256);
    }
  }

  #succeeded(): void {
    this.#recovered();
    this.#retryMs = FIRST_RETRY_MS;
  }

  #recovered(): void {
    if (this.#failure === undefined) return;
    this.#log.info({ copies: this.#copies.describe }, 'the archive is being copied again');
    this.#failure = undefined;
  }

  #sayFailed(error: unknown): void {
    if (this.#stopped) return;
    this.#failed.value += 1;
    const line = error instanceof Problem ? error.line : (error as Error).message;
    // Once, and not at each try.
    if (line !== this.#failure)
      this.#log.error(
        { copies: this.#copies.describe },
        `the archive cannot be copied, and it is tried again: ${line}`,
      );
    this.#failure = line;
    this.#timer = this.#clock.after(this.#retryMs, () => {
      this.#timer = undefined;
      this.#wake();
    });
    this.#retryMs = Math.min(2 * this.#retryMs, LONGEST_RETRY_MS);
  }
}

/** Of octets that are in memory. */
export function inMemory(octets: Buffer): {
  readonly octets: number;
  read(at: number, length: number): Promise<Buffer>;
} {
  return { octets: octets.length, read: (at, length) => Promise.resolve(octets.subarray(at, at + length)) };
}
