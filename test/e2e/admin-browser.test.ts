/** The operators' pages in a real browser: signed in by link and by client certificate, with the keyboard alone, light and dark, large and small. */
import { after, before, describe, it } from 'node:test';
import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import { parseDocument } from 'yaml';
import { noBrowser, openBrowser, picture } from '../support/browser.ts';
import { clientCertificate } from '../support/client-certificate.ts';
import { Service } from '../support/service.ts';

const PHONE = { width: 390, height: 844 };
const DESK = { width: 1280, height: 900 };

/** In the browser: the name of what has the focus; pixels that stick out; controls that a screen reader has no name for. */
const FOCUSED = `(document.activeElement?.labels?.[0] ?? document.activeElement)?.textContent ?? ''`;
const TOO_WIDE = 'document.documentElement.scrollWidth - document.documentElement.clientWidth';
const NAMELESS = `[...document.querySelectorAll('input:not([type=hidden]), select, textarea, button')]
  .filter((one) => one.labels.length === 0 && one.textContent.trim() === '').length`;

describe('the operators’ pages in Chromium', { skip: noBrowser }, () => {
  let service: Service;
  let browser: Browser;
  /** Signed in with a link. */
  let context: BrowserContext;
  let page: Page;
  /** What the pages asked for elsewhere, or their console said. */
  const complaints: string[] = [];

  before(async () => {
    service = await Service.create();
    assert.equal((await service.run('init', '--demo')).code, 0);
    for (const name of ['alice', 'vera']) clientCertificate(join(service.data, 'intake'), name);
    const file = join(service.data, 'certstatus.yaml');
    const config = parseDocument(readFileSync(file, 'utf8')).toJS() as {
      listen: { admin: object };
      intake: { clients: object[] };
    };
    config.listen.admin = { ...config.listen.admin, tls: true };
    config.intake.clients.push({ name: 'alice', issuers: ['*'], may: ['view', 'operate'] });
    writeFileSync(file, JSON.stringify(config));
    await service.start('--demo');
    browser = await openBrowser();
    context = await browser.newContext({ ignoreHTTPSErrors: true, viewport: DESK });
    page = await newPage(context);
  });
  after(async () => {
    await browser?.close();
    await service?.remove();
  });

  const at = (path: string): string => `https://127.0.0.1:${service.ports.admin}${path}`;
  async function newPage(of: BrowserContext): Promise<Page> {
    const opened = await of.newPage();
    opened.on('request', (request) => {
      if (!request.url().startsWith(at('/')) && !request.url().startsWith('data:')) complaints.push(request.url());
    });
    opened.on('console', (message) => {
      // A page that refuses has its status, which is no complaint about the page.
      if (!/Failed to load resource/.test(message.text())) complaints.push(`${message.type()}: ${message.text()}`);
    });
    return opened;
  }
  const withCertificate = (name: string): Promise<BrowserContext> =>
    browser.newContext({
      ignoreHTTPSErrors: true,
      clientCertificates: [
        {
          origin: at(''),
          certPath: join(service.data, 'intake', `${name}.pem`),
          keyPath: join(service.data, 'intake', `${name}.key`),
        },
      ],
    });
  /** Tabs to what has this name, as somebody without a mouse does. */
  async function tabTo(of: Page, name: RegExp): Promise<void> {
    for (let i = 0; i < 80; i++) {
      await of.keyboard.press('Tab');
      const text = await of.evaluate(FOCUSED);
      if (name.test(String(text))) return;
    }
    throw new Error(`the keyboard does not get to ${String(name)}`);
  }

  it('shows who is not signed in how to do it', async () => {
    await page.goto(at('/'));
    assert.equal(new URL(page.url()).pathname, '/sign-in');
    assert.match((await page.textContent('main')) ?? '', /certstatus sign-in, with the .* prints a link/);
    await picture(page, 'operators-sign-in');
  });

  it('signs in by link, with the keyboard alone, and sees the status', async () => {
    const { url } = (await service.json('sign-in')) as { url: string };
    await page.goto(url);
    await picture(page, 'operators-link');
    await page.keyboard.press('Enter');
    await page.waitForURL(at('/'));
    assert.match((await page.textContent('nav')) ?? '', /local shell/);
    const [cookie] = await context.cookies();
    assert.deepEqual([cookie?.httpOnly, cookie?.secure, cookie?.sameSite], [true, true, 'Strict']);
    assert.match(cookie?.name ?? '', /^__Host-/);
  });

  it('pastes a certificate with the keyboard alone, and reads that it is revoked, and why', async () => {
    const serial = new X509Certificate(readFileSync(service.demo.valid)).serialNumber;
    const order = ['--clause', '4.9.1.1-3', '--requested-by', 'Mallory'];
    const revoked = await service.run('revoke', '--issuer', 'demo', '--serial', serial, ...order, '--wait');
    assert.equal(revoked.code, 0, revoked.stderr);
    await page.goto(at('/certificate'));
    await tabTo(page, /^Certificate \(PEM/);
    await page.keyboard.insertText(readFileSync(service.demo.valid, 'utf8'));
    await tabTo(page, /^Show it$/);
    await page.keyboard.press('Enter');
    await page.waitForSelector('.verdict');
    const text = (await page.textContent('main')) ?? '';
    assert.match(text, /Revoked since \S+, reason keyCompromise; clients get revoked/);
    assert.match(text, /Ledger, OCSP and CRL agree/);
    assert.match(text, /evidence of key compromise/);
    assert.match(text, /listed: revoked \S+, reason keyCompromise/);
    assert.match(text, /certificates\.revoked: revoked/);
    assert.equal(new URL(page.url()).search, '', 'nothing of it stands in the address');
  });

  for (const [scheme, viewport] of [
    ['light', DESK],
    ['dark', DESK],
    ['light', PHONE],
  ] as const) {
    it(`fits: ${scheme}, ${viewport.width} wide`, async () => {
      await page.emulateMedia({ colorScheme: scheme });
      await page.setViewportSize(viewport);
      const name = viewport === PHONE ? 'phone' : scheme;
      await picture(page, `operators-certificate-${name}`);
      const wider = Number(await page.evaluate(TOO_WIDE));
      assert.ok(wider <= 0, `the certificate's page is ${wider} px too wide`);
      const other = await newPage(context);
      await other.emulateMedia({ colorScheme: scheme });
      await other.setViewportSize(viewport);
      for (const path of ['/audit', '/operate', '/certificate']) {
        await other.goto(at(path));
        const over = Number(await other.evaluate(TOO_WIDE));
        assert.ok(over <= 0, `${path} is ${over} px too wide`);
        // Every control has a name that a screen reader says.
        const nameless = await other.evaluate(NAMELESS);
        assert.equal(nameless, 0, `${path}: controls without a name`);
        await picture(other, `operators${path.replace('/', '-')}${path === '/certificate' ? '-empty' : ''}-${name}`);
      }
      await other.close();
    });
  }

  it('publishes a CRL with the button of who may operate, signed in by client certificate', async () => {
    const alice = await withCertificate('alice');
    const own = await newPage(alice);
    await own.goto(at('/sign-in'));
    await own.getByRole('button', { name: 'Sign in as alice' }).click();
    await own.waitForURL(at('/'));
    await own.getByRole('link', { name: 'Actions' }).click();
    assert.equal(await own.getByRole('link', { name: 'Audit log' }).count(), 0, 'which alice may not read');
    await own.getByRole('button', { name: 'Publish a CRL of demo now' }).click();
    assert.match((await own.textContent('main')) ?? '', /CRL \d+ of demo is published/);
    await picture(own, 'operators-done');
    await own.getByRole('button', { name: 'Sign out' }).click();
    await own.waitForURL(at('/sign-in'));
    await own.goto(at('/operate'));
    assert.equal(new URL(own.url()).pathname, '/sign-in');
    await alice.close();
  });

  it('gives a certificate that is not listed no button', async () => {
    const vera = await withCertificate('vera');
    const own = await newPage(vera);
    await own.goto(at('/sign-in'));
    assert.equal(await own.getByRole('button').count(), 0);
    await vera.close();
  });

  it('asked nobody else for anything, and its console is quiet', () => {
    assert.deepEqual(complaints, []);
  });
});
