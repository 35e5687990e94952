/**
 * Answers signed for one request each, because it brought a nonce and the issuer's profile says `live` (RFC 9654): the lane beneath all
 * others. Nothing is queued in the store and nothing is published: whoever asked gets it, or the pre-signed answer instead.
 *
 *  1. take      what waits for one issuer, one batch of it at a time: a flood makes batches longer, up to BATCH, not more of them.
 *  2. read      the certificates as the ledger has them now. Never issued or expired: nothing is signed (P3).
 *  3. sign      after all urgent work that has not reached the key. Then the key is left alone for as long as that took: refreshes
 *               get at least every other moment of it, whatever the budget says (P4).
 *  4. check     as every answer is, the nonce included (P6, N-06).
 *  5. journal   one record per batch, and one of what was refused in 4 (P8). Not durable → nobody gets any of it.
 *  6. read again  what was revoked since 2 is dropped: it must not be `good` once that is acknowledged (P2).
 *
 * What fails is not tried again: the client has the pre-signed answer by then.
 */
import type { Certificate, IssuerTag } from '../../core/certificate.ts';
import type { JournalEntry } from '../../core/journal-record.ts';
import type { LiveQuestion } from '../../core/ocsp/live.ts';
import { answerable, planResponse, type ResponseTimes } from '../../core/policy/freshness.ts';
import { LiveBudget } from '../../core/policy/live-budget.ts';
import { sameRevocation } from '../../core/precedence.ts';
import { MINUTE, rfc3339, type EpochMs } from '../../core/time.ts';
import type { Clock } from '../../ports/clock.ts';
import type { Journal } from '../../ports/journal.ts';
import type { SignResult } from '../../ports/key-holder.ts';
import type { AskLine, Ledger, Reliance } from '../../ports/store.ts';
import { checkAnswer, digestOf } from './check-answer.ts';
import { LIVE_WAIT_MS, type LiveAnswer, type LiveSource } from '../serve/live.ts';
import type { Log } from '../log.ts';
import type { SignerMetrics } from '../metrics.ts';
import type { SignerIssuer } from './sign.ts';
import { activeResponder, statusText, type ActiveResponder } from './sign-answers.ts';

/** Signatures per batch: the check of each is 0.2 ms of this process, and others wait behind it. */
const BATCH = 32;

interface Waiting {
  readonly question: LiveQuestion;
  readonly since: EpochMs;
  readonly settle: (answer: LiveAnswer | undefined, signed: boolean) => void;
}

/** One to be signed. */
interface Work {
  readonly one: Waiting;
  readonly certificate: Certificate;
  readonly times: ResponseTimes;
  readonly tbs: Buffer;
}

/** Signed, and not what it was meant to be. */
interface Refused {
  readonly one: Work;
  readonly error: unknown;
  readonly signature: Uint8Array;
}

interface Lane {
  readonly at: SignerIssuer;
  readonly budget: LiveBudget;
  readonly waiting: Waiting[];
  /** Since when a batch is under way, or the key is left alone after one. */
  busySince: EpochMs | undefined;
  saidAt: EpochMs;
}

export class LiveSigner implements LiveSource {
  readonly #lanes: ReadonlyMap<IssuerTag, Lane>;
  readonly #store: Ledger & Reliance;
  readonly #journal: Journal;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #metrics: SignerMetrics;
  readonly #underWay = new Set<Promise<void>>();
  #stopped = false;

