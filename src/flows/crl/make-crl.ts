/**
 * One CRL from the reservation of its number to its publication.
 *
 *  1. reserve   a number greater than every number before, durably. A crash anywhere below leaves a gap, never a repeat (C-10).
 *  2. build     into a draft of the archive (build-crl.ts): on schedule from the revoked index as of one instant, dropping only what
 *               may leave (freshness.mayLeaveCrl); in between from the current CRL and what has changed since, where that is known
 *               (crl-changes.ts) and wins. So whatever an incremental build should have missed lasts until the next scheduled one.
 *  3. sign      with the issuer's CRL key, a piece at a time. While the audit log cannot be written nothing is signed (P8).
 *  4. check     the gate (crl-gate.ts). A finding keeps the old CRL, raises an alarm and is journalled: the signature exists.
 *  5. journal   one record with number, times, count and digest (P8).
 *  6. publish   archive file, then record, by compare-and-swap on the number. A crash before the record: the old CRL stays
 *               current; the next build finds the revocations again, because they are in the index.
 *
 * A crash leaves drafts behind: the archive removes them before the next draft of the scope.
 */
import { COMPLETE, type CrlRecord, type CrlScope } from '../../core/certificate.ts';
import { issuingDistributionPoint } from '../../core/crl/idp.ts';
import { CA_SHARD, shardUrl } from '../../core/crl/shards.ts';
import type { CrlParts } from '../../core/crl/crl.ts';
import { planCrl } from '../../core/policy/freshness.ts';
import { Problem } from '../../core/problem.ts';
import { rfc3339, SECOND, type EpochMs } from '../../core/time.ts';
import type { JournalEntry } from '../../core/journal-record.ts';
import type { Clock } from '../../ports/clock.ts';
import type { CrlDraft, CrlFile } from '../../ports/crl-archive.ts';
import type { Journal } from '../../ports/journal.ts';
import type { CrlShelf, Ledger } from '../../ports/store.ts';
import { entriesFromCrl, entriesFromIndex, writeCrl, type SignedCrl } from './build-crl.ts';
import type { CrlChange } from './crl-changes.ts';
import { checkCrl, type PassedCrl } from './crl-gate.ts';
import type { SigningKey } from '../issuer-setup.ts';
import type { SignerIssuer } from '../sign/sign.ts';

export interface CrlMaker {
  readonly at: SignerIssuer;
  readonly store: Ledger & CrlShelf;
  readonly journal: Journal;
  readonly clock: Clock;
}

export interface WantedCrl {
  readonly scope: CrlScope;
  readonly kind: 'scheduled' | 'revocation';
  readonly previous: CrlRecord | undefined;
  /** What this process's gate found when it passed the previous one; undefined: it has not. */
  readonly previousPassed: Pick<PassedCrl, 'marks'> | undefined;
  /**
   * What has changed since the previous one, and the count up to which that is everything; undefined: make it from the index. Asked
   * for once, when the data is wanted.
   */
  readonly changes: () => { readonly list: readonly CrlChange[]; readonly asOfSeq: number } | undefined;
}

export interface MadeCrl {
  readonly record: CrlRecord;
  /** Made from the index, and not from the previous one. */
  readonly whole: boolean;
  readonly passed: Pick<PassedCrl, 'marks'>;
}

/** Signed, and kept from being published by what the gate found. */
export class RefusedCrl extends Problem {
  readonly number: bigint;

  constructor(number: bigint, cause: Problem) {
    const { field, value, rule } = cause;
    super(cause.code, cause.message, {
      ...(field !== undefined && { field }),
      ...(value !== undefined && { value }),
      ...(rule !== undefined && { rule }),
    });
    this.number = number;
  }
}

