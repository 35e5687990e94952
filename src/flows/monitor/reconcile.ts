/**
 * Ledger = OCSP = CRL: every certificate of the ledger against its published answer and the CRLs of its scopes, and every entry of
 * every CRL against the ledger (T-59, SR-2.2-a, CT-4.9.6, CT-4.10.2-b).
 *
 *  1. ledger  goes by page by page, in whatever order the store has: each certificate against its answer; of the revoked ones stays
 *             what a CRL is to say (core/reconcile/revoked-serials.ts). When there are too many, it goes by again for the rest.
 *  2. CRLs    one after the other against that (compare-crls.ts). They are held against the certificates, not against the index that
 *             they were built from.
 *  3. doubt   whatever differs is read once more, after the CRL: what the ledger has that the CRL has not is then younger than that
 *             CRL, and never the other way round.
 *  4. octets  digest and signature of each CRL, with which it was read.
 */
import { COMPLETE, type Certificate, type CrlScope } from '../../core/certificate.ts';
import { scopesOf } from '../../core/crl/shards.ts';
import { judgeAnswer, judgeCrl, judgeMissingCrl, type Judgement } from '../../core/reconcile/judgement.ts';
import {
  reconciledEntry,
  type Difference,
  type ReconciledCrl,
  type ReconciledIssuer,
  type ReconcileProgress,
  type ReconcileReport,
} from '../../core/reconcile/report.ts';
import { RevokedSerials } from '../../core/reconcile/revoked-serials.ts';
import { Tally } from '../../core/reconcile/tally.ts';
import { servable } from '../../core/policy/freshness.ts';
import { Problem } from '../../core/problem.ts';
import { rfc3339, type EpochMs } from '../../core/time.ts';
import type { Clock } from '../../ports/clock.ts';
import type { Journal } from '../../ports/journal.ts';
import type { CrlShelf, Ledger, Lookup, Reliance, ResponseSource } from '../../ports/store.ts';
import { checkAnswer } from '../sign/check-answer.ts';
import type { ServedIssuer } from '../issuer-setup.ts';
import { Pace } from '../pace.ts';
import { CrlComparison } from './compare-crls.ts';

/** Answers whose signatures are verified: the first ones, and then one in so many. */
const VERIFIED_FIRST = 500;
const VERIFIED_ONE_IN = 1000;

export interface ReconcileParts {
  readonly store: Pick<Ledger, 'certificates' | 'find'> &
    ResponseSource &
    Pick<CrlShelf, 'current' | 'scopes' | 'openCrl' | 'list'> &
    Reliance;
  /** Undefined in a process that records nothing: then the report is no evidence. */
  readonly journal: Journal | undefined;
  readonly clock: Clock;
}

export interface ReconcileOptions {
  readonly issuers: readonly ServedIssuer[];
  /** Differences that are listed; the rest is counted. */
  readonly limit: number;
  /** Of this process's time. */
  readonly share: number;
  readonly actor: string;
  /** Revoked certificates that are held at a time, instead of the usual million; for tests. */
  readonly mostHeld?: number;
}

/** @throws Problem `unavailable` when the store cannot be read, or the report not be journalled. */
export async function reconcile(
  parts: ReconcileParts,
  options: ReconcileOptions,
  /** After each page; the run goes on when it resolves, and ends with what it throws. */
  told: (progress: ReconcileProgress) => Promise<void> = () => Promise.resolve(),
): Promise<ReconcileReport> {
  const { store, journal, clock } = parts;
  if (store.failure !== undefined) throw new Problem('unavailable', store.failure, { field: 'store' });
  const startedAt = clock.now();
  const tally = new Tally(options.limit);
  const pace = new Pace(clock, options.share);
  const issuers: ReconciledIssuer[] = [];
  for (const issuer of options.issuers) {
    const breathe = async (): Promise<void> => {
      await told(tally.progress);
      await pace.breathe();
    };
    issuers.push(await new IssuerRun(issuer, parts, tally, breathe).all(new RevokedSerials(options.mostHeld)));
  }
  const at = clock.now();
  const report: ReconcileReport = {
    startedAt: rfc3339(startedAt),
    at: rfc3339(at),
    issuers,
    ...tally.result(at),
    ...(journal && { head: journal.head }),
  };
  await journal?.append([reconciledEntry(report, options.actor)]);
  return report;
}

