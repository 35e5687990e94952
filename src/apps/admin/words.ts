/** Numbers, instants and lengths of time as people read them at night. */
import { DAY, HOUR, MINUTE, SECOND } from '../../core/time.ts';

/** 1,234,567 */
export function count(value: number): string {
  return Math.round(value).toLocaleString('en');
}

/** `1 CRL`, `2 CRLs`, `1,234 CRLs`. */
export function counted(value: number, noun: string, plural = `${noun}s`): string {
  return `${count(value)} ${value === 1 ? noun : plural}`;
}

/** Three digits at most before the point, one after it where it matters: 0.4, 12, 1,250. */
export function rate(value: number): string {
  return value !== 0 && Math.abs(value) < 10 ? value.toLocaleString('en', { maximumFractionDigits: 1 }) : count(value);
}

const SIZES = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'] as const;

/** 640 B, 1.2 kB, 38 MB: powers of ten, as disks and CRL limits are. */
export function bytes(value: number): string {
  let [size, unit] = [value, 0];
  for (; size >= 999.5 && unit < SIZES.length - 1; unit += 1) size /= 1000;
  return `${size >= 10 || unit === 0 ? Math.round(size) : size.toFixed(1)} ${SIZES[unit]}`;
}

/** A length of time in one or two units, cut and not rounded up: 340 ms, 12 s, 4 min, 3 h 20 min, 12 days. */
export function span(ms: number): string {
  const length = Math.abs(ms);
  if (length === 0) return '0 s';
  if (length < SECOND) return `${Math.round(length)} ms`;
  if (length < 10 * SECOND) return `${(Math.floor(length / 100) / 10).toLocaleString('en')} s`;
  if (length < 2 * MINUTE) return `${Math.floor(length / SECOND)} s`;
  if (length < 2 * HOUR) return `${Math.floor(length / MINUTE)} min`;
  const [minutes, hours, days] = [
    Math.floor((length % HOUR) / MINUTE),
    Math.floor(length / HOUR),
    Math.floor(length / DAY),
  ];
  if (length < 10 * HOUR) return minutes === 0 ? `${hours} h` : `${hours} h ${minutes} min`;
  if (length < 2 * DAY) return `${hours} h`;
  if (length < 10 * DAY) return hours % 24 === 0 ? `${days} days` : `${days} days ${hours % 24} h`;
  return `${count(days)} days`;
}

/** `in 3 h 20 min`, `12 min ago`: from `now` to the instant. */
export function fromNow(instant: string, now: number): string {
  const left = Date.parse(instant) - now;
  return left > 0 ? `in ${span(left)}` : `${span(left)} ago`;
}

/** `21 Nov 15:04:05Z`; with the year where it is another one. An SRE compares it with log lines, which are in UTC. */
export function clockTime(instant: string, now: number): string {
  const date = new Date(instant);
  const day = `${date.getUTCDate()} ${MONTHS[date.getUTCMonth()]}`;
  const year = date.getUTCFullYear();
  const time = instant.slice(11, 19);
  if (year !== new Date(now).getUTCFullYear()) return `${day} ${year}`;
  return `${day} ${time.endsWith(':00') ? time.slice(0, 5) : time}Z`;
}

const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'] as const;
