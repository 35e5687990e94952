/**
 * A certificate's page: what is said about it, why, and how to check it oneself. Asked by a form, so that nothing of it stands in
 * addresses and logs. What OCSP says is public, so the right `view` will do; who asked for a revocation, and the history, is `audit`,
 * and reading it is recorded (CT-5.4.4).
 */
import type { FastifyInstance } from 'fastify';
import { recordsAbout, revocationCaseIn } from '../../core/certificate-history.ts';
import { Problem } from '../../core/problem.ts';
import type { Serial } from '../../core/serial.ts';
import type { ServedIssuer } from '../../flows/issuer-setup.ts';
import type { Core } from '../core.ts';
import { auditDir } from '../data-directory.ts';
import { field, type Access, type Asker } from './access.ts';
import type { Acting } from './acting.ts';
import { hidden, send } from './actions.ts';
import { certificateFacts, type CertificateFacts } from './certificate-facts.ts';
import { issuerOf, readQuestion, withColons } from './certificate-question.ts';
import { certificateSections, type History } from './certificate-sections.ts';
import { escape, type Viewer } from './layout.ts';
import { searchLog } from './log-search.ts';
import type { AccessRecords } from './records.ts';

export interface CertificateParts {
  readonly access: Access;
  readonly acting: Acting;
  readonly core: Core;
  readonly records: AccessRecords;
}

const HERE = '/certificate';
const MOST_RECORDS = 100;
const PLACEHOLDER = '-----BEGIN CERTIFICATE----- …, or a serial number: 0a:1b:2c, 0x0a1b2c, serial=0A1B2C';

export function addCertificatePage(app: FastifyInstance, parts: CertificateParts): void {
  const { access, core } = parts;
  const issuers = [...core.issuers.values()];

  app.get(HERE, { config: { needs: 'view' } }, (request, reply) => {
    const { viewer } = access.askerOf(request);
    return send(
      reply,
      'Certificate',
      viewer,
      `<header><h1>Certificate</h1></header>\n${form(issuers, viewer, '', '')}`,
      HERE,
    );
  });

  app.post(HERE, { config: { needs: 'view' } }, async (request, reply) => {
    const asker = access.askerOf(request);
    const { viewer } = asker;
    const [text, chosen] = [field(request, 'certificate'), field(request, 'issuer')];
    let result: string;
    try {
      result = await answerTo(parts, asker, issuers, text, chosen);
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      reply.code(error.code === 'unavailable' ? 503 : 400);
      result = `<p class="failing" role="alert">${escape(error.line)}</p>`;
    }
    const body = `<header><h1>Certificate</h1></header>\n${result}\n<h2>Another one</h2>\n${form(issuers, viewer, text, chosen)}`;
    return send(reply, 'Certificate', viewer, body, HERE);
  });
}

async function answerTo(
  parts: CertificateParts,
  asker: Asker,
  issuers: readonly ServedIssuer[],
  text: string,
  chosen: string,
): Promise<string> {
  const question = readQuestion(text);
  if (question.kind === 'certificate') {
    const { certificate, more } = question;
    const of = issuerOf(certificate, issuers);
    const rest = more === 0 ? '' : `<p>The first of ${more + 1} certificates that were pasted.</p>\n`;
    return (
      rest +
      (await shown(parts, asker, await certificateFacts(parts, asker.operator, of, certificate.serial, certificate)))
    );
  }
  const among = chosen === '' ? issuers : issuers.filter(({ id }) => id === chosen);
  if (among.length === 0)
    throw new Problem('not-found', 'there is no such issuer here', { field: 'issuer', value: chosen });
  const known: { issuer: ServedIssuer; serial: Serial }[] = [];
  for (const issuer of among) {
    for (const serial of question.candidates) {
      if ((await parts.core.store.lookup(issuer.tag, serial)).kind !== 'unknown') known.push({ issuer, serial });
    }
  }
  if (known.length > 1) return choice(known, asker.viewer);
  // Of what nobody knows the first reading is explained: why it gets what it gets.
  const { issuer, serial } = known[0] ?? { issuer: among[0] as ServedIssuer, serial: question.candidates[0] as Serial };
  const said = question.candidates.map(withColons).join(', or as a decimal number ');
  const nobody = among.length > 1 && known.length === 0 ? `<p>No issuer here has issued ${escape(said)}. As ${escape(issuer.id)} would answer:</p>\n` : ''; // prettier-ignore
  return nobody + (await shown(parts, asker, await certificateFacts(parts, asker.operator, issuer, serial, undefined)));
}

