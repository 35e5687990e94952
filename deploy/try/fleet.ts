/**
 * `npm run fleet`: the whole set-up on one machine with real processes. A Redis as deploy/redis/ configures it, an HSM (SoftHSM2),
 * two intakes, two signers, three responders and a monitor, for a demo CA whose keys are in the HSM; two persons enter
 * their shares of the PIN. A Prometheus with the shipped rules watches all of it, where it is installed. What dies is started again, as a service manager would. Ctrl-C ends all of it, and whatever this process
 * dies of, the kernel ends the rest.
 *
 *   --data DIR         where everything lies, and is found again (default ./data-fleet)
 *   --base-port N      the first of 40 ports (default 18000)
 *   --keys token|files keys in SoftHSM2 (default, where it is installed), or in files
 */
import { createHash, randomBytes } from 'node:crypto';
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { Fleet, credentialFiles, type FleetToken } from '../../test/support/fleet.ts';
import type { Member, MemberRole } from '../../test/support/member.ts';
import { missingPrometheus, PrometheusServer } from '../../test/support/prometheus.ts';
import { needsRedis, RedisServer } from '../../test/support/redis.ts';
import { guide, nginxFiles } from './guide.ts';
import { demoToken, HOLDERS, missingSofthsm, THRESHOLD, TOKEN, type DemoToken } from './token.ts';

/** As a service manager: long enough to be seen, short enough to be waited for. */
const RESTART_AFTER_MS = 10_000;
const DEPLOY = resolve(import.meta.dirname, '../../../deploy');
/** Users of the Redis, as users.acl names them; `operator` is for people. */
const USERS = ['intake', 'signer', 'responder', 'monitor', 'operator'] as const;

const { values } = parseArgs({
  options: {
    data: { type: 'string', default: 'data-fleet' },
    'base-port': { type: 'string', default: '18000' },
    keys: { type: 'string', default: missingSofthsm === false ? 'token' : 'files' },
  },
});

const say = (line: string): void => void process.stdout.write(`${line}\n`);

try {
  await run(resolve(values.data), Number(values['base-port']), values.keys === 'token');
} catch (error) {
  process.stderr.write(`fleet: ${(error as Error).message}\n`);
  process.exit(1);
}

async function run(data: string, basePort: number, withToken: boolean): Promise<void> {
  if (!Number.isInteger(basePort) || basePort < 1024 || basePort > 65_000)
    throw new Error(`--base-port ${values['base-port']}: a number from 1024 to 65000 is needed`);
  if (needsRedis !== false) throw new Error(`${needsRedis} (apt install redis-server)`);
  if (withToken && missingSofthsm !== false)
    throw new Error(`--keys token ${missingSofthsm}; --keys files does without`);
  mkdirSync(data, { recursive: true, mode: 0o700 });

  say(`fleet: ${data}`);
  const redisPort = basePort;
  const redis = new RedisServer(redisPort, {
    directory: made(join(data, 'redis')),
    configFile: join(DEPLOY, 'redis', 'redis.conf'),
    acl: users(data),
  });
  let token: DemoToken | undefined;
  const fleet = await Fleet.create({
    directory: data,
    // 18010 intake-1, 18011 its admin port, … three for each process.
    ports: Array.from({ length: 27 }, (_, i) => basePort + 10 + i),
    monitor: true,
    store: (role) => ({
      host: '127.0.0.1',
      port: redisPort,
      username: `certstatus-${role}`,
      passwordFile: passwordFile(data, role),
      certificates: 10_000,
      silenceLimit: '60s',
    }),
    ...(withToken && { token: async (keys: string): Promise<FleetToken> => (token = await demoToken(data, keys)) }),
  });

  const prometheus = watcher(fleet, basePort + 39);
  let stopping = false;
  const stop = async (): Promise<never> => {
    if (stopping) process.exit(1);
    stopping = true;
    say('\nfleet: stopping; again: at once');
    await Promise.all([fleet.stop(), prometheus?.stop()]);
    await redis.stop();
    process.exit(0);
  };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => void stop());

  await redis.start();
  say(`fleet: redis on ${redisPort}`);
  await Promise.all(fleet.members.map((member) => member.start()));
  say(`fleet: ${fleet.members.map(({ name }) => name).join(', ')}`);
  await fleet.whenReliable();
  if (token !== undefined) {
    for (const signer of fleet.signers) await activate(fleet, signer, token);
    say(`fleet: ${HOLDERS.slice(0, THRESHOLD).join(' and ')} have activated the keys in both signers`);
  }
  await recordSamples(fleet);
  await prometheus?.start();
  nginxFiles(fleet, basePort + 38);
  const redisPassword = passwordFile(data, 'operator');
  say(
    guide({
      fleet,
      data,
      redis,
      redisPassword,
      token,
      nginxPort: basePort + 38,
      alertsPage: await prometheus?.alertsPage(),
    }),
  );
  await watch(fleet, redis, token !== undefined, () => stopping);
}

