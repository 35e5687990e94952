/** A real S3 server on a free loopback port (s3-server.py), and a way to it that can be slow, cut or over TLS. */
import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import {
  CreateBucketCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  paginateListObjectsV2,
  PutObjectCommand,
  S3Client,
} from '@aws-sdk/client-s3';
import { freePorts } from './service.ts';

/** Debian's own, which has the modules of Debian's packages. */
const PYTHON = '/usr/bin/python3';
const PROGRAM = resolve(import.meta.dirname, '../../../test/support/s3-server.py');

export const s3Missing =
  existsSync('/usr/bin/swift-proxy-server') && existsSync('/usr/bin/swift-object-server')
    ? false
    : 'the packages swift-proxy, swift-object, swift-container and swift-account are not installed';

export const ACCESS_KEY = 'test:tester';
export const SECRET_KEY = 'testing';
export const BUCKET = 'crl-archive';

export class S3Server {
  readonly directory = mkdtempSync(join(tmpdir(), 'certstatus-s3-'));
  readonly port: number;
  #child: ChildProcess | undefined;

  readonly #other: S3Client;

  private constructor(port: number) {
    this.port = port;
    this.#other = new S3Client({
      endpoint: this.endpoint,
      region: 'us-east-1',
      forcePathStyle: true,
      credentials: { accessKeyId: ACCESS_KEY, secretAccessKey: SECRET_KEY },
    });
  }

  /** With an empty bucket. */
  static async start(...how: readonly ('conditional' | 'full')[]): Promise<S3Server> {
    const [port] = await freePorts(1);
    const server = new S3Server(port as number);
    await server.up(...how);
    await server.#other.send(new CreateBucketCommand({ Bucket: BUCKET }));
    return server;
  }

  get endpoint(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** What was stored before is there again. */
  async up(...how: readonly ('conditional' | 'full')[]): Promise<void> {
    const args = [PROGRAM, this.directory, 'tester', SECRET_KEY, String(this.port), ...how];
    const child = spawn(PYTHON, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    this.#child = child;
    endWithTest(child);
    let said = '';
    child.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()));
    await new Promise<void>((serving, failed) => {
      child.stdout.once('data', () => serving());
      child.once('close', (code) => failed(new Error(`the S3 server ended with ${code}: ${said}`)));
    });
  }

  async down(): Promise<void> {
    const child = this.#child;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise((done) => child.once('close', done));
    child.kill('SIGKILL');
    await ended;
  }

  async remove(): Promise<void> {
    this.#other.destroy();
    await this.down();
    rmSync(this.directory, { recursive: true, force: true });
  }

  /** Somebody else with the same key, who may overwrite. */
  async overwrite(name: string, octets: Buffer): Promise<void> {
    await this.#other.send(new PutObjectCommand({ Bucket: BUCKET, Key: name, Body: octets }));
  }

  async fetch(name: string): Promise<Buffer> {
    const { Body } = await this.#other.send(new GetObjectCommand({ Bucket: BUCKET, Key: name }));
    return Buffer.from((await Body?.transformToByteArray()) ?? []);
  }

  async delete(name: string): Promise<void> {
    await this.#other.send(new DeleteObjectCommand({ Bucket: BUCKET, Key: name }));
  }

  async names(): Promise<string[]> {
    const names: string[] = [];
    for await (const { Contents } of paginateListObjectsV2({ client: this.#other }, { Bucket: BUCKET }))
      names.push(...(Contents ?? []).map(({ Key }) => Key as string));
    return names.sort();
  }

  /** Files of the object server that hold exactly these octets. */
  filesWith(octets: Buffer): string[] {
    const objects = join(this.directory, 'disk', 'objects');
    return readdirSync(objects, { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.data'))
      .map((name) => join(objects, name))
      .filter((path) => readFileSync(path).equals(octets));
  }
}

/** In front of a port: passes everything on, as long as it is told to. */
export class Passage {
  /** Octets a second to the server; 0: none at all. */
  pace = Infinity;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor(server: Server) {
    this.#server = server;
  }

  static async to(port: number, tls?: { readonly key: string; readonly cert: string }): Promise<Passage> {
    const server = tls === undefined ? createServer() : createTlsServer(tls);
    const passage = new Passage(server);
    server.on(tls === undefined ? 'connection' : 'secureConnection', (client: Socket) => {
      const onward = connect(port, '127.0.0.1');
      for (const socket of [client, onward]) {
        passage.#sockets.add(socket);
        socket.on('error', () => undefined);
        socket.on('close', () => (client.destroy(), onward.destroy(), passage.#sockets.delete(socket)));
      }
      onward.pipe(client);
      client.on('data', (chunk: Buffer) => {
        if (passage.pace === 0) return;
        if (passage.pace !== Infinity) {
          client.pause();
          setTimeout(() => client.resume(), (1000 * chunk.length) / passage.pace);
        }
        onward.write(chunk);
      });
    });
    await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
    return passage;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** Ends every connection. */
  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  async close(): Promise<void> {
    this.cut();
    await new Promise((closed) => this.#server.close(closed));
  }
}

const children = new Set<ChildProcess>();
function endWithTest(child: ChildProcess): void {
  if (children.size === 0) process.once('exit', () => children.forEach((one) => one.kill('SIGKILL')));
  children.add(child);
}
