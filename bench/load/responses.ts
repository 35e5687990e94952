/**
 * What every server of the load bench serves: 10,000 real OCSP answers of a demo CA, signed by the shipped program and asked of
 * it by GET. The program itself serves them from its data directory; the others get them as samples.
 */
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { loadIssuer, type Issuer } from '../../src/core/issuer.ts';
import { certificatesFromFile } from '../../src/core/certificate-reader.ts';

export const COUNT = 10_000;

export interface Sample {
  readonly target: string;
  /** Name of the file from which nginx serves it: its decoded path. */
  readonly file: string;
  /** DER of the request, hex, for POST. */
  readonly request: string;
  /** Header lines that a 200 carries besides Date and Connection. */
  readonly headers: string;
  /** DER of the response, base64. */
  readonly body: string;
}

export interface Ports {
  readonly public: number;
  readonly origin: number;
  readonly intake: number;
  readonly admin: number;
}

/** Makes CA, certificates and answers below `work`; samples lie in `<work>/samples.json` afterwards, too. */
export async function prepare(work: string): Promise<{ readonly samples: readonly Sample[]; readonly data: string }> {
  const data = join(work, 'data');
  mkdirSync(data);
  certstatus(['--data', data, 'init', '--demo']);
  const ca = join(data, 'issuers/demo/ca.pem');
  const issuer = loadIssuer(certificatesFromFile(readFileSync(ca)), ca);
  const questions: { file: string; serial: string; request: Buffer }[] = [];
  for (let i = 1; questions.length < COUNT; i++) {
    const serial = Buffer.from(`7f${String(i * 7_919_317).padStart(30, '0')}`, 'hex');
    const request = ocspRequest(issuer, serial);
    const file = request.toString('base64');
    // A file server cannot serve a name with a slash in it (peers.md Part 2 §4.3); 3 in 10 have none.
    if (!file.includes('/')) questions.push({ file, serial: serial.toString('hex'), request });
  }
  const index = questions.map(({ serial }) => `V\t391231235959Z\t\t${serial.toUpperCase()}\tunknown\t/CN=bench\n`);
  writeFileSync(join(work, 'index.txt'), index.join(''));
  certstatus(['--data', data, 'import', 'index', '--issuer', 'demo', join(work, 'index.txt')]);

  const ports = await freePorts();
  const service = await serve(data, ports, process.execPath);
  const samples: Sample[] = [];
  for (const { file, request } of questions) {
    const target = `/OcspServer/${encodeURIComponent(file)}`;
    const response = await fetch(`http://127.0.0.1:${ports.public}${target}`);
    const kept = ['content-type', 'cache-control', 'etag', 'expires', 'last-modified'];
    const headers = kept.map((name) => `${name}: ${response.headers.get(name) ?? ''}\r\n`).join('');
    const body = Buffer.from(await response.arrayBuffer());
    if (body.length < 200) throw new Error('the service did not answer');
    samples.push({ target, file, request: request.toString('hex'), headers, body: body.toString('base64') });
  }
  await end(service);
  writeFileSync(join(work, 'samples.json'), JSON.stringify(samples));
  return { samples, data };
}

/** The shipped program, started by `command` (node, or taskset and node); resolves when it is ready. */
export async function serve(
  data: string,
  ports: Ports,
  command: string,
  args: readonly string[] = [],
): Promise<ChildProcess> {
  const flags = Object.entries(ports).flatMap(([name, port]) => [`--${name}-port`, String(port)]);
  const child = spawn(command, [...args, CLI, '--data', data, ...flags, 'serve'], { stdio: 'ignore' });
  for (;;) {
    const ready = await fetch(`http://127.0.0.1:${ports.admin}/readyz`).then(
      (response) => response.ok,
      () => false,
    );
    if (ready) return child;
    if (child.exitCode !== null) throw new Error('the service ended before it was ready');
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

export async function end(child: ChildProcess): Promise<void> {
  const ended = once(child, 'exit');
  child.kill('SIGTERM');
  await ended;
}

export async function freePorts(): Promise<Ports> {
  const servers = Array.from({ length: 4 }, () => createServer().listen(0, '127.0.0.1'));
  await Promise.all(servers.map((server) => once(server, 'listening')));
  const [one, two, three, four] = servers.map((server) => (server.address() as AddressInfo).port) as [
    number,
    number,
    number,
    number,
  ];
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return { public: one, origin: two, intake: three, admin: four };
}

const CLI = join(import.meta.dirname, '../../src/apps/cli.js');

function certstatus(args: readonly string[]): void {
  execFileSync(process.execPath, [CLI, ...args], { stdio: ['ignore', 'ignore', 'inherit'] });
}

/** As nginx sends it: one certificate, SHA-1 CertID, no extensions. */
export function ocspRequest(issuer: Issuer, serial: Buffer): Buffer {
  const tlv = (tag: number, ...parts: Buffer[]): Buffer => {
    const content = Buffer.concat(parts);
    return Buffer.concat([Buffer.of(tag, content.length), content]);
  };
  const { name, key } = issuer.hashes.sha1;
  const sha1 = Buffer.from('300906052b0e03021a0500', 'hex');
  const certId = tlv(0x30, sha1, tlv(0x04, name), tlv(0x04, key), tlv(0x02, serial));
  return tlv(0x30, tlv(0x30, tlv(0x30, tlv(0x30, certId))));
}
