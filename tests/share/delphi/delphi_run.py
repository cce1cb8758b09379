"""A run of delphi's own code over an export: `python delphi_run.py PACKAGES RUN MODULE`; JSON on standard output.

PACKAGES is the folder that delphi was installed into. It asks for vllm when it is imported, which is of use to its
offline client alone: names stand in for it. Its explainer and its detection scorer ask the client below.
"""

from __future__ import annotations

import asyncio
import importlib.machinery
import json
import re
import sys
import types
from collections import Counter
from importlib import import_module
from pathlib import Path
from typing import Any


class Absent(types.ModuleType):
    """A module of which every name is a class."""

    def __getattr__(self, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        return object


def main(packages: str, run: str, module: str) -> None:
    """Load, explain and score the first units."""
    sys.path.append(packages)
    for name in ("vllm", "vllm.distributed", "vllm.distributed.parallel_state", "vllm.inputs"):
        sys.modules[name] = Absent(name)
        sys.modules[name].__path__ = []
        sys.modules[name].__spec__ = importlib.machinery.ModuleSpec(name, None)
    import torch

    # By their names: delphi lies in a folder of its own, where no checker of types finds it.
    client_module = import_module("delphi.clients.client")
    config, latents_module = import_module("delphi.config"), import_module("delphi.latents")
    explainer_class = import_module("delphi.explainers").DefaultExplainer
    scorer_class = import_module("delphi.scorers.classifier.detection").DetectionScorer

    from and_nnsight.share.delphi import ClipTokenizer

    class CommonWord(client_module.Client):
        """Explains by the word that most texts have; finds a text active that has a word of the explanation."""

        async def generate(self, prompt: Any, **_: Any) -> Any:
            text = prompt[-1]["content"]
            if "Latent explanation:" not in text:
                highlighted = re.findall(r"<<(.*?)>>", text)
                words = Counter(word for line in highlighted for word in set(re.findall(r"[a-z]{4,}", line.lower())))
                return client_module.Response(text=f"Let me see.\n[EXPLANATION]: {words.most_common(1)[0][0]}")
            explanation = text.partition("Latent explanation:")[2].partition("\n")[0].strip().lower()
            examples = re.findall(r"^Example \d+: (.*)$", text, re.MULTILINE)
            return client_module.Response(text=str([int(explanation in example.lower()) for example in examples]))

    latents = {module: torch.arange(16)}
    sampled = config.SamplerConfig(n_examples_train=5, n_examples_test=5, n_quantiles=5, train_type="top")
    built = config.ConstructorConfig(example_ctx_len=1, min_examples=5, n_non_activating=10)
    raw, tokenizer = Path(run) / "latents", ClipTokenizer(run)
    load = latents_module.LatentDataset
    dataset = load(raw, sampled, built, tokenizer=tokenizer, modules=[module], latents=latents)
    whole = load(raw, sampled, built, tokenizer=tokenizer)
    client, told = CommonWord("common word"), {}
    explainer, scorer = explainer_class(client), scorer_class(client, n_examples_shown=3)
    for record in dataset:
        record.explanation = asyncio.run(explainer(record)).explanation
        path = Path(run) / "explained" / "explanations" / f"{record.latent}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(record.explanation))
        judged = asyncio.run(scorer(record)).score
        told[str(record.latent)] = {
            "explanation": record.explanation,
            "examples": [(tokenizer.batch_decode(each.tokens), each.activations.tolist()) for each in record.examples],
            "test": [each.str_tokens for each in record.test],
            "not_active": [each.str_tokens for each in record.not_active],
            "frequency": record.per_context_frequency,
            "judged": [(each.str_tokens, each.activating, each.prediction) for each in judged],
        }
    print(json.dumps({"buffers": len(whole), "modules": sorted(whole.modules), "latents": told}))


if __name__ == "__main__":
    main(*sys.argv[1:])
