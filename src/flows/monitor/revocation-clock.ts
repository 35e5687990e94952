/**
 * The clock of each revocation as the world sees it: from the record to the first OCSP answer and the first CRL that say so, asked
 * for over HTTP at the public URLs (CT-4.9.1.1, B-05, B-14, CT-4.9.7-b).
 *
 * Of each CRL one download serves all that wait for it, and only when it has changed. Of a flood of revocations some are watched,
 * and the rest is counted: the monitor asks no more often than a few clients would.
 */
import { readCrl } from '../../core/crl/crl-reader.ts';
import { COMPLETE, type Certificate, type IssuerTag } from '../../core/certificate.ts';
import type { JournalRecord } from '../../core/journal-record.ts';
import type { MetricSet } from '../../core/metric.ts';
import { encodeGetPath } from '../../core/ocsp/get-path.ts';
import { fieldOf } from '../../core/probe/http-answer.ts';
import { said } from '../../core/probe/ocsp-rules.ts';
import { plainQuestion } from '../../core/probe/question.ts';
import { parseClause } from '../../core/policy/clause.ts';
import { Problem } from '../../core/problem.ts';
import { reasonName } from '../../core/reason.ts';
import { RECORDED_TO_CRL_MS, type Observation } from '../../core/revocation-report.ts';
import { DAY, SECOND, type EpochMs } from '../../core/time.ts';
import type { Clock, Timer } from '../../ports/clock.ts';
import type { Journal } from '../../ports/journal.ts';
import type { ChangeFeed } from '../../ports/store.ts';
import type { Wire } from '../../ports/wire.ts';
import { fetchPublic, type PublicAddress } from './fetch-public.ts';
import type { ServedIssuer } from '../issuer-setup.ts';
import type { RevocationLimit } from './revocation-deadline.ts';
import type { Log } from '../log.ts';
import { Pace } from '../pace.ts';

/** Watched at once. */
const MOST_OPEN = 500;
/** OCSP answers asked for in one round. */
const ASKED_PER_ROUND = 25;
const FIRST_LOOK_MS = 200;
const MOST_PAUSE_MS = 10 * SECOND;
/** Of a downloaded CRL, between two turns of the event loop. */
const ENTRIES_PER_STEP = 1000;
/** Seen in so many seconds: the targets are seconds, the limits a day. */
const SECONDS = [0.5, 1, 2, 5, 10, 30, 60, 300, 900, 3600, 14_400, 86_400];

/** An issuer, and where the world asks about its certificates. */
export interface WatchedIssuer {
  readonly served: ServedIssuer;
  /** The mount of OCSP; undefined when nobody can ask from here. */
  readonly ocsp: PublicAddress | undefined;
  /** The CRL of a scope. */
  readonly crl: (shard: string) => PublicAddress | undefined;
}

interface Case {
  readonly issuer: WatchedIssuer;
  readonly certificate: Certificate;
  /** The clause's, where the event named one. */
  deadline: EpochMs;
  /** That of a clause of five days. */
  fiveDays: EpochMs | undefined;
  ocspSeenAt: EpochMs | undefined;
  crlSeenAt: EpochMs | undefined;
  askAt: EpochMs;
  tries: number;
}

/** As the record of an event has it. */
interface StatedCase {
  readonly serial: string;
  readonly clause?: string;
  readonly deadline?: string;
}

/** A CRL that somebody waits for. */
interface Download {
  etag: string | undefined;
  askAt: EpochMs;
  tries: number;
}

export interface RevocationClockParts {
  readonly issuers: readonly WatchedIssuer[];
  readonly feed: ChangeFeed;
  /** Undefined: what is seen is not recorded. */
  readonly journal: Journal | undefined;
  readonly wire: Wire;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: MetricSet;
}

