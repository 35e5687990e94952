/**
 * Large bodies on their way, those of both listeners: CRLs of megabytes beside answers of a few hundred octets, in one event loop.
 *
 * - Turns: in each turn of the event loop TURN_OCTETS are given to the kernel, by those who have waited longest, and then the
 *   loop goes round: so an OCSP question waits for one turn, however many downloads there are and however fast their readers.
 * - Places: at most `places` at once. When all are taken, whoever has taken nothing for longest, and for PATIENCE_MS, makes room;
 *   where nobody has dawdled the newcomer is told to come back (503).
 * - Memory: every reader of a CRL shares its one body. What a successor has replaced is kept while somebody reads it, up to
 *   `heldOctets` of all CRLs together; beyond that the readers of the oldest are cut off (of the last one never), and begin
 *   again: with If-Range they get the new CRL, whole.
 */
import type { DownloadDesk, Transfer } from '../../core/reply.ts';
import type { EpochMs } from '../../core/time.ts';
import type { Clock } from '../../ports/clock.ts';

export interface DownloadBounds {
  readonly places: number;
  readonly heldOctets: number;
}

/**
 * Of one process. What bounds the places is not this process, which spends some kilobytes on each, but the kernel: for a reader that
 * stands still it keeps up to tcp_wmem[2], 4 MB, and when all of them together come near tcp_mem every small answer waits too
 * (500 readers on a machine of 24 GB: ten times as long; bench/README.md).
 */
export const DOWNLOAD_BOUNDS: DownloadBounds = { places: 256, heldOctets: 512 << 20 };

export class Downloads implements DownloadDesk {
  readonly #clock: Pick<Clock, 'now'>;
  readonly #bounds: DownloadBounds;
  readonly #nextTurn: (run: () => void) => void;
  /** Who has been given something longest ago, first. */
  readonly #transfers = new Set<OneTransfer>();
  readonly #readers = new Map<Buffer, Set<OneTransfer>>();
  /** Bodies with readers that have been replaced, oldest first. */
  readonly #superseded = new Set<Buffer>();
  #supersededOctets = 0;
  #waiting: { readonly transfer: OneTransfer; readonly go: (octets: number) => void }[] = [];
  #scheduled = false;

  /** @param nextTurn calls back in the next turn of the event loop. */
  constructor(clock: Pick<Clock, 'now'>, nextTurn: (run: () => void) => void, bounds = DOWNLOAD_BOUNDS) {
    this.#clock = clock;
    this.#bounds = bounds;
    this.#nextTurn = nextTurn;
  }

  get count(): number {
    return this.#transfers.size;
  }

  /** Octets of CRLs that are kept only because somebody reads them. */
  get heldOctets(): number {
    return this.#supersededOctets;
  }

  /** Is there a place for one more, if need be one that somebody else does not use? */
  hasRoom(): boolean {
    if (this.#transfers.size < this.#bounds.places) return true;
    const [idlest] = this.#transfers;
    if (idlest === undefined || this.#clock.now() - idlest.at < PATIENCE_MS) return false;
    this.#cut(idlest);
    return true;
  }

  begin(whole: Buffer, cut: () => void): Transfer {
    const transfer = new OneTransfer(this.#clock.now(), cut, {
      turn: (go) => this.#queue(transfer, go),
      end: () => this.#end(transfer, whole),
    });
    this.#transfers.add(transfer);
    const readers = this.#readers.get(whole) ?? new Set();
    this.#readers.set(whole, readers.add(transfer));
    return transfer;
  }

  /** Nobody is given this body any more. */
  supersede(whole: Buffer): void {
    if (!this.#readers.has(whole) || this.#superseded.has(whole)) return;
    this.#superseded.add(whole);
    this.#supersededOctets += whole.length;
    for (const oldest of this.#superseded) {
      if (this.#supersededOctets <= this.#bounds.heldOctets || this.#superseded.size === 1) return;
      for (const transfer of [...(this.#readers.get(oldest) ?? [])]) this.#cut(transfer);
    }
  }

  #queue(transfer: OneTransfer, go: (octets: number) => void): void {
    this.#waiting.push({ transfer, go });
    if (this.#scheduled) return;
    this.#scheduled = true;
    this.#nextTurn(() => this.#take());
  }

  #take(): void {
    this.#scheduled = false;
    const turn = this.#waiting.splice(0, TURN_OCTETS / PIECE_OCTETS);
    for (const { transfer, go } of turn) {
      if (transfer.ended) continue;
      transfer.at = this.#clock.now();
      this.#transfers.delete(transfer);
      this.#transfers.add(transfer);
      go(PIECE_OCTETS);
    }
    if (this.#waiting.length === 0 || this.#scheduled) return;
    this.#scheduled = true;
    this.#nextTurn(() => this.#take());
  }

  /** The front's end of the connection tells `end`; told here it is at once, whenever the front gets to it. */
  #cut(transfer: OneTransfer): void {
    transfer.end();
    transfer.cut();
  }

  #end(transfer: OneTransfer, whole: Buffer): void {
    this.#transfers.delete(transfer);
    const readers = this.#readers.get(whole);
    readers?.delete(transfer);
    if (readers?.size !== 0) return;
    this.#readers.delete(whole);
    if (this.#superseded.delete(whole)) this.#supersededOctets -= whole.length;
  }
}

class OneTransfer implements Transfer {
  /** When it was given something last. */
  at: EpochMs;
  ended = false;
  readonly cut: () => void;
  readonly #desk: Transfer;

  constructor(at: EpochMs, cut: () => void, desk: Transfer) {
    this.at = at;
    this.cut = cut;
    this.#desk = desk;
  }

  turn(go: (octets: number) => void): void {
    if (!this.ended) this.#desk.turn(go);
  }

  end(): void {
    if (this.ended) return;
    this.ended = true;
    this.#desk.end();
  }
}

/** What the kernel is given of one body at a time: copied in about a tenth of a millisecond. */
const PIECE_OCTETS = 131_072;
/** What it is given in one turn of the event loop (measured: bench/README.md). */
const TURN_OCTETS = 4 * PIECE_OCTETS;
/** Who has taken nothing for so long makes room. */
const PATIENCE_MS = 20_000;
