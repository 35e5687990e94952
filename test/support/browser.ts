/** A real browser: Debian's Chromium, steered by playwright-core. */
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { type Browser, chromium, type Page } from 'playwright-core';

const EXECUTABLE = '/usr/bin/chromium';

/** Why tests in a browser cannot run here; false when they can. */
export const noBrowser: string | false = existsSync(EXECUTABLE) ? false : 'chromium is not installed';

export function openBrowser(): Promise<Browser> {
  // Without a sandbox of its own: tests run as root in a container, and it sees nothing but pages of ours.
  return chromium.launch({
    executablePath: EXECUTABLE,
    args: ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage'],
  });
}

/** How the page is looked at. */
export const VIEWS = {
  light: { viewport: { width: 1280, height: 900 }, colorScheme: 'light' },
  dark: { viewport: { width: 1280, height: 900 }, colorScheme: 'dark' },
  phone: { viewport: { width: 390, height: 844 }, colorScheme: 'light', isMobile: true, hasTouch: true },
} as const;

/** Of the whole page, into the directory in $PICTURES, if there is one. */
export async function picture(page: Page, name: string): Promise<void> {
  const directory = process.env['PICTURES'];
  if (directory === undefined) return;
  mkdirSync(directory, { recursive: true });
  await page.screenshot({ path: join(directory, `${name}.png`), fullPage: true });
}