export class RevocationClock {
  readonly #parts: RevocationClockParts;
  readonly #issuers: ReadonlyMap<IssuerTag, WatchedIssuer>;
  #open = new Map<string, Case>();
  readonly #downloads = new Map<string, Download>();
  /** By issuer: since the last record, and since the start. */
  #unwatched = new Map<string, number>();
  readonly #unwatchedTotal = new Map<string, number>();
  #timer: Timer | undefined;
  #looking: Promise<void> | undefined;
  #stopped = false;
  readonly #toOcsp;
  readonly #toCrl;

  constructor(parts: RevocationClockParts) {
    this.#parts = parts;
    this.#issuers = new Map(parts.issuers.map((issuer) => [issuer.served.tag, issuer]));
    const { metrics } = parts;
    this.#toOcsp = metrics.histogram(
      'certstatus_revocation_seen_ocsp_seconds',
      'From the record of a revocation to the first OCSP answer that says so, asked for from outside.',
      SECONDS,
    );
    this.#toCrl = metrics.histogram(
      'certstatus_revocation_seen_crl_seconds',
      'From the record of a revocation to the first CRL that lists it, got from outside. Limit 24 h (BR 4.9.7).',
      SECONDS,
    );
    this.#registerGauges(metrics);
    parts.feed.follow((event) => {
      if (event.type !== 'recorded') return;
      const { certificate, lane } = event.change;
      // An import tells of what was revoked elsewhere, long ago.
      if (certificate.revocation !== undefined && (lane === 'revocation' || lane === 'mass')) this.#watch(certificate);
    });
  }

  /** What the record of an event says of deadlines, once the feed has told of it. */
  noteCases(record: JournalRecord): void {
    if (record.type !== 'certificates.revoked') return;
    const { cases = [] } = (record.detail ?? {}) as { cases?: readonly StatedCase[] };
    for (const { serial, deadline, clause } of cases) {
      if (deadline === undefined || record.issuerTag === undefined) continue;
      const key = `${record.issuerTag}.${serial}`;
      const watched = this.#open.get(key);
      if (watched === undefined) continue;
      watched.deadline = Math.min(watched.deadline, Date.parse(deadline));
      if (clause !== undefined && parseClause(clause).withinMs === 5 * DAY) watched.fiveDays = Date.parse(deadline);
    }
  }

  /** Of every revocation that is not seen yet: 24 h from its record, or what its clause leaves of them; five days where the clause says so. */
  get deadlines(): readonly { readonly limit: RevocationLimit; readonly at: EpochMs }[] {
    return [...this.#open.values()].flatMap(({ certificate, deadline, fiveDays }) =>
      fiveDays === undefined
        ? [{ limit: '24h' as const, at: deadline }]
        : [
            { limit: '24h' as const, at: certificate.recordedAt + RECORDED_TO_CRL_MS },
            { limit: '5d' as const, at: fiveDays },
          ],
    );
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#timer?.cancel();
    await this.#looking;
  }

  #registerGauges(metrics: MetricSet): void {
    const { clock } = this.#parts;
    const seen = { ocsp: 'ocspSeenAt', crl: 'crlSeenAt' } as const;
    const waiting = (channel: 'ocsp' | 'crl'): readonly Case[] =>
      [...this.#open.values()].filter((one) => one[seen[channel]] === undefined);
    metrics.gauge(
      'certstatus_revocation_unseen',
      'Revocations that the monitor waits to see from outside, by channel.',
      () => (['ocsp', 'crl'] as const).map((channel) => [{ channel }, waiting(channel).length] as const),
    );
    metrics.gauge(
      'certstatus_revocation_unseen_oldest_seconds',
      'How long the oldest of them has been waiting; 0 when none waits.',
      () =>
        (['ocsp', 'crl'] as const).map((channel) => {
          const oldest = Math.min(...waiting(channel).map(({ certificate }) => certificate.recordedAt));
          return [{ channel }, oldest === Infinity ? 0 : (clock.now() - oldest) / SECOND] as const;
        }),
    );
    metrics.gauge(
      'certstatus_revocation_least_margin_seconds',
      "Until the first deadline of a revocation that is not seen yet: its clause's (24 h or 5 days from awareness), or 24 h from its record. Below 0 a limit is broken.",
      () => {
        const deadlines = [...this.#open.values()].map(({ deadline }) => deadline);
        return deadlines.length === 0 ? [] : [[{}, (Math.min(...deadlines) - clock.now()) / SECOND] as const];
      },
    );
    metrics.gauge(
      'certstatus_revocation_unwatched',
      'Revocations since the start that were not watched, because too many came at once.',
      () => [...this.#unwatchedTotal].map(([issuer, count]) => [{ issuer }, count] as const),
    );
  }

  #watch(certificate: Certificate): void {
    const issuer = this.#issuers.get(certificate.issuer);
    if (issuer === undefined || this.#stopped) return;
    const key = `${certificate.issuer}.${certificate.serial}`;
    if (this.#open.size >= MOST_OPEN && !this.#open.has(key)) {
      const { id } = issuer.served;
      this.#unwatched.set(id, (this.#unwatched.get(id) ?? 0) + 1);
      this.#unwatchedTotal.set(id, (this.#unwatchedTotal.get(id) ?? 0) + 1);
      return;
    }
    const askAt = this.#parts.clock.now() + FIRST_LOOK_MS;
    const deadline = certificate.recordedAt + RECORDED_TO_CRL_MS;
    // What cannot be asked for from here is not waited for.
    const canAsk = issuer.ocsp !== undefined && issuer.crl(certificate.crlShard ?? COMPLETE) !== undefined;
    if (!canAsk) return;
    this.#open.set(key, {
      issuer,
      certificate,
      deadline,
      fiveDays: undefined,
      ocspSeenAt: undefined,
      crlSeenAt: undefined,
      askAt,
      tries: 0,
    });
    for (const download of this.#downloads.values()) {
      download.tries = 0;
      download.askAt = Math.min(download.askAt, askAt);
    }
    this.#lookSoon();
  }

  #lookSoon(): void {
    if (this.#looking !== undefined || this.#stopped || this.#open.size === 0) return;
    this.#timer?.cancel();
    const { clock } = this.#parts;
    const due = [...this.#open.values()].flatMap((one) => (one.ocspSeenAt === undefined ? one.askAt : []));
    const next = Math.min(...due, ...[...this.#downloads.values()].map(({ askAt }) => askAt));
    const delay = Math.min(MOST_PAUSE_MS, Math.max(FIRST_LOOK_MS / 2, next - clock.now()));
    this.#timer = clock.after(delay, () => {
      this.#looking = this.#look()
        .catch((error: unknown) => this.#parts.log.error({ err: error }, 'revocations could not be looked for'))
        .then(() => {
          this.#looking = undefined;
          this.#lookSoon();
        });
    });
  }

  async #look(): Promise<void> {
    const { clock } = this.#parts;
    const due = [...this.#open.values()].filter((one) => one.ocspSeenAt === undefined && one.askAt <= clock.now());
    for (const one of due.slice(0, ASKED_PER_ROUND)) {
      if (this.#stopped) return;
      await this.#askOcsp(one);
    }
    const waiting = new Map<string, Case[]>();
    for (const one of this.#open.values()) {
      if (one.crlSeenAt !== undefined) continue;
      const at = one.issuer.crl(one.certificate.crlShard ?? COMPLETE);
      const url = `${at?.authority}${at?.path}`;
      waiting.set(url, [...(waiting.get(url) ?? []), one]);
    }
    for (const url of this.#downloads.keys()) if (!waiting.has(url)) this.#downloads.delete(url);
    for (const [url, cases] of waiting) {
      if (this.#stopped) return;
      await this.#getCrl(url, cases);
    }
    await this.#recordSeen();
  }

  async #askOcsp(one: Case): Promise<void> {
    const { clock, wire } = this.#parts;
    const { served, ocsp } = one.issuer;
    one.tries += 1;
    one.askAt = clock.now() + pause(one.tries);
    if (ocsp === undefined) return;
    const { serial, revocation } = one.certificate;
    const question = plainQuestion({ hash: 'sha1', issuer: served.issuer.hashes.sha1, serial });
    try {
      const path = `${ocsp.path.replace(/\/$/, '')}/${encodeGetPath(question)}`;
      const answer = await fetchPublic(wire, { ...ocsp, path });
      const single = said(answer.body).decoded?.basic?.responses[0];
      if (single?.certStatus !== 'revoked' || single.serial !== serial) return;
      const reason = single.revocationReason === undefined ? undefined : reasonName(single.revocationReason);
      if (single.revocationTime !== revocation?.revokedAt || reason !== revocation?.reason) return;
      one.ocspSeenAt = clock.now();
      this.#toOcsp.observe((one.ocspSeenAt - one.certificate.recordedAt) / SECOND);
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
    }
  }

  async #getCrl(url: string, cases: readonly Case[]): Promise<void> {
    const { clock, wire, log } = this.#parts;
    const [first] = cases;
    const at = first?.issuer.crl(first.certificate.crlShard ?? COMPLETE);
    const download = this.#downloads.get(url) ?? { etag: undefined, askAt: 0, tries: 0 };
    this.#downloads.set(url, download);
    if (at === undefined || download.askAt > clock.now()) return;
    download.tries += 1;
    download.askAt = clock.now() + pause(download.tries);
    try {
      const answer = await fetchPublic(
        wire,
        at,
        download.etag === undefined ? [] : [`If-None-Match: ${download.etag}`],
      );
      if (answer.status !== 200) return;
      const waiting = new Map(cases.map((one) => [one.certificate.serial as string, one]));
      const pace = new Pace(clock, 1);
      let entries = 0;
      for (const entry of readCrl(answer.body).entries()) {
        entries += 1;
        if (entries % ENTRIES_PER_STEP === 0) await pace.breathe();
        const one = entry.serial === undefined ? undefined : waiting.get(entry.serial);
        const revocation = one?.certificate.revocation;
        if (one === undefined || entry.revocationDate !== revocation?.revokedAt || entry.reason !== revocation.reason)
          continue;
        one.crlSeenAt = clock.now();
        this.#toCrl.observe((one.crlSeenAt - one.certificate.recordedAt) / SECOND);
      }
      download.etag = fieldOf(answer, 'etag');
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      if (download.tries === 1) log.warn({ url: `http://${url}` }, `a CRL cannot be got from outside: ${error.line}`);
    }
  }

  /** One record per issuer and round. */
  async #recordSeen(): Promise<void> {
    const { journal, log } = this.#parts;
    const byIssuer = new Map<ServedIssuer, Observation[]>();
    const done: string[] = [];
    for (const [key, { issuer, certificate, ocspSeenAt, crlSeenAt }] of this.#open) {
      if (ocspSeenAt === undefined || crlSeenAt === undefined) continue;
      done.push(key);
      const { serial, revision } = certificate;
      const observed = byIssuer.get(issuer.served) ?? [];
      observed.push({ serial, revision, ocspSeenAt, crlSeenAt });
      byIssuer.set(issuer.served, observed);
    }
    if (done.length === 0) return;
    try {
      await journal?.append(
        [...byIssuer].map(([{ id, tag }, observed]) => {
          const unwatched = this.#unwatched.get(id) ?? 0;
          return {
            type: 'revocation.observed' as const,
            actor: 'monitor',
            issuer: id,
            issuerTag: tag,
            description: `${observed.length} revocations seen by OCSP and on the CRL`,
            detail: { observed, ...(unwatched > 0 && { unwatched }) },
          };
        }),
      );
      this.#unwatched = new Map();
    } catch (error) {
      // They stay open, and are recorded with the next round.
      log.error({ err: error }, 'what was seen from outside could not be recorded');
      return;
    }
    for (const key of done) this.#open.delete(key);
  }
}

/** 200 ms, 400 ms, … 10 s: a revocation is seen within seconds, and what hangs is not asked for every second. */
function pause(tries: number): number {
  return Math.min(MOST_PAUSE_MS, FIRST_LOOK_MS * 2 ** Math.min(tries, 10));
}
