/** What is asked of a mass revocation, as zod schemas (schema.ts). */
import { z } from 'zod';
import { SPKI_HASH } from '../../core/spki-hash.ts';
import { MAX_ITEMS, revocation } from './schema.ts';

const { reason, clause, awareAt, requestedBy } = revocation.shape;
const instant = z.string().max(40).describe('RFC 3339 instant in UTC; it belongs to the window itself.');
const window = z.strictObject({ from: instant.optional(), to: instant.optional() });
const spkiHash = z
  .string()
  .regex(SPKI_HASH, 'is not the first 32 hex digits of the SHA-256 of a SubjectPublicKeyInfo')
  .describe('First half of the SHA-256 of the SubjectPublicKeyInfo, lower-case hex.');

/** One of those that select must be there, so that nothing that was left out by mistake revokes a whole CA. */
export const planRequest = z
  .strictObject({
    issuers: z.array(z.string().min(1).max(128)).min(1).max(1000).describe('Ids of issuers, or `*` alone for all.'),
    all: z.literal(true).optional().describe('Every unexpired certificate of the issuers.'),
    list: z.string().max(64).optional().describe('Id of a list that was handed in; of one issuer.'),
    keys: z.array(spkiHash).min(1).max(1000).optional(),
    notBefore: window.optional().describe('When the certificate begins.'),
    recorded: window.optional().describe('When it was recorded here.'),
    reason,
    clause,
    awareAt,
    requestedBy,
    revokedAt: instant
      .optional()
      .describe(
        'Default: when the run is started, the same for all. Earlier for a key compromise; never before notBefore.',
      ),
    suspected: z.boolean().optional().describe('The compromise is only suspected: the same clock runs (CT-4.9.12-b).'),
    measureMs: z.int().min(100).max(60_000).optional().describe('Measures the key holder for so long; signs what is true, publishes nothing.'), // prettier-ignore
  })
  .refine(
    ({ all, list, keys, notBefore, recorded }) =>
      (all === true) !== [list, keys, notBefore, recorded].some((given) => given !== undefined),
    { error: 'give what selects (list, keys, notBefore, recorded), or all; not both' },
  );

export const listRequest = z.strictObject({
  issuer: z.string().min(1).max(128),
  list: z.string().max(64).optional().describe('Appends to this one. Default: begins one.'),
  serials: z.array(z.string().max(128)).min(1).max(MAX_ITEMS),
});

export const startRequest = z.strictObject({
  digest: z
    .string()
    .regex(/^[0-9a-fA-F]{8,64}$/, 'is not 8 to 64 hex digits')
    .optional()
    .describe("The plan's digest or its beginning, as a second person has read it."),
});

export const drillRequest = z.strictObject({
  certificates: z.int().min(1).max(100_000_000).optional().describe('How many are signed at most (10,000).'),
});

export const compromiseRequest = z.strictObject({
  spkiHash,
  evidence: z.enum(['private-key', 'certification-request', 'suspected']),
  key: z.string().max(64).describe('Kind and size, for people.'),
  challenge: z.string().max(256).optional(),
  requestedBy,
});
