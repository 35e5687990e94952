/**
 * The intake's interface for commands: over TLS to a running service, or in process when none is running. The same requests,
 * the same answers; a command does not know which.
 */
import { readFileSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { Agent, request } from 'node:https';
import { connect } from 'node:net';
import { openArchiveKeeper } from './archive-keeping.ts';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import type { ImportRow } from '../core/import/row.ts';
import { MetricSet } from '../core/metric.ts';
import { Problem, type ProblemCode } from '../core/problem.ts';
import { rfc3339 } from '../core/time.ts';
import type { Log } from '../flows/log.ts';
import type { Loaded } from './config.ts';
import { fileProblem } from './errors.ts';
import { refuseForeignDirectory, shellUser } from './shell-user.ts';
import { openCore } from './core.ts';
import type { Client } from './intake/clients.ts';
import { openCrlBooks } from './crl-books.ts';
import { makeIntake } from './intake/server.ts';
import { openMass } from './mass.ts';
import { responderChanges } from './responder-life.ts';
import { Keyring } from './signing-keys.ts';

export interface Api {
  /** The JSON of the answer. @param withinMs of silence; 30 s when nothing is said. @throws Problem as the intake says it. */
  call(method: 'GET' | 'POST', path: string, body?: object, withinMs?: number): Promise<unknown>;
  /** An answer of one line each, as they come; empty lines are left out. With a body it is a POST. @throws Problem as the intake says it. */
  lines(path: string, body?: object): AsyncIterable<string>;
  /** Rows of an existing CA's records. In process they need not be written and read once more: this program has read them. */
  importRows(issuer: string, source: string, rows: readonly ImportRow[]): Promise<ImportAnswer>;
  /** Where the answers come from, for people. */
  readonly where: string;
  close(): Promise<void>;
}

export interface ImportAnswer {
  readonly accepted: number;
  readonly unchanged: number;
  readonly rejected: readonly { readonly line: number; readonly problem: string }[];
}

const TIMEOUT_MS = 30_000;

/**
 * Uses the running service if its intake can be reached, else the data directory itself.
 * @param need `archive`: the command works on the archive, whose copies are opened for it alone.
 */
export async function openApi(loaded: Loaded, log: Log, need: { readonly archive?: boolean } = {}): Promise<Api> {
  const { host, port } = loaded.config.listen.intake;
  if (await listening(host, port)) return remote(loaded, host, port);
  if (loaded.config.store.kind !== 'embedded') {
    throw new Problem('unavailable', 'no intake answers there: start it, or name another with --intake-port', {
      field: 'listen.intake',
      value: `${host}:${port}`,
    });
  }
  try {
    return await local(loaded, log, need.archive === true);
  } catch (error) {
    if (error instanceof Problem && error.code === 'unavailable') {
      throw new Problem(
        'unavailable',
        `a certstatus process has the data directory open, but no intake answers at ${host}:${port}; give its port with --intake-port`,
        {
          field: 'dataDir',
          value: loaded.config.dataDir,
        },
      );
    }
    throw error;
  }
}

/**
 * Of the running service alone: what is in its memory is nowhere else.
 * @param own the client certificate of the person who asks, instead of the configured one.
 */
export async function openServiceApi(
  loaded: Loaded,
  own: { readonly certificate?: string | undefined; readonly key?: string | undefined } = {},
): Promise<Api> {
  const { host, port } = loaded.config.listen.intake;
  if (!(await listening(host, port))) {
    throw new Problem('unavailable', 'no service answers; tokens are activated in the running service', {
      field: 'intake',
      value: `${host}:${port}`,
    });
  }
  return remote(loaded, host, port, own);
}

function remote(loaded: Loaded, host: string, port: number, own: Parameters<typeof openServiceApi>[1] = {}): Api {
  const { cli } = loaded.config;
  if (cli === undefined)
    throw new Problem(
      'config',
      'the service runs, and this command has no client certificate to talk to it with: set cli in the configuration',
      { field: 'cli', value: loaded.config.file },
    );
  const read = (field: string, path: string): Buffer => {
    try {
      return readFileSync(path);
    } catch (error) {
      throw new Problem('config', `cannot be read: ${fileProblem(error)}`, { field: `cli.${field}`, value: path });
    }
  };
  const agent = new Agent({
    keepAlive: true,
    cert: read('certificate', own.certificate ?? cli.certificate),
    key: read('key', own.key ?? cli.key),
    ca: read('ca', cli.ca),
    timeout: TIMEOUT_MS,
  });
  const call: Api['call'] = (method, path, body, withinMs = TIMEOUT_MS) =>
    new Promise((resolve, reject) => {
      const payload = body === undefined ? undefined : JSON.stringify(body);
      const outgoing = request(
        {
          agent,
          host,
          port,
          method,
          path,
          timeout: withinMs,
          headers: headersOf(payload),
        },
        (response) => {
          const chunks: Buffer[] = [];
          response.on('data', (chunk: Buffer) => chunks.push(chunk));
          response.on('end', () => settle(response.statusCode ?? 0, Buffer.concat(chunks).toString(), resolve, reject));
          response.on('error', reject);
        },
      );
      outgoing.on('timeout', () =>
        outgoing.destroy(
          new Problem('unavailable', `no answer within ${withinMs / 1000} s; the service may still do it`, {
            field: 'intake',
            value: `${host}:${port}`,
          }),
        ),
      );
      outgoing.on('error', (error) => reject(error instanceof Problem ? error : unusable(error, `${host}:${port}`)));
      outgoing.end(payload);
    });
  async function* lines(path: string, body?: object): AsyncGenerator<string> {
    const payload = body === undefined ? undefined : JSON.stringify(body);
    const method = payload === undefined ? 'GET' : 'POST';
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      const outgoing = request({ agent, host, port, method, path, headers: headersOf(payload) }, resolve);
      outgoing.on('error', (error) => reject(unusable(error, `${host}:${port}`)));
      outgoing.end(payload);
    });
    yield* linesOf(response.statusCode ?? 0, response);
  }
  return {
    where: `https://${host}:${port}`,
    call,
    lines,
    importRows: async (issuer, source, rows) =>
      (await call('POST', `/v1/issuers/${encodeURIComponent(issuer)}/import`, {
        source,
        rows: rows.map(wireRow),
      })) as ImportAnswer,
    close: () => Promise.resolve(agent.destroy()),
  };
}

