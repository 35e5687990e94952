/** `lint FILE…`: CRLs, OCSP responses and responder certificates against every rule that their bytes can show, each with its source. */
import { readFileSync } from 'node:fs';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { Option, type Command } from 'commander';
import { certificatesFromFile } from '../../core/certificate-reader.ts';
import { crlFromFile, readCrl, type CrlView } from '../../core/crl/crl-reader.ts';
import { loadIssuer, type Issuer } from '../../core/issuer.ts';
import type { Finding } from '../../core/lint/finding.ts';
import { derOf, kindOf, type LintedKind } from '../../core/lint/kind.ts';
import { CRL_RULES, lintCrlInSteps, lintResponse, RESPONSE_RULES } from '../../core/lint/lint.ts';
import { lintResponder, RESPONDER_RULES } from '../../core/lint/responder.ts';
import { DEFAULT_AUTHORITIES, type LintAuthority, type RuleBase } from '../../core/lint/rule.ts';
import { findingsOfSuccession } from '../../core/lint/succession.ts';
import { decodeResponse } from '../../core/ocsp/response-reader.ts';
import { Problem } from '../../core/problem.ts';
import { loadResponderCertificate } from '../../core/responder-certificate.ts';
import type { EpochMs } from '../../core/time.ts';
import { fileProblem } from '../errors.ts';
import type { ProgressLine } from '../progress.ts';
import { print, progressOf, table } from './context.ts';

interface LintOptions {
  readonly ca?: string;
  readonly url?: string;
  readonly previous?: string;
  readonly at?: string;
  readonly authorities?: string;
  readonly subject?: 'subscriber' | 'ca';
  readonly withoutOcsp?: boolean;
  readonly rules?: boolean;
}

/** What holds for every file of one call. */
interface Given {
  readonly authorities: readonly LintAuthority[];
  readonly issuer: Issuer | undefined;
  readonly servedAt: EpochMs | undefined;
  readonly url: string | undefined;
  readonly previous: CrlView | undefined;
  readonly subject: 'subscriber' | 'ca' | undefined;
  readonly withoutOcsp: boolean;
  readonly progress: ProgressLine;
}

const AUTHORITIES: readonly LintAuthority[] = [
  'rfc', 'cabf-tls', 'cabf-smime', 'cabf-cs', 'ccadb', 'mozilla', 'microsoft', 'cybertrust', 'secom',
]; // prettier-ignore
const CATALOGUE: Readonly<Record<LintedKind, readonly RuleBase[]>> = {
  CRL: CRL_RULES,
  'OCSP response': RESPONSE_RULES,
  'responder certificate': RESPONDER_RULES,
};
/** Of core/lint/lint.ts. */
const ENTRIES_PER_STEP = 1000;
/** Between two words to whoever waits. */
const STEPS_PER_PROGRESS = 250;

export function lintCommand(program: Command): void {
  program
    .command('lint')
    .description('checks CRLs, OCSP responses and responder certificates (DER or PEM) against the rules; exit 1 when one is broken')
    .argument('[files...]', 'files, or - for standard input')
    .option('--ca <file>', 'CA certificate, PEM or DER: signature, names and key identifiers count too')
    .option('--url <url>', 'where it was fetched from, now unless --at says when')
    .option('--previous <file>', 'the CRL that was there before')
    .option('--at <instant>', 'when it was served, e.g. 2026-11-20T08:00:00Z: it must not be too old by then')
    .option('--authorities <list>', `whose rules, of ${AUTHORITIES.join(',')}`, DEFAULT_AUTHORITIES.join(','))
    .addOption(new Option('--subject <kind>', 'what the CA issues').choices(['subscriber', 'ca']))
    .option('--without-ocsp', 'some certificates of the CA have no OCSP URL: CRLs are renewed every 4 days')
    .option('--rules', 'lists the rules instead')
    .action(async (files: readonly string[], options: LintOptions, command: Command) => {
      if (options.rules === true) return listRules(command, authoritiesOf(options));
      if (files.length === 0) throw new Problem('invalid', 'which file?', { field: 'files' });
      const progress = progressOf(command, 'lint', 'entries');
      const given = givenBy(options, progress);
      const results: { file: string; kind: LintedKind; findings: readonly Finding[] }[] = [];
      try {
        for (const file of files) results.push({ file, ...(await lintFile(file, given)) });
      } finally {
        progress.end();
      }
      const [only] = results;
      print(command, results.length === 1 ? { kind: only?.kind, findings: only?.findings } : results, () =>
        results.map(({ file, kind, findings }) => findingsText(`${file}: ${kind}`, findings)).join('\n'),
      );
      if (results.some(({ findings }) => findings.some(({ severity }) => severity === 'error'))) process.exitCode = 1;
    });
} // prettier-ignore

export function findingsText(what: string, findings: readonly Finding[]): string {
  if (findings.length === 0) return `${what}: no finding`;
  return `${what}: ${findings.length} finding${findings.length === 1 ? '' : 's'}\n${table(findings.map(({ severity, rule, citation, message }) => [severity, rule, message, citation === rule ? '' : `(${citation})`]))}`;
}

