/** `drill`: a mass revocation rehearsed, with nothing published (CT-5.7.1.2-a). */
import type { Command } from 'commander';
import type { DrillResult } from '../../core/mass/drill.ts';
import type { MassReport } from '../../core/mass/report.ts';
import type { Api } from '../api.ts';
import { writeFileDurably } from '../durable-files.ts';
import { print, whileWaiting, withApi } from './context.ts';
import { makePlan, selection, type SelectOptions } from './mass-plan.ts';
import { countTo, mayWrite, yesOption } from './options.ts';

const POLL_MS = 200;

export function drillCommand(program: Command): void {
  selection(program.command('drill'))
    .description('rehearses a mass revocation with the real keys: rates, CRLs, report; publishes and revokes nothing')
    .option('--certificates <count>', 'of each issuer, how many are signed at most (10000)', countTo(99_999_999))
    .option('--out <file>', 'writes the report there, as Markdown')
    .addOption(yesOption())
    .action(
      async (options: SelectOptions & { certificates?: number; out?: string; yes?: boolean }, command: Command) => {
        if (options.out !== undefined) await mayWrite(options.out, options.yes);
        await withApi(command, async (api) => {
          const plan = await makePlan(command, api, options);
          const { certificates } = options;
          await api.call('POST', `/v1/mass/plans/${plan}/drill`, { certificates });
          const drill = await whileWaiting(command, () => 'drill: signing, and building CRLs', ended(api, plan));
          const answer = await api.call('GET', `/v1/mass/plans/${plan}/report`);
          const { report, markdown } = answer as { report: MassReport; markdown: string };
          if (options.out !== undefined) writeFileDurably(options.out, markdown);
          print(command, { drill, report }, () => (options.out === undefined ? markdown : `written: ${options.out}`));
        });
      },
    );
}

async function ended(api: Api, plan: string): Promise<DrillResult | undefined> {
  for (;;) {
    const view = (await api.call('GET', `/v1/mass/plans/${plan}/drill`)) as { running: boolean; drill?: DrillResult };
    if (!view.running) return view.drill;
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}
