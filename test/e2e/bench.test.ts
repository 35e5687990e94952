/** `certstatus bench` against the shipped program: every way of asking, and what must not pass for an answer. */
import { after, before, describe, it } from 'node:test';
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { connect, createServer, type AddressInfo, type Server } from 'node:net';
import { join } from 'node:path';
import { writeRequest } from '../../src/core/ocsp/request-writer.ts';
import { certificatesFromFile } from '../../src/core/certificate-reader.ts';
import { loadIssuer } from '../../src/core/issuer.ts';
import { serialFromHex } from '../../src/core/serial.ts';
import { runProgram, Service, type Ran } from '../support/service.ts';

describe('certstatus bench', () => {
  let service: Service;
  const proxies: Server[] = [];
  before(async () => {
    service = await Service.demo();
  });
  after(async () => {
    for (const proxy of proxies) proxy.close();
    await service.remove();
  });

  const samples = (): string[] => [service.demo.valid, join(service.data, 'issuers/demo/samples/revoked.pem')];
  const bench = (url: string, ...more: string[]): Promise<Ran> => {
    const certs = join(service.directory, 'certs.pem');
    writeFileSync(certs, samples().map((file) => readFileSync(file)).join('')); // prettier-ignore
    return service.run('bench', '--ca', service.demo.ca, '--certs', certs, '--seconds', '0.5', ...(more.includes('--connections') ? [] : ['--connections', '4']), ...more, url); // prettier-ignore
  };

  const ways: readonly (readonly [string, readonly string[]])[] = [
    ['GET, CertIDs of SHA-256', ['--hash', 'sha256']],
    ['GET by HTTP/1.0, at a fixed rate', ['--http10', '--rate', '200']],
    ['POST, a connection each, two processes', ['--post', '--close', '--processes', '2']],
  ];
  for (const [what, flags] of ways) {
    it(`${what}: every reply is right, samples are verified`, async () => {
      const { code, stdout, stderr } = await bench(service.url('/OcspServer'), '--json', ...flags);
      assert.equal(code, 0, stderr);
      const report = JSON.parse(stdout) as {
        right: number;
        verified: number;
        certificates: number;
        failures: unknown[];
      };
      assert.ok(report.right > 0 && report.verified > 0, stdout);
      assert.deepEqual([report.certificates, report.failures], [2, []]);
    });
  }

  it('tells people rate and latency', async () => {
    const { code, stdout } = await bench(service.url('/', 'origin'));
    assert.equal(code, 0);
    assert.match(stdout, /^rate +[\d,]+\/s$/m);
    assert.match(stdout, /^latency +p50 .* ms, p90 .* ms, p99 .* ms, p99\.9 .* ms$/m);
  });

  it('HTTP/1.0 at a listener that has none: 505, exit 1', async () => {
    const { code, stdout } = await bench(service.url('/', 'origin'), '--http10');
    assert.equal(code, 1);
    assert.match(stdout, /WRONG +HTTP status 505/);
  });

  it('a serial that was never issued: unauthorized, exit 1', async () => {
    const serials = join(service.directory, 'serials.txt');
    writeFileSync(serials, '1234567890abcdef1234\n');
    const { code, stdout } = await service.run('bench', '--ca', service.demo.ca, '--serials', serials, '--seconds', '0.2', service.url('/')); // prettier-ignore
    assert.equal(code, 1);
    assert.match(stdout, /OCSP error unauthorized/);
  });

  it('a signature that was changed on the way: seen in the samples, exit 1', async () => {
    const { code, stdout } = await bench(await proxy((octets) => flipLast(octets)), '--connections', '1', '--close');
    assert.equal(code, 1);
    assert.match(stdout, /WRONG +(?!HTTP|OCSP)/);
  });

  it('wrong usage: 2; what cannot be: one line and 1', async () => {
    assert.equal((await service.run('bench', service.url('/'))).code, 2);
    const other = await bench('https://127.0.0.1/');
    assert.equal(other.code, 1);
    assert.match(other.stderr, /^certstatus: url = [^\n]*http:\/\/[^\n]*\n$/);
    const { code, stderr } = await service.run('bench', '--ca', service.demo.ca, service.url('/'));
    assert.equal(code, 1);
    assert.match(stderr, /^certstatus: --serials: takes either --serials or --certs\n$/);
  });

  it('asks with the octets that OpenSSL asks with', async () => {
    const issuer = loadIssuer(certificatesFromFile(readFileSync(service.demo.ca)), 'ca');
    for (const hash of ['sha1', 'sha256'] as const) {
      const file = join(service.directory, `${hash}.req`);
      const args = ['ocsp', `-${hash}`, '-issuer', service.demo.ca, '-serial', '0x4123456789abcdef', '-no_nonce', '-reqout', file]; // prettier-ignore
      const { code, stderr } = await runProgram('openssl', args).done;
      assert.equal(code, 0, stderr);
      assert.deepEqual(writeRequest(issuer.hashes, serialFromHex('4123456789abcdef'), hash), readFileSync(file));
    }
  });

  /** A proxy that changes what the public listener says. */
  async function proxy(change: (octets: Buffer) => Buffer): Promise<string> {
    const server = createServer((client) => {
      const upstream = connect(service.ports.public, '127.0.0.1');
      for (const socket of [client, upstream]) socket.on('error', () => undefined);
      client.pipe(upstream);
      upstream.on('data', (octets) => client.write(change(octets)));
      upstream.on('end', () => client.end());
    });
    proxies.push(server);
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  }
});

/** In the signature of the responder's certificate or of the answer: whatever stands last. */
function flipLast(octets: Buffer): Buffer {
  const changed = Buffer.from(octets);
  changed[changed.length - 1] = (changed.at(-1) as number) ^ 1;
  return changed;
}
