/** `overview`: what the status page says, for a terminal, and as a check for scripts. */
import type { Command } from 'commander';
import { Problem } from '../../core/problem.ts';
import { askAdmin } from '../admin/ask-admin.ts';
import type { Status } from '../admin/status.ts';
import { loadConfig, type Config } from '../config.ts';
import { errorJson, errorText } from '../errors.ts';
import { overviewText, paintFor } from '../overview-text.ts';
import { loadOptions, print } from './context.ts';

const EVERY_MS = 2000;

export function overviewCommand(program: Command): void {
  program
    .command('overview')
    .description('is everything all right, what is wrong and what to do; exit 1 when something fails')
    .option('--watch', 'looks again every 2 s, until Ctrl-C')
    .action(async (options: { watch?: boolean }, command: Command) => {
      const { config } = loadConfig(loadOptions(command));
      if (options.watch === true) return watch(config, command);
      const status = (await askAdmin(config, '/status.json')) as Status;
      print(command, status, () => overviewText(status, paintFor(process.stdout, process.env)));
      if (status.verdict === 'failing') process.exitCode = 1;
    });
}

/** A service that is gone is looked for again: its operator may just be starting it anew. */
async function watch(config: Config, command: Command): Promise<never> {
  const { json } = command.optsWithGlobals<{ json?: boolean }>();
  const paint = paintFor(process.stdout, process.env);
  for (;;) {
    let shown: string;
    try {
      const status = (await askAdmin(config, '/status.json')) as Status;
      shown = json === true ? `${JSON.stringify(status)}\n` : `${overviewText(status, paint)}\n`;
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      shown = json === true ? errorJson(error) : errorText(error);
    }
    // On a terminal in place, else one below the other.
    const clear = process.stdout.isTTY && json !== true ? '\u001b[H\u001b[2J' : '';
    process.stdout.write(clear === '' && json !== true ? `${shown}\n` : `${clear}${shown}`);
    await new Promise((resolve) => setTimeout(resolve, EVERY_MS));
  }
}
