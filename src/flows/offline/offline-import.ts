/**
 * Takes the signed material of an offline ceremony in: responder certificates first, because they sign what follows; then CRLs, each
 * through import-crl.ts; then answers that the CA has signed itself. Each item is taken or refused on its own, and may come again.
 *
 * An answer is believed only when its octets are exactly those that this issuer's template makes for what the ledger says now: so a
 * `good` from before a revocation is refused, however new its thisUpdate is (P2), and what is stored is the signature alone
 * (design decision 8).
 */
import type { Certificate, CertIdHash, PublishedResponse } from '../../core/certificate.ts';
import { pem } from '../../core/certificate-writer.ts';
import type { MaterialItem, OfflineMaterial } from '../../core/offline/offline-file.ts';
import { sha256Hex } from '../../core/offline/offline-file.ts';
import { readBasic } from '../../core/offline/unsigned.ts';
import { HOUR, rfc3339, wholeSecond, type EpochMs } from '../../core/time.ts';
import { Problem } from '../../core/problem.ts';
import { REASON_CODES } from '../../core/reason.ts';
import type { Serial } from '../../core/serial.ts';
import type { RefreshQueue } from '../../ports/store.ts';
import type { ResponderChanges } from '../sign/change-responder.ts';
import { checkAnswer } from '../sign/check-answer.ts';
import { importCrl, type CrlImportParts } from '../crl/import-crl.ts';
import type { ServedIssuer } from '../issuer-setup.ts';
import type { ServedResponder } from '../responders.ts';
import { statusText } from '../sign/sign-answers.ts';

export interface OfflineImportParts extends CrlImportParts {
  readonly store: CrlImportParts['store'] & RefreshQueue;
  /** Undefined in a process without keys. */
  readonly responders: ResponderChanges | undefined;
}

export interface ImportedItem {
  readonly kind: MaterialItem['kind'];
  /** For people: what it is. */
  readonly what: string;
  readonly outcome: 'published' | 'known' | 'refused';
  readonly why?: string;
}

/** @throws Problem `refused` when the material is another issuer's; what is wrong with one item stands in its outcome. */
export async function importOffline(
  issuer: ServedIssuer,
  material: OfflineMaterial,
  actor: string,
  source: string,
  parts: OfflineImportParts,
): Promise<readonly ImportedItem[]> {
  if (material.issuer !== issuer.id)
    throw new Problem('refused', `was made for issuer ${material.issuer}`, {
      field: '/material/issuer',
      value: issuer.id,
    });
  const of = <K extends MaterialItem['kind']>(kind: K): Extract<MaterialItem, { kind: K }>[] =>
    material.items.filter((item): item is Extract<MaterialItem, { kind: K }> => item.kind === kind);
  // SR-6.2.8: who signed is in the audit log with each item.
  const from = `${source}, signed ${material.signedAt} by ${material.persons.join(' and ')}`;
  const done: ImportedItem[] = [];
  for (const item of of('responder')) done.push(await importResponder(issuer, item, actor, parts));
  for (const { der } of of('crl')) {
    done.push(
      await attempt('crl', 'CRL', async () => {
        const { number, published, learnt } = await importCrl(issuer, der, actor, from, parts);
        const what = `CRL ${number}${learnt > 0 ? `, ${learnt} revocations learnt from it` : ''}`;
        return { what, outcome: published ? 'published' : 'known' };
      }),
    );
  }
  const answers = of('ocsp');
  if (answers.length > 0)
    done.push(
      ...(await importAnswers(
        issuer,
        answers.map(({ der }) => der),
        material,
        actor,
        parts,
      )),
    );
  return done;
}

function importResponder(
  issuer: ServedIssuer,
  { der, key }: { readonly der: Buffer; readonly key: readonly string[] },
  actor: string,
  { responders }: OfflineImportParts,
): Promise<ImportedItem> {
  return attempt('responder', 'responder certificate', async () => {
    if (responders === undefined)
      throw new Problem('unavailable', 'this process has no keys: give it to the signer', {
        field: 'responder certificate',
      });
    const { id, installed, notAfter } = await responders.install(issuer, pem('CERTIFICATE', der), key, actor);
    return { what: `responder certificate ${id} until ${notAfter}`, outcome: installed ? 'published' : 'known' };
  });
}

