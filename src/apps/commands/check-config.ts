/** `check-config`: everything that is wrong or unwise in the configuration, the issuers and their keys, with the rule of each. */
import type { Command } from 'commander';
import { checkConfig, findingOf } from '../config.ts';
import { checkCrlPeriod } from '../crl-facts.ts';
import type { IssuerSetup } from '../issuer-files.ts';
import { checkKeys } from '../issuer-keys.ts';
import { archiveOf } from '../data-directory.ts';
import { checkRenewables } from '../renewal.ts';
import { checkCrlUrls } from '../settle-crls.ts';
import { loadOptions, print } from './context.ts';
import { findingsText } from './lint.ts';

export function checkConfigCommand(program: Command): void {
  program
    .command('check-config')
    .description(
      "checks configuration, certificates, keys and timing against the CA's documents; exit 1 when something is refused",
    )
    .action(async (_options: object, command: Command) => {
      const options = loadOptions(command);
      const archives: { readonly setup: IssuerSetup; readonly dataDir: string }[] = [];
      const findings = [
        ...checkConfig(
          options,
          (setup, { dataDir }) => {
            archives.push({ setup, dataDir });
            return [...checkKeys(setup), ...checkCrlPeriod(setup, dataDir, options.nowMs)];
          },
          (config) => checkRenewables(config, options.nowMs),
        ),
      ];
      // Of the CRLs that this machine has published: they say which URLs certificates rely on.
      for (const { setup, dataDir } of archives) {
        const moved = await checkCrlUrls(setup, archiveOf(dataDir));
        if (moved !== undefined) findings.push(findingOf(moved));
      }
      print(command, findings, () => findingsText('configuration', findings));
      if (findings.some(({ severity }) => severity === 'error')) process.exitCode = 1;
    });
}
