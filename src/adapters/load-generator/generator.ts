/** Puts load on an OCSP responder from several processes, each with its share of connections and rate, and adds up what they saw. */
import { fork } from 'node:child_process';
import { join } from 'node:path';
import { LatencyHistogram } from '../../core/latency-histogram.ts';
import type { Load, LoadResult } from './load.ts';

export interface GeneratorOptions {
  readonly processes: number;
  /** A command that starts the processes, such as `taskset -c 1`; none by default. */
  readonly launcher?: readonly string[];
  /** Replies so far, a few times a second. */
  readonly onProgress?: (done: number) => void;
}

type Message = { readonly done: number } | { readonly result: LoadResult };

/** @throws Error when a process of the generator fails: then nothing is known. */
export async function generateLoad(load: Load, options: GeneratorOptions): Promise<LoadResult> {
  const processes = Math.max(1, Math.min(options.processes, load.connections));
  const done = new Array<number>(processes).fill(0);
  const results = await Promise.all(
    done.map((_, i) =>
      runProcess(shareOf(load, i, processes), options.launcher ?? [], (own) => {
        done[i] = own;
        options.onProgress?.(done.reduce((sum, one) => sum + one, 0));
      }),
    ),
  );
  return added(results);
}

/** Connections as evenly as they divide; rate and count by connections, so that each has the same work. */
function shareOf(load: Load, i: number, processes: number): Load {
  const connections = Math.floor(load.connections / processes) + (i < load.connections % processes ? 1 : 0);
  const share = connections / load.connections;
  return {
    ...load,
    connections,
    first: load.first + Math.floor((load.count ?? 1_000_003) * (i / processes)),
    rate: load.rate === undefined ? undefined : load.rate * share,
    count: load.count === undefined ? undefined : Math.ceil(load.count * share),
  };
}

function runProcess(load: Load, launcher: readonly string[], onDone: (done: number) => void): Promise<LoadResult> {
  const [command, ...args] = launcher;
  const started = command === undefined ? {} : { execPath: command, execArgv: [...args, process.execPath] };
  const child = fork(join(import.meta.dirname, 'process.js'), { serialization: 'advanced', ...started });
  return new Promise((resolve, reject) => {
    child.on('message', (message: Message) => {
      if ('done' in message) onDone(message.done);
      else resolve(message.result);
    });
    child.once('error', reject);
    child.once('exit', (code, signal) =>
      reject(new Error(`a process of the load generator ended: ${signal ?? `exit ${code}`}`)),
    );
    child.send(load);
  });
}

function added(results: readonly LoadResult[]): LoadResult {
  const sum = (of: (result: LoadResult) => number): number => results.reduce((total, one) => total + of(one), 0);
  const merged = (of: (result: LoadResult) => Float64Array): Float64Array => {
    const all = new LatencyHistogram();
    for (const result of results) all.add(new LatencyHistogram(of(result)));
    return all.counts;
  };
  const failures = new Map<string, number>();
  for (const result of results)
    for (const [what, count] of result.failures) failures.set(what, (failures.get(what) ?? 0) + count);
  return {
    right: sum(({ right }) => right),
    seconds: Math.max(...results.map(({ seconds }) => seconds)),
    octets: sum(({ octets }) => octets),
    failures,
    latency: merged(({ latency }) => latency),
    lateness: merged(({ lateness }) => lateness),
    samples: results.flatMap(({ samples }) => samples),
    cpuSeconds: sum(({ cpuSeconds }) => cpuSeconds),
  };
}
