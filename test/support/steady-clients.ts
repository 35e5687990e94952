/**
 * Clients of one port that ask without a pause and never ask twice: whatever they do not get is lost. Some connect once per question
 * as stapling software does (HTTP/1.0), some keep their connection until they are told that a reply was its last.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { getPath, ocspRequest, readOctets, type OcspIssuer } from './ocsp-client.ts';
import { RawConnection, type RawAnswer } from './raw-connection.ts';

export interface Steady {
  readonly port: number;
  /** Where OCSP is, e.g. `/OcspServer`. */
  readonly path: string;
  readonly issuer: OcspIssuer;
  /** Of a certificate that is good all the time; hex. */
  readonly serial: string;
  /** How many of each kind. */
  readonly clients?: number;
}

const PAUSE_MS = 10;
/** Late is not lost: how long a start takes is the machine's affair. */
const PATIENCE_MS = 60_000;

export class SteadyClients {
  answered = 0;
  /** Why each question that was not answered was not. */
  readonly lost: string[] = [];
  /** Kept connections that ended without a word in the last reply. */
  unannounced = 0;
  /** The longest that anybody waited (ms). */
  slowestMs = 0;
  readonly #of: Steady;
  readonly #tasks: Promise<void>[];
  #asking = true;
  /** Answers that a relying party takes, as base64: each is looked at once, or this would cost more than what is tested. */
  readonly #accepted = new Set<string>();

  constructor(of: Steady) {
    this.#of = of;
    const each = Array.from({ length: of.clients ?? 4 });
    this.#tasks = each.flatMap(() => [this.#oncePerConnection(), this.#kept('GET'), this.#kept('POST')]);
  }

  /** Resolves when the last answers have come. */
  async stop(): Promise<void> {
    this.#asking = false;
    await Promise.all(this.#tasks);
  }

  async #oncePerConnection(): Promise<void> {
    const octets = this.#question('GET', '1.0');
    while (this.#asking) {
      await this.#ask(new RawConnection(this.#of.port, PATIENCE_MS), octets);
      await sleep(PAUSE_MS);
    }
  }

  async #kept(method: 'GET' | 'POST'): Promise<void> {
    const octets = this.#question(method, '1.1');
    let connection: RawConnection | undefined;
    while (this.#asking) {
      if (connection?.closed === true) {
        this.unannounced += 1;
        connection = undefined;
      }
      connection ??= new RawConnection(this.#of.port, PATIENCE_MS);
      const answer = await this.#ask(connection, octets);
      if (answer === undefined || answer.last) {
        connection.end();
        connection = undefined;
      }
      await sleep(PAUSE_MS);
    }
    connection?.end();
  }

  async #ask(connection: RawConnection, octets: Buffer): Promise<RawAnswer | undefined> {
    const { issuer, serial } = this.#of;
    const from = Date.now();
    try {
      const answer = await connection.ask(octets, false);
      const body = answer.body.toString('base64');
      if (!this.#accepted.has(body)) {
        const { status } = readOctets({ ...answer, headers: { 'content-type': answer.type } }, issuer, serial, 'sha1');
        if (status !== 'good') throw new Error(`the answer is ${status}`);
        this.#accepted.add(body);
      }
      this.answered += 1;
      return answer;
    } catch (error) {
      this.lost.push(`${(error as Error).message} after ${Date.now() - from} ms`);
      return undefined;
    } finally {
      this.slowestMs = Math.max(this.slowestMs, Date.now() - from);
    }
  }

  #question(method: 'GET' | 'POST', version: '1.0' | '1.1'): Buffer {
    const { issuer, serial, path } = this.#of;
    const request = ocspRequest(issuer, serial, 'sha1');
    if (method === 'GET') return Buffer.from(`GET ${getPath(path, request)} HTTP/${version}\r\nHost: h\r\n\r\n`);
    const head = `POST ${path} HTTP/${version}\r\nHost: h\r\nContent-Type: application/ocsp-request\r\n`;
    return Buffer.concat([Buffer.from(`${head}Content-Length: ${request.length}\r\n\r\n`), request]);
  }
}
