/**
 * Ledger = OCSP = CRL: every certificate of the ledger against its published answer and the CRLs of its scopes, and every entry of
 * every CRL against the ledger (T-59, SR-2.2-a, CT-4.9.6, CT-4.10.2-b).
 *
 *  1. CRLs    of each scope the current one is opened, before the ledger: what the ledger has that a CRL has not is then younger
 *             than that CRL, and never the other way round.
 *  2. merge   the ledger and the CRLs go by in ascending order of serials, page by page; nothing is kept. The CRLs are held against
 *             the certificates, not against the index that they were built from.
 *  3. doubt   whatever differs is read once more: an event that came between two reads is no difference.
 *  4. octets  digest and signature of each CRL, with which it was read.
 *
 * An issuer with more shards than files may be open goes by several times, so many shards at once.
 */
import { COMPLETE, type Certificate, type CrlRecord, type CrlScope } from '../../core/certificate.ts';
import { scopesOf } from '../../core/crl/shards.ts';
import type { CrlEntryView } from '../../core/crl/crl-reader.ts';
import {
  judgeAnswer,
  judgeCrl,
  judgeListing,
  judgeMissingCrl,
  type Judgement,
} from '../../core/reconcile/judgement.ts';
import {
  reconciledEntry,
  type Difference,
  type ReconciledCrl,
  type ReconciledIssuer,
  type ReconcileProgress,
  type ReconcileReport,
} from '../../core/reconcile/report.ts';
import { servable } from '../../core/policy/freshness.ts';
import { Problem } from '../../core/problem.ts';
import type { Serial } from '../../core/serial.ts';
import { rfc3339, type EpochMs } from '../../core/time.ts';
import type { Clock } from '../../ports/clock.ts';
import type { CrlFile } from '../../ports/crl-archive.ts';
import type { Journal } from '../../ports/journal.ts';
import type { CrlShelf, Ledger, Lookup, Reliance, ResponseSource } from '../../ports/store.ts';
import { checkAnswer } from '../sign/check-answer.ts';
import type { ServedIssuer } from '../issuer-setup.ts';
import { ListedEntries } from '../crl/listed-entries.ts';
import { Pace } from '../pace.ts';

/** CRLs that are open at once: each is a file, and up to a megabyte in memory. */
const MOST_OPEN = 48;
/** Answers whose signatures are verified: the first ones, and then one in so many. */
const VERIFIED_FIRST = 500;
const VERIFIED_ONE_IN = 1000;
/** Foreign entries of a CRL that are looked at together. */
const FOREIGN_AT_ONCE = 500;

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
    issuers.push(await new IssuerRun(issuer, parts, tally, async () => {
      await told(tally.progress);
      await pace.breathe();
    }).all()); // prettier-ignore
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

class Tally {
  readonly #limit: number;
  readonly #listed: Difference[] = [];
  readonly #pending = { ocsp: { count: 0, since: Infinity }, crl: { count: 0, since: Infinity } };
  differences = 0;
  certificates = 0;
  entries = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  get progress(): ReconcileProgress {
    const { certificates, entries, differences } = this;
    return { certificates, entries, differences };
  }

