"""Loading language models, and what is said when a folder, an id or an option is no good."""

from __future__ import annotations

import gc
import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import tiny
import torch
from pydantic import ValidationError

from moot.agents.language import LanguageOptions, language_pool
from moot.agents.load import load
from moot.protocols import MootError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tiny.save(tmp_path / "camp")


def test_a_folder_loads_for_inference(folder: Path) -> None:
    loaded = load(folder)
    assert not loaded.model.training
    assert not any(p.requires_grad for p in loaded.model.parameters())
    assert loaded.model.dtype == (torch.float32 if loaded.device.type == "cpu" else torch.bfloat16)
    assert loaded.context == 2048
    assert loaded.vocab == len(loaded.tokenizer) + 9
    assert loaded.ends == (loaded.tokenizer.eos_token_id,)
    assert load(folder, device="cpu", dtype="bf16").model.dtype == torch.bfloat16
    assert load(folder, attention="eager").model.config._attn_implementation == "eager"


def test_seats_share_one_model(folder: Path) -> None:
    ann = language_pool(str(folder), {"temperature": "1.0"})
    bob = language_pool(f"{folder}/", {"temperature": "0.2"})
    assert ann.loaded is bob.loaded
    assert load(folder, dtype="bf16") is not ann.loaded
    del ann, bob
    gc.collect()
    assert load(folder).model is not None


def test_end_tokens_of_the_chat_come_before_the_tokenizers(tmp_path: Path) -> None:
    loaded = load(tiny.save(tmp_path / "gemma", "gemma3"))
    names = loaded.tokenizer.convert_ids_to_tokens(list(loaded.ends))
    assert names == ["<|endoftext|>", "<end_of_turn>"]


def keep(*names: str) -> Callable[[Path], object]:
    """Remove everything but these files."""

    def spoil(folder: Path) -> None:
        for path in folder.iterdir():
            if path.name not in names:
                path.unlink()

    return spoil


def pickled(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def adapter(folder: Path) -> None:
    keep("model.safetensors")(folder)
    (folder / "adapter_config.json").write_text("{}")


def edited(name: str, **changes: object) -> Callable[[Path], object]:
    def spoil(folder: Path) -> None:
        fields = json.loads((folder / name).read_text()) | changes
        (folder / name).write_text(json.dumps(fields))

    return spoil


WORDS = ("tokenizer.json", "tokenizer_config.json")
SPOILT: dict[str, tuple[Callable[[Path], object], str]] = {
    "empty": (keep(), r"camp has no config.json; give a folder written by model.save_pretrained"),
    "adapter": (adapter, r"camp holds an adapter, not a model; give the folder of its base model"),
    "no weights": (keep("config.json", *WORDS), r"camp has no weights; add model.safetensors"),
    "pickle": (pickled, r"camp has only pickled weights \(pytorch_model.bin\).*save_pretrained"),
    "no tokenizer": (keep("config.json", "model.safetensors"), "camp has no tokenizer; add"),
    "torn weights": (
        lambda f: (f / "model.safetensors").write_bytes(b"torn"),
        r"camp: cannot be read as a model \(.+\); save it again",
    ),
    "torn config": (lambda f: (f / "config.json").write_text("{"), r"camp: cannot be read"),
    "torn tokenizer": (lambda f: (f / "tokenizer.json").write_text("{"), r"camp: cannot be read"),
    "strange type": (edited("config.json", model_type="abacus"), r"camp: cannot be read"),
    "no end": (
        lambda f: (
            edited("generation_config.json", eos_token_id=None)(f),
            edited("tokenizer_config.json", eos_token=None)(f),
        ),
        r"camp: no end token; set eos_token_id",
    ),
}


@pytest.mark.parametrize("case", SPOILT)
def test_a_bad_folder_is_named_with_its_remedy(folder: Path, case: str) -> None:
    spoil, message = SPOILT[case]
    spoil(folder)
    with pytest.raises(MootError, match=message) as e:
        load(folder)
    assert "\n" not in str(e.value)


def test_words_of_another_model_are_refused(tmp_path: Path) -> None:
    folder = tiny.save(tmp_path / "camp")
    small = tiny.model("llama", 100)
    small.save_pretrained(folder)
    with pytest.raises(MootError, match=r"camp: the tokenizer has 512 tokens, the model 100; use"):
        load(folder)


def test_a_missing_folder_and_an_unknown_id(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(MootError, match=r"no folder .*/canp; did you mean 'camp'\?"):
        load(folder.parent / "canp")
    with pytest.raises(MootError, match="is a file; give the folder that holds"):
        load(folder / "config.json")

    def unplugged(*_: object) -> list[object]:
        raise OSError("Name or service not known")

    monkeypatch.setattr("socket.getaddrinfo", unplugged)
    monkeypatch.setattr("moot.agents.source.getproxies", dict)
    with pytest.raises(MootError, match=r"no model 'nobody/nothing': .* check id and network") as e:
        load("nobody/nothing")
    assert "\n" not in str(e.value)


def test_options_that_no_machine_has(folder: Path) -> None:
    with pytest.raises(MootError, match=r"device 'tpu9' is not here"):
        load(folder, device="tpu9")
    with pytest.raises(MootError, match=r"unknown dtype 'bf61'; did you mean 'bf16'\?"):
        load(folder, dtype="bf61")
    if importlib.util.find_spec("bitsandbytes") is None:
        with pytest.raises(MootError, match="4-bit loading needs bitsandbytes; pip install"):
            load(folder, load_in_4bit=True)


def test_options_are_read_from_a_query(folder: Path) -> None:
    query = {"temperature": "0.3", "top_k": "5", "rows": "8", "load_in_4bit": "false"}
    options = LanguageOptions.parse(query)
    assert (options.temperature, options.top_k, options.rows) == (0.3, 5, 8)
    assert (options.sampling.temperature, options.sampling.top_k) == (0.3, 5)
    with pytest.raises(ValidationError, match="frozen"):
        options.rows = 9  # type: ignore[misc]
    with pytest.raises(MootError, match=r"no option 'temprature'; did you mean 'temperature'\?"):
        language_pool(str(folder), {"temprature": 1})
    for key, value in (("rows", "0"), ("top_p", "2"), ("temperature", "nan"), ("think", "x")):
        with pytest.raises(MootError, match=rf"option {key}={value}: "):
            LanguageOptions.parse({key: value})


@pytest.mark.parametrize(
    ("spec", "expected"),
    [("nano?temprature=1", "did you mean 'temperature'"), ("nano?temperature=-1", "greater than or equal"),
     ("nano?adapter=nowhere", "nowhere")],
)  # fmt: skip
def test_a_wrong_option_is_told_before_torch_loads(spec: str, expected: str) -> None:
    code = (
        "import sys; from moot.agents.seats import seat; from moot.protocols import MootError\n"
        f"try: seat({spec!r})\n"
        "except MootError as e: print(e, 'torch' in sys.modules)"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert expected in told.stdout
    assert told.stdout.endswith("False\n")
