/**
 * The examples of `--help`, run as they stand: in a directory where ./data is a demo CA that is being served, with `certstatus` on
 * the path. What a person would fill in, ids that are different each time, is filled in here.
 */
import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { Lessons } from '../../src/apps/manual/lesson.ts';
import { runProgram, Service, until, type Ran } from './service.ts';

const CLI = resolve(import.meta.dirname, '../../src/apps/cli.js');
const CRL_PATH = '/SureServer/demo/cdp.crl';
/** In the examples. */
const SERIAL = '0a1b2c3d4e5f60718293';
const [PLAN, DIGEST, ANOTHER_PLAN] = ['mass-20261121-828820b2', '1f0c93ab', 'mass-20261121-5c01d7f3'];
const FAR = '2036-01-01T00:00:00Z';

/** One after the other, in their order: a later one may use what an earlier one has made. */
export function runExamples(lessons: Lessons): void {
  describe('the examples of --help', { timeout: 290_000 }, () => {
    let service: Service;
    /** What stands in the examples, and what it is here. */
    const filledIn = new Map<string, string>();

    const shell = (line: string): Promise<Ran> => {
      let text = line;
      for (const [stands, value] of filledIn) text = text.replaceAll(stands, value);
      const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('CERTSTATUS_')));
      return runProgram('bash', ['-ec', `set -o pipefail\n${text}`], {
        cwd: service.directory,
        env: { ...env, PATH: `${join(service.directory, 'bin')}:${process.env['PATH']}` },
      }).done;
    };

    before(async () => {
      service = await Service.demo();
      const bin = join(service.directory, 'bin');
      mkdirSync(bin);
      writeFileSync(join(bin, 'certstatus'), `#!/bin/sh\nexec ${process.execPath} ${CLI} "$@"\n`);
      chmodSync(join(bin, 'certstatus'), 0o755);
      // What the examples take for granted: the index of an openssl CA, the CRL as a file, a certificate.
      writeFileSync(join(service.directory, 'index.txt'), 'V\t360101000000Z\t\t0C1B2C3D4E5F60718293\tunknown\t/CN=a\n');
      await until('there is a CRL', async () => (await service.get(CRL_PATH)).status === 200);
      writeFileSync(join(service.directory, 'current.crl'), (await service.get(CRL_PATH)).body);
      await service.json('issue', '--issuer', 'demo', '--serial', SERIAL, '--not-after', FAR);
      // Two plans, of certificates that no other example needs to be good.
      if (lessons['mass start'] === undefined) return;
      for (const [name, serial] of [[PLAN, '0d1b2c3d4e5f60718293'], [ANOTHER_PLAN, '0e1b2c3d4e5f60718293']] as const) {
        await service.json('issue', '--issuer', 'demo', '--serial', serial, '--not-after', FAR);
        writeFileSync(join(service.directory, 'serials'), `${serial}\n`);
        const { plan } = await service.json('revoke-many', '--issuer', 'demo', '--serials', 'serials');
        filledIn.set(name, plan.id);
        if (name === PLAN) filledIn.set(DIGEST, plan.digest.slice(0, 8));
      }
    }); // prettier-ignore
    after(() => service.remove());

    for (const [command, { examples }] of Object.entries(lessons)) {
      // Why the others are not run here stands with them; test/apps/manual.test.ts asks for it.
      for (const { run } of examples.filter(({ apart }) => apart === undefined)) {
        it(`${command}: ${run.split('\n').at(-1)}`, async () => {
          const { code, stdout, stderr } = await shell(run);
          assert.equal(code, 0, `ended with ${code}: ${stderr}${stdout}`);
          assert.doesNotMatch(stderr, /^certstatus: /m);
        });
      }
    }
  });
}
