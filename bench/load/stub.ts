/**
 * A stub under load, in its own process: `node stub.js uws|node-http sample.json`. One constant answer with the fields of a real
 * one, nothing looked at. Prints its port when it listens, ends with its standard input.
 */
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { loadUws } from '../../src/adapters/origin-front/uws.ts';

/** A reply of the shipped program. */
export interface Sample {
  /** Header lines that a 200 carries besides Date, Connection and Content-Length. */
  readonly headers: string;
  /** DER of the response, base64. */
  readonly body: string;
}

const [engine = '', file = ''] = process.argv.slice(2);
const { headers, body: base64 } = JSON.parse(readFileSync(file, 'utf8')) as Sample;
const body = Buffer.from(base64, 'base64');

if (engine === 'uws') uwsStub();
else if (engine === 'node-http') nodeStub();
else throw new Error(`no such engine: ${engine}`);
process.stdin.resume().on('end', () => process.exit(0));

/** The ceiling of this stack. */
function uwsStub(): void {
  const loaded = loadUws();
  if (!loaded.ok) throw new Error(loaded.reason);
  const { uws } = loaded;
  const lines = headers.slice(0, -2);
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
  const fields = headers
    .slice(0, -2)
    .split('\r\n')
    .flatMap((line) => line.split(': '));
  fields.push('content-length', String(body.length));
  const server = createServer((request, response) => {
    request.resume();
    response.writeHead(200, fields);
    response.end(body);
  });
  server.listen({ port: 0, host: '127.0.0.1', backlog: 4096 }, () => listening((server.address() as AddressInfo).port));
}

function listening(port: number): void {
  process.stdout.write(`${port}\n`);
}
