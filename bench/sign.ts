/**
 * The signing bench: `node dist/bench/sign.js [--milliseconds 250] [--rotations 5] [--sessions 1,2,4] [--batches 1,16,64,256,512]
 * [--keys RSA-2048,P-256]`. What share of the token's raw rate the PKCS#11 key holder gives, on SoftHSM2.
 *
 * Raw is another process with as many threads in a bare C_SignInit/C_Sign loop over a prepared digest (sign/raw.ts). The key
 * holder is given structures of 250 octets in calls of one batch each, two calls under way for each session; it hashes
 * them, brings them to the host and back, and gives out DER. Each figure is measured next to a raw one, by turns before and
 * after it, and compared with that one only; given are the medians. "rate" is signatures a second against raw, "CPU" is
 * signatures per CPU-second of all processes taking part against raw's: on a machine where others work too, trust that.
 */
import { fork, type ChildProcess } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { openToken } from '../src/adapters/pkcs11/token.ts';
import { algorithmFor } from '../src/core/signature-algorithm.ts';
import type { KeyHolder } from '../src/ports/key-holder.ts';
import { missingSofthsm, softToken, type SoftToken } from '../test/support/softhsm.ts';
import type { RawAnswer } from './sign/raw.ts';

const PIN = '123456';
const CALLS_PER_SESSION = 2;
/** Of a to-be-signed response with one certificate's status. */
const STRUCTURE_OCTETS = 250;

interface Figure {
  /** Signatures a second. */
  readonly rate: number;
  /** Signatures per CPU-second. */
  readonly perCpu: number;
}

const KEYS = {
  'RSA-2048': () => generateKeyPairSync('rsa', { modulusLength: 2048 }),
  'P-256': () => generateKeyPairSync('ec', { namedCurve: 'P-256' }),
};
type KeyName = keyof typeof KEYS;

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      milliseconds: { type: 'string', default: '250' },
      rotations: { type: 'string', default: '5' },
      sessions: { type: 'string', default: '1,2,4' },
      batches: { type: 'string', default: '1,16,64,256,512' },
      keys: { type: 'string', default: 'RSA-2048,P-256' },
    },
  });
  if (missingSofthsm !== false) return say(`no figures: ${missingSofthsm}`);
  const numbers = (text: string): number[] => text.split(',').map(Number);
  const [milliseconds, rotations] = [Number(values.milliseconds), Number(values.rotations)];
  const [sessions, batches] = [numbers(values.sessions), numbers(values.batches)];
  const names = (Object.keys(KEYS) as KeyName[]).filter((name) => values.keys.split(',').includes(name));
  say(`${cpus()[0]?.model}, ${cpus().length} CPUs; Node ${process.version}; ${new Date().toISOString().slice(0, 10)};`);
  say(`${milliseconds} ms each, median of ${rotations} rotations.\n`);
  say(`| key | sessions | raw/s | ${batches.map((batch) => `${batch}: rate | CPU`).join(' | ')} |`);
  say(`|---|---|---|${'---|'.repeat(2 * batches.length)}`);
  const device = softToken({ label: 'bench', pin: PIN });
  try {
    for (const [n, name] of names.entries()) {
      const pair = KEYS[name]();
      const id = `0${n + 1}`;
      device.importKey(pair.privateKey, name, id);
      for (const count of sessions) {
        const { module, label, env } = device;
        const token = openToken({ name: 'bench', module, label, sessions: count, use: 'held', env });
        const raw = await startRaw(device, id, name, count);
        try {
          const holder = token.key({ id }, pair.publicKey, algorithmFor(pair.publicKey, name));
          await token.activate(Buffer.from(PIN));
          const rounds: { raw: Figure; ours: Figure }[][] = batches.map(() => []);
          for (let rotation = 0; rotation < rotations; rotation++) {
            for (const [at, batch] of batches.entries()) {
              const measureOurs = (): Promise<Figure> =>
                measured([process.pid, token.hostPid as number], () =>
                  load(holder, batch, CALLS_PER_SESSION * count, milliseconds),
                );
              const measureRaw = (): Promise<Figure> => measured([raw.pid as number], () => ask(raw, milliseconds));
              const first = rotation % 2 === 0 ? await measureRaw() : undefined;
              const ours = await measureOurs();
              rounds[at]?.push({ raw: first ?? (await measureRaw()), ours });
            }
          }
          say(row(name, count, rounds));
        } finally {
          raw.kill('SIGKILL');
          await token.close();
        }
      }
    }
  } finally {
    device.remove();
  }
}

function row(name: string, sessions: number, rounds: readonly (readonly { raw: Figure; ours: Figure }[])[]): string {
  const raw = Math.round(median(rounds.flat().map((round) => round.raw.rate)) / 10) * 10;
  const cells = rounds.flatMap((round) =>
    (['rate', 'perCpu'] as const).map((figure) =>
      median(round.map(({ raw, ours }) => ours[figure] / raw[figure])).toFixed(2),
    ),
  );
  return `| ${name} | ${sessions} | ${raw.toLocaleString('en')} | ${cells.join(' | ')} |`;
}

/** Calls of `batch` structures, `calls` of them under way at any time. */
async function load(holder: KeyHolder, batch: number, calls: number, milliseconds: number): Promise<RawAnswer> {
  const structures = Array.from({ length: batch }, (_, i) => Buffer.alloc(STRUCTURE_OCTETS, i));
  const started = performance.now();
  let signatures = 0;
  await Promise.all(
    Array.from({ length: calls }, async () => {
      while (performance.now() - started < milliseconds) {
        const results = await holder.sign(structures, 'bulk');
        for (const result of results) {
          if (!result.ok) throw result.error;
          signatures++;
        }
      }
    }),
  );
  return { signatures, milliseconds: performance.now() - started };
}

async function startRaw(device: SoftToken, id: string, name: KeyName, threads: number): Promise<ChildProcess> {
  const file = fileURLToPath(new URL('sign/raw.js', import.meta.url));
  const args = [device.module, device.label, PIN, id, name, String(threads)];
  const child = fork(file, args, { env: device.env });
  await once(child, 'message');
  return child;
}

async function ask(raw: ChildProcess, milliseconds: number): Promise<RawAnswer> {
  const answer = once(raw, 'message');
  raw.send(milliseconds);
  return ((await answer) as [RawAnswer])[0];
}

async function measured(pids: readonly number[], run: () => Promise<RawAnswer>): Promise<Figure> {
  const before = cpuSeconds(pids);
  const { signatures, milliseconds } = await run();
  return { rate: (1000 * signatures) / milliseconds, perCpu: signatures / (cpuSeconds(pids) - before) };
}

/** Of all threads that these processes have now; the nanoseconds that the scheduler counts. */
function cpuSeconds(pids: readonly number[]): number {
  let nanoseconds = 0;
  for (const pid of pids) {
    for (const thread of readdirSync(`/proc/${pid}/task`)) {
      nanoseconds += Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'latin1').split(' ')[0]);
    }
  }
  return nanoseconds / 1e9;
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? NaN;
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

await main();
