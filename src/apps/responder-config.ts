/** `responder` of certstatus.yaml: how many processes answer, and how they take leave. */
import { availableParallelism } from 'node:os';
import { z } from 'zod';
import { MINUTE } from '../core/time.ts';

export interface ResponderConfig {
  /** How many serve. 1: this one; more: so many beside it. */
  readonly processes: number;
  /** How long requests are still taken after the order to stop, while `/readyz` says 503 (ms). */
  readonly drainMs: number;
}

const MAX_PROCESSES = 64;
/** A service manager that waits for less than this and the rest of the stop would kill what is still answering. */
const MAX_DRAIN = 5 * MINUTE;

export const responderSchema = (duration: z.ZodType<number, string>) =>
  z
    .strictObject({
      processes: z
        .union([z.literal('auto'), z.int().min(1).max(MAX_PROCESSES)])
        .default(1)
        .describe('processes that answer on the public and origin ports; 1: this one does; auto: one less than CPUs'),
      drain: duration
        .refine((ms) => ms <= MAX_DRAIN, 'at most 5m')
        .default(0)
        .describe('how long requests are still taken after SIGTERM, for load balancers that look at /readyz'),
    })
    .prefault({});

export function responderOf({ processes, drain }: z.output<ReturnType<typeof responderSchema>>): ResponderConfig {
  // One CPU is left to whatever signs and records.
  const beside = Math.min(MAX_PROCESSES, Math.max(1, availableParallelism() - 1));
  return { processes: processes === 'auto' ? beside : processes, drainMs: drain };
}