async function local(loaded: Loaded, log: Log, needsArchive: boolean): Promise<Api> {
  refuseForeignDirectory(loaded.config.dataDir);
  const core = await openCore(loaded, log);
  const client: Client = {
    name: 'local shell',
    actor: `${shellUser()} (local shell)`,
    issuers: ['*'],
    may: ['issue', 'revoke', 'import', 'read', 'keys'],
  };
  // Keys in files; a token is only activated while a service runs.
  const keyring = new Keyring(loaded.config.tokens, (message) => log.warn({}, message));
  const archive = needsArchive ? await openArchiveKeeper(core, new MetricSet()) : undefined;
  const mass = openMass(core, undefined);
  // What was under way can be stopped before the service is started again.
  await mass?.runs.adopt();
  const app = makeIntake({
    core,
    identify: () => client,
    publisherOf: () => undefined,
    responders: core.journal && responderChanges(core, core.journal, keyring),
    archive,
    books: core.journal && openCrlBooks(core, core.journal),
    tokens: undefined,
    mass,
    tls: undefined,
  });
  // Timers of the clock keep no process alive, and work that rests waits for nothing else: a command must not end before its answer.
  const alive = setInterval(() => undefined, TIMEOUT_MS);
  return {
    where: loaded.config.dataDir,
    async call(method, path, body) {
      const response = await app.inject({ method, url: path, ...(body !== undefined && { payload: body }) });
      return new Promise((resolve, reject) => settle(response.statusCode, response.payload, resolve, reject));
    },
    async *lines(path, body) {
      const method = body === undefined ? 'GET' : 'POST';
      const response = await app.inject({ method, url: path, payloadAsStream: true, ...(body && { payload: body }) });
      yield* linesOf(response.statusCode, response.stream());
    },
    async importRows(issuer, source, rows) {
      const served = core.issuers.get(issuer);
      if (core.recorder === undefined || served === undefined)
        throw new Problem('unavailable', 'no events are taken here', { field: 'issuer', value: issuer });
      const { accepted, unchanged, rejected } = await core.recorder.import(served, rows, client.actor, source);
      return { accepted, unchanged, rejected: rejected.map(({ line, problem }) => ({ line, problem: problem.line })) };
    },
    async close() {
      clearInterval(alive);
      await app.close();
      await archive?.stop();
      await mass?.stop();
      await keyring.close();
      await core.close();
    },
  };
}

