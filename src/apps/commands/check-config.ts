/** `check-config`: everything that is wrong or unwise in the configuration, the issuers and their keys, with the rule of each. */
import type { Command } from 'commander';
import { checkConfig } from '../config.ts';
import { checkCrlPeriod } from '../crl-facts.ts';
import { checkKeys } from '../issuer-keys.ts';
import { loadOptions, print } from './context.ts';
import { findingsText } from './lint.ts';

export function checkConfigCommand(program: Command): void {
  program
    .command('check-config')
    .description(
      "checks configuration, certificates, keys and timing against the CA's documents; exit 1 when something is refused",
    )
    .action((_options: object, command: Command) => {
      const options = loadOptions(command);
      const findings = checkConfig(options, (setup, { dataDir }) => [
        ...checkKeys(setup),
        ...checkCrlPeriod(setup, dataDir, options.nowMs),
      ]);
      print(command, findings, () => findingsText('configuration', findings));
      if (findings.some(({ severity }) => severity === 'error')) process.exitCode = 1;
    });
}