  differs(difference: Difference): void {
    this.differences += 1;
    if (this.#listed.length < this.#limit) this.#listed.push(difference);
  }

  waits(channel: 'ocsp' | 'crl', since: EpochMs): void {
    const pending = this.#pending[channel];
    pending.count += 1;
    pending.since = Math.min(pending.since, since);
  }

  result(nowMs: EpochMs): Pick<ReconcileReport, 'differences' | 'listed' | 'pending'> {
    const of = ({ count, since }: { count: number; since: EpochMs }) => ({
      count,
      oldestMs: count === 0 ? 0 : Math.max(0, nowMs - since),
    });
    const { ocsp, crl } = this.#pending;
    return { differences: this.differences, listed: this.#listed, pending: { ocsp: of(ocsp), crl: of(crl) } };
  }
}

/** A CRL on its way past the ledger. */
interface OpenCrl {
  readonly record: CrlRecord;
  readonly file: CrlFile;
  readonly entries: ListedEntries;
  /** Entries of certificates that the ledger has not, as far as it went by. */
  foreign: { readonly serial: string; readonly listed: CrlEntryView }[];
  before: string;
  ascending: boolean;
}

class IssuerRun {
  readonly #issuer: ServedIssuer;
  readonly #store: ReconcileParts['store'];
  readonly #clock: Clock;
  readonly #tally: Tally;
  readonly #breathe: () => Promise<void>;
  /** By shard: the current CRL of each scope, and those of which there is none. */
  readonly #records = new Map<string, CrlRecord | undefined>();
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

  async all(): Promise<ReconciledIssuer> {
    const { id, tag, issuer, crls } = this.#issuer;
    const wanted = scopesOf(crls, tag).map(({ shard }) => shard);
    const known = (await this.#store.scopes(tag)).map(({ shard }) => shard);
    const shards = [...new Set([...wanted, ...known])];
    for (let from = 0; from === 0 || from < shards.length; from += MOST_OPEN) {
      await this.#pass(shards.slice(from, from + MOST_OPEN), from === 0);
    }
    for (const shard of new Set([...shards, ...this.#needed]))
      await this.#judgeScope({ issuer: tag, shard }, wanted.includes(shard));
    return {
      id,
      fingerprints: issuer.certificates.map(({ fingerprint }) => fingerprint),
      ...this.#counts,
      crls: this.#crls,
    };
  }

  /** The whole ledger beside these CRLs. */
  async #pass(shards: readonly string[], first: boolean): Promise<void> {
    const open = new Map<string, OpenCrl>();
    try {
      for (const shard of shards) {
        const crl = await this.#open({ issuer: this.#issuer.tag, shard });
        if (crl !== undefined) open.set(shard, crl);
      }
      for await (const page of this.#store.certificates(this.#issuer.tag)) {
        const doubtful: { readonly certificate: Certificate; readonly crl: OpenCrl; readonly listed: CrlEntryView | undefined }[] = []; // prettier-ignore
        for (const certificate of page) {
          for (const shard of [COMPLETE, certificate.crlShard]) {
            const crl = shard === undefined ? undefined : open.get(shard);
            if (crl === undefined) continue;
            const listed = await this.#upTo(crl, certificate.serial);
            const judgement = judgeListing(this.#issuer.profile, certificate, listed, crl.record, this.#clock.now());
            if (judgement.kind === 'differs') doubtful.push({ certificate, crl, listed });
            else if (judgement.kind === 'pending') this.#tally.waits('crl', judgement.since);
          }
        }
        if (first) await this.#answers(page);
        await this.#confirmListings(doubtful);
        await this.#breathe();
      }
      for (const crl of open.values()) await this.#end(crl);
    } finally {
      for (const { file } of open.values()) await file.close();
    }
  }

  async #open(scope: CrlScope): Promise<OpenCrl | undefined> {
    const record = await this.#store.current(scope);
    this.#records.set(scope.shard, record);
    if (record === undefined) return undefined;
    let file: CrlFile | undefined;
    try {
      file = await this.#store.openCrl(record);
      // Whoever signed an imported one had an order of his own; those are small, because a root has few certificates.
      const entries = await ListedEntries.open(file, record.kind === 'imported');
      return { record, file, entries, foreign: [], before: '', ascending: true };
    } catch (error) {
      await file?.close();
      if (!(error instanceof Problem) || error.code !== 'corrupt') throw error;
      this.#differs('archive', { message: `CRL ${record.number}: ${error.line}`, rule: 'P6' }, scope.shard);
      return undefined;
    }
  }

  /** Past every entry before the serial, which nobody in the ledger's scope has; returns the entry of the serial. */
  async #upTo(crl: OpenCrl, serial: Serial | undefined): Promise<CrlEntryView | undefined> {
    const { entries } = crl;
    for (;;) {
      const { head } = entries;
      if (head === undefined) return undefined;
      const listed = Buffer.from(head.serialOctets).toString('hex');
      if (serial !== undefined && listed > serial) return undefined;
      this.#tally.entries += 1;
      crl.ascending &&= listed > crl.before;
      crl.before = listed;
      const more = entries.next();
      if (more !== undefined) await more;
      if (listed === serial) return head;
      crl.foreign.push({ serial: listed, listed: head });
      if (crl.foreign.length >= FOREIGN_AT_ONCE) await this.#confirmForeign(crl);
    }
  }

  /** The rest of the CRL, and its octets as a whole. */
  async #end(crl: OpenCrl): Promise<void> {
    const { record, entries } = crl;
    await this.#upTo(crl, undefined);
    await this.#confirmForeign(crl);
    const wrong: string[] = [];
    const { sha256, signedByIssuer } = entries.octets(this.#issuer.issuer.publicKey);
    if (sha256 !== record.sha256) wrong.push('its octets are not those that were published');
    if (!signedByIssuer) wrong.push('its signature does not verify with the CA certificate');
    if (entries.count !== record.entries) wrong.push(`${entries.count} entries, not ${record.entries}`);
    if (entries.frame.number !== record.number) wrong.push(`its number is ${entries.frame.number}`);
    if (entries.frame.thisUpdate !== record.thisUpdate) wrong.push(`its thisUpdate is not that of the record`);
    if (entries.frame.nextUpdate !== record.nextUpdate) wrong.push(`its nextUpdate is not that of the record`);
    // An entry behind its place was taken for one that is missing.
    if (!crl.ascending) wrong.push('its entries do not ascend');
    for (const message of wrong)
      this.#differs('archive', { message: `CRL ${record.number}: ${message}`, rule: 'P6' }, record.shard);
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

  async #confirmListings(
    doubtful: readonly {
      readonly certificate: Certificate;
      readonly crl: OpenCrl;
      readonly listed: CrlEntryView | undefined;
    }[],
  ): Promise<void> {
    if (doubtful.length === 0) return;
    const serials = doubtful.map(({ certificate }) => certificate.serial);
    const newest = await this.#store.find(this.#issuer.tag, serials);
    for (const [i, { certificate, crl, listed }] of doubtful.entries())
      this.#judgeAgain(newest[i] ?? certificate, listed, crl);
  }

  async #confirmForeign(crl: OpenCrl): Promise<void> {
    const { foreign, record } = crl;
    crl.foreign = [];
    const known = await this.#store.find(
      this.#issuer.tag,
      foreign.map(({ serial }) => serial as Serial),
    );
    for (const [i, { serial, listed }] of foreign.entries()) {
      const certificate = known[i];
      if (certificate === undefined) {
        const message = `on CRL ${record.number}, and not in the ledger`;
        this.#differs('crl', { message, rule: 'SR-2.2-a' }, record.shard, serial);
      } else if (record.shard !== COMPLETE && certificate.crlShard !== record.shard) {
        const shard = certificate.crlShard === undefined ? 'none' : certificate.crlShard;
        const message = `on CRL ${record.number}, and its shard is ${shard}`;
        this.#differs('crl', { message, rule: 'T-38' }, record.shard, serial);
      } else this.#judgeAgain(certificate, listed, crl);
    }
  }

  #judgeAgain(certificate: Certificate, listed: CrlEntryView | undefined, { record }: OpenCrl): void {
    const judgement = judgeListing(this.#issuer.profile, certificate, listed, record, this.#clock.now());
    if (judgement.kind === 'pending') this.#tally.waits('crl', judgement.since);
    if (judgement.kind === 'differs') this.#differs('crl', judgement, record.shard, certificate.serial);
  }

  /** The scope as a whole. One that no certificate needs any more may have expired. */
  async #judgeScope(scope: CrlScope, wanted: boolean): Promise<void> {
    const { profile } = this.#issuer;
    const record = this.#records.get(scope.shard);
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
