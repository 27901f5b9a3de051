// Targets with a bug each, which a campaign must report: how the harness is known to see anything.

const plain = {
  seeds: () => [Buffer.alloc(16)],
  mutate: (seed, random) => Buffer.from(seed).fill(random.below(256)),
};
const held = [];

export const TARGETS = [
  {
    ...plain,
    name: 'throws',
    run: (input) => {
      if (input[0] > 200) throw new TypeError('not a fault');
    },
  },
  {
    ...plain,
    name: 'hangs',
    run: (input) => {
      for (;;) if (input.length === 0) return;
    },
  },
  {
    ...plain,
    name: 'is slow',
    run: () => {
      for (const began = process.cpuUsage(); process.cpuUsage(began).user < 150_000;)
        for (let i = 0; i < 1e6; i++);
    },
  },
  {
    ...plain,
    name: 'grows',
    run: () => {
      held.push(Buffer.alloc(64 << 20, 1));
    },
  },
  { ...plain, name: 'rejects', run: () => Promise.reject(new Error('later')) },
];
