/** `bench`: load on any OCSP responder, each reply checked, with latency as its clients see it. */
import { randomUUID } from 'node:crypto';
import { lookup } from 'node:dns/promises';
import { readFileSync, rmSync } from 'node:fs';
import { isIP } from 'node:net';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { InvalidArgumentError, Option, type Command } from 'commander';
import { generateLoad } from '../../adapters/load-generator/generator.ts';
import type { LoadResult } from '../../adapters/load-generator/load.ts';
import { type PreparedRequest, writeQuestionFile } from '../../adapters/load-generator/question-file.ts';
import type { CertIdHash } from '../../core/certificate.ts';
import { certificatesFromFile, readCertificate } from '../../core/certificate-reader.ts';
import { type Issuer, loadIssuer } from '../../core/issuer.ts';
import { LatencyHistogram } from '../../core/latency-histogram.ts';
import { checkAnswer } from '../../core/ocsp/answer-check.ts';
import { encodeGetPath } from '../../core/ocsp/get-path.ts';
import { writeRequest } from '../../core/ocsp/request-writer.ts';
import { Problem } from '../../core/problem.ts';
import { type Serial, serialBytes, serialFromHex } from '../../core/serial.ts';
import { SECOND } from '../../core/time.ts';
import { fileProblem } from '../errors.ts';
import { print, progressOf, table } from './context.ts';
import { countTo } from './options.ts';

interface Options {
  readonly ca: string;
  readonly serials?: string;
  readonly certs?: string;
  readonly connections: number;
  readonly rate?: number;
  readonly seconds: number;
  readonly hash: CertIdHash;
  readonly processes: number;
  readonly close?: true;
  readonly post?: true;
  readonly http10?: true;
}

export function benchCommand(program: Command): void {
  program
    .command('bench')
    .description(
      'puts load on an OCSP responder, checks every reply, and tells rate and latency; exit 1 when a reply was wrong',
    )
    .argument('<url>', 'the responder as a certificate names it, e.g. http://127.0.0.1:8080/')
    .requiredOption('--ca <file>', 'CA certificate, PEM or DER')
    .option('--serials <file>', 'what is asked about: a serial in hex per line')
    .option('--certs <file>', 'or: certificates of this CA, a PEM bundle or DER')
    .option('--connections <number>', 'connections at a time', countTo(99_999), 64)
    .option('--rate <number>', 'requests per second, whatever the replies do (default: as many as come back)', positive)
    .option('--seconds <number>', 'how long', positive, 10)
    .option('--close', 'a connection for each request')
    .option('--http10', 'HTTP/1.0, as stapling servers speak it; a connection for each request')
    .option('--post', 'POST instead of GET')
    .addOption(new Option('--hash <name>', 'hash of the CertID').choices(['sha1', 'sha256']).default('sha1'))
    .option(
      '--processes <number>',
      'processes that make the load',
      countTo(99_999),
      Math.max(1, Math.min(4, availableParallelism() - 1)),
    )
    .action(async (url: string, options: Options, command: Command) => {
      const report = await bench(url, options, command);
      print(command, report, () => text(report));
      if (report.failures.length > 0) process.exitCode = 1;
    });
}

interface Report {
  readonly url: string;
  readonly certificates: number;
  readonly connections: number;
  readonly offeredPerSecond: number | undefined;
  readonly seconds: number;
  readonly right: number;
  readonly perSecond: number;
  /** Milliseconds; at a fixed rate from when each request was due. */
  readonly latency: { readonly p50: number; readonly p90: number; readonly p99: number; readonly p999: number };
  /** Of this, what was the generator's own. */
  readonly generatorLate: { readonly p99: number } | undefined;
  /** CPU time of the generator as a share of its processes' time; at a fixed rate it does not sleep. */
  readonly generatorBusy: number;
  /** Replies that were checked whole, signature and all. */
  readonly verified: number;
  readonly failures: readonly { readonly what: string; readonly count: number }[];
}

async function bench(url: string, options: Options, command: Command): Promise<Report> {
  const at = await addressOf(url);
  const issuer = loadIssuer(certificatesFromFile(readInput('--ca', options.ca), '--ca'), '--ca');
  const serials = serialsOf(options, issuer);
  const requests = join(tmpdir(), `certstatus-bench-${randomUUID()}`);
  const { connections, rate, seconds, processes } = options;
  const keep = options.close !== true && options.http10 !== true;
  const progress = progressOf(command, 'bench', 'replies');
  try {
    writeQuestionFile(requests, questions(at, issuer, serials, options));
    const startedAt = performance.now();
    const result = await generateLoad(
      {
        host: at.address,
        port: at.port,
        requests,
        draw: undefined,
        first: 0,
        connections,
        keep,
        rate,
        seconds,
        count: undefined,
        expected: { status: 200, body: 'answer' },
      },
      {
        processes,
        onProgress: (items) => progress.update({ items, done: performance.now() - startedAt, total: seconds * SECOND }),
      },
    );
    return reportOf(url, serials.length, options, issuer, result);
  } finally {
    progress.end();
    rmSync(requests, { force: true });
  }
}

interface Address {
  readonly address: string;
  readonly port: number;
  /** For the Host field. */
  readonly host: string;
  readonly path: string;
}

