/**
 * What a disconnected signer is to sign for an issuer whose CA key is never online (SR-6.1.7, SR-6.7): CRLs of each scope, the request
 * for a responder certificate, and where the CA answers OCSP itself, the answers.
 *
 *  1. build     from the ledger as it is now, by the rules by which an online CRL is built.
 *  2. judge     as the machine with the key will: a ceremony is not called for something that it must refuse.
 *  3. record    who exported what, with the digests (P8). A number that was reserved and is not used is a gap, never a repeat (C-10).
 */
import type { Certificate, CertIdHash, CrlRecord, CrlScope } from '../../core/certificate.ts';
import { CrlBuilder } from '../../core/crl/crl.ts';
import { issuingDistributionPoint } from '../../core/crl/idp.ts';
import { CA_SHARD, scopesOf, shardUrl } from '../../core/crl/shards.ts';
import { describeRequest } from '../../core/offline/describe.ts';
import { judgeItem } from '../../core/offline/judge.ts';
import {
  MAX_OFFLINE_ITEMS,
  sha256Hex,
  type OfflineRequest,
  type RequestItem,
} from '../../core/offline/offline-file.ts';
import { ResponseTemplate } from '../../core/ocsp/response.ts';
import { answerable, mayLeaveCrl } from '../../core/policy/freshness.ts';
import { Problem } from '../../core/problem.ts';
import { algorithmFor } from '../../core/signature-algorithm.ts';
import { DAY, rfc3339, SECOND, wholeSecond, type EpochMs } from '../../core/time.ts';
import type { Clock } from '../../ports/clock.ts';
import type { Journal } from '../../ports/journal.ts';
import type { CrlShelf, Ledger } from '../../ports/store.ts';
import type { ResponderChanges } from '../sign/change-responder.ts';
import type { ServedIssuer } from '../issuer-setup.ts';

export interface ExportAsked {
  readonly crl: boolean;
  /** Every answer of a CA that signs them itself. */
  readonly ocsp: boolean;
  readonly responder:
    | { readonly key: readonly string[]; readonly subject: string | undefined; readonly validityMs: number | undefined }
    | undefined;
  /** Default: now. Later, so that what is signed in a week is as new as it can be. */
  readonly thisUpdate: EpochMs | undefined;
  /** Default: by the profile. */
  readonly nextUpdate: EpochMs | undefined;
}

export interface ExportParts {
  readonly store: Ledger & CrlShelf;
  readonly journal: Journal;
  readonly clock: Clock;
  /** Undefined in a process that has no keys: then it makes no request for a responder certificate. */
  readonly responders: ResponderChanges | undefined;
}

/** Without a wish: no more than RFC 9919 §3.2.2 advises, and never the longest that is allowed (SR-6.3.2-b). */
const RESPONDER_VALIDITY_MS = 90 * DAY;

/** @throws Problem `invalid`, `refused` naming the rule, or `unavailable` when the key that asks for a certificate cannot sign. */
export async function exportOffline(
  issuer: ServedIssuer,
  asked: ExportAsked,
  actor: string,
  parts: ExportParts,
): Promise<OfflineRequest> {
  const items: RequestItem[] = [];
  if (asked.crl) items.push(...(await exportCrls(issuer, asked, parts)));
  if (asked.responder !== undefined) items.push(await exportResponder(issuer, asked.responder, actor, parts));
  if (asked.ocsp) items.push(...(await exportAnswers(issuer, asked, parts)));
  if (items.length === 0)
    throw new Problem('invalid', 'nothing is asked for: CRLs, a responder certificate or answers', { field: '/' });
  const nowMs = parts.clock.now();
  const { authorities, issues, responder } = issuer.profile;
  items.forEach((item, i) => {
    try {
      judgeItem(item, issuer.issuer, { rules: { authorities, issues, responder }, nowMs });
    } catch (error) {
      throw error instanceof Problem ? error.within(`item ${i + 1}: `) : error;
    }
  });
  await parts.journal.append([
    {
      type: 'offline.exported',
      actor,
      issuer: issuer.id,
      issuerTag: issuer.tag,
      description: `${items.length} items for the offline signer`,
      detail: { items: items.map((item) => [item.kind, sha256Hex(item.kind === 'responder' ? item.csr : item.tbs)]) },
    },
  ]);
  return { summary: describeRequest(issuer.issuer, items), issuer: issuer.id, items };
}

async function exportCrls(issuer: ServedIssuer, asked: ExportAsked, parts: ExportParts): Promise<RequestItem[]> {
  if (issuer.offline?.crl !== true)
    throw new Problem('refused', 'this service has the CRL key (crl.key): it signs the CRLs itself', {
      field: 'issuer',
      value: issuer.id,
    });
  const items: RequestItem[] = [];
  for (const scope of scopesOf(issuer.crls, issuer.tag)) items.push(await exportCrl(issuer, scope, asked, parts));
  return items;
}

