/** `issuer add`: a directory of its own for a new issuer, which is there whole or not at all. */
import { readdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { stringify } from 'yaml';
import { pem } from '../core/certificate-writer.ts';
import type { Finding } from '../core/lint/finding.ts';
import { Problem } from '../core/problem.ts';
import type { EpochMs } from '../core/time.ts';
import { makeDirectory } from './durable-files.ts';
import { absolute, certificatesIn, clashes, readIssuer, readIssuers, type IssuerSetup } from './issuer-files.ts';
import { checkId } from './issuer-rules.ts';
import type { IssuerFile } from './issuer-schema.ts';

/** What `issuer add` was told. Files are absolute, or relative to the working directory. */
export interface NewIssuer {
  readonly id: string;
  readonly preset: string;
  readonly caCertificates: readonly string[];
  readonly responders?: readonly { readonly certificate: string; readonly key: string | readonly string[] }[];
  readonly crlKey?: string | readonly string[];
  /** Timing in words and URLs, exactly as issuer.yaml has them. */
  readonly ocsp?: IssuerFile['ocsp'];
  readonly crl?: Omit<NonNullable<IssuerFile['crl']>, 'key'>;
  readonly reasons?: IssuerFile['reasons'];
  readonly urls?: IssuerFile['urls'];
  readonly everyCertificateNamesOcsp?: boolean;
}

/**
 * Registers an issuer: copies its certificates, refers to its keys by absolute path, checks everything, and only then gives the directory its name.
 * @param check what else stands in its way, asked last: the keys, which nothing here opens.
 * @throws Problem `conflict` when the id is taken, `config` for the first thing that is wrong; then nothing has changed.
 */
export function writeIssuer(
  dataDir: string,
  issuer: NewIssuer,
  nowMs: EpochMs,
  check: (setup: IssuerSetup) => readonly Problem[] = () => [],
): { readonly setup: IssuerSetup; readonly warnings: readonly Finding[] } {
  const target = join(dataDir, 'issuers', issuer.id);
  checkId(issuer.id, 'id');
  const others = readIssuers(dataDir, nowMs).flatMap(({ setup }) => setup ?? []);
  const taken = new Problem('conflict', 'an issuer with this id exists', { field: 'id', value: issuer.id });
  if (readdirIfAny(join(dataDir, 'issuers')).includes(issuer.id)) throw taken;
  try {
    return makeDirectory(target, (draft) => {
      const caNames = issuer.caCertificates.flatMap((file, index) =>
        certificatesIn(resolve(file)).map((der, block) => {
          const name = `ca-${index + 1}${block === 0 ? '' : `-${block + 1}`}.pem`;
          draft.write(name, pem('CERTIFICATE', der));
          return name;
        }),
      );
      const responders = (issuer.responders ?? []).map(({ certificate, key }, index) => {
        const name = `responder-${index + 1}.pem`;
        draft.write(name, pem('CERTIFICATE', certificatesIn(resolve(certificate))[0] as Buffer));
        return { certificate: name, key: absolute(key) };
      });
      const file: IssuerFile = {
        preset: issuer.preset,
        caCertificates: caNames,
        responders,
        ...(issuer.ocsp && { ocsp: issuer.ocsp }),
        crl: { ...(issuer.crlKey !== undefined && { key: absolute(issuer.crlKey) }), ...issuer.crl },
        ...(issuer.reasons && { reasons: issuer.reasons }),
        ...(issuer.urls && { urls: issuer.urls }),
        ...(issuer.everyCertificateNamesOcsp && { everyCertificateNamesOcsp: true }),
      };
      draft.write('issuer.yaml', stringify(file));
      const review = readIssuer(draft.path, issuer.id, nowMs);
      const { setup } = review;
      const problems = [
        ...review.problems,
        ...(setup ? [...clashes([...others, setup], 'issuers'), ...check(setup)] : []),
      ];
      // The draft is gone when somebody reads a message, so it speaks of the files by name alone.
      const named = (text: string): string => text.replace(`${draft.path}/`, '');
      const [first] = problems;
      if (first !== undefined)
        throw new Problem(first.code, first.message, {
          field: named(first.field ?? ''),
          value: first.value,
          rule: first.rule,
        });
      const warnings = review.warnings.map((warning) => ({ ...warning, message: named(warning.message) }));
      return { setup: setup as IssuerSetup, warnings };
    });
  } catch (error) {
    if (['EEXIST', 'ENOTEMPTY'].includes((error as NodeJS.ErrnoException).code ?? '')) throw taken;
    throw error;
  }
}

function readdirIfAny(directory: string): readonly string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}
