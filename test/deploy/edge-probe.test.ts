/**
 * `certstatus probe`, and the responder that looks at itself: silent before a proxy that does no harm, and plain about one that
 * does. The proxies are real, the harm is done by real lines of their configuration, or octet by octet on the way back.
 */
import { after, before, describe, it } from 'node:test';
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer, connect, type AddressInfo, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { tcpWire } from '../../src/adapters/probe-client/wire.ts';
import { certificatesFromFile, readCertificate } from '../../src/core/certificate-reader.ts';
import { loadIssuer } from '../../src/core/issuer.ts';
import { NOBODY } from '../../src/core/probe/question.ts';
import { probe, type ProbeReport } from '../../src/flows/monitor/probe.ts';
import type { Clock } from '../../src/ports/clock.ts';
import { Edge, edgeMissing, EDGES } from '../support/edge.ts';
import { Service, until } from '../support/service.ts';

/** A URI in proxy_pass: nginx decodes the path and makes // one slash (peers.md Part 2 §4.4). */
const merging = (conf: string): string =>
  conf.replace('proxy_pass http://certstatus;', 'proxy_pass http://certstatus/;').replace('merge_slashes off;', '');
/** The same, but // stays. */
const decoding = (conf: string): string =>
  conf.replace('proxy_pass http://certstatus;', 'proxy_pass http://certstatus/;');

