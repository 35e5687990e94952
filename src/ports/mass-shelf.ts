/**
 * Plans of mass revocations and what became of them, kept by the process that records events. The store holds what is revoked;
 * this holds what was going to be, so that a run goes on where a crash ended it.
 */
import type { IssuerTag } from '../core/certificate.ts';
import type { DrillResult } from '../core/mass/drill.ts';
import type { KnownRate, MassPlan } from '../core/mass/plan.ts';
import type { MassRun } from '../core/mass/run.ts';
import type { Serial } from '../core/serial.ts';

export interface ListedCertificate {
  readonly issuer: IssuerTag;
  readonly serial: Serial;
}

export interface MassShelf {
  /** Begins the list of a plan. What a crash leaves of it is removed at the next start. */
  draftList(): Promise<ListDraft>;
  /** The plan and its list are there from now on. Durable when it resolves. */
  keep(plan: MassPlan, list: ListDraft): Promise<void>;
  /** The plan, its list and its drill are gone from now on. */
  discard(id: string): Promise<void>;
  /** Newest first. */
  plans(): Promise<readonly MassPlan[]>;
  plan(id: string): Promise<MassPlan | undefined>;
  /**
   * The list in pages of at most `size`, from line `from` (0 is the first) on.
   * @throws Problem `corrupt` for a line that is none.
   */
  list(plan: MassPlan, from: number, size: number): AsyncIterable<readonly ListedCertificate[]>;
  /** @throws Problem `corrupt` when the list is not the one that the plan was made with. */
  verifyList(plan: MassPlan): Promise<void>;
  run(id: string): Promise<MassRun | undefined>;
  /** @param durable false: a crash may bring back an earlier one, which only costs looking at its lines once more. */
  saveRun(run: MassRun, durable: boolean): Promise<void>;
  /** The newest drill of the plan. */
  drill(id: string): Promise<DrillResult | undefined>;
  saveDrill(drill: DrillResult): Promise<void>;
  /** How fast was signed when it was last measured. */
  rate(): Promise<KnownRate | undefined>;
  saveRate(rate: KnownRate): Promise<void>;
  /** Appends serials that are handed in, to a list of their own; without an id to a new one. @throws Problem `not-found` */
  upload(id: string | undefined, serials: readonly Serial[]): Promise<string>;
  /** What was handed in, in pages. @throws Problem `not-found` */
  uploaded(id: string, size: number): AsyncIterable<readonly Serial[]>;
}

export interface ListDraft {
  /** One at a time. @throws Problem `unavailable` when the disk is full or gone. */
  write(page: readonly ListedCertificate[]): Promise<void>;
  /** Ends it. SHA-256 of the file, hex, and its length. */
  seal(): Promise<{ readonly sha256: string; readonly octets: number }>;
  /** Removes what was not kept. Never rejects. */
  discard(): Promise<void>;
}
