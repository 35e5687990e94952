/** What is accepted about the archive. */
import { z } from 'zod';

export const archiveJobRequest = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.literal('verify'),
    repair: z.boolean().optional().describe('Mend what is damaged in one place from the other.'),
  }),
  z.strictObject({
    kind: z.literal('prune'),
    issuer: z.string().max(63),
    remove: z.boolean().optional().describe('Absent or false: only say what could go.'),
  }),
]);
