/**
 * Who may see and do what on the admin port. Every route says what it needs (`config: { needs }`), and one that says nothing is a
 * defect found at start: nothing is open because somebody forgot.
 *
 * A form is taken when it comes from a page of this port (Sec-Fetch-Site, which no page can forge; Origin, where a browser sends
 * none) and has the session's token. No GET changes anything.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { TLSSocket } from 'node:tls';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { Problem } from '../../core/problem.ts';
import { MINUTE, type EpochMs } from '../../core/time.ts';
import { clientOf } from '../intake/clients.ts';
import type { IntakeClient } from '../intake-config.ts';
import type { Clock } from '../../ports/clock.ts';
import { ADMIN_RIGHTS, CONTENT_SECURITY_POLICY, type AdminRight, type Viewer } from './layout.ts';
import { readToken } from './local-secret.ts';
import { LONGEST_MS, type Operator, type Session, type Sessions } from './sessions.ts';

/** What a route asks of whoever asks for it. */
export type Needs =
  /** Open to whoever reaches the port. */
  | 'nobody'
  /** The token of `listen.admin.metricsToken`, or a session; nothing where no such token is configured. */
  | 'scraper'
  | AdminRight;

export interface RouteNeeds {
  readonly needs: Needs;
  /** True: who may not is told in JSON, and a Bearer token of this machine will do; else they are led to the sign-in page. */
  readonly data?: boolean;
}

/** Who asks. */
export interface Asker {
  readonly operator: Operator;
  readonly viewer: Viewer;
  /** Undefined: a Bearer token, which may only look. */
  readonly session: Session | undefined;
}

export interface AccessParts {
  readonly sessions: Sessions;
  /** Undefined where none can be kept: then nobody signs in by a link. */
  readonly secret: Buffer | undefined;
  /** As they are now: a reload changes them, as it does the next. */
  readonly clients: () => readonly IntakeClient[];
  /** SHA-256 of what a scraper sends; undefined: anybody may scrape. */
  readonly metricsDigest: () => Buffer | undefined;
  readonly clock: Clock;
  /** CT-5.4.1-c. Never rejects. */
  readonly denied: (who: string, what: string) => void;
}

/** What the person at a shell of this machine may do: not activate, for which persons have certificates of their own (CT-6.2.8). */
const LOCAL_RIGHTS: readonly AdminRight[] = ['view', 'operate', 'audit'];

export class Access {
  readonly #parts: AccessParts;
  readonly #askers = new WeakMap<FastifyRequest, Asker>();

  constructor(parts: AccessParts) {
    this.#parts = parts;
  }

  /** Before any route is added. */
  guard(app: FastifyInstance): void {
    app.addHook('onRoute', (route) => {
      if (needsOf(route.config) === undefined)
        throw new Error(`${String(route.method)} ${route.url} does not say what it needs`);
    });
    app.addHook('onRequest', async (request, reply) => {
      for (const [name, value] of Object.entries(HEADERS)) reply.header(name, value);
      const route = needsOf(request.routeOptions.config);
      // No such route: that is said to everybody.
      if (route === undefined || route.needs === 'nobody') return;
      return this.#admit(request, reply, route);
    });
    app.addHook('preHandler', async (request) => {
      if (request.method === 'GET' || request.method === 'HEAD') return;
      mustComeFromHere(request);
      const session = this.#askers.get(request)?.session;
      // The sign-in form has none yet: what it sends is itself the proof.
      if (session !== undefined && !sameText(field(request, 'csrf'), session.csrf))
        throw new Problem('forbidden', 'the form has run out: go back, load the page again, and send it once more', {
          field: 'csrf',
        });
    });
  }

  /** Who asks. @throws Error on a route that needs nobody. */
  askerOf(request: FastifyRequest): Asker {
    const asker = this.#askers.get(request);
    if (asker === undefined) throw new Error('a route that needs nobody asks who it is');
    return asker;
  }