describe('certstatus probe', () => {
  let service: Service;
  before(async () => {
    service = await Service.demo();
  });
  after(() => service.remove());

  const command = async (port: number, ...more: string[]): Promise<{ code: number | null; report: ProbeReport }> => {
    const url = `http://127.0.0.1:${port}/OcspServer`;
    const { code, stdout, stderr } = await service.run('--json', 'probe', url, ...more);
    assert.ok(stdout !== '', stderr);
    return { code, report: (JSON.parse(stdout) as [ProbeReport])[0] };
  };
  const about = (certificate: string): string[] => ['--ca', service.demo.ca, '--cert', certificate];

  /** The same without a process of its own, and without waiting for anything to age. */
  const look = (
    port: number,
    what: { readonly about?: string; readonly ours?: boolean } = {},
  ): Promise<ProbeReport> => {
    const issuer = loadIssuer(certificatesFromFile(readFileSync(service.demo.ca)), 'ca');
    const certificate =
      what.about === undefined
        ? undefined
        : readCertificate(certificatesFromFile(readFileSync(what.about))[0] as Buffer);
    const subject =
      certificate === undefined
        ? NOBODY
        : { hash: 'sha1' as const, issuer: issuer.hashes.sha1, serial: certificate.serial };
    const clock: Clock = {
      now: () => Date.now(),
      after(_delayMs, run) {
        queueMicrotask(run);
        return { cancel: () => undefined };
      },
    };
    return probe(
      { url: `http://127.0.0.1:${port}/OcspServer`, subject, issuer, ours: what.ours ?? false },
      tcpWire,
      clock,
    );
  };

  it('finds nothing wrong with the public listener', async () => {
    const { code, report } = await command(
      service.ports.public,
      '--ours',
      '--hash',
      'sha256',
      ...about(service.demo.revoked),
    );
    assert.deepEqual([report.findings, report.answer, code], [[], 'revoked', 0]);
    assert.ok(report.asked >= 20);
    for (const [more, answer] of [
      [{}, 'unauthorized'],
      [{ about: service.demo.valid }, 'good'],
    ] as const) {
      const { findings, answer: got } = await look(service.ports.public, { ...more, ours: true });
      assert.deepEqual([findings, got], [[], answer]);
    }
  });

  it('says in words that the origin listener is not for every client', async () => {
    const { code, stdout } = await service.run('probe', service.url('/OcspServer', 'origin'), '--ca', service.demo.ca);
    assert.equal(code, 1);
    assert.match(
      stdout,
      /unauthorized; asked \d+ times, 4 findings\n(.*\n)*error +GET with HTTP\/1\.0: .*use the public listener/,
    );
  });

  for (const name of EDGES) {
    it(`finds nothing wrong with ${name} as deploy/edge has it`, { skip: edgeMissing(name) }, async () => {
      const edge = await Edge.start(name, service.ports);
      try {
        for (const more of [{}, { about: service.demo.valid }]) {
          // The second time from the cache.
          for (let i = 0; i < 2; i++) {
            const { findings, answer } = await look(edge.port, { ...more, ours: true });
            assert.deepEqual([findings, answer], [[], 'about' in more ? 'good' : 'unauthorized']);
          }
        }
      } finally {
        await edge.stop();
      }
    });
  }

  it('names the nginx that makes // one slash', { skip: edgeMissing('nginx') }, async () => {
    const edge = await Edge.start('nginx', service.ports, merging);
    try {
      const { code, report } = await command(edge.port, ...about(service.demo.valid));
      assert.equal(code, 1);
      const [first] = report.findings;
      assert.match(`${first?.asked} ${first?.message}`, /%2B %2F %3D.*malformedRequest, and good by POST/);
      assert.match(first?.cause ?? '', /proxy_pass with a URI/);
    } finally {
      await edge.stop();
    }
  });

  it(
    'tells one that decodes from one that does not, though every client is answered',
    { skip: edgeMissing('nginx') },
    async () => {
      const edge = await Edge.start('nginx', service.ports, decoding);
      try {
        const { findings } = await look(edge.port, { ours: true });
        const messages = findings.map(({ severity, message }) => `${severity}: ${message}`);
        assert.ok(messages.length > 0);
        assert.match(messages.join('\n'), /^warning: answered unauthorized, so the path was decoded on the way/);
      } finally {
        await edge.stop();
      }
    },
  );

  it('says what cannot be asked, and what is no URL', async () => {
    const nobody = createServer();
    await new Promise<void>((done) => nobody.listen(0, '127.0.0.1', done));
    const { port } = nobody.address() as AddressInfo;
    await new Promise((done) => nobody.close(done));
    const { code, report } = await command(port);
    assert.deepEqual([code, report.answer, report.findings.length], [1, undefined, 1]);
    assert.match(report.findings[0]?.message ?? '', /ECONNREFUSED/);
    assert.equal((await service.run('probe', 'https://ocsp.example.com/')).code, 1);
    assert.equal((await service.run('probe', '--hash', 'md5')).code, 2);
  });

  describe('before something that spoils answers', () => {
    let spoil: (answer: string, question: string) => string = (answer) => answer;
    let keepOpen = false;
    let server: Server;
    const open = new Set<Socket>();
    before(async () => {
      // One exchange for each connection, as the probe asks.
      server = createServer((client) => {
        open.add(client);
        client.on('close', () => open.delete(client)).on('error', () => undefined);
        client.once('data', (octets: Buffer) => {
          const question = octets.toString('latin1');
          const behind = connect({ port: service.ports.public, host: '127.0.0.1' });
          const chunks: Buffer[] = [];
          behind.on('data', (chunk: Buffer) => chunks.push(chunk));
          behind.on('error', () => client.destroy());
          behind.on('end', () => {
            client.write(Buffer.from(spoil(Buffer.concat(chunks).toString('latin1'), question), 'latin1'));
            if (!keepOpen) client.end();
          });
          behind.write(octets);
        });
      });
      await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
    });
    after(async () => {
      for (const socket of open) socket.destroy();
      await new Promise((done) => server.close(done));
    });

    const head =
      (change: (fields: string) => string) =>
      (answer: string): string => {
        const end = answer.indexOf('\r\n\r\n');
        return change(answer.slice(0, end)) + answer.slice(end);
      };
    const field = (line: string) => head((fields) => `${fields}\r\n${line}`);
    const isSigned = (answer: string): boolean => answer.includes('max-age=');
    let kept = '';

    const faults: Readonly<Record<string, readonly [(answer: string, question: string) => string, RegExp]>> = {
      'a charset behind the type': [
        head((fields) => fields.replace('ocsp-response', 'ocsp-response; charset=utf-8')),
        /error .*Content-Type application\/ocsp-response; charset=utf-8/,
      ],
      'chunks': [
        (answer) => {
          const [fields, body] = [answer.slice(0, answer.indexOf('\r\n\r\n')), answer.slice(answer.indexOf('\r\n\r\n') + 4)];
          const chunked = fields.replace(/Content-Length: \d+/, 'Transfer-Encoding: chunked');
          return body === '' ? answer : `${chunked}\r\n\r\n${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`;
        },
        /error .*HTTP\/1\.0.*chunked/s,
      ],
      'a header name with an underscore': [field('X_Request_Id: 1'), /error .*"X_Request_Id"/],
      'an answer past its max-age': [field('Age: 4000'), /error .*served 4000 s old, with max-age \d+.*Varnish grace/],
      'a max-age past nextUpdate': [
        head((fields) => fields.replace(/max-age=\d+/, 'max-age=99999999')),
        /error .*may be kept for 9999999\d s more, but nextUpdate is in/,
      ],
      'a refusal that is kept': [
        (answer) => (isSigned(answer) ? answer : field('Age: 3')(answer)),
        /error .*a cache keeps answers that say no-store \(Age 3\)/,
      ],
      'a refusal that may be kept': [
        head((fields) => fields.replace('no-store', 'max-age=60')),
        /error .*not signed, with "max-age=60"/,
      ],
      'no answers to conditions': [
        (answer) => answer.replace('HTTP/1.1 304 Not Modified', 'HTTP/1.1 200 OK'),
        /warning GET with If-None-Match.*HTTP status 200, not 304/,
      ],
      'a redirect': [
        (_answer, question) =>
          question.startsWith('GET')
            ? 'HTTP/1.1 301 Moved\r\nLocation: https://x/\r\nContent-Length: 0\r\n\r\n'
            : _answer,
        /error .*301 to https:\/\/x\/.*redirect/,
      ],
      'octets behind the answer': [(answer) => `${answer}\r\n`, /error .*2 octets behind the answer/],
      'a cookie': [field('Set-Cookie: a=b'), /warning .*set-cookie/],
      'a spoiled signature': [
        (answer) => (isSigned(answer) && !answer.includes('304 ') ? `${answer.slice(0, -1)}\x00` : answer),
        /error .*(signature|certificate|OCSPResponse)/,
      ],
      'the answer about another': [
        (answer, question) => {
          if (!question.startsWith('GET') || !isSigned(answer) || answer.includes('304 ')) return answer;
          kept ||= answer;
          return kept.replace(/\x02\x10[^]{16}(?=\x80\x00\x18\x0f)/, (id) => `${id.slice(0, -1)}\x01`);
        },
        /error .*about another certificate/,
      ],
    }; // prettier-ignore

    for (const [what, [change, expected]] of Object.entries(faults)) {
      it(`sees ${what}`, async () => {
        spoil = change;
        const { findings } = await look((server.address() as AddressInfo).port, { about: service.demo.valid });
        const lines = findings.map(
          ({ severity, asked, message, cause }) => `${severity} ${asked}: ${message}. ${cause}`,
        );
        assert.match(lines.join('\n'), expected);
      });
    }

    it('sees a connection that stays open after HTTP/1.0', async () => {
      spoil = (answer) => answer;
      keepOpen = true;
      const { findings } = await look((server.address() as AddressInfo).port);
      keepOpen = false;
      assert.deepEqual(
        [...new Set(findings.map(({ message }) => message))],
        ['the connection stays open after HTTP/1.0'],
      );
      assert.equal(findings.length, 3);
    });

    it('finds nothing when nothing is spoiled', async () => {
      spoil = (answer) => answer;
      const { findings } = await look((server.address() as AddressInfo).port, {
        about: service.demo.valid,
        ours: true,
      });
      assert.deepEqual(findings, []);
    });
  });
});