  constructor(
    issuers: readonly SignerIssuer[],
    store: Ledger & Reliance & Pick<AskLine, 'onLive'>,
    journal: Journal,
    clock: Clock,
    log: Log,
    metrics: SignerMetrics,
  ) {
    this.#store = store;
    this.#journal = journal;
    this.#clock = clock;
    this.#log = log;
    this.#metrics = metrics;
    const live = issuers.filter(({ served }) => served.profile.ocsp.nonce === 'live');
    this.#lanes = new Map(live.map((at) => [at.served.tag, newLane(at, clock.now())]));
    if (live.length > 0)
      store.onLive({ able: (issuer) => this.#able(issuer), answer: (question) => this.ask(question) });
  }

  ask(question: LiveQuestion): Promise<LiveAnswer | undefined> | undefined {
    const lane = this.#lanes.get(question.issuer);
    const now = this.#clock.now();
    // A key that does not answer now: the next client would wait for nothing.
    if (lane === undefined || (lane.busySince !== undefined && late(lane.busySince, now))) return undefined;
    if (!lane.budget.enter(now)) return undefined;
    if (!this.#able(question.issuer)) {
      lane.budget.leave(false);
      return undefined;
    }
    return new Promise((resolve) => {
      lane.waiting.push({
        question,
        since: now,
        settle(answer, signed) {
          lane.budget.leave(signed);
          resolve(answer);
        },
      });
      this.#pump(lane);
    });
  }

  /** Resolves when nothing is being signed any more; whoever waits is told that nothing will be. */
  async stop(): Promise<void> {
    this.#stopped = true;
    for (const { waiting } of this.#lanes.values())
      for (const { settle } of waiting.splice(0)) settle(undefined, false);
    await Promise.all(this.#underWay);
  }

  #able(issuer: IssuerTag): boolean {
    const lane = this.#lanes.get(issuer);
    if (lane === undefined || this.#stopped) return false;
    // P8: while the journal cannot be written nothing is signed; the other lanes find out when it can again.
    if (this.#store.failureOf(issuer) !== undefined || this.#journal.failure !== undefined) return false;
    return activeResponder(lane.at, this.#clock.now()) !== undefined;
  }

  #pump(lane: Lane): void {
    if (lane.busySince !== undefined || lane.waiting.length === 0) return;
    lane.busySince = this.#clock.now();
    // What comes in the same turn of the event loop goes into the same batch.
    const batch = Promise.resolve()
      .then(() => this.#batch(lane))
      .then((keyMs) => {
        this.#underWay.delete(batch);
        if (keyMs > 0) this.#clock.after(keyMs, () => this.#free(lane));
        else this.#free(lane);
      });
    this.#underWay.add(batch);
  }

  #free(lane: Lane): void {
    lane.busySince = undefined;
    if (!this.#stopped) this.#pump(lane);
  }

  /** Never rejects. Settles all that it takes. @returns for how long the key was at work (ms). */
  async #batch(lane: Lane): Promise<number> {
    const now = this.#clock.now();
    const taken: Waiting[] = [];
    for (const one of lane.waiting.splice(0, BATCH)) {
      // Nobody waits for it any more.
      if (late(one.since, now)) one.settle(undefined, false);
      else taken.push(one);
    }
    const open = new Set(taken);
    const spent = new Set<Waiting>();
    let keyMs = 0;
    try {
      const responder = activeResponder(lane.at, now);
      const work = responder === undefined ? [] : await this.#read(lane, responder, taken, now);
      if (responder === undefined || work.length === 0) return keyMs;
      for (const { one } of work) spent.add(one);
      const startedAt = this.#clock.now();
      const signatures = await responder.holder.sign(
        work.map(({ tbs }) => tbs),
        'live',
      );
      keyMs = Math.min(Math.max(0, this.#clock.now() - startedAt), LIVE_WAIT_MS);
      const answers = await this.#check(lane, responder, work, signatures);
      // Retired while this batch was being signed: nobody may be given anything of it.
      if (lane.at.served.responders.useOf(responder.served.certificate.id) !== 'signing') return keyMs;
      const current = await this.#find(
        lane,
        [...answers.keys()].map(({ one }) => one),
      );
      for (const [{ one, certificate }, answer] of answers) {
        const since = current.get(one);
        if (since?.revision !== certificate.revision || !sameRevocation(since.revocation, certificate.revocation))
          continue;
        open.delete(one);
        one.settle(answer, true);
      }
    } catch (error) {
      this.#metrics.refused(this.#journal.failure === undefined ? 'key-holder' : 'audit-log').value += 1;
      this.#say(lane, error, 'answers to requests with a nonce were not given; the pre-signed ones are');
    } finally {
      for (const one of open) one.settle(undefined, spent.has(one));
    }
    return keyMs;
  }

  /** What is to be signed of it. */
  async #read(
    lane: Lane,
    { served: { certificate: by, template } }: ActiveResponder,
    taken: readonly Waiting[],
    now: EpochMs,
  ): Promise<readonly Work[]> {
    const { profile } = lane.at.served;
    const certificates = await this.#find(lane, taken);
    return taken.flatMap((one) => {
      const { serial, hash, nonce } = one.question;
      const certificate = certificates.get(one);
      if (certificate === undefined || !answerable(profile, certificate.notAfter, now)) return [];
      const times = planResponse(profile, by, certificate, now);
      if (times === undefined) return [];
      const tbs = template.tbs(hash, serial, { revocation: certificate.revocation, ...times }, nonce);
      return { one, certificate, times, tbs };
    });
  }

  /** Those that are right, once all of them are accounted for. @throws Problem `unavailable` when they cannot be. */
  async #check(
    lane: Lane,
    responder: ActiveResponder,
    work: readonly Work[],
    signatures: readonly SignResult[],
  ): Promise<ReadonlyMap<Work, LiveAnswer>> {
    const checked = await Promise.allSettled(
      work.map(async (one, i): Promise<LiveAnswer | undefined> => {
        const result = signatures[i];
        if (result?.ok === true) return this.#checked(responder, one, result.signature, i === 0);
        this.#metrics.refused('key-holder').value += 1;
        this.#say(lane, result?.error, 'an answer to a request with a nonce was not signed');
        return undefined;
      }),
    );
    const answers = new Map<Work, LiveAnswer>();
    const refused: Refused[] = [];
    checked.forEach((outcome, i) => {
      const [one, result] = [work[i] as Work, signatures[i]];
      if (outcome.status === 'fulfilled') return void (outcome.value && answers.set(one, outcome.value));
      if (result?.ok === true) refused.push({ one, error: outcome.reason, signature: result.signature });
      this.#metrics.refused('check').value += 1;
      this.#say(lane, outcome.reason, 'an answer to a request with a nonce was not given');
    });
    const entries: JournalEntry[] = [];
    if (answers.size > 0) entries.push(signedRecord(responder, answers));
    if (refused.length > 0) entries.push(refusedRecord(responder, refused));
    if (entries.length > 0) await this.#account(responder, entries, answers, refused);
    this.#metrics.live.value += answers.size;
    return answers;
  }

  /** P8. @throws Problem `unavailable`; then what was signed is recorded when the log can be written again, as given to nobody. */
  async #account(
    responder: ActiveResponder,
    entries: readonly JournalEntry[],
    answers: ReadonlyMap<Work, LiveAnswer>,
    refused: readonly Refused[],
  ): Promise<void> {
    try {
      await this.#journal.append(entries);
    } catch (error) {
      const made = [...refused, ...[...answers].map(([one, { signature }]) => ({ one, error, signature }))];
      this.#journal.owe([{ ...refusedRecord(responder, made), eventAt: rfc3339(this.#clock.now()) }]);
      throw error;
    }
  }

  /** @throws Problem `corrupt` */
  async #checked(
    responder: ActiveResponder,
    { one: { question }, certificate, times, tbs }: Work,
    signature: Buffer,
    compared: boolean,
  ): Promise<LiveAnswer> {
    const { serial, hash, nonce } = question;
    const { revision, revocation } = certificate;
    const { thisUpdate, nextUpdate } = times;
    const { template, certificate: by } = responder.served;
    const der = template.assemble(hash, serial, { revocation, ...times }, signature, nonce);
    const made = { der, tbs, signature, hash, serial, revocation, thisUpdate, nextUpdate, nonce };
    await checkAnswer(made, responder, { compared });
    return { revision, revocation, thisUpdate, nextUpdate, responder: by.id, signature, der };
  }

  async #find(lane: Lane, of: readonly Waiting[]): Promise<ReadonlyMap<Waiting, Certificate | undefined>> {
    const found = await this.#store.find(
      lane.at.served.tag,
      of.map(({ question }) => question.serial),
    );
    return new Map(of.map((one, i) => [one, found[i]]));
  }

