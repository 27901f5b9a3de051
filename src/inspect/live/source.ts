// What a dump is to the readers behind it: bytes by physical address, whatever the format. A page
// that the dump lacks is null.

export interface Range {
  readonly start: number;
  readonly end: number;
}

export interface Physical {
  /** For the reader of the answer: `an ELF core`, `a kdump`. */
  readonly format: string;
  /** VMCOREINFO, the kernel's own description, where the dump has it apart from the memory. */
  readonly note: string | null;
  /** What the dump covers, ascending: where VMCOREINFO is searched if there is no note. */
  readonly ranges: readonly Range[];
  /** The page of 4096 bytes at this physical address. */
  page(at: number): Uint8Array | null;
}

/** No x86-64 CPU has a wider physical address. */
export const PHYSICAL_MAX: number = 2 ** 52;
