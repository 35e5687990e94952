/** Everything that is known of one certificate, put together for a person: ledger, answers, CRLs, and whether they agree. */
import { COMPLETE, type Certificate, type CertIdHash, type CrlRecord } from '../../core/certificate.ts';
import type { CertificateFields } from '../../core/certificate-reader.ts';
import { accessUrls } from '../../core/certificate-extensions.ts';
import { shardUrl } from '../../core/crl/shards.ts';
import { encodeGetPath } from '../../core/ocsp/get-path.ts';
import { writeRequest } from '../../core/ocsp/request-writer.ts';
import { Problem } from '../../core/problem.ts';
import { reasonName } from '../../core/reason.ts';
import type { Serial } from '../../core/serial.ts';
import { rfc3339, type EpochMs } from '../../core/time.ts';
import { findEntry, type ListedEntry } from '../../flows/crl/find-entry.ts';
import type { ExplainedCrl } from '../../flows/crl/explain-crl.ts';
import type { ServedIssuer } from '../../flows/issuer-setup.ts';
import { viewReceipt, type ReceiptView } from '../../flows/monitor/inspect.ts';
import { currentAnswer, type CurrentAnswer } from '../../flows/serve/current-answer.ts';
import { explain, type Explanation } from '../../flows/serve/explain.ts';
import type { Lookup } from '../../ports/store.ts';
import type { Core } from '../core.ts';
import type { Acting } from './acting.ts';
import type { Operator } from './sessions.ts';

export interface CertificateFacts {
  readonly issuer: ServedIssuer;
  readonly serial: Serial;
  /** As pasted. */
  readonly given: CertificateFields | undefined;
  readonly at: EpochMs;
  readonly found: Lookup;
  /** How far the newest event has come; undefined for what nobody issued. */
  readonly receipt: ReceiptView | undefined;
  readonly answers: readonly CurrentAnswer[];
  readonly crls: readonly CrlFacts[];
  readonly disagreements: readonly string[];
  /** What a client gets, and each decision on the way. */
  readonly explanation: Explanation;
  readonly asked: readonly Asked[];
}

export interface CrlFacts {
  readonly shard: string;
  readonly url: string | undefined;
  readonly record: CrlRecord | undefined;
  readonly entry: ListedEntry | undefined;
  /** Why the CRL itself could not be read. */
  readonly problem: string | undefined;
  /** Its schedule, and what waits, as far as this process knows. */
  readonly why: ExplainedCrl | undefined;
}

/** A question that anybody can ask. */
export interface Asked {
  readonly hash: CertIdHash;
  readonly base: string;
  readonly getUrl: string;
}

export interface FactParts {
  readonly core: Core;
  readonly acting: Acting;
}

const HASHES: readonly CertIdHash[] = ['sha1', 'sha256'];

/** @throws Problem `unavailable` while the store cannot be relied on. */
export async function certificateFacts(
  { core, acting }: FactParts,
  operator: Operator,
  issuer: ServedIssuer,
  serial: Serial,
  given: CertificateFields | undefined,
): Promise<CertificateFacts> {
  const { store, clock, issuers, urls } = core;
  const at = clock.now();
  const found = await store.lookup(issuer.tag, serial);
  const asked = HASHES.map((hash) => question(core, issuer, serial, hash, given));
  const request = writeRequest(issuer.issuer.hashes, serial).toString('base64');
  const explanation = await explain(request, [...issuers.values()], urls, store, at);
  if (found.kind === 'unknown')
    return { issuer, serial, given, at, found, receipt: undefined, answers: [], crls: [], disagreements: [], explanation, asked }; // prettier-ignore
  const { certificate } = found;
  const receipt = await viewReceipt(`${issuer.id}.${serial}.${certificate.revision}`, issuers, store, at);
  const answers: CurrentAnswer[] = [];
  if (found.kind === 'published')
    for (const hash of HASHES) answers.push(...[await currentAnswer(issuer, found.response, hash, at)].filter((one) => one !== undefined)); // prettier-ignore
  const crls = await Promise.all(shardsOf(issuer, certificate).map((shard) => crlFacts({ core, acting }, operator, issuer, serial, shard))); // prettier-ignore
  const disagreements = compare(found, answers, crls, at);
  return { issuer, serial, given, at, found, receipt, answers, crls, disagreements, explanation, asked };
}

