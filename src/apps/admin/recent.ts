/** What changed last: problems that came and went, and what the audit log tells of keys, CRLs and people. In memory, and bounded. */
import type { JournalEntryType, JournalRecord } from '../../core/journal-record.ts';
import { MINUTE, rfc3339, wholeSecond, type EpochMs } from '../../core/time.ts';
import { problemKey, type ProblemStatus } from './status-problems.ts';

export interface RecentEvent {
  readonly at: string;
  readonly kind: 'problem' | 'cleared' | 'change';
  readonly severity: ProblemStatus['severity'] | undefined;
  readonly what: string;
  /** Of the audit log; undefined for what nobody did. */
  readonly by: string | undefined;
}

const REMEMBERED = 30;
/** Shards of one issuer published one after the other are one line. */
const TOGETHER_MS = 2 * MINUTE;

/** Records worth a line: what people do, and what happens to keys and CRLs. Events of the CA and signatures are too many. */
const TOLD: ReadonlySet<JournalEntryType> = new Set<JournalEntryType>([
  'service.started',
  'journal.recovered',
  'access.denied',
  'ocsp.refused',
  'crl.published',
  'crl.refused',
  'responder.requested',
  'responder.installed',
  'responder.retired',
  'token.share-entered',
  'token.activated',
  'token.activation-failed',
  'token.deactivation-requested',
  'token.deactivated',
  'token.lost',
  'token.recovered',
  'token.key-generated',
  'crl.url-added',
  'crl.url-removed',
  'crl.urls-acknowledged',
  'offline.exported',
  'ocsp.imported',
  'mass.planned',
  'mass.started',
  'mass.paused',
  'mass.resumed',
  'mass.aborted',
  'mass.recorded',
  'mass.finished',
  'drill.finished',
  'key.compromised',
  'archive.verified',
  'archive.pruned',
  'archive.restored',
]);

interface Remembered {
  event: RecentEvent;
  /** What is counted together. */
  readonly group: string | undefined;
  readonly at: EpochMs;
  count: number;
}

export class Recent {
  #events: Remembered[] = [];
  readonly #since = new Map<string, EpochMs>();
  #open = new Map<string, ProblemStatus>();

  /** Newest first. */
  get list(): readonly RecentEvent[] {
    return this.#events.map(({ event }) => event);
  }

  /** When a problem that is still there was first seen. */
  since(key: string): EpochMs | undefined {
    return this.#since.get(key);
  }

  /** @param records of one append. */
  records(records: readonly JournalRecord[]): void {
    for (const record of records) if (TOLD.has(record.type)) this.#record(record);
  }

  /** What is wrong now: what is new of it came, and what is missing was mended. */
  problems(problems: readonly ProblemStatus[], now: EpochMs): void {
    const open = new Map(problems.map((problem) => [problemKey(problem), problem]));
    for (const [key, problem] of open) {
      if (this.#open.has(key)) continue;
      this.#since.set(key, now);
      this.#add({ at: rfc3339(wholeSecond(now)), kind: 'problem', severity: problem.severity, what: problem.what, by: undefined }); // prettier-ignore
    }
    for (const [key, { what, severity }] of this.#open) {
      if (open.has(key)) continue;
      this.#since.delete(key);
      this.#add({ at: rfc3339(wholeSecond(now)), kind: 'cleared', severity, what: `No more: ${what}`, by: undefined });
    }
    this.#open = open;
  }

  #record({ type, at, actor, issuer, description, detail }: JournalRecord): void {
    const about = detail?.['token'] ?? detail?.['plan'] ?? issuer;
    const what = `${typeof about === 'string' ? `${about}: ` : ''}${description}`;
    const event: RecentEvent = { at: rfc3339(wholeSecond(Date.parse(at))), kind: 'change', severity: undefined, what, by: actor }; // prettier-ignore
    const group = type === 'crl.published' || type === 'access.denied' ? `${type} ${issuer} ${actor}` : undefined;
    const before = group === undefined ? undefined : this.#events.find((one) => one.group === group);
    if (before === undefined || Date.parse(at) - before.at > TOGETHER_MS) return this.#add(event, group);
    before.count += 1;
    before.event = { ...event, what: `${what} and ${before.count - 1} more before it` };
    this.#events = [before, ...this.#events.filter((one) => one !== before)];
  }

  #add(event: RecentEvent, group?: string): void {
    const added = { event, group, at: Date.parse(event.at), count: 1 };
    this.#events = [added, ...this.#events].slice(0, REMEMBERED);
  }
}
