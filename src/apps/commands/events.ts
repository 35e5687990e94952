/** `issue`, `revoke`, `status`, `wait`: one event or one question from the shell. */
import type { Command } from 'commander';
import { Problem } from '../../core/problem.ts';
import { parseDuration } from '../../core/time.ts';
import type { CertificateView, ReceiptView } from '../../flows/monitor/inspect.ts';
import type { Api } from '../api.ts';
import { print, whileWaiting, withApi } from './context.ts';
import { readCertificates, serialOf, serialOption } from './options.ts';

interface Acknowledged {
  readonly accepted: number;
  readonly receipts: readonly {
    readonly id: string;
    readonly serial: string;
    readonly revision: number;
    readonly deadline?: string;
  }[];
}

const POLL_MS = 100;

export function eventCommands(program: Command): void {
  program
    .command('issue')
    .description('records that a certificate or precertificate was issued')
    .requiredOption('--issuer <id>', 'issuer')
    .option('--cert <file>', 'the certificate, PEM or DER (instead of --serial and --not-after)')
    .option('--serial <hex>', 'serial number')
    .option('--not-before <instant>', 'RFC 3339, UTC')
    .option('--not-after <instant>', 'RFC 3339, UTC')
    .option('--precertificate', 'only the precertificate exists so far')
    .option(
      '--crl-shard <name-or-url>',
      'shard whose CRL speaks of it, or the CRL URL that it names; default by serial',
    )
    .option('--without-ocsp', 'it names no OCSP responder: then CRLs are due every 4 days (BR 4.9.7)')
    .option('--spki-hash <hex>', 'SHA-256 of its SubjectPublicKeyInfo, for revocation by key')
    .option('--wait', 'return when OCSP answers')
    .action(async (options: IssueOptions, command: Command) => {
      await withApi(command, async (api) => {
        const certificates =
          options.cert === undefined ? [issuedFields(options, command)] : certificatesIn(options.cert);
        const answer = (await api.call('POST', `/v1/issuers/${encodeURIComponent(options.issuer)}/certificates`, {
          certificates,
        })) as Acknowledged;
        await acknowledge(command, api, answer, options.wait === true);
      });
    });

  program
    .command('revoke')
    .description('revokes a certificate')
    .requiredOption('--issuer <id>', 'issuer')
    .addOption(serialOption())
    .option('--cert <file>', 'or: the certificate, PEM or DER')
    .option(
      '--reason <name>',
      'keyCompromise, affiliationChanged, superseded, cessationOfOperation, privilegeWithdrawn; default none',
    )
    .option('--revoked-at <instant>', 'when it took effect, RFC 3339 UTC; default now')
    .option('--clause <id>', 'clause of the CP/CPS, e.g. 4.9.1.1-3; fixes reason and deadline')
    .option('--aware-at <instant>', 'when the CA became aware, RFC 3339 UTC')
    .option('--requested-by <who>', 'for the audit log')
    .option('--wait', 'return when OCSP and CRL say so')
    .action(async (options: RevokeOptions, command: Command) => {
      await withApi(command, async (api) => {
        const { issuer, wait, reason, revokedAt, clause, awareAt, requestedBy } = options;
        const serial = serialOf(options, command);
        const answer = (await api.call('POST', `/v1/issuers/${encodeURIComponent(issuer)}/revocations`, {
          revocations: [{ serial, reason, revokedAt, clause, awareAt, requestedBy }],
        })) as Acknowledged;
        await acknowledge(command, api, answer, wait === true);
      });
    });

  program
    .command('status')
    .description('what is recorded and published about one certificate; exit 1 when it was never issued')
    .requiredOption('--issuer <id>', 'issuer')
    .addOption(serialOption())
    .option('--cert <file>', 'or: the certificate, PEM or DER')
    .action(async (options: { issuer: string; serial?: string; cert?: string }, command: Command) => {
      await withApi(command, async (api) => {
        const view = (await api.call(
          'GET',
          `/v1/issuers/${encodeURIComponent(options.issuer)}/certificates/${encodeURIComponent(serialOf(options, command))}`,
        )) as CertificateView;
        print(command, view, () => certificateText(view));
      });
    });

  program
    .command('wait')
    .description('returns when an acknowledged event is live; exit 1 when it is not in time')
    .argument('<receipt>', 'as given by issue, revoke or the intake')
    .option('--timeout <duration>', 'how long to wait', '60s')
    .action(async (receipt: string, options: { timeout: string }, command: Command) => {
      await withApi(command, async (api) => {
        const view = await waitFor(command, api, receipt, parseDuration(options.timeout, '--timeout'));
        print(command, view, () => receiptText(view));
      });
    });
}

