/** `offline export|sign|import`: for a CA whose key is on a machine without a network. `sign` runs there, with nothing but this program. */
import type { Command } from 'commander';
import { inGroups, type OfflineMaterial, sha256Hex } from '../../core/offline/offline-file.ts';
import { Problem } from '../../core/problem.ts';
import { rfc3339, wholeSecond } from '../../core/time.ts';
import { reviewRequest, signRequest } from '../../flows/offline/offline-sign.ts';
import type { ImportedItem } from '../../flows/offline/offline-import.ts';
import { writeFileDurably } from '../durable-files.ts';
import { absolute } from '../issuer-files.ts';
import {
  materialSchema,
  materialToJson,
  offlineText,
  parseOffline,
  readBounded,
  requestFromJson,
  requestSchema,
} from '../offline-files.ts';
import { caOf, judgedWith, withCaKey, type CaKeyOptions, type RuleOptions } from '../offline-signer.ts';
import { askName } from '../pin-sources.ts';
import { print, withApi } from './context.ts';
import { collect, mayWrite, yesOption } from './options.ts';

/** How much of the digest is typed: who has read it has looked at the file that is signed. */
const TYPED_DIGITS = 8;

export function offlineCommands(program: Command): void {
  const offline = program
    .command('offline')
    .description('CRLs, responder certificates and answers of a CA whose key is never online');
  addExport(offline);
  addSign(offline);
  addImport(offline);
}

interface ExportOptions {
  readonly issuer: string;
  readonly out: string;
  readonly yes?: boolean;
  readonly crl?: boolean;
  readonly ocsp?: boolean;
  readonly responderCsr?: string[];
  readonly responderSubject?: string;
  readonly responderValidity?: string;
  readonly thisUpdate?: string;
  readonly nextUpdate?: string;
}

function addExport(offline: Command): void {
  offline
    .command('export')
    .description('writes what the CA is to sign into one file')
    .requiredOption('--issuer <id>', 'issuer')
    .requiredOption('--out <file>', 'the request')
    .addOption(yesOption())
    .option('--crl', 'the next CRL of each scope')
    .option(
      '--responder-csr <reference>',
      'a responder certificate for this key: PEM file or pkcs11:…; again for further places of it',
      collect,
    )
    .option(
      '--responder-subject <name>',
      'its subject, like /C=JP/O=Example/CN=Example OCSP; default: as the newest responder certificate',
    )
    .option('--responder-validity <duration>', 'how long it is valid, like 90d')
    .option('--ocsp', 'every OCSP answer, for a CA that signs them itself (ocsp.signedBy: ca)')
    .option('--this-update <instant>', 'RFC 3339; default: now')
    .option('--next-update <instant>', 'RFC 3339; default: by the profile')
    .action(async (options: ExportOptions, command: Command) => {
      const { issuer, out, crl, ocsp, responderCsr, responderSubject, responderValidity, thisUpdate, nextUpdate } =
        options;
      await mayWrite(out, options.yes);
      await withApi(command, async (api) => {
        const answer = await api.call('POST', `/v1/issuers/${encodeURIComponent(issuer)}/offline-requests`, {
          ...(crl && { crl }),
          ...(ocsp && { ocsp }),
          ...(responderCsr !== undefined && {
            responder: {
              key: [absolute(responderCsr)].flat(),
              ...(responderSubject !== undefined && { subject: responderSubject }),
              ...(responderValidity !== undefined && { validity: responderValidity }),
            },
          }),
          ...(thisUpdate !== undefined && { thisUpdate }),
          ...(nextUpdate !== undefined && { nextUpdate }),
        });
        const request = requestSchema.parse(answer);
        const text = offlineText(request);
        writeFileDurably(out, text);
        const digest = sha256Hex(Buffer.from(text));
        print(command, { file: out, sha256: digest, items: request.items.length, summary: request.summary }, () =>
          [...request.summary, '', `written: ${out}`, `SHA-256 of the file: ${inGroups(digest)}`].join('\n'),
        );
      });
    });
}

interface SignOptions extends CaKeyOptions, RuleOptions {
  readonly out: string;
  readonly yes?: boolean;
  readonly person?: string[];
  readonly yesDigest?: string;
}

