/**
 * The demonstration's HSM: a token of SoftHSM2 below the data directory, with the two keys of the demo CA in it. Nobody keeps its
 * PIN: it is split into three shares, one for each demo person, and any two of them activate the keys.
 *
 * Made in a draft that gets its name at the end: a run that was cut short begins anew. SoftHSM2 takes the PIN as an argument, which
 * others on this machine could read; a real token is initialised at its own console.
 */
import { spawnSync } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { copyFileSync, existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { missingSofthsm, softhsmModule } from '../../test/support/softhsm.ts';
import { runProgram } from '../../test/support/service.ts';

export { missingSofthsm };

/** Its name in certstatus.yaml, and its label. */
export const TOKEN = 'demo-hsm';
/** Of three shares, so many activate the token. */
export const THRESHOLD = 2;
export const HOLDERS = ['alice', 'bob', 'carol'] as const;

const CLI = resolve(import.meta.dirname, '../../src/apps/cli.js');
const LABELS = ['ca', 'responder'] as const;

export interface DemoToken {
  /** An entry of `tokens` in certstatus.yaml. */
  readonly config: Readonly<Record<string, unknown>> & { readonly name: string };
  /** With SOFTHSM2_CONF. */
  readonly env: NodeJS.ProcessEnv;
  /** Where its files are: moved away, the HSM is gone. */
  readonly files: string;
  /** File of a person's share. */
  readonly share: (person: (typeof HOLDERS)[number]) => string;
}

/** Makes it of the keys in `keys` (<label>.key), or finds it as it was. The key files are removed at the end. */
export async function demoToken(data: string, keys: string): Promise<DemoToken> {
  const directory = join(data, 'token');
  if (!existsSync(directory)) await make(directory, keys);
  for (const label of LABELS) rmSync(join(keys, `${label}.key`), { force: true });
  return {
    config: {
      name: TOKEN,
      module: softhsmModule,
      label: TOKEN,
      sessions: 2,
      activation: { source: 'shares', threshold: THRESHOLD },
    },
    env: environment(directory),
    files: join(directory, 'tokens'),
    share: (person) => join(directory, 'shares', `${person}.share`),
  };
}

function environment(directory: string): NodeJS.ProcessEnv {
  return { SOFTHSM2_CONF: join(directory, 'softhsm2.conf') };
}

async function make(directory: string, keys: string): Promise<void> {
  const draft = `${directory}.draft`;
  rmSync(draft, { recursive: true, force: true });
  mkdirSync(join(draft, 'tokens'), { recursive: true, mode: 0o700 });
  const configure = (at: string): void =>
    writeFileSync(
      join(draft, 'softhsm2.conf'),
      `directories.tokendir = ${join(at, 'tokens')}\nobjectstore.backend = file\nlog.level = ERROR\n`,
    );
  configure(draft);
  const pin = Array.from({ length: 12 }, () => randomInt(10)).join('');
  const env = { ...process.env, ...environment(draft) };
  const softhsm = (...args: readonly string[]): void => {
    const { status, stderr } = spawnSync('softhsm2-util', args, { env, encoding: 'utf8' });
    if (status !== 0) throw new Error(`softhsm2-util ${args[0]}: ${stderr}`);
  };
  softhsm('--init-token', '--free', '--label', TOKEN, '--so-pin', pin, '--pin', pin);
  for (const [i, label] of LABELS.entries())
    softhsm('--import', join(keys, `${label}.key`), '--label', label, '--id', `0${i + 1}`, '--token', TOKEN, '--pin', pin); // prettier-ignore
  await split(pin, join(draft, 'shares'));
  configure(directory);
  renameSync(draft, directory);
}

/** `certstatus key split`, and each share to its person. */
async function split(pin: string, directory: string): Promise<void> {
  const how = ['--shares', String(HOLDERS.length), '--threshold', String(THRESHOLD), '--out', directory];
  const args = [CLI, '--json', 'key', 'split', '--token', TOKEN, ...how];
  const { code, stdout, stderr } = await runProgram(process.execPath, args, { input: `${pin}\n` }).done;
  if (code !== 0) throw new Error(`key split: ${stderr}`);
  const { files } = JSON.parse(stdout) as { files: readonly string[] };
  for (const [i, person] of HOLDERS.entries()) {
    copyFileSync(files[i] as string, join(directory, `${person}.share`));
    rmSync(files[i] as string);
  }
}
