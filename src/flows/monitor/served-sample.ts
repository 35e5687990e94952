/**
 * What is really served about the certificates of a sample: OCSP answers and CRL entries, got as a client gets them, read by the
 * second decoder, linted anew, and held against what the ledger says (CT-8.7, P6).
 */
import { createHash } from 'node:crypto';
import { readCrl, type CrlEntryView } from '../../core/crl/crl-reader.ts';
import { COMPLETE, type CertIdHash } from '../../core/certificate.ts';
import { CA_SHARD } from '../../core/crl/shards.ts';
import { lintCrlView } from '../../core/lint/lint.ts';
import { compareCrl, compareResponse } from '../../core/lint/oracle.ts';
import { encodeGetPath } from '../../core/ocsp/get-path.ts';
import { judgeOcsp, said } from '../../core/probe/ocsp-rules.ts';
import { plainQuestion } from '../../core/probe/question.ts';
import { Problem } from '../../core/problem.ts';
import { reasonName } from '../../core/reason.ts';
import type { Serial } from '../../core/serial.ts';
import { rfc3339, type EpochMs } from '../../core/time.ts';
import type { Clock } from '../../ports/clock.ts';
import type { Wire } from '../../ports/wire.ts';
import { fetchPublic, type PublicAddress } from './fetch-public.ts';
import type { WatchedIssuer } from './revocation-clock.ts';

/** The second decoder makes an object of every entry; a larger CRL is read by the first alone. */
const MOST_COMPARED_OCTETS = 4 << 20;

/** A certificate of the sample, as the ledger has it. */
export interface Sampled {
  readonly serial: Serial;
  readonly crlShard: string | undefined;
  readonly revokedAt: EpochMs | undefined;
  readonly reason: string | undefined;
}

export interface SampleVerdict {
  readonly serial: string;
  readonly ledger: string;
  readonly ocsp: Partial<Record<CertIdHash, { readonly says: string; readonly thisUpdate?: string; readonly nextUpdate?: string; readonly sha256: string }>>; // prettier-ignore
  /** The CRL of its scope; absent when it cannot be got. */
  readonly crl?: {
    readonly number: string;
    readonly thisUpdate: string;
    readonly says: string;
    readonly sha256: string;
  };
  /** `rule: message`; none: it is as it should be. */
  readonly findings: readonly string[];
}

interface ReadCrl {
  readonly number: string;
  readonly thisUpdate: EpochMs;
  readonly sha256: string;
  readonly entries: ReadonlyMap<string, CrlEntryView>;
  readonly findings: readonly string[];
}

export class ServedSample {
  readonly #issuer: WatchedIssuer;
  readonly #wanted: ReadonlySet<string>;
  readonly #wire: Wire;
  readonly #clock: Clock;
  /** By shard, each got once. */
  readonly #crls = new Map<string, ReadCrl | string>();

  /** @param serials of the whole sample: of each CRL only their entries are kept. */
  constructor(issuer: WatchedIssuer, serials: Iterable<string>, wire: Wire, clock: Clock) {
    this.#issuer = issuer;
    this.#wanted = new Set(serials);
    this.#wire = wire;
    this.#clock = clock;
  }

  async check(one: Sampled): Promise<SampleVerdict> {
    const findings: string[] = [];
    const ledger = status(one.revokedAt, one.reason);
    const ocsp: SampleVerdict['ocsp'] = {};
    for (const hash of ['sha1', 'sha256'] as const) {
      const answer = await this.#ask(one.serial, hash, findings);
      if (answer === undefined) continue;
      Object.assign(ocsp, { [hash]: answer });
      if (answer.says !== ledger) findings.push(`T-59: OCSP (${hash}) says ${answer.says}, the ledger ${ledger}`);
    }
    const shard = one.crlShard ?? COMPLETE;
    const crl = await this.#crl(shard);
    if (typeof crl === 'string') return { serial: one.serial, ledger, ocsp, findings: [...findings, `B-14: ${crl}`] };
    const entry = crl.entries.get(one.serial);
    const says = entry === undefined ? 'good' : status(entry.revocationDate, entry.reason);
    if (says !== ledger) findings.push(`T-59: CRL ${crl.number} says ${says}, the ledger ${ledger}`);
    const { number, thisUpdate, sha256 } = crl;
    return {
      serial: one.serial,
      ledger,
      ocsp,
      crl: { number, thisUpdate: rfc3339(thisUpdate), says, sha256 },
      findings: [...findings, ...crl.findings],
    };
  }