  /** The session of the cookie that came along, whatever the route needs. */
  sessionOf(request: FastifyRequest): { readonly id: string; readonly session: Session } | undefined {
    const id = cookieOf(request);
    const session = id === undefined ? undefined : this.#parts.sessions.find(id, isActive(request));
    if (id === undefined || session === undefined) return undefined;
    // Who has stolen the cookie has not stolen the key.
    const { fingerprint } = session.operator;
    if (fingerprint === undefined) return { id, session };
    const person = this.personOf(request);
    // What they may do is what the configuration says now, not what it said when they signed in.
    return person?.fingerprint === fingerprint ? { id, session: { ...session, operator: person } } : undefined;
  }

  /** The person behind the connection's client certificate, if they may do anything here. */
  personOf(request: FastifyRequest): Operator | undefined {
    const socket = request.raw.socket as TLSSocket;
    if (socket.encrypted !== true || !socket.authorized) return undefined;
    try {
      const { name, actor, issuers, may } = clientOf(socket, this.#parts.clients());
      const rights = ADMIN_RIGHTS.filter((right) => may.includes(right));
      // Whoever may do something here must see what it is about.
      const own = new Set<AdminRight>(rights.length === 0 ? [] : ['view', ...rights]);
      const fingerprint = socket.getPeerCertificate().fingerprint256;
      return own.size === 0 ? undefined : { name, actor, issuers, fingerprint, may: [...own] };
    } catch (error) {
      if (error instanceof Problem) return undefined;
      throw error;
    }
  }

  async #admit(request: FastifyRequest, reply: FastifyReply, { needs, data }: RouteNeeds): Promise<unknown> {
    if (needs === 'scraper' && this.#mayScrape(request)) return undefined;
    const right = needs === 'scraper' ? 'view' : (needs as AdminRight);
    const asker = this.#asker(request, data === true || needs === 'scraper');
    if (asker === undefined) {
      if (data !== true && needs !== 'scraper' && request.method === 'GET') return reply.redirect('/sign-in', 303);
      throw new SignedOut();
    }
    this.#askers.set(request, asker);
    if (asker.operator.may.includes(right)) return undefined;
    this.#parts.denied(asker.operator.actor, `${request.method} ${pathOf(request)} needs the right ${right}`);
    throw new Problem('forbidden', `${asker.operator.name} has not the right ${right}`, {
      field: 'right',
      value: asker.operator.name,
      rule: 'CT-5.2.1',
    });
  }

  #asker(request: FastifyRequest, data: boolean): Asker | undefined {
    const found = this.sessionOf(request);
    if (found !== undefined) {
      const { operator, csrf } = found.session;
      return { operator, session: found.session, viewer: { name: operator.name, may: operator.may, csrf } };
    }
    const bearer = data && request.method === 'GET' ? bearerOf(request) : undefined;
    const { secret, clock } = this.#parts;
    const said =
      bearer === undefined || secret === undefined ? undefined : readToken(secret, 'bearer', bearer, clock.now());
    if (said === undefined || said === 'late') {
      if (bearer !== undefined) this.#parts.denied('unknown', `${pathOf(request)}: the Bearer token is not of this machine, or has run out`); // prettier-ignore
      return undefined;
    }
    const operator = localOperator(said.user);
    return { operator, session: undefined, viewer: { name: operator.name, may: operator.may, csrf: '' } };
  }

  #mayScrape(request: FastifyRequest): boolean {
    const metricsDigest = this.#parts.metricsDigest();
    if (metricsDigest === undefined) return true;
    const bearer = bearerOf(request);
    return bearer !== undefined && timingSafeEqual(digest(bearer), metricsDigest);
  }
}

/** Nobody is signed in: 401, where there is no page to be led to. */
export class SignedOut extends Error {}

export function localOperator(user: string): Operator {
  const actor = `${user} (local shell)`;
  return { name: actor, actor, may: LOCAL_RIGHTS, issuers: ['*'], fingerprint: undefined };
}

export function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}

/** What the body has under this name; empty when it has nothing. */
export function field(request: FastifyRequest, name: string): string {
  const { body } = request;
  return body instanceof URLSearchParams ? (body.get(name) ?? '') : '';
}

