# Frida, told what to do by lines; each is answered by a line of JSON. argv: pid, addresses of two
# functions.
import json
import sys
import time

import frida

SCRIPT = """
const [slow, fast] = [ptr('%s'), ptr('%s')];
let replaced = false;
let seen = 0;
let listener = null;
rpc.exports = {
  change() {
    if (replaced) Interceptor.revert(slow);
    else Interceptor.replace(slow, fast);
    Interceptor.flush();
    replaced = !replaced;
  },
  quick() {
    Interceptor.replaceFast(slow, fast);
    Interceptor.flush();
  },
  slow() {
    Interceptor.revert(slow);
    Interceptor.flush();
  },
  listen() {
    listener = Interceptor.attach(slow, { onEnter() { seen++; } });
    Interceptor.flush();
  },
  ignore() {
    listener.detach();
    Interceptor.flush();
  },
};
"""


class Tool:
    def attach(self):
        self.session = frida.get_local_device().attach(int(sys.argv[1]))
        self.script = self.session.create_script(SCRIPT % (sys.argv[2], sys.argv[3]))
        self.script.load()

    def change(self):
        self.script.exports_sync.change()

    def quick(self):
        self.script.exports_sync.quick()

    def slow(self):
        self.script.exports_sync.slow()

    def listen(self):
        self.script.exports_sync.listen()

    def ignore(self):
        self.script.exports_sync.ignore()

    def detach(self):
        self.session.detach()


tool = Tool()
print(json.dumps({"version": frida.__version__}), flush=True)
for line in sys.stdin:
    began = time.perf_counter_ns()
    try:
        getattr(tool, line.strip())()
        print(json.dumps({"ns": time.perf_counter_ns() - began}), flush=True)
    except Exception as error:
        print(json.dumps({"error": f"{type(error).__name__}: {error}"}), flush=True)