  async #ask(serial: Serial, hash: CertIdHash, findings: string[]): Promise<SampleVerdict['ocsp'][CertIdHash]> {
    const { served, ocsp } = this.#issuer;
    if (ocsp === undefined) {
      findings.push('CT-4.9.9-a: nobody can be asked from here');
      return undefined;
    }
    const subject = { hash, issuer: served.issuer.hashes[hash], serial };
    const path = `${ocsp.path.replace(/\/$/, '')}/${encodeGetPath(plainQuestion(subject))}`;
    try {
      const { body } = await fetchPublic(this.#wire, { ...ocsp, path });
      const answer = said(body);
      findings.push(
        ...judgeOcsp('GET', answer, subject, served.issuer, this.#clock.now()).map(line),
        ...(answer.decoded === undefined ? [] : compareResponse(answer.decoded).map((message) => `P6: ${message}`)),
      );
      const single = answer.decoded?.basic?.responses[0];
      const sha256 = digest(body);
      if (single === undefined) return { says: answer.word, sha256 };
      const reason = single.revocationReason === undefined ? undefined : reasonName(single.revocationReason);
      return {
        says: single.certStatus === 'revoked' ? status(single.revocationTime, reason) : single.certStatus,
        thisUpdate: rfc3339(single.thisUpdate),
        ...(single.nextUpdate !== undefined && { nextUpdate: rfc3339(single.nextUpdate) }),
        sha256,
      };
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      findings.push(`BR 4.10.2: ${error.line}`);
      return undefined;
    }
  }

  /** Or why there is none. */
  async #crl(shard: string): Promise<ReadCrl | string> {
    const known = this.#crls.get(shard);
    if (known !== undefined) return known;
    const at = this.#issuer.crl(shard);
    const crl = at === undefined ? 'its CRL has no URL that can be asked from here' : await this.#get(at, shard);
    this.#crls.set(shard, crl);
    return crl;
  }

  async #get(at: PublicAddress, shard: string): Promise<ReadCrl | string> {
    try {
      const { status: code, body } = await fetchPublic(this.#wire, at);
      if (code !== 200) return `HTTP status ${code} for its CRL`;
      const view = readCrl(body);
      const entries = new Map<string, CrlEntryView>();
      for (const entry of view.entries())
        if (entry.serial !== undefined && this.#wanted.has(entry.serial)) entries.set(entry.serial, entry);
      const { issuer, profile } = this.#issuer.served;
      const now = this.#clock.now();
      const context = {
        authorities: profile.authorities,
        // Limits for CA certificates are others, and what clients get must not be old (B-13, P-12).
        subject: profile.issues === 'ca-certificates' || shard === CA_SHARD ? ('ca' as const) : ('subscriber' as const),
        nowMs: now,
        servedAt: now,
        issuer: { name: issuer.nameDer, keyIdentifier: issuer.subjectKeyIdentifier },
      };
      const findings = lintCrlView(view, context)
        .filter(({ severity }) => severity !== 'notice')
        .map(line);
      const differences = body.length > MOST_COMPARED_OCTETS ? [] : compareCrl(view);
      return {
        number: String(view.number),
        thisUpdate: view.thisUpdate,
        sha256: digest(body),
        entries,
        findings: [...findings, ...differences.map((message) => `P6: ${message}`)],
      };
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      return error.line;
    }
  }
}

function status(revokedAt: EpochMs | undefined, reason: string | undefined): string {
  return revokedAt === undefined ? 'good' : `revoked ${rfc3339(revokedAt)} ${reason ?? 'without reason'}`;
}

const line = ({ rule, message }: { readonly rule: string; readonly message: string }): string => `${rule}: ${message}`;
const digest = (octets: Uint8Array): string => createHash('sha256').update(octets).digest('hex');
