/**
 * Keeps a census (core/crl/census.ts) of each issuer: by one scan of the ledger after the start, and by the change feed from then on.
 *
 * It is derived, so that no restart, failover or restore can lose it. The scan reads page by page with a pause after each few, in the
 * background: ten million certificates take a minute or so, and no answer waits. Until it has ended nothing is known, and then CRLs
 * are due every 4 days (crlPeriodMs), which is never wrong.
 *
 * Of a change that the feed tells it is not always clear whether the certificate is new. What only grows (until when, since when,
 * without OCSP) is right at once; the numbers of certificates are when the ledger has been scanned again, at most an hour later.
 */
import type { IssuerTag } from '../../core/certificate.ts';
import { Census } from '../../core/crl/census.ts';
import { crlPeriodMs } from '../../core/policy/freshness.ts';
import { Problem } from '../../core/problem.ts';
import { DAY, formatDuration, HOUR, rfc3339, SECOND, type EpochMs } from '../../core/time.ts';
import type { Clock, Timer } from '../../ports/clock.ts';
import type { Change, ChangeFeed, Ledger, Reliance } from '../../ports/store.ts';
import type { ServedIssuer } from '../issuer-setup.ts';
import type { Log } from '../log.ts';

/** Certificates between two pauses: some milliseconds of work. */
const STRIDE = 2000;
const PAUSE_MS = 5;
const AGAIN_MS = DAY;
/** With changes that could not be counted. */
const AGAIN_SOON_MS = HOUR;
const RETRY_MS = 10 * SECOND;

interface Counted {
  readonly census: Census;
  readonly asOf: EpochMs;
  /** Changes since then may have been new certificates, and are not counted. */
  uncertain: boolean;
}

export class CrlCensus {
  readonly #issuers: readonly ServedIssuer[];
  readonly #store: Pick<Ledger, 'certificates'> & ChangeFeed & Pick<Reliance, 'failure'>;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #counted = new Map<IssuerTag, Counted>();
  readonly #scanning = new Map<IssuerTag, { readonly census: Census; readonly done: Promise<void> }>();
  readonly #listeners: ((issuer: ServedIssuer) => void)[] = [];
  /** Of these issuers the log has it that the 7-day rule is over. */
  readonly #told = new Set<IssuerTag>();
  #timer: Timer | undefined;
  #started = false;
  #rounding = false;
  #stopped = false;

  constructor(
    issuers: readonly ServedIssuer[],
    store: Pick<Ledger, 'certificates'> & ChangeFeed & Pick<Reliance, 'failure'>,
    clock: Clock,
    log: Log,
  ) {
    this.#issuers = issuers;
    this.#store = store;
    this.#clock = clock;
    this.#log = log;
    store.follow((event) => {
      if (event.type === 'recorded') this.#recorded(event.change);
      else if (event.type === 'gap') this.#mark(event.issuer);
    });
  }

  /** Scans one issuer after the other, and again each day. */
  start(): void {
    this.#started = true;
    void this.#round();
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
  }

  /** From memory; undefined until the ledger has been scanned. */
  of(issuer: IssuerTag): Census | undefined {
    return this.#counted.get(issuer)?.census;
  }

  /** As of now, which may take a scan. @throws Problem `unavailable` when the ledger cannot be read. */
  async exact(issuer: ServedIssuer): Promise<{ readonly census: Census; readonly asOf: EpochMs }> {
    const counted = this.#counted.get(issuer.tag);
    if (counted !== undefined && !counted.uncertain) return counted;
    await this.#scan(issuer);
    return this.#counted.get(issuer.tag) as Counted;
  }

  /** Between two scheduled CRLs of the issuer (B-13, T-42). From memory. */
  periodMs({ tag, profile }: ServedIssuer): number {
    return crlPeriodMs(profile, this.everyCertificateNamesOcsp(tag));
  }

