/** What a reconciliation found: plain data, for people, for the audit log and over the private interface. */
import type { JournalEntry } from '../journal-record.ts';

/** A place where ledger, OCSP and CRL do not say the same. */
export interface Difference {
  readonly issuer: string;
  /** `archive`: of a CRL as a whole. */
  readonly channel: 'ocsp' | 'crl' | 'archive';
  /** Shard of the CRL; `''` is the complete one. */
  readonly shard?: string;
  readonly serial?: string;
  readonly message: string;
  readonly rule: string;
}

export interface ReconciledCrl {
  readonly shard: string;
  readonly number: string;
  readonly thisUpdate: string;
  readonly nextUpdate: string;
  readonly entries: number;
  readonly sha256: string;
}

export interface ReconciledIssuer {
  readonly id: string;
  /** SHA-256 of each CA certificate, upper case without colons (SR-8.6-a, SJ-8.6-a). */
  readonly fingerprints: readonly string[];
  readonly certificates: number;
  /** Those that OCSP answers for: not expired, or within the profile's grace. */
  readonly answerable: number;
  readonly revoked: number;
  /** Of an issuer without a responder certificate: no answer is signed ahead, there is only the CRL. */
  readonly unanswered: number;
  /** Not expired, and nothing that may be served is published of it (CT-4.10.2-b); `unanswered` are not among them. */
  readonly withoutAnswer: number;
  readonly crls: readonly ReconciledCrl[];
}

export interface ReconcileReport {
  readonly startedAt: string;
  /** When the last thing was compared. */
  readonly at: string;
  readonly issuers: readonly ReconciledIssuer[];
  /** How many; `listed` has the first of them. */
  readonly differences: number;
  readonly listed: readonly Difference[];
  /** On its way and in time: per channel, with the age of the oldest. */
  readonly pending: { readonly ocsp: Pending; readonly crl: Pending };
  /** Of the journal, when all was compared. Absent in a process that has none. */
  readonly head?: { readonly seq: number; readonly hash: string };
}

export interface Pending {
  readonly count: number;
  readonly oldestMs: number;
}

export interface ReconcileProgress {
  readonly certificates: number;
  readonly entries: number;
  readonly differences: number;
  /** Of all certificates, as counted by the run before; absent in the first run. */
  readonly expected?: number;
}

/** The evidence (SR-2.2-a, T-59). */
export function reconciledEntry(report: ReconcileReport, actor: string): JournalEntry {
  return { type: 'status.reconciled', actor, description: summary(report), detail: { ...report } };
}

/** `difference 0 at 2026-11-21T12:00:00Z: 1,000 certificates, 12 revoked, 3 CRLs` */
export function summary({ differences, at, issuers, pending }: ReconcileReport): string {
  const sum = (of: (issuer: ReconciledIssuer) => number): string =>
    issuers.reduce((total, issuer) => total + of(issuer), 0).toLocaleString('en');
  const waiting = pending.ocsp.count + pending.crl.count;
  const crls = sum((issuer) => issuer.crls.length);
  const found = `difference ${differences} at ${at}: ${sum(({ certificates }) => certificates)} certificates, ${sum(({ revoked }) => revoked)} revoked, ${crls === '1' ? '1 CRL' : `${crls} CRLs`}`;
  return waiting === 0 ? found : `${found}; pending ${pending.ocsp.count} (OCSP) and ${pending.crl.count} (CRL)`;
}
