/** The `listen` section of certstatus.yaml, and what the environment and flags say of ports. */
import { z } from 'zod';
import { Problem } from '../core/problem.ts';
import { adminListener } from './admin-config.ts';
import { passedPublicSocket } from './passed-sockets.ts';

export interface Listen {
  readonly host: string;
  readonly port: number;
}

export interface ListenConfig {
  /** `descriptor`: a socket that listens already, in place of host and port (passed-sockets.ts). */
  readonly public: Listen & {
    readonly hold: 'bare' | 'socket';
    readonly maxConnections: number;
    readonly descriptor?: number;
  };
  readonly origin: (Listen & { readonly maxConnections: number }) | undefined;
  readonly intake: Listen;
  readonly admin: Listen;
}

/** Flags; each wins over the environment, which wins over the file. */
export interface PortFlags {
  readonly publicPort?: number | undefined;
  readonly originPort?: number | 'off' | undefined;
  readonly intakePort?: number | undefined;
  readonly adminPort?: number | undefined;
}

type Environment = Readonly<Record<string, string | undefined>>;

/** Of CDNs and load balancers, which keep theirs. */
const ORIGIN_CONNECTIONS = 3000;

const port = z.int().min(0).max(65535).describe('TCP port; 0 takes a free one');
const listenerFields = (usual: number) => ({
  host: z.string().min(1).default('127.0.0.1').describe('address to listen on'),
  port: port.default(usual),
});
const listener = (usual: number) => z.strictObject(listenerFields(usual)).prefault({});
const maxConnections = (usual: number, beyond: string) =>
  z
    .int()
    .min(1)
    .max(1_000_000)
    .default(usual)
    .describe(`connections at once; beyond it ${beyond}. Each is an open file (ulimit -n)`);

export const listenSchema = z
  .strictObject({
    public: z
      .strictObject({
        host: z.string().min(1).default('127.0.0.1').describe('address to listen on'),
        port: port.default(8080),
        hold: z
          .enum(['bare', 'socket'])
          .default('bare')
          .describe(
            'how plain connections are held: bare is faster, and uses what Node does not document; socket is plain node:net',
          ),
        maxConnections: maxConnections(15_000, 'those idle for longest are closed'),
      })
      .prefault({})
      .describe('OCSP, CRLs and CA certificates for every client'),
    origin: z
      .union([
        z.literal('off'),
        z
          .strictObject({
            host: z.string().min(1).default('127.0.0.1').describe('address to listen on'),
            port: port.default(8082),
            maxConnections: maxConnections(ORIGIN_CONNECTIONS, 'new ones are closed'),
          })
          .prefault({}),
      ])
      .default({ host: '127.0.0.1', port: 8082, maxConnections: ORIGIN_CONNECTIONS })
      .describe('the same for CDNs and load balancers (HTTP/1.1 only), or off'),
    intake: listener(8081).describe('events from the CA, with client certificates'),
    admin: adminListener(listenerFields(9090)),
  })
  .prefault({});

/** @throws Problem `config` for a variable that is no port, or a passed socket that cannot be used. */
export function listenOf(value: z.infer<typeof listenSchema>, env: Environment, flags: PortFlags): ListenConfig {
  const at = <L extends Listen>(from: L, flag: number | undefined, variable: string): L => ({
    ...from,
    port: flag ?? portFrom(env, variable) ?? from.port,
  });
  const originPort = flags.originPort ?? originFrom(env);
  const descriptor = passedPublicSocket(env, process.pid);
  return {
    public: {
      ...at(value.public, flags.publicPort, 'CERTSTATUS_PUBLIC_PORT'),
      ...(descriptor !== undefined && { descriptor }),
    },
    origin: originOf(value.origin, originPort),
    intake: at(value.intake, flags.intakePort, 'CERTSTATUS_INTAKE_PORT'),
    admin: at({ host: value.admin.host, port: value.admin.port }, flags.adminPort, 'CERTSTATUS_ADMIN_PORT'),
  };
}

/** The ports as they will be where there is no file yet. @throws Problem as listenOf. */
export function chosenPorts(
  env: Environment,
  flags: PortFlags,
): { public: number; origin: number | 'off'; intake: number; admin: number } {
  return {
    public: flags.publicPort ?? portFrom(env, 'CERTSTATUS_PUBLIC_PORT') ?? 8080,
    origin: flags.originPort ?? originFrom(env) ?? 8082,
    intake: flags.intakePort ?? portFrom(env, 'CERTSTATUS_INTAKE_PORT') ?? 8081,
    admin: flags.adminPort ?? portFrom(env, 'CERTSTATUS_ADMIN_PORT') ?? 9090,
  };
}

/** `--origin-port 8082` also switches on what the file has off. */
type Origin = NonNullable<ListenConfig['origin']>;

function originOf(origin: 'off' | Origin, chosen: number | 'off' | undefined): Origin | undefined {
  if (chosen === 'off' || (origin === 'off' && chosen === undefined)) return undefined;
  const { host, maxConnections } =
    origin === 'off' ? { host: '127.0.0.1', maxConnections: ORIGIN_CONNECTIONS } : origin;
  return { host, port: chosen ?? (origin as Origin).port, maxConnections };
}

function originFrom(env: Environment): number | 'off' | undefined {
  return env['CERTSTATUS_ORIGIN_PORT'] === 'off' ? 'off' : portFrom(env, 'CERTSTATUS_ORIGIN_PORT');
}

function portFrom(env: Environment, variable: string): number | undefined {
  const text = env[variable];
  if (text === undefined || text === '') return undefined;
  const number = /^\d{1,5}$/.test(text) ? Number(text) : NaN;
  if (!(number <= 65535)) throw new Problem('config', 'not a port from 0 to 65535', { field: variable, value: text });
  return number;
}
