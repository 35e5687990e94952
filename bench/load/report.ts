/** The tables of bench/README.md. */
import { comparedWith, TITLES, type Cell, type ServerName } from './cells.ts';
import type { Results } from './figures.ts';

/** One table per cell: servers in its rows. */
export function tables(cells: readonly Cell[], only: readonly ServerName[], results: Results): string[] {
  return cells.flatMap((cell) => [...saturationTable(cell, only, results), '']);
}

function saturationTable(cell: Cell, only: readonly ServerName[], results: Results): string[] {
  const notes: string[] = [];
  const to = { cell: comparedWith(cell), server: 'stub' } as const;
  const rows = cell.servers
    .filter((name) => (name === 'stub' || only.includes(name)) && results.of(cell.name, name).length > 0)
    .map((name) => {
      const refusal = results.refusal(cell.name, name);
      if (refusal !== undefined) {
        notes.push(`${TITLES[name]}: not reported, ${refusal}.`);
        return [TITLES[name], '–', '–', '–', '–'];
      }
      const unsaturated = results.unsaturated(cell.name, name);
      if (unsaturated !== undefined) notes.push(`${TITLES[name]}: no requests/s, ${unsaturated}.`);
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
  return [
    ...markdownTable(
      [`${cell.title}, ${cell.connections} at a time`, 'req/CPU-s', '× of first', 'req/s', '× of first'],
      rows,
    ),
    ...notes.flatMap((note) => ['', note]),
  ];
}

export function markdownTable(head: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  return [line(head), `|${'---|'.repeat(head.length)}`, ...rows.map(line)];
}

function count(value: number | undefined): string {
  if (value === undefined) return '–';
  const step = value >= 10_000 ? 100 : 10;
  return (Math.round(value / step) * step).toLocaleString('en');
}

function times(ratio: number | undefined): string {
  return ratio === undefined ? '–' : ratio.toFixed(2);
}
