/** `compromised-key verify`: does a file prove that a key is compromised? `key blocklist`: keys that must not be certified again. */
import type { Command } from 'commander';
import { evidenceIn, recordEvidence } from './mass-plan.ts';
import { print, withApi } from './context.ts';

export function compromisedKeyCommands(program: Command): void {
  program
    .command('compromised-key')
    .description('reports of compromised keys (CT-4.9.12)')
    .command('verify')
    .description(
      'checks a private key, or a request with the challenge as its common name; the file is neither sent nor kept',
    )
    .argument('<file>', 'PEM or DER; - reads standard input')
    .option('--challenge <name>', 'the common name that the CA has asked for')
    .option('--suspected', 'only a possibility: the file may hold the public key alone')
    .option('--issuer <id>', 'records the case, and counts the certificates of this issuer with the key')
    .option('--requested-by <who>', 'who reported it, for the audit log')
    .action(
      async (
        file: string,
        options: { challenge?: string; suspected?: true; issuer?: string; requestedBy?: string },
        command: Command,
      ) => {
        const evidence = evidenceIn(file, options.challenge, options.suspected === true);
        const { issuer } = options;
        const counted =
          issuer === undefined ? undefined : await withApi(command, (api) => recordEvidence(api, issuer, evidence, options)); // prettier-ignore
        print(command, { ...evidence, clause: '4.9.1.1-3', ...counted }, () =>
          [
            `${evidence.proven ? 'proven' : 'suspected'}: ${evidence.key}, by ${evidence.kind}`,
            `spkiHash     ${evidence.spkiHash}`,
            'clause       4.9.1.1-3: keyCompromise, published within 24 h',
            ...(counted === undefined
              ? []
              : [
                  `certificates ${counted.certificates} of ${issuer}, ${counted.unexpired} unexpired`,
                  `to revoke    certstatus revoke-many --issuer ${issuer} --spki-hash ${evidence.spkiHash} --clause 4.9.1.1-3`,
                ]),
          ].join('\n'),
        );
      },
    );
}

export function blocklistCommand(key: Command): void {
  key
    .command('blocklist')
    .description(
      'keys of certificates that were revoked for keyCompromise, for whoever issues (CT-6.1.1-g): the first 32 hex digits of the SHA-256 of the SubjectPublicKeyInfo',
    ) // prettier-ignore
    .requiredOption('--issuer <id>', 'issuer')
    .action(async (options: { issuer: string }, command: Command) => {
      const { json } = command.optsWithGlobals<{ json?: boolean }>();
      await withApi(command, async (api) => {
        // Line by line: of a large CA they are millions.
        for await (const line of api.lines(`/v1/issuers/${encodeURIComponent(options.issuer)}/compromised-keys`)) {
          const text = json ? line : (JSON.parse(line) as { spkiHash: string }).spkiHash;
          if (!process.stdout.write(`${text}\n`)) await new Promise((resolve) => process.stdout.once('drain', resolve));
        }
      });
    });
}
