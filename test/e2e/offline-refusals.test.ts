/** What an offline ceremony refuses, on both sides: one vector per defect. No service runs; the commands open the data directory alone. */
import { createHash } from 'node:crypto';
import { readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import assert from 'node:assert/strict';
import { setTimeout } from 'node:timers/promises';
import { OfflineRoot, type SubordinateCa } from '../support/offline-root.ts';
import { Service, type Ran } from '../support/service.ts';

const SUBJECT = { C: 'JP', O: 'certstatus tests', CN: 'Offline Root' };
const PERSONS = ['--person', 'Alice', '--person', 'Bob'];

interface RequestFile {
  summary: string[];
  items: { kind: string; tbs: string; previous?: string }[];
}

describe('offline refusals', () => {
  let root: OfflineRoot;
  /** Same name and key identifier, another key. */
  let impostor: OfflineRoot;
  let service: Service;
  let first: SubordinateCa;
  /** The request whose material is published, and the CRL that came of it. */
  let published: { readonly request: string; readonly material: string; readonly crl: string };

  before(async () => {
    root = new OfflineRoot({ subject: SUBJECT, key: 'P-256', keyId: '0102030405060708090A0B0C0D0E0F1011121314' });
    impostor = new OfflineRoot({ subject: SUBJECT, key: 'P-256', keyId: '0102030405060708090A0B0C0D0E0F1011121314' });
    first = root.issueSubordinate();
    service = await Service.create();
    assert.equal((await service.run('init')).code, 0);
    await service.json('issuer', 'add', 'root', '--preset', 'offline-root', '--ca', root.certificateFile);
    await service.json('import', 'certs', first.file, '--issuer', 'root');
    await service.json('revoke', '--serial', first.serial, '--issuer', 'root', '--reason', 'superseded');
    const request = await exportRequest('request.json');
    const material = at('signed.json');
    assert.equal((await sign(request, material)).code, 0);
    await service.json('offline', 'import', material);
    const { items } = JSON.parse(readFileSync(material, 'utf8')) as { items: { der: string }[] };
    const crl = at('published.der');
    writeFileSync(crl, Buffer.from(items[0]?.der ?? '', 'base64'));
    published = { request, material, crl };
  });
  after(async () => {
    await service.remove();
    for (const ca of [root, impostor]) ca.remove();
  });

  const at = (name: string): string => join(root.directory, name);
  const exportRequest = async (name: string, ...how: readonly string[]): Promise<string> => {
    await service.json('offline', 'export', '--issuer', 'root', '--crl', '--out', at(name), ...how);
    return at(name);
  };
  const digest = (file: string): string => createHash('sha256').update(readFileSync(file)).digest('hex');
  const sign = (file: string, out: string, ...how: readonly string[]): Promise<Ran> =>
    service.run('offline', 'sign', file, '--ca', root.certificateFile, '--out', out, ...PERSONS, '--yes-digest', digest(file), ...(how.includes('--key') ? how : ['--key', root.keyFile, ...how])); // prettier-ignore
  const changed = (name: string, change: (file: RequestFile) => void): string => {
    const file = JSON.parse(readFileSync(published.request, 'utf8')) as RequestFile;
    change(file);
    writeFileSync(at(name), JSON.stringify(file));
    return at(name);
  };
  const refuses = ({ code, stderr, stdout }: Ran, why: RegExp): void => {
    assert.equal(code, 1, stdout);
    assert.match(stderr + stdout, why);
  };
  const currentNumber = async (): Promise<string> => (await service.json('crl', 'list', '--issuer', 'root'))[0].number;
  const newest = (): bigint => BigInt(root.run('crl', '-inform', 'DER', '-in', published.crl, '-noout', '-crlnumber').split('=')[1]?.trim() ?? ''); // prettier-ignore

  describe('the machine with the key', () => {
    it('refuses a text that its octets do not say', async () => {
      const file = changed('text.json', ({ summary }) => {
        const line = summary.findIndex((text) => text.includes('superseded'));
        summary[line] = (summary[line] as string).replace('superseded', 'keyCompromise');
      });
      refuses(await sign(file, at('none')), /says something else than its octets/);
    });

    it('refuses a line that is not there', async () => {
      const file = changed('line.json', ({ summary }) => void summary.pop());
      refuses(await sign(file, at('none')), /says something else than its octets/);
    });

    it('refuses octets that were changed', async () => {
      const file = changed('octets.json', ({ items }) => {
        const tbs = Buffer.from(items[0]?.tbs ?? '', 'base64');
        tbs[tbs.length - 1] = (tbs[tbs.length - 1] as number) ^ 1;
        (items[0] as { tbs: string }).tbs = tbs.toString('base64');
      });
      refuses(await sign(file, at('none')), /says something else than its octets/);
    });

    it('refuses another digest than that of the file', async () => {
      const { request } = published;
      const wrong = digest(request).replace(/.$/, (last) => (last === '0' ? '1' : '0'));
      const args = ['offline', 'sign', request, '--ca', root.certificateFile, '--key', root.keyFile, ...PERSONS];
      refuses(
        await service.run(...args, '--out', at('none'), '--yes-digest', wrong.slice(-8)),
        /not the end of the digest/,
      );
      refuses(
        await service.run(...args, '--out', at('none'), '--yes-digest', digest(request).slice(-4)),
        /not the end/,
      );
      refuses(await service.run(...args, '--out', at('none')), /no terminal/);
    });

    it('refuses one person alone, however often named (SR-6.2.8)', async () => {
      const args = ['offline', 'sign', published.request, '--ca', root.certificateFile, '--key', root.keyFile];
      const alone = ['--person', 'Alice', '--person', 'Alice', '--yes-digest', digest(published.request)];
      refuses(await service.run(...args, '--out', at('none'), ...alone), /at least two persons/);
    });

    it('refuses a file that is cut off, of another format, or too large', async () => {
      writeFileSync(at('cut.json'), readFileSync(published.request).subarray(0, -40));
      refuses(await sign(at('cut.json'), at('none')), /no whole JSON/);
      refuses(await sign(published.material, at('none')), /#\/format/);
      writeFileSync(at('large.json'), '{');
      truncateSync(at('large.json'), 200 << 20);
      refuses(await service.run('offline', 'sign', at('large.json'), '--ca', root.certificateFile, '--key', root.keyFile, '--out', at('none')), /209715200 octets: at most/); // prettier-ignore
      refuses(await service.run('offline', 'import', at('large.json')), /209715200 octets: at most/);
    });

    it('refuses the key of another', async () => {
      refuses(await sign(published.request, at('none'), '--key', impostor.keyFile), /is not the key of/);
    });

    it('refuses the CA certificate of another, and a preset of another', async () => {
      const { request } = published;
      const args = ['offline', 'sign', request, '--key', root.keyFile, '--out', at('none'), ...PERSONS];
      refuses(
        await service.run(...args, '--ca', impostor.certificateFile, '--yes-digest', digest(request)),
        /says something else/,
      );
      refuses(await sign(request, at('none'), '--preset', 'secom-sc-rootca2'), /not the CA of preset/);
    });

    it('refuses a number that it has signed before, by the CRL that it has kept', async () => {
      refuses(
        await sign(published.request, at('none'), '--previous', published.crl),
        /C-10 cRLNumber \d+ does not follow the previous CRL/,
      );
    });

    it('refuses to lose an entry, unless it is told that the certificate has expired', async () => {
      root.revoke(first);
      root.revoke(root.issueSubordinate(), 'keyCompromise');
      // By its own record the root has listed one more than the service knows.
      const kept = root.generateCrl(newest() + 1n);
      // A CRL of the same second is refused for that (C-10).
      await setTimeout(1000);
      const request = await exportRequest('loses.json');
      const refused = await sign(request, at('none'), '--previous', kept);
      refuses(refused, /1 serials of CRL \d+ would be lost/);
      const lost = /would be lost: ([0-9a-f]+)/.exec(refused.stderr)?.[1] as string;
      const told = await sign(request, at('told'), '--previous', kept, '--may-leave', lost);
      assert.equal(told.code, 0, told.stderr);
      root.forgetRevocations();
    });

    it('refuses a nextUpdate that the Baseline Requirements do not allow (B-24)', async () => {
      const soon = new Date(Date.now() - 60_000).toISOString().slice(0, 19);
      const late = new Date(Date.now() + 366 * 86_400_000).toISOString().slice(0, 19);
      refuses(await service.run('offline', 'export', '--issuer', 'root', '--crl', '--out', at('none'), '--next-update', `${late}Z`), /later than the profile permits/); // prettier-ignore
      refuses(await service.run('offline', 'export', '--issuer', 'root', '--crl', '--out', at('none'), '--next-update', `${soon}Z`), /not later than thisUpdate/); // prettier-ignore
      // 180 days are well for CA certificates, and too long for those of subscribers.
      refuses(await sign(published.request, at('none'), '--issues', 'subscriber-certificates'), /B-24|10d/);
    });
  });

  describe('the service', () => {
    it('refuses a CRL by another key, whatever name it has', async () => {
      const before = await currentNumber();
      const file = impostor.generateCrl(newest() + 10n);
      refuses(await service.run('crl', 'import', file, '--issuer', 'root'), /not signed with the key of/);
      assert.equal(await currentNumber(), before);
    });

    it('refuses an older number', async () => {
      refuses(await service.run('crl', 'import', root.generateCrl(7n), '--issuer', 'root'), /C-10|not greater/);
    });

    it('refuses a CRL that loses an entry', async () => {
      const before = await currentNumber();
      const refused = await service.run('crl', 'import', root.generateCrl(newest() + 10n), '--issuer', 'root');
      refuses(refused, new RegExp(`serial ${first.serial.toLowerCase()} stands on CRL \\d+ and would be lost`));
      assert.equal(await currentNumber(), before);
    });

    it('refuses a CRL with another reason than the ledger has, and records nothing from it', async () => {
      const other = root.issueSubordinate();
      root.revoke(first, 'keyCompromise');
      root.revoke(other);
      const refused = await service.run('crl', 'import', root.generateCrl(newest() + 10n), '--issuer', 'root');
      refuses(refused, /1 certificates are revoked otherwise in the ledger/);
      assert.match(
        (await service.run('status', '--issuer', 'root', '--serial', other.serial)).stderr,
        /not issued|has not issued/,
      );
      root.forgetRevocations();
    });

    it('refuses material with an octet changed, and one that was made for another issuer', async () => {
      const material = JSON.parse(readFileSync(published.material, 'utf8')) as {
        issuer: string;
        items: { der: string }[];
      };
      const der = Buffer.from(material.items[0]?.der ?? '', 'base64');
      der[der.length - 3] = (der[der.length - 3] as number) ^ 0x10;
      writeFileSync(
        at('changed.json'),
        JSON.stringify({ ...material, items: [{ ...material.items[0], der: der.toString('base64') }] }),
      );
      refuses(await service.run('offline', 'import', at('changed.json')), /not signed with the key of/);
      await service.json('issuer', 'add', 'other', '--preset', 'offline-root', '--ca', impostor.certificateFile, '--crl-path', '/o.crl', '--ca-path', '/o.crt'); // prettier-ignore
      refuses(
        await service.run('offline', 'import', published.material, '--issuer', 'other'),
        /was made for issuer root/,
      );
    });

    it('refuses a CRL that lacks what was revoked after it was exported, and names it', async () => {
      const second = root.issueSubordinate();
      await service.json('import', 'certs', second.file, '--issuer', 'root');
      const request = await exportRequest('late.json');
      assert.equal((await sign(request, at('late-signed.json'))).code, 0);
      await service.json('revoke', '--serial', second.serial, '--issuer', 'root', '--reason', 'superseded');
      const refused = await service.run('offline', 'import', at('late-signed.json'));
      refuses(refused, new RegExp(`not on the CRL: export again: ${second.serial.toLowerCase()}`));
      const next = await exportRequest('in-time.json');
      assert.equal((await sign(next, at('in-time-signed.json'), '--previous', published.crl)).code, 0);
      const { items } = await service.json('offline', 'import', at('in-time-signed.json'));
      assert.equal(items[0].outcome, 'published');
      // The next one says that it follows.
      assert.equal((await service.json('offline', 'import', at('in-time-signed.json'))).items[0].outcome, 'known');
      refuses(await service.run('offline', 'import', published.material), /not greater|C-10/);
    });
  });
});

describe('crl import', () => {
  let root: OfflineRoot;
  let service: Service;
  before(async () => {
    root = new OfflineRoot({ subject: SUBJECT, key: 'P-384' });
    service = await Service.create();
    assert.equal((await service.run('init')).code, 0);
    await service.json('issuer', 'add', 'root', '--preset', 'offline-root', '--ca', root.certificateFile);
    await service.start();
  });
  after(async () => {
    await service.remove();
    root.remove();
  });

  it('publishes what `openssl ca -gencrl` has made, octet for octet, and learns its revocations', async () => {
    const [known, unknown] = [root.issueSubordinate(), root.issueSubordinate()];
    await service.json('import', 'certs', known.file, '--issuer', 'root');
    for (const certificate of [known, unknown]) root.revoke(certificate, 'keyCompromise');
    const file = root.generateCrl(41n);
    const done = await service.json('crl', 'import', file, '--issuer', 'root');
    assert.deepEqual([done.number, done.published, done.learnt, done.entries], ['41', true, 2, 2]);
    root.run('crl', '-in', file, '-outform', 'DER', '-out', 'made.der');
    const { body } = await service.get('/root.crl');
    assert.deepEqual(body, readFileSync(join(root.directory, 'made.der')));
    for (const { serial } of [known, unknown]) {
      const status = await service.json('status', '--issuer', 'root', '--serial', serial);
      assert.deepEqual([status.status, status.reason, status.crl.listed], ['revoked', 'keyCompromise', true]);
    }
    const again = await service.json('crl', 'import', file, '--issuer', 'root');
    assert.deepEqual([again.published, again.number], [false, '41']);
  });

  it('survives kill -9 after it: the CRL is served again, and what is exported next has a greater number', async () => {
    await service.kill();
    await service.start();
    assert.equal((await service.get('/root.crl')).status, 200);
    const { summary } = await service.json(
      'offline',
      'export',
      '--issuer',
      'root',
      '--crl',
      '--out',
      join(root.directory, 'r.json'),
    );
    const number = BigInt(/number: (\d+)/.exec((summary as string[]).join('\n'))?.[1] ?? '0');
    assert.ok(number > 41n, `${number}`);
  });
});
