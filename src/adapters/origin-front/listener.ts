/**
 * The origin listener: uWebSockets.js, for CDNs, load balancers and other HTTP/1.1 clients that keep their connections.
 * Same contract as the public listener (ports/front.ts), with what the library decides for itself:
 *
 * - 505 to HTTP/1.0 and to absolute-form targets, so it is not for stapling servers;
 * - no reply to a request after an empty line, two different Content-Length fields accepted (20.51);
 * - 10 s for a request to arrive and for an idle connection, not configurable;
 * - a second request that comes while the first waits for its reply ends the connection;
 * - its own refusals (400, 431, 505) carry no Cache-Control;
 * - it must end before its process or worker thread does; scale it with processes.
 */
import { plainReplies } from '../../core/policy/caching.ts';
import { Problem } from '../../core/problem.ts';
import { MAX_BODY_BYTES, type Answer, type Front, type Question, type Reply } from '../../ports/front.ts';
import type { ListenToken, Uws, UwsApp, UwsRequest, UwsResponse } from './uws.ts';

export interface OriginFrontOptions {
  /** loadUws().uws */
  readonly uws: Uws;
  readonly host: string;
  /** 0 picks a free one. */
  readonly port: number;
  readonly answer: Answer;
  /** Other processes listen on the port too, and the kernel spreads connections over them (SO_REUSEPORT). */
  readonly shared?: boolean;
}

/** @throws Problem `config` naming host and port when it cannot listen there. */
export async function openOriginFront(options: OriginFrontOptions): Promise<Front> {
  const listener = new Listener(options);
  await listener.listen();
  return listener;
}

class Listener implements Front {
  readonly engine = 'uws';
  readonly #uws: Uws;
  readonly #app: UwsApp;
  readonly #answer: Answer;
  readonly #listenOptions: number;
  readonly #host: string;
  #port: number;
  #token: ListenToken | undefined;
  #closing = false;
  #connections = 0;
  /** Requests whose reply is not written yet. */
  #underWay = 0;
  /** Requests ever: close() waits until this stands still. */
  #served = 0;

