/** The configurations with which nginx, Apache and HAProxy serve the certificates of the matrix. */
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { freePorts } from '../support/service.ts';
import { TlsServer } from './tls-server.ts';
import type { Subject, SubjectName, World } from './world.ts';

/** The port that shows a certificate. */
export type PortOf = Readonly<Record<SubjectName, number>>;

export interface Running {
  readonly server: TlsServer;
  readonly ports: PortOf;
}

/** With verified stapling, or without any. */
export function startNginx(world: World, stapling: 'on' | 'off'): Promise<Running> {
  const how = `ssl_stapling ${stapling}; ssl_stapling_verify ${stapling};`;
  return startNginxWith(world, ({ ca }) => `${how} ssl_trusted_certificate ${ca};`);
}

/** Lets in whoever has a certificate that is good by OCSP. */
export function startVerifyingNginx(world: World): Promise<Running> {
  return startNginxWith(world, ({ ca }) => `ssl_verify_client on; ssl_client_certificate ${ca}; ssl_ocsp leaf;`);
}

async function startNginxWith(world: World, forServer: (subject: Subject) => string): Promise<Running> {
  const directory = directoryFor(world, 'nginx');
  const { ports, first, each } = await portsFor(world);
  const log = join(directory, 'error.log');
  const servers = each(
    (port, subject) => `server {
    listen 127.0.0.1:${port} ssl;
    ssl_certificate ${subject.chain}; ssl_certificate_key ${subject.key};
    ${forServer(subject)}
    return 204;
  }`,
  );
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'];
  const configuration = join(directory, 'nginx.conf');
  writeFileSync(
    configuration,
    `daemon off; master_process off; pid ${directory}/pid; error_log ${log} info;
events { worker_connections 64; }
http {
  access_log off;
  ${temporary.map((name) => `${name}_temp_path ${directory};`).join(' ')}
  ${servers.join('\n  ')}
}
`,
  );
  const args = ['-p', directory, '-c', configuration, '-e', log];
  return { server: await TlsServer.start('nginx', args, first, log), ports };
}

/** What mod_ssl or mod_md is told of stapling. */
export function startStaplingApache(world: World, by: 'mod_ssl' | 'mod_md'): Promise<Running> {
  const extra = (directory: string): string =>
    by === 'mod_ssl'
      ? `SSLStaplingCache shmcb:${directory}/stapling(512000)\nSSLUseStapling on`
      : `MDStapling on\nMDStoreDir ${directory}/md\nLogLevel md:debug`;
  return startApache(world, by, extra, () => '');
}

/** The same of Apache. */
export function startVerifyingApache(world: World, nonce: 'on' | 'off'): Promise<Running> {
  return startApache(world, `verify-nonce-${nonce}`, () => 'LogLevel ssl:debug', ({ ca }) => `SSLVerifyClient require
SSLCACertificateFile ${ca}
SSLOCSPEnable leaf
SSLOCSPUseRequestNonce ${nonce}`); // prettier-ignore
}

async function startApache(
  world: World,
  name: string,
  forAll: (directory: string) => string,
  forHost: (subject: Subject) => string,
): Promise<Running> {
  const directory = directoryFor(world, `apache-${name}`);
  const { ports, first, each } = await portsFor(world);
  const modules = ['mpm_event', 'authz_core', 'socache_shmcb', 'ssl', ...(name === 'mod_md' ? ['md'] : [])];
  const hosts = each((port, subject) => {
    return `Listen 127.0.0.1:${port}
<VirtualHost 127.0.0.1:${port}>
ServerName localhost
SSLEngine on
SSLCertificateFile ${subject.chain}
SSLCertificateKeyFile ${subject.key}
${forHost(subject)}
</VirtualHost>`;
  });
  const configuration = join(directory, 'apache.conf');
  const log = join(directory, 'error.log');
  writeFileSync(
    configuration,
    `ServerRoot ${directory}
ServerName localhost
PidFile ${directory}/pid
ErrorLog ${log}
DefaultRuntimeDir ${directory}
Mutex file:${directory} default
${modules.map((module) => `LoadModule ${module}_module /usr/lib/apache2/modules/mod_${module}.so`).join('\n')}
${forAll(directory)}
${hosts.join('\n')}
`,
  );
  writeFileSync(log, '');
  return { server: await TlsServer.start('apache2', ['-X', '-d', directory, '-f', configuration], first, log), ports };
}

/** Returns the path of its stats socket besides. */
export async function startHaproxy(world: World): Promise<Running & { readonly socket: string }> {
  const directory = directoryFor(world, 'haproxy');
  const { ports, first, each } = await portsFor(world);
  const socket = join(directory, 'stats');
  const fronts = each((port, { chain, key, ca }) => {
    const file = join(directory, `${port}.pem`);
    writeFileSync(file, [chain, key].map((part) => readFileSync(part, 'utf8')).join(''));
    // An empty answer is the way to say that one will follow.
    writeFileSync(`${file}.ocsp`, '');
    writeFileSync(`${file}.issuer`, readFileSync(ca));
    return `frontend port-${port}\n  bind 127.0.0.1:${port} ssl crt ${file}\n  http-request return status 204`;
  });
  const configuration = join(directory, 'haproxy.cfg');
  writeFileSync(
    configuration,
    `global
  stats socket ${socket} level admin
defaults
  mode http
  timeout connect 5s
  timeout client 5s
  timeout server 5s
${fronts.join('\n')}
`,
  );
  return { server: await TlsServer.start('haproxy', ['-db', '-f', configuration], first), ports, socket };
}

function directoryFor(world: World, name: string): string {
  return mkdtempSync(join(world.directory, `${name}-`));
}

async function portsFor({ subjects }: World): Promise<{
  readonly ports: PortOf;
  readonly first: number;
  readonly each: (write: (port: number, subject: Subject) => string) => readonly string[];
}> {
  const names = Object.keys(subjects) as SubjectName[];
  const free = await freePorts(names.length);
  const ports = Object.fromEntries(names.map((name, place) => [name, free[place] as number])) as Record<
    SubjectName,
    number
  >;
  return {
    ports,
    first: free[0] as number,
    each: (write) => names.map((name) => write(ports[name], subjects[name])),
  };
}
