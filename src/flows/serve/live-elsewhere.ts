/**
 * How a responder without keys gets an answer signed for one request (RFC 9654): it calls for one over the store's ask line, and
 * checks what comes back, because anybody on the line could have sent it (P6). Above the budget nobody is called, and for a while
 * after a call that nobody answered nobody waits for the next.
 */
import type { IssuerTag } from '../../core/certificate.ts';
import type { LiveQuestion } from '../../core/ocsp/live.ts';
import { LiveBudget } from '../../core/policy/live-budget.ts';
import { MINUTE, SECOND, type EpochMs } from '../../core/time.ts';
import type { Clock } from '../../ports/clock.ts';
import type { AskLine } from '../../ports/store.ts';
import { checkAnswer } from '../sign/check-answer.ts';
import type { ServedIssuer } from '../issuer-setup.ts';
import { LIVE_WAIT_MS, type LiveAnswer, type LiveSource } from './live.ts';
import type { Log } from '../log.ts';

/** After silence: no signer is there, or able; clients should not be made to wait to find that out again. */
const QUIET_MS = 5 * SECOND;

interface Lane {
  readonly issuer: ServedIssuer;
  readonly budget: LiveBudget;
  quietSince: EpochMs;
  saidAt: EpochMs;
}

export class LiveElsewhere implements LiveSource {
  readonly #lanes: ReadonlyMap<IssuerTag, Lane>;
  readonly #line: Pick<AskLine, 'askLive'>;
  readonly #clock: Clock;
  readonly #log: Log;

  constructor(issuers: readonly ServedIssuer[], line: Pick<AskLine, 'askLive'>, clock: Clock, log: Log) {
    this.#line = line;
    this.#clock = clock;
    this.#log = log;
    const live = issuers.filter(({ profile }) => profile.ocsp.nonce === 'live');
    const lane = (issuer: ServedIssuer): Lane => {
      const budget = new LiveBudget(issuer.profile.ocsp.live, clock.now());
      return { issuer, budget, quietSince: -Infinity, saidAt: -Infinity };
    };
    this.#lanes = new Map(live.map((issuer) => [issuer.tag, lane(issuer)]));
  }

  ask(question: LiveQuestion): Promise<LiveAnswer | undefined> | undefined {
    const lane = this.#lanes.get(question.issuer);
    const now = this.#clock.now();
    if (lane === undefined || Math.abs(now - lane.quietSince) < QUIET_MS || !lane.budget.enter(now)) return undefined;
    return this.#call(lane, question)
      .catch((error: unknown) => this.#refuse(lane, error))
      .finally(() => lane.budget.leave(true)); // a refusal has cost a call
  }

  /** @throws Problem `corrupt` for what no signer of ours has sent. */
  async #call(lane: Lane, question: LiveQuestion): Promise<LiveAnswer | undefined> {
    const found = await this.#line.askLive(question, LIVE_WAIT_MS);
    if (found === 'silence') lane.quietSince = this.#clock.now();
    if (found === 'silence' || found === 'refused') return undefined;
    const { issuer } = lane;
    // One that has just been installed comes here with its first pre-signed answer.
    const served = issuer.responders.find(found.responder);
    if (served === undefined) return undefined;
    const { serial, hash, nonce } = question;
    const { revocation, thisUpdate, nextUpdate, signature } = found;
    const said = { revocation, thisUpdate, nextUpdate };
    const tbs = served.template.tbs(hash, serial, said, nonce);
    const der = served.template.assemble(hash, serial, said, signature, nonce);
    const { publicKey } = served.certificate;
    await checkAnswer(
      { der, tbs, signature, hash, serial, ...said, nonce },
      { served, publicKey, issuer },
      { compared: false },
    );
    return { ...found, der };
  }

  #refuse(lane: Lane, error: unknown): undefined {
    const now = this.#clock.now();
    if (Math.abs(now - lane.saidAt) < MINUTE) return;
    lane.saidAt = now;
    this.#log.error(
      { err: error, issuer: lane.issuer.id },
      'an answer to a nonce that came over the store is not given',
    );
  }
}
