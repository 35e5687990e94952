/**
 * `npm run bench`: our listeners, those of the whole program `certstatus serve`, and the haproxy edge in front of them against the
 * bare stack and other responders, on this machine, in turn. Writes the tables and charts of bench/README.md. `--help` says the rest.
 *
 * Each server runs in its own process, on the first CPU; the load comes from the last one. Ends every process that it starts.
 */
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { deployFile } from '../src/apps/presets.ts';
import { startProgress } from '../src/apps/progress.ts';
import { VERSION } from '../src/apps/version.ts';
import { certificatesFromFile } from '../src/core/certificate-reader.ts';
import { loadIssuer, type Issuer } from '../src/core/issuer.ts';
import { encodeGetPath } from '../src/core/ocsp/get-path.ts';
import { writeRequest } from '../src/core/ocsp/request-writer.ts';
import { prepareSet, serialAt, type AnswerSet } from './load/answers.ts';
import { CELLS, SERVERS, TITLES, type Cell, type ServerName } from './load/cells.ts';
import { judge, Results } from './load/figures.ts';
import { installed, untilIdle } from './load/processes.ts';
import { writeQuestions } from './load/questions.ts';
import { tables } from './load/report.ts';
import { heapFor, startPeer, startService, takeSample, type Server } from './load/servers.ts';
import { saturate } from './load/wrk.ts';

const HELP = `node dist/bench/load.js [options]
  --quick              one rotation of one second: does everything work?
  --only NAMES         servers: ${SERVERS.join(',')}
  --modes NAMES        cells: ${CELLS.map(({ name }) => name).join(',')}
  --seconds N          of each measurement (2)
  --rotations N        of keep-alive and close (5); at most 3 of the rest
  --scratch DIRECTORY  where answers are kept between runs
  --edge-config FILE   haproxy.cfg of the edge`;

const OPTIONS = {
  seconds: { type: 'string', default: '2' },
  rotations: { type: 'string', default: '5' },
  only: { type: 'string', default: SERVERS.join(',') },
  modes: { type: 'string', default: CELLS.map(({ name }) => name).join(',') },
  scratch: { type: 'string', default: join(tmpdir(), 'certstatus-bench') },
  'edge-config': { type: 'string', default: deployFile('edge', 'haproxy.cfg') },
  quick: { type: 'boolean', default: false },
  help: { type: 'boolean', default: false },
} as const;

async function main(): Promise<void> {
  const { values } = parseArgs({ options: OPTIONS });
  if (values.help) return say(HELP);
  const cells = CELLS.filter(({ name }) => values.modes.split(',').includes(name));
  const only = SERVERS.filter((name) => values.only.split(',').includes(name));
  if (!(await installed('wrk', '--version')))
    return say('wrk is not installed (Debian: apt install wrk): no load, no figures.');
  mkdirSync(values.scratch, { recursive: true });
  const run: Run = {
    only,
    seconds: values.quick ? 1 : Number(values.seconds),
    rotations: values.quick ? 1 : Number(values.rotations),
    scratch: values.scratch,
    work: mkdtempSync(join(tmpdir(), 'certstatus-load-')),
    edgeConfig: values['edge-config'],
    results: new Results(),
  };
  try {
    for (const phase of PHASES) {
      const own = cells.filter((cell) => cell.of === phase.of);
      if (own.length > 0) await measure(run, own, phase);
    }
    for (const line of tables(cells, only, run.results)) say(line);
  } finally {
    rmSync(run.work, { recursive: true });
  }
}

interface Run {
  readonly only: readonly ServerName[];
  readonly seconds: number;
  readonly rotations: number;
  /** Where sets are kept for the next run. */
  readonly scratch: string;
  /** What goes at the end. */
  readonly work: string;
  readonly edgeConfig: string;
  readonly results: Results;
}

interface Phase {
  readonly of: Cell['of'];
  readonly count: number;
  readonly peers: boolean;
  readonly tableBytes: number;
}

const PHASES: readonly Phase[] = [
  { of: 'usual', count: 10_000, peers: true, tableBytes: 256 << 20 },
  // An entry weighs about 2.1 kB in the table's own reckoning.
  { of: 'many', count: 1_000_000, peers: false, tableBytes: 2_560 * (1 << 20) },
];

/** Cells other than those that are always measured get this many rotations. */
const FEW_ROTATIONS = 3;

async function measure(run: Run, cells: readonly Cell[], phase: Phase): Promise<void> {
  const set = await prepareSet(run.scratch, phase);
  const ca = join(set.data, 'issuers/demo/ca.pem');
  const issuer = loadIssuer(certificatesFromFile(readFileSync(ca)), ca);
  const heap = phase.of === 'many' ? heapFor(phase.tableBytes) : undefined;
  const service = await startService(set, VERSION, heap);
  const servers = new Map<ServerName, Server>();
  try {
    const target = `/${encodeGetPath(writeRequest(issuer.hashes, serialAt(set.serials, 0)))}`;
    const sample = await takeSample(service, target);
    const place = { work: run.work, set, service, sample, edgeConfig: run.edgeConfig };
    // The stub is what everything is compared with, asked for or not.
    const wanted = SERVERS.filter((name) => name === 'stub' || run.only.includes(name));
    for (const name of wanted.filter((name) => cells.some(({ servers }) => servers.includes(name)))) {
      const started = await startPeer(name, place);
      if (typeof started === 'string') say(`Without ${TITLES[name]}: ${started}.`);
      else servers.set(name, started);
    }
    await untilIdle(service.public.pids, 60_000);
    const pairs = Array.from({ length: run.rotations }, (_, rotation) =>
      cells
        .filter((cell) => cell.always === true || rotation < FEW_ROTATIONS)
        .flatMap((cell) => cell.servers.map((name) => ({ cell, name, server: servers.get(name), rotation }))),
    ).flat();
    const progress = startProgress('measure', 'cells');
    let done = 0;
    for (const { cell, name, server, rotation } of pairs) {
      progress.update({ items: done, done, total: pairs.length });
      done += 1;
      if (server === undefined) continue;
      const questions = writeQuestions(run.work, cell, set, issuer, etagOf(set, issuer));
      const start = Math.floor((rotation / run.rotations) * questions.count);
      if (rotation === 0) await saturate(run.work, server, questions, cell.connections, 1, start);
      const loaded = await saturate(run.work, server, questions, cell.connections, run.seconds, start);
      run.results.add(cell.name, name, rotation, judge(loaded));
    }
    progress.end();
  } finally {
    for (const server of servers.values()) await server.stop();
    await service.public.stop();
  }
}

/** As the responder makes it: SHA-256 of the response. */
function etagOf({ serials, peers }: AnswerSet, issuer: Issuer): (index: number) => string {
  return (index) => {
    const file = writeRequest(issuer.hashes, serialAt(serials, index)).toString('base64');
    const body = readFileSync(join(peers as string, 'files', file));
    return `"${createHash('sha256').update(body).digest('hex')}"`;
  };
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

await main();
