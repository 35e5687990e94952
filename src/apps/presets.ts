/**
 * Presets: what the documents of a CA fix, as files in deploy/presets. A value that its documents do not give is left out there, and then
 * the operator must give it: nothing is assumed silently (SR-4.9, SJ-4.9).
 */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { readCertificate } from '../core/certificate-reader.ts';
import { readName } from '../core/name.ts';
import type { Issuer } from '../core/issuer.ts';
import type { Finding } from '../core/lint/finding.ts';
import type { Authority, Profile } from '../core/policy/profile.ts';
import { Problem } from '../core/problem.ts';
import { type Reason, REASON_CODES } from '../core/reason.ts';
import { algorithmFor, algorithmOf, type KeyType, signatureName } from '../core/signature-algorithm.ts';
import { crlLayout } from './crl-layout.ts';
import { duration, readYamlFile } from './yaml-file.ts';
import { deployFile } from './deploy-file.ts';

const AUTHORITIES = [
  'rfc',
  'cabf-tls',
  'cabf-smime',
  'cabf-cs',
  'mozilla',
  'microsoft',
  'cybertrust',
  'secom',
] as const satisfies readonly Authority[];
const KEY_TYPES = ['RSA-2048', 'RSA-3072', 'RSA-4096', 'P-256', 'P-384', 'P-521'] as const satisfies readonly KeyType[];
const REASONS = Object.keys(REASON_CODES).filter(
  (name): name is Reason => name !== 'unspecified' && name !== 'removeFromCRL',
);

/** A key that makes 200 signatures a second keeps nine tenths of them for the rest. */
const LIVE_LIMITS = { perSecond: 20, waiting: 64 };

/** OCSP timing and what becomes of nonces; also the overrides of issuer.yaml. */
export const ocspTiming = {
  validity: duration.optional().describe('v: nextUpdate = thisUpdate + v − 1 s (the bound is inclusive, T-01)'),
  refreshAfter: duration.optional().describe('planned age at re-signing; a jitter by serial takes off up to a fifth'),
  maxAge: duration
    .optional()
    .describe('longest HTTP max-age of an answer: bounds how long a cache shows an old status'),
  afterExpiry: duration.optional().describe('how long after its notAfter a certificate is still answered for'),
  nonce: z
    .enum(['ignore', 'live'])
    .optional()
    .describe(
      'ignore (when nothing is said): the pre-signed answer, without nonce. live: one signed for the request, within `live`',
    ),
  live: z
    .strictObject({
      perSecond: z
        .int()
        .min(1)
        .max(10_000)
        .default(LIVE_LIMITS.perSecond)
        .describe('signatures for nonces per second and process; each is up to 600 octets of audit log'),
      waiting: z
        .int()
        .min(1)
        .max(4096)
        .default(LIVE_LIMITS.waiting)
        .describe('requests that wait for one at the same time, per process'),
    })
    .optional()
    .describe('beyond it a request with a nonce gets the pre-signed answer at once'),
};

/** CRL timing; also the overrides of issuer.yaml. */
export const crlTiming = {
  period: duration.optional().describe('between two scheduled CRLs'),
  validity: duration.optional().describe('nextUpdate = thisUpdate + validity − 1 s'),
  coalesce: duration
    .optional()
    .describe('from a recorded revocation to the build of its CRL: what comes meanwhile goes into the same one'),
  afterExpiry: duration
    .optional()
    .describe('how long after its notAfter a certificate stays on CRLs, before it leaves with one scheduled CRL more'),
  invalidityDate: z
    .enum(['omit', 'revocation-date'])
    .optional()
    .describe('the invalidityDate entry extension (CT-B-CRL-11, conflict C33)'),
  keyUse: z
    .enum(['held', 'per-operation'])
    .optional()
    .describe(
      'per-operation: a CRL key in a token is logged in for each CRL alone (SR-6.2.9); held when nothing is said',
    ),
};

