// Pictures as a browser lays them out: no text and no shape lies beyond the picture's edge.

import { readdirSync, readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Browser, Page } from 'playwright-core';
import { Folder } from '../build.js';
import { line } from '../cli/line.js';
import { launch, noChromium } from '../view/browser.js';

const SMALL = ['--env', 'user', '--passes', '1', '--updates', '1'];
/** The first failure of each; one beside what the schedule comes to under another protocol. */
const CHECKED = [
  ['naive', ...SMALL],
  ['naive', ...SMALL, '--under', 'int3'],
  ['int3-gap', ...SMALL],
  ['int3-skip', ...SMALL],
  ['int3-stub', ...SMALL],
  ['int3-percpu', '--context', 'task,irq,nmi'],
] as const;

describe.skipIf(noChromium)('a picture in a browser', () => {
  const folder = new Folder();
  let browser: Browser;
  let page: Page;
  beforeAll(async () => {
    browser = await launch();
    page = await browser.newPage({ viewport: { width: 1280, height: 800 } });
  });
  afterAll(async () => {
    await browser.close();
    folder[Symbol.dispose]();
  });

  /** What lies beyond the edge, half a pixel of antialiasing aside; and how many texts there are. */
  async function beyond(svg: string): Promise<{ clipped: string[]; texts: number }> {
    await page.setContent(`<body style="margin: 0">${svg}</body>`);
    return page.evaluate(() => {
      const frame = document.querySelector('svg')!.getBoundingClientRect();
      const parts = [...document.querySelectorAll('svg text, svg circle, svg rect')];
      const clipped = parts.filter((part) => {
        const { left, top, right, bottom } = part.getBoundingClientRect();
        return (
          left < frame.left - 0.5 ||
          top < frame.top - 0.5 ||
          right > frame.right + 0.5 ||
          bottom > frame.bottom + 0.5
        );
      });
      return {
        clipped: clipped.map((part) => `${part.tagName} ${part.textContent}`),
        texts: document.querySelectorAll('svg text').length,
      };
    });
  }

  it.for(CHECKED.map((words) => [words.join(' '), words] as const))(
    'holds all of its text: check %s',
    async ([, words]) => {
      const path = folder.file('picture.svg');
      const { stderr } = await line(['check', ...words, '--svg', path]);
      const svg = readFileSync(path, 'utf8');
      const { clipped, texts } = await beyond(svg);
      expect(clipped, stderr).toEqual([]);
      expect(texts).toBeGreaterThan(10);
      expect(svg).toMatch(/<title>/);
    },
  );

  it.for(readdirSync('docs/pictures').filter((name) => name.endsWith('.svg')))(
    'holds all of its text: docs/pictures/%s',
    async (name) => {
      const { clipped, texts } = await beyond(readFileSync(`docs/pictures/${name}`, 'utf8'));
      expect(clipped).toEqual([]);
      expect(texts).toBeGreaterThan(5);
    },
  );

  it('would be seen to clip a text', async () => {
    const whole = readFileSync('docs/pictures/check.svg', 'utf8');
    const narrow = whole.replace(/width="(\d+)"/, (_, width: string) => `width="${+width / 2}"`);
    const cut = narrow.replace(
      /viewBox="0 0 (\d+)/,
      (_, width: string) => `viewBox="0 0 ${+width / 2}`,
    );
    expect((await beyond(cut)).clipped.length).toBeGreaterThan(0);
  });
});
