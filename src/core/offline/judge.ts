/**
 * May the CA sign this? Asked by whoever exports a request, so that a ceremony is not called for nothing, and by the machine with the
 * key, which believes nobody: by the rules of the authorities, the CA certificate, and the CRL that it has signed before.
 */
import { verify } from 'node:crypto';
import { readName } from '../name.ts';
import { sameKey } from '../same-key.ts';
import { readCrl, type CrlView } from '../crl/crl-reader.ts';
import { findExtension } from '../der/document.ts';
import { OID } from '../der/oid.ts';
import type { Issuer } from '../issuer.ts';
import type { Finding } from '../lint/finding.ts';
import { lintCrlView, lintDecodedResponse } from '../lint/lint.ts';
import type { Profile } from '../policy/profile.ts';
import { Problem } from '../problem.ts';
import { algorithmFor, verifierOf } from '../signature-algorithm.ts';
import { formatDuration, rfc3339, type EpochMs } from '../time.ts';
import { checkPublicKey } from '../weak-key.ts';
import { compareEntries } from './describe.ts';
import { readRequest } from './csr-reader.ts';
import type { RequestItem } from './offline-file.ts';
import { readUnsignedCrl, readUnsignedResponse } from './unsigned.ts';

export interface SigningRules {
  readonly authorities: Profile['authorities'];
  readonly issues: Profile['issues'];
  readonly responder: Profile['responder'];
}

/** What the ceremony says beyond the file. */
export interface JudgedWith {
  readonly rules: SigningRules;
  readonly nowMs: EpochMs;
  /** The CA's last CRLs, as the ceremony has kept them: they count before what the file brings along. */
  readonly previous?: readonly Buffer[];
  /** Serials, hex, that may leave their CRL: those who sign have seen that these certificates have expired (RFC 5280 §3.3). */
  readonly mayLeave?: ReadonlySet<string>;
}

/** @throws Problem `refused` or `corrupt` for the first thing that must not be signed, with the rule. */
export function judgeItem(item: RequestItem, issuer: Issuer, given: JudgedWith): void {
  switch (item.kind) {
    case 'crl':
      return judgeCrl(item.tbs, item.previous, issuer, given);
    case 'responder':
      return judgeResponderRequest(item.csr, item.validityMs, issuer, given);
    case 'ocsp':
      return judgeResponse(item.tbs, issuer, given);
  }
}

function judgeCrl(tbs: Buffer, brought: Buffer | undefined, issuer: Issuer, given: JudgedWith): void {
  const { rules, nowMs } = given;
  if (!issuer.keyUsage.crlSign) refuse('the CA certificate does not permit cRLSign', 'CA certificate', 'CT-6.1.7-a');
  const view = readUnsignedCrl(tbs, issuer.publicKey);
  const kept = (given.previous ?? []).map((der) => previousOf(der, issuer)).filter((crl) => sameScope(crl, view));
  // The newest of all: a file that brings an old one along must not get an old number signed again.
  const previous = [...kept, ...(brought === undefined ? [] : [previousOf(brought, issuer)])].reduce<
    CrlView | undefined
  >((newest, crl) => (newest === undefined || number(crl) > number(newest) ? crl : newest), undefined);
  mustBeClean(
    lintCrlView(view, {
      authorities: rules.authorities,
      subject: rules.issues === 'ca-certificates' ? 'ca' : 'subscriber',
      issuer: { name: issuer.nameDer, keyIdentifier: issuer.subjectKeyIdentifier },
      ...(previous?.number !== undefined && {
        previous: { number: previous.number, thisUpdate: previous.thisUpdate, nextUpdate: previous.nextUpdate ?? 0 },
      }),
    }),
    'TBSCertList',
  );
  const nextUpdate = view.nextUpdate ?? Infinity;
  if (nextUpdate > issuer.notAfter)
    refuse(
      `later than the end of the CA certificate, ${rfc3339(issuer.notAfter)}`,
      'nextUpdate',
      'P-02',
      view.nextUpdate,
    );
  if (nextUpdate <= nowMs) refuse('has passed', 'nextUpdate', 'P4', view.nextUpdate);
  if (previous === undefined) return;
  if (!sameScope(previous, view))
    refuse('another scope than that of the previous CRL', 'issuingDistributionPoint', 'C-17');
  if (view.thisUpdate <= previous.thisUpdate)
    refuse(
      `not later than that of the previous CRL, ${rfc3339(previous.thisUpdate)}`,
      'thisUpdate',
      'C-10',
      view.thisUpdate,
    );
  const lost = compareEntries(previous, view)
    .removed.map(({ serialOctets }) => Buffer.from(serialOctets).toString('hex'))
    .filter((serial) => given.mayLeave?.has(serial) !== true);
  if (lost.length > 0)
    throw new Problem(
      'refused',
      `${lost.length} serials of CRL ${previous.number} would be lost: ${lost.slice(0, 20).join(', ')}`,
      {
        field: 'revokedCertificates',
        value: lost[0],
        rule: 'RFC 5280 §3.3, C-22',
      },
    );
}

