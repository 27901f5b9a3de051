# A symbol file for Volatility 3 out of a dump alone: types by the BTF in the kernel's memory,
# symbols by its kallsyms, both read by drgn.
# usage: referees-isf.py DUMP OUT

import base64
import json
import struct
import sys

import drgn
from drgn.helpers.linux.kallsyms import load_vmlinux_kallsyms

# BTF has types of functions and per-CPU variables alone.
TYPES = {"modules": "list_head", "init_task": "task_struct", "init_mm": "mm_struct", "init_files": "files_struct"}
INT, PTR, ARRAY, STRUCT, UNION, ENUM, FWD, TYPEDEF, VOLATILE, CONST, RESTRICT, FUNC = range(1, 13)
FUNC_PROTO, VAR, DATASEC, FLOAT, DECL_TAG, TYPE_TAG, ENUM64 = range(13, 20)
QUALIFIERS = (TYPEDEF, VOLATILE, CONST, RESTRICT, TYPE_TAG)
# Bytes behind the common header, and for each of its vlen entries.
EXTRA = {INT: (4, 0), ARRAY: (12, 0), STRUCT: (0, 12), UNION: (0, 12), ENUM: (0, 8), FUNC_PROTO: (0, 8)}
EXTRA.update({VAR: (4, 0), DATASEC: (0, 12), DECL_TAG: (4, 0), ENUM64: (0, 12)})


class Btf:
    def __init__(self, data):
        self.data = data
        _, _, _, head, type_off, type_len, str_off, _ = struct.unpack_from("<HBBIIIII", data)
        self.strings = head + str_off
        self.types = [None]
        at, end = head + type_off, head + type_off + type_len
        while at < end:
            name, info, size = struct.unpack_from("<III", data, at)
            kind, vlen = (info >> 24) & 31, info & 0xFFFF
            fixed, each = EXTRA.get(kind, (0, 0))
            self.types.append((self.text(name), kind, info >> 31, vlen, size, at + 12))
            at += 12 + fixed + each * vlen

    def text(self, at):
        start = self.strings + at
        return self.data[start : self.data.index(0, start)].decode()

    def named(self, number):
        """Structs without a name have one by their number."""
        return self.types[number][0] or f"unnamed_{number}"

    def reference(self, number):
        while number and self.types[number][1] in QUALIFIERS:
            number = self.types[number][4]
        if number == 0:
            return {"kind": "base", "name": "void"}
        name, kind, _, _, size, at = self.types[number]
        if kind == PTR:
            return {"kind": "pointer", "subtype": self.reference(size)}
        if kind == ARRAY:
            element, _, count = struct.unpack_from("<III", self.data, at)
            return {"kind": "array", "count": count, "subtype": self.reference(element)}
        if kind in (STRUCT, UNION):
            return {"kind": "struct" if kind == STRUCT else "union", "name": self.named(number)}
        if kind == FWD:
            return {"kind": "struct", "name": name}
        if kind in (ENUM, ENUM64):
            return {"kind": "enum", "name": self.named(number)}
        if kind in (INT, FLOAT):
            return {"kind": "base", "name": name}
        return {"kind": "function"}

    def fields(self, number):
        _, _, flagged, vlen, _, at = self.types[number]
        found = {}
        for i in range(vlen):
            name, kind, offset = struct.unpack_from("<III", self.data, at + 12 * i)
            bits, offset = (offset >> 24, offset & 0xFFFFFF) if flagged else (0, offset)
            field = {"type": self.reference(kind), "offset": offset // 8}
            if bits:
                size = 8 * self.size(kind)
                start = offset // size * size
                field["offset"] = start // 8
                field["type"] = {
                    "kind": "bitfield",
                    "bit_position": offset - start,
                    "bit_length": bits,
                    "type": field["type"],
                }
            if name == 0:
                field["anonymous"] = True
            found[self.text(name) or f"unnamed_field_{i}"] = field
        return found

    def size(self, number):
        while self.types[number][1] in QUALIFIERS:
            number = self.types[number][4]
        return self.types[number][4]

    def isf(self):
        base = {
            "void": {"size": 0, "signed": False, "kind": "void", "endian": "little"},
            "pointer": {"size": 8, "signed": False, "kind": "int", "endian": "little"},
        }
        users, enums = {}, {}
        for number, each in enumerate(self.types):
            if each is None:
                continue
            name, kind, flagged, vlen, size, at = each
            if kind == INT:
                (encoding,) = struct.unpack_from("<I", self.data, at)
                signed = bool((encoding >> 24) & 1)
                what = {1: "char"}.get(size, "int") if name != "_Bool" else "bool"
                base[name] = {"size": size, "signed": signed, "kind": what, "endian": "little"}
            elif kind == FLOAT:
                base[name] = {"size": size, "signed": True, "kind": "float", "endian": "little"}
            elif kind in (STRUCT, UNION):
                what = "struct" if kind == STRUCT else "union"
                users.setdefault(self.named(number), {"size": size, "kind": what, "fields": self.fields(number)})
            elif kind in (ENUM, ENUM64):
                step = 8 if kind == ENUM else 12
                rows = [struct.unpack_from("<Ii", self.data, at + step * i) for i in range(vlen)]
                constants = {self.text(name): value for name, value in rows}
                whole = {"size": size, "base": "int" if size == 4 else "long int", "constants": constants}
                enums.setdefault(self.named(number), whole)
        return base, users, enums


program = drgn.Program()
program.set_core_dump(sys.argv[1])
program.register_symbol_finder("kallsyms", load_vmlinux_kallsyms(program), enable_index=0)
lines = dict(line.split("=", 1) for line in program["VMCOREINFO"].string_().decode().splitlines() if "=" in line)
slide = int(lines.get("KERNELOFFSET", "0"), 16)
symbols = {symbol.name: symbol.address for symbol in program.symbols()}
start, stop = symbols["__start_BTF"], symbols["__stop_BTF"]
base, users, enums = Btf(program.read(start, stop - start)).isf()
banner = program.read(symbols["linux_banner"], 512)
banner = banner[: banner.index(0) + 1]


def symbol(name, at):
    # Per-CPU symbols are offsets and do not move.
    row = {"address": at - slide if at >= 0xFFFF_FFFF_8000_0000 else at}
    if name == "taint_flags":
        row["type"] = {"kind": "array", "count": 19, "subtype": {"kind": "struct", "name": "taint_flag"}}
    elif name in TYPES:
        row["type"] = {"kind": "struct", "name": TYPES[name]}
    elif name.startswith("__tracepoint_"):
        row["type"] = {"kind": "struct", "name": "tracepoint"}
    if name == "linux_banner":
        row["type"] = {"kind": "array", "count": len(banner), "subtype": {"kind": "base", "name": "char"}}
        row["constant_data"] = base64.b64encode(banner).decode()
    return row


with open(sys.argv[2], "w") as out:
    json.dump(
        {
            "metadata": {
                "format": "6.2.0",
                "producer": {"name": "btf", "version": "1", "datetime": "2026-01-01T00:00:00"},
                "linux": {"symbols": [], "types": []},
            },
            "base_types": base,
            "user_types": users,
            "enums": enums,
            "symbols": {name: symbol(name, at) for name, at in symbols.items()},
        },
        out,
    )
