/**
 * Mass revocations over the private interface (right `revoke`, for every issuer that is meant): lists handed in, plans, runs, drills,
 * reports; and what is known of compromised keys.
 */
import { Readable } from 'node:stream';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { completeCrl } from '../../core/certificate.ts';
import { outlook, type MassPlan } from '../../core/mass/plan.ts';
import { massReport, reportMarkdown } from '../../core/mass/report.ts';
import type { Window } from '../../core/mass/order.ts';
import { Problem } from '../../core/problem.ts';
import { serialFromHex } from '../../core/serial.ts';
import { parseRfc3339, type EpochMs } from '../../core/time.ts';
import type { ServedIssuer } from '../../flows/issuer-setup.ts';
import type { MassView } from '../../flows/mass/mass-revocation.ts';
import type { Core } from '../core.ts';
import type { MassRole } from '../mass.ts';
import { VERSION } from '../version.ts';
import { authorise, type Client } from './clients.ts';
import { compromiseRequest, drillRequest, listRequest, planRequest, startRequest } from './mass-schema.ts';
import { parseBody } from './schema.ts';

/** Of a drill, unless it says otherwise. */
const DRILLED_CERTIFICATES = 10_000;

export function addMassRoutes(
  app: FastifyInstance,
  core: Core,
  mass: MassRole,
  identify: (request: FastifyRequest) => Client,
): void {
  const { planner, runs, shelf, drill } = mass;
  const { clock } = core;

  /** The issuers that are meant, if the client may revoke for each: a part of what was asked for would be the wrong thing. */
  const issuersOf = (request: FastifyRequest, ids: readonly string[]): readonly ServedIssuer[] => {
    const client = identify(request);
    const named = ids.includes('*') ? [...core.issuers.keys()] : [...new Set(ids)];
    for (const id of named) authorise(client, 'revoke', id);
    return named.map((id) => {
      const issuer = core.issuers.get(id);
      if (issuer === undefined) throw new Problem('not-found', 'no such issuer', { field: '/issuers', value: id });
      return issuer;
    });
  };
  /** Who may see or move a plan: who might have made it. */
  const planOf = async (request: FastifyRequest): Promise<{ plan: MassPlan; client: Client }> => {
    const { plan: id } = request.params as { plan: string };
    const client = identify(request);
    authorise(client, 'revoke', undefined);
    const plan = await shelf.plan(id);
    if (plan === undefined) throw new Problem('not-found', 'there is no such plan here', { field: 'plan', value: id });
    for (const issuer of plan.issuers) authorise(client, 'revoke', issuer.id);
    return { plan, client };
  };
  const viewOf = async (plan: MassPlan): Promise<object> => {
    const view = await runs.view(plan.id);
    return { plan, outlook: outlook(plan, clock.now()), ...(view && { progress: progressOf(view) }) };
  };

  app.post('/v1/mass/lists', async (request) => {
    const { issuer, list, serials } = parseBody(listRequest, request.body);
    issuersOf(request, [issuer]);
    const parsed = serials.map((serial, i) => serialFromHex(serial, `/serials/${i}`));
    return { list: await shelf.upload(list, parsed) };
  });

  app.post('/v1/mass/plans', (request) => {
    const body = parseBody(planRequest, request.body);
    const now = clock.now();
    const issuers = issuersOf(request, body.issuers);
    const { id } = planner.begin(
      {
        issuers,
        criteria: {
          keys: body.keys,
          notBefore: windowOf(body.notBefore, '/notBefore'),
          recorded: windowOf(body.recorded, '/recorded'),
        },
        list: body.list,
        order: {
          reason: body.reason,
          clause: body.clause,
          awareAt: instant(body.awareAt, '/awareAt') ?? now,
          revokedAt: instant(body.revokedAt, '/revokedAt'),
          suspected: body.suspected === true,
          requestedBy: body.requestedBy,
        },
        measureMs: body.measureMs,
      },
      identify(request).actor,
    );
    return { plan: id };
  });

  app.get('/v1/mass/plans', async (request) => {
    const client = identify(request);
    authorise(client, 'read', undefined);
    const seen = (await shelf.plans()).filter((plan) =>
      plan.issuers.every(({ id }) => client.issuers.includes('*') || client.issuers.includes(id)),
    );
    const plans: object[] = [];
    for (const { id, createdAt, createdBy, counts, order, digest } of seen) {
      const run = (await runs.view(id))?.run;
      plans.push({ id, digest, createdAt, createdBy, counts, order, state: run?.state ?? 'planned' });
    }
    return { plans };
  });

  app.get('/v1/mass/plans/:plan', async (request) => {
    const planning = planner.planning((request.params as { plan: string }).plan);
    if (planning !== undefined && (!planning.done || planning.failure !== undefined)) {
      authorise(identify(request), 'revoke', undefined);
      if (planning.failure !== undefined) throw planning.failure;
      return { planning: { id: planning.id, scanned: planning.scanned } };
    }
    return viewOf((await planOf(request)).plan);
  });

  app.post('/v1/mass/plans/:plan/start', async (request) => {
    const { plan, client } = await planOf(request);
    const { digest } = parseBody(startRequest, request.body ?? {});
    await runs.begin(plan.id, digest, client.actor);
    return viewOf(plan);
  });

  for (const change of ['pause', 'resume', 'abort'] as const) {
    app.post(`/v1/mass/plans/:plan/${change}`, async (request) => {
      const { plan, client } = await planOf(request);
      await runs[change](plan.id, client.actor);
      return viewOf(plan);
    });
  }

  app.post('/v1/mass/plans/:plan/discard', async (request) => {
    const { plan, client } = await planOf(request);
    if (drill?.running(plan.id) === true)
      throw new Problem('conflict', 'its drill is not over', { field: 'plan', value: plan.id });
    await runs.discard(plan.id, client.actor);
    return { plan: plan.id, discarded: true };
  });

  app.post('/v1/mass/plans/:plan/drill', async (request) => {
    const { plan, client } = await planOf(request);
    const { certificates } = parseBody(drillRequest, request.body ?? {});
    if (drill === undefined)
      throw new Problem('unavailable', 'this process has no keys: a drill needs the running service with the signer role'); // prettier-ignore
    await drill.begin(plan.id, certificates ?? DRILLED_CERTIFICATES, client.actor);
    return { running: true };
  });

  app.get('/v1/mass/plans/:plan/drill', async (request) => {
    const { plan } = await planOf(request);
    if (drill?.running(plan.id) === true) return { running: true };
    return { running: false, drill: await shelf.drill(plan.id) };
  });

  app.get('/v1/mass/plans/:plan/report', async (request) => {
    const { plan } = await planOf(request);
    const run = (await runs.view(plan.id))?.run;
    const parts = { plan, run, drill: await shelf.drill(plan.id), program: `certstatus ${VERSION}` };
    const report = massReport(parts, clock.now());
    return { report, markdown: reportMarkdown(report) };
  });

  app.post('/v1/issuers/:issuer/compromised-keys', async (request) => {
    const { issuer: id } = request.params as { issuer: string };
    const [issuer] = issuersOf(request, [id]) as [ServedIssuer];
    const { spkiHash, evidence, key, challenge, requestedBy } = parseBody(compromiseRequest, request.body);
    let [certificates, unexpired] = [0, 0];
    const now = clock.now();
    for await (const page of core.store.certificates(issuer.tag)) {
      for (const certificate of page) {
        if (certificate.spkiHash !== spkiHash) continue;
        certificates += 1;
        if (certificate.notAfter === undefined || certificate.notAfter >= now) unexpired += 1;
      }
    }
    await core.journal?.append([
      {
        type: 'key.compromised',
        actor: identify(request).actor,
        issuer: issuer.id,
        issuerTag: issuer.tag,
        description: `key ${spkiHash} (${key}): ${evidence === 'suspected' ? 'said to be compromised' : `proven by ${evidence}`}; ${unexpired} unexpired certificates; clause 4.9.1.1-3`,
        detail: { spkiHash, evidence, challenge, requestedBy, certificates, unexpired },
      },
    ]);
    return { spkiHash, certificates, unexpired };
  });

  app.get('/v1/issuers/:issuer/compromised-keys', (request, reply) => {
    const { issuer: id } = request.params as { issuer: string };
    authorise(identify(request), 'read', id);
    const issuer = core.issuers.get(id);
    if (issuer === undefined) throw new Problem('not-found', 'no such issuer', { field: 'issuer', value: id });
    return reply.type('application/x-ndjson').send(Readable.from(compromisedKeys(core, issuer)));
  });
}

