/** `explain`: one request through every decision, with the rule of each. */
import type { Command } from 'commander';
import type { Explanation } from '../../flows/serve/explain.ts';
import { print, table, withApi } from './context.ts';

export function explainCommand(program: Command): void {
  program
    .command('explain')
    .description('walks one OCSP request through every decision of the responder')
    .argument('<request>', 'URL as a client sends it, or base64 or hex of the request')
    .action(async (asked: string, _options: object, command: Command) => {
      await withApi(command, async (api) => {
        const explanation = (await api.call('GET', `/v1/explain?request=${encodeURIComponent(asked)}`)) as Explanation;
        print(command, explanation, () => {
          const steps = explanation.steps.map(({ step, finding, rule }) => [
            step,
            `${finding}${rule === undefined ? '' : ` (${rule})`}`,
          ]);
          return table([...steps, ['→', explanation.answer]]);
        });
      });
    });
}
