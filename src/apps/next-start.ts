/** What of a configuration that was changed on disk a running process does not take over: it is told, key by key. */
import { isDeepStrictEqual } from 'node:util';
import type { Loaded } from './config.ts';
import type { IssuerSetup } from './issuer-files.ts';

/** Keys of certstatus.yaml as dotted paths, and `issuers/<id>`. @param at of the start. */
export function forNextStart(at: Loaded, now: Loaded): readonly string[] {
  const hasTls = ({ written }: Loaded): boolean => written.listen.admin.tls !== false;
  const keys = [...changed(at.written, now.written, '')].filter(
    (key) => !RENEWED.test(key) && (key !== 'listen.admin.tls' || hasTls(at) !== hasTls(now)),
  );
  const ids = new Set([...at.issuers, ...now.issuers].map(({ id }) => id));
  const issuers = [...ids].filter((id) => {
    const [was, is] = [at, now].map(({ issuers: list }) => list.find((one) => one.id === id));
    return !isDeepStrictEqual(was && fixed(was), is && fixed(is));
  });
  return [...keys, ...issuers.map((id) => `issuers/${id}`)];
}

/** Contents of files, their names, and who may do what; `cli` is for commands. Whether there is TLS at all is not among them. */
const RENEWED =
  /^(?:intake\.(?:certificate|key|clientCa|clientCrl|clients|separation)\b|listen\.admin\.(?:tls\.|metricsToken)|cli\b)/;

function* changed(was: unknown, is: unknown, path: string): Generator<string> {
  if (isDeepStrictEqual(was, is)) return;
  if (!isSection(was) || !isSection(is)) return yield path;
  for (const key of new Set([...Object.keys(was), ...Object.keys(is)]))
    yield* changed(was[key], is[key], path === '' ? key : `${path}.${key}`);
}

function isSection(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Responder certificates come and go while it runs (`key install`). */
function fixed({ issuer, profile, crlKeys, ocspSignedBy, crls, urls }: IssuerSetup): object {
  const certificates = issuer.certificates.map(({ der }) => Buffer.from(der).toString('base64'));
  return { certificates, profile, crlKeys, ocspSignedBy, crls, urls };
}
