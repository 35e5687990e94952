/** Files written by the real `openssl`, read by the importers, and compared row by row with what OpenSSL says of them. */
import { after, before, describe, it } from 'node:test';
import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { readCertificates, type CertificateFacts } from '../../src/adapters/import-files/certificate-files.ts';
import { readCrl } from '../../src/adapters/import-files/crl-file.ts';
import type { ImportFile } from '../../src/adapters/import-files/import-file.ts';
import { readIndex } from '../../src/adapters/import-files/index-file.ts';
import type { ImportItem, ImportRow } from '../../src/core/import/row.ts';
import { Problem } from '../../src/core/problem.ts';
import type { ReasonName } from '../../src/core/reason.ts';
import { serialFromHex, type Serial } from '../../src/core/serial.ts';
import { OpensslCa, type IssuedFile } from '../support/openssl-ca.ts';

const BULK = 10_000;

/** Every way in which `openssl ca -revoke` can say why. */
const WAYS: readonly (readonly [readonly string[], ReasonName | undefined])[] = [
  [[], undefined],
  [['-crl_reason', 'unspecified'], undefined],
  [['-crl_reason', 'keyCompromise'], 'keyCompromise'],
  [['-crl_reason', 'CACompromise'], 'cACompromise'],
  [['-crl_reason', 'affiliationChanged'], 'affiliationChanged'],
  [['-crl_reason', 'superseded'], 'superseded'],
  [['-crl_reason', 'cessationOfOperation'], 'cessationOfOperation'],
  [['-crl_reason', 'certificateHold'], 'certificateHold'],
  [['-crl_reason', 'removeFromCRL'], 'removeFromCRL'],
  [['-crl_hold', 'holdInstructionReject'], 'certificateHold'],
  [['-crl_hold', '1.2.840.10040.2.2'], 'certificateHold'],
  [['-crl_compromise', '20260101000000Z'], 'keyCompromise'],
  [['-crl_CA_compromise', '20260101000000Z'], 'cACompromise'],
];

