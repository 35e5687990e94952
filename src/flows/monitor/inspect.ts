/** Questions of a CA about its own certificates: the state of one, and how far an acknowledged event has come. */
import { COMPLETE, type Certificate, type CrlRecord } from '../../core/certificate.ts';
import { shardUrl } from '../../core/crl/shards.ts';
import { Problem } from '../../core/problem.ts';
import { serialFromHex, type Serial } from '../../core/serial.ts';
import { rfc3339, type EpochMs } from '../../core/time.ts';
import type { CrlShelf, Reliance, ResponseSource } from '../../ports/store.ts';
import type { ServedIssuer } from '../issuer-setup.ts';

export interface CertificateView {
  readonly serial: string;
  readonly status: 'good' | 'revoked';
  readonly revision: number;
  readonly revokedAt?: string;
  readonly reason?: string;
  readonly notBefore?: string;
  readonly notAfter?: string;
  readonly precertificate: boolean;
  readonly recordedAt: string;
  /** Per CertID hash; empty while nothing of this revision is published. */
  readonly ocsp: { readonly sha1?: Times; readonly sha256?: Times };
  /** Its shard and the URL of its CRL; absent when it is on the complete CRL alone. */
  readonly crlShard?: string;
  readonly crlUrl?: string;
  /** The current CRL of its shard, or else the complete one; `listed` says whether the revocation is on it. */
  readonly crl?: { readonly number: string; readonly thisUpdate: string; readonly listed: boolean };
}

interface Times {
  readonly thisUpdate: string;
  readonly nextUpdate: string;
}

export interface ReceiptView {
  readonly id: string;
  readonly serial: string;
  /** recorded: durable. signed: OCSP says it, the CRL not yet. visible: everything that has to say it says it. */
  readonly state: 'recorded' | 'signed' | 'visible';
  readonly ocspVisibleAt?: string;
  readonly crlVisibleAt?: string;
}

export async function viewCertificate(
  issuer: ServedIssuer,
  serial: Serial,
  store: ResponseSource & CrlShelf,
): Promise<CertificateView> {
  const found = await store.lookup(issuer.tag, serial);
  if (found.kind === 'unknown') throw notIssued(issuer, serial);
  const { certificate } = found;
  const { crlShard } = certificate;
  const crlUrl = crlShard === undefined ? undefined : shardUrl(issuer.crls, crlShard);
  const crl = await store.current({ issuer: issuer.tag, shard: crlShard ?? COMPLETE });
  const times =
    found.kind === 'published'
      ? { thisUpdate: rfc3339(found.response.thisUpdate), nextUpdate: rfc3339(found.response.nextUpdate) }
      : undefined;
  return {
    serial,
    status: certificate.revocation === undefined ? 'good' : 'revoked',
    revision: certificate.revision,
    ...(certificate.revocation !== undefined && { revokedAt: rfc3339(certificate.revocation.revokedAt) }),
    ...(certificate.revocation?.reason !== undefined && { reason: certificate.revocation.reason }),
    ...(certificate.notBefore !== undefined && { notBefore: rfc3339(certificate.notBefore) }),
    ...(certificate.notAfter !== undefined && { notAfter: rfc3339(certificate.notAfter) }),
    precertificate: certificate.precertificate,
    recordedAt: rfc3339(certificate.recordedAt),
    ocsp: times === undefined ? {} : { sha1: times, sha256: times },
    ...(crlShard !== undefined && { crlShard }),
    ...(crlUrl !== undefined && { crlUrl }),
    ...(crl !== undefined && {
      crl: {
        number: crl.number.toString(),
        thisUpdate: rfc3339(crl.thisUpdate),
        listed: certificate.revocation !== undefined && listedOn(crl, certificate),
      },
    }),
  };
}

export async function viewReceipt(
  id: string,
  issuers: ReadonlyMap<string, ServedIssuer>,
  store: ResponseSource & CrlShelf & Reliance,
  nowMs: EpochMs,
): Promise<ReceiptView> {
  const [, issuerId, hex, revision] = /^([a-z0-9-]{1,64})\.([0-9a-f]{2,40})\.(\d{1,9})$/.exec(id) ?? [];
  const issuer = issuerId === undefined ? undefined : issuers.get(issuerId);
  if (issuer === undefined || hex === undefined)
    throw new Problem('not-found', 'no such receipt', { field: 'id', value: id });
  const serial = serialFromHex(hex, 'id');
  const found = await store.lookup(issuer.tag, serial);
  if (found.kind === 'unknown' || found.certificate.revision < Number(revision))
    throw new Problem('not-found', 'no such receipt', { field: 'id', value: id });
  const { certificate } = found;
  /** Published, and long enough ago that every responder has followed. */
  const visible = (publishedAt: EpochMs | undefined): EpochMs | undefined => {
    if (publishedAt === undefined || store.propagationMs === 0) return publishedAt;
    const at = publishedAt + store.propagationMs;
    return at <= nowMs ? at : undefined;
  };
  const ocspVisibleAt = visible(found.kind === 'published' ? found.response.publishedAt : undefined);
  // A later revision that is not revoked is a hold that was released: then the CRL has to say so too.
  const concernsCrl = certificate.revocation !== undefined || certificate.revision > 1;
  const crlVisibleAt = visible(concernsCrl ? await firstListedAt(issuer, certificate, store) : undefined);
  const complete = ocspVisibleAt !== undefined && (!concernsCrl || crlVisibleAt !== undefined);
  return {
    id,
    serial,
    state: complete ? 'visible' : ocspVisibleAt === undefined ? 'recorded' : 'signed',
    ...(ocspVisibleAt !== undefined && { ocspVisibleAt: rfc3339(ocspVisibleAt) }),
    ...(crlVisibleAt !== undefined && { crlVisibleAt: rfc3339(crlVisibleAt) }),
  };
}

function notIssued(issuer: ServedIssuer, serial: Serial): Problem {
  return new Problem('not-found', `issuer ${issuer.id} has not issued a certificate with this serial`, {
    field: 'serial',
    value: serial,
  });
}

function listedOn(crl: CrlRecord, certificate: Certificate): boolean {
  return crl.asOfSeq >= certificate.recordedSeq;
}

/**
 * From when on every CRL that speaks of it has said so: that of its shard, and the complete one where there is one; undefined while one
 * of them does not yet.
 */
async function firstListedAt(
  { tag, crls }: ServedIssuer,
  certificate: Certificate,
  store: CrlShelf,
): Promise<EpochMs | undefined> {
  const { crlShard } = certificate;
  const shards = [
    ...(crlShard === undefined ? [] : [crlShard]),
    ...(crls.complete || crlShard === undefined ? [COMPLETE] : []),
  ];
  let at: EpochMs = 0;
  for (const shard of shards) {
    /** Publication of the first CRL of the scope whose data includes the revocation, and that is served by every process. */
    let first: EpochMs | undefined;
    for await (const crl of store.list({ issuer: tag, shard })) {
      if (!listedOn(crl, certificate)) break;
      if (store.isRelayed(crl)) first = crl.publishedAt;
    }
    if (first === undefined) return undefined;
    at = Math.max(at, first);
  }
  return at;
}
