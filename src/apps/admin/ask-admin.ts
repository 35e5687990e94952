/** Data of the admin port, for commands on the service's machine: they show the token that only the service's user can make. */
import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { request, type IncomingMessage } from 'node:http';
import { connect as connectTcp, type Socket } from 'node:net';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { Problem } from '../../core/problem.ts';
import { SECOND } from '../../core/time.ts';
import type { Config } from '../config.ts';
import { localAdminToken } from './local-secret.ts';

const TIMEOUT_MS = 5 * SECOND;

/** @returns the JSON of it. @throws Problem `unavailable` when nobody answers there, `forbidden` to whoever may not look. */
export async function askAdmin(config: Pick<Config, 'listen' | 'admin' | 'dataDir'>, path: string): Promise<unknown> {
  const { host, port } = config.listen.admin;
  const where = { field: 'listen.admin', value: `${host}:${port}` };
  // One that listens on every address is asked on this machine.
  const address = host === '0.0.0.0' || host === '::' ? '127.0.0.1' : host;
  const socket = await connected(address, port, config.admin.tls?.certificate, where);
  try {
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      const asked = request(
        {
          createConnection: () => socket,
          host: address,
          port,
          path,
          timeout: TIMEOUT_MS,
          headers: { connection: 'close', ...authorization(config.dataDir) },
        },
        resolve,
      );
      asked.on('timeout', () =>
        asked.destroy(
          new Problem('unavailable', `no answer within ${TIMEOUT_MS / SECOND} s: the service hangs`, where),
        ),
      );
      asked.on('error', (error) =>
        reject(error instanceof Problem ? error : new Problem('unavailable', error.message, where)),
      );
      asked.end();
    });
    const chunks: Buffer[] = [];
    for await (const chunk of response) chunks.push(chunk as Buffer);
    const text = Buffer.concat(chunks).toString();
    if (response.statusCode === 200) return JSON.parse(text);
    const refused = response.statusCode === 401 || response.statusCode === 403;
    throw refused
      ? new Problem('forbidden', `the secret in ${config.dataDir} is not that of the service there: give its --data or --config`, where) // prettier-ignore
      : new Problem('unavailable', `the service answers ${response.statusCode}: is it another one that has this port?`, where); // prettier-ignore
  } finally {
    socket.destroy();
  }
}

/** Nothing before the service has started once: then nobody answers, and that is what is to be said. */
function authorization(dataDir: string): { authorization?: string } {
  try {
    return { authorization: `Bearer ${localAdminToken(dataDir)}` };
  } catch (error) {
    if (error instanceof Problem && error.code === 'not-found') return {};
    throw error;
  }
}

/** With TLS to the holder of this very certificate: it is named after the machine, and the address that is asked may be another. */
function connected(
  host: string,
  port: number,
  certificate: string | undefined,
  where: { readonly field: string; readonly value: string },
): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = certificate === undefined ? connectTcp({ host, port }) : connectTls({ host, port, rejectUnauthorized: false }); // prettier-ignore
    const failed = (message: string): void => {
      socket.destroy();
      reject(new Problem('unavailable', message, where));
    };
    socket.setTimeout(TIMEOUT_MS, () => failed(`no connection within ${TIMEOUT_MS / SECOND} s`));
    socket.once('error', ({ code, message }: NodeJS.ErrnoException) =>
      failed(
        code === 'ECONNREFUSED'
          ? 'no service answers there: start it (certstatus serve), or give its --admin-port'
          : message,
      ),
    );
    socket.once(certificate === undefined ? 'connect' : 'secureConnect', () => {
      if (certificate === undefined || isHolder(socket as TLSSocket, certificate)) resolve(socket);
      else failed(`whoever answers has another certificate than ${certificate}`);
    });
  });
}

function isHolder(socket: TLSSocket, file: string): boolean {
  const { raw } = socket.getPeerCertificate();
  return new X509Certificate(readFileSync(file)).raw.equals(raw);
}
