/** Processes of a bench: where they run, what CPU time they took, whether they had to wait for it. Linux only: /proc. */
import { execFile, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { cpus } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';

export const run = promisify(execFile);

/** Servers share the first CPU, one of them being asked at a time; the load comes from the last one. */
export const SERVER_CPU = 0;
export const LOAD_CPU = cpus().length - 1;

export function pinned(cpu: number, command: string, args: readonly string[]): [string, string[]] {
  return cpus().length > 1 && hasTaskset ? ['taskset', ['-c', String(cpu), command, ...args]] : [command, [...args]];
}

/** @returns whether the command could be started at all, whatever it answered. */
export async function installed(command: string, ...args: readonly string[]): Promise<boolean> {
  try {
    await run(command, args);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ENOENT';
  }
}

export const hasTaskset = await installed('taskset', '--version');

/** SIGTERM, and SIGKILL for who has not ended ten seconds later. */
export async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, 'exit');
  const timer = setTimeout(() => child.kill('SIGKILL'), 10_000);
  child.kill('SIGTERM');
  await ended;
  clearTimeout(timer);
}

/** The processes and all that they have started, in turn. */
export function withDescendants(pids: readonly number[]): number[] {
  const all = [...pids];
  for (const pid of all) {
    for (const task of list(`/proc/${pid}/task`))
      all.push(...read(`/proc/${pid}/task/${task}/children`).split(' ').filter(Boolean).map(Number));
  }
  return all;
}

/** What processes have used so far, in seconds. */
export interface CpuUse {
  /** User and system time. */
  readonly busy: number;
  /** The longest time that one of their threads was ready to run and had no CPU; 0 on a kernel that does not count it. */
  readonly waiting: number;
}

export function cpuUse(pids: readonly number[]): CpuUse {
  let clockTicks = 0;
  let waiting = 0;
  for (const pid of withDescendants(pids)) {
    const stat = read(`/proc/${pid}/stat`);
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    clockTicks += Number(fields[11] ?? 0) + Number(fields[12] ?? 0);
    for (const task of list(`/proc/${pid}/task`))
      waiting = Math.max(waiting, Number(read(`/proc/${pid}/task/${task}/schedstat`).split(' ')[1] ?? 0) / 1e9);
  }
  // USER_HZ is 100 on every Linux that Node runs on.
  return { busy: clockTicks / 100, waiting };
}

/** Resident memory of the processes, MiB. */
export function residentMiB(pids: readonly number[]): number {
  let kib = 0;
  for (const pid of withDescendants(pids))
    kib += Number(/VmRSS:\s+(\d+) kB/.exec(read(`/proc/${pid}/status`))?.[1] ?? 0);
  return Math.round(kib / 1024);
}

/** Resolves when they have nothing to do any more: what a start leaves to the background is no part of a figure. */
export async function untilIdle(pids: readonly number[], withinMs: number): Promise<void> {
  const deadline = performance.now() + withinMs;
  for (;;) {
    const before = cpuUse(pids).busy;
    await sleep(500);
    if (cpuUse(pids).busy - before <= 0.02 || performance.now() > deadline) return;
  }
}

export async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer().listen(0, '127.0.0.1'));
  await Promise.all(servers.map((server) => once(server, 'listening')));
  const ports = servers.map((server) => (server.address() as AddressInfo).port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}

/** Empty when the process or thread has ended meanwhile. */
function read(file: string): string {
  try {
    return readFileSync(file, 'latin1').trim();
  } catch {
    return '';
  }
}

function list(directory: string): readonly string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}
