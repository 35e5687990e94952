/** Which charts there are, and of which figures. */
import type { EpochMs } from '../../core/time.ts';
import { MINUTE, SECOND } from '../../core/time.ts';
import { chart, type Chart } from './charts.ts';
import { AGE_QUANTILES, CHARTED_LANES, RANGES, type History, type Range } from './history.ts';
import type { IssuerStatus } from './status-issuer.ts';
import { rate, span } from './words.ts';

/** A young process has little to show: its charts begin with it, but are no shorter than this. */
const SHORTEST_MS = 10 * MINUTE;
/** Of a time that may be milliseconds or a day. */
const SECONDS_TICKS = [0.01, 0.1, 1, 10, 60, 3600, 86_400];

const AGE_NAMES: Readonly<Record<(typeof AGE_QUANTILES)[number], string>> = {
  '0.5': 'median',
  '0.99': '99 %',
  '1': 'oldest',
};

type Frame = Pick<Chart, 'from' | 'to'>;

function frameOf(history: History, range: Range, now: EpochMs): Frame {
  return { from: Math.max(now - RANGES[range], Math.min(history.startedAt, now - SHORTEST_MS)), to: now };
}

export function overallCharts(history: History, range: Range, now: EpochMs): string {
  const frame = frameOf(history, range, now);
  const line = (name: string, key: string): Chart['lines'][number] => ({ name, points: history.points(key, range) });
  const charts: readonly Chart[] = [
    {
      ...frame,
      id: 'answers',
      title: 'Answers',
      unit: 'per second',
      lines: [line('all', 'answers')],
      format: rate,
    },
    {
      ...frame,
      id: 'refused',
      title: 'Not answered with a status',
      unit: 'per second',
      lines: [line('not issued', 'unissued'), line('no OCSP', 'malformed'), line('try later', 'later')],
      format: rate,
    },
    {
      ...frame,
      id: 'signatures',
      title: 'Signatures',
      unit: 'per second',
      lines: [line('made', 'signatures')],
      format: rate,
    },
    {
      ...frame,
      id: 'backlog',
      title: 'Backlog',
      unit: 'certificates that wait for a signature',
      lines: CHARTED_LANES.map((lane) => line(lane, `backlog:${lane}`)),
      format: short,
    },
    {
      ...frame,
      id: 'visible',
      title: 'Revocation to visible',
      unit: 'the slowest took at most',
      lines: [line('OCSP', 'visible:ocsp'), line('CRL', 'visible:crl')],
      format: seconds,
      limit: { value: 86_400, name: 'limit' },
      ticks: SECONDS_TICKS,
      dots: true,
    },
    {
      ...frame,
      id: 'share',
      title: 'Oldest OCSP answer',
      unit: 'its age in % of the limit; the worst issuer',
      lines: [line('oldest', 'share')],
      format: percent,
      limit: { value: 100, name: 'limit' },
    },
  ];
  return `<div class="charts">${charts.map(chart).join('\n')}</div>`;
}

/** Empty for an issuer of which no history is kept. */
export function ageChart(issuer: IssuerStatus, history: History, range: Range, now: EpochMs): string {
  if (!history.issuers.includes(issuer.id)) return '';
  return chart({
    ...frameOf(history, range, now),
    id: `age-${history.issuers.indexOf(issuer.id)}`,
    title: 'Age of the OCSP answers',
    unit: 'all of them, not only those asked for',
    lines: AGE_QUANTILES.map((quantile) => ({
      name: AGE_NAMES[quantile],
      points: history.points(`age:${quantile}:${issuer.id}`, range),
    })),
    format: seconds,
    seconds: true,
    limit: { value: issuer.ageLimitSeconds, name: 'limit' },
  });
}

function seconds(value: number): string {
  for (const [unit, length] of UNITS) if (value >= length && value % length === 0) return `${value / length} ${unit}`;
  return span(value * SECOND);
}

/** Round values of an axis are said in one unit. */
const UNITS = [
  ['d', 86_400],
  ['h', 3600],
  ['min', 60],
] as const;

function percent(value: number): string {
  return `${Math.round(value)} %`;
}

/** 12, 1.2k, 350k, 1.2M: an axis has little room. */
function short(value: number): string {
  return value.toLocaleString('en', { notation: 'compact', maximumFractionDigits: 1 });
}
