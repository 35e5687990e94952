/**
 * Holds everything that was served against every event that was acknowledged: the promises P1 to P5 as rules over a history.
 * Pure: who asked, and whether the service ran in one process or in eight, is nothing to it.
 *
 *  P1  what was acknowledged is, once things have settled, in the ledger at every intake, in OCSP on every responder by both
 *      CertID hashes, and on the CRL of every responder; and it is never forgotten in between
 *  P2  after an acknowledged revocation and the bound there is no `good`; on one responder never `good` after `revoked`
 *  P3  no `good` and no `revoked` for what nobody had issued, or under another issuer
 *  P4  thisUpdate <= now <= nextUpdate; accepted by a relying party; signed by a certificate valid all that time
 *  P5  in the end OCSP and CRL agree in serials, dates and reasons; CRL numbers only grow, and a number is one CRL of its scope;
 *      the shards together are the complete CRL, and no serial stands on two of them
 *
 * What was not seen is not proved: a responder or an intake that was not asked after settling breaks P1.
 */
import type { CertIdHash, OcspAnswer } from './ocsp-client.ts';
import { plainSerial } from './ocsp-client.ts';

/** Instants are milliseconds since 1970, of the one clock of this machine. */
export interface SentEvent {
  readonly kind: 'issue' | 'revoke';
  readonly serial: string;
  /** RFC 5280 name, of a revocation. */
  readonly reason?: string;
  /** When it was first sent. */
  readonly sentAt: number;
  /** Undefined: never, so it may or may not have happened. */
  readonly acknowledgedAt: number | undefined;
}

export interface SeenAnswer {
  readonly responder: string;
  readonly how: string;
  readonly hash: CertIdHash;
  readonly serial: string;
  /** False: the CertID named another CA. */
  readonly ours: boolean;
  readonly askedAt: number;
  readonly answeredAt: number;
  /** `none`: no HTTP answer; `unacceptable`: one that no relying party would take, see `fault`. */
  readonly status: OcspAnswer['status'] | 'none' | 'unacceptable';
  readonly fault?: string;
  readonly thisUpdate?: number;
  readonly nextUpdate?: number;
  readonly revokedAt?: number;
  readonly reason?: string;
  /** Life of the certificate that signed it. */
  readonly certificate?: { readonly notBefore: number; readonly notAfter: number };
}

export interface SeenCrl {
  readonly responder: string;
  /** Name of the shard; absent: the complete CRL. */
  readonly shard?: string;
  readonly askedAt: number;
  readonly answeredAt: number;
  /** No relying party would take it; then the rest is meaningless. */
  readonly fault?: string;
  readonly number: bigint;
  readonly thisUpdate: number;
  readonly nextUpdate: number;
  readonly sha256: string;
  /** By upper-case hex without leading zeros. */
  readonly entries: ReadonlyMap<string, { readonly revokedAt: number; readonly reason: string | undefined }>;
}

/** What the status API of an intake said. */
export interface SeenLedger {
  readonly intake: string;
  readonly serial: string;
  readonly askedAt: number;
  readonly status: 'good' | 'revoked' | 'absent';
}

/** While it lasts, news may take `boundMs` instead of the usual bound, and an answer may be missing. */
export interface Disturbance {
  readonly what: string;
  readonly from: number;
  readonly to: number;
  readonly boundMs: number;
}

export interface History {
  readonly responders: readonly string[];
  readonly intakes: readonly string[];
  readonly events: readonly SentEvent[];
  readonly answers: readonly SeenAnswer[];
  readonly crls: readonly SeenCrl[];
  readonly ledger: readonly SeenLedger[];
  readonly disturbances: readonly Disturbance[];
  /** From here on everything is expected to be everywhere. */
  readonly settledAt: number;
}

export interface Violation {
  readonly promise: 'P1' | 'P2' | 'P3' | 'P4' | 'P5';
  readonly what: string;
}

/** From acknowledgement to visible on every responder, in normal operation. */
const BOUND_MS = 1000;
/** Instants in answers are whole seconds. */
const SECOND = 1000;
const HASHES = ['sha1', 'sha256'] as const;

/** Every rule that the history breaks. */
export function check(history: History): readonly Violation[] {
  const facts = factsOf(history.events);
  return [
    ...kept(history, facts),
    ...stayedRevoked(history, facts),
    ...neverGood(history, facts),
    ...neverStale(history),
    ...agreed(history, facts),
  ];
}

