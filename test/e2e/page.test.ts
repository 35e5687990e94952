/// <reference lib="dom" />
/** The status page in a real browser: as it is looked at, by keyboard, by a screen reader, without scripts, and while it reloads itself. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import { MINUTE } from '../../src/core/time.ts';
import { openScene, SCENES, type OpenScene, type Scene } from '../scenes/scene.ts';
import { noBrowser, openBrowser } from '../support/browser.ts';
import { Service, until } from '../support/service.ts';

/** What a page says that it should not: errors, and questions to anybody else. */
function complaints(page: Page, origin: string): string[] {
  const said: string[] = [];
  page.on('console', (message) => void said.push(`${message.type()}: ${message.text()}`));
  page.on('pageerror', (error) => void said.push(error.message));
  page.on('request', (request) => {
    if (!request.url().startsWith(origin) && !request.url().startsWith('data:')) said.push(`asks ${request.url()}`);
  });
  return said;
}

describe('the status page in Chromium', { skip: noBrowser }, () => {
  let browser: Browser;
  const scenes = new Map<Scene, OpenScene>();
  const at = (scene: Scene): string => (scenes.get(scene) as OpenScene).url;
  before(async () => {
    browser = await openBrowser();
    for (const scene of SCENES) scenes.set(scene, await openScene(scene, 6 * MINUTE));
  });
  after(async () => {
    await browser.close();
    for (const scene of scenes.values()) await scene.close();
  });

  async function look<T>(
    options: Parameters<Browser['newContext']>[0],
    url: string,
    work: (page: Page, context: BrowserContext) => Promise<T>,
  ): Promise<T> {
    const context = await browser.newContext(options);
    try {
      const page = await context.newPage();
      const said = complaints(page, new URL(url).origin);
      await page.goto(url);
      const result = await work(page, context);
      assert.deepEqual(said, []);
      return result;
    } finally {
      await context.close();
    }
  }

  it('says in one line what is wrong, and what breaks when', async () => {
    const first = (scene: Scene): Promise<readonly (string | null)[]> =>
      look({}, at(scene), async (page) => [
        await page.locator('h1').textContent(),
        await page.locator('.said').textContent(),
        ...(await page.locator('.problems dl a').allTextContents()),
      ]);
    const [well, wellSaid, ...none] = await first('well');
    assert.deepEqual([well, none], ['All is well', []]);
    assert.match(wellSaid ?? '', /nobody has to do anything/);
    const [hsm, hsmSaid, ...alerts] = await first('hsm-down');
    assert.equal(hsm, 'Act now');
    // The cause first; no promise is broken yet, and the page says which will be.
    assert.match(hsmSaid ?? '', /^Every promise is kept\. P\d “.*” breaks in .* if nobody does anything\.$/);
    assert.deepEqual(alerts, [
      'TokenUnusable',
      'TokenUnusable',
      'KeyUnusable',
      'KeyUnusable',
      'KeyUnusable',
      'RevocationNotInOcsp',
    ]);
    const [late, , ...lateAlerts] = await first('crl-late');
    assert.deepEqual([late, lateAlerts], ['Act now', ['CrlLate']]);
    const [, manySaid, ...many] = await first('many');
    assert.match(manySaid ?? '', /^Broken: P5 “OCSP and CRL agree”, P6/);
    assert.ok(many.length > 12, String(many.length));
    const [mass, massSaid] = await first('mass');
    assert.equal(mass, 'All is well');
    assert.match(massSaid ?? '', /mass revocation is under way/);
  });

  it('fits every screen: nothing is cut off, nothing scrolls sideways', async () => {
    for (const scene of ['hsm-down', 'mass'] as const)
      await look({}, at(scene), async (page) => {
        await page
          .locator('details')
          .evaluateAll((all) => all.forEach((one) => ((one as HTMLDetailsElement).open = true)));
        // 640: a window of 1280 at 200 %. 320: the narrowest that must do (WCAG 1.4.10).
        for (const width of [1280, 640, 390, 320]) {
          await page.setViewportSize({ width, height: 800 });
          const [over, out] = await page.evaluate(() => {
            const { clientWidth, scrollWidth } = document.documentElement;
            const beyond = [...document.querySelectorAll('main *:not(svg *)')].filter(
              (one) => one.getBoundingClientRect().right > clientWidth + 1 && !one.closest('.hidden, thead'),
            );
            return [scrollWidth - clientWidth, beyond.map((one) => one.outerHTML.slice(0, 80))] as const;
          });
          assert.deepEqual([over, out], [0, []], `${width}, ${scene}`);
        }
      });
  });

  it('is walked through by the keyboard alone, each stop visible and named', async () => {
    await look({}, `${at('hsm-down')}?reload=off`, async (page) => {
      const wanted = await page
        .locator('main :is(a, button, summary)')
        .evaluateAll((all) => all.filter((one) => (one as HTMLElement).checkVisibility()).map(({ id }) => id));
      assert.ok(wanted.length > 20 && wanted.every((id) => id !== '') && new Set(wanted).size === wanted.length);
      await page.keyboard.press('Tab');
      assert.equal(await page.evaluate(() => document.activeElement?.textContent), 'Skip to the content');
      const met: string[] = [];
      for (let i = 0; i < wanted.length + 10; i += 1) {
        await page.keyboard.press('Tab');
        const [id, outline] = await page.evaluate(() => {
          const one = document.activeElement as HTMLElement;
          return [one.id, getComputedStyle(one).outlineStyle] as const;
        });
        if (!wanted.includes(id)) continue;
        assert.equal(outline, 'solid', id);
        met.push(id);
      }
      assert.deepEqual(met, wanted);
      await page.locator('#due-more-summary').focus();
      await page.keyboard.press('Enter');
      assert.ok(await page.locator('#due-more').evaluate((one) => (one as HTMLDetailsElement).open));
    });
  });

  it('has a name for everything that a screen reader stops at, and headings in order', async () => {
    for (const scene of ['hsm-down', 'mass'] as const)
      await look({}, at(scene), async (page, context) => {
        const session = await context.newCDPSession(page);
        const { nodes } = await session.send('Accessibility.getFullAXTree');
        const stops = nodes.filter(
          ({ ignored, role }) =>
            !ignored &&
            /^(link|button|image|img|table|progressbar|navigation|DisclosureTriangle|heading)$/.test(
              String(role?.value),
            ),
        );
        assert.ok(stops.length > 40, String(stops.length));
        assert.deepEqual(
          stops.filter(({ name }) => String(name?.value ?? '').trim() === '').map(({ role }) => role?.value),
          [],
        );
        const levels = await page
          .locator('h1, h2, h3, h4')
          .evaluateAll((all) => all.map(({ tagName }) => Number(tagName[1])));
        assert.equal(levels.filter((level) => level === 1).length, 1);
        levels.forEach((level, i) => assert.ok(i === 0 || level <= (levels[i - 1] as number) + 1, levels.join()));
        assert.equal(await page.locator('main').count(), 1);
        const twice = await page.evaluate(() => {
          const ids = [...document.querySelectorAll('[id]')].map(({ id }) => id);
          return ids.filter((id, i) => ids.indexOf(id) !== i);
        });
        assert.deepEqual(twice, []);
      });
  });

  it('tells the figures of each chart in words and in a table', async () => {
    await look({}, at('well'), async (page) => {
      const charts = page.locator('.charts figure');
      assert.equal(await charts.count(), 6);
      const spoken = await page
        .locator('.charts svg')
        .evaluateAll((all) => all.map((one) => one.getAttribute('aria-label') ?? ''));
      assert.ok(spoken.length >= 5);
      for (const label of spoken) assert.match(label, /: last .+, least .+, most .+\.$/);
      await page.locator('#answers-figures').click();
      assert.ok((await page.locator('#answers-table tbody tr').count()) >= 10);
      // Two days: another address, the same page.
      await page.locator('#range-days').click();
      assert.match(page.url(), /\?range=days$/);
      assert.equal(await page.locator('#range-days').getAttribute('aria-current'), 'true');
    });
  });

  it('says the same without scripts, and is loaded anew', async () => {
    const text = (page: Page): Promise<string> => page.locator('main').innerText();
    const without = await look({ javaScriptEnabled: false }, at('hsm-down'), async (page) => {
      assert.equal(await page.locator('meta[http-equiv=refresh]').getAttribute('content'), '30');
      return text(page);
    });
    assert.equal(without, await look({}, at('hsm-down'), text));
  });

  it('prints, and moves nothing for whoever wants no motion', async () => {
    await look({ reducedMotion: 'reduce' }, at('well'), async (page) => {
      assert.equal(await page.locator('#now').evaluate((one) => getComputedStyle(one).transitionDuration), '0s');
      await page.emulateMedia({ media: 'print' });
      assert.equal(await page.locator('nav').isVisible(), false);
      assert.equal(await page.locator('h1').isVisible(), true);
    });
  });

  it('reloads itself in place, says when the verdict changes, and says when it is old', async () => {
    const service = await Service.demo();
    const context = await browser.newContext();
    try {
      const { url } = (await service.json('sign-in')) as { url: string };
      const page = await context.newPage();
      await page.goto(url);
      // The link shows a button: whoever only looks at it has not used it up.
      await page.locator('form button').first().click();
      // Ten seconds are long in a test: the page is told one.
      await page.route('**/*', async (route) => {
        const answer = await route.fetch().catch(() => undefined);
        if (answer === undefined) return route.abort();
        const body = (await answer.text()).replace('data-reloads="10"', 'data-reloads="1"');
        return route.fulfill({ response: answer, body });
      });
      await page.goto(service.url('/', 'admin'));
      assert.match((await page.locator('h1').textContent()) ?? '', /All is well/);
      const asOf = (): Promise<string | null> => page.locator('.at time').first().getAttribute('datetime');
      await page.locator('#answers-figures').click();
      await page.locator('#answers-figures').focus();
      await page.evaluate(() => scrollTo(0, 700));
      const [before, place] = [await asOf(), await page.evaluate(() => scrollY)];
      await until('the page was loaded anew', async () => (await asOf()) !== before, 15_000);
      assert.equal(await page.evaluate(() => document.activeElement?.id), 'answers-figures');
      assert.equal(await page.locator('#answers-table').evaluate((one) => (one as HTMLDetailsElement).open), true);
      assert.equal(await page.evaluate(() => scrollY), place);
      assert.equal(await page.locator('#old').isVisible(), false);
      await service.kill();
      await page.locator('#old').waitFor({ state: 'visible', timeout: 15_000 });
    } finally {
      await context.close();
      await service.remove();
    }
  });
});
