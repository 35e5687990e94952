import assert from 'node:assert/strict';
import { createPrivateKey, generateKeyPairSync, X509Certificate } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { connect, createServer, type TLSSocket } from 'node:tls';
import { createIntakeMaterial } from '../../src/apps/demo.ts';
import { authorise, type Client, type ClientGrant, clientOf } from '../../src/apps/intake/clients.ts';
import { Problem } from '../../src/core/problem.ts';
import * as write from '../../src/core/certificate-writer.ts';

const GRANTS: readonly ClientGrant[] = [
  { name: 'operator', issuers: ['*'], may: ['issue', 'revoke', 'import', 'read'] },
  { name: 'ra', issuers: ['demo'], may: ['issue'] },
];
const forbidden = (error: unknown): boolean =>
  error instanceof Problem && error.code === 'forbidden' && error.rule === 'CT-3.4';

describe('clientOf, over TLS', () => {
  const dir = mkdtempSync(join(tmpdir(), 'certstatus-clients-'));
  const file = (name: string): string => readFileSync(join(dir, 'intake', name), 'utf8');
  before(() => createIntakeMaterial(dir, Date.now()));
  after(() => rmSync(dir, { recursive: true }));

  /** What the server side makes of whoever connects with this certificate. */
  async function asSeenBy(cert: string, key: string, grants = GRANTS): Promise<Client> {
    const server = createServer({
      key: file('server.key'),
      cert: file('server.pem'),
      ca: file('client-ca.pem'),
      requestCert: true,
      rejectUnauthorized: true,
    });
    const seen = new Promise<Client>((resolve, reject) => {
      server.on('secureConnection', (socket) => {
        try {
          resolve(clientOf(socket, grants));
        } catch (error) {
          reject(error instanceof Error ? error : new Error(String(error)));
        }
        socket.destroy();
      });
      server.on('tlsClientError', reject);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    const socket = connect({ port, host: '127.0.0.1', ca: file('client-ca.pem'), cert, key, servername: 'localhost' });
    socket.on('error', () => undefined);
    try {
      return await seen;
    } finally {
      socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    }
  }

  /** A client certificate by the intake's CA, with these names in its subject. */
  function certificate(...names: readonly string[]): [string, string] {
    const ca = new X509Certificate(file('client-ca.pem'));
    const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const der = write.writeCertificate(
      {
        serial: write.serialFromRandom(Buffer.from('0102030405060708', 'hex')),
        issuerDer: write.writeName([['C', 'JP'], ['O', 'certstatus demo'], ['CN', 'certstatus intake CA']]), // prettier-ignore
        subjectDer: write.writeName(names.map((name) => ['CN', name] as const)),
        notBefore: Date.parse(ca.validFrom),
        notAfter: Date.parse(ca.validTo),
        spkiDer: publicKey.export({ type: 'spki', format: 'der' }),
        extensions: [write.basicConstraints(false), write.extKeyUsage('clientAuth')],
      },
      createPrivateKey(file('client-ca.key')),
    );
    return [write.pem('CERTIFICATE', der), privateKey.export({ type: 'pkcs8', format: 'pem' }) as string];
  }

  it('knows a client by the common name of its certificate, and names it with the fingerprint', async () => {
    const client = await asSeenBy(file('operator.pem'), file('operator.key'));
    assert.equal(client.name, 'operator');
    const fingerprint = new X509Certificate(file('operator.pem')).fingerprint256.replace(/:/g, '').slice(0, 16);
    assert.equal(client.actor, `operator (client certificate ${fingerprint})`);
  });

  it('refuses a name that is not listed, no name, and two names', async () => {
    await assert.rejects(asSeenBy(file('operator.pem'), file('operator.key'), GRANTS.slice(1)), forbidden);
    await assert.rejects(asSeenBy(...certificate('Operator')), forbidden);
    await assert.rejects(asSeenBy(...certificate()), forbidden);
    await assert.rejects(asSeenBy(...certificate('operator', 'ra')), forbidden);
    assert.equal((await asSeenBy(...certificate('ra'))).name, 'ra');
  });
});

describe('authorise', () => {
  it('permits what is granted, for the issuers named, and nothing else', () => {
    const [operator, ra] = GRANTS.map((grant): Client => ({ ...grant, actor: grant.name })) as [Client, Client];
    authorise(operator, 'revoke', 'any');
    authorise(operator, 'read', undefined);
    authorise(ra, 'issue', 'demo');
    assert.throws(() => authorise(ra, 'revoke', 'demo'), forbidden);
    assert.throws(() => authorise(ra, 'issue', 'other'), forbidden);
    assert.throws(() => authorise(ra, 'issue', 'demo2'), forbidden);
    assert.throws(() => authorise(ra, 'issue', '*'), forbidden);
    assert.throws(() => authorise(ra, 'read', undefined), forbidden);
  });

  it('refuses a connection without a client certificate', () => {
    const socket = { getPeerCertificate: () => ({}) } as unknown as TLSSocket;
    assert.throws(() => clientOf(socket, GRANTS), forbidden);
  });
});
