/**
 * What the ledger says about an issuer's CRLs as a whole: how many unexpired certificates each scope has, and until when, and whether
 * any of them names no OCSP responder. Counted by the week of notAfter, so that time passes without counting anew; ten thousand
 * shards take a few megabytes.
 */
import { COMPLETE, type Certificate } from '../certificate.ts';
import { DAY, type EpochMs } from '../time.ts';

const WEEK = 7 * DAY;

export class Census {
  readonly #scopes = new Map<string, ScopeCensus>();
  /** Certificates on the complete CRL alone: those that name it. */
  readonly #alone = new ScopeCensus();
  readonly #revoked = new ScopeCensus();
  #withoutOcspUntil = -Infinity;

  /** A certificate that was not counted before. */
  count(certificate: Certificate): void {
    this.note(certificate);
    const { crlShard, serial, notAfter, revocation } = certificate;
    if (revocation !== undefined) this.countRevoked(certificate);
    for (const scope of this.#of(crlShard)) scope.count(notAfter, serial.length / 2);
  }

  /** What is new of a certificate that may have been counted: again changes nothing. */
  note(certificate: Certificate): void {
    const { crlShard, notAfter, withoutOcsp, revocation, recordedAt } = certificate;
    const until = notAfter ?? Infinity;
    if (withoutOcsp) this.#withoutOcspUntil = Math.max(this.#withoutOcspUntil, until);
    for (const scope of this.#of(crlShard)) scope.note(until, revocation === undefined ? Infinity : recordedAt);
  }

  /** A certificate that was counted, and was not revoked then. */
  countRevoked({ notAfter }: Certificate): void {
    this.#revoked.count(notAfter, 0);
  }

  /** All certificates that have not expired, to the week, and those of them that are revoked. */
  unexpired(nowMs: EpochMs): { readonly all: number; readonly revoked: number } {
    return { all: this.of(COMPLETE).unexpired(nowMs), revoked: this.#revoked.unexpired(nowMs) };
  }

  /** Names of the scopes that any certificate is in, COMPLETE included. */
  get shards(): readonly string[] {
    return [...this.#scopes.keys()];
  }

  of(shard: string): ScopeFigures {
    return this.#scopes.get(shard) ?? NOTHING;
  }

  get alone(): ScopeFigures {
    return this.#alone;
  }

  /** Whether an unexpired certificate names the CRL of the shard; undefined: the complete one. */
  isNamed(crlShard: string | undefined, nowMs: EpochMs): boolean {
    return (crlShard === undefined ? this.#alone : this.of(crlShard)).until >= nowMs;
  }

  /** B-13, T-42: is an unexpired certificate known whose revocation nobody can learn but from a CRL? */
  withoutOcsp(nowMs: EpochMs): boolean {
    return this.#withoutOcspUntil >= nowMs;
  }

  /** Infinity for a certificate whose end is not known; undefined when there was none. */
  get withoutOcspUntil(): EpochMs | undefined {
    return this.#withoutOcspUntil === -Infinity ? undefined : this.#withoutOcspUntil;
  }

  #of(crlShard: string | undefined): readonly ScopeCensus[] {
    const complete = this.#scope(COMPLETE);
    return [complete, crlShard === undefined ? this.#alone : this.#scope(crlShard)];
  }

  #scope(shard: string): ScopeCensus {
    let scope = this.#scopes.get(shard);
    if (scope === undefined) this.#scopes.set(shard, (scope = new ScopeCensus()));
    return scope;
  }
}

export interface ScopeFigures {
  /** Certificates that have not expired, to the week; one whose end is not known never has. */
  unexpired(nowMs: EpochMs): number;
  /** Of the serial numbers, on the average. */
  readonly serialOctets: number;
  /** The last notAfter; Infinity when one is not known, -Infinity when there is no certificate. */
  readonly until: EpochMs;
  /** When the first of its revocations was recorded; Infinity when there is none. */
  readonly firstRevokedAt: EpochMs;
}

class ScopeCensus implements ScopeFigures {
  /** By week of notAfter. */
  readonly #weeks = new Map<number, number>();
  #undated = 0;
  #counted = 0;
  #octets = 0;
  until: EpochMs = -Infinity;
  firstRevokedAt: EpochMs = Infinity;

  count(notAfter: EpochMs | undefined, serialOctets: number): void {
    this.#counted += 1;
    this.#octets += serialOctets;
    if (notAfter === undefined) this.#undated += 1;
    else {
      const week = Math.floor(notAfter / WEEK);
      this.#weeks.set(week, (this.#weeks.get(week) ?? 0) + 1);
    }
  }

  note(until: EpochMs, revokedAt: EpochMs): void {
    this.until = Math.max(this.until, until);
    this.firstRevokedAt = Math.min(this.firstRevokedAt, revokedAt);
  }

  get serialOctets(): number {
    return this.#counted === 0 ? USUAL_SERIAL_OCTETS : this.#octets / this.#counted;
  }

  unexpired(nowMs: EpochMs): number {
    const now = Math.floor(nowMs / WEEK);
    let sum = this.#undated;
    for (const [week, count] of this.#weeks) if (week >= now) sum += count;
    return sum;
  }
}

/** 64 random bits at least (BR 7.1); most CAs take 128. */
const USUAL_SERIAL_OCTETS = 16;
const NOTHING: ScopeFigures = new ScopeCensus();