async function exportCrl(
  { issuer, profile, crls }: ServedIssuer,
  scope: CrlScope,
  asked: ExportAsked,
  { store, clock }: ExportParts,
): Promise<RequestItem> {
  const previous = await store.current(scope);
  const { thisUpdate, nextUpdate } = timesOf(asked, profile.crl.validityMs, issuer.notAfter, clock.now());
  const number = await store.reserveNumber(scope, atLeast(previous, thisUpdate));
  const url = shardUrl(crls, scope.shard);
  const { algorithm, pages } = { algorithm: algorithmFor(issuer.publicKey, 'CA key'), ...store.revokedEntries(scope) };
  const builder = new CrlBuilder({
    issuerName: issuer.nameDer,
    authorityKeyIdentifier: issuer.subjectKeyIdentifier,
    algorithm,
    thisUpdate,
    nextUpdate,
    number,
    invalidityDate: profile.crl.invalidityDate,
    ...(url !== undefined && {
      extensions: [issuingDistributionPoint(url, scope.shard === CA_SHARD ? 'ca-certificates' : 'user-certificates')],
    }),
  });
  const { afterExpiryMs } = profile.crl;
  for await (const page of pages)
    for (const entry of page) if (!mayLeaveCrl(entry, previous, afterExpiryMs)) builder.add(entry);
  return { kind: 'crl', tbs: builder.tbs(), previous: previous && (await store.body(previous)) };
}

/** As an online CRL has it: the seconds since 1970 at least, so that a signer whose archive is behind repeats none (T-34). */
function atLeast(previous: CrlRecord | undefined, thisUpdate: EpochMs): bigint {
  const [seconds, next] = [BigInt(thisUpdate / SECOND), (previous?.number ?? 0n) + 1n];
  return seconds > next ? seconds : next;
}

/** T-01: the last second counts. No longer than the CA certificate. */
function timesOf(
  asked: ExportAsked,
  validityMs: number,
  caNotAfter: EpochMs,
  nowMs: EpochMs,
): { readonly thisUpdate: EpochMs; readonly nextUpdate: EpochMs } {
  const thisUpdate = wholeSecond(asked.thisUpdate ?? nowMs);
  const nextUpdate = wholeSecond(Math.min(asked.nextUpdate ?? thisUpdate + validityMs - SECOND, caNotAfter));
  const wrong = (message: string, field: string, value: EpochMs, rule: string): Problem =>
    new Problem('refused', message, { field, value: rfc3339(value), rule });
  if (nextUpdate <= thisUpdate)
    throw wrong('not later than thisUpdate', '/nextUpdate', nextUpdate, 'RFC 5280 §5.1.2.5');
  if (nextUpdate - thisUpdate + SECOND > validityMs)
    throw wrong('later than the profile permits (crl.validity, ocsp.validity)', '/nextUpdate', nextUpdate, 'B-24');
  return { thisUpdate, nextUpdate };
}

async function exportResponder(
  issuer: ServedIssuer,
  { key, subject, validityMs }: NonNullable<ExportAsked['responder']>,
  actor: string,
  { responders }: ExportParts,
): Promise<RequestItem> {
  if (responders === undefined)
    throw new Problem('unavailable', 'this process has no keys: ask the signer', { field: '/responder/key' });
  const { csr } = await responders.request(issuer, key, subject, actor);
  const base64 = csr.replace(/-----[A-Z ]+-----|\s/g, '');
  return {
    kind: 'responder',
    csr: Buffer.from(base64, 'base64'),
    validityMs: validityMs ?? Math.min(RESPONDER_VALIDITY_MS, issuer.profile.responder.maxValidityMs),
    key,
  };
}

async function exportAnswers(issuer: ServedIssuer, asked: ExportAsked, parts: ExportParts): Promise<RequestItem[]> {
  if (issuer.offline?.ocsp !== true)
    throw new Problem('refused', 'answers are signed here, with responder certificates (ocsp.signedBy is not ca)', {
      field: 'issuer',
      value: issuer.id,
    });
  const { issuer: ca, profile, tag } = issuer;
  const nowMs = parts.clock.now();
  const times = timesOf(asked, profile.ocsp.validityMs, ca.notAfter, nowMs);
  const template = new ResponseTemplate({
    issuer: ca.hashes,
    responderKeyHash: ca.hashes.sha1.key,
    responderCertificate: undefined,
    algorithm: algorithmFor(ca.publicKey, 'CA key'),
  });
  const items: RequestItem[] = [];
  const add = ({ serial, revocation, notAfter }: Certificate): void => {
    if (!answerable(profile, notAfter, nowMs)) return;
    for (const hash of HASHES) items.push({ kind: 'ocsp', tbs: template.tbs(hash, serial, { revocation, ...times }) });
    if (items.length > MAX_OFFLINE_ITEMS)
      throw new Problem('too-large', `more than ${MAX_OFFLINE_ITEMS} answers: such a CA has a responder`, {
        field: '/ocsp',
      });
  };
  for await (const page of parts.store.certificates(tag)) page.forEach(add);
  if (items.length === 0)
    throw new Problem('refused', 'the ledger has no certificate to answer for', { field: '/ocsp' });
  return items;
}

const HASHES: readonly CertIdHash[] = ['sha1', 'sha256'];