export function setCookie(request: FastifyRequest, reply: FastifyReply, id: string | undefined): void {
  const life = id === undefined ? 0 : Math.floor(LONGEST_MS / 1000);
  const secure = request.protocol === 'https' ? '; Secure' : '';
  reply.header(
    'set-cookie',
    `${cookieName(request)}=${id ?? ''}; Path=/; HttpOnly; SameSite=Strict; Max-Age=${life}${secure}`,
  );
}

/**
 * A browser sends a host's cookies to every port of it: with the port in the name, the admin ports of a machine do not sign each
 * other's people out. `__Host-` (TLS alone) keeps other hosts of the domain from setting it.
 */
function cookieName(request: FastifyRequest): string {
  const name = `certstatus-${request.raw.socket.localPort ?? 0}`;
  return request.protocol === 'https' ? `__Host-${name}` : name;
}

function cookieOf(request: FastifyRequest): string | undefined {
  const name = `${cookieName(request)}=`;
  const pair = (request.headers.cookie ?? '').split('; ').find((one) => one.startsWith(name));
  const id = pair?.slice(name.length);
  return id !== undefined && /^[0-9a-f]{64}$/.test(id) ? id : undefined;
}

/**
 * Did a person do this? A form, or a page that they opened; not one that reloads, or that another site's page asks for. Browsers from
 * before Sec-Fetch-User are taken for idle until they send a form.
 */
function isActive({ method, headers }: FastifyRequest): boolean {
  return method === 'POST' || headers['sec-fetch-user'] === '?1';
}

/** @throws Problem `forbidden` for a form that another site's page has sent, or nobody knows which. */
function mustComeFromHere(request: FastifyRequest): void {
  const { origin, 'sec-fetch-site': site } = request.headers;
  // Under `no-referrer` browsers send `Origin: null` with their own forms: then Sec-Fetch-Site alone says where it came from.
  const other = origin !== undefined && origin !== 'null' && origin !== `${request.protocol}://${request.host}`;
  const known = site === 'same-origin' || (site === undefined && origin !== undefined && origin !== 'null');
  if (other || !known)
    throw new Problem('forbidden', 'the form was not sent from a page of this port', {
      field: 'Origin',
      value: origin ?? site ?? 'none',
    });
}

function bearerOf({ headers }: FastifyRequest): string | undefined {
  return /^Bearer +(\S+)$/i.exec(headers.authorization ?? '')?.[1];
}

function sameText(given: string, own: string): boolean {
  return timingSafeEqual(digest(given), digest(own));
}

/** As the route is written: without what a client has put into it. */
function pathOf(request: FastifyRequest): string {
  return request.routeOptions.url ?? '';
}

function needsOf(config: unknown): RouteNeeds | undefined {
  return (config as { needs?: unknown } | undefined)?.needs === undefined ? undefined : (config as RouteNeeds);
}

const HEADERS = {
  'cache-control': 'no-store',
  // Styles stand in the pages; there are no scripts, and nobody may put a page into theirs.
  'content-security-policy': CONTENT_SECURITY_POLICY,
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
} as const;

/** Failed sign-ins: as many at once, and one more every two seconds. */
const MOST_FAILURES = 30;
const FAILURES_PER_MS = 30 / MINUTE;

/**
 * Bounds what failed sign-ins cost. It never stands in the way of who has the right link or certificate: a flood must not keep the
 * operators out, and 256 bits need no other protection against guessing.
 */
export class Failures {
  readonly #clock: Clock;
  #left = MOST_FAILURES;
  #at: EpochMs;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#at = clock.now();
  }

  /** Counts one; false when there have been too many. */
  count(): boolean {
    const now = this.#clock.now();
    this.#left = Math.min(MOST_FAILURES, this.#left + Math.max(0, now - this.#at) * FAILURES_PER_MS);
    this.#at = now;
    if (this.#left < 1) return false;
    this.#left -= 1;
    return true;
  }
}
