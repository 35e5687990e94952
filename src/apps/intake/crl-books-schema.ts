/** What the routes about CRL URLs and sizes accept. */
import { z } from 'zod';

export const acknowledgeRequest = z.strictObject({
  upTo: z
    .int()
    .min(1)
    .optional()
    .describe('Number of the last change that is in the CCADB now. Absent: all that there are.'),
});
