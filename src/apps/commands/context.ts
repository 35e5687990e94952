/** What every command gets from the global options: configuration, log, the API, and a way to print. */
import type { Command } from 'commander';
import type { Api } from '../api.ts';
import { loadConfig, type Loaded, type LoadOptions } from '../config.ts';
import type { IssuerSetup } from '../issuer-files.ts';
import { makeLog } from '../log.ts';
import { startProgress, startWaiting, type ProgressLine, type ProgressOutput } from '../progress.ts';
import { Problem } from '../../core/problem.ts';
import { nearest } from './nearest.ts';

interface GlobalOptions {
  readonly config?: string;
  readonly data?: string;
  readonly publicPort?: number;
  readonly originPort?: number;
  readonly intakePort?: number;
  readonly adminPort?: number;
  readonly json?: boolean;
}

export function loadOptions(command: Command): LoadOptions {
  const { config, data, publicPort, originPort, intakePort, adminPort } = command.optsWithGlobals<GlobalOptions>();
  return {
    configFile: config,
    env: process.env,
    overrides: { dataDir: data, publicPort, originPort, intakePort, adminPort },
    nowMs: Date.now(),
  };
}

/** Runs with the API of the service, or of the data directory when no service runs. */
export async function withApi<T>(command: Command, run: (api: Api, loaded: Loaded) => Promise<T>): Promise<T> {
  const loaded = loadConfig(loadOptions(command));
  const api = await (await import('../api.ts')).openApi(loaded, makeLog('error'));
  try {
    return await run(api, loaded);
  } catch (error) {
    throw inWordsOf(command, error, loaded);
  } finally {
    await api.close();
  }
}

/** The issuer as it is configured here. @throws Problem `not-found` that names those there are. */
export function setupOf(loaded: Loaded, id: string): IssuerSetup {
  const setup = loaded.issuers.find((candidate) => candidate.id === id);
  if (setup === undefined) throw noSuchIssuer(id, loaded);
  return setup;
}

/**
 * What the service has said, in the words of who typed the command: the option in place of the member of the request, and the issuers
 * there are.
 */
function inWordsOf(command: Command, error: unknown, loaded: Loaded): unknown {
  if (!(error instanceof Problem)) return error;
  if (error.code === 'not-found' && error.message.startsWith('no such issuer'))
    return noSuchIssuer(error.value ?? '', loaded);
  const { code, message, field, value, rule } = error;
  const name = field
    ?.split('/')
    .at(-1)
    ?.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
  const option = command.options.find(({ long }) => long === `--${name}`)?.long;
  if (option === undefined || option === null) return error;
  return new Problem(code, message, {
    field: option,
    ...(value !== undefined && { value }),
    ...(rule !== undefined && { rule }),
  });
}

function noSuchIssuer(id: string, { issuers }: Loaded): Problem {
  const known = issuers.map((one) => one.id);
  const meant = nearest(id, known);
  const advice =
    known.length === 0
      ? 'none is configured: certstatus issuer add'
      : `configured: ${known.join(', ')}${meant === undefined ? '' : `; did you mean ${meant}?`}`;
  return new Problem('not-found', `no such issuer; ${advice}`, { field: '--issuer', value: id });
}

/** Progress of a command on standard error; with --json nothing but data and errors is written. */
export function progressOf(command: Command, label: string, noun: string): ProgressLine {
  return startProgress(label, noun, progressOutput(command));
}

/** The same for one answer that takes its time. @param waiting for what, e.g. `crl publish: the CRL is being made`. */
export async function whileWaiting<T>(command: Command, waiting: () => string, work: Promise<T>): Promise<T> {
  const end = startWaiting(waiting, progressOutput(command));
  return work.finally(end);
}

function progressOutput(command: Command): ProgressOutput {
  const { json } = command.optsWithGlobals<GlobalOptions>();
  return json === true ? { write: () => undefined } : process.stderr;
}

/** The data as JSON with --json, else the text. */
export function print(command: Command, data: unknown, text: () => string): void {
  const { json } = command.optsWithGlobals<GlobalOptions>();
  process.stdout.write(json ? `${JSON.stringify(data, null, 2)}\n` : `${text().trimEnd()}\n`);
}

/** Columns as wide as their widest cell. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths: number[] = [];
  for (const row of rows) row.forEach((cell, i) => (widths[i] = Math.max(widths[i] ?? 0, cell.length)));
  return rows
    .map((row) =>
      row
        .map((cell, i) => cell.padEnd(widths[i] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}