const number = ({ number: value }: CrlView): bigint => value ?? -1n;

/** Believed only with the CA's signature. */
function previousOf(der: Buffer, issuer: Issuer): CrlView {
  const view = readCrl(der);
  const by = verifierOf(view.signatureAlgorithm, issuer.publicKey);
  if (by === undefined || !verify(by.hash, view.tbs, by.key, view.signatureValue))
    refuse(`the previous CRL ${view.number} is not signed by ${issuer.name}`, 'previous', 'RFC 5280 §5.1.1.3');
  return view;
}

function sameScope(a: CrlView, b: CrlView): boolean {
  const [one, other] = [a, b].map((crl) => findExtension(crl.crlExtensions, OID.issuingDistributionPoint)?.value);
  return one === undefined || other === undefined ? one === other : Buffer.from(one).equals(other);
}

function judgeResponderRequest(csr: Buffer, validityMs: number, issuer: Issuer, { rules }: JudgedWith): void {
  const { subjectDer, publicKey } = readRequest(csr);
  const { keyType } = algorithmFor(publicKey, 'key');
  const { keyTypes, maxValidityMs } = rules.responder;
  if (!keyTypes.includes(keyType)) refuse(`key ${keyType}: permitted are ${keyTypes.join(', ')}`, 'key', 'CT-6.1.5-b');
  const weak = checkPublicKey(publicKey).find(({ severity }) => severity === 'error');
  if (weak !== undefined) refuse(weak.message, 'key', `${weak.rule}, ${weak.citation}`);
  if (sameKey(publicKey, issuer.publicKey))
    refuse('is the key of the CA: a responder has a key of its own', 'key', 'CT-6.1.7-a, P7');
  if (!(validityMs > 0) || validityMs > maxValidityMs)
    refuse(`${formatDuration(validityMs)}: at most ${formatDuration(maxValidityMs)}`, 'validity', 'SR-6.3.2-a, R-03');
  const missing = ['C', 'O', 'CN'].filter((type) => !readName(subjectDer).some((attribute) => attribute.type === type));
  if (rules.authorities.includes('cabf-tls') && missing.length > 0)
    refuse(`the subject lacks ${missing.join(', ')}`, 'subject', 'R-04, BR 7.1.2.10.2');
}

function judgeResponse(tbs: Buffer, issuer: Issuer, { rules, nowMs }: JudgedWith): void {
  if (!issuer.keyUsage.digitalSignature)
    refuse('the CA certificate has no digitalSignature: it must not sign answers', 'CA certificate', 'T-20, B-23');
  if (rules.authorities.includes('secom'))
    refuse('the root signs responder certificates, never answers', 'ResponseData', 'SR-6.1.7-d');
  const decoded = readUnsignedResponse(tbs, issuer.publicKey);
  const [ca] = issuer.certificates;
  mustBeClean(
    lintDecodedResponse(decoded, {
      authorities: rules.authorities,
      subject: rules.issues === 'ca-certificates' ? 'ca' : 'subscriber',
      issuer: issuer.hashes,
      responder: {
        keyHash: issuer.hashes.sha1.key,
        certificate: undefined,
        notBefore: ca?.notBefore ?? 0,
        notAfter: issuer.notAfter,
      },
    }),
    'ResponseData',
  );
  for (const { nextUpdate } of decoded.basic.responses)
    if (nextUpdate === undefined || nextUpdate <= nowMs) refuse('has passed', 'nextUpdate', 'P4', nextUpdate);
}

function mustBeClean(findings: readonly Finding[], field: string): void {
  const errors = findings.filter(({ severity }) => severity === 'error');
  if (errors.length === 0) return;
  throw new Problem('refused', errors.map(({ rule, message }) => `${rule} ${message}`).join('; '), {
    field,
    rule: errors[0]?.citation ?? 'P6',
  });
}

function refuse(message: string, field: string, rule: string, value?: EpochMs): never {
  throw new Problem('refused', message, { field, rule, ...(value !== undefined && { value: rfc3339(value) }) });
}
