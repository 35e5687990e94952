import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { crlLayoutOf, type CrlLayoutFile, shardUrls } from '../../src/apps/crl-layout.ts';
import type { PublicUrl } from '../../src/core/route.ts';

const at = (...path: readonly (string | number)[]): string => path.join('.');
const read = (own: CrlLayoutFile, preset: CrlLayoutFile = {}, urls: readonly PublicUrl[] = [{ path: '/ca.crl' }]) =>
  crlLayoutOf(preset, own, urls, 'g4', at);
const URL = 'http://crl.example.com/{id}/{shard}.crl';

describe('crl.shards, crl.authorities and crl.complete', () => {
  it('make the layout, with the id of the issuer in the URLs', () => {
    const urls = [{ host: 'crl.example.com', path: '/g4.crl' }, { path: '/old.crl' }];
    const { layout, problems } = read(
      { shards: { count: 3, url: URL }, authorities: 'http://crl.example.com/{id}/arl.crl' },
      {},
      urls,
    );
    assert.deepEqual(problems, []);
    assert.deepEqual(layout, {
      complete: true,
      completeUrls: ['http://crl.example.com/g4.crl', '/old.crl'],
      shards: { count: 3, highest: 3, url: 'http://crl.example.com/g4/{shard}.crl' },
      caUrl: 'http://crl.example.com/g4/arl.crl',
    });
    assert.deepEqual(shardUrls(layout).map(({ shard, host, path }) => [shard, host, path]), [
      ['ca', 'crl.example.com', '/g4/arl.crl'],
      ['1', 'crl.example.com', '/g4/1.crl'],
      ['2', 'crl.example.com', '/g4/2.crl'],
      ['3', 'crl.example.com', '/g4/3.crl'],
    ]); // prettier-ignore
  });

  it('come from the preset where issuer.yaml says nothing', () => {
    const { layout } = read({ complete: false }, { shards: { count: 2, highest: 5, url: URL } });
    assert.deepEqual([layout.complete, layout.shards?.count, layout.shards?.highest], [false, 2, 5]);
    assert.deepEqual(layout.completeUrls, []);
  });

  it('are one complete CRL when nothing is said', () => {
    assert.deepEqual(read({}).layout, {
      complete: true,
      completeUrls: ['/ca.crl'],
      shards: undefined,
      caUrl: undefined,
    });
  });

  it('tell the route table the host without its port', () => {
    const { layout } = read({ authorities: 'http://CRL.Example.com:8080/arl' });
    assert.deepEqual(shardUrls(layout), [
      { shard: 'ca', url: 'http://CRL.Example.com:8080/arl', host: 'crl.example.com', path: '/arl' },
    ]);
  });

  for (const [what, own, field, value, rule] of [
    ['https', { authorities: 'https://a.test/x' }, 'crl.authorities', 'https://a.test/x', /B-36/],
    ['a query', { authorities: 'http://a.test/x?y' }, 'crl.authorities', 'http://a.test/x?y', /C-29/],
    ['a URL without a path', { authorities: 'http://a.test' }, 'crl.authorities', 'http://a.test', /T-37/],
    ['a space', { authorities: 'http://a.test/x y' }, 'crl.authorities', 'http://a.test/x y', /T-37/],
    ['other braces', { authorities: 'http://a.test/{x}' }, 'crl.authorities', 'http://a.test/{x}', /T-37/],
    [
      'a URL without {shard}',
      { shards: { count: 2, url: 'http://a.test/x' } },
      'crl.shards.url',
      'http://a.test/x',
      /P-11/,
    ],
    [
      '{shard} twice',
      { shards: { count: 2, url: 'http://a.test/{shard}/{shard}' } },
      'crl.shards.url',
      'http://a.test/{shard}/{shard}',
      /X-11/,
    ],
    [
      'https for shards',
      { shards: { count: 2, url: 'https://a.test/{shard}' } },
      'crl.shards.url',
      'https://a.test/{shard}',
      /B-36/,
    ],
    ['highest below count', { shards: { count: 4, highest: 3, url: URL } }, 'crl.shards.highest', '3', /T-38/],
    ['no CRL at all', { complete: false }, 'crl.complete', 'false', /T-38/],
  ] as const) {
    it(`refuses ${what}, with field, value and rule`, () => {
      const [problem] = read(own).problems;
      assert.deepEqual([problem?.code, problem?.field, problem?.value], ['config', field, value]);
      assert.match(problem?.rule ?? '', rule);
    });
  }
});