/** One problem keeps no other item out. What is no Problem is a defect, and ends the import. */
async function attempt(
  kind: ImportedItem['kind'],
  what: string,
  run: () => Promise<Omit<ImportedItem, 'kind'>>,
): Promise<ImportedItem> {
  try {
    return { kind, ...(await run()) };
  } catch (error) {
    if (!(error instanceof Problem) || error.code === 'unavailable') throw error;
    return { kind, what, outcome: 'refused', why: error.line };
  }
}

interface Answer {
  readonly der: Buffer;
  readonly tbs: Buffer;
  readonly signature: Buffer;
  readonly hash: CertIdHash;
  readonly serial: Serial;
  readonly revokedAt: EpochMs | undefined;
  readonly reasonCode: number | undefined;
  readonly thisUpdate: EpochMs;
  readonly nextUpdate: EpochMs;
}

/** Both CertID hashes of a certificate together: same times, same status. */
async function importAnswers(
  issuer: ServedIssuer,
  ders: readonly Buffer[],
  material: OfflineMaterial,
  actor: string,
  parts: OfflineImportParts,
): Promise<ImportedItem[]> {
  const { store, clock, journal } = parts;
  const ca = issuer.responders.list.find(({ certificate }) => !certificate.delegated);
  if (issuer.offline?.ocsp !== true || ca === undefined)
    return [
      {
        kind: 'ocsp',
        what: `${ders.length} answers`,
        outcome: 'refused',
        why: 'the CA does not sign answers itself (ocsp.signedBy)',
      },
    ];
  const outcomes: ImportedItem[] = [];
  const bySerial = new Map<Serial, Answer[]>();
  for (const der of ders) {
    const outcome = await attempt('ocsp', 'OCSP response', async () => {
      const answer = readAnswer(der);
      bySerial.set(answer.serial, [...(bySerial.get(answer.serial) ?? []), answer]);
      return { what: '', outcome: 'known' };
    });
    if (outcome.outcome === 'refused') outcomes.push(outcome);
  }
  const serials = [...bySerial.keys()];
  const certificates = await store.find(issuer.tag, serials);
  const responses: { readonly response: PublishedResponse; readonly digests: readonly string[] }[] = [];
  for (const [i, serial] of serials.entries()) {
    const answers = bySerial.get(serial) as Answer[];
    const outcome = await attempt('ocsp', `OCSP answer for ${serial}`, async () => {
      const response = await checkedResponse(issuer, ca, certificates[i], answers, clock.now());
      responses.push({ response, digests: answers.map(({ der }) => sha256Hex(der)) });
      return { what: '', outcome: 'known' };
    });
    if (outcome.outcome === 'refused') outcomes.push(outcome);
  }
  if (responses.length === 0) return outcomes;
  await journal.append([
    {
      type: 'ocsp.imported',
      actor,
      issuer: issuer.id,
      issuerTag: issuer.tag,
      description: `answers for ${responses.length} certificates, signed offline`,
      detail: {
        responder: ca.certificate.id,
        request: material.requestSha256,
        persons: material.persons,
        // As ocsp.signed has them.
        responses: responses.map(({ response, digests }) => [
          response.serial,
          response.revision,
          statusText(response.revocation),
          rfc3339(response.thisUpdate),
          rfc3339(response.nextUpdate),
          ...digests,
        ]),
      },
    },
  ]);
  const published = await store.publish(
    responses.map(({ response }) => ({
      response,
      item: { issuer: issuer.tag, serial: response.serial, lane: 'asked' as const, dueAt: clock.now() },
    })),
  );
  responses.forEach(({ response: { serial } }, i) => {
    const outcome = published[i];
    const what = `OCSP answer for ${serial}`;
    if (outcome === 'published') outcomes.push({ kind: 'ocsp', what, outcome });
    else if (outcome === 'older') outcomes.push({ kind: 'ocsp', what, outcome: 'known' });
    else
      outcomes.push({
        kind: 'ocsp',
        what,
        outcome: 'refused',
        why: 'the certificate has changed meanwhile: export again (P2)',
      });
  });
  return outcomes;
}