/** CT-6.1.1-g: one line of JSON per key, each once, of whatever was revoked for keyCompromise and is known by its key. */
async function* compromisedKeys({ store }: Core, { tag }: ServedIssuer): AsyncGenerator<string> {
  const told = new Set<string>();
  for await (const page of store.revokedEntries(completeCrl(tag)).pages) {
    const serials = page.filter(({ reason }) => reason === 'keyCompromise').map(({ serial }) => serial);
    if (serials.length === 0) continue;
    let lines = '';
    for (const certificate of await store.find(tag, serials)) {
      if (certificate?.spkiHash === undefined || told.has(certificate.spkiHash)) continue;
      told.add(certificate.spkiHash);
      lines += `${JSON.stringify({ spkiHash: certificate.spkiHash, serial: certificate.serial })}\n`;
    }
    if (lines !== '') yield lines;
  }
}

function progressOf({ run, waiting, failure, ...pace }: MassView): object {
  const { recordedPerSecond, signedPerSecond, recordingLeftMs, signingLeftMs } = pace;
  return { run, waiting, failure, recordedPerSecond, signedPerSecond, recordingLeftMs, signingLeftMs };
}

function windowOf(
  given: { from?: string | undefined; to?: string | undefined } | undefined,
  field: string,
): Window | undefined {
  if (given === undefined) return undefined;
  return { from: instant(given.from, `${field}/from`), to: instant(given.to, `${field}/to`) };
}

function instant(text: string | undefined, field: string): EpochMs | undefined {
  return text === undefined ? undefined : parseRfc3339(text, field);
}
