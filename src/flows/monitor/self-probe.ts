/**
 * The responder asks itself by its public names, through whatever stands in front: a proxy that damages paths harms a few
 * certificates in a hundred, and no figure of the responder's own shows it. What is found is logged and counted; serving goes on
 * whatever it is.
 */
import type { ProbeFinding } from '../../core/probe/finding.ts';
import { NOBODY } from '../../core/probe/question.ts';
import type { MetricSet } from '../../core/metric.ts';
import { MINUTE, SECOND, type EpochMs } from '../../core/time.ts';
import type { Clock, Timer } from '../../ports/clock.ts';
import type { Wire } from '../../ports/wire.ts';
import type { Log } from '../log.ts';
import { probe } from './probe.ts';
import { isCrlUrl, probeCrl } from './probe-crl.ts';
import type { Issuer } from '../../core/issuer.ts';

/** As long as something is found, it is looked at more often, so that whoever mends it sees when it is mended. */
const AFTER_FINDINGS_MS = 5 * MINUTE;

export class SelfProbe {
  readonly #urls: readonly string[];
  readonly #issuers: readonly Issuer[];
  readonly #everyMs: number;
  readonly #wire: Wire;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #noted: (url: string, findings: number) => void;
  readonly #found = new Map<string, { readonly findings: number; readonly at: EpochMs }>();
  #timer: Timer | undefined;
  #stopped = false;

  /**
   * @param issuers whose CRLs may be looked at.
   * @param noted told of each look.
   */
  constructor(
    urls: readonly string[],
    everyMs: number,
    wire: Wire,
    clock: Clock,
    log: Log,
    metrics: MetricSet,
    issuers: readonly Issuer[] = [],
    noted: (url: string, findings: number) => void = () => undefined,
  ) {
    this.#issuers = issuers;
    this.#noted = noted;
    this.#urls = urls;
    this.#everyMs = everyMs;
    this.#wire = wire;
    this.#clock = clock;
    this.#log = log;
    metrics.gauge(
      'certstatus_probe_findings',
      'What is wrong with the public URL as an outsider sees it, proxies in front included; the log names each.',
      () => [...this.#found].map(([url, { findings }]) => [{ url }, findings] as const),
    );
    metrics.gauge(
      'certstatus_probe_age_seconds',
      'Since the public URL was last looked at.',
      () => [...this.#found].map(([url, { at }]) => [{ url }, (clock.now() - at) / SECOND] as const), // prettier-ignore
    );
  }

  /** Looks now, and again and again. Call it when the listeners are open. */
  start(): void {
    void this.#look();
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
  }

  async #look(): Promise<void> {
    let delayMs = this.#everyMs;
    for (const url of this.#urls) {
      if (this.#stopped) return;
      if ((await this.#lookAt(url)) > 0) delayMs = Math.min(delayMs, AFTER_FINDINGS_MS);
    }
    if (!this.#stopped) this.#timer = this.#clock.after(delayMs, () => void this.#look());
  }

  async #lookAt(url: string): Promise<number> {
    let findings: readonly ProbeFinding[] = [];
    try {
      const report = isCrlUrl(url)
        ? await probeCrl({ url, issuers: this.#issuers, known: this.#urls }, this.#wire, this.#clock)
        : await probe({ url, subject: NOBODY, ours: true }, this.#wire, this.#clock);
      findings = report.findings;
      if (this.#stopped) return 0;
      if (findings.length === 0) this.#log.info({ url, asked: report.asked }, 'the public URL answers every kind of request'); // prettier-ignore
    } catch (error) {
      this.#log.error({ err: error, url }, 'the public URL could not be looked at');
      return 1;
    }
    for (const { severity, asked, message, cause, rule } of findings) {
      const line = `the public URL is not right for every client: ${asked}: ${message}. Usual cause: ${cause}`;
      if (severity === 'error') this.#log.error({ url, rule }, line);
      else this.#log.warn({ url, rule }, line);
    }
    this.#found.set(url, { findings: findings.length, at: this.#clock.now() });
    this.#noted(url, findings.length);
    return findings.length;
  }
}
