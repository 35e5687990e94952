/**
 * Calls for an answer to one request, and the answers (RFC 9654). A responder publishes the question; of the signers that are able the
 * first to claim it answers, on the channel of the process that asked. Nothing is kept: what nobody hears is lost, and then the
 * client gets the pre-signed answer. A responder may only publish and listen, so whoever takes its place can make signers
 * spend their budget, and nothing else; what comes back is checked by whoever asked.
 *
 *     question   id 16 | asker 16 | issuer 8 | serial | sha1, sha256 | nonce
 *     answer     id 16, and nothing more when it is refused
 *                id 16 | revision | thisUpdate | nextUpdate | responder 8 | good, or revokedAt:reason | signature
 *
 * Words with a space between; octets in hex, instants in ms since 1970.
 */
import { randomBytes } from 'node:crypto';
import type { CertIdHash, IssuerTag } from '../../core/certificate.ts';
import type { LiveQuestion, LiveSignature } from '../../core/ocsp/live.ts';
import { REASON_CODES, type Reason } from '../../core/reason.ts';
import type { Serial } from '../../core/serial.ts';
import type { LiveListener } from '../../ports/store.ts';
import { claimCall } from './asks.ts';
import { Ear } from './ear.ts';
import { LIVE_CHANNEL, liveChannelOf } from './keys.ts';
import type { Connection } from './scripts.ts';
import type { Log } from './watch.ts';

/** The lengths bound the work: a nonce has 128 octets at most (N-01), a signature of RSA-8192 1024. */
const QUESTION =
  /^([0-9a-f]{16}) ([0-9a-f]{16}) ([0-9a-f]{8}) ((?:[0-9a-f]{2}){1,20}) (sha1|sha256) ((?:[0-9a-f]{2}){1,128})$/;
const ANSWER =
  /^([0-9a-f]{16})(?: (\d{1,8}) (\d{1,15}) (\d{1,15}) ([0-9a-f]{8}) (good|(-?\d{1,15}):([A-Za-z]{0,32})) ((?:[0-9a-f]{2}){1,1024}))?$/;
const MAX_MESSAGE = 4096;

type Outcome = LiveSignature | 'refused' | 'silence';

export class LiveLine {
  readonly #redis: Connection;
  readonly #issuers: ReadonlySet<string>;
  readonly #log: Log | undefined;
  readonly #me = randomBytes(8).toString('hex');
  /** By id. */
  readonly #waiting = new Map<string, (outcome: Outcome) => void>();
  #questions: Ear | undefined;
  #answers: Ear | undefined;

  constructor(redis: Connection, issuers: readonly IssuerTag[], log: Log | undefined) {
    this.#redis = redis;
    this.#issuers = new Set(issuers);
    this.#log = log;
  }

  ask(question: LiveQuestion, withinMs: number): Promise<Outcome> {
    const without = 'answers to nonces cannot be heard: the pre-signed answers are given';
    this.#answers ??= new Ear(this.#redis, liveChannelOf(this.#me), this.#log, without, (message) =>
      this.#answered(message),
    );
    const id = randomBytes(8).toString('hex');
    const { issuer, serial, hash, nonce } = question;
    const text = [id, this.#me, issuer, serial, hash, Buffer.from(nonce).toString('hex')].join(' ');
    return new Promise((resolve) => {
      const timer = setTimeout(() => done('silence'), withinMs);
      const done = (outcome: Outcome): void => {
        clearTimeout(timer);
        this.#waiting.delete(id);
        resolve(outcome);
      };
      this.#waiting.set(id, done);
      this.#answers?.listening.then(() => this.#publish(LIVE_CHANNEL, text)).catch(() => done('silence'));
    });
  }

  listen(signer: LiveListener): void {
    const without = 'calls for answers to nonces are not heard: the pre-signed answers are given';
    this.#questions ??= new Ear(this.#redis, LIVE_CHANNEL, this.#log, without, (message) => {
      this.#asked(signer, message).catch(() => undefined);
    });
  }

  close(): void {
    this.#questions?.close();
    this.#answers?.close();
    for (const done of [...this.#waiting.values()]) done('silence');
  }

  async #asked(signer: LiveListener, message: string): Promise<void> {
    const [, id, asker, tag, serial, hash, nonce] = match(QUESTION, message) ?? [];
    if (id === undefined || asker === undefined || tag === undefined || nonce === undefined) return;
    const issuer = tag as IssuerTag;
    if (!this.#issuers.has(issuer) || !signer.able(issuer)) return;
    if (!(await claimCall(this.#redis, issuer, id))) return;
    const answer = await signer.answer({
      issuer,
      serial: serial as Serial,
      hash: hash as CertIdHash,
      nonce: Buffer.from(nonce, 'hex'),
    });
    await this.#publish(liveChannelOf(asker), answer === undefined ? id : `${id} ${written(answer)}`);
  }

  #answered(message: string): void {
    const found = match(ANSWER, message);
    const done = found && this.#waiting.get(found[1] ?? '');
    if (found === undefined || done === undefined) return;
    const answer = found[2] === undefined ? 'refused' : read(found);
    if (answer !== undefined) done(answer);
  }

  async #publish(channel: string, message: string): Promise<void> {
    await this.#redis.publish(channel, message);
  }
}

function match(pattern: RegExp, message: string): RegExpExecArray | undefined {
  return message.length > MAX_MESSAGE ? undefined : (pattern.exec(message) ?? undefined);
}

function written({ revision, thisUpdate, nextUpdate, responder, revocation, signature }: LiveSignature): string {
  const status = revocation === undefined ? 'good' : `${revocation.revokedAt}:${revocation.reason ?? ''}`;
  return [revision, thisUpdate, nextUpdate, responder, status, Buffer.from(signature).toString('hex')].join(' ');
}

/** Undefined: a reason that this version does not know. */
function read(found: RegExpExecArray): LiveSignature | undefined {
  const [, , revision, thisUpdate, nextUpdate, responder = '', status, revokedAt, reason = '', signature = ''] = found;
  if (reason !== '' && !Object.hasOwn(REASON_CODES, reason)) return undefined;
  return {
    revision: Number(revision),
    revocation:
      status === 'good'
        ? undefined
        : { revokedAt: Number(revokedAt), reason: reason === '' ? undefined : (reason as Reason) },
    thisUpdate: Number(thisUpdate),
    nextUpdate: Number(nextUpdate),
    responder,
    signature: Buffer.from(signature, 'hex'),
  };
}
