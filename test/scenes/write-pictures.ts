/** `node dist/test/scenes/write-pictures.js DIRECTORY [SCENE…]`: each scene in light, in dark and on a phone, as PNG. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { openBrowser, VIEWS } from '../support/browser.ts';
import { openScene, SCENES } from './scene.ts';

const [directory, ...chosen] = process.argv.slice(2);
if (directory === undefined) {
  process.stderr.write('write-pictures DIRECTORY [SCENE…]: which directory?\n');
  process.exit(2);
}
mkdirSync(directory, { recursive: true });
const browser = await openBrowser();
try {
  for (const scene of SCENES.filter((name) => chosen.length === 0 || chosen.includes(name))) {
    const open = await openScene(scene);
    for (const [view, options] of Object.entries(VIEWS)) {
      const context = await browser.newContext(options);
      const page = await context.newPage();
      await page.goto(`${open.url}?reload=off`);
      await page.screenshot({ path: join(directory, `${scene}-${view}.png`), fullPage: true });
      await context.close();
    }
    await open.close();
    process.stdout.write(`${scene}\n`);
  }
} finally {
  await browser.close();
}
