/** What every command gets from the global options: configuration, log, the API, and a way to print. */
import type { Command } from 'commander';
import { openApi, type Api } from '../api.ts';
import { loadConfig, type Loaded, type LoadOptions } from '../config.ts';
import { makeLog } from '../log.ts';

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
  const api = await openApi(loaded, makeLog('error'));
  try {
    return await run(api, loaded);
  } finally {
    await api.close();
  }
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
