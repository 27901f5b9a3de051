// The records that are written as pages, of a benchmark and of a demo, in Chromium: nothing is cut
// off on a phone, nothing is too faint in the dark, and nothing is asked of the network.

import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { page as benchPage } from '#bench/html';
import type { BenchResult } from '#bench/result';
import { Folder, gcc, must } from '../build.js';
import { launch, LOOKS, noChromium, open, serious, SIZES } from './browser.js';

vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 });

let browser: Browser;
const folder = new Folder();
beforeAll(async () => {
  if (noChromium || !gcc) return;
  browser = await launch();
  const record: BenchResult = JSON.parse(readFileSync('docs/performance.json', 'utf8'));
  folder.write('bench.html', benchPage(record));
  const demo = ['demo', '--seconds', '1', '--html', folder.file('demo.html')];
  must(process.execPath, [resolve('bin/static-call'), ...demo]);
});
afterAll(async () => {
  if (!noChromium) await browser.close();
});

describe.skipIf(noChromium || !gcc).each(LOOKS)('on a %s, %s', (size, colorScheme) => {
  it.each([
    ['bench', /^A patched static call costs .* of a direct call/m],
    ['demo', /calls/],
  ])('the record of %s is read', async (name, finding) => {
    const { page, wrong } = await open(browser, pathToFileURL(folder.file(`${name}.html`)).href, {
      viewport: SIZES[size],
      colorScheme,
    });
    expect(await page.locator('main, body').first().innerText()).toMatch(finding);
    expect(await page.locator('svg').count()).toBeGreaterThan(0);
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBe(SIZES[size].width);
    expect(await serious(page)).toEqual([]);
    expect(wrong).toEqual([]);
    await page.context().close();
  });
});
