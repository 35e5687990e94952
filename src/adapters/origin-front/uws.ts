/**
 * The part of uWebSockets.js that this front uses, and how to load it: the packages are optional, each fits one
 * platform, one Node major and a C library that is new enough (design decision 14).
 */
import { createRequire } from 'node:module';
import { MAX_HEAD_BYTES } from '../../ports/front.ts';

export interface Uws {
  App(): UwsApp;
  us_listen_socket_close(token: ListenToken): void;
  us_socket_local_port(token: ListenToken): number;
  /** Without it a second process shares the port in silence (SO_REUSEPORT). */
  readonly LIBUS_LISTEN_EXCLUSIVE_PORT: number;
}

export type ListenToken = { readonly brand: 'us_listen_socket' };

export interface UwsApp {
  get(pattern: string, handler: (response: UwsResponse, request: UwsRequest) => void): UwsApp;
  post(pattern: string, handler: (response: UwsResponse, request: UwsRequest) => void): UwsApp;
  /** What no handler of its own method takes. */
  any(pattern: string, handler: (response: UwsResponse, request: UwsRequest) => void): UwsApp;
  listen(host: string, port: number, options: number, done: (token: ListenToken | false) => void): UwsApp;
  /** Closes listeners and connections. */
  close(): UwsApp;
  /** Called with 1 for each connection that opens and -1 for each that closes. */
  filter(handler: (response: UwsResponse, change: number) => void): UwsApp;
}

/** Valid only until the handler returns. */
export interface UwsRequest {
  /** Raw path, without the query. */
  getUrl(): string;
  getCaseSensitiveMethod(): string;
  /** Lower-case name, octets of its own rather than a string: that saves a conversion. Empty when absent. */
  getHeader(name: Uint8Array): string;
}

/** Not to be touched after onAborted has been called. Writing outside the handler goes into cork(). */
export interface UwsResponse {
  writeStatus(status: string): UwsResponse;
  writeHeader(name: Uint8Array, value: Uint8Array): UwsResponse;
  end(body?: Uint8Array, closeConnection?: boolean): UwsResponse;
  endWithoutBody(): UwsResponse;
  /** Writes what the kernel takes of a piece of a body of `length`: whether it took all that was given, and whether that was the end. */
  tryEnd(piece: Uint8Array, length: number, closeConnection?: boolean): [boolean, boolean];
  /** How much of the body the kernel has taken. */
  getWriteOffset(): number;
  /** Called with how much of the body is written when more can be; returns what tryEnd said first. */
  onWritable(handler: (offset: number) => boolean): UwsResponse;
  /** At once, whatever is under way. */
  close(): UwsResponse;
  /** The chunk is detached when the handler returns. */
  onData(handler: (chunk: ArrayBuffer, isLast: boolean) => void): UwsResponse;
  onAborted(handler: () => void): UwsResponse;
  cork(handler: () => void): UwsResponse;
}

export type LoadedUws = { readonly ok: true; readonly uws: Uws } | { readonly ok: false; readonly reason: string };

/** `reason` is one line for the log: why there is no origin listener on this machine. */
export function loadUws(): LoadedUws {
  // Read once, when the binary loads; its default of 4096 octets would refuse a GET that the public listener takes.
  process.env['UWS_HTTP_MAX_HEADERS_SIZE'] ??= String(MAX_HEAD_BYTES);
  const require = createRequire(import.meta.url);
  const major = process.versions.node.split('.')[0] as string;
  const platform = `${process.platform}-${process.arch}`;
  let cause: NodeJS.ErrnoException | undefined;
  for (const name of ['uWebSockets.js', `@uwsjs/${platform}-${major}`]) {
    try {
      return { ok: true, uws: require(name) as Uws };
    } catch (error) {
      // A binary that is there but does not load tells more than a package that is not there.
      if (cause === undefined || cause.code === 'MODULE_NOT_FOUND') cause = error as NodeJS.ErrnoException;
    }
  }
  return { ok: false, reason: whyNot(cause as NodeJS.ErrnoException, platform, major) };
}

/** Exported for its test: the causes cannot all be met on one machine. */
export function whyNot(error: NodeJS.ErrnoException, platform: string, major: string): string {
  if (error.code === 'MODULE_NOT_FOUND') {
    return `no uWebSockets.js for ${platform}, Node ${major}: if there is one, \`npm ci\` run with this Node picks it`;
  }
  const glibc = /version `GLIBC_([\d.]+)' not found/.exec(error.message)?.[1];
  if (glibc !== undefined) {
    return `uWebSockets.js for Node ${major} needs glibc ${glibc}, this system has ${glibcVersion() ?? 'another C library'}`;
  }
  return `uWebSockets.js for ${platform}, Node ${major} does not load: ${error.message.split('\n')[0]}`;
}

function glibcVersion(): string | undefined {
  const report = process.report.getReport() as unknown as { header: { glibcVersionRuntime?: string } };
  return report.header.glibcVersionRuntime;
}
