/**
 * Watches what was signed offline and imported: nobody signs it again by himself. The log says it once for each lead time, the gauges
 * and the status page all the time. Also the clock of a revocation that no imported CRL lists yet (B-15: 24 hours).
 */
import { ALERT_LIMITS } from '../../core/alerts.ts';
import { completeCrl, type Certificate, type IssuerTag } from '../../core/certificate.ts';
import { scopesOf } from '../../core/crl/shards.ts';
import type { MetricSet } from '../../core/metric.ts';
import { reachedLeadTime } from '../../core/offline/lead-times.ts';
import { successorDue } from '../../core/policy/responder-choice.ts';
import { DAY, HOUR, MINUTE, rfc3339, SECOND, type EpochMs } from '../../core/time.ts';
import type { Clock, Timer } from '../../ports/clock.ts';
import type { ChangeFeed, CrlShelf, Freshness, Ledger, Reliance } from '../../ports/store.ts';
import type { ServedIssuer } from '../issuer-setup.ts';
import type { Log } from '../log.ts';

const LOOK_EVERY_MS = MINUTE;
/** BR 4.9.7: a revocation of a CA certificate is on a CRL within 24 hours. */
const LISTED_WITHIN_MS = 24 * HOUR;

export interface WatchedMaterial {
  readonly issuer: string;
  readonly kind: 'crl' | 'ocsp' | 'responder';
  /** For people. */
  readonly what: string;
  readonly endsAt: EpochMs;
  readonly validityMs: number;
}

/** What the status page shows, as the problem of this name. */
export interface OfflineNotice {
  readonly issuer: string;
  /** When the material ends, or the 24 hours of a revocation. */
  readonly endsAt: EpochMs;
  readonly alert: 'OfflineMaterialDue' | 'OfflineMaterialEnds' | 'RevocationNotOnCrl';
  /** The alert does not fire yet: a ceremony needs the whole day, so that this is said at once. */
  readonly milder?: boolean;
  readonly what: string;
  readonly advice: string;
}

type WatchStore = Ledger & CrlShelf & ChangeFeed & Reliance;

export class OfflineWatch {
  readonly #issuers: readonly ServedIssuer[];
  readonly #store: WatchStore;
  readonly #freshness: Pick<Freshness, 'of'>;
  readonly #clock: Clock;
  readonly #log: Log;
  #crls: readonly WatchedMaterial[] = [];
  /** When the oldest revocation was recorded that the issuer's CRL does not list. */
  readonly #unlisted = new Map<IssuerTag, EpochMs>();
  /** Issuers of which a CRL was published, or events were lost, since the last look. */
  readonly #changed: Set<IssuerTag>;
  /** By material: the lead time of which the log was told. */
  readonly #said = new Map<string, number>();
  #timer: Timer | undefined;
  #looking = false;
  #again = false;
  #stopped = true;

  constructor(
    issuers: readonly ServedIssuer[],
    store: WatchStore,
    freshness: Pick<Freshness, 'of'>,
    clock: Clock,
    log: Log,
  ) {
    this.#issuers = issuers.filter(({ offline }) => offline?.crl === true || offline?.ocsp === true);
    this.#store = store;
    this.#freshness = freshness;
    this.#clock = clock;
    this.#log = log;
    this.#changed = new Set(this.#issuers.map(({ tag }) => tag));
    store.follow((event) => {
      if (event.type === 'recorded') this.#recorded(event.change.certificate);
      else if (event.type === 'crl') this.#published(event.record.issuer);
      else if (event.type === 'gap') this.#changed.add(event.issuer);
    });
  }