/** @throws RefusedCrl, or another Problem saying why it was not published; then the current CRL stays. */
export async function makeCrl(maker: CrlMaker, wanted: WantedCrl): Promise<MadeCrl> {
  const { at, store, clock } = maker;
  const { scope, previous } = wanted;
  const key = usableKey(at);
  const now = clock.now();
  const times = planCrl(at.served.profile, previous, at.served.issuer.notAfter, now);
  if (times === undefined) {
    throw new Problem(
      'refused',
      `thisUpdate would not be later than that of CRL ${previous?.number} (${rfc3339(previous?.thisUpdate ?? 0)}), or the CA certificate has ended`,
      { field: 'thisUpdate', value: rfc3339(now), rule: 'RFC 5280 §5.2.3' },
    );
  }
  const idp = idpOf(at, scope.shard);
  // It grows by the seconds at least, and is not below those since 1970: so no number is used twice even by a signer whose archive or
  // data directory is behind what others have published since (T-34).
  const since = times.thisUpdate - (previous?.thisUpdate ?? 0);
  const number = await store.reserveNumber(
    scope,
    max(BigInt(Math.floor(now / SECOND)), (previous?.number ?? 0n) + BigInt(since / SECOND)),
  );
  const plan: Plan = { ...wanted, ...times, number, idp };
  const changes = plan.changes();
  const from = changes === undefined || previous === undefined ? undefined : await openedOnce(store, previous);
  const draft = await store.draftCrl(scope);
  let isSigned = false;
  try {
    const signed = (): void => void (isSigned = true);
    const built =
      changes === undefined || from === undefined
        ? await writeWhole(maker, plan, key, draft, signed)
        : await writeChanged(maker, plan, key, draft, signed, { ...changes, from });
    const sha256 = draft.digest();
    sha256.catch(() => undefined);
    const passed = await check(maker, plan, key, draft, built, from);
    const record = await publish(
      maker,
      plan,
      draft,
      { ...built, sha256: await sha256 },
      passed,
      () => (isSigned = false),
    );
    return { record, whole: built.whole, passed };
  } catch (error) {
    // P8: also when what follows the signature could not be done.
    if (isSigned) await accountRefused(maker, plan, draft, error);
    throw error;
  } finally {
    await draft.discard();
    await from?.close();
  }
}

/**
 * The current CRL, for the build and for the gate: one file, read by both, whose digest the gate wants. It is begun here, so that it
 * is made beside the build.
 */
async function openedOnce(store: CrlShelf, record: CrlRecord): Promise<CrlFile> {
  const file = await store.openCrl(record);
  file.digest().catch(() => undefined);
  return file;
}

function usableKey({ served, keys }: SignerIssuer): SigningKey {
  const field = `issuers/${served.id}/crl.key`;
  if (keys.crl === undefined) throw new Problem('config', 'no CRL key', { field });
  // Before a number is reserved and a million entries are written for nothing.
  const { failure } = keys.crl.holder;
  if (failure !== undefined) throw new Problem('unavailable', `the CRL key cannot be used: ${failure}`, { field });
  return keys.crl;
}

/** C-17, X-03: a shard's own URL, and of which certificates it speaks. */
function idpOf({ served }: SignerIssuer, shard: string): Buffer | undefined {
  if (shard === COMPLETE) return undefined;
  const url = shardUrl(served.crls, shard);
  if (url === undefined) {
    throw new Problem(
      'config',
      'the URL of this shard is not configured any more, and certificates may name it (T-38)',
      {
        field: `issuers/${served.id}/crl.shards`,
        value: shard,
      },
    );
  }
  return issuingDistributionPoint(url, shard === CA_SHARD ? 'ca-certificates' : 'user-certificates');
}

function partsOf({ at }: CrlMaker, plan: Plan, key: SigningKey): CrlParts {
  const { issuer, profile } = at.served;
  return {
    issuerName: issuer.nameDer,
    authorityKeyIdentifier: issuer.subjectKeyIdentifier,
    algorithm: key.holder.algorithm,
    thisUpdate: plan.thisUpdate,
    nextUpdate: plan.nextUpdate,
    number: plan.number,
    invalidityDate: profile.crl.invalidityDate,
    extensions: plan.idp === undefined ? [] : [plan.idp],
  };
}

async function writeChanged(
  maker: CrlMaker,
  plan: Plan,
  key: SigningKey,
  draft: CrlDraft,
  signed: () => void,
  { from, list, asOfSeq }: { from: CrlFile; list: readonly CrlChange[]; asOfSeq: number },
): Promise<BuiltCrl> {
  const parts = partsOf(maker, plan, key);
  const marks = plan.previousPassed?.marks;
  const entries = await entriesFromCrl(from, plan.previous as CrlRecord, list, parts.invalidityDate, marks);
  const accounting = { before: () => mustBeRecordable(maker), after: signed };
  return { ...(await writeCrl(entries, parts, key.holder, draft, accounting)), asOfSeq, whole: false };
}

async function writeWhole(
  maker: CrlMaker,
  plan: Plan,
  key: SigningKey,
  draft: CrlDraft,
  signed: () => void,
): Promise<BuiltCrl> {
  const { store } = maker;
  const parts = partsOf(maker, plan, key);
  const accounting = { before: () => mustBeRecordable(maker), after: signed };
  const scratch = await store.draftCrl(plan.scope);
  try {
    const { asOfSeq: asOf, pages } = store.revokedEntries(plan.scope);
    const asOfSeq = await asOf;
    const entries = await entriesFromIndex(pages, scratch, plan.previous, maker.at.served.profile.crl);
    return { ...(await writeCrl(entries, parts, key.holder, draft, accounting)), asOfSeq, whole: true };
  } finally {
    await scratch.discard();
  }
}

