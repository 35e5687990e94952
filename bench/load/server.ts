/**
 * One server under load, in its own process: `node server.js uws-stub|origin|public|node-stub`. Prints its port when it
 * listens, ends with its standard input.
 */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { openOriginFront } from '../../src/adapters/origin-front/listener.ts';
import { loadUws, type Uws } from '../../src/adapters/origin-front/uws.ts';
import { openPublicFront } from '../../src/adapters/public-front/listener.ts';
import { plainReplies } from '../../src/core/policy/caching.ts';
import type { Answer, Reply } from '../../src/ports/front.ts';
import { samples } from './responses.ts';

const all = samples(Date.now());
const byTarget = new Map<string, Reply>(all.map(({ target, reply }) => [target, reply]));
const byRequest = new Map<string, Reply>(all.map(({ request, reply }) => [request.toString('latin1'), reply]));

/** In place of the answer flow: one look-up. */
const answer: Answer = ({ method, target, body }) =>
  (method === 'POST' ? byRequest.get(Buffer.from(body as Uint8Array).toString('latin1')) : byTarget.get(target)) ??
  plainReplies.notFound;

const engine = process.argv[2] ?? '';
const where = { host: '127.0.0.1', port: 0, answer };
if (engine === 'public') listening((await openPublicFront(where)).address.port);
else if (engine === 'origin') listening((await openOriginFront({ ...where, uws: requireUws() })).address.port);
else if (engine === 'uws-stub') uwsStub(requireUws());
else if (engine === 'node-stub') nodeStub();
else throw new Error(`no such engine: ${engine}`);
process.stdin.resume().on('end', () => process.exit(0));

/** The ceiling: one constant body with the same fields, nothing looked at. */
function uwsStub(uws: Uws): void {
  const { headers, body } = (all[0] as (typeof all)[number]).reply;
  const lines = headers.replace(/^Content-Length:.*\r\n/m, '').slice(0, -2);
  const name = Buffer.from(lines.slice(0, lines.indexOf(':')));
  const rest = Buffer.from(lines.slice(lines.indexOf(':') + 2));
  uws
    .App()
    .any('/*', (response) => void response.writeHeader(name, rest).end(body))
    .listen('127.0.0.1', 0, uws.LIBUS_LISTEN_EXCLUSIVE_PORT, (token) => {
      if (token !== false) listening(uws.us_socket_local_port(token));
    });
}

/** What a plain node:http server costs. */
function nodeStub(): void {
  const { headers, body } = (all[0] as (typeof all)[number]).reply;
  const fields = headers
    .slice(0, -2)
    .split('\r\n')
    .flatMap((line) => line.split(': '));
  const server = createServer((request, response) => {
    request.resume();
    response.writeHead(200, fields);
    response.end(body);
  });
  server.listen(0, '127.0.0.1', () => listening((server.address() as AddressInfo).port));
}

function requireUws(): Uws {
  const loaded = loadUws();
  if (!loaded.ok) throw new Error(loaded.reason);
  return loaded.uws;
}

function listening(port: number): void {
  process.stdout.write(`${port}\n`);
}