async function addressOf(text: string): Promise<Address> {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url?.protocol !== 'http:')
    throw new Problem('invalid', 'an OCSP responder has an http:// URL', { field: 'url', value: text });
  const name = url.hostname.replace(/^\[|\]$/g, '');
  let address = name;
  if (isIP(name) === 0) {
    try {
      ({ address } = await lookup(name));
    } catch (error) {
      throw new Problem('unavailable', (error as Error).message, { field: 'url', value: text });
    }
  }
  if (!/^(127\.|::1$)/.test(address))
    process.stderr.write(
      `certstatus: ${name} is not this machine: its operator sees an attack unless told beforehand\n`,
    );
  return { address, port: Number(url.port || 80), host: url.host, path: url.pathname.replace(/\/$/, '') };
}

function serialsOf({ serials, certs }: Options, issuer: Issuer): readonly Serial[] {
  if ((serials === undefined) === (certs === undefined))
    throw new Problem('invalid', 'takes either --serials or --certs', { field: '--serials' });
  const found =
    serials !== undefined
      ? readInput('--serials', serials)
          .toString('latin1')
          .split('\n')
          .map((line) => line.trim())
          .filter((line) => line !== '')
          .map((line) => serialFromHex(line, '--serials'))
      : certificatesFromFile(readInput('--certs', certs as string), '--certs').map((der) => {
          const certificate = readCertificate(der, '--certs');
          if (!certificate.issuerDer.equals(issuer.nameDer))
            throw new Problem('invalid', `certificate ${certificate.serial} is of another CA`, { field: '--certs' });
          return certificate.serial;
        });
  if (found.length === 0) throw new Problem('invalid', 'names no certificate', { field: serials === undefined ? '--certs' : '--serials' }); // prettier-ignore
  return found;
}

function* questions(
  { host, path }: Address,
  issuer: Issuer,
  serials: readonly Serial[],
  { close, post, http10, hash }: Options,
): Iterable<PreparedRequest> {
  const version = http10 ? '1.0' : '1.1';
  const fields = `Host: ${host}\r\n${close && !http10 ? 'Connection: close\r\n' : ''}`;
  for (const serial of serials) {
    const der = writeRequest(issuer.hashes, serial, hash);
    const octets = post
      ? Buffer.concat([
          Buffer.from(
            `POST ${path || '/'} HTTP/${version}\r\n${fields}Content-Type: application/ocsp-request\r\nContent-Length: ${der.length}\r\n\r\n`,
          ),
          der,
        ])
      : Buffer.from(`GET ${path}/${encodeGetPath(der)} HTTP/${version}\r\n${fields}\r\n`);
    yield { serial: serialBytes(serial), octets };
  }
}

function reportOf(
  url: string,
  certificates: number,
  { connections, rate, processes }: Options,
  issuer: Issuer,
  result: LoadResult,
): Report {
  const failures = new Map(result.failures);
  const now = Date.now();
  for (const { serial, body } of result.samples) {
    const wrong = checkAnswer(body, issuer, Buffer.from(serial).toString('hex') as Serial, now);
    if (wrong !== undefined) failures.set(wrong, (failures.get(wrong) ?? 0) + 1);
  }
  const latency = new LatencyHistogram(result.latency);
  /** 0 when there is none. */
  const milliseconds = (share: number, of = latency): number =>
    of.count === 0 ? 0 : Math.round(of.percentile(share)) / 1000;
  const late = new LatencyHistogram(result.lateness);
  return {
    url,
    certificates,
    connections,
    offeredPerSecond: rate,
    seconds: result.seconds,
    right: result.right,
    perSecond: result.right / result.seconds,
    latency: { p50: milliseconds(0.5), p90: milliseconds(0.9), p99: milliseconds(0.99), p999: milliseconds(0.999) },
    generatorLate: late.count === 0 ? undefined : { p99: milliseconds(0.99, late) },
    generatorBusy: result.cpuSeconds / result.seconds / processes,
    verified: result.samples.length,
    failures: [...failures].map(([what, count]) => ({ what, count })),
  };
}

function text(report: Report): string {
  const { latency, generatorLate, offeredPerSecond } = report;
  const thousands = (value: number): string => Math.round(value).toLocaleString('en');
  const ms = (value: number): string => `${value.toFixed(2)} ms`;
  const rows = [
    ['asked', `${report.url}, ${thousands(report.certificates)} certificates, ${report.connections} connections`],
    ['right replies', `${thousands(report.right)} in ${report.seconds.toFixed(1)} s`],
    [
      'rate',
      `${thousands(report.perSecond)}/s${offeredPerSecond === undefined ? '' : ` of ${thousands(offeredPerSecond)}/s offered`}`,
    ],
    [
      offeredPerSecond === undefined ? 'latency' : 'latency from when due',
      report.right === 0
        ? 'none'
        : `p50 ${ms(latency.p50)}, p90 ${ms(latency.p90)}, p99 ${ms(latency.p99)}, p99.9 ${ms(latency.p999)}`,
    ],
    [
      'generator',
      generatorLate === undefined
        ? `busy for ${Math.round(100 * report.generatorBusy)} % of the time`
        : `late by ${ms(generatorLate.p99)} at p99`,
    ],
    ['verified whole', `${report.verified} replies`],
    ...report.failures.map(({ what, count }) => ['WRONG', `${what}: ${thousands(count)}`]),
  ];
  return table(rows);
}

function readInput(field: string, file: string): Buffer {
  try {
    return readFileSync(file);
  } catch (error) {
    throw new Problem('invalid', fileProblem(error), { field, value: file });
  }
}

function positive(text: string): number {
  const value = Number(text);
  if (!/^\d+(\.\d+)?$/.test(text) || value <= 0) throw new InvalidArgumentError('Not a positive number.');
  return value;
}
