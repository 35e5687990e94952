/**
 * The request-targets of one question, as clients spell them (peers.md Part 2 §4.3), and what is at fault when one of them does
 * not arrive. All are read by certstatus; so a spelling that fails was changed on the way.
 */
import { encodeGetPath } from '../ocsp/get-path.ts';

export interface Spelling {
  /** `warning`: clients that spell it so are rare. */
  readonly severity: 'error' | 'warning';
  readonly name: string;
  readonly target: string;
  /** What in front of a responder usually breaks it. */
  readonly cause: string;
}

/** @param path of the AIA URL, as it is there. */
export function spellings(path: string, authority: string, der: Buffer): readonly Spelling[] {
  const mount = path.endsWith('/') ? path.slice(0, -1) : path;
  const base64 = der.toString('base64');
  const escaped = encodeGetPath(der);
  return [
    {
      severity: 'error',
      name: 'GET, as RFC 9919 §6 spells it (%2B %2F %3D)',
      target: `${mount}/${escaped}`,
      cause: DECODED,
    },
    {
      severity: 'error',
      name: 'GET with unescaped + / =',
      target: `${mount}/${base64}`,
      cause: `${MERGED}; or a form decoder makes + a space`,
    },
    {
      severity: 'error',
      name: 'GET with lower-case escapes',
      target: `${mount}/${escaped.replace(/%../g, (escape) => escape.toLowerCase())}`,
      cause: 'a rule of the proxy that knows %2F but not %2f',
    },
    {
      severity: 'error',
      name: 'GET with // in front (clients send it when the URL of the certificate ends in a slash)',
      target: `${mount}//${escaped}`,
      cause: 'a proxy that redirects or refuses // (a path that is normalised, a route that matches one slash only)',
    },
    {
      severity: 'warning',
      name: 'GET escaped twice (%252B)',
      target: `${mount}/${encodeURIComponent(escaped)}`,
      cause: 'a proxy that escapes % once more, or refuses %25 (a web application firewall)',
    },
    {
      severity: 'warning',
      name: 'GET with a slash behind',
      target: `${mount}/${escaped}/`,
      cause: 'a proxy that takes a path ending in / for a directory',
    },
    {
      severity: 'warning',
      name: 'GET with a query behind',
      target: `${mount}/${escaped}?probe=1`,
      cause: 'a proxy that refuses or appends queries',
    },
    {
      severity: 'warning',
      name: 'GET in absolute form',
      target: `http://${authority}${mount}/${escaped}`,
      cause:
        'a proxy that is no forward proxy and refuses the absolute form (RFC 9112 §3.2.2 has every server accept it)',
    },
  ];
}

/**
 * Targets that hold no request as they stand, and hold one after a proxy has decoded the path. certstatus answers them with
 * malformedRequest; it repairs much of what a decoding proxy does, and so only these betray it.
 */
export function tellTales(path: string, der: Buffer): readonly Spelling[] {
  const mount = path.endsWith('/') ? path.slice(0, -1) : path;
  const escaped = encodeGetPath(der);
  return [
    { severity: 'warning', name: 'an escaped slash in front', target: `${mount}/%2F${escaped}`, cause: DECODED },
    { severity: 'warning', name: 'an escaped slash behind', target: `${mount}/${escaped}%2F`, cause: DECODED },
    {
      severity: 'warning',
      name: 'three times escaped',
      target: `${mount}/${escaped.replaceAll('%', '%2525')}`,
      cause: DECODED,
    },
  ];
}

const MERGED =
  'a proxy that makes // one slash (nginx with a URI in proxy_pass, HAProxy normalize-uri, a CDN that normalises paths)';
const DECODED =
  'a proxy that decodes the path: nginx proxy_pass with a URI behind the name, were it only a slash; Apache without AllowEncodedSlashes NoDecode and nocanon; Tomcat';