/** Why there is no TLS connection with whoever listens there, and what to do. */
function unusable(error: NodeJS.ErrnoException, value: string): Problem {
  const { code = '' } = error;
  // What OpenSSL says has lines of its own, and an end of line.
  const message = error.message.trim().replace(/\s*\n\s*/g, '; ');
  const advice = /SELF_SIGNED|UNABLE_TO|LEAF_SIGNATURE/.test(code)
    ? 'its certificate is not of the CA in cli.ca: another service has this port; give --data, --config or --intake-port of yours'
    : /ALTNAME/.test(code)
      ? 'its certificate is not for this name: set listen.intake to the name that stands in it'
      : code === 'CERT_HAS_EXPIRED'
        ? 'its certificate has ended: put a new one in the place of intake.certificate, and its key'
        : /wrong version number|packet length too long/.test(message)
          ? 'what listens there speaks no TLS: another program has this port; give --data, --config or --intake-port of yours'
          : /ERR_SSL_.*ALERT|ECONNRESET/.test(code)
            ? `it refuses the client certificate of this command (cli.certificate), or does not speak TLS: ${message}`
            : `the intake cannot be used: ${message}`;
  return new Problem('unavailable', advice, { field: 'listen.intake', value });
}

function headersOf(payload: string | undefined): Record<string, string | number> {
  if (payload === undefined) return {};
  return { 'content-type': 'application/json', 'content-length': Buffer.byteLength(payload) };
}

function wireRow(row: ImportRow): object {
  return {
    line: row.line,
    serial: row.serial,
    ...(row.notBefore !== undefined && { notBefore: rfc3339(row.notBefore) }),
    ...(row.notAfter !== undefined && { notAfter: rfc3339(row.notAfter) }),
    ...(row.precertificate && { precertificate: true }),
    ...(row.crlShard !== undefined && { crlShard: row.crlShard }),
    ...(row.crlUrls !== undefined && { crlUrls: row.crlUrls }),
    ...(row.isCa !== undefined && { isCa: row.isCa }),
    ...(row.withoutOcsp && { namesOcsp: false }),
    ...(row.spkiHash !== undefined && { spkiHash: row.spkiHash }),
    ...(row.revocation !== undefined && { revokedAt: rfc3339(row.revocation.revokedAt) }),
    ...(row.revocation?.reason !== undefined && { reason: row.revocation.reason }),
  };
}

async function* linesOf(status: number, stream: Readable): AsyncGenerator<string> {
  if (status !== 200) {
    const chunks: Buffer[] = [];
    for await (const chunk of stream) chunks.push(chunk as Buffer);
    await new Promise((resolve, reject) => settle(status, Buffer.concat(chunks).toString(), resolve, reject));
  }
  for await (const line of createInterface({ input: stream, crlfDelay: Infinity })) if (line !== '') yield line;
}

/** An answer of the intake: its JSON, or the Problem that it says. */
export function settle(
  status: number,
  payload: string,
  resolve: (value: unknown) => void,
  reject: (error: Error) => void,
): void {
  let answer: unknown;
  try {
    answer = JSON.parse(payload);
  } catch {
    return reject(
      new Problem('unavailable', `the intake answered ${status} without JSON`, { field: 'intake', value: payload }),
    );
  }
  if (status === 200) return resolve(answer);
  const { title, detail, field, value, rule } = answer as {
    title?: ProblemCode;
    detail?: string;
    field?: string;
    value?: string;
    rule?: string;
  };
  reject(
    new Problem(title ?? 'unavailable', detail ?? `the intake answered ${status}`, {
      ...(field !== undefined && { field }),
      ...(value !== undefined && { value }),
      ...(rule !== undefined && { rule }),
    }),
  );
}

function listening(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port, timeout: 1000 });
    const done = (answer: boolean): void => {
      socket.destroy();
      resolve(answer);
    };
    socket.on('connect', () => done(true));
    socket.on('error', () => done(false));
    socket.on('timeout', () => done(false));
  });
}
