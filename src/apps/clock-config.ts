/** `clock` of certstatus.yaml: against what the machine's clock is held, and when nothing is signed any more (SJ-5.5.5). */
import { z } from 'zod';
import { MINUTE, SECOND } from '../core/time.ts';

export interface ClockConfig {
  /** Undefined: no server is asked. */
  readonly ntp: { readonly host: string; readonly port: number } | undefined;
  readonly everyMs: number;
  /** Beyond it nothing is signed; undefined: a warning only. */
  readonly mostMs: number | undefined;
}

const OFF = 'off';
const NTP_PORT = 123;

export const clockSchema = (duration: z.ZodType<number, string>) =>
  z
    .strictObject({
      ntp: z
        .string()
        .refine(
          (text) => text === OFF || serverOf(text) !== undefined,
          'off, a host, host:port, or [IPv6 address]:port',
        )
        .default(OFF)
        .describe('an NTP server that this clock is held against, host or host:port; off: nobody is asked'),
      every: duration
        .refine((ms) => ms >= 16 * SECOND, 'at least 16s')
        .default(5 * MINUTE)
        .describe('how often it is asked'),
      most: z
        .union([z.literal(OFF), duration.refine((ms) => ms >= SECOND / 2, 'at least 500ms')])
        .default(OFF)
        .describe('further off than this nothing is signed; off: there is a warning only'),
    })
    .prefault({});

export function clockOf({ ntp, every, most }: z.output<ReturnType<typeof clockSchema>>): ClockConfig {
  return {
    ntp: ntp === OFF ? undefined : serverOf(ntp),
    everyMs: every,
    mostMs: most === OFF ? undefined : most,
  };
}

function serverOf(text: string): { host: string; port: number } | undefined {
  const [, bracketed, plain, port] = /^(?:\[([0-9A-Fa-f:.]+)\]|([^\s:[\]/]+))(?::(\d{1,5}))?$/.exec(text) ?? [];
  const host = bracketed ?? plain;
  const number = Number(port ?? NTP_PORT);
  return host === undefined || number < 1 || number > 65_535 ? undefined : { host, port: number };
}
