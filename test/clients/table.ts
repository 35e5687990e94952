/** The matrix as deploy/guide/how-it-works.md shows it: a Markdown table between two markers. */
import { CLIENTS, SCENARIOS, type Client, type ScenarioId } from './matrix.ts';

const BEGIN = '<!-- clients: written by `npm run clients` -->';
const END = '<!-- /clients -->';

/** One line for each client. @param verdict undefined where the client cannot be made to ask so */
export function renderTable(verdict: (client: Client, scenario: ScenarioId) => string | undefined): string {
  const row = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  const clients: readonly Client[] = Object.values(CLIENTS);
  return [
    row(['client', 'asks by', ...SCENARIOS.map(({ title }) => title)]),
    row(['client', 'asks by', ...SCENARIOS].map(() => '---')),
    ...clients.map((client) =>
      row([
        client.title,
        client.asks?.join(', ') ?? NOTHING,
        ...SCENARIOS.map(({ id }) => verdict(client, id) ?? NOTHING),
      ]),
    ),
  ].join('\n');
}

const NOTHING = '–';

/** What stands between the markers: the table, and below it a line that is true of the machine it was made on. @throws when there are none */
export function tableIn(readme: string): string {
  const [from, to] = markers(readme);
  const lines = readme.slice(from, to).split('\n');
  return lines.filter((line) => line.startsWith('|')).join('\n');
}

export function withTable(readme: string, table: string, seenWith: string): string {
  const [from, to] = markers(readme);
  return `${readme.slice(0, from)}\n\n${table}\n\n${seenWith}\n\n${readme.slice(to)}`;
}

function markers(readme: string): readonly [number, number] {
  const [begin, end] = [readme.indexOf(BEGIN), readme.indexOf(END)];
  if (begin < 0 || end < begin) throw new Error(`deploy/guide/how-it-works.md lacks ${BEGIN} or ${END}`);
  return [begin + BEGIN.length, end];
}
