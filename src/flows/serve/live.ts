/**
 * What a responder does with a nonce where the issuer's profile says `live`: it has an answer signed for this request alone (RFC 9654
 * §2.1), within the budget and two seconds, or gives the pre-signed one (N-04, L-08). Never throws, never rejects.
 *
 *  1. owed      only where there is a pre-signed answer that may be served: no signature for what was never issued, or has
 *               expired (P3), and none that this process may not serve now (P2, ResponseTable).
 *  2. ask       the signer of this process (sign-live.ts) or one elsewhere (live-elsewhere.ts); above the budget: nobody, at once.
 *  3. overtaken?  a change of the certificate that was heard of meanwhile, or events that were missed: the answer is not given (P2).
 *  4. servable  by this process's clock too (P4).
 */
import type { CertIdHash, IssuerTag } from '../../core/certificate.ts';
import type { LiveQuestion, LiveSignature } from '../../core/ocsp/live.ts';
import { liveReply } from '../../core/policy/caching.ts';
import { answerable, servable } from '../../core/policy/freshness.ts';
import type { Serial } from '../../core/serial.ts';
import { SECOND } from '../../core/time.ts';
import type { Clock } from '../../ports/clock.ts';
import type { Reply } from '../../ports/front.ts';
import type { ChangeFeed, StoreEvent } from '../../ports/store.ts';
import type { ServedIssuer } from '../issuer-setup.ts';
import type { LiveMetrics } from '../metrics.ts';
import type { ResponseTable } from './response-table.ts';

/** As long as answer.ts lets a client wait for a signature. */
export const LIVE_WAIT_MS = 2 * SECOND;

/** Checked (P6) and in the journal (P8). */
export interface LiveAnswer extends LiveSignature {
  /** The OCSPResponse. */
  readonly der: Buffer;
}

export interface LiveSource {
  /**
   * Never rejects. Undefined at once: above the budget, or nobody can sign now; resolves with undefined: nothing came of it.
   */
  ask(question: LiveQuestion): Promise<LiveAnswer | undefined> | undefined;
}

export interface LiveReply {
  readonly reply: Reply;
  readonly status: 'good' | 'revoked';
}

export class LiveAnswers {
  readonly #source: LiveSource;
  readonly #table: ResponseTable;
  readonly #clock: Clock;
  readonly #metrics: LiveMetrics;
  /** By issuer and serial, of what is being signed: the newest revision that was heard of since it was asked for. */
  readonly #heard = new Map<string, { revision: number; asked: number }>();

  constructor(source: LiveSource, table: ResponseTable, store: ChangeFeed, clock: Clock, metrics: LiveMetrics) {
    this.#source = source;
    this.#table = table;
    this.#clock = clock;
    this.#metrics = metrics;
    store.follow((event) => this.#hear(event));
  }

  /**
   * Never rejects.
   * @returns undefined, at once or later: the pre-signed answer, or what else this request gets without its nonce. At once also
   *   where the pre-signed answer is not in memory: whoever looks it up (answer.ts) may ask again.
   */
  answer(
    issuer: ServedIssuer,
    hash: CertIdHash,
    serial: Serial,
    nonce: Uint8Array,
  ): Promise<LiveReply | undefined> | undefined {
    const now = this.#clock.now();
    const held = this.#table.get(hash, issuer.tag, serial, now);
    if (held === undefined || !answerable(issuer.profile, held.notAfter, now)) return undefined;
    return this.#ask({ issuer: issuer.tag, serial, hash, nonce });
  }

  #ask(question: LiveQuestion): Promise<LiveReply | undefined> | undefined {
    const key = question.issuer + question.serial;
    // Before anybody reads the ledger: what is recorded from now on is heard.
    const heard = this.#heard.get(key) ?? { revision: 0, asked: 0 };
    const signing = this.#source.ask(question);
    if (signing === undefined) {
      this.#metrics.answers('over-budget').value += 1;
      return undefined;
    }
    heard.asked += 1;
    this.#heard.set(key, heard);
    return this.#wait(signing, heard).finally(() => {
      heard.asked -= 1;
      if (heard.asked === 0) this.#heard.delete(key);
    });
  }

  async #wait(
    signing: Promise<LiveAnswer | undefined>,
    heard: { readonly revision: number },
  ): Promise<LiveReply | undefined> {
    let late = false;
    let giveUp = (): void => undefined;
    const waited = new Promise<undefined>((resolve) => (giveUp = () => resolve(undefined)));
    const timer = this.#clock.after(LIVE_WAIT_MS, () => {
      late = true;
      giveUp();
    });
    const answer = await Promise.race([signing, waited]);
    timer.cancel();
    if (answer === undefined) {
      this.#metrics.answers(late ? 'late' : 'not-signed').value += 1;
      return undefined;
    }
    if (answer.revision < heard.revision || !servable(answer, this.#clock.now())) {
      this.#metrics.answers('overtaken').value += 1;
      return undefined;
    }
    this.#metrics.answers('signed').value += 1;
    return { reply: liveReply(answer.der), status: answer.revocation === undefined ? 'good' : 'revoked' };
  }

  #hear(event: StoreEvent): void {
    if (event.type === 'recorded') {
      const { certificate, lane } = event.change;
      if (lane !== undefined) this.#heardOf(certificate.issuer, certificate.serial, certificate.revision);
    } else if (event.type === 'answered') this.#heardOf(event.issuer, event.serial, event.revision);
    else if (event.type === 'gap')
      for (const [key, heard] of this.#heard) if (key.startsWith(event.issuer)) heard.revision = Infinity;
  }

  #heardOf(issuer: IssuerTag, serial: Serial, revision: number): void {
    const heard = this.#heard.get(issuer + serial);
    if (heard !== undefined) heard.revision = Math.max(heard.revision, revision);
  }
}
