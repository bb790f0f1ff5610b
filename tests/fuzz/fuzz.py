"""Search for input that a reader takes badly, guided by what code it reaches: ocsp, tsp, csr or ra.

    mkdir -p /tmp/found && python -m tests.fuzz.fuzz ocsp -max_total_time=60 /tmp/found

Options are libFuzzer's. Input that reached new code is kept in the folder, on top of tests/fuzz/corpus, and what broke
a reader in the current one; put what teaches something into the corpus.
"""

import sys

import atheris

with atheris.instrument_imports(include=["kepil"]):
    from tests.fuzz import targets


def main() -> None:
    """The command line."""
    name = sys.argv.pop(1)
    target, folder = targets.TARGETS[name], str(targets.CORPUS / name)
    limits = ["-timeout=30", "-rss_limit_mb=1024", "-max_len=4096"]
    atheris.Setup([sys.argv[0], *limits, *sys.argv[1:], folder], lambda data: target(data) and None)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
