/**
 * Issuers on disk: `<data>/issuers/<id>/issuer.yaml` and the certificates beside it. Read and checked whole when a process starts: a wrong CA
 * certificate under a preset, a responder certificate that clients would reject or a timing that a document forbids stops the start.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { stringify } from 'yaml';
import { z } from 'zod';
import { certificatesFromFile } from '../core/certificate-reader.ts';
import { pem } from '../core/certificate-writer.ts';
import type { CrlLayout } from '../core/crl/shards.ts';
import { type Issuer, loadIssuer } from '../core/issuer.ts';
import { type KeyReference, parseKeyReference } from '../core/key-reference.ts';
import type { Finding } from '../core/lint/finding.ts';
import { checkProfile } from '../core/policy/limits.ts';
import type { Profile } from '../core/policy/profile.ts';
import { newestFirst, type ResponderUse } from '../core/policy/responder-choice.ts';
import { Problem } from '../core/problem.ts';
import {
  checkResponderCertificate,
  loadResponderCertificate,
  type ResponderCertificate,
} from '../core/responder-certificate.ts';
import type { EpochMs } from '../core/time.ts';
import { fileProblem } from './errors.ts';
import { crlLayout, crlLayoutOf, shardUrls } from './crl-layout.ts';
import { makeDirectory } from './durable-files.ts';
import {
  archiveKeeping,
  checkIdentity,
  compareFingerprints,
  crlTiming,
  loadPreset,
  ocspTiming,
  type Preset,
  profileOf,
  reasonChoices,
  type PublicUrl,
  type UrlLayout,
  urlLayout,
} from './presets.ts';
import { type Locate, readYamlFile } from './yaml-file.ts';

/** Everything about one issuer that does not need its keys. */
export interface IssuerSetup {
  /** Name of its directory: in URLs of the intake, logs and metric labels. */
  readonly id: string;
  readonly issuer: Issuer;
  readonly profile: Profile;
  /** Checked and not expired, newest first. May be empty: then no answer is signed, and there is only a CRL. */
  readonly responders: readonly ResponderSetup[];
  /** Where the CRL key is: the first that answers signs. Undefined: CRLs are signed elsewhere; only their revocations are imported. */
  readonly crlKeys: readonly KeyReference[] | undefined;
  /** Who signs OCSP answers: responder certificates, with keys here, or the CA itself, offline. */
  readonly ocspSignedBy: 'responder' | 'ca';
  /** Which CRLs it has. */
  readonly crls: CrlLayout;
  readonly urls: {
    readonly ocsp: readonly PublicUrl[];
    readonly crl: readonly PublicUrl[];
    readonly caCertificate: readonly PublicUrl[];
  };
}

export interface ResponderSetup {
  readonly certificate: ResponderCertificate;
  /** Where its key is, in one or more places: the first that answers signs. Files are absolute. Only the signer opens them (P7). */
  readonly keys: readonly KeyReference[];
  readonly use: ResponderUse;
}

/** A setup, or what stands in its way; and what is worth saying in either case. */
export interface IssuerReview {
  readonly setup: IssuerSetup | undefined;
  readonly problems: readonly Problem[];
  readonly warnings: readonly Finding[];
}

const keyReferences = z
  .union([z.string().min(1), z.array(z.string().min(1)).min(1).max(8)])
  .describe(
    'a PEM file, or pkcs11:token=<name>;object=<label>; a list: the same key in several places, tried in order',
  );

