"""Makes the SBOM of a router's binary from that of cargo-cyclonedx: sbom.py CDX TREE BINARY RUST ZIG, to stdout.

cargo-cyclonedx goes by `cargo metadata`, which names crates that tests alone switch on, knows nothing of what is linked from outside
Cargo, and writes where the source lay. So: only the crates of TREE (`cargo tree --edges normal,build`) stay; the standard library and musl
are added; the binary's checksum is told; no path of a machine is left.
"""

import hashlib
import json
import pathlib
import re
import sys

MUSL = "1.2.5"  # what zig 0.15.2 brings

cdx, tree, binary, rust, zig = sys.argv[1:]
sbom = json.loads(pathlib.Path(cdx).read_text(encoding="utf-8"))

linked = {tuple(line.split()[:2]) for line in pathlib.Path(tree).read_text(encoding="utf-8").splitlines()}
components = [it for it in sbom["components"] if (it["name"], "v" + it["version"]) in linked]
for name, version in linked:
    if name != "posgate" and not any((it["name"], "v" + it["version"]) == (name, version) for it in components):
        sys.exit(f"sbom.py: cargo-cyclonedx does not know {name} {version}, which is linked")
trimmed = {
    "encoding_rs": "only the tables of GBK and GB18030 are built (deploy/trim-crates.py)",
    "crc32fast": "only one of sixteen tables is built (deploy/trim-crates.py)",
}
for component in components:
    if component["name"] in trimmed:
        component["pedigree"] = {"notes": trimmed[component["name"]]}

whole = sbom["metadata"]["component"]
former = whole["bom-ref"]
whole["bom-ref"] = f"pkg:generic/posgate@{whole['version']}"
whole["purl"] = whole["bom-ref"]
whole["hashes"] = [{"alg": "SHA-256", "content": hashlib.sha256(pathlib.Path(binary).read_bytes()).hexdigest()}]

rust_version = re.match(r"rustc (\S+)", rust)[1]
outside = [
    ("rust-std", rust_version, "MIT OR Apache-2.0", f"Rust's standard library, built from the source that came with {rust}"),
    ("musl", MUSL, "MIT", f"the C library, as zig {zig} brings it"),
    ("zig-compiler-rt", zig, "MIT", "arithmetic that the CPU has no instruction for, by zig"),
]
for name, version, terms, description in outside:
    reference = f"pkg:generic/{name}@{version}"
    components.append({
        "type": "library", "bom-ref": reference, "name": name, "version": version, "description": description,
        "scope": "required", "licenses": [{"expression": terms}], "purl": reference,
    })
sbom["components"] = components

known = {it["bom-ref"] for it in components}
dependencies = []
for row in sbom["dependencies"]:
    if row["ref"] == former:
        row = {"ref": whole["bom-ref"], "dependsOn": row["dependsOn"] + [it["bom-ref"] for it in components[-len(outside):]]}
    elif row["ref"] not in known:
        continue
    if "dependsOn" in row:
        row["dependsOn"] = [it for it in row["dependsOn"] if it in known]
    dependencies.append(row)
sbom["dependencies"] = dependencies + [{"ref": it["bom-ref"]} for it in components[-len(outside):]]

text = json.dumps(sbom, indent=2, ensure_ascii=False)
if "file:" in text:
    sys.exit("sbom.py: a path of this machine is left in it")
print(text)
