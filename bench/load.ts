/**
 * `npm run bench`: our listeners, those of the whole program `certstatus serve`, and the haproxy edge in front of them against the
 * bare stack and other responders, on this machine, in turn. Writes the tables and charts of bench/README.md. `--help` says the rest.
 *
 * Each server runs in its own process, on the first CPU; the load comes from the last one. Ends every process that it starts.
 */
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir, totalmem } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { deployFile } from '../src/apps/deploy-file.ts';
import { startProgress } from '../src/apps/progress.ts';
import { VERSION } from '../src/apps/version.ts';
import { certificatesFromFile } from '../src/core/certificate-reader.ts';
import { loadIssuer, type Issuer } from '../src/core/issuer.ts';
import { encodeGetPath } from '../src/core/ocsp/get-path.ts';
import { writeRequest } from '../src/core/ocsp/request-writer.ts';
import { prepareSet, serialAt, type AnswerSet } from './load/answers.ts';
import { CELLS, comparedBase, SERVERS, TITLES, type Cell, type ServerName } from './load/cells.ts';
import { Results, type Outcome } from './load/figures.ts';
import { hasWrk, Meter, type Asking } from './load/measure.ts';
import { residentMiB, untilIdle } from './load/processes.ts';
import { writeQuestions } from './load/questions.ts';
import { writeCharts } from './load/charts.ts';
import { circumstancesText, tables, writeBetweenMarkers } from './load/report.ts';
import { heapFor, startPeer, startService, takeSample, type Server } from './load/servers.ts';

const HELP = `node dist/bench/load.js [options]
  --quick              one rotation of one second: does everything work?
  --only NAMES         servers: ${SERVERS.join(',')}
  --modes NAMES        cells: ${CELLS.map(({ name }) => name).join(',')}
  --seconds N          of each measurement (2)
  --rotations N        of keep-alive and close (5); at most 3 of the rest
  --many N             certificates of the cells many-uniform and many-zipf (1000000)
  --scratch DIRECTORY  where answers are kept between runs
  --edge-config FILE   haproxy.cfg of the edge`;

const OPTIONS = {
  seconds: { type: 'string', default: '2' },
  rotations: { type: 'string', default: '5' },
  many: { type: 'string', default: '1000000' },
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
  const named = CELLS.filter(({ name }) => values.modes.split(',').includes(name));
  // A fixed rate is a share of what came at saturation.
  const bases = new Set(named.filter(({ load }) => load === 'fixed').map(comparedBase));
  const cells = CELLS.filter((cell) => named.includes(cell) || bases.has(cell.name));
  const only = SERVERS.filter((name) => values.only.split(',').includes(name));
  mkdirSync(values.scratch, { recursive: true });
  const startedAt = performance.now();
  const run: Run = {
    only,
    seconds: values.quick ? 1 : Number(values.seconds),
    rotations: values.quick ? 1 : Number(values.rotations),
    scratch: values.scratch,
    work: mkdtempSync(join(tmpdir(), 'certstatus-load-')),
    edgeConfig: values['edge-config'],
    results: new Results(),
    rates: new Map(),
    versions: new Map(),
    absent: new Set(
      hasWrk ? [] : ['Without wrk (Debian: apt install wrk): our own generator is too slow for the fastest rows.'],
    ),
  };
  try {
    for (const phase of phasesOf(Number(values.many))) {
      const own = cells.filter((cell) => cell.of === phase.of);
      if (own.length === 0) continue;
      // The table lives in the heap of one process, which shares the machine with the load.
      if (3 * phase.tableBytes > totalmem())
        run.absent.add(`Without ${phase.count.toLocaleString('en')} certificates: this machine has too little memory.`);
      else await measure(run, own, phase);
    }
    const lines = [
      ...circumstancesText({
        command:
          values.quick || narrowed(values)
            ? `node dist/bench/load.js ${process.argv.slice(2).join(' ')}`
            : 'npm run bench',
        seconds: run.seconds,
        rotations: run.rotations,
        few: FEW_ROTATIONS,
        minutes: Math.round((performance.now() - startedAt) / 60_000),
        versions: run.versions,
        absent: [...run.absent],
      }).flatMap((line) => [line, '']),
      ...tables(cells, only, run.results),
    ];
    const out = deployFile('..', 'bench', 'out');
    mkdirSync(out, { recursive: true });
    writeFileSync(join(out, 'load.json'), JSON.stringify(run.results));
    // Part of the bench, or a look whether it works, is no replacement for what stands there.
    if (!values.quick && !narrowed(values)) {
      const directory = deployFile('..', 'bench');
      lines.push(...writeCharts(join(directory, 'charts'), run.results));
      writeBetweenMarkers(join(directory, 'README.md'), lines);
    } else writeCharts(out, run.results);
    for (const line of lines) say(line);
  } finally {
    rmSync(run.work, { recursive: true });
  }
}

