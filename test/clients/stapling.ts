/** Servers that ask for their visitors' sake, and visitors that look at what they got. */
import { connect } from 'node:net';
import { join } from 'node:path';
import { readFileSync } from 'node:fs';
import { runProgram, until } from '../support/service.ts';
import { CLIENTS } from './matrix.ts';
import { describeRow, serving, type Judged, type Row } from './row.ts';
import { startHaproxy, startNginx, startStaplingApache, type Running } from './servers.ts';
import { visit } from './tls-server.ts';
import type { Subject, SubjectName, World } from './world.ts';

export function describeStaplers(world: () => World): void {
  describeRow(CLIENTS.nginx, world, nginx(world));
  describeRow(CLIENTS.apache, world, apache(world));
  describeRow(CLIENTS.apacheMd, world, apacheMd(world));
  describeRow(CLIENTS.haproxy, world, haproxy(world));
  describeRow(CLIENTS.curlNginx, world, curlByNginx(world));
  describeRow(CLIENTS.curlApache, world, curlByApache(world));
}

const STAPLES = ['good', 'revoked', 'unauthorized', 'tryLater'] as const;

function judge(staple: string | undefined, said: string): Judged {
  if (staple === undefined) return { verdict: 'no staple', said };
  return { verdict: STAPLES.find((one) => one === staple) ?? 'not understood', said };
}

function nginx(world: () => World): Row {
  return serving(
    () => startNginx(world(), 'on'),
    async (running, _, subject, of) => {
      const { staple, said, why } = await nginxHasAsked(running, subject, of);
      if (staple !== undefined) return judge(staple, said);
      const status =
        /certificate status "(revoked)"|OCSP response not successful \((?:6: (unauthorized)|3: (trylater))\)/;
      const [, revoked, unauthorized, tryLater] = status.exec(why ?? '') ?? [];
      const verdict =
        revoked !== undefined ? 'no staple: revoked'
        : unauthorized !== undefined ? 'no staple: unauthorized'
        : tryLater !== undefined ? 'no staple: tryLater'
        : 'not understood'; // prettier-ignore
      return { verdict, said: why ?? '' };
    },
  );
}

/** It asks after the first visit, which it does not keep waiting; then it staples, or its log says why not. */
async function nginxHasAsked(
  { server, ports }: Running,
  { chain, ca }: Subject,
  of: SubjectName,
): Promise<Awaited<ReturnType<typeof visit>> & { readonly why: string | undefined }> {
  let shown: Awaited<ReturnType<typeof visit>> = { staple: undefined, said: '' };
  let why: string | undefined;
  await until('nginx has asked', async () => {
    shown = await visit(ports[of], ca);
    const lines = server.log.split('\n').filter((line) => line.includes(`certificate: "${chain}"`));
    why = lines.find((line) => line.includes('while requesting certificate status'));
    return shown.staple !== undefined || why !== undefined;
  }, 20_000, 50); // prettier-ignore
  return { ...shown, why };
}

/** Asks while the first visitor waits. */
function apache(world: () => World): Row {
  return serving(
    () => startStaplingApache(world(), 'mod_ssl'),
    async ({ ports }, _, { ca }, of) => {
      const { staple, said } = await visit(ports[of], ca);
      return judge(staple, said);
    },
  );
}

/** Asks for all when it starts, in a thread that says when it has done. */
function apacheMd(world: () => World): Row {
  return serving(
    () => startStaplingApache(world(), 'mod_md'),
    async ({ server, ports }, _, { ca }, of) => {
      await until('mod_md has asked for all', () => server.log.includes('md ocsp watchdog next run'));
      const { staple, said } = await visit(ports[of], ca);
      return judge(staple, `${said}${server.log}`);
    },
  );
}

/** Does not ask: an operator's script fetches the answer and hands it over. */
function haproxy(world: () => World): Row {
  return serving(
    () => startHaproxy(world()),
    async ({ ports, socket }, scenario, { certificate, ca, url }, of) => {
      const answer = join(world().directory, `haproxy-${scenario}.der`);
      const ask = ['ocsp', '-noverify', '-no_nonce', '-issuer', ca, '-cert', certificate, '-url', url];
      const asked = await runProgram('openssl', [...ask, '-respout', answer]).done;
      const told = await overSocket(socket, `set ssl ocsp-response <<\n${base64Lines(readFileSync(answer))}\n\n`);
      const { staple, said } = await visit(ports[of], ca);
      const all = `${asked.stdout}${asked.stderr}${told}${said}`;
      if (told.includes('OCSP Response updated!')) return judge(staple, all);
      if (staple !== undefined || !told.includes('OCSP response status not successful.'))
        return { verdict: 'not understood', said: all };
      const verdict = asked.stdout.includes('unauthorized (6)') ? 'no staple: unauthorized' : 'no staple: tryLater';
      return { verdict, said: all };
    },
  );
}

/** A visitor that insists on a staple, and verifies it. */
async function curl({ ports }: Running, { ca }: Subject, of: SubjectName): Promise<Judged> {
  const url = `https://localhost:${ports[of]}/`;
  const { code, stderr } = await runProgram('curl', ['-sv', '--cert-status', '--cacert', ca, url]).done;
  const said = `${stderr}\nended with ${code}`;
  const status = /SSL certificate status: (\w+)/.exec(stderr)?.[1];
  if (status === 'good' && code === 0) return { verdict: 'good', said };
  if (code !== CURLE_SSL_INVALIDCERTSTATUS) return { verdict: 'not understood', said };
  if (stderr.includes('No OCSP response received')) return { verdict: 'no staple', said };
  const error = /Invalid OCSP response status: (\w+)/.exec(stderr)?.[1];
  return judge(status ?? (error === 'trylater' ? 'tryLater' : (error ?? 'another problem')), said);
}

function curlByNginx(world: () => World): Row {
  return serving(
    () => startNginx(world(), 'on'),
    async (running, _, subject, of) => {
      await nginxHasAsked(running, subject, of);
      return curl(running, subject, of);
    },
  );
}

function curlByApache(world: () => World): Row {
  return serving(
    () => startStaplingApache(world(), 'mod_ssl'),
    (running, _, subject, of) => curl(running, subject, of),
  );
}

const CURLE_SSL_INVALIDCERTSTATUS = 91;

function base64Lines(octets: Buffer): string {
  return (octets.toString('base64').match(/.{1,64}/g) ?? []).join('\n');
}

function overSocket(path: string, command: string): Promise<string> {
  return new Promise((done, failed) => {
    const socket = connect(path);
    let said = '';
    socket.on('data', (chunk: Buffer) => (said += chunk.toString()));
    socket.once('error', failed);
    socket.once('close', () => done(said));
    socket.end(command);
  });
}