describe('a CA kept by openssl ca', () => {
  const ca = new OpensslCa();
  after(() => ca.remove());
  let issued: readonly IssuedFile[] = [];
  let revoked: readonly IssuedFile[] = [];
  let expired: readonly IssuedFile[] = [];
  let crl: ReturnType<OpensslCa['generateCrl']>;

  before(() => {
    revoked = ca.issue({ count: WAYS.length });
    for (const [place, certificate] of revoked.entries())
      ca.revoke(certificate, ...(WAYS[place] as (typeof WAYS)[number])[0]);
    expired = ca.issue({ count: 3, notBefore: '20200101000000Z', notAfter: '20210101000000Z' });
    const odd = [
      ...['00', '7F', '80', 'FF00', `7F${'FF'.repeat(19)}`].flatMap((serial) => ca.issue({ serial })),
      ...['20491231235959Z', '20500101000000Z', '99991231235959Z'].flatMap((notAfter) => ca.issue({ notAfter })),
      ...['/CN=a\\\\b', '/CN=tab\there', '/CN=日本', '/CN=line\nbreak', '/CN=comma, "quote"'].flatMap((subject) =>
        ca.issue({ subject }),
      ),
      ...ca.issue({ kind: 'precertificate' }),
      ca.issueResponder(),
    ];
    const bulk = ca.issue({ count: BULK });
    ca.updateDatabase();
    crl = ca.generateCrl();
    issued = [...revoked, ...expired, ...odd, ...bulk];
  });

  it('is read from index.txt row by row as its certificates say', async () => {
    const rows = rowsOf(await itemsOf(await readIndex(ca.indexFile)));
    assert.equal(rows.length, issued.length);
    for (const [place, row] of rows.entries()) {
      const certificate = new X509Certificate(readFileSync((issued[place] as IssuedFile).file));
      assert.equal(row.line, place + 1);
      assert.equal(BigInt(`0x${row.serial}`), BigInt(`0x${certificate.serialNumber}`));
      assert.equal(row.notAfter, Date.parse(certificate.validTo));
    }
    assert.equal(new Set(rows.map((row) => row.serial)).size, issued.length);
  });

  it('has the dates that openssl x509 shows', async () => {
    const rows = rowsOf(await itemsOf(await readIndex(ca.indexFile)));
    for (const place of [0, 13, 16, 20, 21, 22, 23, 500, rows.length - 1]) {
      const shown = openssl(
        'x509',
        '-in',
        (issued[place] as IssuedFile).file,
        '-noout',
        '-serial',
        '-enddate',
        '-dateopt',
        'iso_8601',
      );
      const [, serial, end] = /serial=(\w+)\nnotAfter=(.*)\n/.exec(shown) as unknown as [string, string, string];
      assert.equal((rows[place] as ImportRow).serial, serialFromHex(serial));
      assert.equal((rows[place] as ImportRow).notAfter, Date.parse(end.replace(' ', 'T')));
    }
  });

  it('has the revocations that its CRL has, and E rows that are no revocations', async () => {
    const rows = rowsOf(await itemsOf(await readIndex(ca.indexFile)));
    const shown = crlAsOpensslShowsIt(crl.pem);
    assert.equal(shown.length, WAYS.length);
    assert.deepEqual(
      rows
        .filter((row) => row.revocation !== undefined)
        .map((row) => ({ serial: row.serial, revokedAt: row.revocation?.revokedAt })),
      shown.map(({ serial, revokedAt }) => ({ serial, revokedAt })),
    );
    for (const [place, [how, reason]] of WAYS.entries()) {
      assert.equal((rows[place] as ImportRow).revocation?.reason, reason, how.join(' '));
    }
    const states = readFileSync(ca.indexFile, 'latin1').split('\n');
    for (const certificate of expired) {
      const place = issued.indexOf(certificate);
      assert.match(states[place] as string, /^E/);
      assert.equal((rows[place] as ImportRow).revocation, undefined);
      assert.equal((rows[place] as ImportRow).notAfter, Date.parse('2021-01-01T00:00:00Z'));
    }
  });

  for (const form of ['pem', 'der'] as const) {
    it(`is read from its CRL in ${form.toUpperCase()}`, async () => {
      const reading = await readCrl(crl[form], opensslCrlReader);
      const rows = rowsOf(await itemsOf(reading));
      assert.deepEqual(
        rows.map(({ line, serial, notAfter, revocation }) => ({
          line,
          serial,
          notAfter,
          revokedAt: revocation?.revokedAt,
        })),
        crlAsOpensslShowsIt(crl.pem).map(({ serial, revokedAt }, place) => ({
          line: place + 1,
          serial,
          notAfter: undefined,
          revokedAt,
        })),
      );
      assert.deepEqual(
        rows.map((row) => row.revocation?.reason),
        WAYS.map(([, reason]) => reason),
      );
      assert.deepEqual(reading.progress(), { done: WAYS.length, total: WAYS.length, unit: 'entries' });
      assert.deepEqual(reading.der, readFileSync(crl.der));
    });
  }

  it('is not read from a CRL with a bad entry: nothing is handed out at all', async () => {
    const broken = {
      *entries() {
        yield { serial: '01' as Serial, revokedAt: 0, reason: undefined };
        throw new Problem('invalid', 'not an entry', { field: 'entry 2' });
      },
    };
    await assert.rejects(
      readCrl(crl.der, () => broken),
      { code: 'invalid', field: `${crl.der} entry 2` },
    );
    await assert.rejects(readCrl(ca.certificateFile, opensslCrlReader), {
      code: 'invalid',
      message: 'there is no CRL in the file',
    });
    const twice = join(ca.directory, 'twice.crl');
    writeFileSync(twice, Buffer.concat([readFileSync(crl.pem), readFileSync(crl.pem)]));
    await assert.rejects(readCrl(twice, opensslCrlReader), {
      code: 'invalid',
      message: 'there is more than one CRL in the file',
    });
  });

  it('is read from the certificates, in one bundle or one by one', async () => {
    const bundle = join(ca.directory, 'bundle.pem');
    const parts = issued.map((certificate) => readFileSync(certificate.file, 'latin1'));
    // A key and OpenSSL's text form among them, as in files that people keep.
    writeFileSync(
      bundle,
      [openssl('x509', '-in', ca.certificateFile, '-text'), readFileSync(ca.leafKeyFile, 'latin1'), ...parts].join(''),
    );
    const reading = await readCertificates([bundle], nodeCertificateReader);
    const rows = rowsOf(await itemsOf(reading)).slice(1);
    assert.deepEqual(
      rows.map((row) => row.serial),
      issued.map((certificate) => serialFromHex(certificate.serial)),
    );
    assert.equal(reading.progress().done, reading.progress().total);
    const poisoned = rows.filter((row) => row.precertificate).map((row) => row.serial);
    assert.equal(poisoned.length, 1);
    assert.match(
      openssl(
        'x509',
        '-in',
        join(ca.directory, 'new', `${(poisoned[0] as string).toUpperCase()}.pem`),
        '-noout',
        '-text',
      ),
      /CT Precertificate Poison/,
    );

    const der = join(ca.directory, 'several.der');
    writeFileSync(
      der,
      Buffer.concat(issued.slice(0, 50).map((certificate) => new X509Certificate(readFileSync(certificate.file)).raw)),
    );
    assert.deepEqual(
      rowsOf(await itemsOf(await readCertificates([der], nodeCertificateReader))).map((row) => row.serial),
      rows.slice(0, 50).map((row) => row.serial),
    );
  });

  it('is read from a directory, where what is no certificate is left out or rejected', async () => {
    const directory = join(ca.directory, 'kept');
    mkdirSync(join(directory, 'older'), { recursive: true });
    const kept = issued.slice(0, 20);
    for (const [place, { file, serial }] of kept.entries())
      cpSync(file, join(directory, place % 2 ? 'older' : '.', `${serial}.pem`));
    cpSync(ca.leafKeyFile, join(directory, 'leaf.pem'));
    cpSync(ca.indexFile, join(directory, 'index.txt'));
    const items = await itemsOf(await readCertificates([directory, ca.certificateFile], nodeCertificateReader));
    const own = serialFromHex(new X509Certificate(readFileSync(ca.certificateFile)).serialNumber);
    assert.deepEqual(
      rowsOf(items.filter((item) => 'row' in item))
        .map((row) => row.serial)
        .sort(),
      [...kept.map(({ serial }) => serialFromHex(serial)), own].sort(),
    );
    const rejected = items.flatMap((item) => ('rejected' in item ? [item.rejected.problem] : []));
    assert.deepEqual(
      rejected.map(({ field, message }) => `${field}: ${message}`),
      [`${join(directory, 'leaf.pem')} certificate 1: there is no certificate in the file`],
    );
    await assert.rejects(readCertificates([join(directory, 'absent')], nodeCertificateReader), { code: 'invalid' });
  });

  it("keeps another issuer's certificate out when the reader refuses it, and reads on", async () => {
    const bundle = join(ca.directory, 'mixed.pem');
    writeFileSync(
      bundle,
      [issued[0], issued[1], issued[2]]
        .map((certificate) => readFileSync((certificate as IssuedFile).file, 'latin1'))
        .join(''),
    );
    const refused = serialFromHex((issued[1] as IssuedFile).serial);
    const items = await itemsOf(
      await readCertificates([ca.certificateFile, bundle], (der) => {
        const facts = nodeCertificateReader(der);
        if (facts.serial === refused) throw new Problem('refused', 'issued by another CA', { field: 'issuer' });
        return facts;
      }),
    );
    assert.deepEqual(
      items.slice(1).map((item) => ('row' in item ? item.row.serial : item.rejected.problem.field)),
      [
        serialFromHex((issued[0] as IssuedFile).serial),
        `${bundle} certificate 2 issuer`,
        serialFromHex((issued[2] as IssuedFile).serial),
      ],
    );
  });
});

