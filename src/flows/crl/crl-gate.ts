/**
 * The publish gate (P6): every CRL passes it before anybody can get it, whoever built or signed it, however large it is.
 *
 *  1. frame      all but the entries, by the strict reader: times, number, extensions, issuer, algorithm; judged by lint.
 *  2. succession number and thisUpdate later than those of the CRL it would replace, data not older, the same scope octet for octet.
 *  3. entries    both CRLs are gone through side by side. What only the new one has, or has differently, is parsed and linted;
 *                what only the old one has must be allowed to leave, each entry for a reason of its own (C-22, T-29). So there is no
 *                guess about how far a CRL may shrink: a loss of any size is explained entry by entry, or refused.
 *  4. signature  over the octets as they lie on the disk, and the SHA-256 of the old CRL against its record.
 *
 * Entries that are octet for octet those of the old CRL are counted, from mark to mark (crl-marks.ts), and not parsed again. That is sound because the old CRL has
 * passed this gate in this process, under these rules; because its octets are, by 4, still those that passed; and because both cursors
 * stand at the beginning of an entry, so that equal octets from there on are equal entries. No rule for an entry depends on more
 * than its octets, the frame and thisUpdate, and thisUpdate has only grown (T-32). A process that has not checked the old CRL itself
 * parses everything.
 */
import { createVerify, type KeyObject } from 'node:crypto';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Certificate, CrlRecord, CrlScope } from '../../core/certificate.ts';
import type { CrlFrame } from '../../core/crl/crl-frame.ts';
import type { CrlEntryView } from '../../core/crl/crl-reader.ts';
import { CA_SHARD } from '../../core/crl/shards.ts';
import { findExtension } from '../../core/der/document.ts';
import { OID } from '../../core/der/oid.ts';
import { extension } from '../../core/der/writer.ts';
import { CrlLinting } from '../../core/lint/lint.ts';
import { mayLeaveCrl } from '../../core/policy/freshness.ts';
import { Problem } from '../../core/problem.ts';
import { REASON_CODES } from '../../core/reason.ts';
import type { Serial } from '../../core/serial.ts';
import { verifierOf } from '../../core/signature-algorithm.ts';
import { formatDuration, rfc3339, type EpochMs } from '../../core/time.ts';
import type { CrlSource } from '../../ports/crl-archive.ts';
import type { CrlShelf, Ledger } from '../../ports/store.ts';
import { EntryCursor, openedCrl, skipEqual, type OpenedCrl } from './crl-entries.ts';
import { KnownMarks, MarkMaker, type CrlMark } from './crl-marks.ts';
import type { ServedIssuer } from '../issuer-setup.ts';

/** Certificates asked of the ledger at once. */
const LOOKED_UP_TOGETHER = 500;
/** Entries parsed between two turns of the event loop: about a millisecond. */
const ENTRIES_PER_TURN = 500;

/** What the CRL is meant to be. */
export interface CrlAbout {
  readonly scope: CrlScope;
  readonly kind: CrlRecord['kind'];
  /** The number that was reserved for it, and how many entries it must have; undefined: made elsewhere. */
  readonly expected: { readonly number: bigint; readonly entries: number } | undefined;
  /** The ledger's count up to which it has everything. */
  readonly asOfSeq: number;
}

/** What it is held against. */
export interface GateParts {
  readonly served: ServedIssuer;
  /** The CA's. */
  readonly publicKey: KeyObject;
  readonly store: Pick<Ledger, 'find'> & Pick<CrlShelf, 'openCrl'>;
  readonly nowMs: EpochMs;
  /** DER of the issuingDistributionPoint extension that it must have; undefined: none (C-18). */
  readonly idp: Buffer | undefined;
  /** What this process found when it passed the previous CRL, under the rules of now; undefined: it has not. */
  readonly previousPassed: Pick<PassedCrl, 'marks'> | undefined;
  /**
   * Whether what is new or different on it is asked of the ledger too. Not for a CRL that was built from the revoked index a moment
   * ago, which is the same data, nor for one that the ledger is to learn from.
   */
  readonly lookUpNew: boolean;
}

