/** Which results the charts show. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { CELLS, comparedWith, TITLES, type Cell, type ServerName } from './cells.ts';
import { barChart, dotChart, type Bar, type BarGroup, type DotRow } from './chart.ts';
import { medianOf, type Results } from './figures.ts';

const THROUGHPUT = ['keep-alive', 'close', 'http10', 'post'] as const;

/** Those that have something to show. @returns Markdown that shows them. */
export function writeCharts(directory: string, results: Results): string[] {
  mkdirSync(directory, { recursive: true });
  const groups = CELLS.filter(({ name }) => THROUGHPUT.some((one) => one === name))
    .map((cell): BarGroup => ({ title: cell.title, bars: bars(cell, results) }))
    .filter(({ bars }) => bars.length > 0);
  const latency = CELLS.find(({ name }) => name === 'latency') as Cell;
  const dots = rows(latency, results);
  const links: string[] = [];
  if (groups.length > 0) {
    writeFileSync(
      join(directory, 'throughput.svg'),
      barChart('Requests per CPU-second of all server processes', groups),
    );
    links.push('![Requests per CPU-second](charts/throughput.svg)', '');
  }
  if (dots.length > 0) {
    writeFileSync(join(directory, 'latency.svg'), dotChart('Latency at a fixed rate, kept connections', 'ms', dots));
    links.push('![Latency at a fixed rate](charts/latency.svg)', '');
  }
  return links;
}

const ours = (name: ServerName): boolean => ['origin', 'public', 'edge'].includes(name);

function bars(cell: Cell, results: Results): Bar[] {
  const to = { cell: comparedWith(cell), server: 'stub' } as const;
  return cell.servers.flatMap((name) => {
    const value = results.refusal(cell.name, name) === undefined ? results.median(cell.name, name, 'perCpuSecond') : undefined; // prettier-ignore
    if (value === undefined) return [];
    const ratio = results.ratio(cell.name, name, to, 'perCpuSecond');
    const shown = (Math.round(value / 100) * 100).toLocaleString('en');
    return { label: TITLES[name], value, text: ratio === undefined ? shown : `${shown} · ${ratio.toFixed(2)} ×`, ours: ours(name) }; // prettier-ignore
  });
}

function rows(cell: Cell, results: Results): DotRow[] {
  return cell.servers.flatMap((name) => {
    if (results.refusal(cell.name, name) !== undefined || results.unsaid(cell.name, name) !== undefined) return [];
    const own = results.latencies(cell.name, name);
    const dots = (['p50', 'p99', 'p999'] as const).flatMap((figure) => {
      const value = medianOf(own, figure);
      return value === undefined ? [] : { name: figure === 'p999' ? 'p99.9' : figure, value: value / 1000 };
    });
    return dots.length === 0 ? [] : { label: TITLES[name], dots, ours: ours(name) };
  });
}
