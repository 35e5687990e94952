/** `init`: a commented configuration and TLS material for the intake; with --demo a demo CA as well. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Command } from 'commander';
import { Problem } from '../../core/problem.ts';
import { chosenDataDir } from '../config.ts';
import { chosenPorts } from '../listen-config.ts';
import { createDemo, createIntakeMaterial, exampleConfig } from '../demo.ts';
import { writeFileDurably } from '../durable-files.ts';
import { loadOptions, print } from './context.ts';

export function initCommand(program: Command): void {
  program
    .command('init')
    .description('writes a commented configuration and certificates for the intake into the data directory')
    .option('--demo', 'also a demo CA with a responder certificate and three sample certificates')
    .action(async (options: { demo?: boolean }, command: Command) => {
      const load = loadOptions(command);
      const dataDir = chosenDataDir(load);
      const ports = chosenPorts(load.env ?? {}, load.overrides ?? {});
      const file = join(dataDir, 'certstatus.yaml');
      if (options.demo) {
        const { created } = await createDemo(dataDir, ports, load.nowMs);
        print(command, { file, created }, () =>
          created
            ? `created: ${file} and issuer demo\nnext: certstatus serve${dataFlag(command)}`
            : `nothing to do: ${file} and issuer demo are there`,
        );
        return;
      }
      if (existsSync(file))
        throw new Problem('conflict', 'exists already; nothing was changed', { field: 'configuration', value: file });
      await createIntakeMaterial(dataDir, load.nowMs);
      writeFileDurably(file, exampleConfig(ports));
      print(
        command,
        { file },
        () =>
          `created: ${file}\nnext: certstatus issuer add <id>${dataFlag(command)} --ca ca.pem --responder-cert ocsp.pem --responder-key ocsp.key --crl-key ca.key`,
      );
    });
}

function dataFlag(command: Command): string {
  const { data } = command.optsWithGlobals<{ data?: string }>();
  return data === undefined ? '' : ` --data ${data}`;
}
