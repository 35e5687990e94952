/**
 * A CRL that was signed elsewhere, by an offline root or any other tool, becomes the current one of its scope.
 *
 *  1. read      issuer bytes, key identifier, signature, scope: nothing is done for a CRL of somebody else. The CRL that is current
 *               already changes nothing.
 *  2. gate      flows/crl/crl-gate.ts: lint, number, thisUpdate, scope, no entry lost. The draft lies in the archive; a crash removes it.
 *  3. compare   an entry that contradicts the ledger (date, reason) refuses the CRL, before anything is recorded.
 *  4. record    revocations that the ledger lacks: the CA has signed that they are revoked. A crash after it: they are, and the next
 *               attempt finds them.
 *  5. complete  every revoked and unexpired certificate of the ledger must be on it (T-59), else it is refused with the list.
 *  6. journal, publish  by compare-and-swap on the number, as any CRL (publish-crl.ts).
 *
 * All of it may be asked for again.
 */
import { COMPLETE, type CrlRecord, type CrlScope, type RevokedEntry } from '../../core/certificate.ts';
import { readCrl, type CrlView } from '../../core/crl/crl-reader.ts';
import { issuingDistributionPoint, partitionUrl } from '../../core/crl/idp.ts';
import { CA_SHARD, scopesOf, shardUrl } from '../../core/crl/shards.ts';
import type { ImportRow } from '../../core/import/row.ts';
import { sha256Hex } from '../../core/offline/offline-file.ts';
import { Problem } from '../../core/problem.ts';
import type { Reason } from '../../core/reason.ts';
import type { Serial } from '../../core/serial.ts';
import { rfc3339, type EpochMs } from '../../core/time.ts';
import type { Clock } from '../../ports/clock.ts';
import type { CrlDraft } from '../../ports/crl-archive.ts';
import type { Journal } from '../../ports/journal.ts';
import type { CrlShelf, Ledger } from '../../ports/store.ts';
import { checkCrl, type CrlAbout } from './crl-gate.ts';
import { mustBeSignedBy } from './signed-by.ts';
import type { ServedIssuer } from '../issuer-setup.ts';
import type { Recorder } from '../record.ts';

export interface CrlImportParts {
  readonly store: Ledger & CrlShelf;
  readonly journal: Journal;
  readonly recorder: Recorder;
  readonly clock: Clock;
}

export interface ImportedCrl {
  readonly number: string;
  /** Empty for the complete CRL. */
  readonly shard: string;
  /** False: it was current already. */
  readonly published: boolean;
  readonly thisUpdate: string;
  readonly nextUpdate: string;
  readonly entries: number;
  /** Revocations that the ledger did not have. */
  readonly learnt: number;
  readonly sha256: string;
}

/** Rows that are recorded together: one fsync. */
const ROWS_PER_RECORD = 1000;
/** Serials of a refusal that are named. */
const SHOWN_SERIALS = 20;

/**
 * @param source where it came from, for the audit log.
 * @throws Problem `corrupt` or `refused` naming the rule and the serials; then nothing is published, and the old CRL stays.
 */
export async function importCrl(
  issuer: ServedIssuer,
  der: Buffer,
  actor: string,
  source: string,
  parts: CrlImportParts,
): Promise<ImportedCrl> {
  const view = readCrl(der);
  await mustBeSignedBy(issuer.issuer, view);
  mustNameKey(issuer, view);
  const scope = scopeOf(issuer, view);
  const sha256 = sha256Hex(der);
  const previous = await parts.store.restoreCrl(scope);
  if (previous?.sha256 === sha256) return outcomeOf(previous, false, 0);

  const draft = await parts.store.draftCrl(scope);
  try {
    await draft.write(der);
    return await publish(issuer, { view, scope, sha256, draft, previous, actor, source }, parts);
  } catch (error) {
    await draft.discard();
    if (!(error instanceof Problem) || error.code === 'unavailable') throw error;
    const detail = { number: String(view.number), sha256, source, why: error.line.slice(0, 1000) };
    await account(issuer, 'crl.refused', actor, `CRL ${view.number} from ${source} is not published`, detail, parts);
    throw error;
  }
}

interface Importing {
  readonly view: CrlView;
  readonly scope: CrlScope;
  readonly sha256: string;
  readonly draft: CrlDraft;
  readonly previous: CrlRecord | undefined;
  readonly actor: string;
  readonly source: string;
}

