/**
 * The signer's control interface: tokens, their activation by several persons, and their keys (CT-6.2.8, CT-6.2.9). A person is
 * the client certificate's common name.
 *
 * A share or PIN comes as JSON and so as a string, which cannot be overwritten; it is turned into octets at once, which are.
 * It is in no log line, no audit record and no problem document, also where it stands in the wrong place.
 */
import { randomBytes } from 'node:crypto';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { z } from 'zod';
import { Problem } from '../../core/problem.ts';
import { parseShare } from '../../core/share.ts';
import { tokenJson, viewJson } from './token-json.ts';
import type { Activation } from '../../flows/sign/activation.ts';
import type { Person } from '../../flows/sign/token-records.ts';
import type { UsedToken } from '../../flows/sign/signing-gauges.ts';
import type { SignerIssuer } from '../../flows/sign/sign.ts';
import type { TokenKey } from '../../ports/token.ts';
import { authorise, type Client, type Permission } from './clients.ts';
import { activationRequest, keyRequest, parseBody, shareRequest } from './schema.ts';

/** What a process with keys puts behind the routes. */
export interface TokenParts {
  readonly activation: Activation;
  readonly tokens: () => readonly UsedToken[];
  readonly signers: readonly SignerIssuer[];
}

/** More than any share needs. */
const BODY_LIMIT = 8 << 10;

export function addTokenRoutes(
  app: FastifyInstance,
  identify: (request: FastifyRequest) => Client,
  { activation, tokens, signers }: TokenParts,
): void {
  /** Whoever is to do something with a token must see how it is. */
  const mayLook = (request: FastifyRequest): void => {
    const client = identify(request);
    if (!client.may.includes('activate') && !client.may.includes('keys')) authorise(client, 'read', undefined);
  };
  const tokenOf = (request: FastifyRequest, right: Permission): { token: string; person: Person } => {
    const client = identify(request);
    authorise(client, right, undefined);
    return { token: (request.params as { token: string }).token, person: client };
  };

  app.get('/v1/tokens', (request) => {
    mayLook(request);
    return { tokens: tokens().map(tokenJson) };
  });

  app.post('/v1/tokens/:token/shares', { bodyLimit: BODY_LIMIT }, async (request) => {
    const { token, person } = tokenOf(request, 'activate');
    const { share } = parseSecret(shareRequest, request.body, '{"share":"certstatus-share:1:…"}');
    return viewJson(await activation.addShare(token, parseShare(share, 'share'), person));
  });

  app.post('/v1/tokens/:token/activations', { bodyLimit: BODY_LIMIT }, async (request) => {
    const { token, person } = tokenOf(request, 'activate');
    const { source } = activation.view(token);
    if (source === 'descriptor' || source === 'credential') {
      throw new Problem('refused', `token ${token} takes its PIN from the ${source} that it has at start`, {
        field: 'token',
        value: token,
        rule: 'CT-6.2.2',
      });
    }
    const pin = Buffer.from(parseSecret(activationRequest, request.body, '{"pin":"…"}').pin, 'utf8');
    try {
      return viewJson(await activation.activate(token, pin, [person]));
    } finally {
      pin.fill(0);
    }
  });

  app.post('/v1/tokens/:token/deactivations', async (request) => {
    const { token, person } = tokenOf(request, 'activate');
    return viewJson(await activation.deactivate(token, person));
  });

  app.get('/v1/tokens/:token/keys', async (request) => {
    mayLook(request);
    const { token } = request.params as { token: string };
    return { keys: (await activation.keys(token)).map((key) => keyJson(key, signers)) };
  });

  app.post('/v1/tokens/:token/keys', { bodyLimit: BODY_LIMIT }, async (request) => {
    const { token, person } = tokenOf(request, 'keys');
    const { type, label, id } = parseBody(keyRequest, request.body);
    const octets = id === undefined ? randomBytes(16) : Buffer.from(id, 'hex');
    return keyJson(await activation.generate(token, type, label, octets, person), signers);
  });
}

/** @throws Problem `invalid` with nothing of the body in it. */
function parseSecret<T>(schema: z.ZodType<T>, body: unknown, shape: string): T {
  const result = schema.safeParse(body);
  if (result.success) return result.data;
  throw new Problem('invalid', `is not ${shape}`, { field: 'body' });
}

function keyJson(
  { label, id, type, publicKey, sensitive, extractable }: TokenKey,
  signers: readonly SignerIssuer[],
): object {
  const usedBy = signers.flatMap(({ served, keys }) => {
    const own = [...keys.ocsp, ...(keys.crl === undefined ? [] : [['crl', keys.crl] as const])];
    return own.flatMap(([what, { holder }]) =>
      publicKey !== undefined && holder.publicKey.equals(publicKey) ? [`${served.id} ${what}`] : [],
    );
  });
  return {
    label,
    id,
    type,
    ...(publicKey !== undefined && { publicKey: publicKey.toString('base64') }),
    sensitive,
    extractable,
    usedBy,
  };
}
