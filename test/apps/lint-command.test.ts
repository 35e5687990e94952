import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { join, resolve } from 'node:path';
import { after, describe, it } from 'node:test';
import { makeAuthority, signWith } from '../core/ocsp-authority.ts';
import { serialFromHex } from '../../src/core/serial.ts';
import { DAY } from '../../src/core/time.ts';

const CLI = resolve(import.meta.dirname, '../../src/apps/cli.js');
const authority = makeAuthority('rsa');
after(() => authority.remove());

/** CRLs by openssl ca: the second lists nothing any more. */
authority.write('ca.cnf', Buffer.from('[ca]\ndefault_ca=d\n[d]\ndatabase=index.txt\ndefault_md=sha256\ncertificate=ca.pem\nprivate_key=ca.key\ncrlnumber=crlnumber\ncrl_extensions=x\n[x]\nauthorityKeyIdentifier=keyid\nissuingDistributionPoint=critical,@i\n[i]\nfullname=URI:http://crl.example/1.crl\nonlyuser=TRUE\n')); // prettier-ignore
authority.write('index.txt.attr', Buffer.from(''));
authority.write('crlnumber', Buffer.from('1234\n'));
authority.write('index.txt', Buffer.from('R\t351231235959Z\t260101000000Z,superseded\t02\tunknown\t/CN=b\n'));
authority.openssl('ca', '-config', 'ca.cnf', '-gencrl', '-crldays', '7', '-out', 'one.pem');
authority.write('index.txt', Buffer.from(''));
authority.openssl('ca', '-config', 'ca.cnf', '-gencrl', '-crldays', '7', '-out', 'two.pem');
for (const name of ['one', 'two'])
  authority.openssl('crl', '-in', `${name}.pem`, '-outform', 'DER', '-out', `${name}.crl`);
const answer = { revocation: undefined, thisUpdate: Math.floor(Date.now() / 1000) * 1000, nextUpdate: 0 };
answer.nextUpdate = answer.thisUpdate + 4 * DAY - 1000;
const tbs = authority.template.tbs('sha1', serialFromHex('7f01'), answer);
authority.write('answer.der', authority.template.assemble('sha1', serialFromHex('7f01'), answer, signWith(authority.responder, tbs))); // prettier-ignore
authority.write('request.der', Buffer.from('3003300130', 'hex'));

function lint(...args: string[]): { code: number | null; stdout: string; stderr: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, [CLI, 'lint', ...args], { cwd: authority.dir, encoding: 'utf8', env: { ...process.env, HOME: authority.dir } }); // prettier-ignore
  return { code: status, stdout, stderr };
}
const rules = (...args: string[]): [number | null, string[]] => {
  const { code, stdout, stderr } = lint(...args, '--json');
  assert.notEqual(stdout, '', stderr);
  const { findings } = JSON.parse(stdout) as { findings: { severity: string; rule: string }[] };
  return [code, findings.map(({ severity, rule }) => `${severity} ${rule}`)];
};

describe('lint', () => {
  it('knows a CRL, a response and a responder certificate by their octets, DER or PEM', () => {
    const { code, stdout } = lint('one.crl', 'two.pem', 'answer.der', 'responder.pem', '--ca', 'ca.pem');
    assert.equal(code, 0, stdout);
    assert.match(stdout, /^one\.crl: CRL: no finding$/m);
    assert.match(stdout, /^two\.pem: CRL: no finding$/m);
    assert.match(stdout, /^answer\.der: OCSP response/m);
    assert.match(stdout, /^responder\.pem: responder certificate/m);
    assert.match(lint('request.der').stderr, /neither an OCSPResponse nor/);
  });

  it('holds a CRL against its URL, its predecessor, its CA and the instant', () => {
    const url = ['--url', 'http://crl.example/1.crl'];
    assert.deepEqual(rules('one.crl', '--ca', 'ca.pem', ...url), [0, []]);
    assert.deepEqual(rules('one.crl', '--url', 'http://crl.example/2.crl'), [1, ['error P-11']]);
    assert.deepEqual(rules('one.pem', ...url), [1, ['error C-29']]);
    assert.deepEqual(rules('two.crl', '--previous', 'one.crl')[1].filter((rule) => rule.startsWith('notice')), ['notice C-22']); // prettier-ignore
    assert.deepEqual(rules('one.crl', '--previous', 'two.pem')[1].includes('error C-10'), true);
    const late = new Date(Date.now() + 5 * DAY).toISOString();
    assert.deepEqual(rules('one.crl', '--at', late), [0, []]);
    assert.deepEqual(rules('one.crl', '--at', late, '--without-ocsp'), [1, ['error B-13']]);
    authority.openssl('req', '-config', 'config', '-x509', '-newkey', 'rsa:2048', '-nodes', '-subj', '/C=JP/O=Test/CN=Test CA', '-keyout', 'x.key', '-out', 'x.pem', '-addext', 'keyUsage=critical,keyCertSign', '-addext', 'basicConstraints=critical,CA:TRUE'); // prettier-ignore
    const [code, found] = rules('one.crl', '--ca', 'x.pem');
    assert.deepEqual([code, found.filter((rule) => !rule.endsWith('C-06'))], [1, ['error C-04', 'error 5280-5.1.1.3', 'error C-30']]); // prettier-ignore
  });

  it('judges what a responder serves, and its certificate', () => {
    const late = new Date(Date.now() + 3 * DAY).toISOString();
    assert.equal(rules('answer.der', '--ca', 'ca.pem')[0], 0);
    const [code, found] = rules('answer.der', '--at', late, '--authorities', 'rfc,microsoft');
    assert.deepEqual([code, found.filter((rule) => rule.startsWith('error'))], [1, ['error P-16-served']]);
    assert.equal(rules('ca.pem', '--authorities', 'rfc,secom')[1].includes('error SR-6.1.7-d'), true);
  });

  it('lists its rules, and refuses what it does not know', () => {
    const { stdout } = lint('--rules', '--json');
    const listed = JSON.parse(stdout) as { appliesTo: string; id: string; citation: string }[];
    for (const kind of ['CRL', 'OCSP response', 'responder certificate'])
      assert.ok(listed.filter(({ appliesTo, citation }) => appliesTo === kind && citation !== '').length > 20, kind);
    assert.match(lint('--rules', '--authorities', 'cabf-cs').stdout, /CS-05/);
    for (const [args, message] of [[['one.crl', '--authorities', 'nobody'], /--authorities/], [['one.crl', '--at', 'soon'], /--at/], [[], /which file/], [[join('no', 'file')], /no.file/]] as const) {
      const { code, stderr } = lint(...args);
      assert.ok(code !== 0 && message.test(stderr), `${args.join(' ')}: ${stderr}`);
    }
  }); // prettier-ignore
});
