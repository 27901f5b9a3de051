// A small generator with a seed: the same case number gives the same input on every machine.

export class Random {
  #state;
  constructor(seed) {
    this.#state = (seed ^ 0x9e3779b9) >>> 0;
    for (let i = 0; i < 4; i++) this.next();
  }
  /** 32 bits (the mulberry32 step). */
  next() {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let t = this.#state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return (t ^ (t >>> 14)) >>> 0;
  }
  below(n) {
    return n <= 0 ? 0 : this.next() % n;
  }
  pick(list) {
    return list[this.below(list.length)];
  }
  chance(one, of) {
    return this.below(of) < one;
  }
}
