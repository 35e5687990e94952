/**
 * `key list|activate|deactivate|split|generate`: tokens and the keys in them. All but `split` talk to the running service, because an
 * activation is in its memory; each person with a client certificate of their own.
 *
 * A PIN or share is asked for on the terminal without echo, or read from standard input or a file: never an argument and never a
 * variable, which others on the machine can read (CT-6.2.2).
 */
import { closeSync, mkdirSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { type Command, Option } from 'commander';
import { Problem } from '../../core/problem.ts';
import { fileProblem } from '../errors.ts';
import type { Api } from '../api.ts';
import { loadConfig } from '../config.ts';
import type { TokenJson } from '../intake/token-json.ts';
import { blocklistCommand } from './compromised-key.ts';
import { addKeyLife } from './key-life.ts';
import { writeFileDurably } from '../durable-files.ts';
import { askName, askSecret, readSecret } from '../pin-sources.ts';
import { canSplit, splitPin } from '../shares.ts';
import { loadOptions, print, table } from './context.ts';

interface KeyJson {
  readonly label: string;
  readonly id: string;
  readonly type: string;
  readonly sensitive: boolean;
  readonly extractable: boolean;
  readonly usedBy: readonly string[];
}

interface Own {
  readonly cert?: string;
  readonly key?: string;
}

const KEY_TYPES = ['RSA-2048', 'RSA-3072', 'RSA-4096', 'P-256', 'P-384'] as const;

export function keyCommands(program: Command): void {
  const key = program.command('key').description('tokens (HSMs), the keys in them, and responder certificates');

  blocklistCommand(key);
  own(key.command('list'))
    .description('tokens with their state, their keys, and what each key is for')
    .option('--token <name>', 'this token alone')
    .action(async (options: Own & { token?: string }, command: Command) => {
      await withService(command, options, async (api) => {
        const { tokens } = (await api.call('GET', '/v1/tokens')) as { tokens: readonly TokenJson[] };
        const chosen = tokens.filter(({ name }) => options.token === undefined || name === options.token);
        if (chosen.length === 0 && options.token !== undefined) throw noToken(options.token, tokens);
        const listed: (TokenJson & { keys: readonly KeyJson[] | { problem: string } })[] = [];
        for (const token of chosen) listed.push({ ...token, keys: await keysOf(api, token.name) });
        print(command, { tokens: listed }, () => listed.map(listText).join('\n\n') || 'no token is configured');
      });
    });

  own(noPin(key.command('activate')))
    .description('enters one share of the PIN, or the PIN; asks on the terminal, or reads standard input')
    .requiredOption('--token <name>', 'token')
    .option('--share-file <file>', 'the share, as key split has written it')
    .action(async (options: Own & { token: string; shareFile?: string }, command: Command) => {
      await withService(command, options, async (api) => {
        const { tokens } = (await api.call('GET', '/v1/tokens')) as { tokens: readonly TokenJson[] };
        const token = tokens.find(({ name }) => name === options.token);
        if (token === undefined) throw noToken(options.token, tokens);
        const [what, path] = token.threshold === undefined ? ['pin', 'activations'] : ['share', 'shares'];
        const secret = await secretFrom(
          options.shareFile,
          `${what === 'pin' ? 'PIN' : 'share'} for token ${token.name}: `,
        );
        const body = { [what as string]: secret.toString('utf8') };
        secret.fill(0);
        const answer = (await api.call('POST', `${tokenPath(token.name)}/${path}`, body)) as TokenJson;
        print(command, answer, () => activationText(answer));
      });
    });

  own(key.command('deactivate'))
    .description('asks for the end of an activation; as many persons must ask as have activated the token')
    .requiredOption('--token <name>', 'token')
    .action(async (options: Own & { token: string }, command: Command) => {
      await withService(command, options, async (api) => {
        const answer = (await api.call('POST', `${tokenPath(options.token)}/deactivations`)) as TokenJson;
        print(command, answer, () =>
          answer.deactivation === undefined
            ? `token ${answer.name} is ${answer.state}`
            : `asked for by ${answer.deactivation.persons.join(', ')}; ${(answer.threshold ?? 1) - answer.deactivation.persons.length} more must ask by ${answer.deactivation.until}`,
        );
      });
    });

  noPin(key.command('split'))
    .description('makes shares of a PIN, one for each person; any threshold of them activate the token')
    .requiredOption('--token <name>', 'name of the token under tokens in the configuration')
    .requiredOption('--shares <count>', 'how many', Number)
    .requiredOption('--threshold <count>', 'how many of them activate the token, as in the configuration', Number)
    .option('--out <directory>', 'writes each share into a file of its own there, instead of printing them')
    .action(async (options: SplitOptions, command: Command) => {
      // Before anybody has entered a PIN for nothing.
      if (!canSplit(options.shares, options.threshold))
        command.error('error: --shares is 2 to 255, --threshold 2 to their number');
      const pin = await newPin(options.token);
      const shares = await splitPin(pin, options.token, options.shares, options.threshold).finally(() => pin.fill(0));
      await (options.out === undefined ? handOut(shares, command) : writeShares(shares, options, options.out, command));
    });

  own(noPin(key.command('generate')))
    .description('makes a key pair in an activated token; the private key never leaves it')
    .requiredOption('--token <name>', 'token')
    .addOption(new Option('--type <type>', 'kind of key').choices(KEY_TYPES).makeOptionMandatory())
    .requiredOption('--label <label>', 'CKA_LABEL; must be free')
    .option('--id <hex>', 'CKA_ID; must be free; random when absent')
    .action(async (options: Own & { token: string; type: string; label: string; id?: string }, command: Command) => {
      await withService(command, options, async (api) => {
        const { token, type, label, id } = options;
        const made = (await api.call('POST', `${tokenPath(token)}/keys`, { type, label, id })) as KeyJson;
        print(
          command,
          made,
          () => `made: pkcs11:token=${token};object=${encodeURIComponent(made.label)}, ${made.type}, id ${made.id}`,
        );
      });
    });

  addKeyLife(key);
}

interface SplitOptions {
  readonly token: string;
  readonly shares: number;
  readonly threshold: number;
  readonly out?: string;
}

/** Whoever acts is known by the client certificate: each person has one. */
function own(command: Command): Command {
  return command
    .option('--cert <file>', 'your client certificate, PEM, instead of cli.certificate')
    .option('--key <file>', 'its private key, PEM, instead of cli.key');
}

/** Refused with a reason, because it would work nearly everywhere else. */
function noPin(command: Command): Command {
  const refuse = (): never => {
    throw new Problem(
      'config',
      'arguments can be read by everybody on this machine; change this PIN, and enter the new one when asked',
      {
        field: '--pin',
        rule: 'CT-6.2.2',
      },
    );
  };
  return command.addOption(new Option('--pin <pin>').hideHelp().argParser(refuse));
}

async function withService(command: Command, { cert, key }: Own, run: (api: Api) => Promise<void>): Promise<void> {
  if ((cert === undefined) !== (key === undefined)) command.error('error: --cert and --key go together');
  const api = await (
    await import('../api.ts')
  ).openServiceApi(loadConfig(loadOptions(command)), { certificate: cert, key });
  try {
    await run(api);
  } finally {
    await api.close();
  }
}

/** From the file, from standard input where that is no terminal, or asked for. */
async function secretFrom(file: string | undefined, question: string): Promise<Buffer> {
  if (file === undefined) return process.stdin.isTTY ? askSecret(question) : readSecret(0, 'standard input');
  let descriptor: number;
  try {
    descriptor = openSync(file, 'r');
  } catch (error) {
    throw new Problem('invalid', fileProblem(error), { field: '--share-file', value: file });
  }
  try {
    return readSecret(descriptor, file);
  } finally {
    closeSync(descriptor);
  }
}

/** Twice, where a typing error would go into all shares. */
async function newPin(token: string): Promise<Buffer> {
  if (!process.stdin.isTTY) return readSecret(0, 'standard input');
  const pin = await askSecret(`PIN of token ${token}: `);
  const again = await askSecret('again: ');
  const same = pin.equals(again);
  again.fill(0);
  if (same) return pin;
  pin.fill(0);
  throw new Problem('invalid', 'the two differ; nothing was made', { field: 'PIN' });
}

/** One at a time on a terminal, so that each keeper sees one share alone. */
async function handOut(shares: readonly string[], command: Command): Promise<void> {
  if (!process.stdin.isTTY || !process.stdout.isTTY) return print(command, { shares }, () => shares.join('\n'));
  for (const [i, share] of shares.entries()) {
    process.stdout.write(
      `\u001b[2J\u001b[3J\u001b[Hshare ${i + 1} of ${shares.length}, for one person alone:\n\n${share}\n\n`,
    );
    await askName(i + 1 < shares.length ? 'Enter clears the screen and shows the next ' : 'Enter clears the screen ');
  }
  process.stdout.write('\u001b[2J\u001b[3J\u001b[H');
}

function writeShares(
  shares: readonly string[],
  { token, threshold }: SplitOptions,
  out: string,
  command: Command,
): void {
  mkdirSync(out, { recursive: true, mode: 0o700 });
  const files = shares.map((share, i) => {
    const file = join(out, `${token}-share-${i + 1}-of-${shares.length}.txt`);
    writeFileDurably(file, `${share}\n`, 0o600);
    return file;
  });
  print(
    command,
    { files, threshold },
    () =>
      `${files.join('\n')}\nany ${threshold} of them activate token ${token}; give each to another person, and keep none here`,
  );
}

/** What is wrong with one token keeps the others from nothing. */
async function keysOf(api: Api, token: string): Promise<readonly KeyJson[] | { problem: string }> {
  try {
    return ((await api.call('GET', `${tokenPath(token)}/keys`)) as { keys: readonly KeyJson[] }).keys;
  } catch (error) {
    if (error instanceof Problem) return { problem: error.message };
    throw error;
  }
}

function listText(token: TokenJson & { keys: readonly KeyJson[] | { problem: string } }): string {
  const keys = Array.isArray(token.keys)
    ? (token.keys as readonly KeyJson[]).map(({ label, id, type, extractable, usedBy }) => [
        '  key',
        `${label}, ${type}, id ${id || 'none'}, ${usedBy.join(', ') || 'used by no issuer'}${extractable ? ', EXTRACTABLE' : ''}`,
      ])
    : [['  keys', (token.keys as { problem: string }).problem]];
  return table([
    ['token', token.name],
    ['  is', token.describe],
    ['  state', token.failure === undefined ? token.state : `${token.state}: ${token.failure}`],
    ...(token.activatedAt === undefined
      ? []
      : [['  activated', `${token.activatedAt} by ${(token.activatedBy ?? []).join(', ')}`]]),
    ...(token.shares === undefined
      ? []
      : [['  shares', `${token.shares.persons.join(', ')}; the others by ${token.shares.until}`]]),
    ...(token.state !== 'active' && token.servedUntil !== undefined
      ? [['  served', `what is published lasts until ${token.servedUntil}`]]
      : []),
    ...keys,
  ]);
}

function activationText({ name, state, threshold = 0, shares }: TokenJson): string {
  if (shares === undefined) return `token ${name} is ${state}`;
  return `${shares.persons.length} of ${threshold} shares are entered (${shares.persons.join(', ')}); the others by ${shares.until}`;
}

function tokenPath(name: string): string {
  return `/v1/tokens/${encodeURIComponent(name)}`;
}

function noToken(name: string, tokens: readonly TokenJson[]): Problem {
  const known = tokens.map((token) => token.name).join(', ') || 'none';
  return new Problem('not-found', `no such token; configured: ${known}`, { field: '--token', value: name });
}