/** issuer.yaml. Files are relative to it. */
export const issuerSchema = z.strictObject({
  preset: z.string().describe('name of a file in deploy/presets'),
  caCertificates: z
    .array(z.string())
    .min(1)
    .describe('PEM or DER files, all of one name and key; the first is published'),
  responders: z
    .array(
      z.strictObject({
        certificate: z.string(),
        key: keyReferences,
        use: z
          .enum(['signing', 'answers', 'nothing'])
          .default('signing')
          .describe(
            'answers: signs nothing more, its answers are served until they are replaced; nothing: not even that',
          ),
      }),
    )
    .default([])
    .describe('responder certificates and their keys; two during a change-over'),
  ocsp: z
    .strictObject({
      signedBy: z
        .enum(['responder', 'ca'])
        .default('responder')
        .describe(
          'ca: a CA that is never online and has no responder certificates; its answers are exported, signed offline, imported',
        ),
      ...ocspTiming,
    })
    .prefault({})
    .describe('who signs answers, and overrides of the preset'),
  crl: z
    .strictObject({
      key: keyReferences.optional().describe('the CA key; without it no CRL is signed or served'),
      ...crlTiming,
      ...crlLayout,
    })
    .prefault({})
    .describe('the CRL key, and overrides of the preset'),
  reasons: z.strictObject(reasonChoices).prefault({}).describe('overrides of the preset'),
  archive: z.strictObject(archiveKeeping).prefault({}).describe('overrides of the preset'),
  urls: urlLayout.prefault({}).describe('overrides of the preset, list by list'),
  everyCertificateNamesOcsp: z
    .boolean()
    .default(false)
    .describe('true permits a CRL every 7 d instead of every 4 d (B-13)'),
});
export type IssuerFile = z.input<typeof issuerSchema>;

/** Ids: what may stand in a URL path and a metric label without escaping. */
const ISSUER_ID = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;

/** The issuers of a data directory, by id. Names that begin with `.` are drafts of `issuer add`. */
export function readIssuers(dataDir: string, nowMs: EpochMs): readonly IssuerReview[] {
  const directory = join(dataDir, 'issuers');
  let names: readonly string[];
  try {
    names = readdirSync(directory);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw new Problem('config', `cannot be read: ${fileProblem(error)}`, { field: directory });
  }
  const reviews = names
    .filter((name) => !name.startsWith('.'))
    .sort()
    .map((id) => readIssuer(join(directory, id), id, nowMs));
  return [
    ...reviews,
    {
      setup: undefined,
      problems: clashes(
        reviews.flatMap(({ setup }) => setup ?? []),
        directory,
      ),
      warnings: [],
    },
  ];
}

