/**
 * What clients wait for: certificates that are signed ahead of the queue because somebody asks now. Questions about one
 * certificate share one signature; what waits is bounded; whoever waits is told when the attempt is over, whatever came of it.
 */
import type { QueueItem } from '../../ports/store.ts';

/** Beyond this many a client gets tryLater at once (bounded everywhere). */
const MAX_ASKED = 4096;

export class Asked {
  readonly #waiting = new Map<string, { item: QueueItem; done: Promise<void>; settle: () => void; taken: boolean }>();

  get waiting(): number {
    return this.#waiting.size;
  }

  /** Resolves when the attempt is over. Undefined: too many wait already. */
  join(item: QueueItem): Promise<void> | undefined {
    const key = item.issuer + item.serial;
    const waiting = this.#waiting.get(key);
    if (waiting !== undefined) return waiting.done;
    if (this.#waiting.size >= MAX_ASKED) return undefined;
    let settle = (): void => undefined;
    const done = new Promise<void>((resolve) => (settle = resolve));
    this.#waiting.set(key, { item, done, settle, taken: false });
    return done;
  }

  take(limit: number): readonly QueueItem[] {
    const items: QueueItem[] = [];
    for (const asked of this.#waiting.values()) {
      if (items.length >= limit) break;
      if (asked.taken) continue;
      asked.taken = true;
      items.push(asked.item);
    }
    return items;
  }

  /** The attempt at these is over. */
  settle(items: readonly QueueItem[]): void {
    for (const { issuer, serial, lane } of items) {
      if (lane !== 'asked') continue;
      this.#waiting.get(issuer + serial)?.settle();
      this.#waiting.delete(issuer + serial);
    }
  }

  /** Nothing will be signed for now: nobody waits for it in vain. */
  settleUntaken(): void {
    this.settle(this.take(Infinity));
  }
}
