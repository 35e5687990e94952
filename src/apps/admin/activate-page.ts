/**
 * Where a person enters a share of a PIN, or asks for the end of an activation (CT-6.2.8, CT-6.2.9): with a client certificate of
 * their own alone. The share comes in the body of a form, goes to the activation, and is on no page, in no address and no log.
 */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { Problem } from '../../core/problem.ts';
import { MAX_SHARE_CHARACTERS } from '../../core/share.ts';
import type { TokenJson } from '../intake/token-json.ts';
import { field, type Access, type Asker } from './access.ts';
import type { Acting } from './acting.ts';
import { done, hidden, send } from './actions.ts';
import { escape, type Viewer } from './layout.ts';

export interface ActivateParts {
  readonly access: Access;
  readonly acting: Acting;
}

/** More than any share needs. */
const BODY_LIMIT = 8 << 10;

export function addActivate(app: FastifyInstance, { access, acting }: ActivateParts): void {
  const tokensFor = async ({ operator }: Asker): Promise<readonly TokenJson[]> => {
    try {
      return ((await acting.call(operator, ['activate'], 'GET', '/v1/tokens')) as { tokens: TokenJson[] }).tokens;
    } catch (error) {
      // A process without keys has no such routes.
      if (error instanceof Problem && error.code === 'not-found') return [];
      throw error;
    }
  };
  const pathOf = (request: FastifyRequest, what: string): string =>
    `/v1/tokens/${encodeURIComponent((request.params as { token: string }).token)}/${what}`;

  app.get('/activate', { config: { needs: 'activate' } }, async (request, reply) => {
    const asker = access.askerOf(request);
    const rows = (await tokensFor(asker)).map(
      ({ name, state, describe }) =>
        `<tr><th scope="row"><a href="/activate/${encodeURIComponent(name)}">${escape(name)}</a></th><td><strong>${escape(state)}</strong><small>${escape(describe)}</small></td></tr>`,
    );
    const list = `<div class="card"><table class="stack pairs"><tbody>\n${rows.join('\n')}\n</tbody></table></div>`;
    const none = '<p>This process has no token: keys are activated on the page of each signer.</p>';
    return send(reply, 'Keys', asker.viewer, `<header><h1>Keys</h1></header>\n${rows.length > 0 ? list : none}`, HERE);
  });

  app.get('/activate/:token', { config: { needs: 'activate' } }, async (request, reply) => {
    const asker = access.askerOf(request);
    const { token: name } = request.params as { token: string };
    const token = (await tokensFor(asker)).find((one) => one.name === name);
    if (token === undefined)
      throw new Problem('not-found', 'there is no such token here', { field: 'token', value: name });
    return send(reply, `Token ${name}`, asker.viewer, tokenPage(token, asker.viewer), HERE);
  });

  app.post('/activate/:token', { config: { needs: 'activate' }, bodyLimit: BODY_LIMIT }, async (request, reply) => {
    const { operator, viewer } = access.askerOf(request);
    const share = field(request, 'share').trim();
    const after = (await acting.call(operator, ['activate'], 'POST', pathOf(request, 'shares'), {
      share,
    })) as TokenJson;
    const { name, state, threshold = 1, shares } = after;
    const entered = shares?.persons ?? [];
    const said =
      state === 'active'
        ? `Token ${name} is active: its keys sign from now on`
        : `Your share for token ${name} is entered. ${entered.length} of ${threshold} persons have entered theirs (${entered.join(', ')}); the others have until ${shares?.until ?? 'now'}`;
    return done(reply, viewer, `${said}.`, `${HERE}/${encodeURIComponent(name)}`);
  });

  app.post(
    '/tokens/:token/deactivate',
    { config: { needs: 'activate' }, bodyLimit: BODY_LIMIT },
    async (request, reply) => {
      const { operator, viewer } = access.askerOf(request);
      const after = (await acting.call(operator, ['activate'], 'POST', pathOf(request, 'deactivations'))) as TokenJson;
      const { name, deactivation, threshold = 1 } = after;
      const said =
        deactivation === undefined
          ? `Token ${name} is deactivated: nothing is signed with its keys`
          : `${deactivation.persons.length} of ${threshold} persons ask for the end of the activation of ${name}; the others have until ${deactivation.until}`;
      return done(reply, viewer, `${said}.`, `${HERE}/${encodeURIComponent(name)}`);
    },
  );
}

const HERE = '/activate';

function tokenPage(token: TokenJson, viewer: Viewer): string {
  const { name, describe, state, failure, source, threshold, activatedAt, activatedBy, shares, deactivation } = token;
  const facts: (readonly [string, string])[] = [
    ['State', failure === undefined ? state : `${state}: ${failure}`],
    ['Token', describe],
    ['Signs for', token.issuers?.join(', ') || 'no issuer'],
    ['Activated by', threshold === undefined ? source : `${threshold} persons, each with a share`],
  ];
  if (activatedAt !== undefined) facts.push(['Active since', `${activatedAt}, by ${activatedBy?.join(', ')}`]);
  if (shares !== undefined) facts.push(['Shares entered', `${shares.persons.join(', ')}; the others until ${shares.until}`]); // prettier-ignore
  if (deactivation !== undefined) facts.push(['End asked for', `${deactivation.persons.join(', ')}; the others until ${deactivation.until}`]); // prettier-ignore
  const rows = facts.map(([what, is]) => `<tr><th scope="row">${what}</th><td>${escape(is)}</td></tr>`).join('\n');
  const at = `${HERE}/${encodeURIComponent(name)}`;
  return `<header><h1>Token ${escape(name)}</h1></header>
<div class="card"><table class="stack pairs"><tbody>
${rows}
</tbody></table></div>
${state === 'active' ? '' : enter(at, source, threshold, name, viewer)}
${state === 'inactive' ? '' : end(name, threshold, viewer)}`;
}

function enter(at: string, source: string, threshold: number | undefined, name: string, viewer: Viewer): string {
  if (threshold === undefined)
    return source === 'prompt'
      ? `<p>One person enters its PIN, from a shell: <code>certstatus key activate --token ${escape(name)}</code>.</p>`
      : `<p>It takes its PIN from the ${escape(source)} when the service starts; the log says why it could not.</p>`;
  return `<h2>Enter your share</h2>
<form class="tall" method="post" action="${escape(at)}" autocomplete="off">${hidden({ csrf: viewer.csrf })}
<p><label for="share">Share, as certstatus key split has printed it (certstatus-share:1:…)</label><br>
<input id="share" name="share" type="password" required autocomplete="off" autocapitalize="off" spellcheck="false" maxlength="${MAX_SHARE_CHARACTERS}" size="60"></p>
<p><button type="submit">Enter it as ${escape(viewer.name)}</button></p></form>`;
}

function end(name: string, threshold: number | undefined, viewer: Viewer): string {
  const several = threshold === undefined ? '' : ` ${threshold} persons must ask for it within 15 minutes.`;
  return `<h2>End the activation</h2>
<p>Nothing is signed with its keys then; what is published is served as long as it lasts.${several}</p>
<form method="post" action="/tokens/${encodeURIComponent(name)}/deactivate">${hidden({ csrf: viewer.csrf })}<p><button type="submit">Deactivate, as ${escape(viewer.name)}</button></p></form>`;
}
