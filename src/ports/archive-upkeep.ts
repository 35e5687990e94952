/** What keeping an archive needs beyond putting CRLs into it (crl-archive.ts): to look after it, and to mend it. */
import type { CrlRecord, CrlScope, IssuerTag } from '../core/certificate.ts';
import type { EpochMs } from '../core/time.ts';
import type { CrlArchive } from './crl-archive.ts';

export interface KeptArchive extends CrlArchive {
  /** For people: where it is. */
  readonly describe: string;
  /** Every issuer of which there is anything, those that are no longer configured included (SR-hist-6.03). */
  issuers(): Promise<readonly IssuerTag[]>;
  /** Of every record, ascending: those that cannot be read included. */
  numbers(scope: CrlScope): Promise<readonly bigint[]>;
  /** @throws Problem `corrupt` when it is not there, or cannot be read. */
  record(scope: CrlScope, number: bigint): Promise<CrlRecord>;
  /** A record without its octets, which are there or dropped. What is there stays. */
  keepRecord(record: CrlRecord): Promise<void>;
  /** Records in descending order of number, read one by one. */
  recent(scope: CrlScope): AsyncIterable<CrlRecord>;
  /** Why the octets of the CRL are gone; undefined when nobody has dropped them. */
  dropped(record: CrlRecord): Promise<DroppedCrl | undefined>;
  /** Removes the octets and keeps the record, which holds their digest: the sequence stays provable. Again changes nothing. */
  drop(record: CrlRecord, why: DroppedCrl): Promise<void>;
  /** Takes a damaged file out of the way, under another name; one that is not there is out of the way. */
  setAside(record: NumberedCrl, what: 'crl' | 'record', at: EpochMs): Promise<void>;
  /** Certificates of the issuer: of the CA itself, and of responders (CT-5.5.1-1, CT-6.3.1). */
  certificates(issuer: IssuerTag): Promise<readonly ArchivedCertificate[]>;
  /** Write-once, durable when it resolves. Again changes nothing. */
  keepCertificate(issuer: IssuerTag, der: Buffer): Promise<void>;
  setCertificateAside(issuer: IssuerTag, sha256: string, at: EpochMs): Promise<void>;
  /** Keeps what a verification has found. */
  keepReport(report: ArchiveReport): Promise<void>;
  newestReport(): Promise<ArchiveReport | undefined>;
}

export type NumberedCrl = Pick<CrlRecord, 'issuer' | 'shard' | 'number'>;

export interface ArchivedCertificate {
  /** Hex SHA-256 of the DER, as its name says; what is in the file may have been altered. */
  readonly sha256: string;
  readonly der: Buffer;
}

export interface DroppedCrl {
  readonly at: EpochMs;
  /** Who had it done. */
  readonly actor: string;
  /** The instant from which on the retention permitted it, and the rule. */
  readonly since: EpochMs;
  readonly rule: string;
}

/** Dated (SR-5.5.7). */
export interface ArchiveReport {
  readonly startedAt: EpochMs;
  readonly finishedAt: EpochMs;
  readonly actor: string;
  readonly scopes: number;
  readonly crls: number;
  readonly certificates: number;
  /** Octets that were read and hashed. */
  readonly octets: number;
  /** CRLs whose octets retention has dropped: their records were checked. */
  readonly dropped: number;
  /** Objects of the second place that were read and hashed; undefined where there is none. */
  readonly copies: number | undefined;
  /** Brought back from the other place. */
  readonly repaired: number;
  readonly problems: readonly ArchiveProblem[];
}

export interface ArchiveProblem {
  readonly where: 'archive' | 'copy';
  /** File or object. */
  readonly name: string;
  readonly message: string;
  readonly rule: string;
  readonly repaired: boolean;
}