interface IssueOptions {
  readonly issuer: string;
  readonly cert?: string;
  readonly serial?: string;
  readonly notBefore?: string;
  readonly notAfter?: string;
  readonly precertificate?: boolean;
  readonly crlShard?: string;
  readonly withoutOcsp?: boolean;
  readonly spkiHash?: string;
  readonly wait?: boolean;
}

interface RevokeOptions {
  readonly issuer: string;
  readonly serial?: string;
  readonly cert?: string;
  readonly reason?: string;
  readonly revokedAt?: string;
  readonly clause?: string;
  readonly awareAt?: string;
  readonly requestedBy?: string;
  readonly wait?: boolean;
}

function issuedFields(options: IssueOptions, command: Command): object {
  const { serial, notBefore, notAfter, precertificate, crlShard, withoutOcsp, spkiHash } = options;
  if (serial === undefined || notAfter === undefined) command.error('error: give --cert, or --serial and --not-after');
  return {
    serial,
    notAfter,
    ...(notBefore !== undefined && { notBefore }),
    ...(precertificate && { precertificate }),
    ...(crlShard !== undefined && { crlShard }),
    ...(withoutOcsp && { namesOcsp: false }),
    ...(spkiHash !== undefined && { spkiHash }),
  };
}

function certificatesIn(path: string): object[] {
  return readCertificates(path).map((der) => ({ certificate: der.toString('base64') }));
}

async function acknowledge(command: Command, api: Api, answer: Acknowledged, wait: boolean): Promise<void> {
  if (!wait) {
    print(command, answer, () =>
      answer.receipts
        .map(
          ({ id, revision, deadline }) =>
            `recorded: revision ${revision}, receipt ${id}${deadline === undefined ? '' : `, deadline ${deadline}`}`,
        )
        .join('\n'),
    );
    return;
  }
  const views: ReceiptView[] = [];
  for (const { id } of answer.receipts) views.push(await waitFor(command, api, id, 60_000));
  print(command, { ...answer, receipts: views }, () => views.map(receiptText).join('\n'));
}

function waitFor(command: Command, api: Api, receipt: string, timeoutMs: number): Promise<ReceiptView> {
  const until = Date.now() + timeoutMs;
  let missing = 'OCSP does not say it yet';
  const visible = async (): Promise<ReceiptView> => {
    for (;;) {
      const view = (await api.call('GET', `/v1/receipts/${encodeURIComponent(receipt)}`)) as ReceiptView;
      if (view.state === 'visible') return view;
      missing = view.state === 'recorded' ? 'OCSP does not say it yet' : 'the CRL does not list it yet';
      if (Date.now() >= until) {
        const stopped = api.where.startsWith('https') ? '' : '; the service is not running';
        throw new Problem('unavailable', `not live in time: ${missing}${stopped}; it is recorded, and certstatus wait ${receipt} waits on`, { field: 'receipt', value: receipt }); // prettier-ignore
      }
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  };
  return whileWaiting(command, () => `waiting: ${missing}`, visible());
}

function receiptText({ id, state, ocspVisibleAt, crlVisibleAt }: ReceiptView): string {
  return `${state}: receipt ${id}${ocspVisibleAt === undefined ? '' : `, OCSP since ${ocspVisibleAt}`}${crlVisibleAt === undefined ? '' : `, CRL since ${crlVisibleAt}`}`;
}

function certificateText(view: CertificateView): string {
  const { sha1 } = view.ocsp;
  return [
    `serial      ${view.serial}`,
    `status      ${view.status}${view.revokedAt === undefined ? '' : ` since ${view.revokedAt}, reason ${view.reason ?? 'none'}`}`,
    `revision    ${view.revision}, recorded ${view.recordedAt}`,
    `validity    ${view.notBefore ?? 'unknown'} to ${view.notAfter ?? 'unknown'}${view.precertificate ? ' (precertificate only)' : ''}`,
    `OCSP        ${sha1 === undefined ? 'not published yet' : `${sha1.thisUpdate} to ${sha1.nextUpdate}`}`,
    `CRL         ${view.crl === undefined ? `none${view.crlShard === undefined ? '' : ` of shard ${view.crlShard}`}` : `number ${view.crl.number}${view.crlShard === undefined ? '' : ` of shard ${view.crlShard}`} of ${view.crl.thisUpdate}${view.status === 'revoked' ? (view.crl.listed ? ', listed' : ', not listed yet') : ''}`}`,
  ].join('\n');
}
