/**
 * A second place for everything archived, away from this machine (SR-5.5.4). An object's name holds the digest of its octets
 * (core/archive/copy-name.ts), so that no name ever stands for two contents.
 */
import type { CrlSource } from './crl-archive.ts';

export interface ArchiveCopies {
  /** For people: `s3://bucket/prefix at https://…`. */
  readonly describe: string;
  /** The size of an object; undefined when there is none. @throws Problem `unavailable` */
  size(name: string): Promise<number | undefined>;
  /**
   * Durable when it resolves. Never replaces what is there: then it changes nothing.
   * @param sha256 hex digest of the octets: the other side refuses what does not fit.
   * @throws Problem `unavailable` in one line that says what to do; `corrupt` when the source is not as long as it says.
   */
  put(name: string, source: CrlSource, sha256: string): Promise<void>;
  /** The octets in pieces. @throws Problem `not-found`, `unavailable` */
  get(name: string): AsyncIterable<Uint8Array>;
  /** Names that begin with `prefix`, in any order. @throws Problem `unavailable` */
  list(prefix: string): AsyncIterable<CopiedObject>;
  /** Gone when it resolves; refused while an object lock holds it. @throws Problem `refused`, `unavailable` */
  remove(name: string): Promise<void>;
  close(): void;
}

export interface CopiedObject {
  readonly name: string;
  readonly octets: number;
}
