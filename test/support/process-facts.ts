/** What the kernel says of a process: its sockets, files, libraries, arguments, environment and children (proc(5)). */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

/** A process and all below it. */
export function familyOf(pid: number): readonly number[] {
  const parents = new Map<number, number>();
  for (const name of readdirSync('/proc').filter((entry) => /^\d+$/.test(entry))) {
    const stat = read(`/proc/${name}/stat`);
    // The name of the program stands in brackets and may hold anything.
    const parent = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]);
    if (stat !== '') parents.set(Number(name), parent);
  }
  const below = (of: number): number[] => [
    of,
    ...[...parents].filter(([, parent]) => parent === of).flatMap(([child]) => below(child)),
  ];
  return below(pid);
}

/** TCP ports that it or its children listen on, ascending. */
export function listeningPorts(pid: number): readonly number[] {
  const sockets = new Set(
    familyOf(pid)
      .flatMap(openFiles)
      .map((file) => /^socket:\[(\d+)\]$/.exec(file)?.[1]),
  );
  const ports = ['/proc/net/tcp', '/proc/net/tcp6'].flatMap((table) =>
    read(table)
      .split('\n')
      .map((line) => line.trim().split(/\s+/))
      // 0A: LISTEN. The local address is host:port, hexadecimal; the inode comes tenth.
      .filter(([, , , state, , , , , , inode]) => state === '0A' && sockets.has(inode))
      .map(([, local]) => parseInt((local as string).split(':').at(-1) as string, 16)),
  );
  return [...new Set(ports)].sort((a, b) => a - b);
}

/** What its descriptors are open on. */
export function openFiles(pid: number): readonly string[] {
  const directory = `/proc/${pid}/fd`;
  return list(directory).map((fd) => {
    try {
      return readlinkSync(`${directory}/${fd}`);
    } catch {
      return '';
    }
  });
}

/** Files that are mapped into its memory: programs and libraries. */
export function mappedFiles(pid: number): readonly string[] {
  const files = read(`/proc/${pid}/maps`).match(/\/\S+$/gm) ?? [];
  return [...new Set(files)];
}

/** What `ps` shows to everybody, and what root and its user can see. */
export function argumentsOf(pid: number): string {
  return read(`/proc/${pid}/cmdline`).replaceAll('\0', ' ');
}

export function environmentOf(pid: number): string {
  return read(`/proc/${pid}/environ`).replaceAll('\0', '\n');
}

/** Empty when the process has ended meanwhile. */
function read(file: string): string {
  try {
    return readFileSync(file, 'latin1');
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