export interface PassedCrl {
  readonly frame: CrlFrame;
  readonly entries: number;
  readonly added: number;
  readonly changed: number;
  /** Serials that have left. */
  readonly removed: readonly Serial[];
  /** For the gate of the next one. */
  readonly marks: readonly CrlMark[];
}

/**
 * @param source the CRL as it lies where it will be served from.
 * @param previous the current CRL of the scope.
 * @throws Problem `corrupt` for octets that must not be published, `refused` for a CRL that may not follow the previous one: with
 *   the rule, and the serial or number as value.
 */
export async function checkCrl(
  source: CrlSource,
  about: CrlAbout,
  previous: CrlRecord | undefined,
  parts: GateParts,
): Promise<PassedCrl> {
  const crl = await openedCrl(source);
  mustBeClean(lintingOf(crl.frame, about, previous, parts).findings);
  mustHaveScope(crl.frame, parts.idp);
  if (previous !== undefined) mustFollow(crl.frame, about, previous);

  const by = mustFitKey(crl.frame, parts);
  const signed = createVerify(by.hash);
  signed.update(crl.head.subarray(crl.regions.tbsAt));
  const entries = new EntryCursor(crl.source, crl.regions, (octets) => void signed.update(octets));
  const differences = new Differences(about, previous, parts);
  const made = new MarkMaker();
  const compare = async (old: OpenedCrl | undefined, oldEntries: EntryCursor): Promise<CrlLinting> => {
    const linting = lintingOf(crl.frame, about, previous, parts);
    if (await compareInOrder(oldEntries, entries, linting, differences, made, parts.previousPassed?.marks)) {
      mustBeClean(linting.end());
      return linting;
    }
    if (about.kind !== 'imported' && !linting.ascending)
      throw new Problem('corrupt', 'the entries do not ascend by serial', { field: 'revokedCertificates', rule: 'P5' });
    made.forget();
    return compareUnordered(old, crl, lintingOf(crl.frame, about, previous, parts), differences);
  };
  const linted =
    previous === undefined
      ? await compare(undefined, EntryCursor.none())
      : await againstPrevious(previous, crl.frame, parts, compare);
  await differences.settle();

  await entries.drain();
  signed.update(crl.tail.subarray(0, crl.regions.tbsEnd - crl.regions.entriesEnd));
  if (!signed.verify(by.key, crl.frame.signatureValue)) {
    throw new Problem('corrupt', 'the signature does not verify with the CA certificate', {
      field: 'CertificateList',
      rule: 'RFC 5280 §5.1.1.3',
    });
  }
  const { added, changed, removed } = differences;
  return { frame: crl.frame, entries: linted.entries, added, changed, removed, marks: made.marks };
}

function lintingOf(frame: CrlFrame, about: CrlAbout, previous: CrlRecord | undefined, parts: GateParts): CrlLinting {
  const { profile, issuer } = parts.served;
  return new CrlLinting(frame, {
    authorities: profile.authorities,
    subject: profile.issues === 'ca-certificates' || about.scope.shard === CA_SHARD ? 'ca' : 'subscriber',
    issuer: { name: issuer.nameDer, keyIdentifier: issuer.subjectKeyIdentifier },
    nowMs: parts.nowMs,
    maxValidityMs: profile.crl.validityMs,
    ...(about.expected !== undefined && { expected: about.expected }),
    ...(previous !== undefined && { previous }),
  });
}

function mustBeClean(findings: CrlLinting['findings']): void {
  const errors = findings.filter(({ severity }) => severity === 'error');
  if (errors.length === 0) return;
  throw new Problem('corrupt', `lint: ${errors.map(({ rule, message }) => `${rule} ${message}`).join('; ')}`, {
    field: 'CertificateList',
    rule: errors[0]?.rule ?? 'P6',
  });
}