/** For a failing test: how often each promise was broken, and the first few of each. */
export function explainViolations(violations: readonly Violation[], each = 5): string {
  const promises = [...new Set(violations.map(({ promise }) => promise))].sort();
  return promises
    .map((promise) => {
      const broken = violations.filter((violation) => violation.promise === promise);
      const first = broken.slice(0, each).map(({ what }) => `  ${what}`);
      return [`${promise} broken ${broken.length} times:`, ...first].join('\n');
    })
    .join('\n');
}

/** What was said of one certificate. */
interface Facts {
  issueSentAt: number;
  issuedAt: number;
  revokeSentAt: number;
  revokedAt: number;
  readonly reasons: Set<string | undefined>;
}

/** By serial. What was never sent or never acknowledged is so at Infinity. */
function factsOf(events: readonly SentEvent[]): ReadonlyMap<string, Facts> {
  const facts = new Map<string, Facts>();
  for (const { kind, serial, reason, sentAt, acknowledgedAt = Infinity } of events) {
    let of = facts.get(serial);
    if (of === undefined) {
      of = {
        issueSentAt: Infinity,
        issuedAt: Infinity,
        revokeSentAt: Infinity,
        revokedAt: Infinity,
        reasons: new Set(),
      };
      facts.set(serial, of);
    }
    if (kind === 'issue') {
      of.issueSentAt = Math.min(of.issueSentAt, sentAt);
      of.issuedAt = Math.min(of.issuedAt, acknowledgedAt);
    } else {
      of.revokeSentAt = Math.min(of.revokeSentAt, sentAt);
      of.revokedAt = Math.min(of.revokedAt, acknowledgedAt);
      of.reasons.add(reason);
    }
  }
  return facts;
}

type AllFacts = ReadonlyMap<string, Facts>;

/** P1. */
function* kept(history: History, facts: AllFacts): Generator<Violation> {
  const broken = (what: string): Violation => ({ promise: 'P1', what });
  const { settledAt, responders, intakes, disturbances } = history;
  const ledger = lastBy(
    history.ledger.filter(({ askedAt }) => askedAt >= settledAt),
    ({ intake, serial }) => `${intake} ${serial}`,
  );
  const answers = lastBy(
    history.answers.filter(({ askedAt, ours }) => askedAt >= settledAt && ours),
    ({ responder, hash, serial }) => `${responder} ${hash} ${serial}`,
  );
  const crls = lastBy(
    history.crls.filter(({ askedAt, shard }) => askedAt >= settledAt && shard === undefined),
    ({ responder }) => responder,
  );
  for (const [serial, { issuedAt, revokedAt }] of facts) {
    if (issuedAt === Infinity && revokedAt === Infinity) continue;
    const revoked = revokedAt !== Infinity;
    for (const intake of intakes) {
      const said = ledger.get(`${intake} ${serial}`)?.status ?? 'nothing, it was not asked';
      if (said === 'revoked' ? false : revoked || said !== 'good')
        yield broken(
          `${serial} is acknowledged as ${revoked ? 'revoked' : 'issued'}; the ledger at ${intake} says ${said}`,
        );
    }
    for (const responder of responders) {
      for (const hash of HASHES) {
        const said = answers.get(`${responder} ${hash} ${serial}`)?.status ?? 'nothing, it was not asked';
        if (said === 'revoked' ? false : revoked || said !== 'good')
          yield broken(
            `${serial} is acknowledged as ${revoked ? 'revoked' : 'issued'}; ${responder} says ${said} (${hash})`,
          );
      }
      if (revoked && crls.get(responder)?.entries.has(plainSerial(serial)) !== true)
        yield broken(`${serial} is acknowledged as revoked and not on the last CRL of ${responder}`);
    }
  }
  // Issued is issued from the acknowledgement on: `unauthorized` would say that it never was.
  for (const { serial, ours, status, askedAt, responder, how } of history.answers) {
    const issuedAt = facts.get(serial)?.issuedAt ?? Infinity;
    if (ours && status === 'unauthorized' && askedAt > issuedAt + boundAfter(issuedAt, disturbances))
      yield broken(`${serial} was issued ${askedAt - issuedAt} ms before ${responder} called it unauthorized (${how})`);
  }
}