/** Of the CRLs of an issuer those that speak of it. */
function shardsOf({ crls }: ServedIssuer, { crlShard }: Certificate): readonly string[] {
  return [
    ...(crlShard === undefined ? [] : [crlShard]),
    ...(crls.complete || crlShard === undefined ? [COMPLETE] : []),
  ];
}

async function crlFacts(
  { core, acting }: FactParts,
  operator: Operator,
  issuer: ServedIssuer,
  serial: Serial,
  shard: string,
): Promise<CrlFacts> {
  const url = (shard === COMPLETE ? completeUrl(core, issuer) : shardUrl(issuer.crls, shard)) ?? undefined;
  const record = await core.store.current({ issuer: issuer.tag, shard });
  if (record === undefined) return { shard, url, record, entry: undefined, problem: undefined, why: undefined };
  let entry: ListedEntry | undefined;
  let problem: string | undefined;
  try {
    entry = await findEntry(record, serial, core.store, core.clock);
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    problem = error.line;
  }
  const path = `/v1/issuers/${encodeURIComponent(issuer.id)}/crls/why?shard=${encodeURIComponent(shard)}`;
  // Whose issuers they are is asked of actions; what a CRL says is public.
  const reader = { ...operator, issuers: ['*'] };
  const { crls } = (await acting.call(reader, ['read'], 'GET', path)) as { crls: readonly ExplainedCrl[] };
  return { shard, url, record, entry, problem, why: crls[0] };
}

function completeUrl(core: Core, issuer: ServedIssuer): string | undefined {
  const [first] = core.setups.find(({ id }) => id === issuer.id)?.urls.crl ?? [];
  return first && `http://${first.host ?? here(core)}${first.path}`;
}

function question(
  core: Core,
  { id, issuer }: ServedIssuer,
  serial: Serial,
  hash: CertIdHash,
  given: CertificateFields | undefined,
): Asked {
  const [mount] = core.setups.find((setup) => setup.id === id)?.urls.ocsp ?? [];
  const own = `http://${mount?.host ?? here(core)}${mount?.path ?? '/'}`;
  const base = (given && accessUrls(given).ocsp[0]) ?? own;
  const path = encodeGetPath(writeRequest(issuer.hashes, serial, hash));
  return { hash, base, getUrl: `${base.replace(/\/$/, '')}/${path}` };
}

function here({ config }: Core): string {
  const { host, port } = config.listen.public;
  return `${host.includes(':') ? `[${host}]` : host}:${port}`;
}

/** P5: what OCSP and the CRLs say, each as read from its own octets, against the ledger. Empty: they agree. */
function compare(
  found: Exclude<Lookup, { kind: 'unknown' }>,
  answers: readonly CurrentAnswer[],
  crls: readonly CrlFacts[],
  at: EpochMs,
): readonly string[] {
  const { revocation, notAfter } = found.certificate;
  const ledger = said(revocation?.revokedAt, revocation?.reason);
  const different: string[] = [];
  for (const { hash, decoded } of answers) {
    const [single] = decoded.responses;
    const code = single?.revocationReason;
    const answer = said(single?.revocationTime, code === undefined ? undefined : reasonName(code));
    if (answer !== ledger || single?.certStatus !== (revocation === undefined ? 'good' : 'revoked'))
      different.push(`the answer for ${hash} says ${answer}, the ledger ${ledger}`);
  }
  for (const { shard, record, entry, problem } of crls) {
    if (record === undefined || problem !== undefined) continue;
    const name = `CRL ${record.number}${shard === COMPLETE ? '' : ` of shard ${shard}`}`;
    // Recorded after the CRL was made: the next one has it.
    if (record.asOfSeq < found.certificate.recordedSeq) continue;
    // An entry may leave after the certificate has expired (C-22).
    if (entry === undefined && revocation !== undefined && notAfter !== undefined && notAfter < at) continue;
    const listed = said(entry?.revocationDate, entry?.reason);
    if (listed !== ledger) different.push(`${name} says ${listed}, the ledger ${ledger}`);
  }
  return different;
}

function said(revokedAt: EpochMs | undefined, reason: string | undefined): string {
  return revokedAt === undefined ? 'not revoked' : `revoked ${rfc3339(revokedAt)} ${reason ?? 'without reason'}`;
}
