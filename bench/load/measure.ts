/**
 * One cell of one server: is every reply right, how many come at saturation, how late they come at a fixed rate. The replies of
 * wrk are not looked at one by one, because that would cost the load as much CPU as making it: our own generator asks everything
 * beforehand and looks, and what wrk gets must have the same length on the average.
 */
import { generateLoad } from '../../src/adapters/load-generator/generator.ts';
import type { Expected, Load, LoadResult } from '../../src/adapters/load-generator/load.ts';
import type { Issuer } from '../../src/core/issuer.ts';
import { LatencyHistogram } from '../../src/core/latency-histogram.ts';
import { checkAnswer } from '../../src/core/ocsp/answer-check.ts';
import { ERROR_RESPONSES } from '../../src/core/ocsp/response.ts';
import type { Serial } from '../../src/core/serial.ts';
import type { Cell, ServerName } from './cells.ts';
import { judge, LEAST_BUSY, type Latencies, type Outcome } from './figures.ts';
import { cpuUse, hasTaskset, installed, LOAD_CPU } from './processes.ts';
import type { QuestionFile } from './questions.ts';
import type { Server } from './servers.ts';
import { saturate, type Saturation } from './wrk.ts';

export interface Asking {
  readonly cell: Cell;
  readonly name: ServerName;
  readonly server: Server;
  readonly questions: QuestionFile;
  /** Which of the questions is the first. */
  readonly first: number;
  readonly seconds: number;
}

/** Replies whose length may differ from the average beforehand by so much: max-age and Age have more or fewer digits. */
const LENGTH_TOLERANCE = 0.02;
/** Of a fixed rate this much must have been answered. */
const KEPT_UP = 0.98;
/** Of the latency this share may be the generator's own. */
const OWN_SHARE = 0.5;
/** Where it is missing our own generator does what it can. */
export const hasWrk = await installed('wrk', '--version');
const ERROR = 'a reply was not the expected one';

export class Meter {
  readonly #work: string;
  readonly #issuer: Issuer;
  readonly #stubBody: Buffer;
  /** Octets of a reply on the average, by cell and server, from the check. */
  readonly #lengths = new Map<string, number>();

  constructor(work: string, issuer: Issuer, stubBody: Buffer) {
    this.#work = work;
    this.#issuer = issuer;
    this.#stubBody = stubBody;
  }

