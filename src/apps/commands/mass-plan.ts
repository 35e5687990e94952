/** Which certificates a mass revocation is of: the options of `revoke-many` and `drill`, and the plan that is made of them. */
import { createReadStream, readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import type { Command } from 'commander';
import { keyEvidence, keyIn, type KeyEvidence } from '../../core/compromised-key.ts';
import { Problem } from '../../core/problem.ts';
import { parseDuration } from '../../core/time.ts';
import type { Api } from '../api.ts';
import { fileProblem } from '../errors.ts';
import { progressOf } from './context.ts';
import { collect } from './options.ts';

export interface SelectOptions {
  readonly issuer: readonly string[];
  readonly all?: true;
  readonly serials?: string;
  readonly key?: readonly string[];
  readonly spkiHash?: readonly string[];
  readonly compromisedKey?: string;
  readonly challenge?: string;
  readonly suspected?: true;
  readonly notBeforeFrom?: string;
  readonly notBeforeTo?: string;
  readonly recordedFrom?: string;
  readonly recordedTo?: string;
  readonly reason?: string;
  readonly clause?: string;
  readonly awareAt?: string;
  readonly revokedAt?: string;
  readonly requestedBy?: string;
  readonly measure?: string;
}

const POLL_MS = 200;
const SELECTING = ['all', 'serials', 'key', 'spkiHash', 'compromisedKey', 'notBeforeFrom', 'notBeforeTo', 'recordedFrom', 'recordedTo'] as const; // prettier-ignore
/** Serials per request. */
const LIST_PAGE = 10_000;
/** What the file of a key may be: RSA-16384 in PEM is 13 kB. */
const MAX_KEY_OCTETS = 64 << 10;

/** The options that say which certificates, and what is said of them. */
export function selection(command: Command): Command {
  return command
    .requiredOption('--issuer <id>', "issuer; again for more, '*' for all that there are", collect)
    .option('--all', 'every unexpired certificate')
    .option('--serials <file>', 'those listed, one hexadecimal serial number to a line; - reads standard input')
    .option(
      '--key <file>',
      'those with this public key: certificate, public key, request or private key; again for more',
      collect,
    )
    .option(
      '--spki-hash <hex>',
      'the same by the first 32 hex digits of the SHA-256 of the SubjectPublicKeyInfo',
      collect,
    )
    .option(
      '--compromised-key <file>',
      'those with this key, which it proves to be compromised: private key, or request with --challenge; clause 4.9.1.1-3',
    ) // prettier-ignore
    .option('--challenge <name>', 'the common name that the request had to have')
    .option('--suspected', 'the compromise is possible, not proven: the same clock runs')
    .option('--not-before-from <instant>', 'those that begin then or later, RFC 3339 UTC')
    .option('--not-before-to <instant>', 'those that begin then or earlier')
    .option('--recorded-from <instant>', 'those recorded then or later')
    .option('--recorded-to <instant>', 'those recorded then or earlier')
    .option('--reason <name>', 'as for revoke; default none')
    .option('--clause <id>', 'clause of the CP/CPS, e.g. 4.9.1.1-12; fixes reason and deadline')
    .option('--aware-at <instant>', 'when the CA became aware; default now')
    .option('--revoked-at <instant>', 'default: when it is started')
    .option('--requested-by <who>', 'for the audit log');
}

/** Hands in what is needed, and waits until the plan is made. @returns its id. */
export async function makePlan(command: Command, api: Api, options: SelectOptions): Promise<string> {
  if (!SELECTING.some((name) => options[name] !== undefined))
    command.error(
      'error: which certificates? Give what selects them (--serials, --key, --spki-hash, --compromised-key, --not-before-from, --not-before-to, --recorded-from, --recorded-to), or --all',
    );
  const [first] = options.issuer as [string];
  const hashes = [...(options.spkiHash ?? []), ...(options.key ?? []).map((file) => keyIn(keyFile(file, '--key'), '--key').spkiHash)]; // prettier-ignore
  let { clause } = options;
  if (options.compromisedKey !== undefined) {
    const evidence = evidenceIn(options.compromisedKey, options.challenge, options.suspected === true);
    hashes.push(evidence.spkiHash);
    clause ??= '4.9.1.1-3';
    for (const issuer of options.issuer.includes('*') ? await issuersOf(api) : options.issuer)
      await recordEvidence(api, issuer, evidence, options);
  }
  const list = options.serials === undefined ? undefined : await handIn(api, first, options.serials);
  const windowOf = (from?: string, to?: string): object | undefined =>
    from === undefined && to === undefined ? undefined : { from, to };
  const { all, reason, awareAt, revokedAt, requestedBy, suspected, measure } = options;
  const { plan } = (await api.call('POST', '/v1/mass/plans', {
    issuers: options.issuer,
    all,
    list,
    keys: hashes.length === 0 ? undefined : hashes,
    notBefore: windowOf(options.notBeforeFrom, options.notBeforeTo),
    recorded: windowOf(options.recordedFrom, options.recordedTo),
    reason,
    clause,
    awareAt,
    revokedAt,
    requestedBy,
    suspected,
    measureMs: measure === undefined ? undefined : parseDuration(measure, '--measure'),
  })) as { plan: string };
  const progress = progressOf(command, 'plan', 'certificates');
  try {
    for (;;) {
      const answer = (await api.call('GET', `/v1/mass/plans/${plan}`)) as { planning?: { scanned: number } };
      if (answer.planning === undefined) return plan;
      progress.update({ items: answer.planning.scanned, done: answer.planning.scanned, total: undefined });
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  } finally {
    progress.end();
  }
}

/** @param suspected a possibility opens the same case; then any file with the public key will do (CT-4.9.12-b). */
export function evidenceIn(file: string, challenge: string | undefined, suspected: boolean): KeyEvidence {
  const bytes = keyFile(file, 'file');
  return suspected ? keyIn(bytes, 'file') : keyEvidence(bytes, challenge, 'file');
}

export async function recordEvidence(
  api: Api,
  issuer: string,
  { kind, proven, spkiHash, key }: KeyEvidence,
  { challenge, requestedBy }: { readonly challenge?: string; readonly requestedBy?: string },
): Promise<{ readonly certificates: number; readonly unexpired: number }> {
  return (await api.call('POST', `/v1/issuers/${encodeURIComponent(issuer)}/compromised-keys`, {
    spkiHash,
    key,
    evidence: proven ? kind : 'suspected',
    challenge,
    requestedBy,
  })) as { certificates: number; unexpired: number };
}

/** Its contents never leave this process. */
function keyFile(path: string, field: string): Buffer {
  let bytes: Buffer;
  try {
    bytes = readFileSync(path === '-' ? 0 : path);
  } catch (error) {
    throw new Problem('invalid', fileProblem(error), { field, value: path });
  }
  if (bytes.length > MAX_KEY_OCTETS) throw new Problem('too-large', 'too large for a key', { field, value: path });
  return bytes;
}

async function issuersOf(api: Api): Promise<readonly string[]> {
  const { issuers } = (await api.call('GET', '/v1/issuers')) as { issuers: { id: string }[] };
  return issuers.map(({ id }) => id);
}

async function handIn(api: Api, issuer: string, path: string): Promise<string> {
  const input = path === '-' ? process.stdin : createReadStream(path);
  const opened = new Promise<never>((_, reject) =>
    input.once('error', (error: Error) =>
      reject(new Problem('invalid', fileProblem(error), { field: '--serials', value: path })),
    ),
  );
  const send = async (): Promise<string> => {
    let list: string | undefined;
    let serials: string[] = [];
    const flush = async (): Promise<void> => {
      const answer = await api.call('POST', '/v1/mass/lists', { issuer, list, serials });
      ({ list } = answer as { list: string });
      serials = [];
    };
    for await (const line of createInterface({ input, crlfDelay: Infinity })) {
      const serial = line.trim();
      if (serial === '' || serial.startsWith('#')) continue;
      if (serials.push(serial) >= LIST_PAGE) await flush();
    }
    if (serials.length > 0) await flush();
    if (list === undefined) throw new Problem('invalid', 'no serial in it', { field: '--serials', value: path });
    return list;
  };
  return Promise.race([send(), opened]);
}