async function publish(issuer: ServedIssuer, importing: Importing, parts: CrlImportParts): Promise<ImportedCrl> {
  const { view, scope, sha256, draft, previous, actor, source } = importing;
  const { store, clock } = parts;
  const { asOfSeq: before } = store.revokedEntries(scope);
  const about: CrlAbout = { scope, kind: 'imported', expected: undefined, asOfSeq: await before };
  const passed = await checkCrl(draft, about, previous, {
    served: issuer,
    publicKey: issuer.issuer.publicKey,
    store,
    nowMs: clock.now(),
    idp: idpOf(issuer, scope),
    previousPassed: undefined,
    // The ledger learns from it, in 4.
    lookUpNew: false,
  });
  const { number = 0n, thisUpdate, nextUpdate = 0 } = view;
  const listed = listedOn(view);
  const learnt = await learn(issuer, scope, listed, actor, source, parts);
  const asOfSeq = await mustBeComplete(scope, listed, thisUpdate, issuer.profile.crl.afterExpiryMs, store);

  // What is exported after it must be greater, whoever gave it this number (C-10, T-34).
  await store.reserveNumber(scope, number);
  const record: CrlRecord = {
    ...scope,
    number,
    ...(previous && { previous: { number: previous.number.toString(), sha256: previous.sha256 } }),
    thisUpdate,
    nextUpdate,
    publishedAt: clock.now(),
    kind: 'imported',
    // Each of them is on the CA's own schedule (C-22).
    scheduledAt: thisUpdate,
    scheduledAsOfSeq: asOfSeq,
    entries: passed.entries,
    bytes: draft.octets,
    sha256,
    asOfSeq,
  };
  const detail = {
    number: number.toString(),
    shard: scope.shard,
    source,
    thisUpdate: rfc3339(thisUpdate),
    nextUpdate: rfc3339(nextUpdate),
    entries: passed.entries,
    removed: passed.removed,
    learnt,
    bytes: draft.octets,
    sha256,
    asOfSeq,
  };
  const description = `CRL ${number} with ${passed.entries} entries (imported)`;
  await account(issuer, 'crl.published', actor, description, detail, parts);
  if (!(await store.publishCrl(record, draft, previous?.number))) {
    const current = await store.current(scope);
    throw new Problem('conflict', `CRL ${current?.number} was published meanwhile; import it again`, {
      field: 'cRLNumber',
      value: number.toString(),
      rule: 'T-34',
    });
  }
  return outcomeOf(record, true, learnt);
}

/** C-04, T-19: what clients look for in the CA's certificates. */
function mustNameKey({ issuer }: ServedIssuer, { keyIdentifier }: CrlView): void {
  if (keyIdentifier === undefined || issuer.subjectKeyIdentifier.equals(keyIdentifier)) return;
  throw new Problem('refused', `for another key of ${issuer.name}`, {
    field: 'authorityKeyIdentifier',
    rule: 'C-04, T-19',
  });
}

/** By its one URL (T-37). @throws Problem `refused` when the issuer publishes no CRL of that scope. */
function scopeOf({ crls, tag }: ServedIssuer, { crlExtensions }: CrlView): CrlScope {
  const url = partitionUrl(crlExtensions);
  const scope = scopesOf(crls, tag).find(({ shard }) => shardUrl(crls, shard) === url);
  if (scope !== undefined) return scope;
  throw new Problem('refused', 'the issuer publishes no CRL of this scope', {
    field: 'issuingDistributionPoint',
    value: url ?? 'none: all certificates',
    rule: 'C-17, T-37',
  });
}

function idpOf({ crls }: ServedIssuer, { shard }: CrlScope): Buffer | undefined {
  const url = shardUrl(crls, shard);
  return url === undefined
    ? undefined
    : issuingDistributionPoint(url, shard === CA_SHARD ? 'ca-certificates' : 'user-certificates');
}

interface Listed {
  readonly revokedAt: EpochMs;
  /** RFC 5280 §5.3.1: unspecified is absence (C-23). */
  readonly reason: Reason | undefined;
}

/** @throws Problem `invalid` at an entry that cannot be recorded. */
function listedOn(view: CrlView): ReadonlyMap<Serial, Listed> {
  const listed = new Map<Serial, Listed>();
  for (const { serial, revocationDate, reason, reasonCode } of view.entries()) {
    if (
      serial === undefined ||
      Number.isNaN(revocationDate) ||
      reason === 'removeFromCRL' ||
      (reason === undefined && reasonCode !== undefined)
    )
      throw new Problem('invalid', 'an entry without a valid serial, date or reason', {
        field: 'revokedCertificates',
        value: serial,
        rule: 'RFC 5280 §5.3',
      });
    listed.set(serial, { revokedAt: revocationDate, reason: reason === 'unspecified' ? undefined : reason });
  }
  return listed;
}