/** A Prometheus as deploy/prometheus configures it; undefined where none is installed. */
function watcher(fleet: Fleet, port: number): PrometheusServer | undefined {
  if (missingPrometheus !== false) return undefined;
  return new PrometheusServer({
    directory: join(fleet.directory, 'prometheus'),
    port,
    targets: fleet.members.map(({ name, role, ports }) => ({ instance: name, role, admin: ports.admin })),
    runbooks: `file://${join(DEPLOY, 'guide')}/`,
  });
}

/** Each person with a client certificate and a share of their own, as over a network. */
async function activate(fleet: Fleet, signer: Member, token: DemoToken): Promise<void> {
  for (const person of HOLDERS.slice(0, THRESHOLD)) {
    const { certificate, key } = credentialFiles(fleet.directory, person);
    const own = ['--cert', certificate, '--key', key, '--share-file', token.share(person)];
    const { code, stderr } = await signer.run('key', 'activate', '--token', TOKEN, ...own);
    if (code !== 0) throw new Error(`${person} could not activate ${signer.name}: ${stderr}`);
  }
}

/** The three certificates of the demo; again without effect. */
async function recordSamples(fleet: Fleet): Promise<void> {
  const [intake] = fleet.intakes as [Member];
  const send = async (path: string, body: object): Promise<void> => {
    const { status, body: said } = await fleet.api(intake, 'POST', `/v1/issuers/demo/${path}`, body);
    if (status !== 200) throw new Error(`the intake says ${status}: ${JSON.stringify(said)}`);
  };
  const sample = (name: string): { readonly certificate: string; readonly serial: string } => {
    const der = Buffer.from(
      readFileSync(fleet.demoFile(`samples/${name}.pem`), 'utf8').replace(/-.*-|\s/g, ''),
      'base64',
    );
    return { certificate: der.toString('base64'), serial: fleet.serialOf(`samples/${name}.pem`) };
  };
  const [valid, revoked] = [sample('valid'), sample('revoked')];
  await send('certificates', { certificates: [valid, revoked].map(({ certificate }) => ({ certificate })) });
  await send('revocations', { revocations: [{ serial: revoked.serial, reason: 'superseded' }] });
}

/** Starts again what has died. */
async function watch(fleet: Fleet, redis: RedisServer, withToken: boolean, stopped: () => boolean): Promise<void> {
  const seen = new Map<Member | RedisServer, number>();
  for (;;) {
    await sleep(1000);
    for (const one of [redis, ...fleet.members]) {
      if (stopped() || one.running) continue;
      const name = one instanceof RedisServer ? 'redis' : one.name;
      const since = seen.get(one);
      if (since === undefined) {
        say(`fleet: ${name} has died; started again in ${RESTART_AFTER_MS / 1000} s`);
        seen.set(one, Date.now());
      } else if (Date.now() - since >= RESTART_AFTER_MS) {
        seen.delete(one);
        await one.start().then(
          () => say(`fleet: ${name} runs again${name.startsWith('signer') && withToken ? ' and signs when two persons have activated its keys' : ''}`), // prettier-ignore
          (error: Error) => say(`fleet: ${name} does not start: ${error.message}`),
        );
      }
    }
  }
}

/** users.acl with a password for each user, made once. */
function users(data: string): string {
  const file = join(data, 'redis', 'users.acl');
  let text = readFileSync(join(DEPLOY, 'redis', 'users.acl'), 'utf8');
  for (const user of USERS) {
    const password = passwordFile(data, user);
    if (!existsSync(password)) writeFileSync(password, randomBytes(32).toString('hex'), { mode: 0o600 });
    const digest = createHash('sha256').update(readFileSync(password)).digest('hex');
    text = text.replace(
      new RegExp(`^(user (?:certstatus-)?${user} on #)0{64}`, 'm'),
      (_, line: string) => line + digest,
    );
  }
  writeFileSync(file, text, { mode: 0o600 });
  chmodSync(file, 0o600);
  return file;
}

function passwordFile(data: string, user: MemberRole | 'operator'): string {
  return join(made(join(data, 'passwords')), user);
}

function made(directory: string): string {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  return directory;
}
