/**
 * The signer: takes due work from four lanes, signs it in batches, checks every answer, publishes it. One signing path for
 * first issue, revocation, asked-for miss and refresh.
 *
 *  1. take      items are leased. A crash: leases die with the process, the items are still queued.
 *  2. sign      both CertID hashes of a certificate together: same times, same status, one revision.
 *  3. check     each answer is decoded by the reader (not the writer), its signature verified with the responder's public
 *               key, and linted; a finding keeps it from being published (P6).
 *  4. journal   one record per batch, every answer in it (P8). Not durable → not published, and signing pauses.
 *  5. publish   compare-and-swap on the revision (P2). A crash between 4 and 5: signed, accounted for, never served; the item is
 *               still queued and is signed again.
 *
 * The budget: at most URGENT batches for revocations, issues and misses, and BULK batches of refreshes are under way. A
 * revocation therefore waits for no refresh batch, only for the key holder's current signatures.
 */
import { createHash, verify as verifySignature, type KeyObject } from 'node:crypto';
import { LANES, type Certificate, type CertIdHash, type IssuerTag, type Lane, type PublishedResponse } from '../core/certificate.ts';
import type { JournalEntry } from '../core/journal-record.ts';
import { lintResponse } from '../core/lint/lint.ts';
import { answerable, MIN_VALIDITY_MS, planResponse, type ResponseTimes } from '../core/policy/freshness.ts';
import { Problem } from '../core/problem.ts';
import type { Serial } from '../core/serial.ts';
import { algorithmOf } from '../core/signature-algorithm.ts';
import { rfc3339, SECOND, type EpochMs } from '../core/time.ts';
import type { Clock, Timer } from '../ports/clock.ts';
import type { Journal } from '../ports/journal.ts';
import type { KeyHolder } from '../ports/key-holder.ts';
import type { ChangeFeed, Ledger, QueueItem, RefreshQueue } from '../ports/store.ts';
import type { ServedIssuer, ServedResponder, SigningKeys } from './issuer-setup.ts';
import type { Log } from './log.ts';
import type { SignerMetrics } from './metrics.ts';

const HASHES = ['sha1', 'sha256'] as const satisfies readonly CertIdHash[];
/** Certificates per batch. An urgent batch is small so that its first answer is out soon; see bench/README.md. */
const URGENT_BATCH = 64;
const BULK_BATCH = 256;
const URGENT_IN_FLIGHT = 2;
const BULK_IN_FLIGHT = 2;
/** Misses that may wait for a signature at once: beyond that a client gets tryLater at once (bounded everywhere). */
const MAX_ASKED = 4096;
/** After a failure: long enough not to spin, short enough for the 15 minutes of CT-4.9.10-e. */
const RETRY_MS = 5 * SECOND;
/** How often the lanes are looked at when nothing else wakes the signer. */
const TICK_MS = 500;

export interface SignerIssuer {
  readonly served: ServedIssuer;
  readonly keys: SigningKeys;
}

interface Work {
  readonly item: QueueItem;
  readonly certificate: Certificate;
  readonly times: ResponseTimes;
}

interface Answered {
  readonly item: QueueItem;
  readonly response: PublishedResponse;
  /** SHA-256 of each OCSPResponse, for the journal. */
  readonly digests: readonly string[];
}

export class Signer {
  readonly #issuers: ReadonlyMap<IssuerTag, SignerIssuer>;
  readonly #store: Ledger & RefreshQueue & ChangeFeed;
  readonly #journal: Journal;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #metrics: SignerMetrics;
  readonly #asked = new Map<string, { item: QueueItem; done: Promise<void>; settle: () => void; taken: boolean }>();
  #urgent = 0;
  #bulk = 0;
  #pumping = false;
  #again = false;
  #timer: Timer | undefined;
  #stopped = true;
  /** Whoever waits in stop(). */
  #idle: (() => void) | undefined;
  /** Set while nothing may be signed (P8): the instant of the next try. */
  #pausedUntil: EpochMs = 0;

  constructor(
    issuers: readonly SignerIssuer[],
    store: Ledger & RefreshQueue & ChangeFeed,
    journal: Journal,
    clock: Clock,
    log: Log,
    metrics: SignerMetrics,
  ) {
    this.#issuers = new Map(issuers.map((issuer) => [issuer.served.tag, issuer]));
    this.#store = store;
    this.#journal = journal;
    this.#clock = clock;
    this.#log = log;
    this.#metrics = metrics;
    store.follow((event) => {
      if (event.type === 'recorded' && event.change.lane !== undefined && event.change.lane !== 'refresh') this.wake();
    });
  }

