/**
 * What the compliance report says of the program and no other test shows: that nobody's address, question or name is kept, that public
 * answers tell nothing of the machine, and that the CRLs of a CA that is gone from the configuration are still listed and verified.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, renameSync } from 'node:fs';
import { request } from 'node:http';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { exchange } from '../support/http.ts';
import { Service, until } from '../support/service.ts';

/** Loopback, and nothing in the service's own files or output is called so. */
const CLIENT = '127.77.66.55';
const AGENT = 'a-very-particular-browser';
/** A CertID of nobody (RFC 9919 §3.1.1), with a serial that nobody issued. */
const SERIAL = '5eca11ed0ddba11c0ffee123';

describe('what the compliance report says of the program', () => {
  let service: Service;
  before(async () => {
    service = await Service.demo();
    await until('its CRL is there', async () => (await service.get('/SureServer/demo/cdp.crl')).status === 200);
  });
  after(async () => {
    await service?.remove();
  });

  /** By a client with an address of its own. */
  function ask(path: string, method = 'GET', body?: Uint8Array): Promise<{ status: number; text: string }> {
    return new Promise((resolve, reject) => {
      const port = service.ports.public;
      const sent = request({ host: '127.0.0.1', localAddress: CLIENT, port, path, method, headers: { 'user-agent': AGENT } }, (answer) => {
          const parts: Buffer[] = [JSON.stringify(answer.rawHeaders)].map((text) => Buffer.from(text));
          answer.on('data', (part: Buffer) => parts.push(part));
          answer.on('end', () => resolve({ status: answer.statusCode ?? 0, text: Buffer.concat(parts).toString('latin1') })); // prettier-ignore
        }); // prettier-ignore
      sent.on('error', reject);
      sent.end(body);
    });
  }

  /** Every file of the data directory whose name is none of these. */
  function kept(...except: readonly string[]): string {
    const files = readdirSync(service.data, { recursive: true, withFileTypes: true }).filter((file) => file.isFile());
    return files
      .map((file) => join(file.parentPath, file.name))
      .filter((path) => !except.some((name) => path.includes(name)))
      .map((path) => readFileSync(path, 'latin1'))
      .join('\n');
  }

  const answers: { status: number; text: string }[] = [];

  it('keeps no address and no question of a client: not in the log, the metrics, the audit log or the store (CT-9.4.2)', async () => {
    const unissued = Buffer.from(
      `304d304b304930473045300906052b0e03021a0500041400000000000000000000000000000000000000000414${'00'.repeat(20)}020c${SERIAL}`,
      'hex',
    );
    for (const [path, method, body] of [
      ['/OcspServer', 'POST', unissued],
      [`/OcspServer/${encodeURIComponent(unissued.toString('base64'))}`, 'GET'],
      [`/${SERIAL}`, 'GET'],
      ['/OcspServer', 'DELETE'],
      ['/SureServer/demo/cdp.crl', 'GET'],
    ] as const)
      answers.push(await ask(path, method, body));
    assert.deepEqual(answers.map(({ status }) => status).filter((status) => status >= 500), []); // prettier-ignore
    const metrics = (await exchange({ port: service.ports.admin, path: '/metrics' })).body.toString();
    assert.match(metrics, /certstatus_answers_total\{outcome="unauthorized-issuer"[^}]*\} 1$/m, 'they were understood');
    for (const [where, text] of [
      ['log', service.log + service.out],
      ['metrics', metrics],
      ['data', kept()],
    ] as const)
      // prettier-ignore
      for (const secret of [CLIENT, AGENT, SERIAL, SERIAL.toUpperCase(), unissued.toString('base64').slice(-24)])
        assert.ok(!text.includes(secret), `${secret} is in the ${where}`);
  });

  it('tells the public no version, no host and no software (CT-9.3.1-4)', () => {
    const { version } = JSON.parse(readFileSync(join(import.meta.dirname, '../../../package.json'), 'utf8')) as { version: string }; // prettier-ignore
    assert.ok(answers.length >= 5);
    for (const { text } of answers)
      for (const told of [
        `certstatus/${version}`,
        `certstatus ${version}`,
        hostname(),
        process.version,
        '"server"',
        'x-powered-by',
        service.data,
      ])
        // prettier-ignore
        assert.ok(!text.toLowerCase().includes(told.toLowerCase()), `${told}: ${text}`);
  });

  it('keeps no subject of a certificate that it was given whole (SJ-9.3.2)', async () => {
    const pem = readFileSync(join(service.data, 'issuers/demo/samples/valid.pem'), 'utf8');
    const { status, body } = await service.api('POST', '/v1/issuers/demo/certificates', {
      certificates: [{ certificate: pem.replace(/-----[^-]*-----|\s/g, '') }],
    });
    assert.equal(status, 200, JSON.stringify(body));
    assert.match(readFileSync(join(service.data, 'issuers/demo/samples/valid.pem'), 'utf8'), /BEGIN CERTIFICATE/);
    const subject = 'valid.demo.test';
    assert.ok(Buffer.from(pem.replace(/-----[^-]*-----|\s/g, ''), 'base64').includes(subject), 'it has this subject');
    assert.ok(!kept('samples').includes(subject) && !service.log.includes(subject));
  });

  it('lists and verifies the CRLs of a CA that is gone from the configuration (SR-hist-6.03)', async () => {
    assert.equal(await service.stop(), 0);
    renameSync(join(service.data, 'issuers/demo'), join(service.data, 'demo.retired'));
    // Its id went with the configuration; the archive has a name of its own for it, and says so.
    const named = await service.run('archive', 'list', '--issuer', 'demo');
    const [, tag = ''] = /there are ([0-9a-f]+)/.exec(named.stderr) ?? [];
    const listed = await service.run('archive', 'list', '--issuer', tag);
    const verified = await service.run('archive', 'verify');
    assert.equal(listed.code, 0, listed.stderr);
    assert.match(listed.stdout, /unbroken/);
    assert.equal(verified.code, 0, verified.stderr);
    assert.match(verified.stdout, /[1-9]\d* CRL/);
  });
});
