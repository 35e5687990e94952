/**
 * Issuers on disk: `<data>/issuers/<id>/issuer.yaml` and the certificates beside it. Read and checked whole when a process starts: a wrong CA
 * certificate under a preset, a responder certificate that clients would reject or a timing that a document forbids stops the start.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { certificatesFromFile } from '../core/certificate-reader.ts';
import type { CrlLayout } from '../core/crl/shards.ts';
import { type Issuer, loadIssuer } from '../core/issuer.ts';
import { type KeyReference, parseKeyReference } from '../core/key-reference.ts';
import type { Finding } from '../core/lint/finding.ts';
import { checkProfile } from '../core/policy/limits.ts';
import type { Profile } from '../core/policy/profile.ts';
import { newestFirst, type ResponderUse } from '../core/policy/responder-choice.ts';
import { Problem } from '../core/problem.ts';
import { loadResponderCertificate, type ResponderCertificate } from '../core/responder-certificate.ts';
import { checkResponderCertificate } from '../core/signer-checks.ts';
import type { EpochMs } from '../core/time.ts';
import { crlLayoutOf, shardUrls } from './crl-layout.ts';
import { fileProblem } from './errors.ts';
import {
  checkIdentity,
  compareFingerprints,
  loadPreset,
  type Preset,
  profileOf,
  type PublicUrl,
  type UrlLayout,
} from './presets.ts';
import { checkCrlSigner, checkId, checkOcspSigner } from './issuer-rules.ts';
import { issuerSchema } from './issuer-schema.ts';
import { readYamlFile } from './yaml-file.ts';

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
export function readIssuer(directory: string, id: string, nowMs: EpochMs): IssuerReview {
  const problems: Problem[] = [];
  const warnings: Finding[] = [];
  const attempt = <T>(run: () => T): T | undefined => {
    try {
      return run();
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      problems.push(
        new Problem('config', error.message, { field: error.field ?? directory, value: error.value, rule: error.rule }),
      );
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

/** @throws Problem `config` naming the file. */
export function certificatesIn(file: string): readonly Buffer[] {
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

/** Two issuers may share an OCSP mount, since a CertID tells them apart, but neither a tag nor the URL of a file. */
export function clashes(setups: readonly IssuerSetup[], field: string): readonly Problem[] {
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
