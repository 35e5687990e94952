/** What is accepted about backups: figures that become an audit record. */
import { z } from 'zod';

const count = z.number().int().nonnegative();

export const backupNote = z.discriminatedUnion('type', [
  z.strictObject({
    type: z.literal('backup.taken'),
    files: count,
    octets: count,
    journalSeq: count.optional(),
    manifestSha256: z.string().regex(/^[0-9a-f]{64}$/),
  }),
  z.strictObject({
    type: z.literal('backup.drilled'),
    verdict: z.enum(['passed', 'failed']),
    findings: z.array(z.string().max(300)).max(20),
    restoreSeconds: z.number().nonnegative(),
    servingSeconds: z.number().nonnegative(),
    asked: count,
    manifestSha256: z.string().regex(/^[0-9a-f]{64}$/),
  }),
]);
