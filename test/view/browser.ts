// A page in Chromium, used as a person does. What is not allowed to happen is watched all along: an
// error on the console, and a request to anywhere.

import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { chromium, type Browser, type BrowserContextOptions, type Page } from 'playwright-core';
import { tool } from '../build.js';

const FOUND = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(
  existsSync,
);
export const noChromium: boolean = FOUND === undefined && !tool('chromium');
export const PAGE = pathToFileURL(resolve('dist/view.html')).href;

export const launch = (...more: string[]): Promise<Browser> =>
  chromium.launch({
    executablePath: FOUND ?? 'chromium',
    // A container without user namespaces and with a small /dev/shm.
    args: ['--no-sandbox', '--disable-dev-shm-usage', '--disable-gpu', ...more],
  });

export interface Visit {
  readonly page: Page;
  /** Errors and requests since it was opened. */
  readonly wrong: readonly string[];
}

/** The playground, at a fragment of its address. */
export const visit = (
  browser: Browser,
  fragment: string = '',
  options: BrowserContextOptions = {},
): Promise<Visit> => open(browser, `${PAGE}${fragment}`, options);

export async function open(
  browser: Browser,
  address: string,
  options: BrowserContextOptions,
): Promise<Visit> {
  const context = await browser.newContext({
    viewport: { width: 1280, height: 800 },
    ...options,
  });
  const page = await context.newPage();
  page.setDefaultTimeout(120_000);
  const wrong: string[] = [];
  page.on('console', (message) => {
    if (message.type() === 'error' || message.type() === 'warning') wrong.push(message.text());
  });
  page.on('pageerror', (error) => wrong.push(error.message));
  page.on('request', (request) => {
    if (!/^(file|data|blob):/.test(request.url())) wrong.push(`request to ${request.url()}`);
  });
  await page.goto(address);
  return { page, wrong };
}

/** Of a desk and of a phone. */
export const SIZES = {
  desk: { width: 1280, height: 800 },
  phone: { width: 390, height: 844 },
} as const;
export const LOOKS = [
  ['desk', 'light'],
  ['phone', 'dark'],
  ['desk', 'dark'],
  ['phone', 'light'],
] as const;

/** axe's rules on what is there now; what it calls serious or critical. */
export async function serious(page: Page): Promise<readonly string[]> {
  await page.evaluate(axeSource);
  return page.evaluate(async () => {
    interface Axe {
      run(): Promise<{
        violations: { id: string; impact: string; nodes: { html: string }[] }[];
      }>;
    }
    const { axe } = globalThis as unknown as { axe: Axe };
    const { violations } = await axe.run();
    return violations
      .filter(({ impact }) => impact === 'serious' || impact === 'critical')
      .map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html.slice(0, 120)).join(' | ')}`);
  });
}
const axeSource = readFileSync(
  createRequire(import.meta.url).resolve('axe-core/axe.min.js'),
  'utf8',
);
