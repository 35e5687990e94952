/** What a newer version has written, as this one finds it after a rollback: read, or refused in one line that says what to do. */
import assert from 'node:assert/strict';
import { appendFileSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, beforeEach, describe, it } from 'node:test';
import { ClassicLevel } from 'classic-level';
import { LAYOUT_KEY } from '../../src/adapters/embedded/keys.ts';
import type { Lane } from '../../src/core/certificate.ts';
import { JOURNAL_LAYOUT, sealRecord, type JournalEntry, type JournalRecord } from '../../src/core/journal-record.ts';
import { ask } from '../support/ocsp-client.ts';
import { Service } from '../support/service.ts';

const SERIAL = '5e1234';
const services: Service[] = [];

/** Of a version that has types and members of its own. */
type Newer = Omit<JournalEntry, 'type'> & { readonly type: string; readonly aims?: string };

describe('a rollback', () => {
  let service: Service;
  beforeEach(async () => {
    service = await Service.demo();
    services.push(service);
    assert.equal(await service.stop(), 0);
  });
  after(async () => {
    for (const one of services) await one.remove();
  });

  const newest = (): { readonly file: string; readonly last: JournalRecord } => {
    const audit = join(service.data, 'audit');
    const file = join(audit, readdirSync(audit).sort().at(-1) as string);
    const lines = readFileSync(file, 'utf8').trimEnd().split('\n');
    return { file, last: JSON.parse(lines.at(-1) as string) as JournalRecord };
  };

  /** As a newer version would, with the hash chain. */
  function write(entry: Newer): void {
    const { file, last } = newest();
    const at = new Date(Date.parse(last.at) + 1000).toISOString();
    const { line } = sealRecord(entry as JournalEntry, last.seq + 1, at, last.hash);
    appendFileSync(file, `${line}\n`);
  }
  const issuerTag = (): string => {
    const text = readFileSync(newest().file, 'utf8');
    return /"issuerTag":"([^"]+)"/.exec(text)?.[1] as string;
  };

  it('keeps records of types that are unknown here, and replays what they change', async () => {
    write({ type: 'policy.reviewed', actor: 'alice', description: 'nothing that a ledger has', aims: 'none' });
    write({
      type: 'certificates.enrolled',
      actor: 'CN=ra',
      issuer: 'demo',
      issuerTag: issuerTag(),
      description: '1 certificate',
      // A lane that is unknown here.
      changes: [{ serial: SERIAL, revision: 1, notAfter: '2027-06-01T00:00:00Z', lane: 'at-once' as Lane }],
    });
    await service.start();
    const at = { port: service.ports.public, path: '/OcspServer' };
    assert.equal((await ask(service.demo.issuer, SERIAL, at)).status, 'good');
    await service.stop();
    assert.equal((await service.run('audit', 'verify')).code, 0);
  });

  it('refuses a record whose meaning it would miss, and still verifies the log', async () => {
    write({ type: 'certificates.withdrawn', actor: 'CN=ra', description: 'takes back', layout: JOURNAL_LAYOUT + 1 });
    await assert.rejects(service.start(), (error: Error) => {
      assert.match(error.message, /record \d+ \(certificates\.withdrawn\) was written by a newer version/);
      assert.match(error.message, /start the version that wrote it/);
      return true;
    });
    const { code, stdout, stderr } = await service.run('audit', 'verify', '--offline');
    assert.equal(code, 0, stdout + stderr);
  });

  it('refuses a store of another layout, and says which version to start', async () => {
    const db = new ClassicLevel<Buffer, Buffer>(join(service.data, 'store'), {
      keyEncoding: 'buffer',
      valueEncoding: 'buffer',
    });
    await db.put(LAYOUT_KEY, Buffer.from('999'));
    await db.close();
    await assert.rejects(service.start(), /layout 999; this version reads layout \d+: start the version that wrote it/);
  });

  it('refuses a configuration with keys that it does not know, and names them', async () => {
    const file = join(service.data, 'certstatus.yaml');
    writeFileSync(file, `${readFileSync(file, 'utf8')}\nnewSection: { on: true }\n`);
    await assert.rejects(service.start(), /newSection[^]*no such key/);
  });
});