/** One issuer directory, checked at `nowMs`. */
function readIssuer(directory: string, id: string, nowMs: EpochMs): IssuerReview {
  const problems: Problem[] = [];
  const warnings: Finding[] = [];
  const attempt = <T>(run: () => T): T | undefined => {
    try {
      return run();
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      problems.push(new Problem('config', error.message, { field: error.field ?? directory, ...pick(error) }));
      return undefined;
    }
  };
  const judge = (findings: readonly Finding[], field: string): void => {
    for (const { severity, rule, citation, message } of findings) {
      if (severity === 'error') problems.push(new Problem('config', message, { field, rule: `${rule}, ${citation}` }));
      else warnings.push({ severity, rule, citation, message: `${field}: ${message}` });
    }
  };
  const refused = (): IssuerReview => ({ setup: undefined, problems, warnings });

  attempt(() => checkId(id, directory));
  const read = readYamlFile(join(directory, 'issuer.yaml'), issuerSchema);
  if (!read.ok) return { setup: undefined, problems: [...problems, ...read.problems], warnings };
  const { value: file, at } = read;
  const fileAt = (name: string): string => resolve(directory, name);
  const keysAt = (value: string | readonly string[], field: string): readonly KeyReference[] =>
    keyReferencesIn(directory, value, field);

  const preset = attempt(() => loadPreset(file.preset, at('preset')));
  const { key: crlKey, complete, shards, authorities, ...crl } = file.crl;
  const { signedBy, ...ocsp } = file.ocsp;
  const profile =
    preset &&
    attempt(() =>
      profileOf(preset, { ocsp, crl, archive: file.archive, reasons: file.reasons, urls: file.urls }, at('preset')),
    );
  if (profile !== undefined) judge(checkProfile(profile, file), at());
  const issuer = attempt(() =>
    loadIssuer(
      file.caCertificates.flatMap((name) => certificatesIn(fileAt(name))),
      at('caCertificates'),
    ),
  );
  if (preset !== undefined && issuer !== undefined) {
    const others = checkIdentity(preset, issuer, at('caCertificates'));
    problems.push(...others);
    if (others.length === 0) judge(compareFingerprints(preset, issuer), at('caCertificates'));
  }
  if (preset === undefined || profile === undefined || issuer === undefined) return refused();

  const urls = urlsOf(preset, file.urls, id);
  const crls = crlLayoutOf(preset.crl, { complete, shards, authorities }, urls.crl, id, at);
  problems.push(
    ...crls.problems,
    ...checkCrlSigner(profile, issuer, crlKey, at),
    ...checkOcspSigner(profile, issuer, file, at),
  );
  const responders: ResponderSetup[] = [];
  for (const [index, { certificate: name, key, use }] of file.responders.entries()) {
    const certificate = attempt(() => loadOneResponder(fileAt(name)));
    if (certificate === undefined) continue;
    // An expired one must not keep the rest from being served: it is left out, loudly (P4).
    const findings = checkResponderCertificate(certificate, issuer, profile, nowMs);
    const expired = nowMs > certificate.notAfter;
    judge(
      findings.map((finding) =>
        expired && finding.rule === 'R-10'
          ? { ...finding, severity: 'warning', message: `left out: ${finding.message}` }
          : finding,
      ),
      at('responders', index, 'certificate'),
    );
    const keys = attempt(() => keysAt(key, at('responders', index, 'key')));
    if (!expired && keys !== undefined) responders.push({ certificate, keys, use });
  }
  const crlKeys = crlKey === undefined ? undefined : attempt(() => keysAt(crlKey, at('crl', 'key')));
  if (problems.length > 0) return refused();
  responders.sort((a, b) => newestFirst(a.certificate, b.certificate));
  const setup = {
    id,
    issuer,
    profile,
    responders,
    crlKeys,
    ocspSignedBy: signedBy,
    crls: crls.layout,
    urls,
  };
  return { setup, problems, warnings };
}

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
        throw new Problem(first.code, first.message, { field: named(first.field ?? ''), ...pick(first) });
      const warnings = review.warnings.map((warning) => ({ ...warning, message: named(warning.message) }));
      return { setup: setup as IssuerSetup, warnings };
    });
  } catch (error) {
    if (['EEXIST', 'ENOTEMPTY'].includes((error as NodeJS.ErrnoException).code ?? '')) throw taken;
    throw error;
  }
}

/** Files are relative to the issuer's directory. @throws Problem `config` */
export function keyReferencesIn(
  directory: string,
  value: string | readonly string[],
  field: string,
): readonly KeyReference[] {
  return [value].flat().map((text) => {
    const reference = parseKeyReference(text, field);
    return reference.kind === 'file' ? { ...reference, file: resolve(directory, reference.file) } : reference;
  });
}

/** A file is found from elsewhere too; what is in a token has no path. */
export function absolute(key: string | readonly string[]): string | string[] {
  const one = (text: string): string => (text.startsWith('pkcs11:') ? text : resolve(text));
  return typeof key === 'string' ? one(key) : key.map(one);
}

function checkId(id: string, field: string): void {
  if (ISSUER_ID.test(id)) return;
  throw new Problem('config', 'an issuer id is 1 to 63 of a-z, 0-9 and -, not beginning or ending with -', {
    field,
    value: id,
  });
}

/** @throws Problem `config` naming the file. */
function certificatesIn(file: string): readonly Buffer[] {
  let bytes: Buffer;
  try {
    bytes = readFileSync(file);
  } catch (error) {
    throw new Problem('config', `cannot be read: ${fileProblem(error)}`, { field: file });
  }
  return certificatesFromFile(bytes, file);
}

