/** `sign-in`: a link to the status page for whoever may read the data directory. */
import type { Command } from 'commander';
import { signInLink } from '../admin/local-secret.ts';
import { loadConfig, type Config } from '../config.ts';
import { loadOptions, print } from './context.ts';

export function signInCommand(program: Command): void {
  program
    .command('sign-in')
    .description('prints a link that signs you in to the status page: good for 5 minutes, and for one time')
    .action((_options: object, command: Command) => {
      const { config } = loadConfig(loadOptions(command));
      const link = signInLink(config.dataDir, adminBase(config));
      print(command, link, () => link.url);
    });
}

/** Where the admin port is for whoever is on its machine: an address to listen on is not always one to connect to. */
function adminBase({ listen, admin }: Pick<Config, 'listen' | 'admin'>): string {
  const { host, port } = listen.admin;
  const name = host === '0.0.0.0' || host === '::' ? '127.0.0.1' : host.includes(':') ? `[${host}]` : host;
  return `${admin.tls === undefined ? 'http' : 'https'}://${name}:${port}`;
}
