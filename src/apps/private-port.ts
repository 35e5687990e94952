/**
 * What bounds the clients of a private port, admin or intake. They are few and known, but whoever reaches the port needs no certificate
 * to hold a connection, and must not hold the files that the rest of the process needs.
 */
import type { FastifyInstance } from 'fastify';

/** What is read of the PEM files of a private port. */
export interface ListenerTls {
  readonly key: Buffer;
  readonly cert: Buffer;
  readonly ca: Buffer;
  /** CRLs of the client CAs; undefined: their certificates are taken until they end. */
  readonly crl: Buffer | undefined;
}

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
