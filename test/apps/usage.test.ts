/** What a command says when it is used wrongly or cannot do its work: one line that names what is wrong and what to do. */
import assert from 'node:assert/strict';
import { spawnSync, type SpawnSyncReturns } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { freePorts } from '../support/service.ts';

const CLI = fileURLToPath(new URL('../../src/apps/cli.js', import.meta.url));

describe('a command that is used wrongly', () => {
  let directory: string;
  let ports: Readonly<Record<string, string>>;

  const run = (args: readonly string[], env: NodeJS.ProcessEnv = {}): SpawnSyncReturns<string> => {
    const own = Object.entries(process.env).filter(([name]) => !name.startsWith('CERTSTATUS_'));
    return spawnSync(process.execPath, [CLI, ...args], {
      cwd: directory,
      encoding: 'utf8',
      env: { ...Object.fromEntries(own), ...ports, ...env },
    });
  };

  before(async () => {
    directory = mkdtempSync(join(tmpdir(), 'certstatus-usage-'));
    // Nobody listens there: a command finds no service.
    const [pub, origin, intake, admin] = (await freePorts(4)).map(String);
    ports = { CERTSTATUS_PUBLIC_PORT: pub, CERTSTATUS_ORIGIN_PORT: origin, CERTSTATUS_INTAKE_PORT: intake, CERTSTATUS_ADMIN_PORT: admin } as Record<string, string>; // prettier-ignore
    assert.equal(run(['init', '--demo']).status, 0);
    writeFileSync(join(directory, 'note.txt'), 'not what it should be\n');
  });
  after(() => rmSync(directory, { recursive: true, force: true }));

  const WRONG: readonly (readonly [what: string, args: readonly string[], status: 1 | 2, says: RegExp])[] = [
    ['a command that is none', ['crll'], 2, /^certstatus: unknown command 'crll' \(Did you mean (one of )?crl\b.*\)\nTry: certstatus --help$/],
    ['a subcommand that is none', ['crl', 'pulish'], 2, /Did you mean publish\?\)\nTry: certstatus crl --help$/],
    ['an option that is none', ['crl', 'list', '--issuer', 'demo', '--limt', '3'], 2, /unknown option '--limt' \(Did you mean --limit\?\)\nTry: certstatus crl list --help$/],
    ['an option that is taken once, twice', ['revoke', '--issuer', 'demo', '--serial', '01', '--serial', '02', '--reason', 'superseded'], 2, /'--serial <hex>' argument '02' is invalid. It was given before; it is taken once\./],
    ['a choice that is taken once, twice', ['issue', '--issuer', 'demo', '--issuer', 'demo'], 2, /'--issuer <id>' argument 'demo' is invalid. It was given before/],
    ['an option without which nothing can be done', ['crl', 'list'], 2, /required option '--issuer <id>' not specified/],
    ['a role that is none', ['serve', '--roles', 'nonsense'], 2, /'nonsense' is invalid\. No such role: nonsense; there are intake, signer/],
    ['a port that is none', ['serve', '--public-port', '65536'], 2, /'65536' is invalid\. Not a port number/],
    ['a number that is none', ['crl', 'list', '--issuer', 'demo', '--limit', '0'], 2, /'0' is invalid\. Not a whole number from 1 to 1000/],
    ['no certificate', ['status', '--issuer', 'demo'], 2, /which certificate\? Give --serial or --cert/],
    ['two certificates', ['status', '--issuer', 'demo', '--serial', '0a', '--cert', 'x.pem'], 2, /cannot be used with option '--cert/],
    ['nothing that selects', ['revoke-many', '--issuer', 'demo'], 2, /which certificates\? Give what selects them \(--serials, /],
    ['a file and what is published', ['crl', 'show', 'note.txt', '--why'], 2, /a file, or --issuer, --shard and --why, not both/],
    ['a configuration that is not there', ['--config', 'none.yaml', 'issuer', 'list'], 1, /^certstatus: .*none\.yaml: .*no such file or directory/],
    ['a data directory without one', ['--data', 'elsewhere', 'issuer', 'list'], 1, /no configuration: looked for .*`certstatus init` writes one$/],
    ['an issuer that is none', ['crl', 'list', '--issuer', 'dmo'], 1, /^certstatus: --issuer = dmo: no such issuer; configured: demo; did you mean demo\?$/],
    ['an issuer that is none, where files are read alone', ['issuer', 'show', 'xxxxxxxx'], 1, /--issuer = xxxxxxxx: no such issuer; configured: demo$/],
    ['a serial that is none', ['status', '--issuer', 'demo', '--serial', 'zz'], 1, /--serial = zz: a serial number is written in hexadecimal/],
    ['a serial that was never issued', ['status', '--issuer', 'demo', '--serial', '0a'], 1, /--serial = 0a: issuer demo has not issued/],
    ['a date that is none', ['issue', '--issuer', 'demo', '--serial', '0a', '--not-after', 'yesterday'], 1, /^certstatus: --not-after = yesterday: not an RFC 3339 instant in UTC, like 20/],
    ['a reason that is none', ['revoke', '--issuer', 'demo', '--serial', '0a', '--reason', 'because'], 1, /^certstatus: --reason = because: is not a reason of RFC 5280/],
    ['a file that is not there', ['lint', 'none.crl'], 1, /none\.crl: there is no such file or directory/],
    ['a directory for a file', ['lint', '.'], 1, /is a directory; give a file/],
    ['a file of another kind', ['lint', 'note.txt'], 1, /note\.txt: neither DER nor PEM/],
    ['no service', ['overview'], 1, /no service answers there: start it \(certstatus serve\), or give its --admin-port$/],
    ['no service for tokens', ['key', 'list'], 1, /no service answers/],
    ['a file for --ca that is given to --issuer', ['probe', '--issuer', 'note.txt', '--crl'], 1, /no such issuer; configured: demo/],
    ['nothing to probe', ['probe', '--crl'], 1, /which CRL\? Give its URL, --cert .* or --issuer/],
    ['a file that would be replaced', ['key', 'csr', '--issuer', 'demo', '--key', 'data/issuers/demo/ca.key', '--out', 'note.txt'], 1, /--out = note\.txt: exists already: name another file, or give --yes to replace it/],
    ['a shell that is none', ['completion', 'tcsh'], 2, /Allowed choices are bash, zsh, fish/],
  ]; // prettier-ignore

  for (const [what, args, status, says] of WRONG) {
    it(`names ${what}`, () => {
      const { status: code, stderr, stdout } = run(args);
      assert.equal(code, status, stderr);
      assert.match(stderr.trimEnd(), says);
      assert.equal(stdout, '');
      assert.ok(stderr.trimEnd().split('\n').length <= 2, 'one line, and where to read more');
    });
  }

  it('is told so in one JSON object with --json', () => {
    for (const [args, status, code] of [
      [['crl', 'list'], 2, 'usage'],
      [['crl', 'list', '--issuer', 'dmo'], 1, 'not-found'],
      [['lint', 'none.crl'], 1, 'invalid'],
      [['overview'], 1, 'unavailable'],
    ] as const) {
      const { status: ended, stderr, stdout } = run(['--json', ...args]);
      assert.equal(ended, status);
      assert.equal(stdout, '');
      assert.equal(stderr.trimEnd().split('\n').length, 1, stderr);
      const problem = JSON.parse(stderr) as { code: string; message: string };
      assert.equal(problem.code, code);
      assert.ok(problem.message.length > 5);
    }
  });

  it('says of a port that another service has what to do', () => {
    // A plain TCP listener in a process of its own, which speaks no TLS.
    const listener = `const s=require('net').createServer((c)=>{c.on('error',()=>{});c.end('hello')});s.listen(0,'127.0.0.1',()=>{
      const {spawnSync}=require('child_process');const {port}=s.address();
      require('child_process').execFile(process.execPath,${JSON.stringify([CLI])}.concat(['--intake-port',String(port),'crl','list','--issuer','demo']),{encoding:'utf8'},(e,o,err)=>{process.stdout.write(err);s.close()})})`;
    const { stdout } = spawnSync(process.execPath, ['-e', listener], {
      cwd: directory,
      encoding: 'utf8',
      env: { ...process.env, ...ports },
    });
    assert.match(
      stdout,
      /^certstatus: listen\.intake = 127\.0\.0\.1:\d+: [^\n]*does not speak TLS[^\n]*\n$|^certstatus: listen\.intake = 127\.0\.0\.1:\d+: what listens there speaks no TLS[^\n]*\n$/,
    );
  });

  it('ends silently when nobody reads on', () => {
    const { stdout, stderr, status } = spawnSync('bash', ['-c', `set -o pipefail; ${process.execPath} ${CLI} lint --rules | head -1`], { cwd: directory, encoding: 'utf8' }); // prettier-ignore
    assert.equal(stderr, '');
    assert.equal(stdout.split('\n').length, 2);
    assert.equal(status, 0);
  });

  it('leaves no half file, and no draft, when it fails', () => {
    // Nobody has an audit log of a service that was never started; other commands here have begun one.
    rmSync(join(directory, 'data', 'audit'), { recursive: true, force: true });
    const { status } = run(['audit', 'export', '--out', 'export.ndjson']);
    assert.equal(status, 1);
    assert.deepEqual(readdirSync(directory).sort(), ['data', 'note.txt']);
    assert.equal(readFileSync(join(directory, 'note.txt'), 'utf8'), 'not what it should be\n');
  });

  it('prints the help of a group, and says that a command is missing', () => {
    for (const group of [[], ['crl'], ['key'], ['mass']]) {
      const { status, stderr } = run(group);
      assert.equal(status, 2);
      assert.match(stderr, /^Usage: certstatus/);
    }
  });

  it('knows groups in the plural too', () => {
    for (const group of ['crls', 'issuers', 'keys', 'archives', 'backups', 'reports']) {
      const { status, stdout } = run([group, '--help']);
      assert.equal(status, 0, group);
      assert.match(stdout, /^Usage: certstatus/);
    }
  });
});
