/**
 * Whoever opens the status page when something broke finds there what Prometheus would have told them: the service as it is shipped,
 * with a key in a real SoftHSM2 that somebody deletes while it runs.
 */
import assert from 'node:assert/strict';
import { createPrivateKey } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { parseDocument } from 'yaml';
import type { Status } from '../../src/apps/admin/status.ts';
import { OpensslCa } from '../support/openssl-ca.ts';
import { Service, until } from '../support/service.ts';
import { missingSofthsm, softToken, type SoftToken } from '../support/softhsm.ts';

const PIN = 'k7-Vogel-Rand-92';

describe('the status page of a service whose key is gone', { skip: missingSofthsm }, () => {
  let service: Service;
  let token: SoftToken;
  let ca: OpensslCa;

  before(async () => {
    ca = new OpensslCa({ subject: '/C=JP/O=certstatus tests/CN=Deleted Key CA', key: 'P-256' });
    const responder = ca.issueResponder();
    token = softToken({ label: 'fragile', pin: PIN });
    token.importKey(createPrivateKey(readFileSync(responder.keyFile)), 'responder', '01');
    token.importKey(createPrivateKey(readFileSync(ca.keyFile)), 'ca', '02');
    service = await Service.create({ SOFTHSM2_CONF: token.env['SOFTHSM2_CONF'] as string });
    assert.equal((await service.run('init')).code, 0);
    const added = await service.run(
      ...['issuer', 'add', 'fragile', '--ca', ca.certificateFile, '--responder-cert', responder.file],
      ...['--responder-key', 'pkcs11:token=hsm;object=responder', '--crl-key', 'pkcs11:token=hsm;id=%02'],
      ...['--ocsp-path', '/ocsp', '--crl-path', '/fragile.crl'],
    );
    assert.equal(added.code, 0, added.stderr);
    const file = join(service.data, 'certstatus.yaml');
    const config = parseDocument(readFileSync(file, 'utf8')).toJS() as Record<string, unknown>;
    config['tokens'] = [{ name: 'hsm', module: token.module, label: token.label, activation: { source: 'prompt' } }];
    const { clients } = config['intake'] as { clients: { may: string[] }[] };
    for (const client of clients) client.may = [...new Set([...client.may, 'activate'])];
    writeFileSync(file, JSON.stringify(config));
    await service.start();
  });
  after(async () => {
    await service?.remove();
    token?.remove();
    ca?.remove();
  });

  const status = async (): Promise<Status> =>
    JSON.parse((await service.get('/status.json', 'admin')).body.toString()) as Status;
  const alerts = async (): Promise<readonly string[]> => (await status()).problems.map(({ alert }) => alert);
  async function issue(count: number): Promise<void> {
    const certificates = ca
      .issue({ count })
      .map(({ file }) => ({ certificate: readFileSync(file, 'utf8').replace(/-----[^-]*-----|\s/g, '') }));
    const { status: code, body } = await service.api('POST', '/v1/issuers/fragile/certificates', { certificates });
    assert.equal(code, 200, JSON.stringify(body));
  }

  it('is asked for the PIN, and then has nothing to say', async () => {
    assert.ok((await alerts()).includes('TokenUnusable'));
    const { code, stderr } = await service.command(['key', 'activate', '--token', 'hsm'], `${PIN}\n`).done;
    assert.equal(code, 0, stderr);
    await issue(3);
    await until('all is well', async () => (await status()).verdict === 'ok', 30_000, 200);
  });

  it('says that signatures fail and that the key cannot be used, and pages as Prometheus does', async () => {
    token.deleteKey('01');
    await issue(12);
    await until('both are there', async () => {
      const all = await alerts();
      return all.includes('SigningFails') && all.includes('KeyUnusable');
    }, 30_000, 200); // prettier-ignore
    const { verdict, problems } = await status();
    assert.equal(verdict, 'failing');
    const fails = problems.find(({ alert }) => alert === 'SigningFails');
    assert.deepEqual([fails?.severity, fails?.subject, fails?.promise?.id], ['failing', 'hsm', 'P4']);
    assert.match(fails?.what ?? '', /^Token hsm: \d+ signatures failed in the last 5 min, \d+ were made\.$/);
    const overview = await service.run('overview');
    assert.equal(overview.code, 1);
    assert.match(overview.stdout, /\(SigningFails\)/);
  });
});
