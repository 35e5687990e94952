/**
 * Every CRL that this process has published or followed, kept for good (CT-5.5.1-3). Both stores put CRLs into one. A CRL may be
 * larger than memory: it is written and read in pieces.
 */
import type { CrlRecord, CrlScope, IssuerTag } from '../core/certificate.ts';

export interface CrlArchive {
  /** Begins a CRL that is being built. Nothing finds it before `keep`; what a crash leaves of it is removed at the next start. */
  draft(scope: CrlScope): Promise<CrlDraft>;
  /**
   * The draft is that CRL from now on. Durable when it resolves. Again with the same octets changes nothing.
   * @throws Problem `conflict` when another CRL is archived under this number; `corrupt` when the draft is not what the record says.
   */
  keep(record: CrlRecord, draft: CrlDraft): Promise<void>;
  /** draft and keep, of octets that are in memory. */
  write(record: CrlRecord, der: Buffer): Promise<void>;
  /** @throws Problem `corrupt` when it does not hold what was published. */
  read(record: CrlRecord): Promise<Buffer>;
  /** In pieces, without a look at the digest. @throws Problem `corrupt` when it is not there, or of another length. */
  open(record: CrlRecord): Promise<CrlFile>;
  /** The one with the greatest number. */
  newest(scope: CrlScope): Promise<CrlRecord | undefined>;
  /** Scopes of which there is a CRL. */
  scopes(issuer: IssuerTag): Promise<readonly CrlScope[]>;
  /** Records in ascending order of number. */
  list(scope: CrlScope): AsyncIterable<CrlRecord>;
}

/** The octets of a CRL, wherever they are. */
export interface CrlSource {
  readonly octets: number;
  /**
   * Exactly `length` octets from `at` on.
   * @param into memory of as many octets that may be used for them: the answer lies there, or elsewhere.
   * @throws Problem `corrupt` when there are not so many.
   */
  read(at: number, length: number, into?: Buffer): Promise<Buffer>;
}

export interface CrlFile extends CrlSource {
  /** Hex SHA-256 of all octets as they lie there, made once and beside what the caller does meanwhile. @throws Problem `corrupt` */
  digest(): Promise<string>;
  close(): Promise<void>;
}

export interface CrlDraft extends CrlSource {
  /**
   * Appends, or with `at` replaces octets that were written before. One at a time.
   * @throws Problem `unavailable` when the disk is full or gone.
   */
  write(octets: Uint8Array, at?: number): Promise<void>;
  /** Hex SHA-256 of all octets as they lie there; as that of a CrlFile. Asked for when everything is written. */
  digest(): Promise<string>;
  /** Removes what was not kept. Never rejects. */
  discard(): Promise<void>;
}
