/**
 * What a request asks to be signed, in words, from its octets. The machine that exports writes it into the file; the machine that signs
 * makes it again, shows its own, and refuses a file whose text says anything else. So nobody signs what he was not shown.
 */
import { createHash } from 'node:crypto';
import { nameText } from '../name.ts';
import type { CrlEntryView, CrlView } from '../crl/crl-reader.ts';
import { partitionUrl } from '../crl/idp.ts';
import type { Issuer } from '../issuer.ts';
import { algorithmFor } from '../signature-algorithm.ts';
import { formatDuration, rfc3339, SECOND } from '../time.ts';
import { readCrl } from '../crl/crl-reader.ts';
import { readRequest } from './csr-reader.ts';
import { inGroups, sha256Hex, type RequestItem } from './offline-file.ts';
import { readUnsignedCrl, readUnsignedResponse } from './unsigned.ts';

/** Entries that are shown one by one, for each of added, removed and changed; beyond that they are counted, and the digest speaks for them. */
const SHOWN_ENTRIES = 200;

/** @throws Problem `corrupt` for an item that cannot be read. */
export function describeRequest(issuer: Issuer, items: readonly RequestItem[]): readonly string[] {
  const lines = [
    `to be signed by: ${issuer.name}`,
    // SR-8.6-a: upper case, nothing between the digits.
    ...issuer.certificates.map(({ fingerprint }) => `CA certificate SHA-256: ${fingerprint}`),
    `items: ${items.length}`,
  ];
  items.forEach((item, i) => {
    lines.push(`item ${i + 1} of ${items.length}: ${TITLES[item.kind]}`);
    lines.push(...describeItem(issuer, item).map((line) => `  ${line}`));
  });
  // A name or URL must not move the cursor, or turn the text round, on the terminal of those who decide by it.
  return lines.map((line) => line.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, '?'));
}

const TITLES = { crl: 'CRL', responder: 'OCSP responder certificate', ocsp: 'OCSP response' } as const;

function describeItem(issuer: Issuer, item: RequestItem): readonly string[] {
  switch (item.kind) {
    case 'crl':
      return describeCrl(issuer, item.tbs, item.previous);
    case 'responder':
      return describeResponder(item.csr, item.validityMs);
    case 'ocsp':
      return describeResponse(issuer, item.tbs);
  }
}

function describeCrl(issuer: Issuer, tbs: Buffer, previousDer: Buffer | undefined): readonly string[] {
  const view = readUnsignedCrl(tbs, issuer.publicKey);
  const previous = previousDer && readCrl(previousDer);
  const { added, removed, changed, entries } = compareEntries(previous, view);
  const url = partitionUrl(view.crlExtensions);
  return [
    `number: ${view.number ?? 'none'}`,
    `covers: ${url ?? 'all certificates of the CA'}`,
    `thisUpdate: ${rfc3339(view.thisUpdate)}`,
    `nextUpdate: ${view.nextUpdate === undefined ? 'none' : `${rfc3339(view.nextUpdate)} (${formatDuration(view.nextUpdate - view.thisUpdate + SECOND)})`}`,
    `replaces: ${previous === undefined ? 'nothing, it is the first' : `number ${previous.number} of ${rfc3339(previous.thisUpdate)}`}`,
    `entries: ${entries}`,
    ...shown('added', added.map(describeEntry)),
    ...shown('changed', changed.map(describeEntry)),
    ...shown('removed', removed.map(describeEntry)),
    `SHA-256 of the octets to be signed: ${inGroups(sha256Hex(tbs))}`,
  ];
}

/** By serial. */
export function compareEntries(
  previous: CrlView | undefined,
  next: CrlView,
): {
  readonly added: readonly CrlEntryView[];
  readonly changed: readonly CrlEntryView[];
  readonly removed: readonly CrlEntryView[];
  readonly entries: number;
} {
  const before = new Map<string, CrlEntryView>();
  for (const entry of previous?.entries() ?? []) before.set(keyOf(entry), entry);
  const added: CrlEntryView[] = [];
  const changed: CrlEntryView[] = [];
  let entries = 0;
  for (const entry of next.entries()) {
    entries += 1;
    const was = before.get(keyOf(entry));
    before.delete(keyOf(entry));
    if (was === undefined) added.push(entry);
    else if (was.revocationDate !== entry.revocationDate || was.reasonCode !== entry.reasonCode) changed.push(entry);
  }
  return { added, changed, removed: [...before.values()], entries };
}

const keyOf = ({ serialOctets }: CrlEntryView): string => Buffer.from(serialOctets).toString('hex');

function describeEntry(entry: CrlEntryView): string {
  return `${keyOf(entry)} revoked ${rfc3339(entry.revocationDate)} ${entry.reason ?? (entry.reasonCode === undefined ? 'no reason' : `reason ${entry.reasonCode}`)}`;
}

function shown(what: string, entries: readonly string[]): readonly string[] {
  const lines = entries.slice(0, SHOWN_ENTRIES).map((entry) => `${what}: ${entry}`);
  if (entries.length > SHOWN_ENTRIES) {
    const digest = createHash('sha256').update(entries.join('\n')).digest('hex');
    lines.push(`${what}: ${entries.length} in all, SHA-256 of their lines ${inGroups(digest)}`);
  }
  return lines;
}

function describeResponder(csr: Buffer, validityMs: number): readonly string[] {
  const { subjectDer, spkiDer, publicKey } = readRequest(csr);
  return [
    `subject: ${nameText(subjectDer)}`,
    `key: ${algorithmFor(publicKey, 'key').keyType}, SHA-256 of it ${inGroups(sha256Hex(spkiDer))}`,
    `validity: ${formatDuration(validityMs)} from the signing on`,
    'serial: 16 octets, random',
    ...RESPONDER_EXTENSIONS_IN_WORDS.map((extension) => `extension: ${extension}`),
    `SHA-256 of the request: ${inGroups(sha256Hex(csr))}`,
  ];
}

/** R-05, R-08: what certificate-issuer.ts writes. */
const RESPONDER_EXTENSIONS_IN_WORDS = [
  'basicConstraints, critical: no CA',
  'keyUsage, critical: digitalSignature',
  'extendedKeyUsage: OCSPSigning',
  'ocsp-nocheck',
  'subjectKeyIdentifier, authorityKeyIdentifier',
];

function describeResponse(issuer: Issuer, tbs: Buffer): readonly string[] {
  const { basic } = readUnsignedResponse(tbs, issuer.publicKey);
  return [
    ...basic.responses.flatMap((one) => [
      `certificate: ${Buffer.from(one.serialOctets).toString('hex')} (CertID with ${one.hash ?? 'another hash'})`,
      `status: ${one.certStatus}${one.revocationTime === undefined ? '' : ` since ${rfc3339(one.revocationTime)}, reason ${one.revocationReason ?? 'none'}`}`,
      `thisUpdate: ${rfc3339(one.thisUpdate)}`,
      `nextUpdate: ${one.nextUpdate === undefined ? 'none' : rfc3339(one.nextUpdate)}`,
    ]),
    `SHA-256 of the octets to be signed: ${inGroups(sha256Hex(tbs))}`,
  ];
}
