/** `monitor` of certstatus.yaml: what the monitor role looks at, and from where. */
import { z } from 'zod';
import { HOUR, MINUTE } from '../core/time.ts';
import { probeUrl } from '../flows/monitor/probe.ts';

export interface MonitorConfig {
  /** Where it asks, with the host names of the URLs; undefined: this process's own public listener, or the URLs' own hosts. */
  readonly through: string | undefined;
  readonly reconcileEveryMs: number;
  /** Of this process's time. */
  readonly reconcileShare: number;
}

export const monitorSchema = (duration: z.ZodType<number, string>) =>
  z
    .strictObject({
      through: z
        .string()
        .refine((text) => text === 'auto' || isHttp(text), 'auto, or a URL like http://edge:80')
        .default('auto')
        .describe(
          'where it asks for what is served, e.g. http://edge:80; auto: the public listener of this process, or the hosts of the URLs',
        ),
      reconcileEvery: duration
        .refine((ms) => ms >= MINUTE, 'at least 1m')
        .default(HOUR)
        .describe('how often ledger, OCSP and CRLs are held against each other'),
      reconcileShare: z
        .number()
        .gt(0)
        .max(1)
        .default(0.25)
        .describe('of the time of the process, that this may take while anything else is to be done'),
    })
    .prefault({});

export function monitorOf(value: z.output<ReturnType<typeof monitorSchema>>): MonitorConfig {
  return {
    through: value.through === 'auto' ? undefined : value.through,
    reconcileEveryMs: value.reconcileEvery,
    reconcileShare: value.reconcileShare,
  };
}

function isHttp(url: string): boolean {
  try {
    return probeUrl(url).path === '/';
  } catch {
    return false;
  }
}