/** Steps 3 and 4. @returns how many revocations the ledger did not have. */
async function learn(
  issuer: ServedIssuer,
  { shard }: CrlScope,
  listed: ReadonlyMap<Serial, Listed>,
  actor: string,
  source: string,
  { store, recorder }: CrlImportParts,
): Promise<number> {
  const unknown: ImportRow[] = [];
  const contradicting: string[] = [];
  const serials = [...listed.keys()];
  for (let from = 0; from < serials.length; from += ROWS_PER_RECORD) {
    const page = serials.slice(from, from + ROWS_PER_RECORD);
    const known = await store.find(issuer.tag, page);
    page.forEach((serial, i) => {
      const revocation = listed.get(serial) as Listed;
      const recorded = known[i]?.revocation;
      if (recorded === undefined) unknown.push(rowOf(unknown.length + 1, serial, shard, revocation));
      else if (recorded.revokedAt !== revocation.revokedAt || recorded.reason !== revocation.reason)
        contradicting.push(`${serial} (in the ledger ${inWords(recorded)}, on the CRL ${inWords(revocation)})`);
    });
  }
  if (contradicting.length > 0) throw disagree('are revoked otherwise in the ledger', contradicting);
  for (let from = 0; from < unknown.length; from += ROWS_PER_RECORD) {
    const rows = unknown.slice(from, from + ROWS_PER_RECORD);
    const { rejected } = await recorder.import(issuer, rows, actor, source);
    if (rejected.length > 0)
      throw disagree(
        'cannot be recorded',
        rejected.map(({ line, problem }) => `${rows[line - 1 - from]?.serial} (${problem.message})`),
      );
  }
  return unknown.length;
}

function rowOf(line: number, serial: Serial, shard: string, revocation: Listed): ImportRow {
  return {
    line,
    serial,
    notBefore: undefined,
    notAfter: undefined,
    precertificate: false,
    crlShard: shard === COMPLETE ? undefined : shard,
    withoutOcsp: false,
    spkiHash: undefined,
    revocation,
  };
}

/** Step 5. @returns the ledger's count up to which it has everything. */
async function mustBeComplete(
  scope: CrlScope,
  listed: ReadonlyMap<Serial, Listed>,
  thisUpdate: EpochMs,
  afterExpiryMs: number,
  store: Ledger,
): Promise<number> {
  const { asOfSeq, pages } = store.revokedEntries(scope);
  const upTo = await asOfSeq;
  const missing: string[] = [];
  const expects = ({ serial, notAfter, ...recorded }: RevokedEntry): void => {
    const entry = listed.get(serial);
    // What has expired may have left (C-22); that it did not leave too early is the gate's to see.
    if (entry === undefined && notAfter !== undefined && notAfter + afterExpiryMs < thisUpdate) return;
    if (entry?.revokedAt !== recorded.revokedAt || entry.reason !== recorded.reason)
      missing.push(`${serial} (${inWords(recorded)}, recorded ${rfc3339(recorded.recordedAt)})`);
  };
  for await (const page of pages) page.forEach(expects);
  if (missing.length > 0) throw disagree('are revoked in the ledger and not on the CRL: export again', missing);
  return upTo;
}

function disagree(what: string, serials: readonly string[]): Problem {
  const shown = serials.slice(0, SHOWN_SERIALS).join(', ');
  const more = serials.length > SHOWN_SERIALS ? ', …' : '';
  return new Problem('refused', `${serials.length} certificates ${what}: ${shown}${more}`, {
    field: 'revokedCertificates',
    rule: 'T-59',
  });
}

const inWords = ({ revokedAt, reason }: Listed): string => `${rfc3339(revokedAt)} ${reason ?? 'without reason'}`;

function outcomeOf(record: CrlRecord, published: boolean, learnt: number): ImportedCrl {
  return {
    number: record.number.toString(),
    shard: record.shard,
    published,
    thisUpdate: rfc3339(record.thisUpdate),
    nextUpdate: rfc3339(record.nextUpdate),
    entries: record.entries,
    learnt,
    sha256: record.sha256,
  };
}

async function account(
  { id, tag }: ServedIssuer,
  type: 'crl.published' | 'crl.refused',
  actor: string,
  description: string,
  detail: Readonly<Record<string, unknown>>,
  { journal }: CrlImportParts,
): Promise<void> {
  await journal.append([{ type, actor, issuer: id, issuerTag: tag, description, detail }]);
}
