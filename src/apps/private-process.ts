/**
 * What this process leaves to whoever else is on the machine: files, a debugger's port, and its memory on a disk. A PIN, shares and,
 * where keys are files, keys are in the memory of a signer (CT-6.2.2); what a core file or a report holds is outside of every control.
 */
import { readFileSync } from 'node:fs';

/** Nothing that is written from here on can be written by its group or be read by others, whatever umask this was started with. */
export function keepFilesPrivate(): void {
  process.umask(process.umask() | 0o027);
}

/** Without a listener Node opens its inspector on SIGUSR1: a port of this machine for any of its users, through which code is run. */
export function refuseInspector(): void {
  process.on('SIGUSR1', () => undefined);
}

/** How the memory of this process may come to a disk or to a debugger, and what ends that; empty when it may not. */
export function waysOutOfMemory(
  limits = limitsOfThisProcess(),
  options: readonly string[] = [...process.execArgv, ...(process.env['NODE_OPTIONS'] ?? '').split(/\s+/)],
): readonly string[] {
  const [, soft = '0'] = /^Max core file size +(\S+)/m.exec(limits) ?? [];
  const core =
    soft === '0'
      ? []
      : [`a crash writes this process's memory to a core file (limit ${soft}): set LimitCORE=0, or ulimit -c 0`];
  return [
    ...core,
    ...options
      .filter((option) => SPILLING.test(option))
      .map((option) => `Node was started with ${option}, which hands memory or environment out: leave it out`),
  ];
}

/** Diagnostic reports hold the environment, heap snapshots and profiles every string; the inspector runs code. */
const SPILLING = /^--(inspect|report-|heapsnapshot-|heap-prof)/;

/** Empty where there is no /proc. */
function limitsOfThisProcess(): string {
  try {
    return readFileSync('/proc/self/limits', 'utf8');
  } catch {
    return '';
  }
}