async function itemsOf(reading: ImportFile): Promise<ImportItem[]> {
  const items: ImportItem[] = [];
  for await (const page of reading.pages) items.push(...page);
  return items;
}

function rowsOf(items: readonly ImportItem[]): ImportRow[] {
  return items.map((item) => ('row' in item ? item.row : assert.fail(item.rejected.problem.line)));
}

function openssl(...args: readonly string[]): string {
  return execFileSync('openssl', args, { encoding: 'utf8', maxBuffer: 64e6 });
}

/** Certificates as OpenSSL reads them, through Node. */
function nodeCertificateReader(der: Buffer): CertificateFacts {
  const certificate = new X509Certificate(der);
  return {
    serial: serialFromHex(certificate.serialNumber),
    notBefore: Date.parse(certificate.validFrom),
    notAfter: Date.parse(certificate.validTo),
    // The DER of the poison extension's OID and its critical flag (RFC 6962 §3.1).
    precertificate: der.includes(Buffer.from('060a2b06010401d6790204030101ff', 'hex')),
  };
}

function opensslCrlReader(der: Buffer): { entries(): ReturnType<typeof crlAsOpensslShowsIt> } {
  const text = execFileSync('openssl', ['crl', '-inform', 'DER', '-noout', '-text'], { input: der, encoding: 'utf8' });
  return { entries: () => entriesOfText(text) };
}

function crlAsOpensslShowsIt(file: string): { serial: Serial; revokedAt: number; reason: ReasonName | undefined }[] {
  return entriesOfText(openssl('crl', '-in', file, '-noout', '-text'));
}

function entriesOfText(text: string): { serial: Serial; revokedAt: number; reason: ReasonName | undefined }[] {
  return text
    .split('Serial Number: ')
    .slice(1)
    .map((entry) => {
      const [, serial, date] = /^(\w+)\s+Revocation Date: (.*)\n/.exec(entry) as unknown as [string, string, string];
      const reason = /Reason Code: \n\s+(.*)\n/.exec(entry)?.[1];
      return {
        serial: serialFromHex(serial),
        revokedAt: Date.parse(date),
        reason: reason === undefined ? undefined : REASON_TEXTS[reason],
      };
    });
}

const REASON_TEXTS: Record<string, ReasonName> = {
  Unspecified: 'unspecified',
  'Key Compromise': 'keyCompromise',
  'CA Compromise': 'cACompromise',
  'Affiliation Changed': 'affiliationChanged',
  Superseded: 'superseded',
  'Cessation Of Operation': 'cessationOfOperation',
  'Certificate Hold': 'certificateHold',
  'Remove From CRL': 'removeFromCRL',
};
