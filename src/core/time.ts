/** Instants and durations. Inside: epoch milliseconds (and durations in milliseconds). Outside: RFC 3339 UTC and words like `4d`. */
import { Problem } from './problem.ts';

/** Milliseconds since 1970-01-01T00:00:00Z. Instants that go into a signature are whole seconds. */
export type EpochMs = number;

export const SECOND = 1000;
export const MINUTE = 60 * SECOND;
export const HOUR = 60 * MINUTE;
/** BR 4.9.9, SR-6.3.2-b: a day is 86,400 seconds; leap seconds are not counted. */
export const DAY = 24 * HOUR;

/** The last whole second at or before the instant: what a certificate, CRL or response can say. */
export function wholeSecond(ms: EpochMs): EpochMs {
  return Math.floor(ms / SECOND) * SECOND;
}

/** `2026-11-20T08:00:00Z`; milliseconds only when there are any. */
export function rfc3339(ms: EpochMs): string {
  const text = new Date(ms).toISOString();
  return text.endsWith('.000Z') ? `${text.slice(0, 19)}Z` : text;
}

/** RFC 3339 in UTC (`Z`), with at most three digits of fraction. @throws Problem `invalid` */
export function parseRfc3339(text: string, field: string): EpochMs {
  const ms = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,3})?Z$/.test(text) ? Date.parse(text) : NaN;
  // Date.parse accepts 2026-02-31 by rolling over; a round trip does not.
  if (Number.isNaN(ms) || new Date(ms).toISOString().slice(0, 19) !== text.slice(0, 19)) {
    throw new Problem('invalid', 'not an RFC 3339 instant in UTC, like 2026-11-20T08:00:00Z', {
      field,
      value: text,
      rule: 'RFC 3339 §5.6',
    });
  }
  return ms;
}

const UNITS: Record<string, number> = { ms: 1, s: SECOND, m: MINUTE, h: HOUR, d: DAY };

/** `90s`, `15m`, `8h`, `4d`, `36h30m`. @throws Problem `invalid` */
export function parseDuration(text: string, field: string): number {
  const parts = [...text.matchAll(/(\d{1,9})(ms|s|m|h|d)/g)];
  if (parts.length === 0 || parts.map((part) => part[0]).join('') !== text) {
    throw new Problem('invalid', 'not a duration, like 90s, 15m, 8h or 4d', { field, value: text });
  }
  return parts.reduce((sum, [, count, unit]) => sum + Number(count) * (UNITS[unit as string] as number), 0);
}

/** The shortest text that parseDuration reads back: `4d`, `1h30m`, `0s`. */
export function formatDuration(ms: number): string {
  let rest = Math.round(ms);
  let text = '';
  for (const unit of ['d', 'h', 'm', 's', 'ms']) {
    const size = UNITS[unit] as number;
    const count = Math.floor(rest / size);
    if (count > 0) text += `${count}${unit}`;
    rest -= count * size;
  }
  return text || '0s';
}
