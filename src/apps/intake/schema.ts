/**
 * What the intake accepts, as zod schemas: the validation, the types and the OpenAPI document come from here. Unknown members
 * are refused, so that a misspelt `revokedAt` is not silently "now".
 */
import { z } from 'zod';
import { isReasonName, REASON_CODES, type ReasonName } from '../../core/reason.ts';
import { MAX_PIN_BYTES } from '../../core/pin.ts';
import { Problem } from '../../core/problem.ts';
import { MAX_SHARE_CHARACTERS } from '../../core/share.ts';

/** Items per request: about a second of work, and a few megabytes. */
export const MAX_ITEMS = 10_000;
/** 10,000 certificates as base64 do not fit; a sender of whole certificates sends fewer at a time. */
export const MAX_BODY_BYTES = 16 << 20;

const serial = z.string().max(128).describe('Serial number in hex, as the INTEGER content of the certificate.');
const instant = z.string().max(40).describe('RFC 3339 instant in UTC, like 2026-11-20T08:00:00Z.');
const reason = z
  .custom<ReasonName>((value) => typeof value === 'string' && isReasonName(value), {
    error: `is not a reason of RFC 5280 §5.3.1: ${Object.keys(REASON_CODES).join(', ')}`,
  })
  .describe('Reason by its RFC 5280 name. Absent or `unspecified`: no reason is published.')
  .meta({ type: 'string', enum: Object.keys(REASON_CODES) });

const crlShard = z
  .string()
  .min(1)
  .max(2048)
  .optional()
  .describe(
    'Shard whose CRL is to speak of it: its name, or the URL that the certificate names. Absent: by its serial number, as the issuer is sharded now.',
  );
const namesOcsp = z
  .boolean()
  .optional()
  .describe('False when the certificate names no OCSP responder: then CRLs are due every 4 days (BR 4.9.7).');
const spkiHash = z
  .string()
  .max(64)
  .optional()
  .describe('Hex SHA-256 of its SubjectPublicKeyInfo, whole or the first 16 octets: for revocation by key.');

const issuedCertificate = z.union([
  z.strictObject({
    serial,
    notBefore: instant.optional(),
    notAfter: instant,
    precertificate: z
      .boolean()
      .optional()
      .describe('True when only the precertificate exists so far (it counts as issued, BR 4.9.9).'),
    crlShard,
    namesOcsp,
    spkiHash,
  }),
  z.strictObject({
    certificate: z
      .string()
      .max(64 << 10)
      .describe('The certificate or precertificate, base64 of its DER.'),
  }),
]);

export const issueRequest = z.strictObject({ certificates: z.array(issuedCertificate).min(1).max(MAX_ITEMS) });

export const revocation = z.strictObject({
  serial,
  reason: reason.optional(),
  revokedAt: instant
    .optional()
    .describe(
      'When it took effect; default: when it is recorded. Earlier only as far back as notBefore, never in the future.',
    ),
  clause: z
    .string()
    .max(64)
    .optional()
    .describe('Clause of the CP/CPS that calls for it, e.g. `4.9.1.1-3`; fixes deadline and reason.'),
  awareAt: instant
    .optional()
    .describe('When the CA became aware: the deadline counts from here. Default: when it is recorded.'),
  requestedBy: z.string().max(256).optional().describe('Who asked, for the audit log.'),
});

export const revokeRequest = z.strictObject({ revocations: z.array(revocation).min(1).max(MAX_ITEMS) });

const importRow = z.strictObject({
  line: z.int().nonnegative(),
  serial,
  notBefore: instant.optional(),
  notAfter: instant.optional(),
  precertificate: z.boolean().optional(),
  crlShard,
  crlUrls: z
    .array(z.string().min(1).max(2048))
    .max(100)
    .optional()
    .describe('URIs of its crlDistributionPoints, of a certificate that was seen whole.'),
  isCa: z.boolean().optional().describe('Whether it is a CA certificate, where that is known.'),
  namesOcsp,
  spkiHash,
  revokedAt: instant.optional(),
  reason: reason.optional(),
});

export const importRequest = z.strictObject({ source: z.string().max(256), rows: z.array(importRow).max(MAX_ITEMS) });

const keyReference = z
  .union([z.string().min(1).max(1024), z.array(z.string().min(1).max(1024)).min(1).max(8)])
  .describe('PEM file or pkcs11: URI, as in issuer.yaml; a list: the same key in several places.');

export const responderRequest = z.strictObject({
  key: keyReference,
  subject: z
    .string()
    .min(1)
    .max(1024)
    .optional()
    .describe('Like /C=JP/O=Example/CN=Example OCSP. Default: the subject of the newest responder certificate.'),
});

export const installRequest = z.strictObject({
  certificate: z
    .string()
    .min(1)
    .max(64 << 10)
    .describe('The responder certificate, PEM or base64 of its DER.'),
  key: keyReference,
});

export const retireRequest = z.strictObject({
  drop: z
    .boolean()
    .optional()
    .describe('Serve none of its answers meanwhile: rather tryLater than an answer by a key in other hands.'),
});

export const shareRequest = z.strictObject({
  share: z
    .string()
    .min(1)
    .max(MAX_SHARE_CHARACTERS)
    .describe('One share of the PIN, as `key split` has printed it: certstatus-share:1:…'),
});

export const activationRequest = z.strictObject({
  pin: z.string().min(1).max(MAX_PIN_BYTES).describe('PIN of a token whose source is prompt.'),
});

export const keyRequest = z.strictObject({
  type: z.enum(['RSA-2048', 'RSA-3072', 'RSA-4096', 'P-256', 'P-384']),
  label: z.string().min(1).max(64).describe('CKA_LABEL; must be free.'),
  id: z
    .string()
    .regex(/^([0-9a-f]{2}){1,64}$/, 'is not 1 to 64 octets in lower-case hex')
    .optional()
    .describe('CKA_ID in hex; must be free. Default: random.'),
});

/** @throws Problem `invalid` or `too-large`, naming the first bad field by JSON pointer, with its value. */
export function parseBody<T>(schema: z.ZodType<T>, body: unknown): T {
  const result = schema.safeParse(body);
  if (result.success) return result.data;
  const issue = deepest(result.error.issues);
  const value = issue.path.reduce<unknown>(
    (at, key) => (at as Record<PropertyKey, unknown> | undefined)?.[key as string],
    body,
  );
  const code = issue.code === 'too_big' && issue.path.length <= 1 ? 'too-large' : 'invalid';
  throw new Problem(code, issue.message, { field: `/${issue.path.join('/')}`, value });
}

/** Of a union's failures the branch that got furthest says what was meant. */
function deepest(issues: readonly z.core.$ZodIssue[]): z.core.$ZodIssue {
  const first = issues[0] as z.core.$ZodIssue;
  if (first.code !== 'invalid_union' || first.errors.length === 0) return first;
  const branches = first.errors.filter((errors) => errors.length > 0).sort((a, b) => a.length - b.length);
  const inner = branches[0] === undefined ? first : deepest(branches[0]);
  return inner === first ? first : { ...inner, path: [...first.path, ...inner.path] };
}
