/**
 * Signing in and out: with a client certificate, or with a link from a shell of this machine. There are no passwords to keep. The
 * link shows a page, and the page's form signs in: what fetches links ahead of a person uses none up.
 */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { MetricSet } from '../../core/metric.ts';
import { Problem } from '../../core/problem.ts';
import { MINUTE, type EpochMs } from '../../core/time.ts';
import type { Clock } from '../../ports/clock.ts';
import { Failures, field, localOperator, setCookie, type Access } from './access.ts';
import { document, escape } from './layout.ts';
import { readToken, TOKEN_LIFE_MS, type LocalToken } from './local-secret.ts';
import type { Operator, Sessions } from './sessions.ts';

export interface SignInParts {
  readonly access: Access;
  readonly sessions: Sessions;
  readonly secret: Buffer | undefined;
  readonly clock: Clock;
  readonly metrics: MetricSet;
  /** CT-5.4.1-c. None rejects. */
  readonly granted: (operator: Operator) => Promise<void>;
  readonly ended: (operator: Operator) => Promise<void>;
  readonly denied: (who: string, what: string) => void;
}

/** Links that were used and are not yet too old to be used. */
const MAX_USED = 10_000;

export function addSignIn(app: FastifyInstance, parts: SignInParts): void {
  const { access, sessions, secret, clock, metrics } = parts;
  const startedAt = clock.now();
  const failures = new Failures(clock);
  /** By nonce: when it was made. */
  const used = new Map<string, EpochMs>();
  const outcome = (of: string) =>
    metrics.counter('certstatus_admin_sign_ins_total', 'Sign-ins on the admin port, by outcome.', { outcome: of });
  const counts = { opened: outcome('opened'), refused: outcome('refused'), limited: outcome('limited') };
  metrics.gauge('certstatus_admin_sessions', 'Number of people who are signed in on the admin port.', () => [
    [{}, sessions.count],
  ]);

  /** @throws Problem `forbidden` saying what is wrong with the link. */
  const linkOf = (token: string): LocalToken => {
    const said = secret === undefined ? undefined : readToken(secret, 'sign-in', token, clock.now());
    if (said === undefined) throw new Problem('forbidden', 'this link is not of this service');
    if (said === 'late') throw new Problem('forbidden', 'this link has run out: it is good for 5 minutes');
    // What was used before a restart is forgotten, so nothing from before it counts.
    if (said.madeAt < startedAt) throw new Problem('forbidden', 'this link is from before the service was started');
    if (used.has(said.nonce)) throw new Problem('forbidden', 'this link was used already: it is good for one time');
    return said;
  };
  const useLink = (token: string): Operator => {
    const { nonce, madeAt, user } = linkOf(token);
    for (const [old, at] of used) if (clock.now() > at + TOKEN_LIFE_MS + MINUTE) used.delete(old);
    if (used.size >= MAX_USED) throw new Problem('forbidden', 'too many links were used within 5 minutes: wait');
    used.set(nonce, madeAt);
    return localOperator(user);
  };
  const failed = (reply: FastifyReply, problem: Problem): FastifyReply => {
    if (failures.count()) {
      counts.refused.value += 1;
      parts.denied('unknown', `sign-in: ${problem.message}`);
      return page(reply.code(403), howTo(secret !== undefined, problem.message));
    }
    counts.limited.value += 1;
    return reply
      .code(429)
      .header('retry-after', '60')
      .type('text/plain')
      .send('too many sign-ins have failed: wait a minute\n');
  };

  app.get('/sign-in', { config: { needs: 'nobody' } }, (request, reply) => {
    const { token } = request.query as { token?: unknown };
    if (typeof token === 'string') {
      try {
        const { user } = linkOf(token);
        return page(reply, confirm(`Sign in as ${localOperator(user).name}`, 'token', token));
      } catch (error) {
        if (error instanceof Problem) return failed(reply, error);
        throw error;
      }
    }
    const person = access.personOf(request);
    const own = person === undefined ? '' : confirm(`Sign in as ${person.name}`, 'with', 'certificate');
    return page(reply, `${own}${howTo(secret !== undefined, undefined)}`);
  });

  app.post('/sign-in', { config: { needs: 'nobody' } }, async (request, reply) => {
    let operator: Operator | undefined;
    try {
      operator = field(request, 'with') === 'certificate' ? access.personOf(request) : useLink(field(request, 'token'));
      if (operator === undefined) throw new Problem('forbidden', NO_CERTIFICATE);
    } catch (error) {
      if (error instanceof Problem) return failed(reply, error);
      throw error;
    }
    const before = access.sessionOf(request);
    if (before !== undefined) sessions.close(before.id);
    const { id } = sessions.open(operator);
    counts.opened.value += 1;
    await parts.granted(operator);
    setCookie(request, reply, id);
    return reply.redirect('/', 303);
  });

  app.post('/sign-out', { config: { needs: 'view' } }, async (request: FastifyRequest, reply) => {
    const found = access.sessionOf(request);
    if (found !== undefined && sessions.close(found.id)) await parts.ended(found.session.operator);
    setCookie(request, reply, undefined);
    return reply.redirect('/sign-in', 303);
  });
}

const NO_CERTIFICATE =
  'this connection has no client certificate that intake.clients lists with view, operate, activate or audit';

function page(reply: FastifyReply, body: string): FastifyReply {
  const whole = `<header><h1>certstatus</h1></header>\n${body}`;
  return reply
    .type('text/html; charset=utf-8')
    .send(document({ title: 'Sign in', viewer: undefined, path: '/sign-in', body: whole }));
}

function confirm(label: string, name: string, value: string): string {
  return `<form method="post" action="/sign-in"><input type="hidden" name="${name}" value="${escape(value)}">
<p><button type="submit" autofocus>${escape(label)}</button></p></form>\n`;
}

function howTo(byLink: boolean, problem: string | undefined): string {
  const why = problem === undefined ? '' : `<p class="failing" role="alert">Not signed in: ${escape(problem)}.</p>\n`;
  const link = byLink
    ? `<li>From a shell of this machine, as the user of the service: <code>certstatus sign-in</code>, with the <code>--config</code> or <code>--data</code> of the service, prints a link, good for 5 minutes and one time.</li>`
    : '<li>There are no links from this machine’s shell: the log says why the secret for them cannot be kept.</li>';
  return `${why}<h2>How to sign in</h2>
<ul class="bullets">
${link}
<li>With a client certificate, where <code>listen.admin.tls</code> is set: its common name stands under <code>intake.clients</code>, with <code>view</code>, <code>operate</code>, <code>activate</code> or <code>audit</code>.</li>
</ul>
<p>Signed in already, and came here by a link of another page? <a href="/">Go on</a>.</p>`;
}