function addSign(offline: Command): void {
  offline
    .command('sign')
    .description(
      'signs a request, on the machine with the CA key; needs no configuration, no data directory, no network',
    )
    .argument('<file>', 'the request')
    .requiredOption('--ca <file>', 'the CA certificate, PEM or DER')
    .requiredOption('--key <reference>', 'the CA key: a PEM file, or pkcs11:token=<label>;object=<label>')
    .requiredOption('--out <file>', 'the signed material')
    .addOption(yesOption())
    .option('--module <file>', 'PKCS#11 module; the PIN or its shares are asked for, or read from standard input')
    .option('--previous <file>', "the CA's last CRL as kept here, DER or PEM; again for each scope", collect)
    .option('--may-leave <serial>', 'has expired and may leave the CRL, hex; again for each', collect)
    .option(
      '--preset <id>',
      'whose rules bind the CA (deploy/presets); default: RFCs, Baseline Requirements, root programs',
    )
    .option('--issues <kind>', 'ca-certificates or subscriber-certificates', 'ca-certificates')
    .option('--person <name>', 'who is here; at least two (SR-6.2.8)', collect)
    .option(
      '--yes-digest <digits>',
      `the last ${TYPED_DIGITS} or more hex digits of the SHA-256 of the file, instead of typing them`,
    )
    .action(async (file: string, options: SignOptions, command: Command) => {
      await mayWrite(options.out, options.yes);
      const octets = readBounded(file);
      const request = requestFromJson(parseOffline(requestSchema, octets, file));
      const issuer = caOf(options.ca);
      const nowMs = Date.now();
      const given = judgedWith(options, issuer, nowMs);
      const lines = reviewRequest(request, issuer, given);
      const persons = [...new Set(options.person ?? [])];
      if (persons.length < 2)
        throw new Problem('refused', 'the key of a CA is used by at least two persons: name each with --person', {
          field: '--person',
          value: persons.join(', ') || 'none',
          rule: 'SR-6.2.8',
        });
      const requestSha256 = sha256Hex(octets);
      process.stderr.write(
        `${lines.join('\n')}\n\nThe clock of this machine says ${rfc3339(wholeSecond(nowMs))}.\nSHA-256 of ${file}: ${inGroups(requestSha256)}\n`,
      );
      await confirm(requestSha256, options.yesDigest);
      const items = await withCaKey(options, issuer, (holder) => signRequest(request, issuer, holder, given));
      const material: OfflineMaterial = {
        summary: lines,
        issuer: request.issuer,
        requestSha256,
        signedAt: rfc3339(wholeSecond(Date.now())),
        persons,
        items,
      };
      const text = offlineText(materialToJson(material));
      writeFileDurably(options.out, text);
      const digest = sha256Hex(Buffer.from(text));
      print(command, { file: options.out, sha256: digest, items: items.length }, () =>
        [`signed: ${items.length} items, ${options.out}`, `SHA-256 of the file: ${inGroups(digest)}`].join('\n'),
      );
    });
}

/** @throws Problem `refused` when the digits are not the last of the digest. */
async function confirm(digest: string, given: string | undefined): Promise<void> {
  const typed =
    given ?? (await askName(`Type the last ${TYPED_DIGITS} digits of it, as the exporting side has read them out: `));
  const digits = typed.replace(/\s/g, '').toLowerCase();
  if (digits.length >= TYPED_DIGITS && digest.endsWith(digits)) return;
  throw new Problem('refused', 'is not the end of the digest of this file: nothing was signed', {
    field: '--yes-digest',
    value: digits,
    rule: 'SR-6.7',
  });
}

function addImport(offline: Command): void {
  offline
    .command('import')
    .description('publishes what was signed; each item is checked, and taken or refused on its own')
    .argument('<file>', 'the signed material')
    .option('--issuer <id>', 'issuer; default: as the file says')
    .action(async (file: string, options: { issuer?: string }, command: Command) => {
      const material = parseOffline(materialSchema, readBounded(file), file);
      const issuer = options.issuer ?? material.issuer;
      await withApi(command, async (api) => {
        const { items } = (await api.call('POST', `/v1/issuers/${encodeURIComponent(issuer)}/offline-imports`, {
          material,
          source: file.slice(-256),
        })) as { items: ImportedItem[] };
        print(command, { items }, () =>
          items.map(({ what, outcome, why }) => `${outcome}: ${what}${why === undefined ? '' : `: ${why}`}`).join('\n'),
        );
        if (items.some(({ outcome }) => outcome === 'refused')) process.exitCode = 1;
      });
    });
}
