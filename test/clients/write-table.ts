/**
 * `npm run clients`: asks all clients anew and writes what they said into deploy/guide/how-it-works.md. When one says something else than is
 * expected of it, deploy/guide/how-it-works.md stays as it is and the table is printed.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { CLIENTS, type Client, type ScenarioId } from './matrix.ts';
import { renderTable, withTable } from './table.ts';

const README = resolve(import.meta.dirname, '../../../deploy/guide/how-it-works.md');

const results = mkdtempSync(join(tmpdir(), 'certstatus-clients-'));
try {
  const file = join(import.meta.dirname, 'matrix.test.js');
  const { status } = spawnSync(process.execPath, ['--test', '--test-reporter=spec', file], {
    env: { ...process.env, CLIENTS_RESULTS: results },
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  const table = renderTable((client, scenario) => seen(client)[scenario]);
  console.log(`\n${table}\n`);
  const asExpected = renderTable(({ verdicts }, scenario) => verdicts[scenario]) === table;
  if (status === 0 && asExpected) {
    writeFileSync(README, withTable(readFileSync(README, 'utf8'), table, `Seen with ${versions().join(', ')}.`));
  } else {
    console.error('clients: not as expected, or not all are installed; deploy/guide/how-it-works.md is as it was');
    process.exitCode = 1;
  }
} finally {
  rmSync(results, { recursive: true, force: true });
}

function seen(client: Client): Readonly<Partial<Record<ScenarioId, string>>> {
  const file = join(results, `${client.id}.json`);
  return existsSync(file)
    ? (JSON.parse(readFileSync(file, 'utf8')) as Readonly<Partial<Record<ScenarioId, string>>>)
    : {};
}

/** By Debian's packages, each once. */
function versions(): readonly string[] {
  const output = (program: string, ...args: readonly string[]): string =>
    spawnSync(program, args, { encoding: 'utf8' }).stdout.trim();
  const packages = Object.values(CLIENTS).map(({ program }) => {
    const file = realpathSync(output('sh', '-c', `command -v ${program}`));
    return output('dpkg-query', '-S', file).split(':')[0] as string;
  });
  return [...new Set(packages)].map((name) =>
    output('dpkg-query', '-W', '-f', '${Package} ${source:Upstream-Version}', name),
  );
}