async function shown(parts: CertificateParts, asker: Asker, facts: CertificateFacts): Promise<string> {
  const may = asker.operator.may.includes('audit');
  const history = may && parts.core.journal !== undefined ? await historyOf(parts, asker, facts) : undefined;
  const why = !may
    ? 'Who asked for a revocation, and the history, are for who has the right audit.'
    : parts.core.journal === undefined
      ? 'This process serves answers and keeps no audit log: the history is on the pages of the intakes and signers.'
      : undefined;
  return certificateSections(facts, history, why);
}

async function historyOf(
  { core, records }: CertificateParts,
  { operator }: Asker,
  facts: CertificateFacts,
): Promise<History> {
  const { serial, issuer, found } = facts;
  const dir = auditDir(core.config);
  await records.write({
    type: 'audit.read',
    actor: operator.actor,
    issuer: issuer.id,
    issuerTag: issuer.tag,
    description: `history of certificate ${serial}`,
  });
  const ours = (tag: string | undefined): boolean => tag === undefined || tag === issuer.tag;
  const search = await searchLog(
    dir,
    {
      maybe: (line) => line.includes(serial),
      wanted: (record) => ours(record.issuerTag) && !recordsAbout(record, serial).next().done,
      most: MOST_RECORDS,
    },
    core.clock,
  );
  let caseOf = search.records.map((record) => revocationCaseIn(record, serial)).find((one) => one !== undefined);
  const { lookedBackTo, whole } = search;
  if (caseOf === undefined && !whole && found.kind !== 'unknown' && found.certificate.revocation !== undefined) {
    const earlier = await searchLog(
      dir,
      {
        before: lookedBackTo,
        maybe: (line) => line.includes('"revokedAt"') && line.includes(serial),
        wanted: (record) => ours(record.issuerTag) && revocationCaseIn(record, serial) !== undefined,
        most: 1,
      },
      core.clock,
    );
    caseOf = earlier.records[0] && revocationCaseIn(earlier.records[0], serial);
  }
  const lines = search.records.flatMap((record) =>
    [...recordsAbout(record, serial)].map((what) => ({ at: record.at, seq: record.seq, what, actor: record.actor })),
  );
  const rest = whole ? undefined : `Records before #${lookedBackTo} were not looked at: certstatus audit show --issuer ${issuer.id} --serial ${serial} reads them all.`; // prettier-ignore
  return { lines, case: caseOf, rest };
}

function choice(known: readonly { issuer: ServedIssuer; serial: Serial }[], viewer: Viewer): string {
  const buttons = known.map(
    ({ issuer, serial }) =>
      `<form method="post" action="${HERE}">${hidden({ csrf: viewer.csrf, certificate: `0x${serial}`, issuer: issuer.id })}<p><button type="submit">${escape(`${issuer.id}: ${withColons(serial)}`)}</button></p></form>`,
  );
  return `<p role="status">More than one certificate can be meant:</p>\n${buttons.join('\n')}`;
}

function form(issuers: readonly ServedIssuer[], viewer: Viewer, text: string, chosen: string): string {
  const options = issuers.map(
    ({ id, issuer }) =>
      `<option value="${escape(id)}"${id === chosen ? ' selected' : ''}>${escape(`${id}: ${issuer.name}`)}</option>`,
  );
  return `<form class="tall" method="post" action="${HERE}">${hidden({ csrf: viewer.csrf })}
<p><label for="certificate">Certificate (PEM, or base64 of its DER), or its serial number (hexadecimal, or decimal)</label><br>
<textarea id="certificate" name="certificate" rows="6" required spellcheck="false" autocomplete="off" placeholder="${escape(PLACEHOLDER)}">${escape(text)}</textarea></p>
<p><label for="issuer">Issuer of a serial number</label> <select id="issuer" name="issuer"><option value="">any</option>${options.join('')}</select>
<button type="submit">Show it</button></p></form>`;
}