/** T-37: a shard's CRL has the one URI of its certificates, and a complete one has none (C-17, C-18). */
function mustHaveScope(frame: CrlFrame, idp: Buffer | undefined): void {
  // With nothing revoked a delta differs from the CRL itself in this alone; who fetches one here must refuse it (RFC 5280 §5.2.4).
  if (findExtension(frame.crlExtensions, OID.deltaCRLIndicator) !== undefined)
    throw new Problem('refused', 'a delta CRL: only the complete one is published', {
      field: 'deltaCRLIndicator',
      value: `number ${frame.number}`,
      rule: 'T-36, RFC 5280 §5.2.4',
    });
  const found = idpOf(frame);
  if (found === undefined ? idp === undefined : idp?.equals(extension(OID.issuingDistributionPoint, true, found)))
    return;
  throw new Problem('refused', 'its issuingDistributionPoint is not that of the scope', {
    field: 'issuingDistributionPoint',
    value: found === undefined ? 'none' : Buffer.from(found).toString('latin1'),
    rule: 'T-37, BR 7.2.2.1',
  });
}

function idpOf(frame: CrlFrame): Uint8Array | undefined {
  return findExtension(frame.crlExtensions, OID.issuingDistributionPoint)?.value;
}

/** C-10, T-34: by the frame as it was signed, whatever was planned. */
function mustFollow(frame: CrlFrame, about: CrlAbout, previous: CrlRecord): void {
  const refuse = (message: string, field: string, value: string, rule: string): never => {
    throw new Problem('refused', `${message} CRL ${previous.number}`, { field, value, rule });
  };
  const { number, thisUpdate } = frame;
  if (number === undefined || number <= previous.number)
    refuse('the number is not greater than that of', 'cRLNumber', String(number), 'C-10');
  if (!(thisUpdate > previous.thisUpdate))
    refuse('thisUpdate is not later than that of', 'thisUpdate', rfc3339(thisUpdate), 'C-10, T-34');
  if (about.asOfSeq < previous.asOfSeq)
    refuse('the data is older than that of', 'asOfSeq', String(about.asOfSeq), 'T-59');
}

function mustFitKey(frame: CrlFrame, { publicKey }: GateParts): NonNullable<ReturnType<typeof verifierOf>> {
  const by = verifierOf(frame.signatureAlgorithm, publicKey);
  if (by !== undefined) return by;
  throw new Problem('corrupt', `not an algorithm of the CA's ${publicKey.asymmetricKeyType} key`, {
    field: 'signatureAlgorithm',
    value: Buffer.from(frame.signatureAlgorithm.subarray(0, 40)).toString('hex'),
    rule: 'BR 7.1.3.2',
  });
}

/** Opens the previous CRL for `compare`, and looks whether it is the one that was published. */
async function againstPrevious(
  previous: CrlRecord,
  frame: CrlFrame,
  { store }: GateParts,
  compare: (old: OpenedCrl, oldEntries: EntryCursor) => Promise<CrlLinting>,
): Promise<CrlLinting> {
  const file = await store.openCrl(previous);
  try {
    const digest = file.digest();
    digest.catch(() => undefined);
    const old = await openedCrl(file).catch((error: unknown) => notPublished(previous, error));
    const entries = new EntryCursor(file, old.regions, () => undefined);
    let linted: CrlLinting | undefined;
    let failure: unknown;
    try {
      mustKeepScope(old.frame, frame, previous);
      linted = await compare(old, entries);
    } catch (error) {
      failure = error;
    }
    // What was found by an old CRL that is not the published one means nothing, and that is what must be repaired.
    if ((await digest) !== previous.sha256) notPublished(previous, failure);
    if (linted === undefined) throw failure;
    return linted;
  } finally {
    await file.close();
  }
}

function mustKeepScope(old: CrlFrame, frame: CrlFrame, previous: CrlRecord): void {
  const [was, is] = [idpOf(old), idpOf(frame)];
  if (is === undefined ? was === undefined : was !== undefined && Buffer.from(is).equals(was)) return;
  throw new Problem('refused', `its scope is not that of CRL ${previous.number}: certificates name the old one`, {
    field: 'issuingDistributionPoint',
    value: is === undefined ? 'none' : Buffer.from(is).toString('latin1'),
    rule: 'C-17, T-37',
  });
}

function notPublished(previous: CrlRecord, cause: unknown): never {
  const why = cause instanceof Problem ? `: ${cause.message}` : '';
  throw new Problem('corrupt', `the archived CRL ${previous.number} is not the one that was published${why}`, {
    field: 'archive',
    value: `number ${previous.number}`,
    rule: 'CT-5.5.1-3',
  });
}

