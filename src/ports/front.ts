/**
 * What an HTTP front hands in, and what it gets back. A front owns sockets, framing, limits and the Date and Connection
 * headers; it knows nothing of OCSP. The rest is decided behind `Answer`.
 */
import type { Reply } from '../core/reply.ts';

export type { Reply } from '../core/reply.ts';

/**
 * A request, whole. A front may cut fields out of what it has received when they are asked for, so the hot path asks for as few
 * as it can.
 */
export interface Question {
  /** Upper-case method token as received. */
  readonly method: string;
  /**
   * The request-target exactly as received: not decoded, not normalised (T-49). The query may be missing: nothing here depends
   * on one, and the origin front would pay for it with each request.
   */
  readonly target: string;
  /** Host header value without normalisation; empty when absent (HTTP/1.0). */
  readonly host: string;
  /** Present for POST. At most MAX_BODY_BYTES. */
  readonly body: Uint8Array | undefined;
  readonly ifNoneMatch: string | undefined;
  readonly ifModifiedSince: string | undefined;
  /**
   * What a download that is resumed or cut into pieces sends, and an OCSP client never: read only where a file is asked for. Undefined
   * also where the front has let go of the request because the answer took its time, which that about a file never does.
   */
  readonly range?: string | undefined;
  readonly ifRange?: string | undefined;
  readonly ifMatch?: string | undefined;
  readonly ifUnmodifiedSince?: string | undefined;
  /** For metrics: `1.0` or `1.1`. */
  readonly httpVersion: string;
}

/**
 * Never throws and never rejects. Synchronous when the answer is at hand (the fast path of a front relies on it), a promise
 * when it must be fetched or signed. The Question may be reused by the front once the reply is there.
 */
export type Answer = (question: Question) => Reply | Promise<Reply>;

/** T-56: an OCSPRequest is 80–200 octets; anything over this is not one. */
export const MAX_BODY_BYTES = 8192;
/** Request line plus header fields. A GET of 2 kB must pass (L-15); nginx and NSS send less than 1 kB. */
export const MAX_HEAD_BYTES = 16_384;

/**
 * Whoever takes a reply more slowly than this on the whole, or for longer than LONGEST_REPLY_MS, is let go: each reader keeps in memory
 * what it reads, and a CRL is followed by the next. So 10 MB may take 43 minutes, and 500 MB must come with 140 kB a second.
 */
export const LEAST_OCTETS_PER_SECOND = 4096;
export const LONGEST_REPLY_MS = 3_600_000;
/**
 * How long the kernel may take nothing more of a large reply. It asks for more when a third of its buffer is free, and that may be 4 MB:
 * a reader of 11 kB a second, without a pause, needs so long.
 */
export const STALLED_MS = 120_000;

/**
 * Why a front ends a connection before its client does: no place for another (`full`); longest idle, when a place was needed
 * (`room`); idle for too long; a request, or the reading of a reply, that takes too long.
 */
export type Shed = (typeof SHED)[number];
export const SHED = ['full', 'room', 'idle', 'slow-request', 'slow-reader'] as const;

export interface Front {
  /** Where it listens. */
  readonly address: { readonly host: string; readonly port: number };
  /** Which engine answers: the metric label `listener`. */
  readonly engine: string;
  /** Connections that it holds. */
  readonly connections: number;
  /** From now on each reply is the last of its connection; new connections are taken as before. */
  drain(): void;
  /**
   * Stops accepting, answers every request that has arrived whole or in part within `graceMs`, then closes the rest.
   * Resolves when the port is free.
   */
  close(graceMs: number): Promise<void>;
}
