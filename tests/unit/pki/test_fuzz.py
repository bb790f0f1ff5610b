"""What anyone may send to OCSP, TSP and the CA, mutated by hypothesis and by a fuzzer that sees the code it reaches."""

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.targets import TARGETS, corpus

RUNS = 20_000
SEEDS = [(target, name) for target in TARGETS for name in corpus(target)]


@pytest.mark.parametrize(("target", "name"), SEEDS)
def test_the_corpus_is_taken_as_its_names_say(target: str, name: str) -> None:
    assert TARGETS[target](corpus(target)[name]) is not name.startswith("no-")


@pytest.mark.parametrize("target", TARGETS)
@given(data=st.data())
def test_mutations_are_answered_or_refused(target: str, data: st.DataObject) -> None:
    """Octets changed, cut out, put in twice, and another seed's end."""
    seeds = list(corpus(target).values())
    changed = bytearray(data.draw(st.sampled_from(seeds)))
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(changed)))
        until = data.draw(st.integers(at, min(at + 40, len(changed))))
        piece = data.draw(st.one_of(st.binary(max_size=4), st.just(bytes(changed[at:until]) * 2)))
        changed[at:until] = piece
    if data.draw(st.booleans()):
        other = data.draw(st.sampled_from(seeds))
        changed += other[data.draw(st.integers(0, len(other))) :]
    TARGETS[target](bytes(changed))


@pytest.mark.parametrize("target", TARGETS)
def test_a_short_search_finds_nothing(target: str, tmp_path: Path) -> None:
    """Neither an exception that no reader names, nor an input that takes seconds, nor memory without bound."""
    command = [sys.executable, "-m", "tests.fuzz.fuzz", target, f"-runs={RUNS}", "-seed=1"]
    done = subprocess.run(
        [*command, f"-artifact_prefix={tmp_path}/", str(tmp_path)], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert f"Done {RUNS} runs" in done.stderr
