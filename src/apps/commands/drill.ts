/** `drill`: a mass revocation rehearsed, with nothing published (CT-5.7.1.2-a). */
import { writeFileSync } from 'node:fs';
import { type Command, InvalidArgumentError } from 'commander';
import type { DrillResult } from '../../core/mass/drill.ts';
import type { MassReport } from '../../core/mass/report.ts';
import { print, withApi } from './context.ts';
import { makePlan, selection, type SelectOptions } from './mass.ts';

const POLL_MS = 200;

export function drillCommand(program: Command): void {
  selection(program.command('drill'))
    .description('rehearses a mass revocation with the real keys: rates, CRLs, report; publishes and revokes nothing')
    .option('--certificates <count>', 'of each issuer, how many are signed at most (10000)', count)
    .option('--output <file>', 'writes the report there, as Markdown')
    .action(async (options: SelectOptions & { certificates?: number; output?: string }, command: Command) => {
      await withApi(command, async (api) => {
        const plan = await makePlan(api, options);
        const { certificates } = options;
        await api.call('POST', `/v1/mass/plans/${plan}/drill`, { certificates });
        let drill: DrillResult | undefined;
        for (;;) {
          const answer = await api.call('GET', `/v1/mass/plans/${plan}/drill`);
          const view = answer as { running: boolean; drill?: DrillResult };
          if (!view.running) {
            drill = view.drill;
            break;
          }
          await new Promise((resolve) => setTimeout(resolve, POLL_MS));
        }
        const answer = await api.call('GET', `/v1/mass/plans/${plan}/report`);
        const { report, markdown } = answer as { report: MassReport; markdown: string };
        if (options.output !== undefined) writeFileSync(options.output, markdown);
        print(command, { drill, report }, () =>
          options.output === undefined ? markdown : `written: ${options.output}`,
        );
      });
    });
}

function count(text: string): number {
  if (!/^[1-9]\d{0,7}$/.test(text)) throw new InvalidArgumentError('Not a number from 1 to 99999999.');
  return Number(text);
}
