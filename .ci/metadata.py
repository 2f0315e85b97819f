"""Checks that need `cargo metadata`: feature lists, licences, the oldest Rust that serves. Python's standard library only."""

import json
import re
import subprocess
import sys

# Permissive licences that may be linked into anything. A licence beyond this list is a decision, not a default:
# CDLA-Permissive-2.0 is of data, the list of certificate authorities that `jwks-http` trusts.
ALLOWED = {
    "0BSD", "Apache-2.0", "Apache-2.0 WITH LLVM-exception", "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0", "CC0-1.0", "CDLA-Permissive-2.0", "ISC", "MIT",
    "MIT-0", "Unicode-3.0", "Unlicense", "Zlib",
}
MOST_CRATES = 50


def cargo(*arguments):
    return subprocess.run(["cargo", *arguments], check=True, stdout=subprocess.PIPE, text=True).stdout


def metadata(*arguments):
    return json.loads(cargo("metadata", "--format-version", "1", "--locked", *arguments))


def own_package():
    return metadata("--no-deps")["packages"][0]


def closure(features, name):
    """Every feature and optional dependency that `name` switches on."""
    found, todo = set(), [name]
    while todo:
        item = todo.pop()
        if item not in found:
            found.add(item)
            todo.extend(features.get(item, []))
    return frozenset(found)


def single_features():
    """Features to build alone: all but `default`, which renames another one, and those that are everything."""
    features = own_package()["features"]
    everything = set().union(*(closure(features, name) for name in features))
    alone = []
    for name in features:
        if name != "default" and closure(features, name) != everything - {"default"}:
            alone.append(name)
    return alone


def allowed(expression):
    """An SPDX expression: OR needs one side, AND both; AND binds tighter."""
    tokens = re.findall(r"\(|\)|[^()\s]+", expression.replace("/", " OR "))
    tokens = [token for token in " ".join(tokens).replace(" WITH ", "~").split()]

    def either():
        value = both()
        while tokens and tokens[0] == "OR":
            tokens.pop(0)
            value = both() or value
        return value

    def both():
        value = one()
        while tokens and tokens[0] == "AND":
            tokens.pop(0)
            value = one() and value
        return value

    def one():
        token = tokens.pop(0)
        if token != "(":
            return token.replace("~", " WITH ") in ALLOWED
        value = either()
        tokens.pop(0)
        return value

    return either()


def licences():
    packages = metadata("--all-features")["packages"]
    refused = [package for package in packages if not package["license"] or not allowed(package["license"])]
    for package in refused:
        print(f"licence not on the list: {package['name']} {package['version']}: {package['license']}")
    print(f"{len(packages)} packages, those of the tests included")
    return not refused


def normal_crates(*arguments):
    """What a user compiles: (name, version) of the normal dependencies, the crate itself left out."""
    lines = cargo("tree", "--locked", "-e", "normal", "--prefix", "none", "--no-dedupe", "--format", "{p}", *arguments)
    crates = {tuple(line.split()[:2]) for line in lines.splitlines() if line.strip()}
    own = own_package()
    return {(name, version.lstrip("v")) for name, version in crates if name != own["name"]}


def tree_size():
    crates = normal_crates()
    print(f"{len(crates)} crates in the default feature set; fewer than {MOST_CRATES} allowed")
    return len(crates) < MOST_CRATES


def number(version):
    return tuple(int(part) for part in (version.split(".") + ["0", "0"])[:3])


def needs(versions, *arguments):
    """The highest `rust-version` that a dependency declares, and who declares it."""
    declared = [(versions.get(crate), crate[0]) for crate in normal_crates(*arguments)]
    return max(((number(version), version, name) for version, name in declared if version), default=((0,), "any", "none"))


def msrv():
    versions = {(package["name"], package["version"]): package["rust_version"] for package in metadata("--all-features")["packages"]}
    own = own_package()
    for feature in sorted(own["features"]):
        _, version, crate = needs(versions, "--no-default-features", "--features", feature)
        print(f"  {feature}: its dependencies need {version} ({crate})")
    highest, version, crate = needs(versions)
    print(f"declared {own['rust_version']}; the default feature set's dependencies need {version} ({crate})")
    return number(own["rust_version"]) >= highest


def features():
    print("\n".join(single_features()))
    return True


if __name__ == "__main__":
    checks = {"features": features, "licences": licences, "tree-size": tree_size, "msrv": msrv}
    sys.exit(0 if checks[sys.argv[1]]() else 1)