/**
 * Goes through both lists side by side; what they share is passed over when the old one has passed before.
 * @param made gets the marks of the new one. @param marks those of the old one; undefined: it has not passed.
 * @returns false when one of them does not ascend: another CA's may not.
 */
async function compareInOrder(
  old: EntryCursor,
  next: EntryCursor,
  linting: CrlLinting,
  differences: Differences,
  made: MarkMaker,
  marks: readonly CrlMark[] | undefined,
): Promise<boolean> {
  const known = new KnownMarks(marks ?? []);
  const marked = (from: number, to: number): readonly CrlMark[] => known.within(from, to);
  let oldLast = '';
  let oldCount = 0;
  let last = '';
  for (let steps = 1; ; steps++) {
    if (old.short) await old.fill();
    if (next.short) await next.fill();
    if (old.done && next.done) return true;
    if (steps % ENTRIES_PER_TURN === 0) await nextTurn();
    made.add(next.place, linting.entries, last);
    const [ahead, more] = [next.place - old.place, linting.entries - oldCount];
    const stretch = marks === undefined ? undefined : skipEqual(old, next, marked, oldCount);
    if (stretch !== undefined) {
      for (const mark of stretch.marks) made.keep(mark.place + ahead, mark.count + more, mark.last);
      linting.passed(stretch.count, stretch.first, stretch.last);
      if (!linting.ascending) return false;
      oldCount += stretch.count;
      last = stretch.last;
      continue;
    }
    const entry = next.done ? undefined : next.peek();
    const same = entry !== undefined && !old.done && old.octets().equals(next.octets());
    const was = old.done || same ? undefined : old.peek();
    const [serial, oldSerial] = [entry?.serial ?? '', was?.serial ?? ''];
    if (was !== undefined && (entry === undefined || oldSerial <= serial)) {
      if (oldSerial <= oldLast) return false;
      oldLast = oldSerial;
      if (oldSerial === serial) differences.isChanged(entry as CrlEntryView);
      else differences.isLost(was);
      old.skip();
      oldCount += 1;
    } else if (same) {
      old.skip();
      oldCount += 1;
    } else differences.isNew(entry as CrlEntryView);
    if (entry !== undefined && (was === undefined || oldSerial >= serial)) {
      linting.entry(entry);
      if (!linting.ascending) return false;
      next.skip();
      last = serial;
    }
    if (differences.waiting >= LOOKED_UP_TOGETHER) await differences.settle();
  }
}

/** The same where order says nothing: the serials of the new list are held in memory. Only other CAs' CRLs are like that. */
async function compareUnordered(
  old: OpenedCrl | undefined,
  crl: OpenedCrl,
  linting: CrlLinting,
  differences: Differences,
): Promise<CrlLinting> {
  differences.forget();
  const listed = new Set<string>();
  await eachEntry(crl, (entry) => {
    linting.entry(entry);
    listed.add(Buffer.from(entry.serialOctets).toString('hex'));
  });
  mustBeClean(linting.end(linting.entries - listed.size));
  if (old !== undefined) {
    await eachEntry(old, async (entry) => {
      if (listed.has(Buffer.from(entry.serialOctets).toString('hex'))) return;
      differences.isLost(entry);
      if (differences.waiting >= LOOKED_UP_TOGETHER) await differences.settle();
    });
  }
  return linting;
}

async function eachEntry(
  { source, regions }: OpenedCrl,
  visit: (entry: CrlEntryView) => Promise<void> | void,
): Promise<void> {
  const cursor = new EntryCursor(source, regions, () => undefined);
  for (let steps = 1; ; steps++) {
    if (cursor.short) await cursor.fill();
    if (cursor.done) return;
    if (steps % ENTRIES_PER_TURN === 0) await nextTurn();
    await visit(cursor.peek());
    cursor.skip();
  }
}

