/** What the fleet prints when it runs: commands to paste, what to look at, and how to make it fail. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import type { Fleet } from '../../test/support/fleet.ts';
import { credentialFiles } from '../../test/support/fleet.ts';
import type { Member } from '../../test/support/member.ts';
import type { RedisServer } from '../../test/support/redis.ts';
import { TOKEN, type DemoToken } from './token.ts';

export interface Guide {
  readonly fleet: Fleet;
  readonly data: string;
  readonly redis: RedisServer;
  /** File with the password of the Redis' `operator`. */
  readonly redisPassword: string;
  readonly token: DemoToken | undefined;
  readonly nginxPort: number;
  /** Page of the alerts; undefined where no Prometheus is installed. */
  readonly alertsPage: string | undefined;
}

const here = (path: string): string => relative(process.cwd(), path) || path;

export function guide({ fleet, data, redis, redisPassword, token, nginxPort, alertsPage }: Guide): string {
  const [intake] = fleet.intakes as [Member];
  const [signer] = fleet.signers as [Member];
  const ca = here(fleet.demoFile('ca.pem'));
  const cli = (member: Member): string => `npx certstatus --config ${here(member.configFile)}`;
  const ask = (port: number, name: string): string =>
    `  openssl ocsp -issuer ${ca} -CAfile ${ca} -cert ${here(fleet.demoFile(`samples/${name}.pem`))} -url http://127.0.0.1:${port}/OcspServer`;
  const admin = fleet.members.map(({ name, ports }) => `  ${name.padEnd(12)} http://127.0.0.1:${ports.admin}/`);
  const operator = `REDISCLI_AUTH=$(cat ${here(redisPassword)}) redis-cli -p ${redis.port} --user operator`;
  const activations = token === undefined ? [] : (['alice', 'bob'] as const).map((person) => {
    const { certificate, key } = credentialFiles(fleet.directory, person);
    return `  ${cli(signer)} key activate --token ${TOKEN} --cert ${here(certificate)} --key ${here(key)} --share-file ${here(token.share(person))}`;
  }); // prettier-ignore
  return `
The fleet serves a demo CA. Paste into another shell:

  # a good certificate and a revoked one, from each responder
${fleet.responders.map(({ ports }) => ask(ports.public, 'valid')).join('\n')}
${ask((fleet.responders[1] as Member).ports.public, 'revoked')}
  curl -s http://127.0.0.1:${(fleet.responders[2] as Member).ports.public}${fleet.crlPathOf()} | openssl crl -inform DER -noout -text

  # an nginx that staples from responder-1
  nginx -p ${here(join(data, 'nginx'))}/ -c nginx.conf -e error.log
  openssl s_client -connect 127.0.0.1:${nginxPort} -CAfile ${ca} -status </dev/null 2>&1 | grep -A 9 'OCSP Response Status'

  # revoke the good one: the command returns when every responder says so
  ${cli(intake)} revoke --issuer demo --serial ${fleet.serialOf('samples/valid.pem')} --reason keyCompromise --wait

  # is every promise kept, and what to do if not
  ${cli(signer)} overview

  # keys, and who activated them
  ${cli(signer)} key list
  ${cli(signer)} audit verify

Status pages; each wants a link of its own (here signer-1's), good for one sign-in:
  ${cli(signer)} sign-in
${admin.join('\n')}

${
  alertsPage === undefined
    ? 'Prometheus is not installed here; with it (apt-get install prometheus; systemctl disable --now prometheus) the same command starts one with the rules of deploy/prometheus.'
    : `Prometheus, with the rules of deploy/prometheus:
  ${alertsPage}`
}

Make it fail (what is seen, and how it heals: deploy/README.md):
  kill -STOP ${redis.pid}; sleep 75; kill -CONT ${redis.pid}      # the Redis hangs for longer than good is served
  ${operator} FLUSHALL
  kill -9 ${redis.pid}                                   # killed; started again after 10 s, as everything here
  kill -9 ${signer.pid}                                   # signer-1; afterwards its keys must be activated again:
${activations.join('\n')}
  kill -STOP ${signer.pid}; sleep 40; kill -CONT ${signer.pid}    # signer-1 sleeps beyond its leases
  kill -9 ${intake.pid}                                   # intake-1${
    token === undefined
      ? ''
      : `
  mv ${here(token.files)} ${here(token.files)}.away; sleep 360; mv ${here(token.files)}.away ${here(token.files)}   # the HSM is away
    Within 4 minutes TokenUnusable and KeyUnusable fire; every certificate is still answered. What to do: deploy/guide/runbook.md`
  }

Ctrl-C ends everything; the same command finds it again.
`;
}

/** An nginx that staples for valid.pem from the first responder. */
export function nginxFiles(fleet: Fleet, port: number): void {
  const directory = join(fleet.directory, 'nginx');
  mkdirSync(directory, { recursive: true });
  const [responder] = fleet.responders as [Member];
  writeFileSync(
    join(directory, 'nginx.conf'),
    `pid nginx.pid;
daemon off;
events {}
http {
  access_log off;
  server {
    listen 127.0.0.1:${port} ssl;
    ssl_certificate ${fleet.demoFile('samples/valid.pem')};
    ssl_certificate_key ${fleet.demoFile('samples/valid.key')};
    ssl_stapling on;
    ssl_stapling_verify on;
    ssl_stapling_responder http://127.0.0.1:${responder.ports.public}/OcspServer;
    ssl_trusted_certificate ${fleet.demoFile('ca.pem')};
  }
}
`,
  );
}
