/** What the audit logs say of themselves and of everything but certificates and CRLs: their chain, starts, persons, checks, the clock. */
import type { JournalRecord } from '../journal-record.ts';
import type { Profile } from '../policy/profile.ts';
import { rfc3339, SECOND, type EpochMs } from '../time.ts';
import { Extremum } from './worst.ts';

/** Of what happens often, so many are listed; the rest is counted. */
const LISTED = 50;

export interface Happened {
  readonly at: string;
  readonly actor: string;
  readonly description: string;
}

export interface Listed {
  readonly count: number;
  /** The first of them. */
  readonly first: readonly Happened[];
  readonly last: Happened | undefined;
}

export interface Activated {
  readonly at: string;
  readonly token: string;
  readonly persons: readonly string[];
  /** `shares`, `prompt`, …; undefined in old records. */
  readonly source: string | undefined;
}

export interface JournalView {
  readonly name: string;
  /** Records up to the end of the period, and within it. */
  readonly records: number;
  readonly within: number;
  readonly from: string | undefined;
  readonly until: string | undefined;
  /** Of the last record up to the end of the period. */
  readonly head: { readonly seq: number; readonly hash: string } | undefined;
  /** What is wrong with it, and where; what follows is no evidence. */
  readonly broken: string | undefined;
}

export interface ProfileInForce {
  readonly from: string;
  readonly profile: Profile;
  readonly description: string;
}

export interface LogFigures {
  readonly journals: readonly JournalView[];
  /** Records of the period by type. */
  readonly byType: ReadonlyMap<string, number>;
  readonly starts: Listed;
  readonly stops: Listed;
  /** Starts without a stop before them. */
  readonly crashes: Listed;
  /** Times in which a process that keeps a log did not run. */
  readonly down: Extremum;
  readonly denied: Listed;
  readonly clockBack: Extremum;
  readonly profiles: readonly ProfileInForce[];
  readonly activated: readonly Activated[];
  readonly deactivated: readonly Activated[];
  readonly tokenTrouble: Listed;
  readonly keysGenerated: Listed;
  readonly responderChanges: Listed;
  readonly keyProofs: Listed;
  /** The clock was set, or too far off. */
  readonly clockTrouble: Listed;
  /** Ever up to the end of the period, because they are asked for once a year or a quarter. */
  readonly lastDrill: Happened | undefined;
  readonly samples: readonly { readonly at: string; readonly percent: number; readonly sampled: number; readonly population: number; readonly quarter: string }[]; // prettier-ignore
  readonly verifications: readonly { readonly at: string; readonly crls: number; readonly problems: number; readonly copies: number | undefined }[]; // prettier-ignore
  readonly reconciled: { readonly count: number; readonly differences: number; readonly worst: string | undefined; readonly last: string | undefined; readonly answerable: number | undefined }; // prettier-ignore
  readonly probes: ProbeFigures;
}

/** Of `monitor.probed`. */
export interface ProbeFigures {
  readonly asked: number;
  readonly unanswered: number;
  /** Looks at public URLs in every spelling, and certificates of random samples, with what was wrong. */
  readonly looks: number;
  readonly findings: number;
  readonly sampled: number;
  readonly wrong: number;
  /** The first record with something wrong. */
  readonly worst: string | undefined;
  /** Seconds. */
  readonly slowest: Extremum;
}

interface Probed {
  readonly asked: number;
  readonly unanswered: number;
  readonly slowestMs: number;
  readonly slowestAt: string;
  readonly slowest: string;
  readonly urls: readonly { readonly looks: number; readonly findings: number }[];
  readonly samples: readonly { readonly issuer: string; readonly certificates: number; readonly wrong: number }[];
}

interface JournalState {
  name: string;
  records: number;
  within: number;
  from: string | undefined;
  until: string | undefined;
  head: { seq: number; hash: string } | undefined;
  broken: string | undefined;
  running: boolean;
  /** Since when it does not run, after a stop. */
  stoppedAt: string | undefined;
}

class Listing {
  count = 0;
  readonly first: Happened[] = [];
  last: Happened | undefined;

  add({ at, actor, description }: JournalRecord): void {
    this.count += 1;
    this.last = { at, actor, description };
    if (this.first.length < LISTED) this.first.push(this.last);
  }
}

