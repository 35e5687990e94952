/** Every CRL that this process has published or followed, kept for good (CT-5.5.1-3). Both stores put CRLs into one. */
import type { CrlRecord, IssuerTag } from '../core/certificate.ts';

export interface CrlArchive {
  /**
   * Durable when it resolves. Again with the same bytes changes nothing.
   * @throws Problem `conflict` when another CRL is archived under this number.
   */
  write(record: CrlRecord, der: Buffer): Promise<void>;
  /** @throws Problem `corrupt` when it does not hold what was published. */
  read(record: CrlRecord): Promise<Buffer>;
  /** The one with the greatest number. */
  newest(issuer: IssuerTag): Promise<CrlRecord | undefined>;
}
