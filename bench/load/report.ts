/** What is printed, and written into bench/README.md between its markers: tables, the machine, and what could not be said. */
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { cpus, release } from 'node:os';
import { comparedWith, TITLES, type Cell, type ServerName } from './cells.ts';
import { medianOf, ratioOf, type Results } from './figures.ts';

const BEGIN = '<!-- figures: npm run bench -->';
const END = '<!-- end of figures -->';

export interface Circumstances {
  readonly command: string;
  readonly seconds: number;
  readonly rotations: number;
  readonly few: number;
  readonly minutes: number;
  readonly versions: ReadonlyMap<ServerName, string>;
  /** Lines about who did not take part. */
  readonly absent: readonly string[];
}

/** Where and how the figures were made. */
export function circumstancesText(of: Circumstances): string[] {
  const versions = [...new Set([...of.versions.values()].filter((version) => /^[a-z]+ \S/i.test(version)))];
  return [
    `Commit ${commit()}, \`${of.command}\`, ${cpus()[0]?.model ?? 'unknown CPU'}, ${cpus().length} CPUs, Linux ${release()}; ` +
      `${[`Node ${process.version}`, ...versions].join(', ')}; ${new Date().toISOString().slice(0, 10)}. ` +
      `${of.seconds} s a measurement, ${of.rotations} rotations of the first two tables, at most ${of.few} of the others, medians; ${of.minutes} min altogether.`,
    ...of.absent,
  ];
}

/** One table for each cell: servers in its rows. */
export function tables(cells: readonly Cell[], only: readonly ServerName[], results: Results): string[] {
  return cells.flatMap((cell) => {
    const measured = cell.servers.filter(
      (name) => (name === 'stub' || only.includes(name)) && results.of(cell.name, name).length > 0,
    );
    if (measured.length === 0) return [];
    const note = results.noteOf(cell.name);
    const lines =
      cell.load === 'fixed' ? latencyTable(cell, measured, results) : saturationTable(cell, measured, results);
    return [...lines, ...(note === undefined ? [] : ['', note]), ''];
  });
}

function saturationTable(cell: Cell, servers: readonly ServerName[], results: Results): string[] {
  const notes: string[] = [];
  const to = { cell: comparedWith(cell), server: 'stub' } as const;
  const rows = servers.map((name) => {
    const refusal = results.refusal(cell.name, name);
    if (refusal !== undefined) {
      notes.push(`${TITLES[name]}: not reported; ${refusal}.`);
      return [TITLES[name], '–', '–', '–', '–'];
    }
    const unsaturated = results.unsaturated(cell.name, name);
    if (unsaturated !== undefined) notes.push(`${TITLES[name]}: no requests/s; ${unsaturated}.`);
    return [
      TITLES[name],
      count(results.median(cell.name, name, 'perCpuSecond')),
      times(results.ratio(cell.name, name, to, 'perCpuSecond')),
      unsaturated === undefined ? count(results.median(cell.name, name, 'perSecond')) : '–',
      unsaturated === undefined && results.unsaturated(to.cell, to.server) === undefined
        ? times(results.ratio(cell.name, name, to, 'perSecond'))
        : '–',
    ];
  });
  const head = [`${cell.title}; ${connections(cell)}`, 'req/CPU-s', '× of stub', 'req/s', '× of stub'];
  return [...markdownTable(head, rows), ...notes.flatMap((note) => ['', note])];
}

function latencyTable(cell: Cell, servers: readonly ServerName[], results: Results): string[] {
  const notes: string[] = [];
  const stub = results.latencies(cell.name, 'stub');
  const rows = servers.map((name) => {
    const refusal = results.refusal(cell.name, name) ?? results.unsaid(cell.name, name);
    if (refusal !== undefined) {
      notes.push(`${TITLES[name]}: not reported; ${refusal}.`);
      return [TITLES[name], '–', '–', '–', '–', '–', '–', '–'];
    }
    const own = results.latencies(cell.name, name);
    const shown = (['p50', 'p90', 'p99', 'p999'] as const).map((figure) => milliseconds(medianOf(own, figure)));
    const ratios = (['p99', 'p999'] as const).map((figure) => times(ratioOf(own, stub, figure)));
    return [TITLES[name], count(medianOf(own, 'rate')), ...shown, ...ratios];
  });
  const head = [`${cell.title}; latency at a fixed rate, ms`, 'req/s', 'p50', 'p90', 'p99', 'p99.9', 'p99 × of stub', 'p99.9 × of stub']; // prettier-ignore
  return [...markdownTable(head, rows), ...notes.flatMap((note) => ['', note])];
}

/** Puts the lines between the markers; what is written by hand around them stays. */
export function writeBetweenMarkers(file: string, lines: readonly string[]): void {
  const text = readFileSync(file, 'utf8');
  const from = text.indexOf(BEGIN);
  const to = text.indexOf(END);
  if (from === -1 || to < from) throw new Error(`${file} has no ${BEGIN} … ${END}`);
  writeFileSync(file, `${text.slice(0, from)}${BEGIN}\n\n${lines.join('\n').trim()}\n\n${text.slice(to)}`);
}

function markdownTable(head: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  return [line(head), `|${'---|'.repeat(head.length)}`, ...rows.map(line)];
}

function commit(): string {
  try {
    const cwd = import.meta.dirname;
    return execFileSync('git', ['rev-parse', '--short', 'HEAD'], { cwd, encoding: 'utf8', stdio: 'pipe' }).trim();
  } catch {
    // A copy without its history.
    return 'unknown';
  }
}

function connections({ connections }: Cell): string {
  return connections === 1 ? '1 connection' : `${connections.toLocaleString('en')} connections`;
}

function count(value: number | undefined): string {
  if (value === undefined) return '–';
  const step = value >= 10_000 ? 100 : 10;
  return (Math.round(value / step) * step).toLocaleString('en');
}

function milliseconds(micros: number | undefined): string {
  return micros === undefined ? '–' : (micros / 1000).toFixed(2);
}

function times(ratio: number | undefined): string {
  return ratio === undefined ? '–' : ratio.toFixed(2);
}
