/** A row of an existing CA's records, onto what is known of its certificate. */
import type { Certificate } from '../core/certificate.ts';
import type { ImportRow } from '../core/import/row.ts';
import { checkPositive, checkRepresentable, issue, revoke, type RevocationEvent } from '../core/status.ts';
import type { EpochMs } from '../core/time.ts';
import type { ServedIssuer } from './issuer-setup.ts';
import { shardFor } from './shard-for.ts';

/**
 * The certificate, and then its revocation if the row has one.
 * @returns undefined: no change. @throws Problem that rejects the row.
 */
export function importRow(
  at: ServedIssuer,
  current: Certificate | undefined,
  row: ImportRow,
  nowMs: EpochMs,
): Certificate | undefined {
  let certificate = current;
  if (row.notAfter !== undefined) {
    const event = { ...row, notAfter: row.notAfter, crlShard: shardFor(at, current, row) };
    certificate = issue(at.tag, current, event, nowMs).certificate ?? current;
  } else if (current === undefined && row.revocation !== undefined) {
    // Known from a CRL alone: the CA's own signature says that it issued and revoked it; its end is not known.
    const { serial, precertificate, withoutOcsp, spkiHash } = row;
    checkPositive(serial);
    checkRepresentable('/notBefore', row.notBefore);
    certificate = {
      issuer: at.tag,
      serial,
      revision: 1,
      notBefore: row.notBefore,
      notAfter: undefined,
      precertificate,
      crlShard: shardKnownFromCrl(at, row),
      withoutOcsp,
      spkiHash,
      revocation: undefined,
      recordedAt: nowMs,
      recordedSeq: 0,
    };
  }
  if (row.revocation !== undefined) {
    const event: RevocationEvent = {
      serial: row.serial,
      reason: row.revocation.reason,
      revokedAt: row.revocation.revokedAt,
    };
    certificate = revoke(at.profile, certificate, event, nowMs).certificate ?? certificate;
  }
  if (certificate === current) return undefined;
  if (certificate !== undefined && current === undefined && certificate.revision > 1)
    return { ...certificate, revision: 1 };
  return certificate;
}

/**
 * Which certificate it is nobody knows yet: on the complete CRL it can wait for its shard. Without one it gets a shard at once, for it
 * must be on some CRL.
 */
function shardKnownFromCrl(at: ServedIssuer, row: ImportRow): string | undefined {
  return row.crlShard === undefined && at.crls.complete ? undefined : shardFor(at, undefined, row);
}
