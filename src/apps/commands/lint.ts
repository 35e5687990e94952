/** `lint FILE`: an OCSP response or a CRL against every rule that can be checked on its bytes, each named with its source. */
import { readFileSync } from 'node:fs';
import type { Command } from 'commander';
import type { Finding } from '../../core/lint/finding.ts';
import { lintCrl, lintResponse } from '../../core/lint/lint.ts';
import { Problem } from '../../core/problem.ts';
import { print, table } from './context.ts';

export function lintCommand(program: Command): void {
  program
    .command('lint')
    .description('checks an OCSP response or a CRL (DER or PEM) against the rules; exit 1 when it breaks one')
    .argument('<file>', 'file, or - for standard input')
    .action((file: string, _options: object, command: Command) => {
      let bytes: Buffer;
      try {
        bytes = readFileSync(file === '-' ? 0 : file);
      } catch (error) {
        throw new Problem('invalid', (error as Error).message, { field: 'file', value: file });
      }
      const der = derOf(bytes, file);
      const kind = kindOf(der, file);
      const findings = kind === 'CRL' ? lintCrl(der, {}) : lintResponse(der, {});
      print(command, { kind, findings }, () => findingsText(`${file}: ${kind}`, findings));
      if (findings.some(({ severity }) => severity === 'error')) process.exitCode = 1;
    });
}

export function findingsText(what: string, findings: readonly Finding[]): string {
  if (findings.length === 0) return `${what}: no finding`;
  return `${what}: ${findings.length} finding${findings.length === 1 ? '' : 's'}\n${table(findings.map(({ severity, rule, citation, message }) => [severity, rule, message, citation === rule ? '' : `(${citation})`]))}`;
}

/** The DER of a file that holds one object, as DER or PEM. */
function derOf(bytes: Buffer, file: string): Buffer {
  if (bytes[0] === 0x30) return bytes;
  const body = /-----BEGIN [A-Z0-9 ]+-----([A-Za-z0-9+/=\s]+)-----END /.exec(bytes.toString('latin1'))?.[1];
  if (body === undefined) throw new Problem('invalid', 'neither DER nor PEM', { field: 'file', value: file });
  return Buffer.from(body, 'base64');
}

/** An OCSPResponse begins with an ENUMERATED; a CertificateList with a SEQUENCE. */
function kindOf(der: Buffer, file: string): 'OCSP response' | 'CRL' {
  const length = der[1] ?? 0;
  const tag = der[length < 0x80 ? 2 : 2 + (length & 0x7f)];
  if (tag === 0x0a) return 'OCSP response';
  if (tag === 0x30) return 'CRL';
  throw new Problem('invalid', 'neither an OCSPResponse nor a CertificateList', { field: 'file', value: file });
}
