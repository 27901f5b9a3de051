#!/usr/bin/env node
// Pictures of the playground for a person to look at, at the width of a desk and of a phone, in the
// light and in the dark: the first visit, a call torn by hand, and a file.
//
//   node scripts/screenshots.mjs FOLDER
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { chromium } from 'playwright-core';

const [into] = process.argv.slice(2);
if (into === undefined) {
  console.error('screenshots: name a folder');
  process.exit(2);
}
const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const SIZES = { desk: { width: 1280, height: 800 }, phone: { width: 390, height: 844 } };
const SOURCE = `#include <static_call.h>
int one(int a) { return a; }
DEFINE_STATIC_CALL(blend, one);
int f(int a) { return static_call(blend)(a) + static_call(blend)(a + 1) + 1; }
`;

/** Each goes on from where the one before it ended. */
const SCENES = {
  first: (page) => page.locator('.time li.here').first().waitFor(),
  torn: async (page) => {
    await page.getByRole('button', { name: 'be the scheduler', exact: false }).first().click();
    await page.getByRole('button', { name: 'take back' }).click();
    await page
      .getByRole('button', { name: /breaks torn/ })
      .first()
      .click();
    await page.locator('.broken').first().waitFor();
  },
  file: async (page) => {
    await page.getByRole('button', { name: 'Files' }).click();
    await page.locator('input[type=file]').setInputFiles(join(into, 'filters.o'));
    await page.getByText('Sites by key').waitFor();
  },
};

mkdirSync(into, { recursive: true });
writeFileSync(join(into, 'filters.c'), SOURCE);
const words = ['-O2', '-c', `-I${join(root, 'include')}`, 'filters.c', '-o', 'filters.o'];
execFileSync('gcc', words, { cwd: into });
const found = ['/usr/bin/chromium', '/usr/bin/google-chrome'].find(existsSync);
const browser = await chromium.launch({
  executablePath: found ?? 'chromium',
  args: ['--no-sandbox', '--disable-dev-shm-usage', '--disable-gpu'],
});
for (const [size, viewport] of Object.entries(SIZES)) {
  for (const colorScheme of ['light', 'dark']) {
    const page = await (await browser.newContext({ viewport, colorScheme })).newPage();
    await page.goto(pathToFileURL(join(root, 'dist', 'view.html')).href);
    for (const [scene, play] of Object.entries(SCENES)) {
      await play(page);
      const path = join(into, `${scene}-${size}-${colorScheme}.png`);
      await page.screenshot({ path });
      console.log(path);
    }
    await page.context().close();
  }
}
await browser.close();