  /** Asks `count` questions and looks at each reply. @returns what was wrong. */
  async check({ cell, name, server, questions, first }: Asking, count: number): Promise<string | undefined> {
    const result = await this.#generate({
      ...this.#load(cell, name, server, questions, first),
      count,
      seconds: 600,
      rate: undefined,
    });
    const wrong = this.#wrong(result, name, cell);
    if (wrong !== undefined) return wrong;
    const key = `${cell.name} ${name}`;
    if (!this.#lengths.has(key)) this.#lengths.set(key, result.octets / result.right);
    return undefined;
  }

  /** @returns undefined when the server had too little CPU to say anything of it. */
  async saturated(asking: Asking): Promise<Outcome | undefined> {
    const { cell, name, server, questions, first, seconds } = asking;
    // openssl ocsp waits for ever on a connection that is closed before its request, as wrk does at the end.
    const own = name === 'openssl' || !hasWrk;
    const loaded = own
      ? await this.#saturate(asking)
      : await saturate(this.#work, server, questions, cell.connections, seconds, first);
    if (loaded.requests === 0) return { refused: `${ERROR}: none came` };
    const usual = this.#lengths.get(`${cell.name} ${name}`) as number;
    const off = Math.abs(loaded.octetsPerReply / usual - 1);
    const failures = loaded.failures + (cell.connecting === 'kept' ? loaded.broken : 0);
    if (failures > 0) return { refused: `${ERROR}: ${failures} failed of ${loaded.requests}` };
    if (off > LENGTH_TOLERANCE)
      return {
        refused: `${ERROR}: ${loaded.octetsPerReply.toFixed(0)} octets on the average, not ${usual.toFixed(0)}`,
      };
    return loaded.server.busy < LEAST_BUSY ? undefined : judge(loaded);
  }

  /** By our own generator: also where there is no wrk. */
  async #saturate({ cell, name, server, questions, first, seconds }: Asking): Promise<Saturation> {
    const before = cpuUse(server.pids);
    const load = { ...this.#load(cell, name, server, questions, first), count: undefined, seconds, rate: undefined };
    const { right, octets, failures, cpuSeconds, ...result } = await this.#generate(load);
    const after = cpuUse(server.pids);
    return {
      requests: right,
      seconds: result.seconds,
      octetsPerReply: octets / right,
      failures: [...failures.values()].reduce((sum, count) => sum + count, 0),
      broken: 0,
      server: { busy: after.busy - before.busy, waiting: after.waiting - before.waiting },
      generator: { busy: cpuSeconds, waiting: 0 },
    };
  }

  /** @param rate requests per second. */
  async fixed({ cell, name, server, questions, first, seconds }: Asking, rate: number): Promise<Outcome> {
    const load = { ...this.#load(cell, name, server, questions, first), count: undefined, seconds, rate };
    const result = await this.#generate(load);
    const wrong = this.#wrong(result, name, cell);
    if (wrong !== undefined) return { refused: wrong };
    return latenciesOf(result, rate);
  }

  #load(
    cell: Cell,
    name: ServerName,
    server: Server,
    questions: QuestionFile,
    first: number,
  ): Omit<Load, 'count' | 'seconds' | 'rate'> {
    return {
      host: '127.0.0.1',
      port: server.port,
      requests: questions.requests,
      draw: questions.draw,
      first,
      connections: cell.connections,
      keep: cell.connecting === 'kept',
      expected: expectedOf(cell, name, this.#stubBody),
    };
  }

  #generate(load: Load): Promise<LoadResult> {
    const launcher = hasTaskset ? ['taskset', '-c', String(LOAD_CPU)] : [];
    return generateLoad(load, { processes: 1, launcher });
  }

  #wrong({ failures, samples }: LoadResult, name: ServerName, cell: Cell): string | undefined {
    for (const [what, count] of failures) return `${ERROR}: ${what} (${count} times)`;
    if (expectedOf(cell, name, this.#stubBody).body !== 'answer') return undefined;
    for (const { serial, body } of samples) {
      const wrong = checkAnswer(body, this.#issuer, Buffer.from(serial).toString('hex') as Serial, Date.now());
      if (wrong !== undefined) return `${ERROR}: ${wrong}`;
    }
    return undefined;
  }
}

function expectedOf({ asked }: Cell, name: ServerName, stubBody: Buffer): Expected {
  if (name === 'stub' || name === 'node-http') return { status: 200, body: { hex: stubBody.toString('hex') } };
  switch (asked) {
    case 'get':
    case 'post':
      return { status: 200, body: 'answer' };
    case 'not-modified':
      return { status: 304, body: { hex: '' } };
    case 'unknown':
      // Beyond limits.lookupsPerSecond nobody is looked up.
      return {
        status: 200,
        body: { hex: ERROR_RESPONSES.unauthorized.toString('hex'), or: ERROR_RESPONSES.tryLater.toString('hex') },
      };
    case 'malformed':
      return { status: 200, body: { hex: ERROR_RESPONSES.malformedRequest.toString('hex') } };
  }
}

function latenciesOf({ latency, lateness, right, seconds }: LoadResult, rate: number): Latencies {
  const all = new LatencyHistogram(latency);
  const own = new LatencyHistogram(lateness).percentile(0.99);
  const p99 = all.percentile(0.99);
  let unsaid: string | undefined;
  if (own > OWN_SHARE * p99) unsaid = `the generator itself was late by ${(own / 1000).toFixed(2)} ms at p99`;
  else if (right / seconds < KEPT_UP * rate)
    unsaid = `${Math.round(right / seconds).toLocaleString('en')}/s came of ${rate.toLocaleString('en')}/s`;
  return { rate, p50: all.percentile(0.5), p90: all.percentile(0.9), p99, p999: all.percentile(0.999), unsaid };
}
