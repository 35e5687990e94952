/**
 * What a CA says of its certificates, taken into the ledger: issued, revoked, imported, revoked by the thousand.
 *
 * A request is decided against the ledger (core/status.ts) and taken whole or not at all; a Problem in any of its items rejects it,
 * and nothing has happened. How it then becomes durable is write-ledger.ts's.
 */
import type { Certificate, Lane } from '../core/certificate.ts';
import { journalChange, type JournalEntry, type JournalledChange, type JournalRecord } from '../core/journal-record.ts';
import type { ImportRow, RejectedRow } from '../core/import/row.ts';
import { fateOf, type MassOrder } from '../core/mass/order.ts';
import { NO_COUNTS, type RunCounts } from '../core/mass/run.ts';
import { Problem } from '../core/problem.ts';
import type { Serial } from '../core/serial.ts';
import { issue, revoke, type Issuance, type RevocationEvent, type Transition } from '../core/status.ts';
import type { EpochMs } from '../core/time.ts';
import type { Clock } from '../ports/clock.ts';
import type { Journal } from '../ports/journal.ts';
import type { Ledger } from '../ports/store.ts';
import { importRow } from './import-row.ts';
import type { ServedIssuer } from './issuer-setup.ts';
import { shardFor } from './shard-for.ts';
import { LedgerWriter } from './write-ledger.ts';

/** What the caller gets for each item, in order. */
export interface Receipt {
  /** `<issuer>.<serial>.<revision>`: whoever has it can ask when that revision is live. */
  readonly id: string;
  readonly serial: Serial;
  readonly revision: number;
}

export interface ImportOutcome {
  readonly accepted: number;
  readonly unchanged: number;
  readonly rejected: readonly RejectedRow[];
}

/** A mass revocation, as far as its batches need it. */
export interface MassBatch {
  readonly plan: string;
  readonly order: MassOrder;
  /** Of the run; whole second: the date of its revocations where the order names none. */
  readonly startedAt: EpochMs;
}

export interface MassOutcome extends RunCounts {
  readonly firstRefused: string | undefined;
}

/** Facts about a revocation that the auditor wants and the ledger does not need. */
export interface RevocationCase {
  readonly clause?: string | undefined;
  readonly requestedBy?: string | undefined;
  readonly awareAt?: string | undefined;
  readonly deadline?: string | undefined;
}

export class Recorder {
  readonly #writer: LedgerWriter;
  /** Told each record that has happened, in this process alone. */
  told: (record: JournalRecord) => void = () => undefined;

  constructor(ledger: Ledger, journal: Journal, clock: Clock) {
    this.#writer = new LedgerWriter(ledger, journal, clock, (record) => this.told(record));
  }

  /** Before anything else, and again when a shared store has forgotten: see LedgerWriter.recover. */
  recover(): Promise<number> {
    return this.#writer.recover();
  }

