/** Options that several commands have, and the forms of their values: one spelling, one meaning. */
import { existsSync, readFileSync } from 'node:fs';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { certificatesFromFile, readCertificate } from '../../core/certificate-reader.ts';
import { Problem } from '../../core/problem.ts';
import { fileProblem } from '../errors.ts';
import { askName } from '../pin-sources.ts';

/** For options that may be given again. */
export function collect(value: string, values: readonly string[] = []): string[] {
  return [...values, value];
}

/** A whole number from 1 to `most`. */
export function countTo(most: number): (text: string) => number {
  return (text) => {
    if (/^[1-9]\d{0,8}$/.test(text) && Number(text) <= most) return Number(text);
    throw new InvalidArgumentError(`Not a whole number from 1 to ${most}.`);
  };
}

/** `--yes` of whatever would ask. */
export function yesOption(): Option {
  return new Option('--yes', 'answers yes to what is asked, e.g. whether a file may be replaced');
}

/** Asks whether a file that is there may be replaced; call it before the work. @throws Problem `conflict` when it may not. */
export async function mayWrite(file: string, yes: boolean | undefined): Promise<void> {
  if (yes === true || !existsSync(file)) return;
  const refused = new Problem('conflict', 'exists already: name another file, or give --yes to replace it', {
    field: '--out',
    value: file,
  });
  if (!process.stdin.isTTY || !process.stderr.isTTY) throw refused;
  const answer = await askName(`${file} exists. Replace it? [y/N] `);
  if (!/^y(es)?$/i.test(answer.trim())) throw refused;
}

/** `complete` is the CRL of the whole issuer; the API knows it by an empty name. */
export function shardName(text: string): string {
  return text === 'complete' ? '' : text;
}

/** Goes with `--cert <file>`. */
export function serialOption(): Option {
  return new Option('--serial <hex>', 'serial number').conflicts('cert');
}

/** Of the certificate that is meant. */
export function serialOf(
  { serial, cert }: { readonly serial?: string; readonly cert?: string },
  command: Command,
): string {
  if (serial !== undefined) return serial;
  if (cert === undefined) return command.error('error: which certificate? Give --serial or --cert');
  return readCertificate(readCertificates(cert)[0] as Buffer, '--cert').serial;
}

/** DER of each that the file holds. */
export function readCertificates(file: string): readonly Buffer[] {
  let bytes: Buffer;
  try {
    bytes = readFileSync(file);
  } catch (error) {
    throw new Problem('invalid', fileProblem(error), { field: '--cert', value: file });
  }
  return certificatesFromFile(bytes, file);
}