export class LogHistory {
  readonly #issuer: string;
  readonly #from: EpochMs;
  readonly #journals: JournalState[];
  readonly #byType = new Map<string, number>();
  readonly #lists = {
    starts: new Listing(),
    stops: new Listing(),
    crashes: new Listing(),
    denied: new Listing(),
    tokenTrouble: new Listing(),
    keysGenerated: new Listing(),
    responderChanges: new Listing(),
    keyProofs: new Listing(),
    clockTrouble: new Listing(),
  };
  readonly #clock = new Extremum('greatest');
  readonly #down = new Extremum('greatest');
  readonly #profiles: ProfileInForce[] = [];
  readonly #activated: Activated[] = [];
  readonly #deactivated: Activated[] = [];
  #lastDrill: Happened | undefined;
  readonly #samples: LogFigures['samples'][number][] = [];
  readonly #verifications: LogFigures['verifications'][number][] = [];
  readonly #reconciled = { count: 0, differences: 0, worst: undefined as string | undefined, last: undefined as string | undefined, answerable: undefined as number | undefined }; // prettier-ignore
  readonly #probes = { asked: 0, unanswered: 0, looks: 0, findings: 0, sampled: 0, wrong: 0, worst: undefined as string | undefined, slowest: new Extremum('greatest') }; // prettier-ignore

  /** @param journals their names, in the order in which records name them. */
  constructor(issuer: string, journals: readonly string[], from: EpochMs) {
    this.#issuer = issuer;
    this.#from = from;
    this.#journals = journals.map((name) => ({
      name,
      records: 0,
      within: 0,
      from: undefined,
      until: undefined,
      head: undefined,
      broken: undefined,
      running: false,
      stoppedAt: undefined,
    }));
  }

  broken(journal: number, problem: string): void {
    (this.#journals[journal] as JournalState).broken = problem;
  }

  /** Every record up to the end of the period, in the order of its journal. */
  add(journal: number, record: JournalRecord): void {
    const of = this.#journals[journal] as JournalState;
    const { at, seq, hash, type } = record;
    const within = Date.parse(at) >= this.#from;
    const back = of.until === undefined ? 0 : Date.parse(of.until) - Date.parse(at);
    if (within && back > 0) this.#clock.add(back, () => `record ${seq} of ${at} follows one of ${before}`);
    const before = of.until;
    of.records += 1;
    of.from ??= at;
    of.until = at;
    of.head = { seq, hash };
    if (within) {
      of.within += 1;
      this.#byType.set(type, (this.#byType.get(type) ?? 0) + 1);
    }
    this.#life(of, record, within, before);
    this.#always(record);
    if (within) this.#withinPeriod(record);
  }

  #life(of: JournalState, record: JournalRecord, within: boolean, before: string | undefined): void {
    const { at } = record;
    if (record.type === 'service.started') {
      if (within) {
        this.#lists.starts.add(record);
        if (of.running) this.#lists.crashes.add(record);
        const since = of.running ? before : of.stoppedAt;
        if (since !== undefined) this.#wasDown(of.name, since, at, of.running);
      }
      of.running = true;
      this.#profile(record);
    }
    if (record.type === 'service.stopped') {
      if (within) this.#lists.stops.add(record);
      of.running = false;
      of.stoppedAt = at;
    }
  }

  #wasDown(name: string, since: string, until: string, crashed: boolean): void {
    const from = Math.max(Date.parse(since), this.#from);
    this.#down.add(Date.parse(until) - from, () => `${name}: ${crashed ? 'nothing recorded from' : 'stopped'} ${since}, started ${until}`); // prettier-ignore
  }

  #profile({ at, description, detail }: JournalRecord): void {
    const { issuers = [] } = (detail ?? {}) as { issuers?: readonly { id: string; profile?: Profile }[] };
    const profile = issuers.find(({ id }) => id === this.#issuer)?.profile;
    if (profile === undefined) return;
    const inForce = this.#profiles.at(-1);
    if (inForce !== undefined && JSON.stringify(inForce.profile) === JSON.stringify(profile)) return;
    // What was replaced before the period is not in force in it.
    if (Date.parse(at) < this.#from) this.#profiles.length = 0;
    this.#profiles.push({ from: at, profile, description });
  }

  #always(record: JournalRecord): void {
    const { at, type, detail } = record;
    if (type === 'drill.finished' || type === 'mass.finished')
      this.#lastDrill = { at, actor: record.actor, description: record.description };
    if (type === 'sample.drawn' && record.issuer === this.#issuer) {
      const { percent, sampled, population, quarter } = detail as unknown as LogFigures['samples'][number];
      keepLast(this.#samples, { at, percent, sampled, population, quarter });
    }
    if (type === 'archive.verified') {
      const { crls, problems, copies } = detail as { crls: number; problems: readonly { repaired: boolean }[]; copies?: number }; // prettier-ignore
      keepLast(this.#verifications, {
        at,
        crls,
        problems: problems.filter(({ repaired }) => !repaired).length,
        copies,
      });
    }
    if (type === 'token.activated') keepLast(this.#activated, activation(record));
  }

  #withinPeriod(record: JournalRecord): void {
    const { type, issuer = this.#issuer } = record;
    const own = issuer === this.#issuer;
    const lists = this.#lists;
    if (type === 'access.denied') lists.denied.add(record);
    if (type === 'token.deactivated') keepLast(this.#deactivated, activation(record));
    if (type === 'token.lost' || type === 'token.activation-failed') lists.tokenTrouble.add(record);
    if (type === 'token.key-generated') lists.keysGenerated.add(record);
    if (own && type.startsWith('responder.')) lists.responderChanges.add(record);
    if (own && type === 'key.compromised') lists.keyProofs.add(record);
    if (type === 'status.reconciled') this.#reconciliation(record);
    if (type === 'monitor.probed') this.#probed(record);
    if (type === 'clock.stepped' || type === 'clock.off') lists.clockTrouble.add(record);
  }

  #reconciliation({ at, description, detail }: JournalRecord): void {
    const { issuers, differences } = detail as {
      issuers: readonly { id: string; answerable: number }[];
      differences: number;
    };
    const own = issuers.find(({ id }) => id === this.#issuer);
    if (own === undefined) return;
    this.#reconciled.count += 1;
    this.#reconciled.last = at;
    this.#reconciled.answerable = own.answerable;
    if (differences === 0) return;
    this.#reconciled.differences += 1;
    this.#reconciled.worst ??= description;
  }

  #probed({ at, detail, description }: JournalRecord): void {
    const { asked, unanswered, slowestMs, slowestAt, slowest, urls, samples } = detail as unknown as Probed;
    const sum = this.#probes;
    sum.asked += asked;
    sum.unanswered += unanswered;
    for (const { looks, findings } of urls) {
      sum.looks += looks;
      sum.findings += findings;
    }
    for (const { issuer, certificates, wrong } of samples) {
      if (issuer !== this.#issuer) continue;
      sum.sampled += certificates;
      sum.wrong += wrong;
    }
    if (unanswered + sum.findings + sum.wrong > 0) sum.worst ??= `${at}: ${description}`;
    if (asked > 0) sum.slowest.add(slowestMs / SECOND, () => `${slowestAt}, ${slowest}`);
  }

  /** @param to end of the period. */
  finish(to: EpochMs): LogFigures {
    for (const { name, running, stoppedAt } of this.#journals)
      if (!running && stoppedAt !== undefined) this.#wasDown(name, stoppedAt, rfc3339(to), false);
    return {
      ...this.#lists,
      journals: this.#journals,
      byType: this.#byType,
      clockBack: this.#clock,
      down: this.#down,
      profiles: this.#profiles,
      activated: this.#activated,
      deactivated: this.#deactivated,
      lastDrill: this.#lastDrill,
      samples: this.#samples,
      verifications: this.#verifications,
      reconciled: this.#reconciled,
      probes: this.#probes,
    };
  }
}

function activation({ at, detail }: JournalRecord): Activated {
  const { token, persons, source } = detail as { token: string; persons: readonly string[]; source?: string };
  return { at: rfc3339(Date.parse(at)), token, persons, source };
}

function keepLast<T>(list: T[], one: T): void {
  if (list.length >= LISTED) list.shift();
  list.push(one);
}
