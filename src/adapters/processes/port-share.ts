/**
 * One port, several processes that accept from it.
 *
 * With SO_REUSEPORT each process has a listening socket of its own and the kernel spreads connections over them: uWebSockets.js does it
 * always, node:net from Node 22.12 on. Before, the first process binds a socket and gives it to the others; whoever is idle accepts,
 * so kept connections may gather in one of them, single requests do not. That is `net._createServerHandle`, which no documentation
 * mentions, and by which node:cluster has done the same since its beginning.
 *
 * SO_REUSEPORT would let a second instance of the service join in silence. So each port is first claimed without it. A socket that
 * the service manager has opened is given to all, whatever the Node: its queue holds the clients that come between two versions.
 */
import net, { createServer, type AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { getSystemErrorName } from 'node:util';
import { Problem } from '../../core/problem.ts';
import type { SharedListen } from './messages.ts';

export interface SharedPort extends SharedListen {
  /** To be sent along with `listen`; undefined where each process binds the port itself. */
  readonly handle: object | undefined;
  /** Gives up this process's part; the others go on accepting. */
  release(): void;
}

/** The processes of a service that was killed end by themselves, a moment later. */
const CLAIM_MS = 2000;
const CLAIM_AGAIN_MS = 50;

/**
 * @param binds `each`: every process binds the port itself, whatever the Node.
 * @throws Problem `config` when the port is somebody else's or cannot be had.
 */
export async function sharePort(
  field: string,
  wanted: SharedListen & { readonly descriptor?: number | undefined },
  binds?: 'each',
): Promise<SharedPort> {
  if (wanted.descriptor !== undefined) return passedOn(field, wanted, wanted.descriptor);
  const { address, family, port } = await claim(field, wanted);
  const { host } = wanted;
  if (binds === 'each' || hasReusePort(process.versions.node)) {
    return { host, port, handle: undefined, release: () => undefined };
  }
  const handle = serverHandle(address, port, family === 'IPv6' ? 6 : 4);
  if (typeof handle === 'number') throw cannotListen(field, wanted, getSystemErrorName(handle));
  return { host, port, handle, release: () => handle.close() };
}

/** Since 22.12 and 23.1 (nodejs/node#55408). */
export function hasReusePort(version: string): boolean {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  return major > 23 || (major === 23 && minor >= 1) || (major === 22 && minor >= 12);
}

async function claim(field: string, wanted: SharedListen): Promise<AddressInfo> {
  const until = performance.now() + CLAIM_MS;
  for (;;) {
    try {
      return await listenOnce(wanted);
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      if (code !== 'EADDRINUSE') throw cannotListen(field, wanted, message);
      if (performance.now() > until)
        throw cannotListen(field, wanted, 'the port is in use by another process: stop that, or give another port');
    }
    await sleep(CLAIM_AGAIN_MS);
  }
}

function listenOnce({ host, port }: SharedListen): Promise<AddressInfo> {
  return new Promise((resolve, reject) => {
    const server = createServer((socket) => socket.destroy());
    server.once('error', reject);
    server.listen({ host, port, exclusive: true }, () => {
      const address = server.address() as AddressInfo;
      server.close(() => resolve(address));
    });
  });
}

function passedOn(field: string, wanted: SharedListen, descriptor: number): SharedPort {
  const handle = serverHandle(null, null, -1, descriptor);
  if (typeof handle === 'number') throw cannotListen(field, wanted, getSystemErrorName(handle));
  const at: { address?: string; port?: number } = {};
  handle.getsockname?.(at);
  return { host: at.address ?? wanted.host, port: at.port ?? wanted.port, handle, release: () => handle.close() };
}

interface BoundHandle {
  close(): void;
  getsockname?(out: { address?: string; port?: number }): number;
}

/** Of an address, or of a descriptor. */
function serverHandle(
  address: string | null,
  port: number | null,
  family: 4 | 6 | -1,
  descriptor?: number,
): BoundHandle | number {
  const { _createServerHandle: create } = net as unknown as {
    _createServerHandle?: (
      address: string | null,
      port: number | null,
      family: 4 | 6 | -1,
      fd: number | undefined,
      flags: 0,
    ) => BoundHandle | number;
  };
  if (typeof create !== 'function') {
    throw new Problem('config', 'this Node cannot share a port between processes: use another, or 1 process', {
      field: 'responder.processes',
      value: process.version,
    });
  }
  return create(address, port, family, descriptor, 0);
}

function cannotListen(field: string, { host, port }: SharedListen, why: string): Problem {
  return new Problem('config', `cannot listen: ${why}`, { field, value: `${host}:${port}` });
}
