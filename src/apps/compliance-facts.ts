/** What a compliance report is judged by besides the audit logs: the issuer as it is configured, and what lies in its archive. */
import { createHash } from 'node:crypto';
import type { FileKeptArchive } from '../adapters/crl-archive/kept-archive.ts';
import { judgeSequence } from '../core/archive/sequence.ts';
import type { CrlRecord, CrlScope } from '../core/certificate.ts';
import type { Evidence } from '../core/compliance/evidence.ts';
import type { ArchiveFacts, IssuerFacts, KeyFacts, ResponderFacts } from '../core/compliance/judged.ts';
import { scopesOf } from '../core/crl/shards.ts';
import type { KeyReference } from '../core/key-reference.ts';
import { Problem } from '../core/problem.ts';
import { loadResponderCertificate } from '../core/responder-certificate.ts';
import { checkResponderCertificate } from '../core/signer-checks.ts';
import type { PublicUrl } from '../core/route.ts';
import { algorithmFor } from '../core/signature-algorithm.ts';
import type { EpochMs } from '../core/time.ts';
import type { Config } from './config.ts';
import type { IssuerSetup } from './issuer-files.ts';
import { archiveOf } from './data-directory.ts';

export function issuerFacts(config: Config, setup: IssuerSetup): IssuerFacts {
  const { id, issuer, profile, responders, crlKeys, ocspSignedBy, crls, urls } = setup;
  const { copies, verifyEveryMs } = config.archive;
  return {
    id,
    name: issuer.name,
    keyType: algorithmFor(issuer.publicKey, id).keyType,
    certificates: issuer.certificates,
    profile,
    ocspSignedBy,
    responders: responders.map(({ certificate }) => certificate.id),
    keys: responders.flatMap(({ keys }) => keys.map(keyFacts)),
    crlKeys: crlKeys?.map(keyFacts),
    tokens: config.tokens.map(({ name, use, activation }) => ({
      name,
      use,
      source: activation.source,
      threshold: activation.source === 'shares' ? activation.threshold : undefined,
    })),
    clients: (config.intake?.clients ?? [])
      .filter(({ issuers }) => issuers.includes('*') || issuers.includes(id))
      .map(({ name, may }) => ({ name, may })),
    crls,
    scopes: crlKeys === undefined ? [] : scopesOf(crls, issuer.tag).map(({ shard }) => shard),
    urls: { ocsp: urls.ocsp.map(urlText), crl: urls.crl.map(urlText), caCertificate: urls.caCertificate.map(urlText) },
    copies: copies && `${copies.bucket} at ${copies.endpoint ?? copies.region}`,
    verifyEveryMs,
  };
}

function keyFacts(key: KeyReference): KeyFacts {
  return key.kind === 'file' ? { describe: key.file, token: undefined } : { describe: key.uri, token: key.token };
}

function urlText({ host, path }: PublicUrl): string {
  return host === undefined ? path : `http://${host}${path}`;
}

/** Reads the archive beside the service that writes to it. */
export async function archiveFacts(
  { dataDir }: Pick<Config, 'dataDir'>,
  setup: IssuerSetup,
  evidence: Evidence,
  nowMs: EpochMs,
): Promise<ArchiveFacts> {
  const archive = archiveOf(dataDir);
  const { tag } = setup.issuer;
  const journalled = evidence.crls.journalled;
  const scopes = await archive.scopes(tag);
  // A scope of the log that is not in the archive at all is missing from it.
  const shards = new Set([...scopes.map(({ shard }) => shard), ...journalled.keys()]);
  const judged = [];
  for (const shard of shards) {
    const { records, unreadable } = await readScope(archive, { issuer: tag, shard }, evidence);
    const { verdict, missing } = judgeSequence(records, journalled.get(shard) ?? []);
    judged.push({ shard, verdict, missing: [...missing, ...unreadable] });
  }
  return {
    scopes: shards.size === 0 && (await archive.issuers()).length === 0 ? undefined : judged,
    responders: await responderFacts(archive, setup, evidence, nowMs),
  };
}

/** Records of CRLs up to the end of the period; of those of the period the octets must be there too. */
async function readScope(
  archive: FileKeptArchive,
  scope: CrlScope,
  { from, to }: Evidence,
): Promise<{ readonly records: readonly CrlRecord[]; readonly unreadable: readonly string[] }> {
  const records: CrlRecord[] = [];
  const unreadable: string[] = [];
  for (const number of await archive.numbers(scope)) {
    try {
      const record = await archive.record(scope, number);
      if (record.publishedAt > to) continue;
      records.push(record);
      if (record.publishedAt < from || (await archive.dropped(record)) !== undefined) continue;
      const file = await archive.open(record);
      await file.close();
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      unreadable.push(`CRL ${number}: ${error.line}`);
    }
  }
  return { records, unreadable };
}

async function responderFacts(
  archive: FileKeptArchive,
  { issuer, profile, responders }: IssuerSetup,
  { signatures }: Evidence,
  nowMs: EpochMs,
): Promise<ReadonlyMap<string, ResponderFacts>> {
  const wanted = new Set([...signatures.responders.keys(), ...responders.map(({ certificate }) => certificate.id)]);
  const archived = (await archive.certificates(issuer.tag))
    .filter(({ sha256, der }) => createHash('sha256').update(der).digest('hex') === sha256)
    .map(({ der }) => der);
  const found = new Map<string, ResponderFacts>();
  for (const [der, isArchived] of [
    ...archived.map((der) => [der, true] as const),
    ...responders.map(({ certificate }) => [certificate.der, false] as const),
  ]) {
    const certificate = loadResponderCertificate(der);
    const { id, keyType, notBefore, notAfter } = certificate;
    if (!wanted.has(id) || found.has(id)) continue;
    const used = signatures.responders.get(id);
    const at = used === undefined ? nowMs : Date.parse(used.first);
    const errors = checkResponderCertificate(certificate, issuer, profile, at)
      .filter(({ severity }) => severity === 'error')
      .map(({ rule, message }) => `${rule}: ${message}`);
    found.set(id, { id, archived: isArchived, keyType, notBefore, notAfter, errors });
  }
  return found;
}
