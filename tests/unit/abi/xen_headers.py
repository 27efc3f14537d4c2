# SPDX-License-Identifier: Apache-2.0
"""What Xen's public headers declare, as a compiler sees them for one guest width."""
import json
import re
import subprocess

TARGETS = {64: "x86_64-linux-gnu", 32: "i386-linux-gnu"}


def _run(clang, bits, header, *options):
    command = [clang, "-target", TARGETS[bits], "-ffreestanding", "-std=c11", "-x", "c", *options, header]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout


def _fields(record, prefix):
    """Paths of a record's members, descending into members whose type has no name of its own."""
    nested = None
    for child in record.get("inner", []):
        if child["kind"] == "RecordDecl":
            nested = child
        elif child["kind"] == "FieldDecl":
            name = child.get("name")
            unnamed_type = re.search(r"\((unnamed|anonymous)", child["type"]["qualType"])
            if name:
                yield prefix + name
            if unnamed_type and nested is not None:
                yield from _fields(nested, prefix + name + "." if name else prefix)


def _named_records(node):
    for child in node.get("inner", []):
        if child["kind"] == "RecordDecl":
            if child.get("name") and child.get("completeDefinition"):
                yield child
            yield from _named_records(child)


def records(clang, bits, header):
    """{name: (kind, [field path, ...])} of every named structure and union."""
    tree = json.loads(_run(clang, bits, header, "-fsyntax-only", "-Xclang", "-ast-dump=json"))
    found = {}
    for record in _named_records(tree):
        found[record["name"]] = (record["tagUsed"], list(_fields(record, "")))
    return found


def enumerators(clang, bits, header):
    tree = json.loads(_run(clang, bits, header, "-fsyntax-only", "-Xclang", "-ast-dump=json"))
    return [item["name"] for node in tree["inner"] if node["kind"] == "EnumDecl"
            for item in node["inner"] if item["kind"] == "EnumConstantDecl"]


def macros(clang, bits, header):
    """Names of the object-like macros with a value that the Xen headers themselves define."""
    found, in_xen = [], False
    for line in _run(clang, bits, header, "-E", "-dD").splitlines():
        marker = re.match(r'# \d+ "([^"]+)"', line)
        if marker:
            in_xen = "/xen/" in marker[1]
        definition = re.match(r"#define (\w+) (\S.*)", line)
        if definition and in_xen:
            found.append(definition[1])
    return found
