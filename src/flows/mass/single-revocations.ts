/**
 * Revocations of single certificates while a mass revocation runs: how long each is from being recorded to being seen in OCSP. They
 * have a lane of their own, and here it shows that they do not wait for the mass.
 */
import { certificateKey } from '../../core/precedence.ts';
import type { EpochMs } from '../../core/time.ts';
import type { StoreEvent } from '../../ports/store.ts';

/** That are followed at once. */
const MAX_SINGLES = 10_000;

export class SingleRevocations {
  /** Those that wait for OCSP, by certificate: when they were recorded. */
  readonly #waiting = new Map<string, EpochMs>();

  clear(): void {
    this.#waiting.clear();
  }

  /** @returns when the event shows one in OCSP, how long that took. */
  follow(event: StoreEvent, nowMs: EpochMs): number | undefined {
    if (event.type === 'recorded') {
      const { certificate, lane } = event.change;
      if (lane === 'revocation' && certificate.revocation !== undefined && this.#waiting.size < MAX_SINGLES)
        this.#waiting.set(certificateKey(certificate), certificate.recordedAt);
    }
    if (event.type !== 'published' && event.type !== 'answered') return undefined;
    const key = certificateKey(event.type === 'published' ? event.response : event);
    const recordedAt = this.#waiting.get(key);
    if (recordedAt === undefined || !this.#waiting.delete(key)) return undefined;
    return Math.max(0, nowMs - recordedAt);
  }
}