/** With another choice than the whole. */
function narrowed({ only, modes, many }: Readonly<Record<'only' | 'modes' | 'many', string>>): boolean {
  return many !== OPTIONS.many.default || only !== OPTIONS.only.default || modes !== OPTIONS.modes.default;
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
  /** Of the cells with a fixed one, by cell and server: the same in every rotation. */
  readonly rates: Map<string, number>;
  readonly versions: Map<ServerName, string>;
  readonly absent: Set<string>;
}

interface Phase {
  readonly of: Cell['of'];
  readonly count: number;
  readonly peers: boolean;
  readonly tableBytes: number;
}

/** @param many certificates of the cells that have more than the usual ones. */
function phasesOf(many: number): readonly Phase[] {
  return [
    { of: 'usual', count: 10_000, peers: true, tableBytes: 256 << 20 },
    // An entry weighs about 2.6 kB in the table's own reckoning.
    { of: 'many', count: many, peers: false, tableBytes: Math.max(64 << 20, 2_800 * many) },
  ];
}

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
    const place = { work: run.work, set, issuer, service, target, sample, edgeConfig: run.edgeConfig };
    // The stub is what everything is compared with, asked for or not.
    const wanted = SERVERS.filter((name) => name === 'stub' || run.only.includes(name));
    for (const name of wanted.filter((name) => cells.some(({ servers }) => servers.includes(name)))) {
      const started = await startPeer(name, place);
      if (typeof started === 'string') run.absent.add(`Without ${TITLES[name]}: ${started}.`);
      else servers.set(name, started);
    }
    for (const [name, { version }] of servers) run.versions.set(name, version);
    await untilIdle(service.public.pids, 60_000);
    const meter = new Meter(run.work, issuer, Buffer.from(sample.body, 'base64'));
    const plan = Array.from({ length: run.rotations }, (_, rotation) =>
      cells
        .filter((cell) => cell.always === true || rotation < FEW_ROTATIONS)
        .flatMap((cell) => cell.servers.map((name) => ({ cell, name, server: servers.get(name), rotation }))),
    ).flat();
    const progress = startProgress('measure', 'cells');
    let done = 0;
    for (const { cell, name, server, rotation } of plan) {
      progress.update({ items: done, done, total: plan.length });
      done += 1;
      // One wrong reply is enough: the rest of the rotations has nothing to add.
      if (server === undefined || run.results.refusal(cell.name, name) !== undefined) continue;
      const questions = writeQuestions(run.work, cell, set, issuer, etagOf(set, issuer));
      const first = Math.floor((rotation / run.rotations) * questions.count);
      const asking = { cell, name, server, questions, first, seconds: run.seconds };
      const outcome = await outcomeOf(run, meter, asking, rotation);
      if (outcome !== undefined) run.results.add(cell.name, name, rotation, outcome);
      else
        run.absent.add(`${TITLES[name]}, ${cell.name}: no CPU to be had in at least one rotation, which is left out.`);
      if (phase.of === 'many' && name === 'origin')
        run.results.note(
          cell.name,
          `${phase.count.toLocaleString('en')} certificates; the whole service took ${residentMiB(server.pids).toLocaleString('en')} MiB.`,
        );
    }
    progress.end();
  } finally {
    for (const server of servers.values()) await server.stop();
    await service.public.stop();
  }
}

async function outcomeOf(run: Run, meter: Meter, asking: Asking, rotation: number): Promise<Outcome | undefined> {
  const { cell, name, questions } = asking;
  const wrong = await meter.check(asking, rotation === 0 ? checkedOf(cell, name, questions.count) : CHECKED_AGAIN);
  if (wrong !== undefined) return { refused: wrong };
  if (cell.load === 'saturation') {
    // What a server compiles and caches under load it has by now.
    if (rotation === 0) await meter.saturated({ ...asking, seconds: 1 });
    return meter.saturated(asking);
  }
  const base = comparedBase(cell);
  const rates = [name, 'origin' as const].flatMap((one) => run.results.median(base, one, 'perSecond') ?? []);
  const rate = run.rates.get(`${cell.name} ${name}`) ?? rateOf(cell, rates);
  run.rates.set(`${cell.name} ${name}`, rate);
  return meter.fixed({ ...asking, seconds: 2 * asking.seconds }, rate);
}

/**
 * Each reply is looked at: of the usual set all, and of many all once at each listener: that brings them into the table, and what a first hit
 * costs is no part of a figure at either.
 */
function checkedOf(cell: Cell, name: ServerName, count: number): number {
  if (name === 'openssl') return 1000;
  return cell.name === 'many-uniform' && name !== 'stub' ? count : Math.min(count, 10_000);
}
const CHECKED_AGAIN = 200;

/** Half of what the slower one of the server and our origin listener does, so that most of them get the same. */
function rateOf(cell: Cell, saturations: readonly number[]): number {
  const most = cell.connecting === 'kept' ? MOST_KEPT : MOST_CLOSED;
  return Math.max(100, Math.floor(Math.min(most, ...saturations.map((rate) => rate / 2)) / 100) * 100);
}
/** What the generator offers on time with one CPU. */
const MOST_KEPT = 40_000;
const MOST_CLOSED = 6000;

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

// Ended early, it leaves no server behind: each ends with this process.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1));
await main();