  /** False as soon as an unexpired one is known that does not, and until the ledger has been scanned. From memory. */
  everyCertificateNamesOcsp(issuer: IssuerTag): boolean {
    return this.of(issuer)?.withoutOcsp(this.#clock.now()) === false;
  }

  /** Called when a CRL may have become one that certificates name, or ceased to be one; at least once an hour. */
  onChange(listener: (issuer: ServedIssuer) => void): void {
    this.#listeners.push(listener);
  }

  #recorded({ certificate, lane }: Change): void {
    const issuer = this.#issuers.find(({ tag }) => tag === certificate.issuer);
    if (issuer === undefined) return;
    const counted = this.#counted.get(issuer.tag);
    // Issuance has a lane of its own; an import shares one with what is learnt later.
    const isNew = lane === 'issue';
    const isChange = certificate.revision > 1 || lane === undefined;
    // A first revocation; what changes it later, or takes a hold back, is counted when the ledger is scanned again.
    const isRevoked = !isNew && certificate.revision === 2 && certificate.revocation !== undefined;
    const add = (census: Census): void => {
      if (isNew) census.count(certificate);
      else census.note(certificate);
      if (isRevoked) census.countRevoked(certificate);
    };
    const scanning = this.#scanning.get(issuer.tag);
    if (scanning !== undefined) add(scanning.census);
    if (counted === undefined) return;
    const { census } = counted;
    const now = this.#clock.now();
    const before = [census.isNamed(certificate.crlShard, now), census.withoutOcsp(now)] as const;
    add(census);
    if (!isNew && !isChange) counted.uncertain = true;
    // Nearly every certificate is on a CRL that others are on: nothing is compared then.
    if (before[0] !== census.isNamed(certificate.crlShard, now) || before[1] !== census.withoutOcsp(now))
      this.#tell(issuer, census);
  }

  #mark(tag: IssuerTag): void {
    const counted = this.#counted.get(tag);
    if (counted !== undefined) counted.uncertain = true;
    if (this.#started) this.#roundAfter(SECOND);
  }

  #roundAfter(delayMs: number): void {
    this.#timer?.cancel();
    if (!this.#stopped) this.#timer = this.#clock.after(delayMs, () => void this.#round());
  }

  async #round(): Promise<void> {
    if (this.#rounding) return this.#roundAfter(SECOND);
    this.#rounding = true;
    let again = AGAIN_SOON_MS;
    for (const issuer of this.#issuers) {
      if (this.#stopped) break;
      const counted = this.#counted.get(issuer.tag);
      if (counted !== undefined && !counted.uncertain && this.#clock.now() - counted.asOf < AGAIN_MS) {
        this.#tell(issuer, counted.census);
        continue;
      }
      try {
        await this.#scan(issuer);
      } catch (error) {
        again = RETRY_MS;
        // A store that cannot be relied on says so itself.
        if (this.#store.failure === undefined && !this.#stopped)
          this.#log.warn({ err: error, issuer: issuer.id }, 'the certificates could not be counted; trying again');
      }
    }
    this.#rounding = false;
    this.#roundAfter(again);
  }

  /** Shared by everybody who wants one while it runs. */
  #scan(issuer: ServedIssuer): Promise<void> {
    const running = this.#scanning.get(issuer.tag);
    if (running !== undefined) return running.done;
    const census = new Census();
    const asOf = this.#clock.now();
    const done = this.#count(issuer, census).then(
      () => {
        this.#scanning.delete(issuer.tag);
        // Half a census would have URLs look as if no certificate named them any more.
        if (this.#stopped)
          throw new Problem('unavailable', 'the service is stopping', { field: 'issuer', value: issuer.id });
        this.#counted.set(issuer.tag, { census, asOf, uncertain: false });
        this.#tell(issuer, census);
      },
      (error: unknown) => {
        this.#scanning.delete(issuer.tag);
        throw error;
      },
    );
    this.#scanning.set(issuer.tag, { census, done });
    return done;
  }

  async #count({ tag }: ServedIssuer, census: Census): Promise<void> {
    let since = 0;
    for await (const page of this.#store.certificates(tag)) {
      if (this.#stopped) return;
      for (const certificate of page) census.count(certificate);
      since += page.length;
      // A command without a service has nobody to make room for.
      if (since < STRIDE || !this.#started) continue;
      since = 0;
      await new Promise<void>((resolve) => this.#clock.after(PAUSE_MS, resolve));
    }
  }

  #tell(issuer: ServedIssuer, census: Census): void {
    for (const listener of this.#listeners) listener(issuer);
    const { id, tag, profile } = issuer;
    const now = this.#clock.now();
    const fourDays = crlPeriodMs(profile, false);
    if (this.#told.has(tag) || !census.withoutOcsp(now) || fourDays === profile.crl.periodMs) return;
    this.#told.add(tag);
    const until = census.withoutOcspUntil as number;
    this.#log.warn(
      { issuer: id, until: Number.isFinite(until) ? rfc3339(until) : undefined },
      `a certificate names no OCSP responder: CRLs are due every ${formatDuration(fourDays)} ` +
        `instead of ${formatDuration(profile.crl.periodMs)} (B-13, BR 4.9.7)`,
    );
  }
}
