/**
 * Which CRLs an issuer has, as issuer.yaml and its preset say (`crl.complete`, `crl.shards`, `crl.authorities`): read, checked, and
 * brought into the form of core/crl/shards.ts. The URLs are whole, because certificates and CRLs name them octet for octet (B-32, T-37).
 */
import { z } from 'zod';
import { COMPLETE, type IssuerTag } from '../core/certificate.ts';
import { type CrlLayout, MAX_SHARDS, scopesOf, type ShardLayout, shardUrl } from '../core/crl/shards.ts';
import { Problem } from '../core/problem.ts';
import type { PublicUrl } from '../core/route.ts';
import type { Locate } from './yaml-file.ts';

/** Members of `crl` in issuer.yaml and in a preset. `{id}` in a URL stands for the id of the issuer. */
export const crlLayout = {
  complete: z
    .boolean()
    .optional()
    .describe(
      'whether there is a CRL of all certificates, at urls.crl; true when nothing is said. False only with shards',
    ),
  shards: z
    .strictObject({
      count: z.int().min(1).max(MAX_SHARDS).describe('new certificates are spread over shards 1 to count'),
      highest: z
        .int()
        .min(1)
        .max(MAX_SHARDS)
        .optional()
        .describe('shards up to this one are published from the start; count when nothing is said'),
      url: z.string().describe('URL of a shard as certificates have it, with {shard} where its number stands'),
    })
    .optional()
    .describe('CRLs of a part of the certificates each; a certificate keeps its shard for life'),
  authorities: z.string().optional().describe('URL of a CRL of CA certificates alone (ARL)'),
};
export type CrlLayoutFile = { readonly [K in keyof typeof crlLayout]?: z.output<(typeof crlLayout)[K]> | undefined };

/**
 * @param crlUrls where the complete CRL is.
 * @returns what is wrong, with field, value and rule; then the layout is not to be used.
 */
export function crlLayoutOf(
  preset: CrlLayoutFile,
  own: CrlLayoutFile,
  crlUrls: readonly PublicUrl[],
  id: string,
  at: Locate,
): { readonly layout: CrlLayout; readonly problems: readonly Problem[] } {
  const complete = own.complete ?? preset.complete ?? true;
  const asked = own.shards ?? preset.shards;
  const authorities = own.authorities ?? preset.authorities;
  const named = (url: string): string => url.replaceAll('{id}', id);
  const shards: ShardLayout | undefined = asked && {
    count: asked.count,
    highest: asked.highest ?? asked.count,
    url: named(asked.url),
  };
  const layout: CrlLayout = {
    complete,
    // Without a host it is that path on any: certificates may name several.
    completeUrls: complete
      ? crlUrls.map(({ host, path }) => (host === undefined ? path : `http://${host}${path}`))
      : [],
    shards,
    caUrl: authorities === undefined ? undefined : named(authorities),
  };
  const problems: Problem[] = [];
  const wrong = (message: string, field: string, value: unknown, rule: string): void =>
    void problems.push(new Problem('config', message, { field, value, rule }));
  if (!complete && shards === undefined)
    wrong('without shards there must be a complete CRL', at('crl', 'complete'), false, 'T-38');
  if (shards !== undefined) {
    const field = at('crl', 'shards', 'url');
    if (shards.highest < shards.count)
      wrong(
        `less than crl.shards.count ${shards.count}: every shard must be published`,
        at('crl', 'shards', 'highest'),
        shards.highest,
        'T-38',
      );
    if (shards.url.split('{shard}').length !== 2)
      wrong('must have {shard} exactly once: each shard has one URL', field, shards.url, 'P-11, X-11');
    else problems.push(...checkUrl(shards.url.replace('{shard}', '1'), shards.url, field));
  }
  if (layout.caUrl !== undefined) problems.push(...checkUrl(layout.caUrl, layout.caUrl, at('crl', 'authorities')));
  return { layout, problems };
}

/** Where each CRL with a URL of its own is served, the complete one aside: for routes, and for what two issuers may not share. */
export function shardUrls(
  layout: CrlLayout,
): readonly (PublicUrl & { readonly shard: string; readonly url: string })[] {
  return scopesOf(layout, '' as IssuerTag).flatMap(({ shard }) => {
    const url = shard === COMPLETE ? undefined : shardUrl(layout, shard);
    return url === undefined ? [] : [{ shard, url, ...publicUrlOf(url) }];
  });
}

/** As the route table wants it: the host without its port, the path as it stands. */
function publicUrlOf(url: string): PublicUrl {
  const [, authority = '', path = '/'] = PLAIN_URL.exec(url) ?? [];
  return { host: authority.replace(/:\d+$/, '').toLowerCase(), path };
}

/** http, because a client that fetches a CRL for TLS may not need TLS for it (B-36); nothing that two readers could read differently. */
function checkUrl(url: string, value: string, field: string): readonly Problem[] {
  const wrong = (message: string, rule: string): readonly Problem[] => [
    new Problem('config', message, { field, value, rule }),
  ];
  if (!url.startsWith('http://')) return wrong('must begin with http://', 'B-36, BR 7.1.2.11.2');
  if (/[?#]/.test(url)) return wrong('must have neither query nor fragment: a CRL is one file', 'B-36, C-29');
  if (!PLAIN_URL.test(url))
    return wrong(
      'must be http://, a host name with or without port, and a path of visible ASCII characters',
      'B-36, T-37',
    );
  if (/[{}]/.test(url)) return wrong('only {id} may stand in braces, and {shard} in that of shards', 'T-37');
  return [];
}

const PLAIN_URL = /^http:\/\/([A-Za-z0-9.-]+(?::\d{1,5})?)(\/[!-~]*)$/;
