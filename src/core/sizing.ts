/**
 * How much of everything a CA of a given size needs, from what was measured (bench/README.md names command and machine of each figure).
 * Nothing was run above MEASURED certificates: beyond it these are straight lines, and the guide says where they may bend.
 */
import { DAY, SECOND } from './time.ts';

export type SizingKey = 'P-256' | 'RSA-2048';

export interface Population {
  /** Unexpired. */
  readonly certificates: number;
  /** CertID hashes that are answered for: SHA-1 and SHA-256 are 2. */
  readonly hashes: number;
  readonly key: SizingKey;
  /** From one signature of an answer to the next (`ocsp.refreshAfter` of the profile). */
  readonly refreshMs: number;
  /** Of a certificate. */
  readonly lifetimeMs: number;
  /** Of the unexpired, in ordinary times. */
  readonly revokedShare: number;
}

/** What one CPU or one certificate takes. */
export const MEASURED = {
  /** The most that a running service, with a Redis and with its own store, was measured with. */
  certificates: { redis: 1_000_000, embedded: 10_000_000 },
  /**
   * CPU of signing, verifying, linting and publishing one certificate's answers in both hashes (ms), P-256 keys in files. RSA: that, and
   * what two signatures cost more. With an HSM on the network, less.
   */
  signingCpuMs: { 'P-256': 0.367, 'RSA-2048': 1.3 },
  /** `used_memory` of the Redis for a certificate and its answers in both hashes, change feed included. */
  redisOctets: { 'P-256': 224, 'RSA-2048': 662 },
  /** The same in LevelDB. RSA: that, and what the answers have more in the Redis. */
  embeddedOctets: { 'P-256': 262, 'RSA-2048': 700 },
  /** Of the journal: a certificate that is issued, and its signatures in both hashes. */
  issuedOctets: 109,
  signedOctets: 330,
  /** An entry of a CRL with a reason and a serial of 16 octets. */
  crlEntryOctets: 42,
  /** Certificates a second into the ledger, through a running service: how fast an empty Redis is filled from the journals. */
  replayPerSecond: 10_900,
  /** Of the filter of issued serials, in every process that answers: for each certificate, and where it stops growing. */
  filterOctets: 3.2,
  filterMostOctets: 67_108_864,
  /** Of a process that answers, and what limits.responseTableBytes adds by default. */
  processOctets: 75_000_000,
  tableOctets: 268_435_456,
  /** Requests for each CPU-second: one per connection, kept connections, and about what is not in memory. */
  answersPerCpu: { perConnection: 56_400, kept: 122_600, fromStore: 47_400 },
  /** An answer with its head, and what TCP adds to a connection of its own. */
  answerOctets: 1_300,
  connectionOctets: 500,
} as const;

/** Twice the usual: what has piled up in an outage is worked off in as long as it lasted. */
const CATCH_UP = 2;
/** The peak leaves two CPUs of three: for the moment when one of three machines is gone, and for what is not in memory. */
const ANSWER_SHARE = 1 / 3;
/** Apple, Mozilla: a shard that is larger is not downloaded everywhere. */
const SHARD_OCTETS = 10_000_000;
/** Rewriting the append-only file copies what changes meanwhile; and a reserve. */
const REDIS_RESERVE = 2;
/** BR 5.4.3: two years at least. */
export const LOG_YEARS = 2;

export interface Sizing {
  readonly signaturesPerSecond: number;
  /** What the HSMs must be able to do. */
  readonly signaturesToHave: number;
  /** If every certificate were revoked: what it takes to have all answers within 24 hours (BR 4.9.1.1). */
  readonly signaturesForMass: number;
  readonly signerCpus: number;
  readonly redisOctets: number;
  readonly redisMachineOctets: number;
  readonly embeddedOctets: number;
  readonly journalOctetsPerDay: number;
  readonly journalOctets: number;
  readonly eventsPerSecond: number;
  readonly crlOctets: number;
  readonly crlOctetsIfAllRevoked: number;
  /** So that each stays below 10 MB even then. */
  readonly shards: number;
  readonly replayMs: number;
  /** Of each process that answers. */
  readonly processOctets: number;
}

export function sizing(of: Population): Sizing {
  const { certificates, hashes, key, refreshMs, lifetimeMs, revokedShare } = of;
  const part = hashes / 2;
  const refreshesPerSecond = certificates / (refreshMs / SECOND);
  const eventsPerSecond = certificates / (lifetimeMs / SECOND);
  const signaturesPerSecond = (refreshesPerSecond + eventsPerSecond) * hashes;
  const signaturesForMass = (certificates * hashes) / (DAY / SECOND);
  const signaturesToHave = Math.max(signaturesPerSecond * CATCH_UP, signaturesPerSecond + signaturesForMass);
  const redisOctets = certificates * MEASURED.redisOctets[key] * part;
  const perDay = DAY / SECOND;
  const journalOctetsPerDay =
    (refreshesPerSecond + eventsPerSecond) * perDay * MEASURED.signedOctets * part +
    eventsPerSecond * perDay * MEASURED.issuedOctets;
  const crlOctetsIfAllRevoked = certificates * MEASURED.crlEntryOctets;
  return {
    signaturesPerSecond,
    signaturesToHave,
    signaturesForMass,
    signerCpus: (signaturesToHave / hashes) * (MEASURED.signingCpuMs[key] / SECOND) * part,
    redisOctets,
    redisMachineOctets: redisOctets * REDIS_RESERVE,
    embeddedOctets: certificates * MEASURED.embeddedOctets[key] * part,
    journalOctetsPerDay,
    journalOctets: journalOctetsPerDay * 365 * LOG_YEARS,
    eventsPerSecond,
    crlOctets: crlOctetsIfAllRevoked * revokedShare,
    crlOctetsIfAllRevoked,
    shards: Math.max(1, Math.ceil(crlOctetsIfAllRevoked / SHARD_OCTETS)),
    replayMs: (certificates / MEASURED.replayPerSecond) * SECOND,
    processOctets:
      MEASURED.processOctets +
      MEASURED.tableOctets +
      Math.min(certificates * MEASURED.filterOctets, MEASURED.filterMostOctets),
  };
}

export interface ServingSize {
  readonly cpus: number;
  /** At least three machines, so that one may be away. */
  readonly machines: number;
  readonly bitsPerSecond: number;
}

/** @param answersPerSecond at the peak, each on a connection of its own. @param cpusEach of a machine. */
export function servingSize(answersPerSecond: number, cpusEach: number): ServingSize {
  const cpus = answersPerSecond / (MEASURED.answersPerCpu.perConnection * ANSWER_SHARE);
  return {
    cpus,
    machines: Math.max(3, Math.ceil(cpus / cpusEach)),
    bitsPerSecond: answersPerSecond * (MEASURED.answerOctets + MEASURED.connectionOctets) * 8,
  };
}
