/**
 * Every preset that is shipped, run: a CA made by OpenSSL with the name, string types and key that the preset wants, all of them in one
 * service, on one port. OpenSSL asks at the URLs of the preset and judges what comes back; then a neighbour that differs in one thing.
 */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { writeIssuer, type NewIssuer } from '../../src/apps/add-issuer.ts';
import { leftToOperator, loadPreset, type Preset, presetIds } from '../../src/apps/presets.ts';
import { Problem } from '../../src/core/problem.ts';
import { type OfflineRootOptions } from '../support/offline-root.ts';
import { type Issued, PresetCa } from '../support/preset-ca.ts';
import { Service, until } from '../support/service.ts';

type Key = OfflineRootOptions['key'];
interface Running {
  readonly preset: Preset;
  readonly ca: PresetCa;
  readonly good: Issued;
  readonly revoked: Issued;
  /** Where the documents leave a URL to a CP, one that this test makes up. */
  readonly url: (kind: 'ocsp' | 'crl' | 'caCertificate') => { readonly host: string; readonly path: string };
}

/** For `init --demo`, whose own test runs it (demo.test.ts). */
const ELSEWHERE = 'demo';
const FIRST_CRL = 4096n;

describe('the presets, run', () => {
  let service: Service;
  const running = new Map<string, Running>();
  const neighbours: PresetCa[] = [];
  const ids = presetIds().filter((id) => id !== ELSEWHERE);

  before(async () => {
    service = await Service.create();
    assert.equal((await service.run('init')).code, 0);
    for (const id of ids) {
      const preset = loadPreset(id, 'preset');
      const ca = caFor(preset);
      const { setup } = writeIssuer(service.data, issuerFor(preset, ca), Date.now());
      const url: Running['url'] = (kind) => {
        const [{ host = 'any.example', path } = { path: '' }] = setup.urls[kind];
        return { host, path };
      };
      const at = (kind: 'ocsp' | 'crl'): string => `http://${url(kind).host}${url(kind).path}`;
      const issue = (): Issued => (isOffline(preset) ? ca.issueAuthority() : ca.issueLeaf(at('ocsp'), at('crl')));
      running.set(id, { preset, ca, good: issue(), revoked: issue(), url });
    }
    await service.start();
  });
  after(async () => {
    await service.remove();
    for (const { ca } of running.values()) ca.remove();
    for (const ca of neighbours) ca.remove();
  });

  const openssl = (
    { ca, url }: Running,
    { file }: Issued,
    ...more: readonly string[]
  ): { readonly ok: boolean; readonly text: string } => {
    const { host, path } = url('ocsp');
    return ca.ask('ocsp', '-issuer', ca.certificateFile, '-CAfile', ca.certificateFile, '-cert', file, '-url', service.url(path), '-header', `Host=${host}`, '-no_nonce', ...more); // prettier-ignore
  };
  const download = async ({ url }: Running, kind: 'crl' | 'caCertificate'): Promise<Buffer> => {
    const { host, path } = url(kind);
    const { status, headers, body } = await service.get(path, 'public', { host });
    const type = kind === 'crl' ? 'application/pkix-crl' : 'application/pkix-cert';
    assert.deepEqual([status, headers['content-type']], [200, type]);
    return body;
  };

  for (const id of ids) {
    it(`${id}: what it issues is good, and revoked when it is`, async () => {
      const one = running.get(id) as Running;
      const { ca, preset, good, revoked } = one;
      const certificates = [good, revoked].map(({ der }) => ({ certificate: der.toString('base64') }));
      const issued = await service.api('POST', `/v1/issuers/${id}/certificates`, { certificates });
      assert.equal(issued.status, 200, JSON.stringify(issued.body));
      await until('both are good', () => [good, revoked].every((it) => / good/.test(openssl(one, it).text)));
      if (isOffline(preset)) {
        // The key of a root is never online (SR-6.7): what it revokes is learnt from its CRL.
        ca.run('ca', '-config', 'root.cnf', '-revoke', revoked.file, '-crl_reason', 'cessationOfOperation');
        await service.json('crl', 'import', ca.signCrl(FIRST_CRL), '--issuer', id);
      } else {
        const revocations = [{ serial: revoked.serial, reason: 'cessationOfOperation' }];
        const answer = await service.api('POST', `/v1/issuers/${id}/revocations`, { revocations });
        assert.equal(answer.status, 200, JSON.stringify(answer.body));
        // Rather than wait until the revocations that may still come have been collected (crl.coalesce).
        await service.json('crl', 'publish', '--issuer', id);
      }
      await until('one is revoked', () => / revoked/.test(openssl(one, revoked).text));
      const [first, second] = [openssl(one, good).text, openssl(one, revoked).text];
      assert.match(first, /Response verify OK/);
      assert.match(first, / good/);
      assert.match(second, /Response verify OK/);
      assert.match(second, /Reason: cessationOfOperation/);
    });

    it(`${id}: CRL and CA certificate are at their URLs, and OpenSSL believes them`, async () => {
      const one = running.get(id) as Running;
      const { ca, good, revoked } = one;
      const served = join(ca.directory, 'served.der');
      await until('the CRL lists it', async () => {
        writeFileSync(served, await download(one, 'crl'));
        return ca.ask('crl', '-inform', 'DER', '-in', served, '-noout', '-text').text.includes(revoked.serial);
      });
      ca.run('crl', '-inform', 'DER', '-in', served, '-out', 'served.pem');
      assert.match(ca.ask('crl', '-in', 'served.pem', '-noout', '-CAfile', ca.certificateFile).text, /verify OK/);
      const verify = ({ file }: Issued): string =>
        ca.ask('verify', '-CAfile', ca.certificateFile, '-CRLfile', 'served.pem', '-crl_check', file).text;
      assert.match(verify(good), /: OK/);
      assert.match(verify(revoked), /certificate revoked/);
      writeFileSync(join(ca.directory, 'served-ca.der'), await download(one, 'caCertificate'));
      ca.run('x509', '-inform', 'DER', '-in', 'served-ca.der', '-out', 'served-ca.pem');
      assert.equal(
        ca.run('x509', '-in', 'served-ca.pem', '-noout', '-fingerprint'),
        ca.run('x509', '-in', ca.certificateFile, '-noout', '-fingerprint'),
      );
    });

    it(`${id}: lint has nothing to say about the CRL and an answer`, async () => {
      const one = running.get(id) as Running;
      const { ca, preset, revoked } = one;
      const response = join(ca.directory, 'response.der');
      assert.ok(openssl(one, revoked, '-respout', response).ok);
      const authorities = preset.authorities.join(',');
      const subject = isOffline(preset) ? 'ca' : 'subscriber';
      const linted = await service.json('lint', response, join(ca.directory, 'served.der'), '--ca', ca.certificateFile, '--authorities', authorities, '--subject', subject); // prettier-ignore
      const findings = (linted as { findings: { severity: string; rule: string }[] }[]).flatMap(
        (file) => file.findings,
      );
      // BR 7.2.2 would rather do without the invalidityDate that the CRL profile of the CA has (conflict C33).
      const expected = preset.crl.invalidityDate === 'revocation-date' && preset.authorities.includes('cabf-tls');
      assert.deepEqual(
        findings.map(({ severity, rule }) => `${severity} ${rule}`),
        expected ? ['notice C-24'] : [],
      );
    });

    it(`${id}: a CA that is another is refused, with the rule`, () => {
      const { preset } = running.get(id) as Running;
      const refused = (ca: PresetCa, change: Partial<NewIssuer> = {}): string => {
        try {
          writeIssuer(service.data, { ...issuerFor(preset, ca), id: 'neighbour', ...change }, Date.now());
        } catch (error) {
          assert.ok(error instanceof Problem);
          assert.equal(error.code, 'config');
          return error.line;
        }
        return 'not refused';
      };
      const wrongKey = (preset.ca.keyTypes as readonly string[]).includes('P-256') ? 'secp256k1' : 'P-256';
      const stranger = caFor(preset, { key: wrongKey });
      neighbours.push(stranger);
      assert.match(refused(stranger, { responders: [] }), new RegExp(escaped(preset.ca.rule)));
      if (preset.issuer !== undefined) {
        const subject = { ...preset.issuer.subject };
        const name = 'CN' in subject ? 'CN' : 'OU';
        const namesake = caFor(preset, { subject: { ...subject, [name]: `${subject[name]} 2` }, key: 'P-256' });
        neighbours.push(namesake);
        assert.match(refused(namesake, { responders: [] }), /not the CA of preset .*: its name is .*\(T-11\)/);
      }
      const { ca } = running.get(id) as Running;
      const [first] = issuerFor(preset, ca, 126).responders ?? [];
      assert.ok(first !== undefined);
      assert.match(refused(ca, { responders: [first] }), /valid for 126d .*at most 125d.*SR-6\.3\.2-a/);
      const [field, limit] = isOffline(preset) ? ['crl', /B-24|SM-01/] : ['ocsp', /B-19|SM-02|CS-03/];
      // For signed documents nobody sets a limit.
      if (id !== 'secom-document-signing-rsa-root-ca-2023')
        assert.match(refused(ca, { [field as string]: { ...issuerFor(preset, ca)[field as 'ocsp'], validity: isOffline(preset) ? '366d' : '11d' } }), limit as RegExp); // prettier-ignore
    });
  }

  it('tells them apart by Host where they share a path', async () => {
    const [ev, ov] = ['cybertrust-sureserver-ev-ca-g3', 'cybertrust-sureserver-ca-g4'].map((id) => running.get(id));
    assert.ok(ev !== undefined && ov !== undefined);
    assert.deepEqual([ev.url('ocsp').path, ov.url('ocsp').path], ['/OcspServer', '/OcspServer']);
    const other = { ...ev, url: ov.url };
    // A CertID names its issuer, so a request at the sibling's host is answered for the CA that it names.
    assert.match(openssl(other, ev.revoked).text, / revoked/);
    const shared = 'secom-tls-rsa-root-ca-2024';
    assert.equal((running.get(shared) as Running).url('crl').path, '/root.crl');
    const nobody = await service.get('/root.crl', 'public', { host: 'repository.nobody.example' });
    assert.equal(nobody.status, 404, 'the path of five CAs, at a host of none');
  });

  const isOffline = ({ issues }: Preset): boolean => issues === 'ca-certificates';

  function caFor(preset: Preset, other: { subject?: Record<string, string>; key?: string } = {}): PresetCa {
    const { subject = { C: 'JP', O: 'certstatus tests', CN: `CA of ${preset.id}` }, keyId } = preset.issuer ?? {};
    const key = preset.ca.keyTypes.find((type) => type === 'P-256') ?? preset.ca.keyTypes[0];
    return new PresetCa({
      subject: other.subject ?? subject,
      ...(keyId !== undefined && { keyId }),
      key: (other.key ?? key) as Key,
    });
  }

  /** What an operator would write: nothing but certificates and keys, and what the documents leave to a CP. */
  function issuerFor(preset: Preset, ca: PresetCa, days = 90): NewIssuer {
    const { O = 'certstatus tests', CN = 'Root' } = preset.issuer?.subject ?? {};
    const key = preset.responder.keyTypes.find((type) => type === 'P-256') ?? preset.responder.keyTypes[0];
    const responder = ca.issueResponder(`/C=JP/O=${O}/CN=${CN} OCSP Responder`, key as Key, days);
    const silent = leftToOperator(preset);
    const urls = {
      ocsp: [{ host: `ocsp.${preset.id}.example`, path: '/' }],
      crl: [{ host: `repository.${preset.id}.example`, path: '/root.crl' }],
      caCertificate: [{ host: `repository.${preset.id}.example`, path: '/root.cer' }],
    };
    return {
      id: preset.id,
      preset: preset.id,
      caCertificates: [ca.certificateFile],
      responders: [{ certificate: responder.file, key: responder.keyFile }],
      ...(!isOffline(preset) && { crlKey: ca.keyFile }),
      ...(silent.includes('ocsp.validity') && { ocsp: { validity: '4d', refreshAfter: '1d' } }),
      ...(silent.includes('crl.validity') && { crl: { period: '30d', validity: '90d' } }),
      ...(silent.includes('urls.ocsp') && { urls }),
    };
  }

  const escaped = (text: string): string => text.replace(/[.*+?^${}()|[\]\\/]/g, '\\$&');
});
