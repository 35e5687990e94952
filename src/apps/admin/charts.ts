/**
 * Line charts as SVG, made here: no script, nothing from outside. Lines differ by colour, by dashes and by the name at their end, so that
 * nobody needs the colours; who cannot see the picture hears its figures, and finds them in a table.
 */
import type { EpochMs } from '../../core/time.ts';
import type { Point } from './history.ts';
import { escape } from './layout.ts';

export interface ChartLine {
  readonly name: string;
  readonly points: readonly Point[];
}

export interface Chart {
  /** Unique on the page: ids are made of it. */
  readonly id: string;
  readonly title: string;
  /** `answers per second`: said with the title. */
  readonly unit: string;
  readonly lines: readonly ChartLine[];
  readonly from: EpochMs;
  readonly to: EpochMs;
  /** A value as it stands at the axis and in the table. */
  readonly format: (value: number) => string;
  /** What must not be reached. */
  readonly limit?: { readonly value: number; readonly name: string } | undefined;
  /** Values are seconds: round ones are minutes, hours and days. */
  readonly seconds?: boolean | undefined;
  /** Values that are far apart: at these places of a logarithmic axis. Else the axis begins at 0. */
  readonly ticks?: readonly number[] | undefined;
  /** Single events and not a course: dots. */
  readonly dots?: boolean | undefined;
}

const WIDTH = 400;
const HEIGHT = 190;
const LEFT = 52;
const RIGHT = 78;
const TOP = 12;
const BOTTOM = 26;
/** Points of a line: more cannot be seen. */
const MOST_POINTS = 180;
/** Rows of the table. */
const ROWS = 12;
const LABEL_HEIGHT = 14;

type Scale = (value: number) => number;

export function chart(drawn: Chart): string {
  const known = drawn.lines.filter(({ points }) => points.some(([, value]) => value !== undefined));
  const title = `<figcaption><span class="name">${escape(drawn.title)}</span> <span class="unit">${escape(drawn.unit)}</span></figcaption>`;
  if (known.length === 0)
    return `<figure class="chart">${title}<p class="none">${drawn.dots === true ? 'None in this time.' : 'Nothing known yet; the first point comes within 20 seconds.'}</p></figure>`;
  const ticks = drawn.ticks ?? (drawn.seconds === true ? timesUpTo : ticksUpTo)(greatest(drawn, known));
  const y = drawn.ticks === undefined ? linear(ticks) : logarithmic(ticks);
  const x: Scale = (at) => LEFT + ((at - drawn.from) / (drawn.to - drawn.from)) * (WIDTH - LEFT - RIGHT);
  const svg = `<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${escape(spoken(drawn, known))}">
${axes(drawn, ticks, x, y)}${known.map((line) => course(drawn, line, drawn.lines.indexOf(line), x, y)).join('')}${names(drawn, known, y)}</svg>`;
  return `<figure class="chart">${title}${svg}${table(drawn, known)}</figure>`;
}

function greatest({ limit }: Chart, lines: readonly ChartLine[]): number {
  const most = Math.max(...lines.flatMap(({ points }) => points.map(([, value]) => value ?? 0)));
  return Math.max(most, limit?.value ?? 0);
}

/** 0, a half and the whole of a round number that is not less than the greatest value. */
function ticksUpTo(most: number): readonly number[] {
  if (most <= 0) return [0, 1];
  const power = 10 ** Math.floor(Math.log10(most));
  const top = ([1, 2, 4, 5, 6, 8, 10].find((step) => step * power >= most) ?? 10) * power;
  return [0, top / 2, top];
}

const ROUND_TIMES = [
  1, 5, 10, 30, 60, 300, 600, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400, 172_800, 345_600,
] as const;

/** The same for seconds. */
function timesUpTo(most: number): readonly number[] {
  const half = ROUND_TIMES.find((step) => 2 * step >= most) ?? Math.ceil(most / 2 / 604_800) * 604_800;
  return [0, half, 2 * half];
}

const linear = (ticks: readonly number[]): Scale => {
  const top = ticks.at(-1) as number;
  return (value) => HEIGHT - BOTTOM - (value / top) * (HEIGHT - TOP - BOTTOM);
};

const logarithmic = (ticks: readonly number[]): Scale => {
  const [low, high] = [Math.log(ticks[0] as number), Math.log(ticks.at(-1) as number)];
  const inside = (value: number): number => Math.min(high, Math.max(low, Math.log(value)));
  return (value) => HEIGHT - BOTTOM - ((inside(value) - low) / (high - low)) * (HEIGHT - TOP - BOTTOM);
};

function axes({ from, to, format, limit }: Chart, ticks: readonly number[], x: Scale, y: Scale): string {
  const right = WIDTH - RIGHT;
  const rows = ticks.map(
    (tick) =>
      `<line class="grid" x1="${LEFT}" x2="${right}" y1="${at(y(tick))}" y2="${at(y(tick))}"/><text x="${LEFT - 6}" y="${at(y(tick) + 4)}" text-anchor="end">${escape(format(tick))}</text>`,
  );
  const times = [from, (from + to) / 2, to].map(
    (time, i) =>
      `<text x="${at(x(time))}" y="${HEIGHT - 8}" text-anchor="${['start', 'middle', 'end'][i]}">${clock(time, from, to)}</text>`,
  );
  const line =
    limit === undefined
      ? ''
      : `<line class="limit" x1="${LEFT}" x2="${right}" y1="${at(y(limit.value))}" y2="${at(y(limit.value))}"/><text class="limit" x="${right + 6}" y="${at(y(limit.value) + 4)}">${escape(limit.name)}</text>`;
  return rows.join('') + times.join('') + line;
}