  start(): void {
    this.#stopped = false;
    if (this.#issuers.length > 0) this.#lookLater(0);
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
  }

  /** From memory. */
  get materials(): readonly WatchedMaterial[] {
    return [
      ...this.#crls,
      ...this.#issuers.flatMap((issuer) => [...this.#answersOf(issuer), ...this.#respondersOf(issuer)]),
    ];
  }

  /** From memory. When the oldest revocation was recorded that no CRL of the issuer lists, by issuer id. */
  get unlisted(): ReadonlyMap<string, EpochMs> {
    return new Map(this.#issuers.flatMap(({ id, tag }) => [[id, this.#unlisted.get(tag)] as const]).filter(known));
  }

  notices(nowMs: EpochMs): readonly OfflineNotice[] {
    const notices: OfflineNotice[] = [];
    for (const material of this.materials) {
      const { issuer, kind, what, endsAt } = material;
      const left = endsAt - nowMs;
      if (!reached('OfflineMaterialDue', material, left)) continue;
      notices.push({
        issuer,
        endsAt,
        alert: reached('OfflineMaterialEnds', material, left) ? 'OfflineMaterialEnds' : 'OfflineMaterialDue',
        what:
          left <= 0
            ? `${issuer}: ${what} ended ${rfc3339(endsAt)}.`
            : `${issuer}: ${what} ends in ${Math.floor(left / DAY)} d, ${rfc3339(endsAt)}.`,
        advice: `certstatus offline export --issuer ${issuer} ${EXPORTED[kind]} --out FILE, then offline sign where the key is, then offline import.`,
      });
    }
    for (const [issuer, recordedAt] of this.unlisted) {
      const dueAt = recordedAt + LISTED_WITHIN_MS;
      notices.push({
        issuer,
        endsAt: dueAt,
        alert: 'RevocationNotOnCrl',
        milder: nowMs - recordedAt <= ALERT_LIMITS.RevocationNotOnCrl.offline * SECOND,
        what: `${issuer}: a revocation recorded ${rfc3339(recordedAt)} is on no CRL; its 24 hours end ${rfc3339(dueAt)} (BR 4.9.7).`,
        advice: `certstatus offline export --issuer ${issuer} --crl --out FILE, then offline sign where the key is, then offline import.`,
      });
    }
    return notices;
  }

  /** One look at a time; what happens while one is under way is seen by the next, at once. */
  #lookLater(afterMs: number): void {
    this.#again = afterMs === 0;
    if (this.#looking) return;
    this.#timer?.cancel();
    this.#timer = this.#clock.after(afterMs, () => {
      this.#looking = true;
      this.#again = false;
      void this.#look()
        .catch((error: unknown) => {
          if (this.#store.failure === undefined)
            this.#log.warn({ err: error }, 'what was signed offline could not be looked at; trying again');
        })
        .then(() => {
          this.#looking = false;
          if (!this.#stopped) this.#lookLater(this.#again ? 0 : LOOK_EVERY_MS);
        });
    });
  }

  async #look(): Promise<void> {
    if (this.#store.failure !== undefined) return;
    const crls: WatchedMaterial[] = [];
    for (const issuer of this.#issuers) {
      if (issuer.offline?.crl !== true) continue;
      for (const scope of scopesOf(issuer.crls, issuer.tag)) {
        const record = await this.#store.current(scope);
        if (record === undefined) continue;
        crls.push({
          issuer: issuer.id,
          kind: 'crl',
          what: `CRL ${record.number}${scope.shard === '' ? '' : ` of shard ${scope.shard}`}`,
          endsAt: record.nextUpdate,
          validityMs: record.nextUpdate - record.thisUpdate + SECOND,
        });
      }
      if (this.#changed.delete(issuer.tag)) await this.#lookForUnlisted(issuer);
    }
    this.#crls = crls;
    this.#say();
  }

  #recorded({ issuer, revocation, recordedAt }: Certificate): void {
    const watched = this.#issuers.some(({ tag, offline }) => tag === issuer && offline?.crl === true);
    if (!watched || revocation === undefined) return;
    this.#unlisted.set(issuer, Math.min(recordedAt, this.#unlisted.get(issuer) ?? Infinity));
  }

  /** Now, because whoever has imported it looks whether the alarm is gone. */
  #published(issuer: IssuerTag): void {
    this.#changed.add(issuer);
    if (this.#stopped || !this.#issuers.some(({ tag }) => tag === issuer)) return;
    this.#lookLater(0);
  }

  /** Once after a change, because it reads the whole revoked index. */
  async #lookForUnlisted({ tag }: ServedIssuer): Promise<void> {
    const scope = completeCrl(tag);
    const current = await this.#store.current(scope);
    let oldest = Infinity;
    // Without any CRL there is nothing that it could be missing on; the status page says that there is none.
    if (current !== undefined)
      for await (const page of this.#store.revokedEntries(scope).pages)
        for (const { recordedSeq, recordedAt } of page)
          if (recordedSeq > current.asOfSeq) oldest = Math.min(oldest, recordedAt);
    if (oldest === Infinity) this.#unlisted.delete(tag);
    else this.#unlisted.set(tag, oldest);
  }

  #say(): void {
    const now = this.#clock.now();
    for (const material of this.materials) {
      const leadMs = reachedLeadTime(material, now);
      const name = `${material.issuer} ${material.what}`;
      if (leadMs === undefined || (this.#said.get(name) ?? Infinity) <= leadMs) continue;
      this.#said.set(name, leadMs);
      this.#log.warn(
        { issuer: material.issuer, endsAt: rfc3339(material.endsAt) },
        `${material.what} ends in ${Math.floor((material.endsAt - now) / DAY)} d: its successor is signed offline (offline export)`,
      );
    }
  }

  #answersOf({ id, tag, offline }: ServedIssuer): readonly WatchedMaterial[] {
    if (offline?.ocsp !== true) return [];
    const { leastNextUpdate, oldestThisUpdate } = this.#freshness.of(tag);
    if (leastNextUpdate === undefined || oldestThisUpdate === undefined) return [];
    return [
      {
        issuer: id,
        kind: 'ocsp',
        what: 'the first OCSP answer',
        endsAt: leastNextUpdate,
        validityMs: leastNextUpdate - oldestThisUpdate,
      },
    ];
  }

  #respondersOf({ id, offline, profile, responders }: ServedIssuer): readonly WatchedMaterial[] {
    if (offline?.ocsp === true) return [];
    const spans = responders.signing.map(({ certificate }) => certificate);
    const last = successorDue(profile, spans, this.#clock.now())?.lastEnds;
    const certificate = spans.find(({ notAfter }) => notAfter === last);
    if (certificate === undefined) return [];
    return [
      {
        issuer: id,
        kind: 'responder',
        what: `the last responder certificate (${certificate.id})`,
        endsAt: certificate.notAfter,
        validityMs: certificate.notAfter - certificate.notBefore,
      },
    ];
  }
}

/** Never in the first half of its life: that would be an alert about what was signed yesterday. */
function reached(
  alert: 'OfflineMaterialDue' | 'OfflineMaterialEnds',
  { validityMs }: WatchedMaterial,
  leftMs: number,
): boolean {
  const { left, times } = ALERT_LIMITS[alert];
  return leftMs < left * SECOND && leftMs * times < validityMs;
}

const EXPORTED = { crl: '--crl', ocsp: '--ocsp', responder: '--responder-csr KEY' } as const;

function known<K, V>(entry: readonly [K, V | undefined]): entry is readonly [K, V] {
  return entry[1] !== undefined;
}

export function registerOfflineGauges(set: MetricSet, watch: OfflineWatch, clock: Clock): void {
  set.gauge(
    'certstatus_offline_remaining_seconds',
    'Time until what was signed offline ends, by kind: crl, ocsp, responder. Alert 30 days before 0: a ceremony has to be arranged.',
    function* () {
      for (const { issuer, kind, endsAt } of leastOfEach(watch.materials))
        yield [{ issuer, kind }, (endsAt - clock.now()) / SECOND] as const;
    },
  );
  set.gauge(
    'certstatus_offline_validity_seconds',
    'How long what ends next of it is valid as a whole, by kind: what is in the first half of its life is no alert.',
    function* () {
      for (const { issuer, kind, validityMs } of leastOfEach(watch.materials))
        yield [{ issuer, kind }, validityMs / SECOND] as const;
    },
  );
  set.gauge(
    'certstatus_offline_unlisted_revocation_seconds',
    'How long the oldest recorded revocation has been on no CRL of an issuer that signs offline; absent when none waits. Limit 24 h (BR 4.9.7).',
    function* () {
      for (const [issuer, recordedAt] of watch.unlisted)
        yield [{ issuer }, Math.max(0, clock.now() - recordedAt) / SECOND] as const;
    },
  );
}

/** One value per issuer and kind: the first to end. */
function leastOfEach(materials: readonly WatchedMaterial[]): readonly WatchedMaterial[] {
  const least = new Map<string, WatchedMaterial>();
  for (const material of materials) {
    const name = `${material.issuer} ${material.kind}`;
    if (material.endsAt < (least.get(name)?.endsAt ?? Infinity)) least.set(name, material);
  }
  return [...least.values()];
}
