/** Where the changes of an issuer's CRL URLs are kept, for the people who tell the CCADB (core/crl/ccadb.ts). Only ever grows. */
import type { UrlChange } from '../core/crl/ccadb.ts';

export interface UrlFeed {
  /** All of them, in order. @throws Problem `corrupt` */
  read(issuer: string): Promise<readonly UrlChange[]>;
  /** Durable when it resolves. One caller at a time. @throws Problem `unavailable` when the disk is full or gone. */
  append(issuer: string, changes: readonly UrlChange[]): Promise<void>;
}
