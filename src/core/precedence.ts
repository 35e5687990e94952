/**
 * Which of two recorded states of one certificate stays, when journals of several intakes are replayed into a ledger that has
 * forgotten. A total order, so that the outcome does not depend on the order of the replay.
 *
 * In operation this never decides: each change is applied only onto the state that it was decided on. Two records can name the
 * same revision only if a process died between journalling a change and learning that another intake had been quicker.
 */
import type { Certificate, Revocation } from './certificate.ts';

export function outranks(next: Certificate, current: Certificate): boolean {
  if (next.revision !== current.revision) return next.revision > current.revision;
  // P2: between `revoked` and `good` at one revision, revoked stays.
  const [revoked, wasRevoked] = [next.revocation !== undefined, current.revocation !== undefined];
  if (revoked !== wasRevoked) return revoked;
  if (next.recordedAt !== current.recordedAt) return next.recordedAt > current.recordedAt;
  // What was learnt of a certificate outranks what was not: of what is known alone follows where it is revoked, and for which key.
  const [learnt, wasLearnt] = [known(next), known(current)];
  for (let i = 0; i < learnt.length; i++) if (learnt[i] !== wasLearnt[i]) return learnt[i] === true;
  return contents(next) > contents(current);
}

/** How much is known, the gravest first: a shard is fixed once; without a URL a certificate is on CRLs alone (T-42). */
function known({ crlShard, withoutOcsp, spkiHash, notAfter, notBefore }: Certificate): readonly boolean[] {
  return [crlShard !== undefined, withoutOcsp, spkiHash !== undefined, notAfter !== undefined, notBefore !== undefined];
}

/** Any order will do, as long as it is one. */
function contents(certificate: Certificate): string {
  const { notBefore, notAfter, precertificate, crlShard, withoutOcsp, spkiHash, revocation } = certificate;
  const said = [revocation?.revokedAt, revocation?.reason];
  return JSON.stringify([notBefore, notAfter, precertificate, crlShard, withoutOcsp, spkiHash, ...said]);
}

/** Do two states say the same of a revocation? Of one revision they do, except after a crash (outranks). */
export function sameRevocation(a: Revocation | undefined, b: Revocation | undefined): boolean {
  return a?.revokedAt === b?.revokedAt && a?.reason === b?.reason;
}

/** One string per certificate, for maps. */
export function certificateKey({ issuer, serial }: Pick<Certificate, 'issuer' | 'serial'>): string {
  return issuer + serial;
}
