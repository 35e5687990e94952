/**
 * From certificates and times to signed answers: which key signs now, the signatures, and what the journal says of them. Each
 * answer passes check-answer.ts before it is published (P6). One certificate that fails keeps no other from its answer.
 */
import type { KeyObject } from 'node:crypto';
import {
  LANES,
  type Certificate,
  type CertIdHash,
  type Lane,
  type PublishedResponse,
  type Revocation,
} from '../../core/certificate.ts';
import type { JournalEntry } from '../../core/journal-record.ts';
import type { ResponseTimes } from '../../core/policy/freshness.ts';
import { chooseResponder, lastsLongEnough } from '../../core/policy/responder-choice.ts';
import { rfc3339, type EpochMs } from '../../core/time.ts';
import type { KeyHolder, SignPriority } from '../../ports/key-holder.ts';
import type { QueueItem } from '../../ports/store.ts';
import { checkAnswer, digestOf } from './check-answer.ts';
import type { ServedIssuer, SigningKeys } from '../issuer-setup.ts';
import type { ServedResponder } from '../responders.ts';
import type { Turns } from './turns.ts';

export interface ActiveResponder {
  readonly served: ServedResponder;
  readonly holder: KeyHolder;
  readonly publicKey: KeyObject;
  readonly issuer: ServedIssuer;
}

/** Who signs now (core/policy/responder-choice.ts), of the certificates that are not retired and have a key here. */
export function activeResponder(at: IssuerKeys, nowMs: EpochMs): ActiveResponder | undefined {
  return chooseResponder(candidates(at), nowMs);
}

/** What their keys say of themselves, when certificates could sign and their keys cannot; empty otherwise. */
export function keyFailures(at: IssuerKeys, nowMs: EpochMs): readonly string[] {
  const able = candidates(at).filter(({ certificate }) => lastsLongEnough(certificate, nowMs));
  return able.flatMap(({ holder }) => holder.failure ?? []);
}

interface IssuerKeys {
  readonly served: ServedIssuer;
  readonly keys: SigningKeys;
}

function candidates({ served: issuer, keys }: IssuerKeys): (ActiveResponder & {
  readonly certificate: ServedResponder['certificate'];
  readonly usable: boolean;
})[] {
  return issuer.responders.signing.flatMap((served) => {
    const { certificate } = served;
    const key = keys.ocsp.get(certificate.id);
    return key === undefined ? [] : [{ served, ...key, issuer, certificate, usable: key.holder.failure === undefined }];
  });
}

export interface Work {
  readonly item: QueueItem;
  readonly certificate: Certificate;
  readonly times: ResponseTimes;
}

export interface Answered {
  readonly item: QueueItem;
  readonly recordedAt: EpochMs;
  readonly response: PublishedResponse;
  /** SHA-256 of each OCSPResponse, for the journal. */
  readonly digests: readonly string[];
}

/** No answer came of it. */
export interface Failed {
  readonly work: Work;
  readonly error: unknown;
  /** SHA-256 of each signature that was made all the same, for the journal. */
  readonly digests: readonly string[];
}

/**
 * Both CertID hashes of each certificate.
 * @param checks certificates whose answers are checked at once. Reading and linting a whole batch in one turn of the event loop would
 *   hold up every request for tens of milliseconds, and verifying it at once would keep the store's look-ups waiting for a thread.
 * @param now asked once the signatures are there.
 * @throws when the key holder as a whole is gone.
 */
