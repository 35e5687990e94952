/**
 * Responder certificates in an issuer's directory, changed while the service runs. issuer.yaml belongs to the operator: comments
 * and everything else in it stay, it is read anew for each change, and it is replaced in one rename or not at all.
 */
import { readFileSync, realpathSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { type Document, isSeq, parseDocument } from 'yaml';
import { certificatesFromFile } from '../core/certificate-reader.ts';
import { pem } from '../core/certificate-writer.ts';
import type { ResponderUse } from '../core/policy/responder-choice.ts';
import { Problem } from '../core/problem.ts';
import { loadResponderCertificate, type ResponderCertificate } from '../core/responder-certificate.ts';
import type { ResponderFiles } from '../flows/sign/change-responder.ts';
import { writeFileDurably } from './durable-files.ts';
import { issuerSchema } from './issuer-schema.ts';

export function responderFiles(dataDir: string): ResponderFiles {
  const directoryOf = (issuer: string): string => join(dataDir, 'issuers', issuer);
  return {
    keep(issuer, certificate) {
      attempt(issuer, () =>
        writeFileDurably(join(directoryOf(issuer), fileName(certificate)), pem('CERTIFICATE', certificate.der)),
      );
    },
    name(issuer, certificate, keys) {
      const directory = directoryOf(issuer);
      const { document, entries } = readIssuerYaml(directory);
      const named = entries.find((entry) => idOf(directory, entry.certificate) === certificate.id);
      if (named !== undefined) {
        if ([named.key].flat().join('\n') === keys.join('\n')) return false;
        throw new Problem('conflict', 'is installed with another key: change it in issuer.yaml', {
          field: '/key',
          value: [named.key].flat().join(' '),
        });
      }
      const entry = { certificate: fileName(certificate), key: keys.length === 1 ? keys[0] : keys };
      if (isSeq(document.get('responders'))) document.addIn(['responders'], document.createNode(entry));
      else document.set('responders', document.createNode([entry]));
      writeIssuerYaml(issuer, directory, document);
      return true;
    },
    retire(issuer, responder, use) {
      const directory = directoryOf(issuer);
      const { document, entries } = readIssuerYaml(directory);
      const ids = entries.map((entry) => idOf(directory, entry.certificate));
      const index = ids.indexOf(responder);
      // It would sign again after a restart if it were the one whose file cannot be read now.
      const unread = entries.find((_, i) => ids[i] === undefined);
      if (index === -1 && unread !== undefined)
        throw new Problem('unavailable', 'cannot be read, and may be the certificate that is to be retired', {
          field: join(directory, unread.certificate),
        });
      if (index === -1) return;
      document.setIn(['responders', index, 'use'], use satisfies ResponderUse);
      writeIssuerYaml(issuer, directory, document);
    },
  };
}

const fileName = ({ id }: ResponderCertificate): string => `responder-${id}.pem`;

type Entry = NonNullable<ReturnType<typeof issuerSchema.parse>['responders']>[number];

/** @throws Problem `unavailable`: somebody is editing it, or has broken it since the start. */
function readIssuerYaml(directory: string): { readonly document: Document; readonly entries: readonly Entry[] } {
  const file = join(directory, 'issuer.yaml');
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    throw new Problem('unavailable', `cannot be read: ${(error as Error).message}`, { field: file });
  }
  const document = parseDocument(text, { version: '1.2' });
  return { document, entries: checked(document, file) };
}

function checked(document: Document, file: string): readonly Entry[] {
  const broken = document.errors[0]?.message;
  const parsed = broken === undefined ? issuerSchema.safeParse(document.toJS({ maxAliasCount: 10 })) : undefined;
  if (parsed?.success) return parsed.data.responders;
  throw new Problem('unavailable', `is not in order, so it is left alone; see certstatus check-config`, {
    field: file,
    value: broken ?? parsed?.error.issues[0]?.message ?? '',
  });
}

function writeIssuerYaml(issuer: string, directory: string, document: Document): void {
  const file = join(directory, 'issuer.yaml');
  checked(document, file);
  attempt(issuer, () => {
    // Behind a symbolic link lies the file that the operator edits; who may read it stays as it is.
    const real = realpathSync(file);
    writeFileDurably(real, document.toString({ lineWidth: 0 }), statSync(real).mode & 0o777);
  });
}

/** Undefined for a file that is gone or unreadable: then it is not the certificate that is looked for. */
function idOf(directory: string, name: string): string | undefined {
  try {
    const [der] = certificatesFromFile(readFileSync(resolve(directory, name)));
    return der && loadResponderCertificate(der).id;
  } catch {
    return undefined;
  }
}

function attempt(issuer: string, write: () => void): void {
  try {
    write();
  } catch (error) {
    throw new Problem('unavailable', `cannot be written: ${(error as Error).message}`, {
      field: `issuers/${issuer}`,
    });
  }
}