function loadOneResponder(file: string): ResponderCertificate {
  const certificates = certificatesIn(file);
  if (certificates.length !== 1) {
    throw new Problem(
      'config',
      `holds ${certificates.length} certificates: a responder file has exactly its own (T-16)`,
      { field: file },
    );
  }
  return loadResponderCertificate(certificates[0] as Buffer, file);
}

function checkCrlSigner(
  profile: Profile,
  issuer: Issuer,
  crlKey: string | readonly string[] | undefined,
  at: Locate,
): readonly Problem[] {
  if (crlKey === undefined) return [];
  const problems: Problem[] = [];
  if (profile.authorities.includes('secom')) {
    problems.push(
      new Problem('config', 'a root key is never online: import its CRLs instead', {
        field: at('crl', 'key'),
        rule: 'SR-6.1.7, SR-6.7',
      }),
    );
  }
  if (!issuer.keyUsage.crlSign) {
    problems.push(
      new Problem('config', 'the CA certificate does not permit cRLSign', {
        field: at('crl', 'key'),
        rule: 'CT-6.1.7-a',
      }),
    );
  }
  return problems;
}

/** Whether the CA may sign its own answers, where issuer.yaml says so. */
function checkOcspSigner(
  profile: Profile,
  issuer: Issuer,
  { ocsp, responders }: z.output<typeof issuerSchema>,
  at: Locate,
): readonly Problem[] {
  if (ocsp.signedBy !== 'ca') return [];
  const field = at('ocsp', 'signedBy');
  const problems: Problem[] = [];
  if (!issuer.keyUsage.digitalSignature)
    problems.push(
      new Problem('config', 'the CA certificate has no digitalSignature: it must not sign answers', {
        field,
        rule: 'T-20, B-23',
      }),
    );
  if (profile.authorities.includes('secom') || profile.authorities.includes('cybertrust'))
    problems.push(
      new Problem('config', 'answers are signed with responder certificates, never by the CA', {
        field,
        rule: 'SR-6.1.7-d, CT-4.9.9-c',
      }),
    );
  if (responders.length > 0)
    problems.push(
      new Problem('config', 'either the CA signs answers, or its responders do', {
        field: at('responders'),
        rule: 'T-20',
      }),
    );
  return problems;
}

/** Two issuers may share an OCSP mount, since a CertID tells them apart, but neither a tag nor the URL of a file. */
function clashes(setups: readonly IssuerSetup[], field: string): readonly Problem[] {
  const problems: Problem[] = [];
  const owners = new Map<string, string>();
  const claim = (what: string, value: string, id: string, rule: string): void => {
    const owner = owners.get(`${what} ${value}`);
    if (owner === undefined) owners.set(`${what} ${value}`, id);
    else problems.push(new Problem('config', `${what} of both ${owner} and ${id}`, { field, value, rule }));
  };
  for (const { id, issuer, urls, crls } of setups) {
    claim('name and key', issuer.tag, id, 'T-11');
    for (const { host, path } of [...urls.crl, ...urls.caCertificate, ...shardUrls(crls)])
      claim('URL', `${host ?? ''}${path}`, id, 'CT-2.2-2');
  }
  return problems;
}

function urlsOf(preset: Preset, overrides: UrlLayout, id: string): IssuerSetup['urls'] {
  const named = (urls: readonly PublicUrl[]): readonly PublicUrl[] =>
    urls.map((url) => ({ ...url, path: url.path.replaceAll('{id}', id) }));
  return {
    // profileOf has refused what neither of them gives.
    ocsp: named(overrides.ocsp ?? preset.urls.ocsp ?? []),
    crl: named(overrides.crl ?? preset.urls.crl ?? []),
    caCertificate: named(overrides.caCertificate ?? preset.urls.caCertificate ?? []),
  };
}

function readdirIfAny(directory: string): readonly string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}

function pick({ value, rule }: Problem): { value?: string; rule?: string } {
  return { ...(value !== undefined && { value }), ...(rule !== undefined && { rule }) };
}
