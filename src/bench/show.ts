// Figures as people read them.

import type { Unit } from './result.js';

const digits = (value: number): string =>
  value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2);

export function show(value: number, unit: Unit): string {
  if (unit === 'ns') {
    if (value >= 1e9) return `${digits(value / 1e9)} s`;
    if (value >= 1e6) return `${digits(value / 1e6)} ms`;
    return value >= 1e3 ? `${digits(value / 1e3)} us` : `${digits(value)} ns`;
  }
  const short =
    value >= 1e6
      ? `${digits(value / 1e6)} M`
      : value >= 1e4
        ? `${digits(value / 1e3)} k`
        : String(Math.round(value * 10) / 10);
  return unit === 'per second' ? `${short}/s` : short;
}