async function lintFile(file: string, given: Given): Promise<{ kind: LintedKind; findings: readonly Finding[] }> {
  const { der, form } = derOf(read(file === '-' ? 0 : file, 'file'), file);
  const kind = kindOf(der, file);
  const { authorities, issuer, servedAt, subject } = given;
  const about = {
    authorities,
    ...(issuer && { ca: issuer }),
    ...(servedAt !== undefined && { servedAt, nowMs: servedAt }),
    ...(subject && { subject }),
  };
  switch (kind) {
    case 'CRL':
      return { kind, findings: await lintCrlFile(der, form, given, about) };
    case 'OCSP response': {
      const findings = lintResponse(der, { ...about, ...(issuer && { issuer: issuer.hashes }) });
      return { kind, findings: [...findings, ...responderWithin(der, given)] };
    }
    case 'responder certificate':
      return { kind, findings: lintCertificate(der, given, file) };
  }
}

async function lintCrlFile(
  der: Buffer,
  form: 'der' | 'pem',
  { issuer, url, previous, withoutOcsp, progress }: Given,
  about: object,
): Promise<readonly Finding[]> {
  let view: CrlView;
  try {
    view = readCrl(der);
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    return [{ severity: 'error', rule: error.rule ?? 'P-05', citation: 'X.690; RFC 5280 §5.1', message: error.line }];
  }
  const steps = lintCrlInSteps(view, {
    ...about,
    ...(issuer && { issuer: { name: issuer.nameDer, keyIdentifier: issuer.subjectKeyIdentifier } }),
    ...(url !== undefined && { url }),
    ...(previous?.number !== undefined && { previous: { number: previous.number, thisUpdate: previous.thisUpdate, nextUpdate: previous.nextUpdate ?? 0 } }),
    form,
    withoutOcsp,
  }); // prettier-ignore
  for (let count = 1; ; count++) {
    const { done, value } = steps.next();
    if (done === true) {
      const readable = value.every(({ rule }) => !rule.startsWith('X.690'));
      return previous === undefined || !readable ? value : [...value, ...findingsOfSuccession(previous, view)];
    }
    if (count % STEPS_PER_PROGRESS === 0) {
      progress.update({ items: count * ENTRIES_PER_STEP, done: count, total: undefined });
      await nextTurn();
    }
  }
}

/** The responder's certificate that came along in a response. */
function responderWithin(der: Buffer, given: Given): readonly Finding[] {
  let certificate: Uint8Array | undefined;
  try {
    certificate = decodeResponse(der).basic?.certs[0];
  } catch (error) {
    if (error instanceof Problem) return []; // said already
    throw error;
  }
  if (certificate === undefined) return [];
  return lintCertificate(Buffer.from(certificate), given, 'certs').map((finding) => ({
    ...finding,
    message: `certificate in certs: ${finding.message}`,
  }));
}

function lintCertificate(der: Buffer, { authorities, issuer, servedAt }: Given, field: string): readonly Finding[] {
  try {
    return lintResponder(loadResponderCertificate(der, field), {
      authorities,
      ...(issuer && { issuer }),
      ...(servedAt !== undefined && { nowMs: servedAt }),
    });
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    return [{ severity: 'error', rule: error.rule ?? 'R-02', citation: 'RFC 5280 §4.1', message: error.line }];
  }
}

function givenBy(options: LintOptions, progress: ProgressLine): Given {
  const { ca, url, previous, at, subject, withoutOcsp } = options;
  return {
    authorities: authoritiesOf(options),
    issuer: ca === undefined ? undefined : loadIssuer(certificatesFromFile(read(ca, '--ca'), '--ca'), '--ca'),
    servedAt: at !== undefined ? instantOf(at) : url !== undefined ? Date.now() : undefined,
    url,
    previous: previous === undefined ? undefined : readCrl(crlFromFile(read(previous, '--previous'))),
    subject,
    withoutOcsp: withoutOcsp === true,
    progress,
  };
} // prettier-ignore

function authoritiesOf({ authorities }: LintOptions): readonly LintAuthority[] {
  return (authorities?.split(',') ?? []).map((name) => {
    const known = AUTHORITIES.find((one) => one === name.trim());
    if (known !== undefined) return known;
    throw new Problem('invalid', `one of ${AUTHORITIES.join(', ')}`, { field: '--authorities', value: name });
  });
}

function instantOf(text: string): EpochMs {
  const ms = Date.parse(text);
  if (Number.isNaN(ms)) throw new Problem('invalid', 'an instant, e.g. 2026-11-20T08:00:00Z', { field: '--at', value: text });
  return ms;
} // prettier-ignore

function read(file: string | 0, field: string): Buffer {
  try {
    return readFileSync(file);
  } catch (error) {
    throw new Problem('invalid', fileProblem(error), { field, value: String(file) });
  }
}

function listRules(command: Command, authorities: readonly LintAuthority[]): void {
  const rules = Object.entries(CATALOGUE).flatMap(([appliesTo, list]) =>
    list
      .filter((rule) => rule.authorities.some((authority) => authorities.includes(authority)))
      .map(({ id, severity, says, citation, authorities: bound }) => ({ appliesTo, id, severity, says, citation, authorities: bound })),
  );
  print(command, rules, () =>
    table(rules.map((rule) => [rule.appliesTo, rule.id, rule.severity, rule.says, `(${rule.citation})`, rule.authorities.join(',')])),
  );
} // prettier-ignore