/** @throws Problem `corrupt` for octets that are no answer about one certificate. */
function readAnswer(der: Buffer): Answer {
  const { basic } = readBasic(der);
  const [single, more] = basic.responses;
  if (
    single?.serial === undefined ||
    single.hash === undefined ||
    single.nextUpdate === undefined ||
    more !== undefined
  )
    throw new Problem('corrupt', 'not one answer about one certificate with nextUpdate', {
      field: 'responses',
      rule: 'L-06, L-13',
    });
  return {
    der,
    tbs: Buffer.from(basic.tbs),
    signature: Buffer.from(basic.signature),
    hash: single.hash,
    serial: single.serial,
    revokedAt: single.revocationTime,
    reasonCode: single.revocationReason,
    thisUpdate: single.thisUpdate,
    nextUpdate: single.nextUpdate,
  };
}

/** @throws Problem `refused` when the ledger says something else, `corrupt` for what nobody may be given (P6). */
async function checkedResponse(
  issuer: ServedIssuer,
  ca: ServedResponder,
  certificate: Certificate | undefined,
  answers: readonly Answer[],
  nowMs: EpochMs,
): Promise<PublishedResponse> {
  const refuse = (message: string, rule: string): Problem =>
    new Problem('refused', message, { field: 'OCSPResponse', rule });
  if (certificate === undefined) throw refuse('the ledger has no such certificate', 'P3');
  const { serial, revision, revocation } = certificate;
  const [sha1, sha256] = [byHash(answers, 'sha1'), byHash(answers, 'sha256')];
  if (sha1 === undefined || sha256 === undefined || answers.length !== 2)
    throw refuse('one answer with each CertID hash is needed', 'design decision 2');
  const { thisUpdate, nextUpdate } = sha1;
  if (sha256.thisUpdate !== thisUpdate || sha256.nextUpdate !== nextUpdate)
    throw refuse('two answers of different times', 'P2');
  if (thisUpdate > nowMs) throw refuse(`thisUpdate ${rfc3339(thisUpdate)} is in the future`, 'P4');
  if (nextUpdate < nowMs) throw refuse(`nextUpdate ${rfc3339(nextUpdate)} has passed`, 'P4');
  for (const answer of [sha1, sha256]) {
    const code = revocation?.reason === undefined ? undefined : REASON_CODES[revocation.reason];
    if (answer.revokedAt !== revocation?.revokedAt || answer.reasonCode !== code)
      throw refuse(`in the ledger it is ${statusText(revocation)}: export again`, 'P2, T-59');
    const said = { revocation, thisUpdate, nextUpdate };
    if (!ca.template.tbs(answer.hash, serial, said).equals(answer.tbs))
      throw refuse('not the octets that were exported: only their signature is kept', 'design decision 8');
    const by = { served: ca, publicKey: issuer.issuer.publicKey, issuer };
    await checkAnswer({ ...answer, ...said }, by, { compared: true });
  }
  return {
    issuer: issuer.tag,
    serial,
    revision,
    revocation,
    thisUpdate,
    nextUpdate,
    // Caches let go of it before it ends (L-19), and it is nobody's work to sign it again here.
    refreshAt: wholeSecond(Math.min(thisUpdate + issuer.profile.ocsp.refreshAfterMs, nextUpdate - 8 * HOUR)),
    publishedAt: nowMs,
    responder: ca.certificate.id,
    signatures: { sha1: sha1.signature, sha256: sha256.signature },
  };
}

function byHash(answers: readonly Answer[], hash: CertIdHash): Answer | undefined {
  return answers.find((answer) => answer.hash === hash);
}
