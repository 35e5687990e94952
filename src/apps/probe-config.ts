/** `probe` of certstatus.yaml: where a responder looks at itself from outside (flows/monitor/self-probe.ts). */
import { z } from 'zod';
import { Problem } from '../core/problem.ts';
import { HOUR, MINUTE } from '../core/time.ts';
import { probeUrl } from '../flows/monitor/probe.ts';

export interface ProbeConfig {
  /** None: it does not look. */
  readonly urls: readonly string[];
  readonly everyMs: number;
}

export const probeSchema = (duration: z.ZodType<number, string>) =>
  z
    .strictObject({
      urls: z
        .array(z.string().check(({ value, issues }) => {
          const message = whyNoUrl(value);
          if (message !== undefined) issues.push({ code: 'custom', message, input: value });
        }))
        .default([])
        .describe('public URLs of OCSP, and of CRLs (they end in .crl): a responder asks them as clients do, and says what a proxy in front breaks'),
      every: duration
        .refine((ms) => ms >= MINUTE, 'at least 1m')
        .default(HOUR)
        .describe('how often; the first time when it starts'),
    })
    .prefault({}); // prettier-ignore

function whyNoUrl(url: string): string | undefined {
  try {
    probeUrl(url);
    return undefined;
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    return error.message;
  }
}