/** Which revocations are taken; also the overrides of issuer.yaml. */
export const reasonChoices = {
  hold: z
    .enum(['refuse', 'allow'])
    .optional()
    .describe('allow: certificateHold and its release (removeFromCRL); only S/MIME permits it (SM-03)'),
};

/** What is kept, and how long; also the overrides of issuer.yaml. */
export const archiveKeeping = {
  retention: duration
    .optional()
    .describe(
      'how long a CRL is kept after the last certificate that relied on it has ended: two years at least; for ever when nothing is said',
    ),
};

const publicUrl = z.strictObject({
  host: z
    .string()
    .regex(/^[a-z0-9.-]+$/, 'a host name in lower case, without port')
    .optional()
    .describe('only needed where two CAs use the same path'),
  path: z
    .string()
    .regex(/^\/[!-~]*$/, 'an absolute path of visible ASCII characters')
    .describe('as in the certificates, after the host'),
});
export type PublicUrl = z.output<typeof publicUrl>;
export type UrlLayout = z.output<typeof urlLayout>;

/** URL layout; also the overrides of issuer.yaml. `{id}` in a path stands for the id of the issuer. */
export const urlLayout = z.strictObject({
  ocsp: z
    .array(publicUrl)
    .min(1)
    .optional()
    .describe('mounts of the OCSP service: the id-ad-ocsp URLs of the certificates'),
  crl: z.array(publicUrl).min(1).optional().describe('the crlDistributionPoints URLs of the certificates'),
  caCertificate: z.array(publicUrl).min(1).optional().describe('the caIssuers URLs of the certificates'),
});

const presetSchema = z.strictObject({
  id: z.string(),
  title: z.string(),
  source: z.string().describe('the documents that the values come from'),
  authorities: z.array(z.enum(AUTHORITIES)).min(1).describe('whose limits are checked (core/policy/limits.ts)'),
  issues: z.enum(['subscriber-certificates', 'ca-certificates']),
  issuer: z
    .strictObject({
      subject: z.record(z.string(), z.string()).describe('attributes of the CA name, in order'),
      keyId: z
        .string()
        .regex(/^[0-9A-F]{40}$/)
        .optional()
        .describe('subjectKeyIdentifier, upper case without colons; without it any'),
      nameHashSha1: z
        .string()
        .regex(/^[0-9a-f]{40}$/)
        .optional()
        .describe('issuerNameHash of a CertID: settles the string types of the name'),
      fingerprints: z
        .array(z.string().regex(/^[0-9A-F]{64}$/))
        .default([])
        .describe('SHA-256 of the CA certificates as the documents print them; another one is warned of'),
      misprint: z.string().optional().describe('what is wrong with a value in the documents'),
    })
    .optional()
    .describe('the CA that this preset is for; without it, any'),
  ca: z
    .strictObject({
      keyTypes: z.array(z.enum(KEY_TYPES)).min(1),
      signature: z
        .enum(['sha256WithRSAEncryption', 'sha384WithRSAEncryption', 'ecdsa-with-SHA384'])
        .optional()
        .describe('of its self-signed certificate'),
      rule: z.string().describe('what says so'),
    })
    .describe('the CA key'),
  ocsp: z.strictObject(ocspTiming),
  crl: z.strictObject({ ...crlTiming, ...crlLayout }),
  archive: z.strictObject(archiveKeeping).prefault({}),
  responder: z.strictObject({
    maxValidity: duration.describe('longest life of a responder certificate, both ends counted (SR-6.3.2-a)'),
    keyTypes: z.array(z.enum(KEY_TYPES)).min(1),
  }),
  reasons: z.strictObject({
    permitted: z.array(z.enum(REASONS)),
    ...reasonChoices,
    redate: z
      .enum(['key-compromise', 'any'])
      .default('key-compromise')
      .describe('which revocations may get another date; any: software counts by it (CS-04)'),
  }),
  urls: urlLayout,
});
export type Preset = z.output<typeof presetSchema>;

