// Figures as people read them.

import type { Machine, Unit } from './result.js';

function digits(value: number): string {
  if (value >= 100) return value.toFixed(0);
  return value.toFixed(value >= 10 ? 1 : 2);
}

function counted(value: number): string {
  if (value >= 1e6) return `${digits(value / 1e6)} M`;
  return value >= 1e4 ? `${digits(value / 1e3)} k` : String(Math.round(value * 10) / 10);
}

export function show(value: number, unit: Unit): string {
  if (unit === 'ns') {
    if (value >= 1e9) return `${digits(value / 1e9)} s`;
    if (value >= 1e6) return `${digits(value / 1e6)} ms`;
    return value >= 1e3 ? `${digits(value / 1e3)} us` : `${digits(value)} ns`;
  }
  return unit === 'per second' ? `${counted(value)}/s` : counted(value);
}

/** Of the first two CPUs, where the run knows it. */
export const distanceOf = ({ distance }: Pick<Machine, 'distance'>): string[] =>
  distance === undefined || distance === null ? [] : [`CPUs ${distance} ns apart`];
