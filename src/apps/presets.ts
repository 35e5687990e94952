/**
 * Presets: what the documents of a CA fix, as files in deploy/presets. A value that its documents do not give is left out there, and then
 * the operator must give it: nothing is assumed silently (SR-4.9, SJ-4.9).
 */
import { existsSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { readName } from '../core/certificate-reader.ts';
import type { Issuer } from '../core/issuer.ts';
import type { Authority, Profile } from '../core/policy/profile.ts';
import { Problem } from '../core/problem.ts';
import { type Reason, REASON_CODES } from '../core/reason.ts';
import type { KeyType } from '../core/signature-algorithm.ts';
import { crlLayout } from './crl-layout.ts';
import { duration, readYamlFile } from './yaml-file.ts';

const AUTHORITIES = [
  'rfc',
  'cabf-tls',
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
        .describe('subjectKeyIdentifier, upper case without colons'),
      nameHashSha1: z
        .string()
        .regex(/^[0-9a-f]{40}$/)
        .describe('issuerNameHash of a CertID'),
    })
    .optional()
    .describe('the CA that this preset is for; without it, any'),
  ocsp: z.strictObject(ocspTiming),
  crl: z.strictObject({ ...crlTiming, ...crlLayout }),
  archive: z.strictObject(archiveKeeping).prefault({}),
  responder: z.strictObject({
    maxValidity: duration.describe('longest life of a responder certificate, both ends counted (SR-6.3.2-a)'),
    keyTypes: z.array(z.enum(KEY_TYPES)).min(1),
  }),
  reasons: z.strictObject({ permitted: z.array(z.enum(REASONS)), hold: z.enum(['refuse', 'allow']) }),
  // CT-4.9.9-a: OCSP and CRL, never only one of them.
  urls: urlLayout.required(),
});
export type Preset = z.output<typeof presetSchema>;

/** What issuer.yaml may override. */
export interface TimingOverrides {
  readonly ocsp: Preset['ocsp'];
  readonly crl: Omit<Preset['crl'], keyof typeof crlLayout>;
  readonly archive?: Preset['archive'];
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

/**
 * The profile that a preset and the operator's overrides make together.
 * @param at where a missing value would have to be given, for the message.
 * @throws Problem `config` for the first value that neither gives (SR-4.9).
 */
export function profileOf(
  preset: Preset,
  overrides: TimingOverrides,
  at: (...path: readonly string[]) => string,
): Profile {
  const ocsp = { ...preset.ocsp, ...overrides.ocsp };
  const crl = { ...preset.crl, ...overrides.crl };
  const given = <T>(value: T | undefined, part: string, key: string): T => {
    if (value !== undefined) return value;
    throw new Problem(
      'config',
      `preset ${preset.id} gives no value, because the documents of the CA leave it to a CP: set ${part}.${key}`,
      {
        field: at(part, key),
        rule: 'SR-4.9',
      },
    );
  };
  return {
    preset: preset.id,
    authorities: preset.authorities,
    issues: preset.issues,
    ocsp: {
      validityMs: given(ocsp.validity, 'ocsp', 'validity'),
      refreshAfterMs: given(ocsp.refreshAfter, 'ocsp', 'refreshAfter'),
      maxAgeMs: given(ocsp.maxAge, 'ocsp', 'maxAge'),
      afterExpiryMs: given(ocsp.afterExpiry, 'ocsp', 'afterExpiry'),
      nonce: ocsp.nonce ?? 'ignore',
      live: ocsp.live ?? LIVE_LIMITS,
    },
    crl: {
      periodMs: given(crl.period, 'crl', 'period'),
      validityMs: given(crl.validity, 'crl', 'validity'),
      coalesceMs: given(crl.coalesce, 'crl', 'coalesce'),
      invalidityDate: given(crl.invalidityDate, 'crl', 'invalidityDate'),
      keyUse: crl.keyUse ?? 'held',
    },
    archive: { retentionMs: overrides.archive?.retention ?? preset.archive.retention },
    responder: { maxValidityMs: preset.responder.maxValidity, keyTypes: preset.responder.keyTypes },
    reasons: preset.reasons,
  };
}

/** What shows that this is not the CA of the preset; nothing when it is, or the preset is for any CA. */
export function checkIdentity(preset: Preset, issuer: Issuer, field: string): readonly Problem[] {
  if (preset.issuer === undefined) return [];
  const { subject, keyId, nameHashSha1 } = preset.issuer;
  const wanted = Object.entries(subject)
    .map(([type, value]) => `${type}=${value}`)
    .join(', ');
  const found = readName(issuer.nameDer)
    .map(({ type, value }) => `${type}=${value}`)
    .join(', ');
  const differs = (what: string, value: string, expected: string): readonly Problem[] =>
    value === expected
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

/** A file or directory of `deploy/`, from the sources as from dist/. */
export function deployFile(...path: readonly string[]): string {
  let root = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(root, 'package.json')) && root !== dirname(root)) root = dirname(root);
  return join(root, 'deploy', ...path);
}

const presetsDirectory = (): string => deployFile('presets');