  constructor({ uws, host, port, answer, shared = false }: OriginFrontOptions) {
    this.#uws = uws;
    this.#listenOptions = shared ? 0 : uws.LIBUS_LISTEN_EXCLUSIVE_PORT;
    this.#answer = answer;
    this.#host = host;
    this.#port = port;
    this.#app = uws
      .App()
      .filter((_response, change) => {
        this.#connections += change;
      })
      .any('/*', (response, request) => this.#serve(response, request));
  }

  get address(): { readonly host: string; readonly port: number } {
    return { host: this.#host, port: this.#port };
  }

  listen(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#app.listen(this.#host, this.#port, this.#listenOptions, (token) => {
        if (token === false) {
          // The library does not say why.
          const at = { field: 'origin listener', value: `${this.#host}:${this.#port}` };
          return reject(new Problem('config', 'cannot listen: the port is taken, not permitted or not ours', at));
        }
        this.#token = token;
        this.#port = this.#uws.us_socket_local_port(token);
        resolve();
      });
    });
  }

  /** The library does not show a request whose head is half there: it counts as arrived only if it is whole by the end of a quiet spell. */
  async close(graceMs: number): Promise<void> {
    this.#closing = true;
    // Connections that the kernel has set up but not handed over would be reset with the port: take them in first.
    for (let turn = 0, before = -1; turn < 50 && before !== this.#connections; turn++) {
      before = this.#connections;
      await new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
    }
    if (this.#token !== undefined) this.#uws.us_listen_socket_close(this.#token);
    this.#token = undefined;
    for (let waited = 0, before = -1; waited < graceMs && this.#connections > 0; waited += QUIET_MS) {
      if (this.#underWay === 0 && this.#served === before) break;
      before = this.#served;
      await new Promise((resolve) => setTimeout(resolve, Math.min(QUIET_MS, graceMs - waited)));
    }
    this.#app.close();
  }

  #serve(response: UwsResponse, request: UwsRequest): void {
    this.#served++;
    const question = new UwsQuestion(request);
    if (question.method === 'GET' || question.method === 'HEAD') return this.#reply(response, question);
    if (Number(request.getHeader('content-length')) === 0 && request.getHeader('transfer-encoding') === '') {
      // Nothing follows, and onData is not always called to say so (20.51, when the head came in pieces).
      if (question.method === 'POST') question.body = EMPTY;
      return this.#reply(response, question);
    }
    question.settle();
    this.#underWay++;
    let body: Buffer | undefined = EMPTY;
    let open = true;
    response.onAborted(() => {
      if (open) this.#underWay--;
      open = false;
    });
    response.onData((chunk, isLast) => {
      if (!open || body === undefined) return;
      if (body.length + chunk.byteLength > MAX_BODY_BYTES) {
        body = undefined;
        this.#underWay--;
        open = false;
        // Closes before the rest has come: a client still sending may miss the reply.
        return write(response, plainReplies.tooLarge, false, true);
      }
      body = Buffer.concat([body, new Uint8Array(chunk)]);
      if (!isLast) return;
      open = false;
      this.#underWay--;
      if (question.method === 'POST') question.body = body;
      this.#reply(response, question);
    });
  }

  #reply(response: UwsResponse, question: UwsQuestion): void {
    const reply = this.#answer(question);
    if (!(reply instanceof Promise)) return write(response, reply, question.method === 'HEAD', this.#closing);
    question.settle();
    this.#underWay++;
    let aborted = false;
    response.onAborted(() => {
      aborted = true;
      this.#underWay--;
    });
    void reply.then((late) => {
      if (aborted) return;
      this.#underWay--;
      response.cork(() => write(response, late, question.method === 'HEAD', this.#closing));
    });
  }
}

/** Asks the library for a field only when the answer wants it: each costs a call into C++. */
class UwsQuestion implements Question {
  readonly method: string;
  readonly httpVersion = '1.1';
  body: Uint8Array | undefined = undefined;
  #request: UwsRequest | undefined;
  #target: string | undefined;
  #host: string | undefined;
  #ifNoneMatch: string | undefined;
  #ifModifiedSince: string | undefined;

  constructor(request: UwsRequest) {
    this.#request = request;
    this.method = request.getCaseSensitiveMethod();
  }

  get target(): string {
    return (this.#target ??= this.#request === undefined ? '' : targetOf(this.#request));
  }

  get host(): string {
    return (this.#host ??= this.#request?.getHeader('host') ?? '');
  }

  get ifNoneMatch(): string | undefined {
    return (this.#ifNoneMatch ??= this.#request?.getHeader('if-none-match') || undefined);
  }

  get ifModifiedSince(): string | undefined {
    return (this.#ifModifiedSince ??= this.#request?.getHeader('if-modified-since') || undefined);
  }

  /** Reads everything, for use after the handler has returned and the library's request is gone. */
  settle(): void {
    void [this.target, this.host, this.ifNoneMatch, this.ifModifiedSince];
    this.#request = undefined;
  }
}

function targetOf(request: UwsRequest): string {
  const query = request.getQuery();
  return query === undefined ? request.getUrl() : `${request.getUrl()}?${query}`;
}

function write(response: UwsResponse, reply: Reply, headersOnly: boolean, close: boolean): void {
  const { status, name, rest } = fieldsOf(reply);
  if (status !== undefined) response.writeStatus(status);
  response.writeHeader(name, rest);
  if (close) response.writeHeader(CONNECTION, CLOSE);
  if (reply.status !== 304 && !headersOnly) {
    response.end(reply.body, close);
    return;
  }
  // With any argument endWithoutBody counts as no response at all, and the process ends (20.51). So the length is
  // written as a field, and to close is left to the client.
  if (headersOnly && reply.status !== 304) response.writeHeader(CONTENT_LENGTH, Buffer.from(String(reply.body.length)));
  response.endWithoutBody();
}

interface Fields {
  /** Undefined for 200, which the library writes by itself. */
  readonly status: string | undefined;
  readonly name: Buffer;
  /** The first field's value and all other fields: one call in place of one per field is worth a tenth. */
  readonly rest: Buffer;
}

const fieldsByReply = new WeakMap<Reply, Fields>();

function fieldsOf(reply: Reply): Fields {
  let fields = fieldsByReply.get(reply);
  if (fields === undefined) {
    // Content-Length is the library's to write.
    const lines = reply.headers.replace(/^content-length:[^\r]*\r\n/im, '').slice(0, -2);
    const colon = lines.indexOf(': ');
    fields = {
      status: reply.status === 200 ? undefined : `${reply.status} ${REASONS[reply.status]}`,
      name: Buffer.from(lines.slice(0, colon), 'latin1'),
      rest: Buffer.from(lines.slice(colon + 2), 'latin1'),
    };
    fieldsByReply.set(reply, fields);
  }
  return fields;
}

const REASONS = {
  200: 'OK',
  304: 'Not Modified',
  400: 'Bad Request',
  404: 'Not Found',
  405: 'Method Not Allowed',
  413: 'Content Too Large',
  503: 'Service Unavailable',
} as const;

const EMPTY = Buffer.alloc(0);
const [CONNECTION, CLOSE, CONTENT_LENGTH] = [
  Buffer.from('Connection'),
  Buffer.from('close'),
  Buffer.from('Content-Length'),
];
/** No new request for so long, and close() takes the connections for idle. */
const QUIET_MS = 100;
