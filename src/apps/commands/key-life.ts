/** `key csr|install|rollover`: the change-over to the next responder certificate. */
import { readFileSync } from 'node:fs';
import type { Command } from 'commander';
import { Problem } from '../../core/problem.ts';
import { fileProblem } from '../errors.ts';
import type { Installed, Retired } from '../../flows/sign/change-responder.ts';
import { writeFileDurably } from '../durable-files.ts';
import { absolute } from '../issuer-files.ts';
import { print, withApi } from './context.ts';
import { collect, mayWrite, yesOption } from './options.ts';

export function addKeyLife(key: Command): void {
  key
    .command('csr')
    .description('a certification request (PKCS#10) for the next responder certificate, signed by its key')
    .requiredOption('--issuer <id>', 'issuer')
    .requiredOption('--key <reference>', 'PEM file or pkcs11:token=…;object=…; again for further places of it', collect)
    .option('--subject <name>', 'like /C=JP/O=Example/CN=Example OCSP; default: as the newest responder certificate')
    .option('--out <file>', 'writes it there instead of printing it')
    .addOption(yesOption())
    .action(async (options: CsrOptions, command: Command) => {
      if (options.out !== undefined) await mayWrite(options.out, options.yes);
      await withApi(command, async (api) => {
        const { csr, keyType } = (await api.call('POST', `${pathOf(options.issuer)}/responder-requests`, {
          key: absolute(options.key),
          ...(options.subject !== undefined && { subject: options.subject }),
        })) as { csr: string; keyType: string };
        if (options.out === undefined) return print(command, { csr, keyType }, () => csr);
        writeFileDurably(options.out, csr);
        print(command, { file: options.out, keyType }, () => `written: ${options.out} (${keyType})`);
      });
    });

  key
    .command('install')
    .description('installs the next responder certificate; a running service needs no restart')
    .requiredOption('--issuer <id>', 'issuer')
    .requiredOption('--cert <file>', 'the responder certificate, PEM or DER')
    .requiredOption('--key <reference>', 'its key, as given to csr', collect)
    .action(async (options: InstallOptions, command: Command) => {
      const certificate = read(options.cert);
      await withApi(command, async (api) => {
        const done = (await api.call('POST', `${pathOf(options.issuer)}/responders`, {
          certificate,
          key: absolute(options.key),
        })) as Installed;
        print(command, done, () =>
          [
            `${done.installed ? 'installed' : 'installed before'}: responder certificate ${done.id}, until ${done.notAfter}`,
            `It signs from ${done.signsFrom}, or at once when no other certificate can.`,
            ...done.warnings.map(({ rule, message }) => `warning: ${message} (${rule})`),
          ].join('\n'),
        );
      });
    });

  key
    .command('rollover')
    .description('ends the use of a responder certificate now: all of its answers are signed again with another')
    .requiredOption('--issuer <id>', 'issuer')
    .requiredOption('--responder <id>', 'the responder certificate, by its id (status page, issuer show)')
    .option('--drop', 'its key is in other hands: serve no answer of it meanwhile, rather tryLater')
    .action(async (options: { issuer: string; responder: string; drop?: boolean }, command: Command) => {
      await withApi(command, async (api) => {
        const path = `${pathOf(options.issuer)}/responders/${encodeURIComponent(options.responder)}/retirement`;
        const done = (await api.call('POST', path, { drop: options.drop === true })) as Retired;
        print(
          command,
          done,
          () =>
            `retired: responder certificate ${done.id}; ${done.toReplace} certificates wait for an answer by another${done.use === 'nothing' ? ', and none of its answers is served' : ''}`,
        );
      });
    });
}

interface CsrOptions {
  readonly issuer: string;
  readonly key: string[];
  readonly subject?: string;
  readonly out?: string;
  readonly yes?: boolean;
}

interface InstallOptions {
  readonly issuer: string;
  readonly cert: string;
  readonly key: string[];
}

const pathOf = (issuer: string): string => `/v1/issuers/${encodeURIComponent(issuer)}`;

/** The text of a PEM file, or base64 of anything else: what it is, the service says. */
function read(file: string): string {
  try {
    const bytes = readFileSync(file);
    return bytes.includes('-----BEGIN') ? bytes.toString('latin1') : bytes.toString('base64');
  } catch (error) {
    throw new Problem('invalid', fileProblem(error), { field: '--cert', value: file });
  }
}
