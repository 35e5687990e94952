/**
 * Look-ups of one issuer's certificates: those that are asked in one turn of the event loop go out as one read, and so do those that
 * are asked while a read is under way. Sixty records in one read cost this process little more than two in two.
 *
 * What is found is relied on as the last look at the ledger says (watch.ts); what is not found only after another look, for which
 * those who were found do not wait (P1, P3). Nobody is answered from a read that was sent before they asked.
 *
 * Failure ladder:
 *   no reply, or an error, or not relied on → all of the read are told `unavailable`, and so are those who wait behind it: they would
 *                                             go the same way, and nobody waits for two time-outs
 *   founded anew while it was read          → read again, a few times; then `unavailable`
 */
import { Problem } from '../../core/problem.ts';
import type { Serial } from '../../core/serial.ts';
import type { Lookup } from '../../ports/store.ts';
import type { IssuerLedger } from './issuer-ledger.ts';
import { decodeRecord } from './records.ts';

/** Questions per read. When so many wait another read goes out, whatever is under way. */
const MOST = 256;
/** A ledger that is founded anew again and again is none. */
const ATTEMPTS = 3;

interface Asked {
  readonly serial: Serial;
  readonly resolve: (found: Lookup) => void;
  readonly reject: (error: unknown) => void;
}

export class IssuerLookups {
  readonly #ledger: IssuerLedger;
  #waiting: Asked[] = [];
  #underWay = 0;
  #scheduled = false;

  constructor(ledger: IssuerLedger) {
    this.#ledger = ledger;
  }

  /** @throws Problem `unavailable` */
  find(serial: Serial): Promise<Lookup> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ serial, resolve, reject });
      if (this.#waiting.length === MOST) this.#send();
      else if (this.#underWay === 0) this.#sendSoon();
    });
  }

  /** After every socket that has something to read: each brings its question in a callback of its own. */
  #sendSoon(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      if (this.#waiting.length > 0) this.#send();
    });
  }

  #send(): void {
    const asked = this.#waiting;
    this.#waiting = [];
    this.#answer(asked).catch((error: unknown) => {
      const behind = this.#waiting;
      this.#waiting = [];
      for (const { reject } of asked) reject(error);
      for (const { reject } of behind) reject(error);
    });
  }

  async #answer(asked: readonly Asked[]): Promise<void> {
    const { watch } = this.#ledger;
    let open = asked;
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const { instance, records } = await this.#read(open);
      if (watch.instance === instance)
        open = open.filter((question) => {
          const octets = records.get(question.serial);
          if (octets !== undefined) this.#tell(question, octets);
          return octets === undefined;
        });
      if (open.length === 0) return;
      await watch.confirmed();
      if (watch.instance !== instance) continue;
      for (const question of open) this.#tell(question, records.get(question.serial));
      return;
    }
    throw new Problem('unavailable', 'the ledger was founded anew while it was read; try again', { rule: 'P1' });
  }

  /** From the ledger that is relied on before the read; whether it still is afterwards is the caller's question. */
  async #read(
    asked: readonly Asked[],
  ): Promise<{ readonly instance: string; readonly records: ReadonlyMap<Serial, Buffer | undefined> }> {
    this.#underWay += 1;
    try {
      const { instance, buckets } = await this.#ledger.watch.trusted();
      const serials = asked.map(({ serial }) => serial);
      const records = await this.#ledger.fetch(buckets, serials);
      if (this.#waiting.length > 0) this.#sendSoon();
      return { instance, records };
    } finally {
      this.#underWay -= 1;
    }
  }

  /** A record that cannot be read is the trouble of the one who asked for it. */
  #tell({ serial, resolve, reject }: Asked, octets: Buffer | undefined): void {
    if (octets === undefined) return resolve({ kind: 'unknown' });
    try {
      const { certificate, answer } = decodeRecord(this.#ledger.issuer, serial, octets);
      if (answer === undefined) resolve({ kind: 'pending', certificate });
      else resolve({ kind: 'published', certificate, response: answer });
    } catch (error) {
      reject(error);
    }
  }
}