describe('a responder that looks at itself', { skip: edgeMissing('nginx') }, () => {
  const run = async (change?: (conf: string) => string): Promise<{ log: string; metrics: string; served: boolean }> => {
    const service = await Service.create();
    const edge = await Edge.start('nginx', service.ports, change);
    try {
      const { code, stderr } = await service.run('init', '--demo');
      assert.equal(code, 0, stderr);
      const file = join(service.data, 'certstatus.yaml');
      const config = readFileSync(file, 'utf8');
      const url = `http://127.0.0.1:${edge.port}/OcspServer`;
      assert.ok(config.includes('urls: []'));
      writeFileSync(file, config.replace('urls: []', `urls: ['${url}']`));
      await service.start();
      const metrics = async (): Promise<string> => (await service.get('/metrics', 'admin')).body.toString();
      await until('it has looked', async () => /^certstatus_probe_findings\{/m.test(await metrics()));
      const served = (await service.get('/')).status === 200;
      return { log: service.log, metrics: await metrics(), served };
    } finally {
      await edge.stop();
      await service.remove();
    }
  };

  it('says in one line that all is well behind the shipped nginx', async () => {
    const { log, metrics } = await run();
    const lines = log.split('\n').filter((line) => line.includes('the public URL'));
    assert.equal(lines.length, 1, lines.join('\n'));
    assert.match(lines[0] as string, /"level":"info".*answers every kind of request/);
    assert.match(metrics, /^certstatus_probe_findings\{url="http:[^"]+"\} 0$/m);
    assert.match(metrics, /^certstatus_probe_age_seconds\{/m);
  });

  it('names what an nginx with a URI in proxy_pass does, counts it, and goes on serving', async () => {
    const { log, metrics, served } = await run(merging);
    assert.match(log, /"level":"error".*not right for every client.*malformedRequest.*proxy_pass with a URI/);
    assert.match(metrics, /^certstatus_probe_findings\{url="http:[^"]+"\} [1-9]\d*$/m);
    assert.ok(served);
  });
});
