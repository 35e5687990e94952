/** certificateHold end to end: only where issuer.yaml allows it and the CA's documents do (SM-03); a TLS CA never un-revokes (P2). */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { type Issued, PresetCa } from '../support/preset-ca.ts';
import { Service, until } from '../support/service.ts';

describe('a certificate on hold', () => {
  let service: Service;
  const cas = {} as Record<'mail' | 'web', PresetCa>;
  const leaves = {} as Record<'mail' | 'web', Issued>;
  before(async () => {
    service = await Service.create();
    assert.equal((await service.run('init')).code, 0);
    for (const [id, preset] of [
      ['mail', 'smime'],
      ['web', 'baseline'],
    ] as const) {
      const ca = (cas[id] = new PresetCa({ subject: { C: 'JP', O: 'certstatus tests', CN: id }, key: 'P-256' }));
      leaves[id] = ca.issueLeaf('http://ocsp.example/', `http://crl.example/${id}.crl`);
      const responder = ca.issueResponder(`/C=JP/O=certstatus tests/CN=${id} OCSP`, 'P-256');
      const add = (...more: readonly string[]): ReturnType<Service['run']> =>
        service.run('issuer', 'add', id, '--preset', preset, '--ca', ca.certificateFile, '--crl-key', ca.keyFile, '--responder-cert', responder.file, '--responder-key', responder.keyFile, ...more); // prettier-ignore
      if (id === 'web') {
        const refused = await add('--allow-hold');
        assert.equal(refused.code, 1);
        assert.match(refused.stderr, /reasons\.hold = allow: certificates are not suspended \(B-06, BR 4\.9\.13\)/);
      }
      const { code, stderr } = await add(...(id === 'mail' ? ['--allow-hold'] : []));
      assert.equal(code, 0, stderr);
    }
    await service.start();
    for (const id of ['mail', 'web'] as const) {
      const certificates = [{ certificate: leaves[id].der.toString('base64') }];
      assert.equal((await service.api('POST', `/v1/issuers/${id}/certificates`, { certificates })).status, 200);
    }
  });
  after(async () => {
    await service.remove();
    for (const ca of Object.values(cas)) ca.remove();
  });

  const tell = (id: 'mail' | 'web', reason: string): ReturnType<Service['api']> =>
    service.api('POST', `/v1/issuers/${id}/revocations`, { revocations: [{ serial: leaves[id].serial, reason }] });
  const ocsp = (id: 'mail' | 'web'): string =>
    cas[id].ask('ocsp', '-issuer', cas[id].certificateFile, '-CAfile', cas[id].certificateFile, '-cert', leaves[id].file, '-url', service.url('/'), '-no_nonce').text; // prettier-ignore
  const crl = async (id: 'mail' | 'web'): Promise<string> => {
    await service.json('crl', 'publish', '--issuer', id);
    const file = join(cas[id].directory, 'served.der');
    writeFileSync(file, (await service.get(`/${id}.crl`)).body);
    return cas[id].run('crl', '-inform', 'DER', '-in', file, '-noout', '-text');
  };

  it('is revoked with that reason, in OCSP and on the CRL, under a profile that allows it', async () => {
    await until('it is good', () => / good/.test(ocsp('mail')));
    assert.equal((await tell('mail', 'certificateHold')).status, 200);
    await until('it is on hold', () => /Reason: certificateHold/.test(ocsp('mail')));
    assert.match(await crl('mail'), new RegExp(`${leaves.mail.serial}[\\s\\S]*Certificate Hold`));
    assert.equal((await service.run('reconcile')).code, 0);
  });

  it('is released: good again, and off the CRL', async () => {
    assert.equal((await tell('mail', 'removeFromCRL')).status, 200);
    await until('it is good again', () => / good/.test(ocsp('mail')));
    assert.match(await crl('mail'), /No Revoked Certificates/);
    assert.equal((await service.run('reconcile')).code, 0);
  });

  it('is revoked for good after a second hold, and stays so', async () => {
    assert.equal((await tell('mail', 'certificateHold')).status, 200);
    assert.equal((await tell('mail', 'keyCompromise')).status, 200);
    await until('it is revoked', () => /Reason: keyCompromise/.test(ocsp('mail')));
    const { status, body } = await tell('mail', 'removeFromCRL');
    assert.equal(status, 422);
    assert.match(JSON.stringify(body), /a revocation cannot be undone.*BR 4\.10\.1/);
    assert.match(ocsp('mail'), / revoked/);
  });

  it('is refused for TLS, and so is every way back', async () => {
    await until('it is good', () => / good/.test(ocsp('web')));
    const hold = await tell('web', 'certificateHold');
    assert.equal(hold.status, 422);
    assert.match(JSON.stringify(hold.body), /BR 4\.9\.13/);
    assert.match(ocsp('web'), / good/);
    assert.equal((await tell('web', 'superseded')).status, 200);
    await until('it is revoked', () => / revoked/.test(ocsp('web')));
    assert.equal((await tell('web', 'removeFromCRL')).status, 422);
    assert.match(ocsp('web'), / revoked/);
  });
});
