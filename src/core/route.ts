/**
 * Which of the public paths a request-target means: an OCSP mount, a CRL, a CA certificate, or nothing. Paths are compared
 * as sent, octet for octet: nothing is decoded, merged or folded (T-49).
 *
 * An OCSP mount is not tied to an issuer: the CertID says which issuer is meant, so any mount answers for all of them. A file
 * that is alone with its path is found at any host, and without one (HTTP/1.0). Where several CAs have files of one path, only the
 * host name tells which is meant: for another host there is none, since a cache would keep one CA's CRL for all of them.
 */

export interface PublicUrl {
  /** Undefined: any host. Compared without case and port. */
  readonly host?: string | undefined;
  /** Begins with `/`; for OCSP a trailing slash makes no difference. */
  readonly path: string;
}

/** Where an http URL is asked for: its host, and its path octet for octet (T-49). Undefined for anything else. */
export function publicUrl(url: string): PublicUrl | undefined {
  const [, host, path] = /^https?:\/\/([^/?#:]+)(?::\d+)?(\/[^?#]*)/i.exec(url) ?? [];
  return host === undefined || path === undefined ? undefined : { host, path };
}

export type Route<File> =
  /** `rest` is what follows the mount path: for a GET the encoded request, with or without leading slashes. */
  | { readonly kind: 'ocsp'; readonly rest: string; readonly atRoot: boolean }
  | { readonly kind: 'file'; readonly file: File }
  | { readonly kind: 'none' };

/** `/`, with or without a query: no request but a load balancer's probe, or a person with a browser (peers.md Part 2 §4.3). */
export function isRootPage(route: { readonly rest: string; readonly atRoot: boolean }): boolean {
  return route.atRoot && /^\/?(?:\?|$)/.test(route.rest);
}

const NONE = { kind: 'none' } as const;

export class RouteTable<File> {
  /** Longest first, so that `/ocsp/ev` wins over `/ocsp`. */
  readonly #mounts: readonly string[];
  /** By host and path, and by path alone: undefined when several hosts have another file there. */
  readonly #files = new Map<string, File | undefined>();
  /** Paths whose file is meant whatever the host. */
  readonly #atAnyHost = new Set<string>();
  /** The mounts themselves, where each POST goes. */
  readonly #exactly = new Map<string, Route<File>>();

  constructor(ocsp: readonly PublicUrl[], files: readonly (PublicUrl & { readonly file: File })[]) {
    const mounts = new Set(ocsp.map(({ path }) => (path.endsWith('/') ? path.slice(0, -1) : path)));
    this.#mounts = [...mounts].sort((a, b) => b.length - a.length);
    for (const placed of files) this.place(placed);
    for (const mount of this.#mounts) {
      for (const rest of ['', '/']) {
        const path = mount + rest;
        if (path !== '' && !this.#files.has(path))
          this.#exactly.set(path, { kind: 'ocsp', rest, atRoot: mount === '' });
      }
    }
  }

  /** A file more, the same object for each of its URLs. What has its place already keeps it, and so does a mount. */
  place({ host, path, file }: PublicUrl & { readonly file: File }): void {
    if (host === undefined) {
      if (this.#atAnyHost.has(path)) return;
      this.#atAnyHost.add(path);
      this.#files.set(path, file);
      return;
    }
    const full = `${host.toLowerCase()}${path}`;
    if (this.#files.has(full)) return;
    this.#files.set(full, file);
    if (this.#atAnyHost.has(path)) return;
    const isShared = this.#files.has(path) && this.#files.get(path) !== file;
    this.#files.set(path, isShared ? undefined : file);
  }

  /** `target` is the raw request-target, origin-form or absolute-form; `host` is asked for only when it matters. */
  find(asked: { readonly target: string; readonly host: string }): Route<File> {
    let path = asked.target;
    const mount = this.#exactly.get(path);
    if (mount !== undefined) return mount;
    let authority: string | undefined;
    if (path.charCodeAt(0) !== SLASH) {
      // RFC 9112 §3.2.2: a server accepts the absolute-form, and its authority counts instead of Host. An empty one is refused
      // (RFC 9110 §4.2.1).
      const found = /^https?:\/\/([^/?#]+)/i.exec(path);
      if (found === null) return NONE;
      authority = found[1] as string;
      path = path.slice(found[0].length) || '/';
    }
    if (this.#files.size > 0) {
      const end = path.search(/[?#]/);
      const plain = end === -1 ? path : path.slice(0, end);
      // Only a known path pays for the look at the host name.
      if (this.#files.has(plain)) {
        const name = (authority ?? asked.host).replace(/:\d*$/, '').toLowerCase();
        const file = this.#files.get(name + plain) ?? this.#files.get(plain);
        return file === undefined ? NONE : { kind: 'file', file };
      }
    }
    for (const mount of this.#mounts) {
      if (!path.startsWith(mount)) continue;
      const next = path.charCodeAt(mount.length);
      // `/OcspServer`, `/OcspServer/…`, `/OcspServer?…`; not `/OcspServers`.
      if (next === SLASH || Number.isNaN(next) || next === QUESTION_MARK)
        return { kind: 'ocsp', rest: path.slice(mount.length), atRoot: mount === '' };
    }
    return NONE;
  }
}

const SLASH = 0x2f;
const QUESTION_MARK = 0x3f;
