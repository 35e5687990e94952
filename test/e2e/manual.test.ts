/**
 * Every example of every command's --help, run as it stands: in a directory where ./data is a demo CA that is being served, with
 * `certstatus` on the path. What a person would fill in, ids that are different each time, is filled in here.
 */
import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { LESSONS } from '../../src/apps/manual/teach.ts';
import { runProgram, Service, until, type Ran } from '../support/service.ts';

const CLI = resolve(import.meta.dirname, '../../src/apps/cli.js');
/** In the examples, and what it is here. */
const filledIn = new Map<string, string>();
const CRL_PATH = '/SureServer/demo/cdp.crl';
const STANDS_FOR_A_PLAN = 'mass-20261121-828820b2';
const STANDS_FOR_ANOTHER_PLAN = 'mass-20261121-5c01d7f3';
const STANDS_FOR_A_DIGEST = '1f0c93ab';

describe('the examples of --help', { timeout: 240_000 }, () => {
  let service: Service;

  const shell = (line: string): Promise<Ran> => {
    let text = line;
    for (const [stands, value] of filledIn) text = text.replaceAll(stands, value);
    const { PATH } = process.env;
    const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('CERTSTATUS_')));
    return runProgram('bash', ['-ec', `set -o pipefail\n${text}`], {
      cwd: service.directory,
      env: { ...env, PATH: `${join(service.directory, 'bin')}:${PATH}` },
    }).done;
  };

  before(async () => {
    service = await Service.demo();
    const bin = join(service.directory, 'bin');
    mkdirSync(bin);
    writeFileSync(join(bin, 'certstatus'), `#!/bin/sh\nexec ${process.execPath} ${CLI} "$@"\n`);
    chmodSync(join(bin, 'certstatus'), 0o755);
    // What the examples take for granted: the index of an openssl CA, the CRL as a file, and two plans.
    writeFileSync(join(service.directory, 'index.txt'), 'V\t360101000000Z\t\t0C1B2C3D4E5F60718293\tunknown\t/CN=a\n');
    await until('there is a CRL', async () => (await service.get(CRL_PATH)).status === 200);
    writeFileSync(join(service.directory, 'current.crl'), (await service.get(CRL_PATH)).body);
    // Of certificates that no other example needs to be good.
    for (const [name, serial] of [[STANDS_FOR_A_PLAN, '0d1b2c3d4e5f60718293'], [STANDS_FOR_ANOTHER_PLAN, '0e1b2c3d4e5f60718293']] as const) {
      await service.json('issue', '--issuer', 'demo', '--serial', serial, '--not-after', '2036-01-01T00:00:00Z');
      writeFileSync(join(service.directory, 'serials'), `${serial}\n`);
      const { plan } = await service.json('revoke-many', '--issuer', 'demo', '--serials', 'serials');
      filledIn.set(name, plan.id);
      if (name === STANDS_FOR_A_PLAN) filledIn.set(STANDS_FOR_A_DIGEST, plan.digest.slice(0, 8));
    }
  }); // prettier-ignore
  after(() => service.remove());

  for (const [command, { examples }] of Object.entries(LESSONS)) {
    for (const { run } of examples.filter(({ apart }) => apart === undefined)) {
      it(`${command}: ${run.split('\n').at(-1)}`, async () => {
        const { code, stdout, stderr } = await shell(run);
        assert.equal(code, 0, `ended with ${code}: ${stderr}${stdout}`);
        assert.doesNotMatch(stderr, /^certstatus: /m);
      });
    }
  }
});