/** What issuer.yaml may override. */
export interface TimingOverrides {
  readonly ocsp: Preset['ocsp'];
  readonly crl: Omit<Preset['crl'], keyof typeof crlLayout>;
  readonly archive?: Preset['archive'];
  readonly reasons?: z.output<z.ZodObject<typeof reasonChoices>>;
  /** Profiles have none, but the CA must have its URLs from somewhere. */
  readonly urls?: UrlLayout;
}

/** Names of the presets that come with the program. */
export function presetIds(): readonly string[] {
  return readdirSync(presetsDirectory())
    .filter((name) => name.endsWith('.yaml'))
    .map((name) => name.slice(0, -'.yaml'.length))
    .sort();
}

/** @throws Problem `config` when there is no such preset, or its file is not one. */
export function loadPreset(id: string, field: string): Preset {
  const known = presetIds();
  if (!known.includes(id))
    throw new Problem('config', `no such preset; there are ${known.join(', ')}`, { field, value: id });
  const read = readYamlFile(join(presetsDirectory(), `${id}.yaml`), presetSchema);
  if (!read.ok) throw read.problems[0] as Problem;
  return read.value;
}

/** What issuer.yaml must say where the preset does not, with the option of `issuer add` that says it. */
const MUST_BE_GIVEN = {
  'ocsp.validity': '--ocsp-validity',
  'ocsp.refreshAfter': '--ocsp-refresh-after',
  'ocsp.maxAge': '--ocsp-max-age',
  'ocsp.afterExpiry': undefined,
  'crl.period': '--crl-period',
  'crl.validity': '--crl-validity',
  'crl.coalesce': undefined,
  'crl.invalidityDate': undefined,
  // CT-4.9.9-a: OCSP and CRL, never only one of them.
  'urls.ocsp': '--ocsp-path',
  'urls.crl': '--crl-path',
  'urls.caCertificate': '--ca-path',
} as const satisfies Record<string, string | undefined>;

/** Fields of issuer.yaml for which the documents of the CA give no value (SR-4.9). */
export function leftToOperator(preset: Preset): readonly string[] {
  const parts: Readonly<Record<string, Readonly<Record<string, unknown>>>> = preset as never;
  return Object.keys(MUST_BE_GIVEN).filter((field) => {
    const [part, key] = field.split('.') as [string, string];
    return parts[part]?.[key] === undefined;
  });
}

/**
 * The profile that a preset and the operator's overrides make together.
 * @param field of the preset, for the message.
 * @throws Problem `config` that names every value that neither gives (SR-4.9).
 */
export function profileOf(preset: Preset, overrides: TimingOverrides, field: string): Profile {
  const ocsp = { ...preset.ocsp, ...overrides.ocsp };
  const crl = { ...preset.crl, ...overrides.crl };
  const reasons = { ...preset.reasons, ...overrides.reasons };
  const missing = leftToOperator({ ...preset, ocsp, crl, urls: { ...preset.urls, ...overrides.urls } });
  if (missing.length > 0) {
    const named = missing.map((name) => {
      const option = MUST_BE_GIVEN[name as keyof typeof MUST_BE_GIVEN];
      return option === undefined ? name : `${name} (${option})`;
    });
    throw new Problem(
      'config',
      `the documents of this CA leave values to a CP; say them in issuer.yaml or to issuer add: ${named.join(', ')}`,
      { field, value: preset.id, rule: 'SR-4.9' },
    );
  }
  return {
    preset: preset.id,
    authorities: preset.authorities,
    issues: preset.issues,
    ocsp: {
      validityMs: ocsp.validity as number,
      refreshAfterMs: ocsp.refreshAfter as number,
      maxAgeMs: ocsp.maxAge as number,
      afterExpiryMs: ocsp.afterExpiry as number,
      nonce: ocsp.nonce ?? 'ignore',
      live: ocsp.live ?? LIVE_LIMITS,
    },
    crl: {
      periodMs: crl.period as number,
      validityMs: crl.validity as number,
      coalesceMs: crl.coalesce as number,
      invalidityDate: crl.invalidityDate as Profile['crl']['invalidityDate'],
      keyUse: crl.keyUse ?? 'held',
      afterExpiryMs: crl.afterExpiry ?? 0,
    },
    archive: { retentionMs: overrides.archive?.retention ?? preset.archive.retention },
    responder: { maxValidityMs: preset.responder.maxValidity, keyTypes: preset.responder.keyTypes },
    reasons: { permitted: reasons.permitted, hold: reasons.hold ?? 'refuse', redate: reasons.redate },
  };
}

