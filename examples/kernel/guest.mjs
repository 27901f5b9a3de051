// A distribution's kernel in QEMU, without acceleration, with a shell of busybox on its serial
// line. Needs qemu-system-x86_64, a static busybox and a kernel image; nothing is installed and no
// disk is made. KVM is not used: the recorder (poke.c) is a plugin of QEMU's translator.

import { spawn } from 'node:child_process';
import {
  existsSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statfsSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';

const QEMU = 'qemu-system-x86_64';
const BUSYBOX = ['/bin/busybox', '/usr/bin/busybox'];

function onPath(program) {
  const folders = (process.env['PATH'] ?? '').split(':');
  return folders.some((folder) => existsSync(join(folder, program)));
}

/** What is not here, in words; null where a guest can be booted. */
export function missing() {
  if (!onPath(QEMU)) return `${QEMU} is not installed`;
  if (!BUSYBOX.some(existsSync)) return 'busybox-static is not installed';
  return null;
}

const INIT = `#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
mount -t tracefs tracefs /sys/kernel/tracing
mount -t debugfs debugfs /sys/kernel/debug
echo 0 > /proc/sys/kernel/kptr_restrict
echo 1 > /proc/sys/kernel/printk
for module in $(cat /modules); do insmod /lib/$module; done
# Held open: what arrives while no program has the line open is lost.
exec 3<>/dev/ttyS0
stty -echo -icanon -onlcr min 1 <&3
echo 'guest is up' >&3
while IFS= read -r line <&3; do eval "$line" < /dev/null >&3 2>&3; done
`;

/**
 * An archive of the form "newc", which is what the kernel unpacks
 * (Documentation/driver-api/early-userspace).
 */
function archive(files) {
  const parts = [];
  const pad = (length) => Buffer.alloc((4 - (length % 4)) % 4);
  for (const [index, { name, mode, bytes }] of [
    ...files,
    { name: 'TRAILER!!!', mode: 0, bytes: '' },
  ].entries()) {
    const body = Buffer.from(bytes);
    const fields = [index + 1, mode, 0, 0, 1, 0, body.length, 0, 0, 0, 0, name.length + 1, 0];
    const head = `070701${fields.map((field) => field.toString(16).padStart(8, '0')).join('')}${name}\0`;
    parts.push(Buffer.from(head), pad(head.length), body, pad(body.length));
  }
  return Buffer.concat(parts);
}

/** With `init`, another script runs in place of the shell on the serial line. */
export function initramfs({ modules = [], files = [], init = INIT }) {
  const folder = (name) => ({ name, mode: 0o40755, bytes: '' });
  const busybox = BUSYBOX.find(existsSync);
  return archive([
    ...['bin', 'dev', 'lib', 'proc', 'sys', 'tmp'].map(folder),
    { name: 'init', mode: 0o100755, bytes: init },
    { name: 'bin/busybox', mode: 0o100755, bytes: readFileSync(busybox) },
    {
      name: 'modules',
      mode: 0o100644,
      bytes: modules.map((path) => `${basename(path)}\n`).join(''),
    },
    ...modules.map((path) => ({
      name: `lib/${basename(path)}`,
      mode: 0o100644,
      bytes: readFileSync(path),
    })),
    ...files,
  ]);
}

/**
 * What a stream has said: `until` resolves with the first match of a pattern, and takes it away.
 * A serial line comes byte by byte, so only the end of the text is searched.
 */
class Lines {
  /** Without its end. */
  #before = [];
  #end = '';
  #closed = false;
  #waiting = null;

  constructor(stream) {
    stream.on('data', (piece) => {
      this.#end += piece.toString('latin1');
      this.#look();
    });
    stream.on('close', () => {
      this.#closed = true;
      this.fail('the other end was closed');
    });
  }
  /** Everything up to the match, which is taken away with it. */
  until(pattern) {
    return new Promise((resolve, reject) => {
      this.#waiting = { pattern, resolve, reject };
      this.#look();
      if (this.#closed) this.fail('the other end was closed');
    });
  }
  /** Ends the wait. */
  fail(why) {
    const waiting = this.#waiting;
    if (!waiting) return;
    this.#waiting = null;
    const last = this.#taken(this.#end).trimEnd().split('\n').slice(-LAST).join('\n');
    waiting.reject(new Error(`no ${waiting.pattern}: ${why}. The last lines:\n${last}`));
  }
  #look() {
    const waiting = this.#waiting;
    const match = waiting?.pattern.exec(this.#end);
    if (match) {
      this.#waiting = null;
      const before = this.#taken(this.#end.slice(0, match.index));
      this.#end = this.#end.slice(match.index + match[0].length);
      waiting.resolve({ before, match });
    } else if (this.#end.length > 2 * LONGEST) {
      this.#before.push(this.#end.slice(0, -LONGEST));
      this.#end = this.#end.slice(-LONGEST);
    }
  }
  #taken(end) {
    const text = [...this.#before, end].join('');
    this.#before = [];
    return text;
  }
}
/** Lines of the guest that a failure shows. */
const LAST = 15;
/** No match of a pattern that is waited for is longer: an answer of gdb's stub has 4 KB. */
const LONGEST = 8192;

/**
 * Seconds of CPU time that a process has used (proc(5), `stat`). What is waited for in a guest is
 * limited by them: on a busy machine a minute of the clock may be a few seconds of the guest.
 */
function cpuSeconds(pid) {
  try {
    const [, rest] = /\) (.*)/.exec(readFileSync(`/proc/${pid}/stat`, 'latin1'));
    const [user, system] = rest.split(' ').slice(11, 13).map(Number);
    return (user + system) / TICKS;
  } catch {
    // It has ended, and so have its lines.
    return Number.NaN;
  }
}
/** USER_HZ, the same on every x86-64. */
const TICKS = 100;
/** A guest that waits uses no CPU time: then the clock decides. */
const SLOWEST = 10;
const WATCH_MS = 500;

/** QEMU ends with the program that started it, however that ends (prctl(2), PR_SET_PDEATHSIG). */
function start(args) {
  const options = { stdio: ['pipe', 'pipe', 'pipe'] };
  const child = onPath('setpriv')
    ? spawn('setpriv', ['--pdeathsig', 'KILL', QEMU, ...args], options)
    : spawn(QEMU, args, options);
  child.stdin.on('error', () => {});
  process.once('exit', () => child.kill('SIGKILL'));
  return child;
}

const PATIENCE = 300;

/**
 * On a busy machine a CPU of the guest may stand still for seconds. That is not worth a message,
 * and the check of the timer, which panics when its ticks come late (timer_irq_works), is left out.
 */
export const LATE = 'no_timer_check nowatchdog rcupdate.rcu_cpu_stall_suppress=1';

/**
 * A folder for files of so many megabytes: in memory where there is room, because a guest whose RAM
 * is a file on a disk waits for that disk.
 */
export function roomy(megabytes) {
  try {
    const { bavail, bsize } = statfsSync(SHARED);
    if (bavail * bsize > ROOM * megabytes * 2 ** 20) return SHARED;
  } catch {
    // There is none.
  }
  return tmpdir();
}
const SHARED = '/dev/shm';
/** The RAM, and dumps of it. */
const ROOM = 6;

export class Guest {
  /** With a plugin, the file of the guest's RAM, from physical address 0. */
  ram;
  /** The file behind its disk. */
  disk;
  qmpSocket;
  gdbSocket;
  #folder;
  #process;
  #serial;
  #qmp;
  #commands = 0;

  /**
   * Boots and waits for the shell.
   *
   * The CPUs take turns in one thread (`single`) unless told otherwise. With a thread for each,
   * QEMU before 8.1 may translate an instruction while another thread stores to it, and keep what
   * stood there before. A guest that meets such a trap byte after the update panics, or traps for
   * ever.
   *
   * @param {{ kernel: string, modules?: readonly string[], append?: string, plugin?: string, single?: boolean, megabytes?: number, files?: readonly { name: string, mode: number, bytes: Uint8Array | string }[], disk?: boolean, patience?: number }} options
   *   `disk`: an empty one, /dev/nvme0n1; `patience`: seconds of QEMU's CPU time for everything that
   *   is waited for, and ten times as many by the clock
   */
  static async boot(options) {
    const guest = new Guest();
    try {
      await guest.#start(options);
      return guest;
    } catch (error) {
      await guest.close();
      throw error;
    }
  }

  async #start({
    kernel,
    modules = [],
    append = '',
    plugin,
    single = true,
    megabytes = 256,
    files = [],
    disk = false,
    patience = PATIENCE,
  }) {
    this.patience = patience;
    this.#folder = mkdtempSync(join(roomy(megabytes), 'static-call-guest-'));
    const at = (name) => this.file(name);
    writeFileSync(at('initramfs'), initramfs({ modules, files }));
    this.ram = at('ram');
    this.qmpSocket = at('qmp');
    this.gdbSocket = at('gdb');
    // The recorder reads the guest's RAM; without it, memory that is no file is faster.
    const memory = plugin
      ? `-object memory-backend-file,id=m0,size=${megabytes}M,mem-path=${this.ram},share=on
         -machine pc,memory-backend=m0`
      : '-machine pc';
    // Two monitors, because one serves one client at a time: ours, and that of the program that
    // reads the guest.
    const options = `
      -accel tcg,thread=${single ? 'single' : 'multi'} -cpu EPYC -smp 2 -m ${megabytes}
      -nodefaults -display none -no-reboot -serial stdio
      ${memory} -device vmcoreinfo
      -qmp unix:${at('own')},server=on,wait=off -qmp unix:${this.qmpSocket},server=on,wait=off
      -gdb unix:${this.gdbSocket},server=on,wait=off`;
    const args = [
      ...options.trim().split(/\s+/),
      '-kernel',
      kernel,
      '-initrd',
      at('initramfs'),
      '-append',
      `console=ttyS0 quiet panic=-1 ${LATE} ${append}`,
    ];
    if (disk) args.push(...this.#makeDisk(2 * megabytes));
    if (plugin !== undefined) args.push('-plugin', plugin.replaceAll('RAM', this.ram));
    this.#process = start(args);
    let complaint = '';
    this.#process.stderr.on('data', (piece) => (complaint += piece));
    this.#serial = new Lines(this.#process.stdout);
    const ended = new Promise((_, reject) => {
      this.#process.on('error', reject);
      this.#process.on('exit', (status) =>
        reject(new Error(`QEMU ended with status ${status}: ${complaint.slice(-400)}`)),
      );
    });
    ended.catch(() => {});
    await Promise.race([this.#answer(this.#serial, /guest is up/), ended]);
    this.#qmp = connect(at('own'));
    this.#qmp.on('error', () => {});
    this.#qmp.lines = new Lines(this.#qmp);
    await this.#answer(this.#qmp.lines, /"QMP"[^\n]*\n/);
    await this.qmp('qmp_capabilities');
    await this.run('true');
  }

  #makeDisk(megabytes) {
    this.disk = this.file('disk');
    writeFileSync(this.disk, '');
    truncateSync(this.disk, megabytes * 2 ** 20);
    const drive = `file=${this.disk},if=none,id=disk,format=raw,cache=unsafe`;
    return ['-drive', drive, '-device', 'nvme,drive=disk,serial=1'];
  }

  /** A path for a file that goes with the guest. */
  file(name) {
    return join(this.#folder, name);
  }

  /** Runs a line of shell in the guest; what it printed. */
  async run(line) {
    const mark = `done-${++this.#commands}`;
    // The mark in two parts, so that an echo of the line is not taken for it.
    this.#process.stdin.write(`${line}; echo "${mark}""-$?-"\n`);
    const { before, match } = await this.#answer(
      this.#serial,
      new RegExp(`${mark}-(\\d+)-\\r?\\n`),
    );
    if (match[1] !== '0') throw new Error(`status ${match[1]} of ${line}: ${before.slice(-400)}`);
    return before;
  }

  /** Sends a line that ends the shell, and waits for what is printed then. */
  async leave(line, pattern) {
    this.#process.stdin.write(`${line}\n`);
    return (await this.#answer(this.#serial, pattern)).match;
  }

  /** One command of QEMU's monitor. */
  async qmp(execute, args = {}) {
    this.#qmp.write(`${JSON.stringify({ execute, arguments: args })}\n`);
    const { match } = await this.#answer(this.#qmp.lines, /\{"(return|error)"[^\n]*\n/);
    const said = JSON.parse(match[0]);
    if (said.error) throw new Error(`${execute}: ${said.error.desc}`);
    return said.return;
  }

  /** A guest that does not answer is ended, so that whatever is asked next fails at once. */
  async #answer(lines, pattern) {
    const watch = this.#watch(lines);
    try {
      return await lines.until(pattern);
    } catch (error) {
      this.#process.kill('SIGKILL');
      throw error;
    } finally {
      clearInterval(watch);
    }
  }
  #watch(lines) {
    const used = () => cpuSeconds(this.#process.pid);
    const [start, began] = [used(), Date.now()];
    return setInterval(() => {
      const [cpu, clock] = [used() - start, (Date.now() - began) / 1000];
      if (cpu > this.patience || clock > SLOWEST * this.patience)
        lines.fail(`not within ${clock.toFixed()} s, of which QEMU ran ${cpu.toFixed()} s`);
    }, WATCH_MS);
  }

  /**
   * Memory as a file: an ELF core (`elf`), with the guest's own addresses (`paging`), or
   * `kdump-zlib`.
   */
  async dump(path, { format = 'elf', paging = false } = {}) {
    await this.qmp('dump-guest-memory', {
      paging,
      protocol: `file:${path}`,
      ...(paging ? {} : { format }),
    });
    return path;
  }

  /**
   * Writes over the guest's memory by gdb's protocol, which QEMU's translator heeds; it stops
   * meanwhile.
   */
  async write(at, bytes) {
    await this.#withStub(async (ask) => {
      const said = await ask(`M${at.slice(2)},${(bytes.length / 2).toString(16)}:${bytes}`);
      if (said !== 'OK') throw new Error(`QEMU does not write ${at}: ${said}`);
    });
  }

  /**
   * Runs a line of shell, and stops the machine when an address is about to be executed for the
   * n-th time, for what is to be done then.
   */
  async stopAt(at, times, line, look) {
    const point = `1,${at.slice(2)},1`;
    let done;
    await this.#withStub(async (ask) => {
      for (let hits = 0; hits < times; hits++) {
        // It goes on from a breakpoint by one instruction without it.
        if (hits > 0) await ask('s');
        await ask(`Z${point}`);
        const stopped = ask('c');
        done ??= this.run(line);
        await Promise.race([
          stopped,
          done.then(() => Promise.reject(new Error('it ended before'))),
        ]);
        await ask(`z${point}`);
      }
      await look();
    });
    await done;
  }

  /** Attached, which stops the machine; `ask` sends a packet and answers with the reply. */
  async #withStub(work) {
    const socket = connect(this.gdbSocket);
    socket.on('error', () => {});
    const lines = new Lines(socket);
    const ask = async (packet) => {
      const sum = Buffer.from(packet).reduce((total, byte) => (total + byte) % 256, 0);
      socket.write(`$${packet}#${sum.toString(16).padStart(2, '0')}`);
      // QEMU says unasked that the machine stopped, once, when it is attached to.
      for (;;) {
        const { match } = await this.#answer(lines, /\$([^#]*)#../);
        socket.write('+');
        if (/^[cs]$/.test(packet) || !/^[TS]\d\d/.test(match[1])) return match[1];
      }
    };
    try {
      await work(ask);
    } finally {
      // To detach: without it the machine stays stopped.
      await ask('D').finally(() => socket.destroy());
    }
  }

  async close() {
    this.#qmp?.destroy();
    const child = this.#process;
    if (child && child.exitCode === null && child.signalCode === null) {
      const gone = new Promise((resolve) => child.once('exit', resolve));
      child.kill('SIGKILL');
      await gone;
    }
    if (this.#folder) rmSync(this.#folder, { recursive: true, force: true });
  }
}

/** The modules of these names below a folder, in the given order: each after what it needs. */
export function modulesIn(files, names) {
  return names.flatMap((name) =>
    files.filter((path) => basename(path).startsWith(`${name}.ko`)).slice(0, 1),
  );
}

/** KVM's modules retarget the keys of another module; the rest bring sites, and the dump's note. */
export const MODULES = ['qemu_fw_cfg', 'irqbypass', 'ccp', 'kvm', 'kvm-amd', 'sunrpc'];
