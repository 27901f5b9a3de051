# Reads a dump with drgn and no debug information, beside what `inspect` says (JSON on stdin, of
# scripts/referees.mjs). Prints one object of JSON: question to answer, and `differ`.

import json
import sys

import drgn
from drgn.helpers.linux.kallsyms import load_vmlinux_kallsyms
from drgn.helpers.linux.module import for_each_module


def attempt(what):
    try:
        return what()
    except Exception as error:  # Any refusal is an answer.
        return f"no: {type(error).__name__}: {str(error).splitlines()[0]}"


program = drgn.Program()
program.set_core_dump(sys.argv[1])
asked = json.load(sys.stdin)
said = {"opens": "yes", "differ": []}
differ = said["differ"]

finder = attempt(lambda: load_vmlinux_kallsyms(program))
if isinstance(finder, str):
    said["kallsyms"] = finder
else:
    program.register_symbol_finder("kallsyms", finder, enable_index=0)
    # The symbol that follows may stand at the same address, so names are looked up, not addresses.
    keys = equal = names = named = valued = 0
    values = {}
    for key in asked["keys"]:
        at, func = int(key["at"], 16), int(key["func"], 16)
        value = values[key["name"]] = program.read_u64(at)
        if value == func:
            valued += 1
        else:
            differ.append(f"{key['name']} at {at:#x}: {value:#x}, not {func:#x}")
        if key["module"] is not None:
            continue
        keys += 1
        found = [s for s in program.symbols("__SCK__" + key["name"]) if s.address == at]
        if found:
            equal += 1
        else:
            differ.append(f"{key['name']} is not at {at:#x}")
        if key["now"] is not None and " [" not in key["now"]:
            names += 1
            if any(s.address == value for s in program.symbols(key["now"])):
                named += 1
            else:
                differ.append(f"{key['name']} leads to {value:#x}, not to {key['now']}")
    said["keys"] = f"{equal} of {keys} at the same address, {valued} of {len(values)} with the same value"
    said["functions"] = f"{named} of {names} of the kernel's own by the same name"

    same = led = branches = 0
    for site in asked["sites"]:
        at = int(site["at"], 16)
        code = bytes.fromhex(site["bytes"].replace(" ", ""))
        there = program.read(at, len(code))
        if there == code:
            same += 1
        else:
            differ.append(f"the site at {at:#x}: {there.hex()}, not {code.hex()}")
        # The jump of an empty key leads to a thunk of the kernel.
        if there[0] in (0xE8, 0xE9) and values[site["key"]] != 0:
            branches += 1
            target = (at + 5 + int.from_bytes(there[1:5], "little", signed=True)) % 2**64
            led += target == values[site["key"]]
    said["sites"] = f"{same} of {len(asked['sites'])} with the same bytes; {led} of {branches} calls and jumps lead to the key's value"

said["struct module"] = attempt(lambda: str(program.type("struct module").type_name()))

said["modules"] = attempt(lambda: f"{len(list(for_each_module(program)))} modules")
json.dump(said, sys.stdout)
