/**
 * What bounds the clients of a private port, admin or intake. They are few and known, but whoever reaches the port needs no certificate
 * to hold a connection, and must not hold the files that the rest of the process needs.
 */
import type { Socket } from 'node:net';
import type { Server as HttpsServer } from 'node:https';
import type { FastifyInstance } from 'fastify';
import type { TlsMaterial } from './tls-files.ts';

/** For Fastify's factory; milliseconds. */
export const PRIVATE_PORT = {
  /** For a request to arrive. Those of a CA are at most some megabytes, on its own network. */
  requestTimeout: 30_000,
  keepAliveTimeout: 60_000,
  /** A reply that nobody reads. */
  connectionTimeout: 120_000,
  http: { headersTimeout: 10_000, connectionsCheckingInterval: 2000 },
} as const;

/** The part of it that is set on the server. Beyond `maxConnections` a newcomer is closed unanswered. */
export function boundConnections({ server }: FastifyInstance, maxConnections: number): void {
  server.maxConnections = maxConnections;
}

/** What TLS of a private port has beside its files; each says itself whether a client must have a certificate. */
export const PRIVATE_TLS = { requestCert: true, minVersion: 'TLSv1.2', handshakeTimeout: 10_000 } as const;

/** The files as node:tls takes them, at the start and at each renewal. */
export function tlsOptions({ cert, key, ca, crl }: TlsMaterial): {
  cert: Buffer | undefined;
  key: Buffer | undefined;
  ca: Buffer;
  crl: Buffer[] | undefined;
} {
  return { cert, key, ca, crl: crl?.slice() };
}

/** Before the port listens. Returns what has new connections use other files from then on. */
export function renewable(app: FastifyInstance): (tls: TlsMaterial, trust: 'same' | 'changed') => void {
  /** Whose client certificate was judged by other CAs and CRLs than those of now. */
  const outdated = new WeakSet<Socket>();
  const open = new Set<Socket>();
  app.server.on('secureConnection', (socket: Socket) => {
    open.add(socket);
    socket.once('close', () => open.delete(socket));
  });
  app.addHook('onSend', async (request, reply) => {
    if (outdated.has(request.raw.socket)) reply.header('connection', 'close');
  });
  return (tls, trust) => {
    for (const server of serversOf(app)) {
      // A new context has new keys for session tickets, too: nobody resumes what the old files let in.
      server.setSecureContext({ ...tlsOptions(tls), minVersion: PRIVATE_TLS.minVersion });
      if (trust === 'changed') server.closeIdleConnections();
    }
    if (trust === 'changed') for (const socket of open) outdated.add(socket);
  };
}

/** `localhost` is two addresses, and Fastify opens a server for each; it names only the first. */
function serversOf(app: FastifyInstance): readonly HttpsServer[] {
  const key = Object.getOwnPropertySymbols(app).find(({ description }) => description === 'fastify.serverBindings');
  const others = key === undefined ? [] : (app as unknown as Record<symbol, readonly HttpsServer[]>)[key];
  return [app.server as unknown as HttpsServer, ...(others ?? [])];
}