/** P2. */
function* stayedRevoked({ answers, disturbances }: History, facts: AllFacts): Generator<Violation> {
  const broken = (what: string): Violation => ({ promise: 'P2', what });
  /** By responder and serial: when an answer that said revoked had arrived. */
  const saidRevoked = new Map<string, number>();
  for (const { ours, status, responder, serial, answeredAt } of answers) {
    const key = `${responder} ${serial}`;
    if (ours && status === 'revoked') saidRevoked.set(key, Math.min(saidRevoked.get(key) ?? Infinity, answeredAt));
  }
  for (const { ours, status, responder, serial, askedAt, how } of answers) {
    if (!ours || status !== 'good') continue;
    const revokedAt = facts.get(serial)?.revokedAt ?? Infinity;
    if (askedAt > revokedAt + boundAfter(revokedAt, disturbances))
      yield broken(
        `${responder} said good of ${serial} ${askedAt - revokedAt} ms after its revocation was acknowledged (${how})`,
      );
    const before = saidRevoked.get(`${responder} ${serial}`) ?? Infinity;
    if (askedAt > before)
      yield broken(`${responder} said good of ${serial} ${askedAt - before} ms after it had said revoked (${how})`);
  }
}

/** P3. */
function* neverGood({ answers }: History, facts: AllFacts): Generator<Violation> {
  const broken = (what: string): Violation => ({ promise: 'P3', what });
  for (const { ours, status, responder, serial, answeredAt, how } of answers) {
    if (status !== 'good' && status !== 'revoked' && status !== 'unknown') continue;
    const of = facts.get(serial);
    if (!ours) yield broken(`${responder} said ${status} of ${serial} under another issuer (${how})`);
    else if (answeredAt < (of?.issueSentAt ?? Infinity))
      yield broken(`${responder} said ${status} of ${serial}, which nobody had issued (${how})`);
    else if (status === 'revoked' && answeredAt < (of?.revokeSentAt ?? Infinity))
      yield broken(`${responder} said revoked of ${serial}, which nobody had revoked (${how})`);
    else if (status === 'unknown') yield broken(`${responder} said unknown of ${serial} (${how})`);
  }
}

/** P4. */
function* neverStale({ answers, crls }: History): Generator<Violation> {
  const broken = (what: string): Violation => ({ promise: 'P4', what });
  for (const seen of answers) {
    const { responder, serial, status, fault, thisUpdate, nextUpdate, certificate, how } = seen;
    const of = `${responder}'s answer about ${serial} (${how})`;
    if (status === 'unacceptable') yield broken(`${of}: ${fault}`);
    if (thisUpdate === undefined || nextUpdate === undefined) continue;
    const stale = outside(seen, thisUpdate, nextUpdate);
    if (stale !== undefined) yield broken(`${of} ${stale}`);
    if (certificate !== undefined && (thisUpdate < certificate.notBefore || nextUpdate > certificate.notAfter))
      yield broken(`${of} is not within the life of the certificate that signed it`);
  }
  for (const seen of crls) {
    const stale = seen.fault ?? outside(seen, seen.thisUpdate, seen.nextUpdate);
    if (stale !== undefined) yield broken(`${seen.responder}'s CRL ${seen.number}: ${stale}`);
  }
}

function outside(
  { askedAt, answeredAt }: { readonly askedAt: number; readonly answeredAt: number },
  thisUpdate: number,
  nextUpdate: number,
): string | undefined {
  if (thisUpdate > answeredAt) return `begins ${thisUpdate - answeredAt} ms after it was served`;
  // nextUpdate is the last second of its life.
  return nextUpdate + SECOND > askedAt ? undefined : `ended ${askedAt - nextUpdate} ms before it was asked for`;
}

/** P5. */
function* agreed({ answers, crls, settledAt }: History, facts: AllFacts): Generator<Violation> {
  const broken = (what: string): Violation => ({ promise: 'P5', what });
  yield* sharded(crls, settledAt);
  for (const shard of new Set(crls.map((crl) => crl.shard)))
    yield* grown(crls.filter((crl) => crl.shard === shard && crl.fault === undefined));
  const known = new Map([...facts].map(([serial, of]) => [plainSerial(serial), of]));
  const last = lastBy(crls.filter(({ fault }) => fault === undefined), ({ responder, shard }) => `${responder} ${shard}`); // prettier-ignore
  for (const { responder, shard, entries, number, askedAt } of last.values()) {
    for (const [serial] of entries)
      if (known.get(serial)?.revokeSentAt === undefined || known.get(serial)?.revokeSentAt === Infinity)
        yield broken(`CRL ${number} lists ${serial}, which nobody had revoked`);
    if (askedAt < settledAt || shard !== undefined) continue;
    for (const answer of answers) {
      if (answer.responder !== responder || !answer.ours || answer.askedAt < settledAt) continue;
      const entry = entries.get(plainSerial(answer.serial));
      if (
        (answer.status === 'revoked') !== (entry !== undefined) &&
        (answer.status === 'good' || answer.status === 'revoked')
      )
        yield broken(
          `${responder}: OCSP says ${answer.status} of ${answer.serial}, CRL ${number} ${entry ? 'lists it' : 'does not list it'}`,
        );
      else if (
        entry !== undefined &&
        answer.status === 'revoked' &&
        (entry.revokedAt !== answer.revokedAt || entry.reason !== answer.reason)
      )
        yield broken(
          `${answer.serial}: OCSP has ${answer.revokedAt} ${answer.reason}, CRL ${number} ${entry.revokedAt} ${entry.reason}`,
        );
      else if (answer.status === 'revoked' && facts.get(answer.serial)?.reasons.has(answer.reason) === false)
        yield broken(`${answer.serial}: OCSP has the reason ${answer.reason}, which nobody had sent`);
    }
  }
}