  start(): void {
    this.#stopped = false;
    this.wake();
  }

  /** Resolves when no batch is under way any more; what is queued stays queued. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#timer?.cancel();
    if (this.#busy) await new Promise<void>((resolve) => (this.#idle = resolve));
  }

  /**
   * Has this certificate signed ahead of the queue, because a client is waiting. Concurrent calls for one certificate share one
   * signature. Resolves when the attempt is over, whatever came of it; the caller looks at the store.
   * @returns undefined when too many are waiting already.
   */
  ask(issuer: IssuerTag, serial: Serial): Promise<void> | undefined {
    const key = issuer + serial;
    const waiting = this.#asked.get(key);
    if (waiting !== undefined) return waiting.done;
    if (this.#stopped || this.#asked.size >= MAX_ASKED || !this.#issuers.has(issuer)) return undefined;
    let settle = (): void => undefined;
    const done = new Promise<void>((resolve) => (settle = resolve));
    this.#asked.set(key, { item: { issuer, serial, lane: 'asked', dueAt: this.#clock.now() }, done, settle, taken: false });
    this.wake();
    return done;
  }

  /** Looks at the lanes now. */
  wake(): void {
    if (this.#stopped) return;
    if (this.#pumping) {
      this.#again = true;
      return;
    }
    this.#pumping = true;
    this.#timer?.cancel();
    void this.#pump()
      .catch((error: unknown) => this.#log.error({ err: error }, 'the signer could not take work; trying again'))
      .finally(() => {
        this.#pumping = false;
        if (this.#stopped) return this.#tellIdle();
        if (this.#again) {
          this.#again = false;
          this.wake();
        } else this.#timer = this.#clock.after(TICK_MS, () => this.wake());
      });
  }

  async #pump(): Promise<void> {
    if (!(await this.#mayRun())) return;
    const now = this.#clock.now();
    while (this.#urgent < URGENT_IN_FLIGHT && !this.#stopped) {
      const items = [...(await this.#store.takeDue('revocation', now, URGENT_BATCH))];
      if (items.length < URGENT_BATCH) items.push(...(await this.#store.takeDue('issue', now, URGENT_BATCH - items.length)));
      for (const asked of this.#asked.values()) {
        if (items.length >= URGENT_BATCH) break;
        if (asked.taken) continue;
        asked.taken = true;
        items.push(asked.item);
      }
      if (items.length === 0) break;
      this.#urgent += 1;
      this.#run(items, () => (this.#urgent -= 1));
    }
    while (this.#bulk < BULK_IN_FLIGHT && !this.#stopped) {
      const items = await this.#store.takeDue('refresh', now, BULK_BATCH);
      if (items.length === 0) break;
      this.#bulk += 1;
      this.#run(items, () => (this.#bulk -= 1));
    }
  }

  /** P8: while the journal cannot be written nothing is signed. A probe record finds out when it can again. */
  async #mayRun(): Promise<boolean> {
    const now = this.#clock.now();
    if (now < this.#pausedUntil && now > this.#pausedUntil - 2 * RETRY_MS) return false;
    if (this.#journal.failure === undefined) return true;
    try {
      await this.#journal.append([{ type: 'journal.recovered', actor: 'signer', description: 'the audit log can be written again; signing resumes' }]);
      return true;
    } catch (error) {
      this.#pausedUntil = now + RETRY_MS;
      this.#metrics.refused('audit-log').value += 1;
      this.#log.error({ err: error }, 'signing is stopped: the audit log cannot be written');
      return false;
    }
  }

  #run(items: readonly QueueItem[], done: () => void): void {
    void this.#batch(items)
      .catch(async (error: unknown) => {
        this.#log.error({ err: error, items: items.length }, 'a batch was not published; its items are due again');
        await this.#postpone(items).catch((again: unknown) => this.#log.error({ err: again }, 'the store cannot be written'));
      })
      .finally(() => {
        for (const item of items) {
          const key = item.issuer + item.serial;
          const asked = this.#asked.get(key);
          if (asked?.taken && item.lane === 'asked') {
            this.#asked.delete(key);
            asked.settle();
          }
        }
        done();
        if (this.#stopped) this.#tellIdle();
        else this.wake();
      });
  }

  get #busy(): boolean {
    return this.#urgent + this.#bulk > 0 || this.#pumping;
  }

  #tellIdle(): void {
    if (!this.#busy) this.#idle?.();
  }

  async #batch(items: readonly QueueItem[]): Promise<void> {
    const byIssuer = new Map<IssuerTag, QueueItem[]>();
    for (const item of items) {
      const list = byIssuer.get(item.issuer);
      if (list === undefined) byIssuer.set(item.issuer, [item]);
      else list.push(item);
    }
    for (const [tag, list] of byIssuer) {
      const issuer = this.#issuers.get(tag);
      // An issuer that is not configured (any more) keeps its ledger, but nobody signs for it.
      if (issuer === undefined) await this.#postpone(list);
      else await this.#signFor(issuer, list);
    }
  }

  async #signFor(at: SignerIssuer, items: readonly QueueItem[]): Promise<void> {
    const now = this.#clock.now();
    const { served } = at;
    const certificates = await this.#store.find(
      served.tag,
      items.map((item) => item.serial),
    );
    const responder = activeResponder(at, now);
    const dropped: QueueItem[] = [];
    const expired: QueueItem[] = [];
    const later: QueueItem[] = [];
    const work: Work[] = [];
    items.forEach((item, i) => {
      const certificate = certificates[i];
      if (certificate === undefined) return void dropped.push(item);
      if (!answerable(served.profile, certificate.notAfter, now)) return void expired.push(item);
      const times = responder && planResponse(served.profile, responder.served.certificate, certificate, now);
      if (times === undefined) later.push(item);
      else work.push({ item, certificate, times });
    });
    await this.#store.drop(dropped);
    if (expired.length > 0) await this.#store.retire(expired);
    if (later.length > 0) {
      await this.#postpone(later);
      this.#metrics.refused('responder-certificate').value += later.length;
      this.#log.error({ issuer: served.id, certificates: later.length }, 'nothing is signed: no responder certificate is valid for another 8 hours (BR 4.9.9); install its successor');
    }
    if (responder === undefined || work.length === 0) return;

    const { answered, failed } = await this.#sign(responder, work);
    if (failed.length > 0) await this.#postpone(failed);
    if (answered.length === 0) return;
    await this.#journal.append([signedRecord(served, responder.served, answered)]);
    const outcomes = await this.#store.publish(answered);
    const older: QueueItem[] = [];
    outcomes.forEach((outcome, i) => {
      const { item } = answered[i] as Answered;
      this.#metrics.answers(item.lane, outcome).value += 1;
      if (outcome === 'older') older.push(item);
      else if (outcome === 'published' && item.lane !== 'refresh' && item.lane !== 'asked') {
        this.#metrics.recordedToPublished(item.lane, (this.#clock.now() - item.dueAt) / SECOND);
      }
    });
    // Already answered by another lane in the same second, or the clock stepped back: what is published stays.
    await this.#store.drop(older.filter((item) => item.lane !== 'refresh'));
    await this.#postpone(older.filter((item) => item.lane === 'refresh'));
  }

  async #sign(responder: ActiveResponder, work: readonly Work[]): Promise<{ answered: Answered[]; failed: QueueItem[] }> {
    const { template, certificate } = responder.served;
    const tbs = work.flatMap(({ certificate: subject, times }) =>
      HASHES.map((hash) => template.tbs(hash, subject.serial, { revocation: subject.revocation, ...times })),
    );
    const signatures = await responder.holder.sign(tbs);
    const failed: QueueItem[] = [];
    const answered: Answered[] = [];
    const publishedAt = this.#clock.now();
    await Promise.all(
      work.map(async ({ item, certificate: subject, times }, i) => {
        try {
          const digests: string[] = [];
          const [sha1, sha256] = await Promise.all(
            HASHES.map(async (hash, h) => {
              const signed = signatures[HASHES.length * i + h];
              if (signed === undefined || !signed.ok) throw signed?.error ?? new Error('the key holder returned no signature');
              const der = template.assemble(hash, subject.serial, { revocation: subject.revocation, ...times }, signed.signature);
              await check(der, tbs[HASHES.length * i + h] as Buffer, signed.signature, responder, subject, times, hash);
              digests[h] = createHash('sha256').update(der).digest('hex');
              return signed.signature;
            }),
          );
          answered.push({
            item,
            digests,
            response: {
              issuer: subject.issuer,
              serial: subject.serial,
              revision: subject.revision,
              revocation: subject.revocation,
              ...times,
              publishedAt,
              responder: certificate.id,
              signatures: { sha1: sha1 as Buffer, sha256: sha256 as Buffer },
            },
          });
        } catch (error) {
          failed.push(item);
          this.#metrics.refused(error instanceof Problem ? 'check' : 'key-holder').value += 1;
          this.#log.error({ err: error, serial: subject.serial }, 'an answer was not published');
        }
      }),
    );
    return { answered, failed };
  }

  /** Asked-for items are not in the store's queue: whoever asked asks again. */
  async #postpone(items: readonly QueueItem[]): Promise<void> {
    await this.#store.postpone(
      items.filter((item) => item.lane !== 'asked'),
      this.#clock.now() + RETRY_MS,
    );
  }
}

export interface ActiveResponder {
  readonly served: ServedResponder;
  readonly holder: KeyHolder;
  readonly publicKey: KeyObject;
  readonly issuer: ServedIssuer;
}

/** The newest responder certificate that is valid now and has a key here (T-17, T-18). */
export function activeResponder(at: SignerIssuer, nowMs: EpochMs): ActiveResponder | undefined {
  for (const served of at.served.responders) {
    const key = at.keys.ocsp.get(served.certificate.id);
    const { notBefore, notAfter } = served.certificate;
    if (key !== undefined && notBefore <= nowMs && nowMs < notAfter) return { served, ...key, issuer: at.served };
  }
  return undefined;
}

/** P6. @throws Problem `corrupt` with the findings. */
async function check(
  der: Buffer,
  tbs: Buffer,
  signature: Buffer,
  responder: ActiveResponder,
  subject: Certificate,
  times: ResponseTimes,
  hash: CertIdHash,
): Promise<void> {
  const { served, publicKey, issuer } = responder;
  const findings = lintResponse(der, {
    authorities: issuer.profile.authorities,
    subject: issuer.profile.issues === 'ca-certificates' ? 'ca' : 'subscriber',
    issuer: issuer.issuer.hashes,
    responder: { ...served.certificate, certificate: served.certificate.der },
    validity: { minMs: MIN_VALIDITY_MS, maxMs: issuer.profile.ocsp.validityMs },
    expected: { hash, serial: subject.serial, answer: { revocation: subject.revocation, ...times } },
  }).filter((finding) => finding.severity === 'error');
  if (findings.length > 0) {
    throw new Problem('corrupt', `lint: ${findings.map(({ rule, message }) => `${rule} ${message}`).join('; ')}`, { field: 'OCSPResponse', value: subject.serial });
  }
  if (!(await verified(tbs, signature, publicKey, served.template.algorithm.identifier))) {
    throw new Problem('corrupt', 'the signature does not verify with the responder certificate', { field: 'OCSPResponse', value: subject.serial, rule: 'RFC 6960 §4.2.1' });
  }
}

/** On the libuv pool, so that verifying does not hold up answering. */
export function verified(tbs: Uint8Array, signature: Uint8Array, publicKey: KeyObject, identifier: Uint8Array): Promise<boolean> {
  const algorithm = algorithmOf(identifier);
  if (algorithm === undefined) return Promise.resolve(false);
  return new Promise((resolve) => {
    verifySignature(algorithm.hash, tbs, publicKey, signature, (error, valid) => resolve(error === null && valid));
  });
}

function signedRecord(issuer: ServedIssuer, responder: ServedResponder, answered: readonly Answered[]): JournalEntry {
  const lanes = LANES.filter((lane: Lane) => answered.some(({ item }) => item.lane === lane));
  return {
    type: 'ocsp.signed',
    actor: 'signer',
    issuer: issuer.id,
    issuerTag: issuer.tag,
    description: `${answered.length * HASHES.length} OCSP responses signed (${lanes.join(', ')})`,
    detail: {
      responder: responder.certificate.id,
      // serial, revision, status, thisUpdate, nextUpdate, SHA-256 of the response with a SHA-1 and with a SHA-256 CertID
      responses: answered.map(({ response, digests }) => [
        response.serial,
        response.revision,
        response.revocation === undefined ? 'good' : `revoked ${rfc3339(response.revocation.revokedAt)} ${response.revocation.reason ?? ''}`.trimEnd(),
        rfc3339(response.thisUpdate),
        rfc3339(response.nextUpdate),
        ...digests,
      ]),
    },
  };
}