async function check(
  maker: CrlMaker,
  plan: Plan,
  key: SigningKey,
  draft: CrlDraft,
  built: BuiltCrl,
  from: CrlFile | undefined,
): Promise<PassedCrl> {
  const { at, store, clock } = maker;
  const { scope, number, previous, kind, idp } = plan;
  const { entries, asOfSeq } = built;
  try {
    return await checkCrl(draft, { scope, kind, expected: { number, entries }, asOfSeq }, previous, {
      served: at.served,
      publicKey: key.publicKey,
      store: {
        find: (issuer, serials) => store.find(issuer, serials),
        openCrl: (record) => (from === undefined ? store.openCrl(record) : Promise.resolve(stillOpen(from))),
      },
      nowMs: clock.now(),
      idp,
      previousPassed: plan.previousPassed,
      lookUpNew: !built.whole,
    });
  } catch (error) {
    // What could not be read is tried again; what was read and is not right is a refusal.
    throw error instanceof Problem && error.code !== 'unavailable' ? new RefusedCrl(number, error) : error;
  }
}

/** For who closes what it has read. */
function stillOpen(file: CrlFile): CrlFile {
  return {
    octets: file.octets,
    read: (at, length, into) => file.read(at, length, into),
    digest: () => file.digest(),
    close: () => Promise.resolve(),
  };
}

async function publish(
  maker: CrlMaker,
  plan: Plan,
  draft: CrlDraft,
  built: BuiltCrl & { readonly sha256: string },
  passed: PassedCrl,
  accounted: () => void,
): Promise<CrlRecord> {
  const { scope, number, thisUpdate, nextUpdate, previous, kind } = plan;
  const { entries, bytes, sha256, asOfSeq } = built;
  const { store, clock } = maker;
  const record: CrlRecord = {
    ...scope,
    number,
    ...(previous && { previous: { number: previous.number.toString(), sha256: previous.sha256 } }),
    thisUpdate,
    nextUpdate,
    publishedAt: clock.now(),
    kind,
    ...(kind === 'scheduled' || previous === undefined
      ? { scheduledAt: thisUpdate, scheduledAsOfSeq: asOfSeq }
      : { scheduledAt: previous.scheduledAt, scheduledAsOfSeq: previous.scheduledAsOfSeq }),
    entries,
    bytes,
    sha256,
    asOfSeq,
  };
  const entry = entryOf(maker, scope, 'crl.published', `CRL ${number} with ${entries} entries (${kind})`, {
    number: number.toString(),
    thisUpdate: rfc3339(thisUpdate),
    nextUpdate: rfc3339(nextUpdate),
    entries,
    removed: passed.removed,
    bytes,
    sha256,
    asOfSeq,
  });
  await maker.journal.append([entry]);
  accounted();
  if (await store.publishCrl(record, draft, previous?.number)) return record;
  throw new Problem('conflict', 'another signer published a CRL of this scope meanwhile', {
    field: 'cRLNumber',
    value: number.toString(),
    rule: 'T-34',
  });
}

/** P8: nothing is signed while the log cannot be written. A probe record finds out when it can again. */
async function mustBeRecordable({ journal }: CrlMaker): Promise<void> {
  if (journal.failure === undefined) return;
  const description = 'the audit log can be written again; CRLs are signed';
  await journal.append([{ type: 'journal.recovered', actor: 'signer', description }]);
}

async function accountRefused(
  maker: CrlMaker,
  { scope, number }: Plan,
  draft: CrlDraft,
  error: unknown,
): Promise<void> {
  const why = error instanceof Problem ? error.line : (error as Error).message;
  const detail = {
    number: number.toString(),
    bytes: draft.octets,
    sha256: await draft.digest().catch(() => undefined),
    why: why.slice(0, 1000),
  };
  const entry = entryOf(maker, scope, 'crl.refused', `CRL ${number} was signed, and is not published`, detail);
  const { journal, clock } = maker;
  // The log fails, too: recorded when it can be written again, before any other signature. What went wrong first is thrown.
  await journal.append([entry]).catch(() => journal.owe([{ ...entry, eventAt: rfc3339(clock.now()) }]));
}

function entryOf(
  { at }: CrlMaker,
  { shard }: CrlScope,
  type: 'crl.published' | 'crl.refused',
  description: string,
  detail: object,
): JournalEntry {
  const { id, tag } = at.served;
  const named = shard === COMPLETE ? {} : { shard };
  return { type, actor: 'signer', issuer: id, issuerTag: tag, description, detail: { ...named, ...detail } };
}

interface Plan extends WantedCrl {
  readonly thisUpdate: EpochMs;
  readonly nextUpdate: EpochMs;
  readonly number: bigint;
  readonly idp: Buffer | undefined;
}

interface BuiltCrl extends SignedCrl {
  readonly asOfSeq: number;
  /** From the index. */
  readonly whole: boolean;
}

function max(a: bigint, b: bigint): bigint {
  return a > b ? a : b;
}