  /** Once a minute for each issuer: a flood of nonces is no flood of lines. */
  #say(lane: Lane, error: unknown, message: string): void {
    const now = this.#clock.now();
    if (Math.abs(now - lane.saidAt) < MINUTE) return;
    lane.saidAt = now;
    this.#log.error({ err: error, issuer: lane.at.served.id }, message);
  }
}

function newLane(at: SignerIssuer, now: EpochMs): Lane {
  const budget = new LiveBudget(at.served.profile.ocsp.live, now);
  return { at, budget, waiting: [], busySince: undefined, saidAt: -Infinity };
}

/** In either direction: the clock may have been set. */
function late(since: EpochMs, now: EpochMs): boolean {
  return Math.abs(now - since) > LIVE_WAIT_MS;
}

/** The journal's record of a batch (P8). The nonces are not in it: they are what clients chose; the digests cover them. */
function signedRecord({ issuer, served }: ActiveResponder, answers: ReadonlyMap<Work, LiveAnswer>): JournalEntry {
  return {
    type: 'ocsp.signed',
    actor: 'signer',
    issuer: issuer.id,
    issuerTag: issuer.tag,
    description: `${answers.size} OCSP responses signed (for a nonce)`,
    detail: {
      responder: served.certificate.id,
      // serial, revision, status, thisUpdate, nextUpdate, CertID hash, SHA-256 of the response
      live: [...answers].map(([{ one, times }, { revision, revocation, der }]) => [
        one.question.serial,
        revision,
        statusText(revocation),
        rfc3339(times.thisUpdate),
        rfc3339(times.nextUpdate),
        one.question.hash,
        digestOf(der),
      ]),
    },
  };
}

/** Signatures that nobody gets: they exist, so they are accounted for. */
function refusedRecord({ issuer, served }: ActiveResponder, refused: readonly Refused[]): JournalEntry {
  return {
    type: 'ocsp.refused',
    actor: 'signer',
    issuer: issuer.id,
    issuerTag: issuer.tag,
    description: `${refused.length} OCSP responses were signed for a nonce, and are given to nobody`,
    detail: {
      responder: served.certificate.id,
      // The reason of the first stands for the rest.
      why: String(refused[0]?.error).slice(0, 1000),
      // serial, revision, thisUpdate, nextUpdate, SHA-256 of the signature
      signed: refused.map(({ one: { certificate, times }, signature }) => [
        certificate.serial,
        certificate.revision,
        rfc3339(times.thisUpdate),
        rfc3339(times.nextUpdate),
        digestOf(signature),
      ]),
    },
  };
}
