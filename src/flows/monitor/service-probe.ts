/**
 * One OCSP question about a certificate of each issuer every minute, and one of its CRLs now and then, asked from outside as clients
 * do: so that what a client waits (certstatus_probe_seconds, CT-4.10.2-a) is known in quiet hours too.
 */
import { scopesOf } from '../../core/crl/shards.ts';
import { encodeGetPath } from '../../core/ocsp/get-path.ts';
import { plainQuestion } from '../../core/probe/question.ts';
import { Problem } from '../../core/problem.ts';
import type { Serial } from '../../core/serial.ts';
import { HOUR, MINUTE, type EpochMs } from '../../core/time.ts';
import type { Clock, Timer } from '../../ports/clock.ts';
import type { Ledger } from '../../ports/store.ts';
import type { Wire } from '../../ports/wire.ts';
import type { Log } from '../log.ts';
import { fetchPublic } from './fetch-public.ts';
import type { WatchedIssuer } from './revocation-clock.ts';

const EVERY_MS = MINUTE;
/** A CRL may have many megabytes, and somebody pays for them. */
const CRL_EVERY_MS = 10 * MINUTE;
/** A certificate is asked about until it is about to end. */
const LEAST_LIFE_MS = HOUR;

export interface ServiceProbeParts {
  readonly issuers: readonly WatchedIssuer[];
  readonly ledger: Pick<Ledger, 'certificates'>;
  /** Whoever counts the time does it there (timed-wire.ts). */
  readonly wire: Wire;
  readonly clock: Clock;
  readonly log: Log;
}

export class ServiceProbe {
  readonly #parts: ServiceProbeParts;
  readonly #subjects = new Map<WatchedIssuer, { readonly serial: Serial; readonly notAfter: EpochMs }>();
  /** What did not answer when it was asked last: said once. */
  readonly #silent = new Set<string>();
  #crlsAt: EpochMs;
  #timer: Timer | undefined;
  #asking: Promise<void> | undefined;
  #stopped = false;

  constructor(parts: ServiceProbeParts) {
    this.#parts = parts;
    this.#crlsAt = parts.clock.now();
  }

  /** The first after a minute: at start nothing may be published yet. */
  start(): void {
    this.#timer = this.#parts.clock.after(EVERY_MS, () => {
      this.#asking = this.#all()
        .catch((error: unknown) => this.#parts.log.error({ err: error }, 'the public port could not be asked'))
        .then(() => {
          if (!this.#stopped) this.start();
        });
    });
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#timer?.cancel();
    await this.#asking;
  }

  async #all(): Promise<void> {
    const now = this.#parts.clock.now();
    const withCrls = Math.abs(now - this.#crlsAt) >= CRL_EVERY_MS;
    if (withCrls) this.#crlsAt = now;
    for (const issuer of this.#parts.issuers) {
      if (this.#stopped) return;
      await this.#askOcsp(issuer);
      if (withCrls) await this.#getCrl(issuer);
    }
  }

  async #askOcsp(issuer: WatchedIssuer): Promise<void> {
    const { served, ocsp } = issuer;
    const serial = ocsp === undefined ? undefined : await this.#subject(issuer);
    if (ocsp === undefined || serial === undefined) return;
    const question = plainQuestion({ hash: 'sha1', issuer: served.issuer.hashes.sha1, serial });
    const path = `${ocsp.path.replace(/\/$/, '')}/${encodeGetPath(question)}`;
    await this.#ask(`OCSP of ${served.id}`, () => fetchPublic(this.#parts.wire, { ...ocsp, path }));
  }

  async #getCrl(issuer: WatchedIssuer): Promise<void> {
    const { served } = issuer;
    const [scope] = scopesOf(served.crls, served.tag);
    const at = scope && issuer.crl(scope.shard);
    if (at !== undefined) await this.#ask(`the CRL of ${served.id}`, () => fetchPublic(this.#parts.wire, at));
  }

  async #ask(what: string, ask: () => Promise<unknown>): Promise<void> {
    const { log } = this.#parts;
    try {
      await ask();
      if (this.#silent.delete(what)) log.info({}, `${what} answers again`);
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      if (!this.#silent.has(what)) log.warn({ why: error.line }, `${what} does not answer from outside`);
      this.#silent.add(what);
    }
  }

  /** Any certificate that has not ended. */
  async #subject(issuer: WatchedIssuer): Promise<Serial | undefined> {
    const { ledger, clock } = this.#parts;
    const lasts = (notAfter: EpochMs): boolean => notAfter > clock.now() + LEAST_LIFE_MS;
    const known = this.#subjects.get(issuer);
    if (known !== undefined && lasts(known.notAfter)) return known.serial;
    try {
      for await (const page of ledger.certificates(issuer.served.tag)) {
        const found = page.find(({ notAfter = Infinity }) => lasts(notAfter));
        if (found === undefined) continue;
        this.#subjects.set(issuer, { serial: found.serial, notAfter: found.notAfter ?? Infinity });
        return found.serial;
      }
    } catch (error) {
      // A store that cannot be read says so itself.
      if (!(error instanceof Problem)) throw error;
    }
    return undefined;
  }
}
