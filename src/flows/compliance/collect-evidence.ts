/**
 * Reads audit logs for a compliance report, each from its first record on, because only that verifies the chain: once as a whole, and then
 * as often as single certificates ask for (core/compliance/evidence.ts). Records of several logs are taken in the order of their instants.
 */
import { CertificateReadings, PART_CERTIFICATES, WholeReading, type Evidence, type Subject } from '../../core/compliance/evidence.ts'; // prettier-ignore
import type { JournalRecord } from '../../core/journal-record.ts';
import { Problem } from '../../core/problem.ts';
import type { EpochMs } from '../../core/time.ts';

export interface LogSource {
  readonly name: string;
  /** From record 1 on. Throws Problem `corrupt` where the chain is broken. */
  read(): AsyncIterable<JournalRecord>;
}

export interface Collected {
  readonly evidence: Evidence;
  /** The last verified record of each log, to its very end: undefined for an empty one. */
  readonly ends: readonly ({ readonly seq: number; readonly hash: string } | undefined)[];
  /** Hash of record `wanted` of the first log. */
  readonly wantedHash: string | undefined;
}

export interface CollectOptions {
  /** A record of the first log whose hash is asked for. */
  readonly wanted?: number | undefined;
  readonly partCertificates?: number;
  readonly progress?: (records: number) => void;
}

/** @throws Problem `unavailable` when a log cannot be read; a broken chain is part of the evidence. */
export async function collectEvidence(
  subject: Omit<Subject, 'journals'>,
  logs: readonly LogSource[],
  options: CollectOptions = {},
): Promise<Collected> {
  const { wanted, partCertificates = PART_CERTIFICATES, progress = () => undefined } = options;
  const whole = new WholeReading({ ...subject, journals: logs.map(({ name }) => name) });
  const ends: ({ seq: number; hash: string } | undefined)[] = logs.map(() => undefined);
  let wantedHash: string | undefined;
  let to = subject.to;
  let records = 0;
  const lastOf: (EpochMs | undefined)[] = logs.map(() => undefined);
  const broken = (log: number, problem: Problem): void => {
    const last = lastOf[log];
    // A break after the period: the period itself is proven by the hashes before it.
    if (last !== undefined && last >= subject.to) return;
    whole.broken(log, problem.line);
    // Nothing is known of it from its last good record on.
    to = Math.min(to, last ?? subject.from);
  };
  for await (const { log, record } of inOrder(logs, broken)) {
    const at = Date.parse(record.at);
    lastOf[log] = at;
    ends[log] = { seq: record.seq, hash: record.hash };
    if (log === 0 && record.seq === wanted) wantedHash = record.hash;
    if (at < subject.to) whole.add(log, record);
    records += 1;
    if (records % 1000 === 0) progress(records);
  }
  to = Math.max(to, subject.from);
  const single = new CertificateReadings({ ...subject, journals: [] }, whole.certificates, to, partCertificates);
  for (let part = 0; part < single.parts; part++) {
    for await (const { record } of inOrder(logs, () => undefined)) {
      if (Date.parse(record.at) < to) single.add(record);
      records += 1;
      if (records % 1000 === 0) progress(records);
    }
    single.next();
  }
  const evidence = { from: subject.from, to, ...whole.finish(to), ...single.finish() };
  return { evidence, ends, wantedHash };
}

async function* inOrder(
  logs: readonly LogSource[],
  broken: (log: number, problem: Problem) => void,
): AsyncGenerator<{ readonly log: number; readonly record: JournalRecord }> {
  const readers = logs.map((log) => log.read()[Symbol.asyncIterator]());
  const next = async (log: number): Promise<JournalRecord | undefined> => {
    try {
      const { done, value } = await (readers[log] as AsyncIterator<JournalRecord>).next();
      return done === true ? undefined : value;
    } catch (error) {
      if (!(error instanceof Problem) || error.code !== 'corrupt') throw error;
      broken(log, error);
      return undefined;
    }
  };
  const heads = await Promise.all(readers.map((_, log) => next(log)));
  for (;;) {
    let first = -1;
    heads.forEach((head, log) => {
      // RFC 3339 with milliseconds, always: the text sorts as the instants do.
      if (head !== undefined && (first === -1 || head.at < (heads[first] as JournalRecord).at)) first = log;
    });
    if (first === -1) return;
    yield { log: first, record: heads[first] as JournalRecord };
    heads[first] = await next(first);
  }
}
