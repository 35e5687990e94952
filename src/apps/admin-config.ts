/** `admin` of certstatus.yaml: what the operators' pages say. */
import { z } from 'zod';

export interface AdminConfig {
  /** Where the runbook is to be read; the name of an alert comes behind it. Undefined: alerts are named only. */
  readonly runbook: string | undefined;
}

export const adminSchema = z
  .strictObject({
    runbook: z
      .union([z.literal(''), z.url({ protocol: /^https?$/ })], 'a URL that begins with https:// or http://, or nothing')
      .default('')
      .describe('URL of the runbook: problems on the status page link to <runbook>#<name of the alert>'),
  })
  .prefault({});

export function adminOf({ runbook }: z.output<typeof adminSchema>): AdminConfig {
  return { runbook: runbook === '' ? undefined : runbook };
}