/** What shows that this is not the CA of the preset, or not one that it is for. */
export function checkIdentity(preset: Preset, issuer: Issuer, field: string): readonly Problem[] {
  return [...checkName(preset, issuer, field), ...checkCaKey(preset, issuer, field)];
}

function checkName(preset: Preset, issuer: Issuer, field: string): readonly Problem[] {
  if (preset.issuer === undefined) return [];
  const { subject, keyId, nameHashSha1 } = preset.issuer;
  const wanted = Object.entries(subject)
    .map(([type, value]) => `${type}=${value}`)
    .join(', ');
  const found = readName(issuer.nameDer)
    .map(({ type, value }) => `${type}=${value}`)
    .join(', ');
  const differs = (what: string, value: string, expected: string | undefined): readonly Problem[] =>
    expected === undefined || value === expected
      ? []
      : [
          new Problem('config', `not the CA of preset ${preset.id}: its ${what} is ${expected}`, {
            field,
            value,
            rule: 'T-11',
          }),
        ];
  return [
    ...differs('name', found, wanted),
    ...differs('subjectKeyIdentifier', issuer.subjectKeyIdentifier.toString('hex').toUpperCase(), keyId),
    // Equal text in another string type is another name to every client (T-15).
    ...(found === wanted ? differs('issuerNameHash', issuer.hashes.sha1.name.toString('hex'), nameHashSha1) : []),
  ];
}

function checkCaKey({ ca }: Preset, issuer: Issuer, field: string): readonly Problem[] {
  const problem = (message: string, value: string): Problem =>
    new Problem('config', message, { field, value, rule: ca.rule });
  let keyType: string;
  try {
    ({ keyType } = algorithmFor(issuer.publicKey, field));
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    return [problem(error.message, error.value ?? '')];
  }
  if (!(ca.keyTypes as readonly string[]).includes(keyType))
    return [problem(`a CA key of the preset is ${ca.keyTypes.join(' or ')}`, keyType)];
  const signature = ca.signature;
  if (signature === undefined) return [];
  // A cross certificate is signed with somebody else's key.
  return issuer.certificates
    .map(({ der }) => readCertificate(der, field))
    .filter(({ issuerDer, subjectDer }) => issuerDer.equals(subjectDer))
    .map(({ signatureAlgorithm }) => algorithmOf(signatureAlgorithm))
    .map((found) => (found === undefined ? 'an unknown algorithm' : signatureName(found)))
    .filter((found) => found !== signature)
    .map((found) => problem(`the CA certificate is signed with ${signature}`, found));
}

/** Worth saying about a CA certificate that has the name and key of the preset's. */
export function compareFingerprints({ issuer: about }: Preset, issuer: Issuer): readonly Finding[] {
  const printed = about?.fingerprints ?? [];
  if (printed.length === 0) return [];
  const others = issuer.certificates.filter(({ fingerprint }) => !printed.includes(fingerprint));
  const misprint = about?.misprint === undefined ? '' : ` (${about.misprint})`;
  return others.map(({ fingerprint }) => ({
    severity: 'warning',
    rule: 'SR-8.6-a',
    citation: 'the CA certificates that the CPS lists',
    message: `the SHA-256 fingerprint ${fingerprint} is none of ${printed.join(', ')}${misprint}: compare before it is served`,
  }));
}

const presetsDirectory = (): string => deployFile('presets');