class IssuerRun {
  readonly #issuer: ServedIssuer;
  readonly #store: ReconcileParts['store'];
  readonly #clock: Clock;
  readonly #tally: Tally;
  readonly #breathe: () => Promise<void>;
  /** Shards that a certificate needs which is not expired. */
  readonly #needed = new Set<string>();
  /** When the first certificate of the issuer was recorded. */
  #since: EpochMs | undefined;
  readonly #crls: ReconciledCrl[] = [];
  #counts = { certificates: 0, answerable: 0, revoked: 0, unanswered: 0, withoutAnswer: 0 };

  constructor(issuer: ServedIssuer, { store, clock }: ReconcileParts, tally: Tally, breathe: () => Promise<void>) {
    this.#issuer = issuer;
    this.#store = store;
    this.#clock = clock;
    this.#tally = tally;
    this.#breathe = breathe;
  }

  async all(revoked: RevokedSerials): Promise<ReconciledIssuer> {
    const { id, tag, issuer, crls } = this.#issuer;
    const wanted = scopesOf(crls, tag).map(({ shard }) => shard);
    const known = (await this.#store.scopes(tag)).map(({ shard }) => shard);
    const shards = [...new Set([...wanted, ...known])];
    const parts = { issuer: this.#issuer, store: this.#store, clock: this.#clock, tally: this.#tally };
    const comparison = await CrlComparison.of(shards, revoked, { ...parts, breathe: this.#breathe });
    for (let pass = 1; pass === 1 || revoked.next(); pass++) {
      for await (const page of this.#store.certificates(tag)) {
        comparison.collect(page);
        if (pass === 1) await this.#answers(page);
        await this.#breathe();
      }
      await comparison.compare();
    }
    for (const shard of new Set([...shards, ...this.#needed]))
      await this.#judgeScope({ issuer: tag, shard }, comparison, wanted.includes(shard));
    return {
      id,
      fingerprints: issuer.certificates.map(({ fingerprint }) => fingerprint),
      ...this.#counts,
      crls: this.#crls,
    };
  }

  async #answers(page: readonly Certificate[]): Promise<void> {
    const { responders } = this.#issuer;
    for (const { revocation, crlShard, notAfter, recordedAt } of page) {
      this.#counts.certificates += 1;
      this.#tally.certificates += 1;
      if (revocation !== undefined) this.#counts.revoked += 1;
      this.#since = Math.min(this.#since ?? recordedAt, recordedAt);
      if (notAfter === undefined || notAfter >= this.#clock.now()) this.#needed.add(crlShard ?? COMPLETE);
    }
    if (responders.list.length === 0) {
      this.#counts.unanswered += page.length;
      return;
    }
    const found = await Promise.all(page.map(({ issuer, serial }) => this.#store.lookup(issuer, serial)));
    for (const [i, certificate] of page.entries()) {
      let judgement = this.#judgeLookup(certificate, found[i] as Lookup);
      if (judgement === undefined) continue;
      const nth = this.#counts.answerable++;
      if (judgement.kind === 'differs') {
        const again = await this.#store.lookup(certificate.issuer, certificate.serial);
        judgement = this.#judgeLookup(certificate, again);
        if (judgement === undefined) continue;
      }
      if (judgement.kind === 'agrees' && (nth < VERIFIED_FIRST || nth % VERIFIED_ONE_IN === 0))
        judgement = await this.#verify(found[i] as Lookup);
      if (judgement.kind !== 'agrees' && !this.#isServable(found[i] as Lookup)) this.#counts.withoutAnswer += 1;
      if (judgement.kind === 'pending') this.#tally.waits('ocsp', judgement.since);
      if (judgement.kind === 'differs') this.#differs('ocsp', judgement, undefined, certificate.serial);
    }
  }

  #judgeLookup(certificate: Certificate, found: Lookup): Judgement | undefined {
    if (found.kind === 'unknown')
      return { kind: 'differs', message: 'the ledger has it, and finds it no more', rule: 'P1' };
    const response = found.kind === 'published' ? found.response : undefined;
    const { profile, responders } = this.#issuer;
    const responder = response && responders.find(response.responder)?.certificate;
    // What the look-up says of the certificate is newer than the page.
    const newest = found.certificate.recordedSeq >= certificate.recordedSeq ? found.certificate : certificate;
    return judgeAnswer(profile, newest, response, responder, this.#clock.now());
  }

  #isServable(found: Lookup): boolean {
    return found.kind === 'published' && servable(found.response, this.#clock.now());
  }

  /** Both answers as clients get them: decoded, linted, signature. */
  async #verify(found: Lookup): Promise<Judgement> {
    if (found.kind !== 'published') return { kind: 'agrees' };
    const { response } = found;
    const served = this.#issuer.responders.find(response.responder);
    if (served === undefined) return { kind: 'agrees' };
    const { serial, revocation, thisUpdate, nextUpdate } = response;
    const answer = { revocation, thisUpdate, nextUpdate };
    try {
      for (const hash of ['sha1', 'sha256'] as const) {
        const signature = response.signatures[hash];
        const made = {
          der: served.template.assemble(hash, serial, answer, signature),
          tbs: served.template.tbs(hash, serial, answer),
          signature,
          hash,
          serial,
          ...answer,
        };
        const by = { served, publicKey: served.certificate.publicKey, issuer: this.#issuer };
        await checkAnswer(made, by, { compared: false });
      }
      return { kind: 'agrees' };
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      return { kind: 'differs', message: error.message, rule: error.rule ?? 'P6' };
    }
  }

  /** The scope as a whole. One that no certificate needs any more may have expired. */
  async #judgeScope(scope: CrlScope, { records }: CrlComparison, wanted: boolean): Promise<void> {
    const { profile } = this.#issuer;
    const record = records.get(scope.shard);
    const needed = wanted || this.#needed.has(scope.shard);
    if (record === undefined) {
      if (!needed) return;
      const first = await this.#store.current(scope);
      // Published while the ledger was read, as after a first start: it is compared the next time.
      if (first !== undefined) return this.#tally.waits('crl', first.publishedAt);
      const judgement = judgeMissingCrl(profile, this.#since, this.#clock.now());
      if (judgement?.kind === 'pending') this.#tally.waits('crl', judgement.since);
      if (judgement?.kind === 'differs') this.#differs('archive', judgement, scope.shard);
      return;
    }
    const { number, thisUpdate, nextUpdate, entries, sha256 } = record;
    this.#crls.push({
      shard: scope.shard,
      number: number.toString(),
      thisUpdate: rfc3339(thisUpdate),
      nextUpdate: rfc3339(nextUpdate),
      entries,
      sha256,
    });
    const judgement = needed ? judgeCrl(profile, record, this.#clock.now()) : undefined;
    if (judgement?.kind === 'differs')
      this.#differs('archive', { ...judgement, message: `CRL ${number}: ${judgement.message}` }, scope.shard);
    for await (const newest of this.#store.list(scope)) {
      if (newest.number > number && ((await this.#store.current(scope))?.number ?? 0n) < newest.number)
        this.#differs('archive', { message: `CRL ${newest.number} was published, and ${number} is current`, rule: 'C-10' }, scope.shard); // prettier-ignore
      break;
    }
  }

  #differs(
    channel: Difference['channel'],
    { message, rule }: { readonly message: string; readonly rule: string },
    shard?: string,
    serial?: string,
  ): void {
    this.#tally.differs({
      issuer: this.#issuer.id,
      channel,
      ...(shard !== undefined && { shard }),
      ...(serial !== undefined && { serial }),
      message,
      rule,
    });
  }
}