/** What the new CRL has that the old one has not, and the reverse; judged by the ledger a few hundred at a time. */
class Differences {
  added = 0;
  changed = 0;
  removed: Serial[] = [];
  readonly #about: CrlAbout;
  readonly #previous: CrlRecord | undefined;
  readonly #parts: GateParts;
  #lost: Serial[] = [];
  #listed: CrlEntryView[] = [];

  constructor(about: CrlAbout, previous: CrlRecord | undefined, parts: GateParts) {
    this.#about = about;
    this.#previous = previous;
    this.#parts = parts;
  }

  get waiting(): number {
    return this.#lost.length + this.#listed.length;
  }

  isLost({ serial }: CrlEntryView): void {
    // Lint has refused such an entry before the old CRL could be published.
    if (serial !== undefined) this.#lost.push(serial);
  }

  isNew(entry: CrlEntryView): void {
    this.added += 1;
    if (this.#parts.lookUpNew) this.#listed.push(entry);
  }

  isChanged(entry: CrlEntryView): void {
    this.changed += 1;
    if (this.#about.kind !== 'imported') this.#listed.push(entry);
  }

  forget(): void {
    this.added = 0;
    this.changed = 0;
    this.removed = [];
    this.#lost = [];
    this.#listed = [];
  }

  /** @throws Problem `refused` for the first that the ledger does not explain. */
  async settle(): Promise<void> {
    const [lost, listed] = [this.#lost, this.#listed];
    this.#lost = [];
    this.#listed = [];
    const serials = [...lost, ...listed.map(({ serial }) => serial as Serial)];
    if (serials.length === 0) return;
    const known = await this.#parts.store.find(this.#about.scope.issuer, serials);
    lost.forEach((serial, i) => this.#mustMayLeave(serial, known[i]));
    listed.forEach((entry, i) => this.#mustBeRecorded(entry, known[lost.length + i]));
    this.removed.push(...lost);
  }

  /** RFC 5280 §3.3, C-22: from the ledger's own words, not from what the builder left out. */
  #mustMayLeave(serial: Serial, certificate: Certificate | undefined): void {
    const previous = this.#previous as CrlRecord;
    const { afterExpiryMs } = this.#parts.served.profile.crl;
    if (certificate !== undefined) {
      const { revocation, notAfter } = certificate;
      // A hold that was released leaves the full CRL at once (RFC 5280 §5.3.1, T-29).
      if (revocation === undefined && this.#parts.served.profile.reasons.hold === 'allow') return;
      // Each CRL that is signed elsewhere is a scheduled one, and the ledger learns from it what it knows.
      const listedAfterItsEnd = notAfter !== undefined && notAfter + afterExpiryMs < previous.thisUpdate;
      if (this.#about.kind === 'imported' ? listedAfterItsEnd : mayLeaveCrl(certificate, previous, afterExpiryMs))
        return;
    }
    const end = afterExpiryMs === 0 ? 'has expired' : `has been expired for ${formatDuration(afterExpiryMs)}`;
    throw new Problem(
      'refused',
      `serial ${serial} stands on CRL ${previous.number} and would be lost before its certificate ${end}`,
      { field: 'revokedCertificates', value: serial, rule: 'RFC 5280 §3.3, BR 4.10.1' },
    );
  }

  /** T-59: with the ledger's date and reason. */
  #mustBeRecorded({ serial, revocationDate, reasonCode }: CrlEntryView, certificate: Certificate | undefined): void {
    // It has changed since the CRL's data was read: the next one says so.
    if (certificate !== undefined && certificate.recordedSeq > this.#about.asOfSeq) return;
    const revocation = certificate?.revocation;
    const code = revocation?.reason === undefined ? undefined : REASON_CODES[revocation.reason];
    if (revocation !== undefined && revocation.revokedAt === revocationDate && code === reasonCode) return;
    const recorded =
      revocation === undefined
        ? 'not revoked'
        : `revoked at ${rfc3339(revocation.revokedAt)} with reason ${revocation.reason ?? 'none'}`;
    throw new Problem(
      'refused',
      `serial ${serial} would be listed with ${rfc3339(revocationDate)} and reason ${reasonCode ?? 'none'}; in the ledger it is ${recorded}`,
      { field: 'revokedCertificates', value: serial, rule: 'T-59' },
    );
  }
}
