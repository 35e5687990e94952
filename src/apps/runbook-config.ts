/** `admin` of certstatus.yaml: what the operators' pages say. */
import { z } from 'zod';

export const adminSchema = z
  .strictObject({
    runbook: z
      .union([z.literal(''), z.url({ protocol: /^https?$/ })], 'a URL that begins with https:// or http://, or nothing')
      .default('')
      .describe('URL of the runbook: problems on the status page link to <runbook>#<name of the alert>'),
  })
  .prefault({});

/** Undefined: alerts are named only. */
export function runbookOf({ runbook }: z.output<typeof adminSchema>): string | undefined {
  return runbook === '' ? undefined : runbook;
}