  issue(at: ServedIssuer, events: readonly Issuance[], actor: string): Promise<readonly Receipt[]> {
    return this.#submit(at, events, actor, 'certificates.issued', '/certificates', (current, event, nowMs) =>
      issue(at.tag, current, { ...event, crlShard: shardFor(at, current, event) }, nowMs),
    );
  }

  revoke(
    at: ServedIssuer,
    events: readonly (RevocationEvent & { readonly about?: RevocationCase })[],
    actor: string,
  ): Promise<readonly Receipt[]> {
    return this.#submit(at, events, actor, 'certificates.revoked', '/revocations', (current, event, nowMs) =>
      revoke(at.profile, current, event, nowMs),
    );
  }

  /** Rows of an existing CA's records: good rows go in, rejected ones come back; in the refresh lane, behind every event. */
  import(at: ServedIssuer, rows: readonly ImportRow[], actor: string, source: string): Promise<ImportOutcome> {
    return this.#writer.write(
      at.tag,
      rows.map((row) => row.serial),
      (known, nowMs) => {
        const rejected: RejectedRow[] = [];
        const changed = new Map<Serial, { certificate: Certificate; lane: Lane }>();
        let accepted = 0;
        for (const row of rows) {
          try {
            const before = known(row.serial);
            const certificate = importRow(at, changed.get(row.serial)?.certificate ?? before, row, nowMs);
            if (certificate === undefined) continue;
            // Where an answer may be out already, its change is as urgent as any revocation; the rest is backlog.
            const lane = before !== undefined && before.revision < certificate.revision ? 'revocation' : 'refresh';
            changed.set(row.serial, { certificate, lane });
            accepted += 1;
          } catch (error) {
            if (!(error instanceof Problem)) throw error;
            rejected.push({ line: row.line, problem: error });
          }
        }
        const entry: JournalEntry | undefined =
          changed.size === 0
            ? undefined
            : {
                type: 'certificates.imported',
                actor,
                issuer: at.id,
                issuerTag: at.tag,
                description: `${changed.size} certificates imported from ${source}`,
                changes: [...changed.values()].map(({ certificate, lane }) => journalChange(certificate, lane)),
              };
        return { entry, result: { accepted, unchanged: rows.length - accepted - rejected.length, rejected } };
      },
    );
  }

  /**
   * Lines of a mass revocation: what can be revoked is, in the mass lane; the rest is counted. Again changes nothing, so a run that
   * was cut short begins again wherever it likes before that.
   */
  revokeMany(at: ServedIssuer, serials: readonly Serial[], batch: MassBatch, actor: string): Promise<MassOutcome> {
    return this.#writer.write(at.tag, serials, (known, nowMs) => {
      const changed = new Map<Serial, JournalledChange>();
      const counts = { ...NO_COUNTS, lines: serials.length };
      let firstRefused: string | undefined;
      for (const serial of serials) {
        // A serial that stands on the list twice was dealt with.
        const fate = changed.has(serial)
          ? ({ kind: 'already' } as const)
          : fateOf(at.profile, batch.order, batch.startedAt, known(serial), nowMs);
        if (fate.kind === 'revoke') {
          const { certificate, lane } = fate.transition;
          changed.set(serial, journalChange(certificate as Certificate, lane));
          counts.revoked += 1;
        } else counts[fate.kind === 'done' ? 'revoked' : fate.kind] += 1;
        if (fate.kind === 'refused') firstRefused ??= `${serial}: ${fate.problem.line}`;
      }
      const entry: JournalEntry | undefined =
        changed.size === 0
          ? undefined
          : {
              type: 'certificates.revoked',
              actor,
              issuer: at.id,
              issuerTag: at.tag,
              description: `${changed.size} revoked by mass revocation ${batch.plan}`,
              changes: [...changed.values()],
              detail: { mass: batch.plan },
            };
      return { entry, result: { ...counts, firstRefused } };
    });
  }

  /** Resolves when nothing is being recorded. */
  idle(): Promise<void> {
    return this.#writer.idle();
  }

  /** So that a start after a crash has less to read; not for a shared store: see LedgerWriter.checkpoint. */
  checkpoint(): Promise<void> {
    return this.#writer.checkpoint();
  }

  /** Once, after everything else: see LedgerWriter.close. */
  close(): Promise<void> {
    return this.#writer.close();
  }

  #submit<E extends { readonly serial: Serial }>(
    at: ServedIssuer,
    events: readonly E[],
    actor: string,
    type: 'certificates.issued' | 'certificates.revoked',
    list: string,
    decide: (current: Certificate | undefined, event: E, nowMs: EpochMs) => Transition,
  ): Promise<readonly Receipt[]> {
    return this.#writer.write(
      at.tag,
      events.map((event) => event.serial),
      (known, nowMs) => {
        const seen = new Set<Serial>();
        const changes: { certificate: Certificate; lane: Transition['lane'] }[] = [];
        const receipts = events.map((event, i): Receipt => {
          if (seen.has(event.serial)) {
            throw new Problem('invalid', 'this serial stands twice in the request', {
              field: `${list}/${i}/serial`,
              value: event.serial,
            });
          }
          seen.add(event.serial);
          const current = known(event.serial);
          let transition: Transition;
          try {
            transition = decide(current, event, nowMs);
          } catch (error) {
            throw error instanceof Problem ? error.within(`${list}/${i}`) : error;
          }
          const { certificate, lane } = transition;
          if (certificate !== undefined) changes.push({ certificate, lane });
          const revision = (certificate ?? (current as Certificate)).revision;
          return { id: receiptId(at.id, event.serial, revision), serial: event.serial, revision };
        });
        const about = events.flatMap((event) =>
          'about' in event && event.about !== undefined ? [{ serial: event.serial, ...event.about }] : [],
        );
        const entry: JournalEntry | undefined =
          changes.length === 0
            ? undefined
            : {
                type,
                actor,
                issuer: at.id,
                issuerTag: at.tag,
                description: `${changes.length} ${type === 'certificates.issued' ? 'issued' : 'revoked'}`,
                changes: changes.map(({ certificate, lane }) => journalChange(certificate, lane)),
                ...(about.length > 0 && { detail: { cases: about } }),
              };
        return { entry, result: receipts };
      },
    );
  }
}

function receiptId(issuer: string, serial: Serial, revision: number): string {
  return `${issuer}.${serial}.${revision}`;
}
