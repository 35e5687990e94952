/**
 * Which questions are asked of which server in which way. Not every combination: each cell is here because it is how some client
 * asks (peers.md Part 2 §4), or what an operator must know before going public.
 */

export const SERVERS = [
  'stub',
  'uws-map',
  'origin',
  'public',
  'edge',
  'node-http',
  'nginx',
  'cfssl',
  'openssl',
] as const;
export type ServerName = (typeof SERVERS)[number];

export const TITLES: Readonly<Record<ServerName, string>> = {
  stub: 'bare uWebSockets.js',
  'uws-map': 'the same, 10,000 answers in a Map',
  origin: 'certstatus, origin listener',
  public: 'certstatus, public listener',
  edge: 'certstatus, haproxy edge',
  'node-http': 'node:http stub',
  nginx: 'nginx, static files',
  cfssl: 'cfssl ocspserve',
  openssl: 'openssl ocsp (signs live)',
};

/** What is asked. */
export type Asked = 'get' | 'post' | 'not-modified' | 'unknown' | 'malformed';
/** HTTP/1.1 kept, HTTP/1.1 with `Connection: close`, HTTP/1.0. */
export type Connecting = 'kept' | 'one' | 'http10';

export interface Cell {
  readonly name: string;
  readonly title: string;
  readonly asked: Asked;
  readonly connecting: Connecting;
  readonly connections: number;
  /** Of `many` certificates, or of the usual 10,000. */
  readonly of: 'usual' | 'many';
  /** Each in its turn, or by Zipf's law (exponent 1). */
  readonly draw: 'turn' | 'zipf';
  readonly servers: readonly ServerName[];
  /** As fast as it goes, or offered at a fixed rate, to see latency. */
  readonly load: 'saturation' | 'fixed';
  /** Measured in every rotation; the others in the first three only. */
  readonly always?: true;
}

const USUAL = {
  asked: 'get',
  connecting: 'kept',
  connections: 64,
  of: 'usual',
  draw: 'turn',
  load: 'saturation',
} as const;
const OURS = ['origin', 'public', 'edge'] as const;
const FAST = ['stub', ...OURS, 'nginx'] as const;

/** Debian's cfssl (1.2) answers 400 to every GET, because it takes the slash in front for base64: it takes part by POST. */
export const CELLS: readonly Cell[] = [
  {
    ...USUAL,
    name: 'keep-alive',
    title: 'GET, kept connections',
    servers: ['stub', 'uws-map', ...OURS, 'node-http', 'nginx'],
    always: true,
  },
  {
    ...USUAL,
    name: 'close',
    title: 'GET, one request per connection',
    connecting: 'one',
    servers: ['stub', 'uws-map', ...OURS, 'node-http', 'nginx', 'openssl'],
    always: true,
  },
  {
    ...USUAL,
    name: 'http10',
    title: 'GET, HTTP/1.0',
    connecting: 'http10',
    servers: ['public', 'edge', 'node-http', 'nginx', 'openssl'],
  },
  {
    ...USUAL,
    name: 'post',
    title: 'POST, kept connections',
    asked: 'post',
    servers: ['stub', ...OURS, 'node-http', 'cfssl'],
  },
  {
    ...USUAL,
    name: 'post-close',
    title: 'POST, one request per connection',
    asked: 'post',
    connecting: 'one',
    servers: ['stub', ...OURS, 'node-http', 'cfssl', 'openssl'],
  },
  { ...USUAL, name: 'not-modified', title: '304 (If-None-Match)', asked: 'not-modified', servers: OURS },
  {
    ...USUAL,
    name: 'unknown',
    title: 'a serial never issued (unauthorized, or tryLater beyond the budget for look-ups)',
    asked: 'unknown',
    servers: OURS,
  },
  { ...USUAL, name: 'malformed', title: 'not OCSP', asked: 'malformed', servers: OURS },
  { ...USUAL, name: 'one-connection', title: '1 kept connection', connections: 1, servers: FAST },
  { ...USUAL, name: '1024-connections', title: '1,024 kept connections', connections: 1024, servers: FAST },
  {
    ...USUAL,
    name: 'many-uniform',
    title: 'GET about many certificates, each in its turn',
    of: 'many',
    servers: ['stub', 'origin', 'public'],
  },
  {
    ...USUAL,
    name: 'many-zipf',
    title: "GET about many certificates, by Zipf's law",
    of: 'many',
    draw: 'zipf',
    servers: ['stub', 'origin', 'public'],
  },
  {
    ...USUAL,
    name: 'latency',
    title: 'GET, kept connections',
    load: 'fixed',
    servers: ['stub', ...OURS, 'node-http', 'nginx'],
  },
  {
    ...USUAL,
    name: 'latency-close',
    title: 'GET, one request per connection',
    connecting: 'one',
    load: 'fixed',
    servers: ['stub', ...OURS, 'node-http', 'nginx'],
  },
];

/** The cell whose saturation a fixed rate is a share of. */
export function comparedBase({ connecting }: Cell): string {
  return connecting === 'kept' ? 'keep-alive' : 'close';
}

/** What a cell's ratios are to: the stub asked in the way that costs the connection as much. It speaks no HTTP/1.0, and answers 200 to everything. */
export function comparedWith(cell: Cell): string {
  if (cell.load === 'fixed' || cell.servers.includes('stub')) return cell.name;
  return comparedBase(cell);
}
