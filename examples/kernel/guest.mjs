// A distribution's kernel in QEMU, without acceleration, with a shell of busybox on its serial
// line. Needs qemu-system-x86_64, a static busybox and a kernel image; nothing is installed and no
// disk is made. KVM is not used: the recorder (poke.c) is a plugin of QEMU's translator.

import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
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

function initramfs(modules, files) {
  const folder = (name) => ({ name, mode: 0o40755, bytes: '' });
  const busybox = BUSYBOX.find(existsSync);
  return archive([
    ...['bin', 'dev', 'lib', 'proc', 'sys', 'tmp'].map(folder),
    { name: 'init', mode: 0o100755, bytes: INIT },
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
 */
class Lines {
  text = '';
  #ended = false;
  #waiting = null;

  constructor(stream) {
    stream.on('data', (piece) => {
      this.text += piece.toString('latin1');
      this.#look();
    });
    stream.on('close', () => {
      this.#ended = true;
      this.#fail('the other end was closed');
    });
  }
  /** Everything up to the match, which is taken away with it. */
  until(pattern, milliseconds) {
    return new Promise((resolve, reject) => {
      const late = () => this.#fail(`not within ${milliseconds / 1000} s`);
      this.#waiting = { pattern, resolve, reject, timer: setTimeout(late, milliseconds) };
      this.#look();
      if (this.#ended) this.#fail('the other end was closed');
    });
  }
  #look() {
    const match = this.#waiting?.pattern.exec(this.text);
    if (!match) return;
    const { resolve } = this.#take();
    const before = this.text.slice(0, match.index);
    this.text = this.text.slice(match.index + match[0].length);
    resolve({ before, match });
  }
  #fail(why) {
    if (!this.#waiting) return;
    const { pattern, reject } = this.#take();
    const last = this.text.trimEnd().split('\n').slice(-LAST).join('\n');
    reject(new Error(`no ${pattern}: ${why}. The last lines:\n${last}`));
  }
  #take() {
    const waiting = this.#waiting;
    this.#waiting = null;
    clearTimeout(waiting.timer);
    return waiting;
  }
}
/** Lines of the guest that a failure shows. */
const LAST = 15;

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

export class Guest {
  /** The guest's RAM, 256 MB from physical address 0: written by QEMU while it runs. */
  ram;
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
   * @param {{ kernel: string, modules?: readonly string[], append?: string, plugin?: string, single?: boolean, megabytes?: number, files?: readonly { name: string, mode: number, bytes: Uint8Array | string }[], patience?: number }} options
   *   `patience`: milliseconds for everything that is waited for
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
    patience = 300_000,
  }) {
    this.patience = patience;
    this.#folder = mkdtempSync(join(tmpdir(), 'static-call-guest-'));
    const at = (name) => join(this.#folder, name);
    writeFileSync(at('initramfs'), initramfs(modules, files));
    this.ram = at('ram');
    this.qmpSocket = at('qmp');
    this.gdbSocket = at('gdb');
    // Two monitors, because one serves one client at a time: ours, and that of the program that
    // reads the guest.
    const memory = `memory-backend-file,id=m0,size=${megabytes}M,mem-path=${this.ram},share=on`;
    const options = `
      -accel tcg,thread=${single ? 'single' : 'multi'} -cpu EPYC -smp 2 -m ${megabytes}
      -nodefaults -display none -no-reboot -serial stdio
      -object ${memory} -machine pc,memory-backend=m0 -device vmcoreinfo
      -qmp unix:${at('own')},server=on,wait=off -qmp unix:${this.qmpSocket},server=on,wait=off
      -gdb unix:${this.gdbSocket},server=on,wait=off`;
    const args = [
      ...options.trim().split(/\s+/),
      '-kernel',
      kernel,
      '-initrd',
      at('initramfs'),
      '-append',
      `console=ttyS0 quiet panic=-1 ${append}`,
    ];
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
    await Promise.race([this.#serial.until(/guest is up/, patience), ended]);
    this.#qmp = connect(at('own'));
    this.#qmp.on('error', () => {});
    this.#qmp.lines = new Lines(this.#qmp);
    await this.#qmp.lines.until(/"QMP"[^\n]*\n/, patience);
    await this.qmp('qmp_capabilities');
    await this.run('true');
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
    try {
      return await lines.until(pattern, this.patience);
    } catch (error) {
      this.#process.kill('SIGKILL');
      throw error;
    }
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
