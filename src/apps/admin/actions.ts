/**
 * What operators do from the page (right `operate`): one more CRL now, a mass revocation paused and resumed. Nothing else: what revokes
 * has the CA's own ways in. Each is an audit record with the person, written by the routes that do it.
 */
import type { FastifyInstance, FastifyReply } from 'fastify';
import { Problem } from '../../core/problem.ts';
import type { ExplainedCrl } from '../../flows/crl/explain-crl.ts';
import type { Core } from '../core.ts';
import { field, type Access } from './access.ts';
import type { Acting } from './acting.ts';
import { document, escape, type Viewer } from './layout.ts';
import type { Operator } from './sessions.ts';

export interface ActionParts {
  readonly access: Access;
  readonly acting: Acting;
  readonly core: Pick<Core, 'issuers' | 'recorder'>;
}

export function addActions(app: FastifyInstance, { access, acting, core }: ActionParts): void {
  app.get('/operate', { config: { needs: 'operate' } }, async (request, reply) => {
    const { operator, viewer } = access.askerOf(request);
    const ids = [...core.issuers.keys()].filter((id) => mayTouch(operator, id));
    const crls = await Promise.all(ids.map(async (id) => crlForm(id, await completeCrl(acting, operator, id), viewer)));
    const body = `<header><h1>Actions</h1></header>
<section aria-labelledby="crls"><h2 id="crls">A CRL now</h2>
<p>CRLs are published on schedule and after each revocation by themselves. One more does no harm.</p>
${crls.join('\n') || '<p>No issuer here is yours.</p>'}
</section>
<section aria-labelledby="mass"><h2 id="mass">Mass revocations</h2>
${await massForms(acting, operator, core, viewer)}
</section>`;
    return send(reply, 'Actions', viewer, body);
  });

  app.post('/issuers/:issuer/crl/publish', { config: { needs: 'operate' } }, async (request, reply) => {
    const { operator, viewer } = access.askerOf(request);
    const { issuer } = request.params as { issuer: string };
    const shard = field(request, 'shard').trim();
    const path = `/v1/issuers/${encodeURIComponent(issuer)}/crls?shard=${encodeURIComponent(shard)}`;
    const { number, thisUpdate, entries } = (await acting.call(operator, ['revoke'], 'POST', path)) as Published;
    const of = shard === '' ? issuer : `${issuer}, shard ${shard},`;
    return done(reply, viewer, `CRL ${number} of ${of} is published: thisUpdate ${thisUpdate}, ${entries} entries.`);
  });

  for (const change of ['pause', 'resume'] as const) {
    app.post(`/mass/:plan/${change}`, { config: { needs: 'operate' } }, async (request, reply) => {
      const { operator, viewer } = access.askerOf(request);
      const { plan } = request.params as { plan: string };
      await acting.call(operator, ['revoke'], 'POST', `/v1/mass/plans/${encodeURIComponent(plan)}/${change}`);
      return done(reply, viewer, `Mass revocation ${plan} ${SAID[change]}.`);
    });
  }
}

const SAID = {
  pause: 'is paused: what was revoked stays revoked and is signed; nothing more is recorded until somebody resumes it',
  resume: 'goes on',
} as const;

interface Published {
  readonly number: string;
  readonly thisUpdate: string;
  readonly entries: number;
}

/** Undefined for an issuer that has CRLs of shards alone. */
async function completeCrl(acting: Acting, operator: Operator, id: string): Promise<ExplainedCrl | undefined> {
  try {
    const path = `/v1/issuers/${encodeURIComponent(id)}/crls/why?shard=`;
    return ((await acting.call(operator, ['read'], 'GET', path)) as { crls: readonly ExplainedCrl[] }).crls[0];
  } catch (error) {
    if (error instanceof Problem && error.code === 'not-found') return undefined;
    throw error;
  }
}

function crlForm(id: string, crl: ExplainedCrl | undefined, viewer: Viewer): string {
  const { current, signing } = crl ?? {};
  const now =
    current === undefined ? 'No complete CRL.' : `CRL ${current.number}, thisUpdate ${current.thisUpdate}, ${current.entries} entries.`; // prettier-ignore
  const next = signing?.scheduled === undefined ? '' : ` The next is scheduled for ${signing.scheduled}.`;
  const failed = signing?.lastFailure === undefined ? '' : ` Last failure: ${signing.lastFailure.message}.`;
  if (crl !== undefined && signing === undefined)
    return `<article class="card"><h3>${escape(id)}</h3><p>${escape(now)} It is signed by another process: use that one’s page, or certstatus crl publish --issuer ${escape(id)}.</p></article>`;
  const field = `shard-${id}`;
  return `<article class="card"><h3>${escape(id)}</h3><p>${escape(now + next + failed)}</p>
<form method="post" action="/issuers/${encodeURIComponent(id)}/crl/publish">${hidden({ csrf: viewer.csrf })}
<p><label for="${escape(field)}">Shard (empty: the complete CRL)</label> <input id="${escape(field)}" name="shard" size="8" autocomplete="off" pattern="[a-z0-9]{0,16}">
<button type="submit">Publish a CRL of ${escape(id)} now</button></p></form></article>`;
}

interface PlanView {
  readonly id: string;
  readonly createdAt: number;
  readonly createdBy: string;
  readonly state: string;
  readonly counts: { readonly selected: number };
}

async function massForms(
  acting: Acting,
  operator: Operator,
  core: ActionParts['core'],
  viewer: Viewer,
): Promise<string> {
  if (core.recorder === undefined)
    return '<p>This process records no events: mass revocations are on the pages of the intakes.</p>';
  const { plans } = (await acting.call(operator, ['read'], 'GET', '/v1/mass/plans')) as { plans: readonly PlanView[] };
  const open = plans.filter(({ state }) => state === 'recording' || state === 'paused');
  if (open.length === 0)
    return '<p>None is under way. One is planned and started with <code>certstatus revoke-many</code> and <code>certstatus mass start</code>.</p>';
  return open
    .map(({ id, createdBy, state, counts }) => {
      const change = state === 'paused' ? 'resume' : 'pause';
      const label = change === 'pause' ? 'Pause' : 'Resume';
      return `<article class="card"><h3>${escape(id)}</h3><p>${escape(`${state}: ${counts.selected.toLocaleString('en')} certificates, planned by ${createdBy}`)}</p>
<form method="post" action="/mass/${encodeURIComponent(id)}/${change}">${hidden({ csrf: viewer.csrf })}<p><button type="submit">${label} ${escape(id)}</button></p></form></article>`;
    })
    .join('\n');
}

export function hidden(fields: Readonly<Record<string, string>>): string {
  return Object.entries(fields)
    .map(([name, value]) => `<input type="hidden" name="${name}" value="${escape(value)}">`)
    .join('');
}

function mayTouch({ issuers }: Operator, id: string): boolean {
  return issuers.includes('*') || issuers.includes(id);
}

/** What happened, in a sentence. */
export function done(reply: FastifyReply, viewer: Viewer, what: string, back = '/operate'): FastifyReply {
  const body = `<header><h1>Done</h1></header>\n<p class="ok" role="status">${escape(what)}</p>\n<p><a href="${escape(back)}">Back</a> · <a href="/">Status page</a></p>`;
  return send(reply, 'Done', viewer, body, back);
}

export function send(
  reply: FastifyReply,
  title: string,
  viewer: Viewer,
  body: string,
  path = '/operate',
): FastifyReply {
  return reply.type('text/html; charset=utf-8').send(document({ title, viewer, path, body }));
}
