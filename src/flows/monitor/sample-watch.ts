/**
 * A few certificates of each issuer, drawn at random again and again, and what is really served about them (CT-8.7 asks for it each
 * quarter). What is wrong is looked at a second time, against the ledger as it is then: a cache may give the answer of a minute ago.
 */
import { randomBytes } from 'node:crypto';
import type { Certificate } from '../../core/certificate.ts';
import type { MetricSet } from '../../core/metric.ts';
import { MINUTE, SECOND, type EpochMs } from '../../core/time.ts';
import type { Clock, Timer } from '../../ports/clock.ts';
import type { Ledger } from '../../ports/store.ts';
import type { Wire } from '../../ports/wire.ts';
import { drawSample } from './draw-sample.ts';
import type { Log } from '../log.ts';
import { Pace } from '../pace.ts';
import type { WatchedIssuer } from './revocation-clock.ts';
import { ServedSample, type Sampled } from './served-sample.ts';

const PER_ISSUER = 20;
/** Between two certificates: no more than a client. */
const PAUSE_MS = SECOND;
/** Before the second look: longer than a revocation needs to be on a CRL of an issuer with the usual delays. */
const SECOND_LOOK_MS = 10 * MINUTE;

export interface SampleWatchParts {
  readonly issuers: readonly WatchedIssuer[];
  readonly ledger: Pick<Ledger, 'certificates' | 'find'>;
  readonly wire: Wire;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: MetricSet;
  /** Of the process's time, for drawing. */
  readonly share: number;
  /** Told of each sample: how many certificates, and how many of them were wrong twice. */
  readonly noted?: (issuer: string, certificates: number, wrong: number) => void;
}

export class SampleWatch {
  readonly #parts: SampleWatchParts;
  readonly #last = new Map<string, { readonly at: EpochMs; readonly wrong: number }>();
  #timer: Timer | undefined;
  #resume: (() => void) | undefined;
  #looking: Promise<void> | undefined;
  #stopped = false;

  constructor(parts: SampleWatchParts) {
    this.#parts = parts;
    const { metrics, clock } = parts;
    metrics.gauge(
      'certstatus_sample_wrong',
      'Of the last random sample of what is served, certificates with a finding; the log names each.',
      () => [...this.#last].map(([issuer, { wrong }]) => [{ issuer }, wrong] as const),
    );
    metrics.gauge('certstatus_sample_age_seconds', 'Since the last random sample was looked at.', () =>
      [...this.#last].map(([issuer, { at }]) => [{ issuer }, (clock.now() - at) / SECOND] as const),
    );
  }

  /** The first after `everyMs`: at start nothing has been asked for yet. */
  start(everyMs: number): void {
    this.#timer = this.#parts.clock.after(everyMs, () => {
      this.#looking = this.#all()
        .catch((error: unknown) =>
          this.#parts.log.error({ err: error }, 'no sample of what is served could be looked at'),
        )
        .then(() => {
          if (!this.#stopped) this.start(everyMs);
        });
    });
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#timer?.cancel();
    this.#resume?.();
    await this.#looking;
  }

  async #all(): Promise<void> {
    for (const issuer of this.#parts.issuers) if (!this.#stopped) await this.#one(issuer);
  }

  async #one(issuer: WatchedIssuer): Promise<void> {
    const { ledger, wire, clock, share, log } = this.#parts;
    const { served, ocsp } = issuer;
    if (ocsp === undefined || served.responders.list.length === 0) return;
    const seed = randomBytes(16).toString('hex');
    const terms = { seed, from: -Infinity, to: Infinity, percent: Number.MIN_VALUE, minimum: PER_ISSUER };
    const { certificates } = await drawSample(ledger, served, terms, clock.now(), new Pace(clock, share));
    const serials = certificates.map(({ serial }) => serial);
    const first = new ServedSample(issuer, serials, wire, clock);
    const doubtful: Certificate[] = [];
    for (const certificate of certificates) {
      if (this.#stopped) return;
      if ((await first.check(sampled(certificate))).findings.length > 0) doubtful.push(certificate);
      await this.#pause(PAUSE_MS);
    }
    let wrong = 0;
    if (doubtful.length > 0) {
      await this.#pause(SECOND_LOOK_MS);
      const again = await ledger.find(served.tag, doubtful.map(({ serial }) => serial)); // prettier-ignore
      const second = new ServedSample(issuer, serials, wire, clock);
      for (const certificate of again) {
        if (this.#stopped || certificate === undefined) continue;
        const { findings, serial } = await second.check(sampled(certificate));
        if (findings.length === 0) continue;
        wrong += 1;
        log.error({ issuer: served.id, serial, findings }, 'what is served about a certificate is not right');
      }
    }
    if (this.#stopped) return;
    this.#last.set(served.id, { at: clock.now(), wrong });
    this.#parts.noted?.(served.id, certificates.length, wrong);
  }

  async #pause(ms: number): Promise<void> {
    if (this.#stopped) return;
    await new Promise<void>((resume) => {
      const timer = this.#parts.clock.after(ms, resume);
      this.#resume = () => {
        timer.cancel();
        resume();
      };
    });
  }
}

function sampled({ serial, crlShard, revocation }: Certificate): Sampled {
  return { serial, crlShard, revokedAt: revocation?.revokedAt, reason: revocation?.reason };
}
