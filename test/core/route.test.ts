import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { publicUrl, RouteTable } from '../../src/core/route.ts';

const PREFIXED = new RouteTable<string>(
  [{ path: '/OcspServer' }, { path: '/ocsp/' }, { path: '/ocsp/ev' }],
  [
    { path: '/SureServer/evcag3/cdp.crl', file: 'evcag3' },
    { host: 'crl.a.example', path: '/ca.crl', file: 'a' },
    { host: 'CRL.B.example', path: '/ca.crl', file: 'b' },
  ],
);
const ROOT = new RouteTable<string>(
  [{ host: 'ocsp.a.example', path: '/' }, { path: '/ocsp' }],
  [{ path: '/ca.crl', file: 'a' }],
);

const NONE = { kind: 'none' };
const ocsp = (rest: string, atRoot = false): unknown => ({ kind: 'ocsp', rest, atRoot });
const file = (name: string): unknown => ({ kind: 'file', file: name });

function finds(table: RouteTable<string>, cases: Record<string, unknown>, host = ''): void {
  for (const [target, expected] of Object.entries(cases))
    assert.deepEqual(table.find({ target, host }), expected, target);
}

describe('RouteTable', () => {
  it('gives an OCSP mount what follows it, octet for octet (T-49)', () => {
    finds(PREFIXED, {
      '/OcspServer': ocsp(''),
      '/OcspServer/': ocsp('/'),
      '/OcspServer/MFEw%2F+a=': ocsp('/MFEw%2F+a='),
      '/OcspServer//MFEw/a//b': ocsp('//MFEw/a//b'),
      '/OcspServer?x=1': ocsp('?x=1'),
      '/OcspServer/MFEw?x#y': ocsp('/MFEw?x#y'),
      '/ocsp': ocsp(''),
      '/ocsp/MFEw': ocsp('/MFEw'),
      '/ocsp/ev/MFEw': ocsp('/MFEw'),
      '/ocsp/even': ocsp('/even'),
    });
  });

  it('does not take a longer name for the mount, nor another case or spelling', () => {
    for (const target of [
      '/OcspServers',
      '/OcspServers/MFEw',
      '/ocspserver',
      '/%4fcspServer',
      '//OcspServer',
      '/',
      '',
    ]) {
      assert.deepEqual(PREFIXED.find({ target: target, host: '' }), NONE, target);
    }
  });

  it('takes everything at a root mount, but longer mounts and files first', () => {
    finds(ROOT, {
      '/': ocsp('/', true),
      '//MFEw': ocsp('//MFEw', true),
      '/MFEw': ocsp('/MFEw', true),
      '/?x': ocsp('/?x', true),
      '/ocsps': ocsp('/ocsps', true),
      '/ocsp/MFEw': ocsp('/MFEw'),
      '/ca.crl': file('a'),
      '/ca.crl/': ocsp('/ca.crl/', true),
    });
  });

  it('reads the absolute-form, whose authority counts instead of Host (RFC 9112 §3.2.2)', () => {
    finds(
      PREFIXED,
      {
        'http://ocsp.example/OcspServer/MFEw': ocsp('/MFEw'),
        'HTTPS://ocsp.example:8080/OcspServer': ocsp(''),
        'http://crl.b.example:80/ca.crl': file('b'),
        'http://CRL.A.example/ca.crl?x': file('a'),
        'http://ocsp.example': NONE,
      },
      'crl.a.example',
    );
    finds(ROOT, {
      'http://ocsp.a.example': ocsp('/', true),
      'http://ocsp.a.example?x': ocsp('?x', true),
      'http://ocsp.a.example//MFEw': ocsp('//MFEw', true),
    });
  });

  it('refuses the other forms of a target', () => {
    for (const target of [
      '*',
      'ocsp.example:443',
      'ftp://ocsp.example/OcspServer',
      'OcspServer',
      'http:/OcspServer',
      'http:///OcspServer',
    ]) {
      assert.deepEqual(PREFIXED.find({ target: target, host: 'ocsp.example' }), NONE, target);
    }
  });

  it('tells equal paths apart by host, without case and port; any other host has none, nor has HTTP/1.0 without one', () => {
    const path = '/ca.crl';
    for (const host of ['other.example', '', '[::1]:8080'])
      assert.deepEqual(PREFIXED.find({ target: path, host }), NONE, host);
    for (const [host, name] of [
      ['crl.a.example', 'a'],
      ['crl.b.example', 'b'],
      ['Crl.B.Example:8080', 'b'],
    ] as const) {
      assert.deepEqual(PREFIXED.find({ target: path, host }), file(name), host);
    }
  });

  it('finds a file without its query and nowhere else', () => {
    finds(PREFIXED, {
      '/SureServer/evcag3/cdp.crl': file('evcag3'),
      '/SureServer/evcag3/cdp.crl?cache=no': file('evcag3'),
      '/SureServer/evcag3/cdp.crl/': NONE,
      '/sureserver/evcag3/cdp.crl': NONE,
      '/SureServer/../SureServer/evcag3/cdp.crl': NONE,
      '/crl.a.example/ca.crl': NONE,
    });
  });

  it('takes a file that comes later, and keeps what has its place', () => {
    const table = new RouteTable<string>([{ path: '/ocsp' }], [{ host: 'a.example', path: '/1.crl', file: 'first' }]);
    table.place({ host: 'a.example', path: '/2.crl', file: 'second' });
    table.place({ host: 'a.example', path: '/1.crl', file: 'another' });
    table.place({ host: 'b.example', path: '/1.crl', file: 'of b' });
    finds(table, { '/2.crl': file('second'), '/1.crl': file('first') }, 'a.example');
    finds(table, { '/1.crl': file('of b') }, 'B.example:80');
    finds(table, { '/1.crl': NONE, '/2.crl': file('second'), 'http://b.example/1.crl?x': file('of b') });
  });

  it('finds a file that is alone with its path at any host, whatever the number of its URLs', () => {
    const table = new RouteTable<string>(
      [{ path: '/' }],
      [
        { host: 'a.example', path: '/1.crl', file: 'one' },
        { host: 'mirror.example', path: '/1.crl', file: 'one' },
        { host: 'a.example', path: '/2.crl', file: 'two' },
        { path: '/2.crl', file: 'any' },
        { host: 'b.example', path: '/2.crl', file: 'of b' },
      ],
    );
    finds(table, { '/1.crl': file('one'), '/2.crl': file('any') }, 'other.example');
    finds(table, { '/2.crl': file('two') }, 'a.example');
    finds(table, { '/2.crl': file('of b') }, 'b.example');
  });

  it('reads where an http URL is asked for, octet for octet', () => {
    for (const [url, expected] of [
      ['http://crl.example/a/1.crl', { host: 'crl.example', path: '/a/1.crl' }],
      ['HTTP://Crl.Example:8080/a//%41/../1.crl?x=1#y', { host: 'Crl.Example', path: '/a//%41/../1.crl' }],
      ['https://crl.example/', { host: 'crl.example', path: '/' }],
      ['http://crl.example', undefined],
      ['ldap://crl.example/cn=x', undefined],
      ['/1.crl', undefined],
    ] as const)
      assert.deepEqual(publicUrl(url), expected, url);
  });
});
