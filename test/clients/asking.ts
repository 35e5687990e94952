/** Programs and libraries that ask for themselves, and what they make of our answers. */
import { mkdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { runProgram } from '../support/service.ts';
import { asksForNonce, CLIENTS, SCENARIOS, type Client, type ScenarioId } from './matrix.ts';
import { describeRow, serving, type Judged, type Row } from './row.ts';
import { startNginx, startVerifyingApache, startVerifyingNginx, type Running } from './servers.ts';
import type { Subject, SubjectName, World } from './world.ts';

export function describeAskers(world: () => World): void {
  describeRow(CLIENTS.openssl, world, { ask: openssl });
  describeRow(CLIENTS.ocsptool, world, { ask: ocsptool });
  describeRow(CLIENTS.gnutlsCli, world, gnutlsCli(world));
  describeRow(CLIENTS.nss, world, nss(world));
  describeRow(CLIENTS.javaGet, world, java(world, CLIENTS.javaGet, []));
  // Java 17 asks by POST only when it is told to, or when the URL gets longer than 255 octets.
  describeRow(CLIENTS.javaPost, world, java(world, CLIENTS.javaPost, ['-Dcom.sun.security.ocsp.useget=false']));
  describeRow(CLIENTS.apacheClients, world, apacheClients(world));
  describeRow(CLIENTS.nginxClients, world, nginxClients(world));
}

async function openssl(scenario: ScenarioId, { certificate, ca, url }: Subject): Promise<Judged> {
  const how = [...(asksForNonce(scenario) ? [] : ['-no_nonce']), ...(scenario === 'sha256' ? ['-sha256'] : [])];
  const { code, stdout, stderr } = await runProgram('openssl', [
    ...['ocsp', '-issuer', ca, '-CAfile', ca, '-url', url, '-req_text', ...how, '-cert', certificate],
  ]).done;
  const said = stdout + stderr;
  const asked = stdout.includes(`Hash Algorithm: ${scenario === 'sha256' ? 'sha256' : 'sha1'}`);
  const error = /Responder Error: (\w+)/.exec(said)?.[1];
  if (error !== undefined) return { verdict: errorStatus(error), said };
  const [, status, reason] = /\.pem: (good|revoked)\n(?:.*\n){2}(?:\tReason: (\w+)\n)?/.exec(stdout) ?? [];
  const noNonce = stderr.includes('WARNING: no nonce in response');
  const believed = code === 0 && stderr.includes('Response verify OK') && noNonce === (scenario === 'nonce') && asked;
  if (believed && status === 'good') return { verdict: 'good', said };
  return { verdict: believed && status === 'revoked' && reason === 'superseded' ? 'revoked' : 'not understood', said };
}

async function ocsptool(scenario: ScenarioId, { certificate, ca, url }: Subject): Promise<Judged> {
  const { code, stdout, stderr } = await runProgram('ocsptool', [
    ...[`--ask=${url}`, '--load-issuer', ca, '--load-cert', certificate, '--load-trust', ca],
    ...(asksForNonce(scenario) ? ['--nonce'] : []),
  ]).done;
  const said = stdout + stderr;
  if (stderr.includes("could not read response's nonce")) return { verdict: 'no nonce: refused', said };
  const error = /Response Status: (unauthorized|tryLater)/.exec(stdout)?.[1];
  if (error !== undefined && code !== 0) return { verdict: errorStatus(error), said };
  const status = /Certificate Status: (good|revoked)/.exec(stdout)?.[1] as 'good' | 'revoked' | undefined;
  const believed = code === 0 && stdout.includes('Verifying OCSP Response: Success.');
  return { verdict: believed && status !== undefined ? status : 'not understood', said };
}

/** A visitor of a server that does not staple, who therefore asks. */
function gnutlsCli(world: () => World): Row {
  return serving(
    () => startNginx(world(), 'off'),
    async ({ ports }, _, { ca }, of) => {
      const args = ['--ocsp', '--x509cafile', ca, '-p', String(ports[of]), 'localhost'];
      const { code, stdout, stderr } = await runProgram('gnutls-cli', args, { input: '' }).done;
      const said = `${stdout}${stderr}ended with ${code}`;
      if (code === 0 && stdout.includes('*** OCSP: verified 1 certificate(s).')) return { verdict: 'good', said };
      if (code !== 0 && said.includes('*** Certificate was revoked at')) return { verdict: 'revoked', said };
      const learnt = !said.includes('*** Got OCSP response with no data');
      return { verdict: code === 0 || learnt ? 'not understood' : 'no status', said };
    },
  );
}

/** Shows its certificate to a server that lets in only what is good; the server's log says why not. */
async function show(
  { server, ports }: Running,
  { certificate, key, ca }: Subject,
  of: SubjectName,
): Promise<{ readonly status: string; readonly log: string; readonly said: string }> {
  const from = server.log.length;
  const args = ['-sS', '-o', '/dev/null', '-w', '%{http_code}', '--cacert', ca, '--cert', certificate, '--key', key];
  const { stdout, stderr } = await runProgram('curl', [...args, `https://localhost:${ports[of]}/`]).done;
  const log = server.log.slice(from);
  return { status: stdout, log, said: `${stdout}\n${stderr}\n${log}` };
}

/** Ends the handshake with whom it does not let in. */
function apacheClients(world: () => World): Row {
  const running = new Map<'on' | 'off', Running>();
  return {
    start: async () => {
      for (const nonce of ['on', 'off'] as const) running.set(nonce, await startVerifyingApache(world(), nonce));
    },
    ask: async (scenario, subject, of) => {
      const { status, log, said } = await show(
        running.get(asksForNonce(scenario) ? 'on' : 'off') as Running,
        subject,
        of,
      );
      const verdict = /OCSP validation completed, certificate status: (good|revoked) /.exec(log)?.[1];
      if (status !== '000') return { verdict: verdict === 'good' ? 'good' : 'not understood', said };
      if (verdict === 'revoked') return { verdict: 'revoked', said };
      if (log.includes('Bad OCSP responder answer (bad nonce)')) return { verdict: 'no nonce: refused', said };
      const error = /OCSP response not successful: ([36])/.exec(log)?.[1];
      return { verdict: error === '6' ? 'unauthorized' : error === '3' ? 'tryLater' : 'not understood', said };
    },
    stop: async () => {
      for (const { server } of running.values()) await server.stop();
    },
  };
}

/** Ends the handshake, and answers 400 to whom it does not let in. */
function nginxClients(world: () => World): Row {
  return serving(
    () => startVerifyingNginx(world()),
    async (running, _, subject, of) => {
      const { status, log, said } = await show(running, subject, of);
      if (status === '204') return { verdict: 'good', said };
      if (status !== '400') return { verdict: 'not understood', said };
      if (log.includes('client SSL certificate verify error: certificate revoked')) return { verdict: 'revoked', said };
      const error = /OCSP response not successful \(\d: (\w+)\)/.exec(log)?.[1];
      return { verdict: error === undefined ? 'not understood' : errorStatus(error), said };
    },
  );
}

/** Each question in a process of its own: libpkix keeps what it was told. */
function nss(world: () => World): Row {
  const databases = new Map<string, string>();
  const database = async (ca: string): Promise<string> => {
    const known = databases.get(ca);
    if (known !== undefined) return known;
    const directory = join(world().directory, `nss-${databases.size}`);
    mkdirSync(directory);
    for (const args of [
      ['-N', '-d', directory, '--empty-password'],
      ['-A', '-d', directory, '-n', 'root', '-t', 'CT,,', '-a', '-i', ca],
    ]) {
      const { code, stderr } = await runProgram('certutil', args).done;
      if (code !== 0) throw new Error(`certutil: ${stderr}`);
    }
    databases.set(ca, directory);
    return directory;
  };
  return {
    ask: async (_, { certificate, ca }) => {
      const judge = async (...flags: string[]): Promise<string> => {
        const args = ['-a', '-pp', '-d', await database(ca), '-u', '1', '-g', 'leaf', ...flags, certificate];
        const { stdout, stderr } = await runProgram('vfychain', args).done;
        return stdout + stderr;
      };
      const strict = await judge('-h', 'requireFreshInfo', '-m', 'ocsp', '-s', 'failIfNoInfo');
      const lenient = await judge('-m', 'ocsp');
      const said = `${strict}\n${lenient}`;
      const [isGood, isRevoked] = ['Chain is good!', "ERROR -8180: Peer's Certificate has been revoked."];
      if (strict.includes(isGood) && lenient.includes(isGood)) return { verdict: 'good', said };
      if (strict.includes(isRevoked) && lenient.includes(isRevoked)) return { verdict: 'revoked', said };
      return { verdict: strict.includes('Chain is bad!') ? 'no status' : 'not understood', said };
    },
  };
}

function java(world: () => World, client: Client, options: readonly string[]): Row {
  const said = new Map<string, string>();
  return {
    start: async () => {
      const { subjects } = world();
      const questions = SCENARIOS.filter(({ id }) => client.verdicts[id] !== undefined).map(({ id, subject }) => {
        const { certificate, ca } = subjects[subject];
        return [id, certificate, ca, asksForNonce(id) ? 'nonce' : 'plain'].join('\t');
      });
      const source = resolve(import.meta.dirname, '../../../test/clients/Ask.java');
      const args = [...options, source];
      const { code, stdout, stderr } = await runProgram('java', args, { input: `${questions.join('\n')}\n` }).done;
      if (code !== 0) throw new Error(stdout + stderr);
      for (const line of stdout.trim().split('\n')) {
        const [id, words] = line.split('\t');
        said.set(id as string, words as string);
      }
    },
    ask: (scenario) => {
      const words = said.get(scenario) ?? 'nothing';
      const error = /OCSP response error: (\w+)/.exec(words)?.[1];
      const verdict =
        words === 'good' ? 'good'
        : words.startsWith('REVOKED: Certificate has been revoked, reason: SUPERSEDED') ? 'revoked'
        : error === undefined ? 'not understood'
        : errorStatus(error); // prettier-ignore
      return Promise.resolve({ verdict, said: words });
    },
  };
}

/** `tryLater` as each of them spells it. */
function errorStatus(spelt: string): Judged['verdict'] {
  const plain = spelt.toLowerCase().replace('_', '');
  return plain === 'trylater' ? 'tryLater' : plain === 'unauthorized' ? 'unauthorized' : 'not understood';
}