/** P5, of the CRLs of one scope: numbers and times grow, and nothing leaves. */
function* grown(crls: readonly SeenCrl[]): Generator<Violation> {
  const broken = (what: string): Violation => ({ promise: 'P5', what });
  const numbers = new Map<bigint, SeenCrl>();
  const newest = new Map<string, SeenCrl>();
  for (const crl of [...crls].sort((a, b) => a.answeredAt - b.answeredAt)) {
    const twin = numbers.get(crl.number);
    numbers.set(crl.number, twin ?? crl);
    if (twin !== undefined && twin.sha256 !== crl.sha256) yield broken(`CRL ${crl.number} is two different ones`);
    const before = newest.get(crl.responder);
    if (before !== undefined && crl.askedAt > before.answeredAt) {
      if (crl.number < before.number)
        yield broken(`${crl.responder} served CRL ${crl.number} after CRL ${before.number}`);
      if (crl.number > before.number && crl.thisUpdate <= before.thisUpdate)
        yield broken(`CRL ${crl.number} is not newer than CRL ${before.number}`);
    }
    if (before === undefined || crl.answeredAt > before.answeredAt) newest.set(crl.responder, crl);
  }
  const ascending = [...numbers.values()].sort((a, b) => (a.number < b.number ? -1 : 1));
  for (const [i, crl] of ascending.entries()) {
    const before = ascending[i - 1];
    for (const serial of before?.entries.keys() ?? [])
      if (!crl.entries.has(serial)) yield broken(`${serial} is on CRL ${before?.number} and not on CRL ${crl.number}`);
  }
}

/** P5, of what every responder served last: the shards are a partition of the complete CRL. */
function* sharded(crls: readonly SeenCrl[], settledAt: number): Generator<Violation> {
  const broken = (what: string): Violation => ({ promise: 'P5', what });
  const last = lastBy(crls.filter(({ fault, askedAt }) => fault === undefined && askedAt >= settledAt), ({ responder, shard }) => `${responder} ${shard}`); // prettier-ignore
  for (const { responder, entries } of [...last.values()].filter(({ shard }) => shard === undefined)) {
    const shards = [...last.values()].filter((crl) => crl.responder === responder && crl.shard !== undefined);
    if (shards.length === 0) continue;
    for (const serial of new Set([...entries.keys(), ...shards.flatMap((crl) => [...crl.entries.keys()])])) {
      const on = shards.filter((crl) => crl.entries.has(serial)).map(({ shard }) => shard);
      if (on.length !== 1 || !entries.has(serial))
        yield broken(
          `${responder}: ${serial} is on ${on.length === 0 ? 'no shard' : `shard ${on.join(' and ')}`} and ${entries.has(serial) ? '' : 'not '}on the complete CRL`,
        );
    }
  }
}

/** The bound for news of `at`: longer when a disturbance came before it could have spread. */
function boundAfter(at: number, disturbances: readonly Disturbance[]): number {
  const during = disturbances.filter(({ from, to }) => from <= at + BOUND_MS && to >= at);
  return Math.max(BOUND_MS, ...during.map(({ to, boundMs }) => Math.min(boundMs, to - at) + BOUND_MS));
}

/** The last of each group. */
function lastBy<T extends { readonly askedAt: number }>(
  seen: readonly T[],
  group: (one: T) => string,
): ReadonlyMap<string, T> {
  const last = new Map<string, T>();
  for (const one of seen) {
    const key = group(one);
    if ((last.get(key)?.askedAt ?? -Infinity) <= one.askedAt) last.set(key, one);
  }
  return last;
}
