/**
 * Everything that a compliance report reads out of audit logs, collected record by record. What is kept of single certificates is
 * collected in as many readings of the log as bounded memory asks for: the first reading counts them, each of the others is for a part.
 */
import type { JournalRecord } from '../journal-record.ts';
import type { EpochMs } from '../time.ts';
import { AnswerHistory, type AnswerFigures, type AnswerLimits } from './answer-history.ts';
import { CrlHistory, crlOf, type CrlFigures } from './crl-history.ts';
import { LogHistory, type LogFigures } from './log-history.ts';
import { RevocationHistory, type RevocationFigures } from './revocation-history.ts';
import { partOf } from './serial-table.ts';
import { answersOf, IssuedHistory, SignatureHistory, type IssuedFigures, type SignatureFigures } from './signature-history.ts'; // prettier-ignore

/** Certificates per reading: about 100 octets each. */
export const PART_CERTIFICATES = 2_000_000;

export interface Subject {
  /** The issuer's id: its records have it. */
  readonly issuer: string;
  readonly from: EpochMs;
  /** First instant after the period. */
  readonly to: EpochMs;
  /** Of the logs, in the order in which records are handed over. */
  readonly journals: readonly string[];
  readonly limits: AnswerLimits;
  /** See RevocationHistory. */
  readonly oneCount: boolean;
}

export interface Evidence {
  readonly from: EpochMs;
  /** End of the period, or of the evidence where a log is broken before. */
  readonly to: EpochMs;
  readonly answers: AnswerFigures;
  readonly revocations: RevocationFigures;
  readonly crls: CrlFigures;
  readonly log: LogFigures;
  readonly signatures: SignatureFigures;
  readonly issued: IssuedFigures;
}

/** The first reading. */
export class WholeReading {
  readonly #subject: Subject;
  readonly #log: LogHistory;
  readonly #crls: CrlHistory;
  readonly #signatures: SignatureHistory;
  readonly #issued: IssuedHistory;
  /** At least as many as there are. */
  certificates = 0;

  constructor(subject: Subject) {
    this.#subject = subject;
    this.#log = new LogHistory(subject.issuer, subject.journals, subject.from);
    this.#crls = new CrlHistory(subject.from);
    this.#signatures = new SignatureHistory(subject.from);
    this.#issued = new IssuedHistory(subject.from);
  }

  /** Records up to the end of the period, of all journals in the order of their instants. */
  add(journal: number, record: JournalRecord): void {
    this.#log.add(journal, record);
    if (record.issuer !== this.#subject.issuer) return;
    switch (record.type) {
      case 'certificates.imported':
      case 'certificates.issued':
        for (const { revision } of record.changes ?? []) if (revision === 1) this.certificates += 1;
        return this.#issued.add(record);
      case 'ocsp.signed':
      case 'ocsp.imported':
      case 'ocsp.refused':
        return this.#signatures.add(record);
      case 'crl.published': {
        const { crl, bytes } = crlOf(record);
        return this.#crls.published(crl, bytes);
      }
      case 'crl.refused':
        return this.#crls.refused(record);
      default:
    }
  }

  broken(journal: number, problem: string): void {
    this.#log.broken(journal, problem);
  }

  /** @param to not later than what the logs cover. */
  finish(to: EpochMs): Pick<Evidence, 'log' | 'crls' | 'signatures' | 'issued'> {
    return {
      log: this.#log.finish(to),
      crls: this.#crls.finish(to),
      signatures: this.#signatures.finish(),
      issued: this.#issued.finish(),
    };
  }
}

/** The readings for single certificates. */
export class CertificateReadings {
  readonly #subject: Subject;
  readonly #parts: number;
  readonly #answers: AnswerHistory;
  readonly #revocations: RevocationHistory;
  #part = 0;

  /** @param to not later than what the logs cover. */
  constructor(subject: Subject, certificates: number, to: EpochMs, partCertificates = PART_CERTIFICATES) {
    this.#subject = subject;
    this.#parts = Math.max(1, Math.ceil(certificates / partCertificates));
    this.#answers = new AnswerHistory(subject.from, to, subject.limits);
    this.#revocations = new RevocationHistory(subject.from, to, subject.oneCount);
  }

  get parts(): number {
    return this.#parts;
  }

  add(record: JournalRecord): void {
    if (record.type === 'mass.planned') return this.#revocations.ordered(record);
    if (record.issuer !== this.#subject.issuer) return;
    const admits = (serial: string): boolean => partOf(serial, this.#parts) === this.#part;
    const at = Date.parse(record.at);
    switch (record.type) {
      case 'certificates.imported':
      case 'certificates.issued':
      case 'certificates.revoked':
        for (const { serial, notAfter } of record.changes ?? [])
          if (admits(serial))
            this.#answers.recorded(
              serial,
              notAfter === undefined ? undefined : Date.parse(notAfter),
              record.type === 'certificates.imported',
              at,
            );
        if (record.type === 'certificates.revoked') this.#revocations.revoked(record, admits);
        return;
      case 'ocsp.signed':
      case 'ocsp.imported':
        for (const [serial, revision, , thisUpdate, nextUpdate] of answersOf(record.detail)) {
          if (!admits(serial)) continue;
          this.#answers.signed(serial, Date.parse(thisUpdate), Date.parse(nextUpdate), at);
          this.#revocations.answered(serial, revision, at);
        }
        return;
      case 'crl.published':
        return this.#revocations.listed(crlOf(record).crl);
      case 'revocation.observed':
        return this.#revocations.observed(record);
      default:
    }
  }

  /** Call it after each reading. */
  next(): void {
    this.#answers.finish();
    this.#revocations.finish();
    this.#part += 1;
  }

  finish(): Pick<Evidence, 'answers' | 'revocations'> {
    return { answers: this.#answers.figures, revocations: this.#revocations.figures };
  }
}