/** A break where nothing is known; a point alone is a dot. */
function course(drawn: Chart, line: ChartLine, index: number, x: Scale, y: Scale): string {
  const points = thinned(line.points, drawn.from);
  const marks: string[] = [];
  let path = '';
  points.forEach(([time, value], i) => {
    if (value === undefined) return;
    const place = `${at(x(time))} ${at(y(value))}`;
    const goesOn = !drawn.dots && points[i - 1]?.[1] !== undefined;
    const alone = !goesOn && points[i + 1]?.[1] === undefined;
    if (drawn.dots === true || alone) marks.push(mark(index, x(time), y(value)));
    path += `${goesOn ? 'L' : 'M'}${place}`;
  });
  return drawn.dots === true ? marks.join('') : `<path class="line s${index}" d="${path}"/>${marks.join('')}`;
}

/** Dots of two lines have two shapes. */
function mark(index: number, x: number, y: number): string {
  return index % 2 === 0
    ? `<circle class="dot s${index}" cx="${at(x)}" cy="${at(y)}" r="3"/>`
    : `<path class="dot s${index}" d="M${at(x - 3.4)} ${at(y + 3)}h6.8L${at(x)} ${at(y - 3.6)}z"/>`;
}

/** The greatest of each few: a peak must not be thinned away. */
function thinned(points: readonly Point[], from: EpochMs): readonly Point[] {
  const inside = points.filter(([time]) => time >= from);
  const each = Math.ceil(inside.length / MOST_POINTS);
  if (each <= 1) return inside;
  return Array.from({ length: Math.ceil(inside.length / each) }, (_, i) =>
    inside.slice(i * each, (i + 1) * each).reduce((a, b) => ((b[1] ?? -1) > (a[1] ?? -1) ? b : a)),
  );
}

/** At the end of each line, moved apart where they would lie on each other. */
function names({ limit, dots, lines }: Chart, known: readonly ChartLine[], y: Scale): string {
  const taken: number[] = limit === undefined ? [] : [y(limit.value)];
  const ends = known
    .map((line) => ({ line, y: y(line.points.findLast(([, value]) => value !== undefined)?.[1] as number) }))
    .sort((a, b) => b.y - a.y);
  return ends
    .map(({ line, y: wanted }) => {
      const place = freePlace(wanted, taken);
      taken.push(place);
      const index = lines.indexOf(line);
      const x = WIDTH - RIGHT + 6;
      const shape = dots === true ? mark(index, x + 3, place) : '';
      return `${shape}<text class="label s${index}" x="${x + (dots === true ? 11 : 0)}" y="${at(place + 4)}">${escape(line.name)}</text>`;
    })
    .join('');
}

function freePlace(wanted: number, taken: readonly number[]): number {
  const isFree = (place: number): boolean =>
    place >= TOP - 4 && place <= HEIGHT - BOTTOM + 2 && taken.every((other) => Math.abs(other - place) >= LABEL_HEIGHT);
  for (let off = 0; off < HEIGHT; off += 1) {
    if (isFree(wanted - off)) return wanted - off;
    if (isFree(wanted + off)) return wanted + off;
  }
  return wanted;
}

function spoken({ title, unit, limit, format }: Chart, lines: readonly ChartLine[]): string {
  const each = lines.map(({ name, points }) => {
    const values = points.flatMap(([, value]) => value ?? []);
    const last = values.at(-1) as number;
    return `${name}: last ${format(last)}, least ${format(Math.min(...values))}, most ${format(Math.max(...values))}`;
  });
  const bound = limit === undefined ? '' : `; ${limit.name}: ${format(limit.value)}`;
  return `${title}, ${unit}. ${each.join('; ')}${bound}.`;
}

function table({ id, title, from, to, format }: Chart, lines: readonly ChartLine[]): string {
  const step = (to - from) / ROWS;
  const rows = Array.from({ length: ROWS }, (_, i) => {
    const [begin, end] = [to - (i + 1) * step, to - i * step];
    const cells = lines.map(({ points }) => {
      const values = points.flatMap(([time, value]) => (time > begin && time <= end ? (value ?? []) : []));
      return `<td class="number">${values.length === 0 ? '–' : escape(format(Math.max(...values)))}</td>`;
    });
    return `<tr><th scope="row">${clock(end, from, to)}</th>${cells.join('')}</tr>`;
  });
  return `<details id="${id}-table"><summary id="${id}-figures">Figures<span class="hidden">: ${escape(title)}</span></summary><table><caption class="hidden">${escape(title)}, the most in each stretch of time</caption><thead><tr><th scope="col">until (UTC)</th>${lines.map(({ name }) => `<th scope="col" class="number">${escape(name)}</th>`).join('')}</tr></thead><tbody>${rows.join('')}</tbody></table></details>`;
}

/** Hours and minutes, in UTC; with the day where there is more than one. */
function clock(time: EpochMs, from: EpochMs, to: EpochMs): string {
  const text = new Date(time).toISOString();
  return to - from > 24 * 3_600_000 ? `${text.slice(5, 10)} ${text.slice(11, 16)}` : text.slice(11, 16);
}

function at(place: number): string {
  return String(Math.round(place * 10) / 10);
}