export async function signAnswers(
  responder: ActiveResponder,
  work: readonly Work[],
  priority: SignPriority,
  checks: Turns,
  now: () => EpochMs,
): Promise<{ answered: Answered[]; failed: Failed[] }> {
  const { template } = responder.served;
  const tbs = work.flatMap(({ certificate: { serial, revocation }, times }) =>
    HASHES.map((hash) => template.tbs(hash, serial, { revocation, ...times })),
  );
  const signatures = await responder.holder.sign(tbs, priority);
  const publishedAt = now();
  const signed = async ({ certificate: subject, times }: Work, hash: CertIdHash, at: number): Promise<Signed> => {
    const result = signatures[at];
    if (result === undefined || !result.ok) throw result?.error ?? new Error('the key holder returned no signature');
    const { signature } = result;
    const { serial, revocation } = subject;
    const der = template.assemble(hash, serial, { revocation, ...times }, signature);
    const made = { der, tbs: tbs[at] as Buffer, signature, hash, serial, revocation, ...times };
    // The third opinion is too slow for every answer: the first certificate of each batch stands for the rest.
    await checkAnswer(made, responder, { compared: at < HASHES.length });
    return { signature, digest: digestOf(der) };
  };
  const outcomes = await Promise.allSettled(
    work.map((one, i) =>
      checks.take(priority, () => Promise.all(HASHES.map((hash, h) => signed(one, hash, HASHES.length * i + h)))),
    ),
  );
  const answered: Answered[] = [];
  const failed: Failed[] = [];
  outcomes.forEach((outcome, i) => {
    const one = work[i] as Work;
    if (outcome.status === 'rejected') {
      const made = signatures.slice(HASHES.length * i, HASHES.length * (i + 1));
      const digests = made.flatMap((result) => (result.ok ? [digestOf(result.signature)] : []));
      return void failed.push({ work: one, error: outcome.reason, digests });
    }
    const [sha1, sha256] = outcome.value as [Signed, Signed];
    const { issuer, serial, revision, revocation, recordedAt } = one.certificate;
    answered.push({
      item: one.item,
      recordedAt,
      digests: [sha1.digest, sha256.digest],
      response: {
        issuer,
        serial,
        revision,
        revocation,
        ...one.times,
        publishedAt,
        responder: responder.served.certificate.id,
        signatures: { sha1: sha1.signature, sha256: sha256.signature },
      },
    });
  });
  return { answered, failed };
}

interface Signed {
  readonly signature: Buffer;
  readonly digest: string;
}

/** The journal's record of a batch (P8). */
export function signedRecord(
  issuer: ServedIssuer,
  responder: ServedResponder,
  answered: readonly Answered[],
): JournalEntry {
  const lanes = LANES.filter((lane: Lane) => answered.some(({ item }) => item.lane === lane));
  return {
    type: 'ocsp.signed',
    actor: 'signer',
    issuer: issuer.id,
    issuerTag: issuer.tag,
    description: `${answered.length * HASHES.length} OCSP responses signed (${lanes.join(', ')})`,
    detail: {
      responder: responder.certificate.id,
      // serial, revision, status, thisUpdate, nextUpdate, SHA-256 of the response with a SHA-1 and with a SHA-256 CertID
      responses: answered.map(({ response, digests }) => [
        response.serial,
        response.revision,
        statusText(response.revocation),
        rfc3339(response.thisUpdate),
        rfc3339(response.nextUpdate),
        ...digests,
      ]),
    },
  };
}

/** The journal's record of signatures that are not published (P8): they exist, so they are accounted for. Undefined without any. */
export function refusedRecord(
  issuer: ServedIssuer,
  responder: ServedResponder,
  failed: readonly Failed[],
): JournalEntry | undefined {
  const made = failed.filter(({ digests }) => digests.length > 0);
  if (made.length === 0) return undefined;
  return {
    type: 'ocsp.refused',
    actor: 'signer',
    issuer: issuer.id,
    issuerTag: issuer.tag,
    description: `OCSP responses for ${made.length} certificates were signed, and are not published`,
    detail: {
      responder: responder.certificate.id,
      // The reason of the first stands for the rest: a batch is refused for one.
      why: String(made[0]?.error).slice(0, 1000),
      // serial, revision, thisUpdate, nextUpdate, SHA-256 of each signature
      signed: made.map(({ work: { certificate, times }, digests }) => [
        certificate.serial,
        certificate.revision,
        rfc3339(times.thisUpdate),
        rfc3339(times.nextUpdate),
        ...digests,
      ]),
    },
  };
}

/** Of answers that were signed when the journal could not be written: they are not published. */
export function unrecorded(
  answered: readonly Answered[],
  certificates: readonly Work[],
  error: unknown,
): readonly Failed[] {
  const work = new Map(certificates.map((one) => [one.item, one]));
  return answered.flatMap(({ item, response: { signatures } }) => {
    const one = work.get(item);
    return one === undefined ? [] : [{ work: one, error, digests: HASHES.map((hash) => digestOf(signatures[hash])) }];
  });
}

/** As journal records say it. */
export function statusText(revocation: Revocation | undefined): string {
  return revocation === undefined
    ? 'good'
    : `revoked ${rfc3339(revocation.revokedAt)} ${revocation.reason ?? ''}`.trimEnd();
}

const HASHES = ['sha1', 'sha256'] as const satisfies readonly CertIdHash[];
