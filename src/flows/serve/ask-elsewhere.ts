/**
 * What a responder without a signer does with a certificate that has no servable answer: it calls for one over the store's ask
 * line and waits for the feed to say that it is there. Questions about one certificate share one call; what waits is bounded.
 */
import type { IssuerTag } from '../../core/certificate.ts';
import type { Serial } from '../../core/serial.ts';
import { SECOND } from '../../core/time.ts';
import type { Clock } from '../../ports/clock.ts';
import type { ResponderStore } from '../../ports/store.ts';

/** Beyond this many a client gets tryLater at once. */
const MAX_WAITING = 4096;
/** Longer than any client is kept waiting; then a lost call is made again when somebody asks. */
const CALL_LASTS_MS = 5 * SECOND;
/**
 * The feed tells of the first answer of a revision only. One that replaces an expired answer is found by looking again: so
 * whoever waits is woken this often, a few times within what a client is kept waiting (answer.ts).
 */
const LOOK_MS = 0.6 * SECOND;

export class AskElsewhere {
  readonly #line: Pick<ResponderStore, 'ask'>;
  readonly #clock: Clock;
  readonly #waiting = new Map<string, { readonly since: number; done: Promise<void>; wake: () => void }>();

  constructor(store: Pick<ResponderStore, 'ask' | 'follow'>, clock: Clock) {
    this.#line = store;
    this.#clock = clock;
    store.follow((event) => {
      if (event.type === 'answered') this.#wake(event.issuer + event.serial);
    });
  }

  /** Resolves when it is worth looking into the store again. Undefined: too many wait already. */
  ask(issuer: IssuerTag, serial: Serial): Promise<void> | undefined {
    const key = issuer + serial;
    const now = this.#clock.now();
    const waiting = this.#waiting.get(key);
    if (waiting !== undefined && now - waiting.since < CALL_LASTS_MS) return waiting.done;
    if (waiting === undefined && this.#waiting.size >= MAX_WAITING) return undefined;
    let wake = (): void => undefined;
    const done = new Promise<void>((resolve) => (wake = resolve));
    this.#waiting.set(key, { since: now, done, wake });
    this.#clock.after(LOOK_MS, () => this.#wake(key));
    this.#line.ask(issuer, serial);
    return done;
  }

  #wake(key: string): void {
    this.#waiting.get(key)?.wake();
    this.#waiting.delete(key);
  }
}
